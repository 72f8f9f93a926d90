"""A radar picture as SVG: no script, no font, no network; colours follow the reader's light or dark theme."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_RADIUS, _MIDDLE = 150.0, (330.0, 220.0)
_WIDTH, _HEIGHT = 660, 440
_RINGS = (0.25, 0.5, 0.75, 1.0)
#: A label this many pixels outside the last ring.
_LABEL = 16.0
_STYLE = (
    "svg{color:#1b1f27}@media(prefers-color-scheme:dark){svg{color:#e8eaed}}"
    "text{font:13px system-ui,sans-serif;fill:currentColor}.faint{stroke:#98a2b3;fill:none;stroke-opacity:.45}"
    ".small{font-size:11px;fill:#808894}.nominal{stroke:#808894;fill:none;stroke-dasharray:5 4}"
    ".area{fill:#3b82f6;fill-opacity:.18;stroke:#3b82f6;stroke-width:2}.dot{fill:#3b82f6}"
    ".whisker{stroke:#3b82f6;stroke-width:2.5;stroke-opacity:.55}"
)


@dataclass(frozen=True)
class Spoke:
    """A rate in [0, 1] and its interval."""

    name: str
    rate: float
    interval: tuple[float, float]


def radar(spokes: Sequence[Spoke], nominal: float, title: str) -> str:
    """The picture as text; '' for fewer than three spokes, of which no area can be made.

    The dashed circle is `nominal`; whiskers are the intervals.
    """
    if len(spokes) < 3:
        return ""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(title, _QUOTES)}"><title>{escape(title)}</title><style>{_STYLE}</style>'
    ]
    for ring in _RINGS:
        parts.append(_circle(ring, "faint"))
        if ring < 1:  # the outermost would lie under the first label
            x, y = _MIDDLE[0] + 4, _MIDDLE[1] - ring * _RADIUS - 3
            parts.append(f'<text class="small" x="{x:.1f}" y="{y:.1f}">{ring:.0%}</text>')
    parts.append(_circle(nominal, "nominal"))
    angles = [2 * math.pi * number / len(spokes) for number in range(len(spokes))]
    corners = " ".join("{:.1f},{:.1f}".format(*_at(a, s.rate)) for a, s in zip(angles, spokes, strict=True))
    parts.append(f'<polygon class="area" points="{corners}"/>')
    for angle, spoke in zip(angles, spokes, strict=True):
        parts += _spoke(angle, spoke)
    return "".join([*parts, "</svg>"])


_QUOTES = {'"': "&quot;"}


def _spoke(angle: float, spoke: Spoke) -> list[str]:
    low, high = (_at(angle, bound) for bound in spoke.interval)
    x, y = _at(angle, spoke.rate)
    edge, label = _at(angle, 1.0), _at(angle, 1.0 + _LABEL / _RADIUS)
    side = math.sin(angle)
    anchor = "middle" if abs(side) < 0.2 else "start" if side > 0 else "end"
    return [
        f'<line class="faint" x1="{_MIDDLE[0]}" y1="{_MIDDLE[1]}" x2="{edge[0]:.1f}" y2="{edge[1]:.1f}"/>',
        f'<line class="whisker" x1="{low[0]:.1f}" y1="{low[1]:.1f}" x2="{high[0]:.1f}" y2="{high[1]:.1f}"/>',
        f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4"/>',
        f'<text x="{label[0]:.1f}" y="{label[1] + 4:.1f}" text-anchor="{anchor}">{escape(spoke.name)} '
        f"{spoke.rate:.0%}</text>",
    ]


def _circle(rate: float, kind: str) -> str:
    return f'<circle class="{kind}" cx="{_MIDDLE[0]}" cy="{_MIDDLE[1]}" r="{rate * _RADIUS:.1f}"/>'


def _at(angle: float, rate: float) -> tuple[float, float]:
    """Where `rate` lies on the spoke at `angle` from the top, clockwise."""
    return _MIDDLE[0] + rate * _RADIUS * math.sin(angle), _MIDDLE[1] - rate * _RADIUS * math.cos(angle)
