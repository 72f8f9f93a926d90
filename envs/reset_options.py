"""What a user may ask of an instance at `reset(options=…)`, checked."""

from collections.abc import Collection, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from robotics.errors import UsageError, unknown_name


class ResetOptions:
    """Part of every task: one option each, or what was drawn where it is not given."""

    @staticmethod
    def refuse_options(options: Mapping[str, Any], *known: str) -> None:
        """UsageError for a reset option that is not among the `known`."""
        for name in options:
            if name not in known:
                raise unknown_name("reset option", name, known)

    @staticmethod
    def pose_option(options: Mapping[str, Any], name: str, drawn: Sequence[float]) -> list[float]:
        """The x, y and yaw [m, rad] of a reset option, or those that were `drawn` where it is not given."""
        try:
            x, y, yaw = (float(value) for value in options.get(name, drawn))
        except (TypeError, ValueError):
            x = y = yaw = np.nan
        if not np.isfinite([x, y, yaw]).all():
            raise UsageError(f"reset option {name} {options[name]!r}: give x, y and yaw, three numbers [m, rad]")
        return [x, y, yaw]

    @staticmethod
    def name_option(options: Mapping[str, Any], name: str, drawn: str, choices: Collection[str]) -> str:
        """The reset option, one of the `choices`, or the one that was `drawn` where it is not given."""
        chosen = options.get(name, drawn)
        if not isinstance(chosen, str) or chosen not in choices:
            raise unknown_name(name, chosen, choices)
        return chosen

    @staticmethod
    def number_option(options: Mapping[str, Any], name: str, drawn: float) -> float:
        """The reset option, one number, or the one that was `drawn` where it is not given."""
        number = options.get(name, drawn)
        if isinstance(number, bool) or not isinstance(number, Real):
            raise UsageError(f"reset option {name} {number!r}: give one number")
        return float(number)
