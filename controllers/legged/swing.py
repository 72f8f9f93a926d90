r"""The path of a foot through the air: quintic in time, with a bump in height.

.. math:: \sigma(s) = 10 s^3 - 15 s^4 + 6 s^5,\qquad z(s) = z_0 + (z_1 - z_0)\,\sigma(s) + 64\, h\, s^3 (1 - s)^3

Velocity and acceleration are zero at both ends; the bump reaches h in the middle.
"""

import numpy as np

Array = np.ndarray


def swing(start: Array, end: Array, s: Array, duration_s: float, height: float) -> tuple[Array, Array, Array]:
    """Position, velocity and acceleration (feet, 3) at progress s (feet,) in [0, 1] of a swing of `duration_s`."""
    s = s[:, None]
    way = end - start
    blend = s**3 * (10 - 15 * s + 6 * s**2)
    rate = 30 * s**2 * (1 - s) ** 2 / duration_s
    change = 60 * s * (1 - s) * (1 - 2 * s) / duration_s**2
    position, velocity, acceleration = start + way * blend, way * rate, way * change
    u = s[:, 0] * (1 - s[:, 0])  # the bump is 64 h u^3, and du/ds = 1 - 2 s
    slope = 1 - 2 * s[:, 0]
    position[:, 2] += 64 * height * u**3
    velocity[:, 2] += 192 * height * u**2 * slope / duration_s
    acceleration[:, 2] += 64 * height * (6 * u * slope**2 - 6 * u**2) / duration_s**2
    return position, velocity, acceleration
