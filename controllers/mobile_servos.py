"""The cerebellum of two hands on a base whose arms are position servos, and whose wheels keep a commanded speed."""

import math

import numpy as np

from robotics.controllers.arms import HandTarget, ServoTargets
from robotics.controllers.mobile import BaseTwist, MobileCerebellum

Array = np.ndarray


class MobileServoTargets(ServoTargets):
    """As `ServoTargets`. The first three commands are the base's speed in its own frame: ahead, to the left, turning.

    Targets of the hands are in the frame of the base, and move along with it.
    """

    cerebellum: MobileCerebellum

    def drive(self, twist: BaseTwist) -> None:
        """From the next `follow` on the base drives like that."""
        self._twist = twist

    def reset(self, q: Array) -> None:
        self._twist = BaseTwist(0.0, 0.0, 0.0)
        super().reset(q)

    def _plan(self, targets: dict[str, HandTarget]) -> None:
        self.cerebellum.drive(self._twist)
        self.cerebellum.plan(targets, with_base=True)

    def _command(self, torque: Array) -> Array:
        command = super()._command(torque)
        speed = self.v[:3] + torque[:3] / self._gain[:3]
        c, s = math.cos(self.q[2]), math.sin(self.q[2])
        command[:3] = c * speed[0] + s * speed[1], c * speed[1] - s * speed[0], speed[2]
        return command

    def _stay_near(self, q_measured: Array, leash: float = 0.3) -> None:
        """The base is where it is measured: a servo of speed does not know its place."""
        self.q[:3] = q_measured[:3]
        super()._stay_near(q_measured, leash)
