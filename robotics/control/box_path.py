"""The way of a box that two hands carry: up from where it stands, and around a closed curve in space."""

import math
from collections.abc import Sequence

import numpy as np

from robotics.control.circle import turned
from robotics.controllers.rotation import rotated, rotation_matrix
from robotics.controllers.tasks import Reference

Array = np.ndarray


class BoxPath:
    """From `start`, an upright pose whose x axis lies from hand to hand: by `lift` (3,) [m] in its axes, then around,
    to its left for `side` 1, to its right for -1."""

    SETTLE_S, LIFT_S, RATE = 1.0, 2.0, 1 / 6

    def __init__(self, start: Reference, lift: Array, side: float = 1.0) -> None:
        self.start = start
        self._turn = rotation_matrix(start.quat)
        self._lift, self._side = self._turn @ lift, side

    def at(self, t: float) -> Reference:
        """The box so many seconds after it was grasped."""
        lift, circle = self.SETTLE_S, self.SETTLE_S + self.LIFT_S
        if t < lift:
            return self.start
        if t < circle:
            return self._lifting((t - lift) / self.LIFT_S)
        return self.around(t - circle)

    def milestones(self) -> Sequence[Reference]:
        """What has to be reached: the lift's end, and eight places around."""
        return [self.around(0.0), *(self.around(1.5 + k / 8 / self.RATE) for k in range(8))]

    def _lifting(self, s: float) -> Reference:
        """Up, along the quintic of least jerk."""
        up = self._lift
        velocity, acceleration = np.zeros(6), np.zeros(6)
        velocity[:3] = up * (30 * s**2 - 60 * s**3 + 30 * s**4) / self.LIFT_S
        acceleration[:3] = up * (60 * s - 180 * s**2 + 120 * s**3) / self.LIFT_S**2
        position = self.start.position + up * (10 * s**3 - 15 * s**4 + 6 * s**5)
        return Reference(position, self.start.quat, velocity, acceleration)

    def around(self, t: float) -> Reference:
        """Around a closed curve in space, once in six seconds, with the box turning to and fro."""
        angle, rate, change = turned(t, self.RATE, 1.5)
        s, c, s2, c2 = math.sin(angle), math.cos(angle), math.sin(2 * angle), math.cos(2 * angle)
        y = 0.06 * self._side
        place = np.array([0.05 * s, y * (1 - c), 0.02 * s2, 0, 0, 0.15 * s])
        slope = np.array([0.05 * c, y * s, 0.04 * c2, 0, 0, 0.15 * c])
        bend = np.array([-0.05 * s, y * c, -0.08 * s2, 0, 0, -0.15 * s])
        for row in (place, slope, bend):
            row[:3] = self._turn @ row[:3]
        position = self.start.position + self._lift + place[:3]
        return Reference(position, rotated(self.start.quat, place[3:]), rate * slope, change * slope + rate**2 * bend)
