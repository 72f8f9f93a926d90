"""`--time-budget`: how long a training may take, over all calls that continue it."""

import re

from robotics.errors import UsageError

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


#: What takes longer than this on a CPU is said to, at the beginning [s].
LONG_S = 3600.0


def takes_hours(left_s: float, step_s: float, sees: bool) -> str:
    """The note of a training that a CPU takes hours for; `sees` when it looks through cameras."""
    vectors = ", --inputs without cameras" if sees else ""
    return (
        f"note: about {left_s / 3600:.1f} hours to go on this CPU, at {step_s:.2g} s a step: fewer --steps, a "
        f"--time-budget, --preset small{vectors} or a GPU make it shorter"
    )


def parse_duration(text: str) -> float:
    """Seconds that `90s`, `30m`, `1.5h` or a bare number of seconds spell; UsageError for anything else."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", text)
    if not match or float(match[1]) == 0:
        raise UsageError(f"--time-budget {text!r} is no duration; write 90s, 30m or 8h")
    return float(match[1]) * _UNITS[match[2]]


def on_top(episodes: int) -> str:
    """The note of a training whose end is measured, when its budget is over."""
    return f"note: --time-budget is for training; the evaluation at its end, --eval-episodes {episodes}, comes on top"


def used_up(elapsed_s: float, budget_s: float) -> str:
    """The note of a training that is continued with nothing left of its budget."""
    spent = f"{elapsed_s:.0f} s of {budget_s:.0f} s"
    return f"note: the time budget is used up ({spent}, over all calls): give a larger one"
