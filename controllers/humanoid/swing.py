r"""The path of a foot in the air whose target and time of landing may change at any moment.

Every period it moves along the path of least jerk from where it is to where it shall be in the time D that is left,

.. math:: \dddot p = \frac{60 (p_D - p)}{D^3} - \frac{36 \dot p + 24 \dot p_D}{D^2} - \frac{9 \ddot p}{D},

so that a new target bends the path and never makes it jump. Upwards it goes by way of a highest point.
"""

import numpy as np

Array = np.ndarray


class SwingFoot:
    """Position, velocity, acceleration (3,) of the reference for one foot, from `start` at rest."""

    #: Share of the swing at which the foot is highest.
    TOP_AT = 0.45
    #: The path is no longer bent when less time than this is left [s].
    SETTLED_S = 0.02

    def __init__(self, start: Array, height: float) -> None:
        self.position, self.velocity, self.acceleration = start.copy(), np.zeros(3), np.zeros(3)
        self._top = float(start[2]) + height

    def advance(self, target: Array, elapsed_s: float, remaining_s: float, touchdown_speed: float, dt: float) -> None:
        """One period towards `target` (3,), to be reached in `remaining_s`, sinking with `touchdown_speed` [m/s]."""
        left = max(remaining_s, self.SETTLED_S)
        to_top = self.TOP_AT * (elapsed_s + remaining_s) - elapsed_s
        end, speed, times = target.copy(), np.zeros(3), np.full(3, left)
        speed[2] = -touchdown_speed
        if to_top > self.SETTLED_S:
            end[2], speed[2], times[2] = max(self._top, float(target[2]) + 0.02), 0.0, to_top
        p, v, a = self.position, self.velocity, self.acceleration
        jerk = 60 * (end - p) / times**3 - (36 * v + 24 * speed) / times**2 - 9 * a / times
        self.position = p + dt * v + 0.5 * dt**2 * a
        self.velocity = v + dt * a + 0.5 * dt**2 * jerk
        self.acceleration = a + dt * jerk
