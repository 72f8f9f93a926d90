r"""The path of a foot through the air: quintic in time, with a bump in height.

.. math:: \sigma(s) = 10 s^3 - 15 s^4 + 6 s^5,\qquad z(s) = z_0 + (z_1 - z_0)\,\sigma(s) + 64\, h\, s^3 (1 - s)^3

Velocity and acceleration are zero at both ends; the bump reaches h in the middle.
"""

from collections.abc import Sequence

Vector = list[float]


def swing(
    start: Sequence[float], end: Sequence[float], s: float, duration_s: float, height: float
) -> tuple[Vector, Vector, Vector]:
    """Position, velocity and acceleration (3,) of one foot at progress s in [0, 1] of a swing of `duration_s`.

    Plain floats: three numbers are too few for arrays to pay, and every tick comes by here.
    """
    (x, y, z), (to_x, to_y, to_z), u = start, end, s * (1 - s)
    dx, dy, dz, slope = to_x - x, to_y - y, to_z - z, 1 - 2 * s
    blend, rate, change = s * s * s * (10 - 15 * s + 6 * s * s), 30 * u * u / duration_s, 60 * u * slope / duration_s**2
    bump = 64 * height * u  # the bump is 64 h u^3, and du/ds = 1 - 2 s
    rising, curving = 3 * bump * u * slope / duration_s, 6 * bump * (slope * slope - u) / duration_s**2
    return (
        [x + blend * dx, y + blend * dy, z + blend * dz + bump * u * u],
        [rate * dx, rate * dy, rate * dz + rising],
        [change * dx, change * dy, change * dz + curving],
    )
