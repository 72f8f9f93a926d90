"""Tables of the README that a benchmark writes: what stands between two marks of the same name."""

from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def into_readme(name: str, table: str) -> None:
    """Put `table` between `<!-- name … -->` and `<!-- end of name -->`."""
    before, begin, rest = README.read_text().partition(f"<!-- {name}")
    mark, _, rest = rest.partition("\n")
    README.write_text(f"{before}{begin}{mark}\n{table}\n{rest[rest.index(f'<!-- end of {name} -->') :]}")
