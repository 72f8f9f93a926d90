"""Columns of numbers from what a file holds, and what is wrong with those that are none."""

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray


@dataclass
class Columns:
    """Columns (T,) or (T, n), and what is wrong with the ones that can not be read as numbers."""

    numbers: dict[str, Array] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)

    def add_array(self, name: str, values: Array) -> None:
        """Numbers as they are; durations, and times of a clock from the first one, in seconds."""
        if values.dtype.kind == "M":
            values = values - values[:1]
        if values.dtype.kind == "m":
            values = values / np.timedelta64(1, "s")
        if values.dtype.kind in "fiub":
            self.numbers[name] = values
        else:
            self.unreadable[name] = f"not of numbers ({values.dtype})"

    def add_list(self, name: str, values: Sequence[Any], places: Sequence[str]) -> None:
        """Numbers, or lists of equally many, of which None is not finite; `places` say where each of them is."""
        if (array := _floats(values)) is not None:
            self.numbers[name] = array
            return
        wide = _floats(values[0])
        for value, place in zip(values, places, strict=True):
            array = _floats(value)
            if array is None or wide is None or array.shape != wide.shape:
                self.unreadable[name] = f"bad at {place}: {reprlib.repr(value)}"
                return


def _floats(value: Any) -> Array | None:
    try:
        return np.array(value, dtype=float)
    except (ValueError, TypeError):
        return None
