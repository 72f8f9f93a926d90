"""Where the robot is and how fast, by the Kalman filter of `controllers.legged`: a sole counts as two of its balls.

All balls of a sole move together, so more of them teach nothing new of the joints; two that lie across from each other
still feel whether it is the toe or the heel that has left the ground. With four points instead of eight the filter
takes a third of the time.
"""

from dataclasses import replace

import mujoco
import numpy as np

from robotics.controllers.humanoid.model import BipedModel
from robotics.controllers.legged.estimator import EstimatorSettings, LeggedEstimator, LeggedMeasurement
from robotics.controllers.legged.model import LeggedState
from robotics.controllers.robot_spec import RobotSpec

Array = np.ndarray

#: Flat feet neither roll nor creep, so the legs tell where the base is to within what their encoders and the inertial
#: unit say, and the velocity follows the accelerometer more closely than on the round feet of a quadruped.
FLAT_FEET = EstimatorSettings(foot_drift=1e-5, foot_position=0.002, velocity_drift=0.02)


class BipedEstimator:
    """Turns measurements into a `LeggedState`. Call `update` every `period_s`."""

    def __init__(
        self, model: mujoco.MjModel, spec: RobotSpec, period_s: float, settings: EstimatorSettings = FLAT_FEET
    ) -> None:
        corners = BipedModel(model, spec).corners
        per_foot = corners.shape[1]
        self._picked = [per_foot * foot + ball for foot, balls in enumerate(corners) for ball in _furthest_apart(balls)]
        feet = tuple(spec.feet[ball] for ball in self._picked)
        self._filter = LeggedEstimator(model, replace(spec, feet=feet), period_s, settings)

    def reset(self, state: LeggedState) -> None:
        """Begin at a known `state`, standing."""
        self._filter.reset(state)

    def update(self, measured: LeggedMeasurement, contact: Array) -> LeggedState:
        """The state after one more period, with the balls in `contact` (feet,) standing; `touch` is all balls' own."""
        touch = measured.touch
        if touch is None:
            return self._filter.update(measured, contact[self._picked])
        state = self._filter.update(replace(measured, touch=touch[self._picked]), contact[self._picked])
        return replace(state, touch=touch)


def _furthest_apart(balls: Array) -> tuple[int, int]:
    """Indices of the two of `balls` (corners, 3) that are furthest from each other."""
    apart = np.linalg.norm(balls[:, None] - balls[None], axis=2)
    first, second = np.unravel_index(int(apart.argmax()), apart.shape)
    return int(first), int(second)
