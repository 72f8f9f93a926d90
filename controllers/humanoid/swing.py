r"""The path of a foot in the air whose target and time of landing may change at any moment.

Every period it moves along the path of least jerk from where it is to where it shall be in the time D that is left,

.. math:: \dddot p = \frac{60 (p_D - p)}{D^3} - \frac{36 \dot p + 24 \dot p_D}{D^2} - \frac{9 \ddot p}{D},

so that a new target bends the path and never makes it jump. Upwards it goes by way of a highest point.
"""

from collections.abc import Sequence


class SwingFoot:
    """Position, velocity, acceleration (3,) of the reference for one foot, from `start` at rest. Plain floats: three
    numbers are too few for arrays to pay, and every tick comes by here."""

    #: Share of the swing at which the foot is highest.
    TOP_AT = 0.45
    #: The path is no longer bent when less time than this is left [s].
    SETTLED_S = 0.02

    def __init__(self, start: Sequence[float], height: float) -> None:
        self.position, self.velocity, self.acceleration = [float(x) for x in start], [0.0] * 3, [0.0] * 3
        self._top = self.position[2] + height

    def advance(
        self, target: Sequence[float], elapsed_s: float, remaining_s: float, touchdown_speed: float, dt: float
    ) -> None:
        """One period towards `target` (3,), to be reached in `remaining_s`, sinking with `touchdown_speed` [m/s]."""
        x, y, z = target
        left = max(remaining_s, self.SETTLED_S)
        to_top = self.TOP_AT * (elapsed_s + remaining_s) - elapsed_s
        self._move(0, x, 0.0, left, dt)
        self._move(1, y, 0.0, left, dt)
        if to_top > self.SETTLED_S:
            self._move(2, max(self._top, z + 0.02), 0.0, to_top, dt)
        else:
            self._move(2, z, -touchdown_speed, left, dt)

    def _move(self, axis: int, end: float, speed: float, left: float, dt: float) -> None:
        p, v, a = self.position[axis], self.velocity[axis], self.acceleration[axis]
        jerk = 60 * (end - p) / left**3 - (36 * v + 24 * speed) / left**2 - 9 * a / left
        self.position[axis] = p + dt * v + 0.5 * dt**2 * a
        self.velocity[axis] = v + dt * a + 0.5 * dt**2 * jerk
        self.acceleration[axis] = a + dt * jerk
