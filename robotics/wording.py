"""Numbers in sentences."""


def counted(number: int, one: str, more: str | None = None) -> str:
    """`1 seed`, `2 seeds`; `more` where that is not `one` with an s."""
    return f"{number} {one if number == 1 else more or one + 's'}"
