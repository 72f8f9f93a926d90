r"""Two front wheels that turn about one point (Ackermann), and whatever joints of a model turn them.

For a single track of wheelbase L steered by :math:`\delta`, the left and the right wheel, half a track w to either
side, stand at :math:`\tan\delta_{l,r} = \frac{L \tan\delta}{L \mp w \tan\delta}` (Rajamani, "Vehicle Dynamics and
Control", ch. 2). Angles are in rad, to the left.
"""

from dataclasses import dataclass

import numpy as np

Array = np.ndarray


def wheel_angles(steer: Array | float, wheelbase: float, half_track: float) -> tuple[Array, Array]:
    """Steering angles of the left and the right front wheel (...,)."""
    t = np.tan(steer)
    return np.arctan2(wheelbase * t, wheelbase - half_track * t), np.arctan2(wheelbase * t, wheelbase + half_track * t)


def steering_angle(left: Array | float, right: Array | float, wheelbase: float, half_track: float) -> Array:
    """The steering angle of a single track between two front wheels (...,): the mean of their curvatures."""
    tl, tr = np.tan(left), np.tan(right)
    curvature = (tl / (wheelbase + half_track * tl) + tr / (wheelbase - half_track * tr)) / 2
    return np.arctan(wheelbase * curvature)


@dataclass(frozen=True)
class Ackermann:
    """Each front wheel has a hinge and an actuator of its own. Positions are those of the joints, left and right."""

    wheelbase: float
    half_track: float
    signs: tuple[float, float] = (1.0, 1.0)  # of the hinges' axes, upwards or downwards
    straight: tuple[float, float] = (0.0, 0.0)  # positions of the hinges straight ahead

    def positions(self, steer: float) -> Array:
        """Where the two joints shall be (2,)."""
        return np.array(self.straight) + self.signs * np.array(wheel_angles(steer, self.wheelbase, self.half_track))

    def angles(self, hinges: Array) -> Array:
        """How far the left and the right wheel are turned by hinges at these positions (2,)."""
        return self.signs * (hinges - np.array(self.straight))

    def steer(self, hinges: Array) -> float:
        """The steering angle of hinges at these positions (2,)."""
        left, right = self.angles(hinges)
        return float(steering_angle(left, right, self.wheelbase, self.half_track))


@dataclass(frozen=True)
class Beam:
    """One hinge turns the whole front axle."""

    sign: float
    straight: float

    def positions(self, steer: float) -> Array:
        return np.array([self.straight + self.sign * steer])

    def angles(self, hinges: Array) -> Array:
        return np.full(2, self.steer(hinges))

    def steer(self, hinges: Array) -> float:
        return float(self.sign * (hinges[0] - self.straight))


@dataclass(frozen=True)
class Linkage:
    """One actuated joint turns both wheels: its positions (k,) for steering angles (k,) that rise, and the wheels'."""

    steers: Array
    sources: Array
    wheels: Ackermann
    pins: int = 2  # how many hinges there are; 1 for a beam

    def positions(self, steer: float) -> Array:
        return np.array([np.interp(steer, self.steers, self.sources)])

    def angles(self, hinges: Array) -> Array:
        return self.wheels.angles(np.broadcast_to(hinges, 2))

    def steer(self, hinges: Array) -> float:
        return self.wheels.steer(np.broadcast_to(hinges, 2))


Steering = Ackermann | Beam | Linkage


def hinges(steering: Steering, steer: float) -> Array:
    """Positions of the hinges that turn the wheels, whatever moves them, at a steering angle (2,), (1,) for a beam."""
    if isinstance(steering, Linkage):
        positions = steering.wheels.positions(steer)
        return positions if steering.pins == 2 else positions[:1]
    return steering.positions(steer)
