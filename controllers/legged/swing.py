r"""The path of a foot through the air: quintic in time, with a bump in height.

.. math:: \sigma(s) = 10 s^3 - 15 s^4 + 6 s^5,\qquad z(s) = z_0 + (z_1 - z_0)\,\sigma(s) + 64\, h\, s^3 (1 - s)^3

Velocity and acceleration are zero at both ends; the bump reaches h in the middle.
"""

import numpy as np

Array = np.ndarray

_POWERS = np.arange(7)
#: Coefficients of the powers of s in: sigma, its first and second derivative, the bump for h = 1, and its derivatives.
_POLYNOMIALS = np.array(
    [
        [0, 0, 0, 10, -15, 6, 0],
        [0, 0, 30, -60, 30, 0, 0],
        [0, 60, -180, 120, 0, 0, 0],
        [0, 0, 0, 64, -192, 192, -64],
        [0, 0, 192, -768, 960, -384, 0],
        [0, 384, -2304, 3840, -1920, 0, 0],
    ],
    float,
).T


def swing(start: Array, end: Array, s: Array, duration_s: float, height: float) -> tuple[Array, Array, Array]:
    """Position, velocity and acceleration (feet, 3) at progress s (feet,) in [0, 1] of a swing of `duration_s`."""
    way = end - start
    blend, rate, change, bump, rise, bend = (s[:, None] ** _POWERS @ _POLYNOMIALS).T
    position = start + blend[:, None] * way
    velocity = (rate / duration_s)[:, None] * way
    acceleration = (change / duration_s**2)[:, None] * way
    position[:, 2] += height * bump
    velocity[:, 2] += height / duration_s * rise
    acceleration[:, 2] += height / duration_s**2 * bend
    return position, velocity, acceleration
