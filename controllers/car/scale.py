r"""How one car's motion is drawn to the size of another.

With lengths times :math:`\lambda` and accelerations times :math:`\gamma` (what tyres can hold), a motion stays one when
speeds are multiplied by :math:`\sqrt{\lambda \gamma}` and times by :math:`\sqrt{\lambda / \gamma}`: Froude's law.
"""

from dataclasses import dataclass
from math import sqrt, tan

from robotics.controllers.car.model import CarParameters


@dataclass(frozen=True)
class Scale:
    """Of lengths and accelerations; 1 is the passenger car of `CarParameters`."""

    length: float = 1.0
    acceleration: float = 1.0

    @property
    def speed(self) -> float:
        return sqrt(self.length * self.acceleration)

    @property
    def time(self) -> float:
        return sqrt(self.length / self.acceleration)


def scale_of(car: CarParameters) -> Scale:
    """Of another car: by its wheelbase or its smallest turning circle, whichever is larger, and by its grip."""
    usual = CarParameters()
    turning = (car.wheelbase / tan(car.max_steer)) / (usual.wheelbase / tan(usual.max_steer))
    return Scale(max(car.wheelbase / usual.wheelbase, turning), car.grip / usual.grip)
