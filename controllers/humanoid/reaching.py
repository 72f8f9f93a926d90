"""Hands on their way to a place: straight there, as fast as they may from afar and gently in the end."""

import numpy as np

from robotics.controllers.humanoid.model import BipedModel
from robotics.controllers.humanoid.settings import BipedSettings
from robotics.controllers.humanoid.wbc import PointTarget
from robotics.errors import unknown_name

Array = np.ndarray


class Hands:
    """Which of the robot's end effectors are told where to be."""

    def __init__(self, model: BipedModel, settings: BipedSettings) -> None:
        self.model, self.settings = model, settings
        self._sites = {hand.name: model.model.site(hand.site).id for hand in model.spec.end_effectors}
        self.release()

    def release(self) -> None:
        """Let all hang."""
        self._goals: dict[str, Array] = {}

    def reach(self, effector: str, goal: Array) -> None:
        """Bring one to `goal` (3,) [m] in the world. Raises UsageError for one that the robot does not have."""
        if effector not in self._sites:
            raise unknown_name(f"end effector of {self.model.spec.name}", effector, self._sites)
        self._goals[effector] = np.array(goal)

    def targets(self) -> list[PointTarget]:
        """What whole-body control shall do to bring them there, at the last update of the model."""
        return [self._target(self._sites[effector], goal) for effector, goal in self._goals.items()]

    def _target(self, site: int, goal: Array) -> PointTarget:
        s, point = self.settings, self.model.point(site)
        stiffness, damping = s.reach_gains
        wanted = _shortened(stiffness / damping * (goal - point.position), s.fastest_reach)
        acceleration = _shortened(damping * (wanted - point.velocity), s.hardest_reach)
        return PointTarget(point.jacobian, acceleration - point.rate)


def _shortened(v: Array, longest: float) -> Array:
    return v * min(1.0, longest / max(float(np.sqrt(v @ v)), 1e-12))
