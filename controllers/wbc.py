r"""Whole-body control: prioritised tasks under the robot's limits as one quadratic program, 500 times a second.

With :math:`y = (\dot v, s)` and torques eliminated by :math:`\tau = M \dot v + h`,

.. math::
   \min_y \; \sum_i w_i \lVert A_i \dot v - b_i \rVert^2 + \epsilon \lVert \dot v \rVert^2 + w_s s^2
   \quad\text{s.t.}\quad
   \tau_{min} \le M \dot v + h \le \tau_{max},\;
   l(q, v) \le \dot v \le u(q, v),\;
   C \dot v + s \ge d,\; s \ge 0 .

Weights between levels are 1 : 1e-3, which lets an end effector win over posture without a strict hierarchy.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from robotics.controllers.limits import CollisionMargin, JointLimits
from robotics.controllers.model import NominalModel
from robotics.controllers.qp import QP, GuardedSolver
from robotics.controllers.tasks import Task
from robotics.errors import UsageError

Array = np.ndarray

#: Largest joint position [rad, m] or velocity [rad/s, m/s] taken for a measurement; beyond it dynamics overflow.
_BELIEVABLE = 1e6


@dataclass
class WholeBodyController:
    """Turns tasks into joint torques that never exceed their limits and are never NaN."""

    model: NominalModel
    tasks: Sequence[Task]
    collision: CollisionMargin | None = None
    joint_limits: JointLimits = field(default_factory=JointLimits)
    solver: GuardedSolver = field(default_factory=GuardedSolver)
    slack_weight: float = 1e4
    regularisation: float = 1e-6
    hold_ticks: int = 5  # how long the last good torque may stand in for a solution
    fallback_damping: float = 5.0  # [N m s/rad], of the safe torque after that

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the last good torque: the robot has been put somewhere else."""
        self._last: Array | None = None
        self._held = 0

    def solve(self, q: Array, v: Array) -> tuple[Array, Array]:
        """Joint torques (n,) [N m, N] and the accelerations (n,) they give on the nominal model, at state (q, v).

        Without a usable solution: the last good torque for `hold_ticks`, then gravity compensation with damping.
        Raises UsageError for a state of another shape; nothing else ever raises here.
        """
        if np.shape(q) != (self.model.n,) or np.shape(v) != (self.model.n,):
            raise UsageError(
                f"robot {self.model.spec.name} has {self.model.n} actuated joints, "
                f"but positions have shape {np.shape(q)} and velocities {np.shape(v)}"
            )
        if not (np.abs(q).max() <= _BELIEVABLE and np.abs(v).max() <= _BELIEVABLE):  # NaN is not believable either
            self.solver.faults.nan += 1
            self.solver.faults.fallback_ticks += 1
            return self._fallback(np.zeros(self.model.n)), np.zeros(self.model.n)
        self.model.update(q, v)
        y = self.solver.solve(self.problem())
        if y is None:
            torque = self._fallback(v)
            return torque, np.linalg.solve(self.model.M, torque - self.model.h)
        acceleration = y[: self.model.n]
        self._last, self._held = self._clipped(self.model.M @ acceleration + self.model.h), 0
        return self._last.copy(), acceleration

    def _fallback(self, v: Array) -> Array:
        self._held += 1
        if self._last is not None and self._held <= self.hold_ticks:
            return self._last.copy()
        return self._clipped(self.model.h - self.fallback_damping * v)

    def problem(self) -> QP:
        """The quadratic program at the state that the model was last updated to."""
        n = self.model.n
        P, q = self._objective()
        lower, upper = self.joint_limits.bounds(self.model)
        G, g, h = self._rows()
        return QP(
            P=P,
            q=q,
            G=G,
            g=g,
            h=h,
            lower=np.concatenate([lower, np.zeros(P.shape[0] - n)]),
            upper=np.concatenate([upper, np.full(P.shape[0] - n, np.inf)]),
        )

    def _objective(self) -> tuple[Array, Array]:
        n = self.model.n
        P = np.zeros((n + 1, n + 1))
        q = np.zeros(n + 1)
        # All tasks stacked, each row times the root of its weight: one matrix product instead of one per task
        stacked = [(np.sqrt(task.weight), *task.rows(self.model)) for task in self.tasks]
        A = np.concatenate([root * rows for root, rows, _ in stacked])
        b = np.concatenate([root * target for root, _, target in stacked])
        P[:n, :n] = A.T @ A
        q[:n] = -(A.T @ b)
        P[range(n), range(n)] += self.regularisation
        P[n, n] = self.slack_weight
        return P, q

    def _rows(self) -> tuple[Array, Array, Array]:
        """Torque rows, then collision rows: g <= G y <= h."""
        model, n = self.model, self.model.n
        torque = np.concatenate([model.M, np.zeros((n, 1))], axis=1)
        g, h = model.torque_lower - model.h, model.torque_upper - model.h
        if self.collision is None:
            return torque, g, h
        C, d = self.collision.rows(model)
        near = np.concatenate([C, np.ones((len(C), 1))], axis=1)
        return (
            np.concatenate([torque, near]),
            np.concatenate([g, d]),
            np.concatenate([h, np.full(len(C), np.inf)]),
        )

    def _clipped(self, torque: Array) -> Array:
        return np.clip(torque, self.model.torque_lower, self.model.torque_upper)
