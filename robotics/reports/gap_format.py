"""How numbers of a gap are written, and the templates that write them."""

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, Template

from robotics.policies.schedule import in_words
from robotics.wording import counted


def template(name: str) -> Template:
    """A template of this folder. Everything that comes from documents is escaped."""
    environment = Environment(
        loader=PackageLoader("robotics.reports", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "percent": percent,
        "between": between,
        "points": points,
        "points_between": points_between,
        "p_value": p_value,
        "number": number,
        "in_words": in_words,
        "counted": counted,
    }
    return environment.get_template(name)


def percent(rate: float | None) -> str:
    return "–" if rate is None else f"{100 * rate:.1f} %"


def between(interval: Sequence[float] | None) -> str:
    """An interval of rates."""
    return "–" if interval is None else f"{100 * interval[0]:.1f} – {100 * interval[1]:.1f} %"


def points(difference: float | None) -> str:
    """A difference of rates, in percentage points."""
    return "–" if difference is None else f"{100 * difference:+.1f}"


def points_between(interval: Sequence[float] | None) -> str:
    return "–" if interval is None else f"{100 * interval[0]:+.1f} … {100 * interval[1]:+.1f}"


def p_value(p: float | None) -> str:
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def number(value: float | int | str | None) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
