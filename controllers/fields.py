"""What the fields of a robot file may hold, which somebody wrote by hand: names, and numbers that can be meant."""

from typing import Any

#: No limit or position of a robot is larger, in whatever unit; beyond it sums and quotients stop being numbers.
LARGEST = 1e9


def is_name(value: Any) -> bool:
    """Whether it is a text that can name something."""
    return isinstance(value, str) and value != ""


def are_names(value: Any) -> bool:
    """Whether it is a list of names, one at least: nothing is said by leaving the field out."""
    return isinstance(value, list | tuple) and len(value) > 0 and all(map(is_name, value))


def is_number(value: Any) -> bool:
    """Whether it is a number (TOML's true is none) of a size that can be meant; NaN is for its reader to refuse."""
    return isinstance(value, int | float) and not isinstance(value, bool) and not abs(value) > LARGEST


def are_numbers(value: Any) -> bool:
    """Whether it is a list of numbers."""
    return isinstance(value, list | tuple) and all(map(is_number, value))
