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
    blend = s**3 * (10 - 15 * s + 6 * s**2)
    rate = 30 * s**2 * (1 - s) ** 2 / duration_s
    change = 60 * s * (1 - s) * (1 - 2 * s) / duration_s**2
    position = [a + blend * (b - a) for a, b in zip(start, end, strict=True)]
    velocity = [rate * (b - a) for a, b in zip(start, end, strict=True)]
    acceleration = [change * (b - a) for a, b in zip(start, end, strict=True)]
    u, slope = s * (1 - s), 1 - 2 * s  # the bump is 64 h u^3, and du/ds = 1 - 2 s
    position[2] += 64 * height * u**3
    velocity[2] += 192 * height * u**2 * slope / duration_s
    acceleration[2] += 64 * height * (6 * u * slope**2 - 6 * u**2) / duration_s**2
    return position, velocity, acceleration
