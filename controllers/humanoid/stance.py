"""A home to walk from: where legs are straight they can neither push nor reach, so their knees are bent."""

from collections.abc import Sequence
from dataclasses import replace

import mujoco
import numpy as np

from robotics.controllers.humanoid.model import BipedModel
from robotics.controllers.robot_spec import RobotSpec
from robotics.controllers.rotation import log_between
from robotics.errors import UsageError

Array = np.ndarray

#: How much further up the base must be able to go from home, of the height of the centre of mass, and by how much it is
#: lowered at most and at a time.
RISE, LOWEST, STEP = 0.03, 0.1, 0.01
#: How far to either side the base must go above feet that stand, to put the weight on one of them: of the height.
SHIFT = 0.05
#: How well feet stay where they are while it moves: of the height, and [rad].
MISSED = 1e-3
_STARTS, _BENT, _ITERATIONS, _DAMPING = 8, 0.5, 60, 1e-3


def ready_to_walk(model: mujoco.MjModel, spec: RobotSpec) -> RobotSpec:
    """`spec` as it is, or with a `home` in which the base is just so much lower that it could rise by a few hundredths
    of its height; the feet stay where they stand. As it is, too, where no such home is found."""
    legs = _Legs(BipedModel(model, spec))
    if legs.reach((0, 0, RISE)) is not None:
        return spec
    for lower in np.arange(STEP, LOWEST, STEP):
        if legs.reach((0, 0, RISE - lower)) is not None:
            home = legs.reach((0, 0, -lower))
            return spec if home is None else replace(spec, home=tuple(home.tolist()))
    return spec


def require_weight_shift(model: mujoco.MjModel, spec: RobotSpec) -> None:
    """Raise UsageError for a robot that can not lift a foot, since it can not lean over the other one."""
    legs = _Legs(BipedModel(model, spec))
    if any(legs.reach((0, side * SHIFT, 0)) is None for side in (-1, 1)):
        raise UsageError(
            f"robot {spec.name} can stand and squat, but not step: with both soles flat, its base does not move "
            "sideways; that takes joints that roll, at hips and at ankles"
        )


class _Legs:
    """Both legs, under a base that moves above its feet."""

    def __init__(self, model: BipedModel) -> None:
        self.model, self.home = model, model.home()
        model.update(self.home)
        self._feet, self._quats = model.feet.copy(), model.foot_quats.copy()
        self._height = float(model.com[2] - model.feet[:, 2].mean())
        self._ways = [np.flatnonzero(way) for way in np.abs(model.jacobians[:, :, 6:]).max(axis=1) > 1e-9]
        self._lower = np.where(np.isfinite(model.position_lower), model.position_lower, -np.pi)
        self._upper = np.where(np.isfinite(model.position_upper), model.position_upper, np.pi)

    def reach(self, moved: Sequence[float]) -> Array | None:
        """Joint positions (n,) with the base `moved` (3,) times its height, nearest to home of those found."""
        rng, joints = np.random.default_rng(0), np.unique(np.concatenate(self._ways))
        found = []
        for number in range(_STARTS):
            start = self.home.q.copy()
            if number:  # from a straight leg no way leads down
                start[joints] += rng.uniform(-_BENT, _BENT, len(joints))
            q = self._descend(start, self.home.position + self._height * np.array(moved))
            if q is not None:
                found.append(q)
        return min(found, key=lambda q: float(np.square(q - self.home.q).sum()), default=None)

    def _descend(self, q: Array, base: Array) -> Array | None:
        """Damped least squares from `q`; None where the feet do not get back to where they stand."""
        model, scale = self.model, np.repeat([1 / self._height, 1.0], 3)
        for _ in range(_ITERATIONS):
            model.update(replace(self.home, position=base, q=q))
            step = np.zeros(model.n)
            missed = 0.0
            for foot, way in enumerate(self._ways):
                turn = log_between(model.foot_quats[foot], self._quats[foot])
                error = scale * np.concatenate([self._feet[foot] - model.feet[foot], turn])
                J = scale[:, None] * model.jacobians[foot][:, 6 + way]
                step[way] += np.linalg.solve(J.T @ J + _DAMPING * np.eye(len(way)), J.T @ error)
                missed = max(missed, float(np.abs(error).max()))
            if missed < MISSED:
                return q
            q = np.clip(q + np.clip(step, -0.3, 0.3), self._lower, self._upper)
        return None
