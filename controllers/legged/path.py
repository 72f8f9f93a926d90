"""The way that a commanded velocity describes, and how a robot that was pushed off it comes back."""

import cmath
import math
from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class PathSettings:
    """How far the reference runs ahead, and how hard it pulls."""

    max_pull: float = 0.2  # distance ahead of the robot that a plan gets to see [m]
    max_turn: float = 0.5  # the same for the heading [rad]
    leash: tuple[float, float] = (2.0, 1.5)  # how far off the robot still means to return [m], [rad]
    along: float = 0.05  # how far ahead on its way the reference may run [m]
    gain: float = 1.0  # speed back to the path per distance from it [1/s]
    max_return: float = 0.5  # [m/s]


class Path:
    """A point and a heading that move as commanded, and wait for a robot that is held back.

    Attributes:
        pull: the way to the point, (2,) [m], at most `max_pull` long: no error pulls ever harder.
        back: velocity towards the point, x + iy [m/s].
        heading: where the robot shall face, within `max_turn` of where it does [rad].
    """

    def __init__(self, settings: PathSettings, position: Array, heading: float) -> None:
        self.settings = settings
        self.pull, self.back, self.heading = np.zeros(2), 0j, heading
        self._point, self._heading = complex(*position), heading

    def advance(self, vx: float, vy: float, wz: float, position: Array, heading: float, dt: float) -> None:
        """Move on by `dt` [s] at the commanded velocity; the robot is at `position` (2,) and faces `heading`."""
        s, here = self.settings, complex(*position)
        course = complex(vx, vy) * cmath.rect(1.0, self._heading)
        away = self._point + dt * course - here
        if course:  # time lost is lost: making up for it would be another speed than was asked for
            along = (away / course).real * abs(course)
            away -= (along - _clipped(along, s.along)) * course / abs(course)
        distance = max(abs(away), 1e-9)
        self._point = here + away * min(1.0, s.leash[0] / distance)
        pull = away * min(1.0, s.max_pull / distance)
        self.pull = np.array([pull.real, pull.imag])
        self.back = away * min(s.gain, s.max_return / distance)
        ahead = math.remainder(self._heading + dt * wz - heading, 2 * math.pi)
        self._heading = heading + _clipped(ahead, s.leash[1])
        self.heading = heading + _clipped(ahead, s.max_turn)


def _clipped(value: float, limit: float) -> float:
    return min(max(value, -limit), limit)
