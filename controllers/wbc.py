r"""Whole-body control: prioritised tasks under the robot's limits as one quadratic program, 500 times a second.

With :math:`y = (\dot v, s)` and torques eliminated by :math:`\tau = M \dot v + h`,

.. math::
   \min_y \; \sum_i w_i \lVert A_i \dot v - b_i \rVert^2 + \epsilon \lVert \dot v \rVert^2 + w_s s^2
   \quad\text{s.t.}\quad
   \tau_{min} \le M \dot v + h \le \tau_{max},\;
   l(q, v) \le \dot v \le u(q, v),\;
   C \dot v + s \ge d,\; s \ge 0 .

Weights between levels are 1 : 1e-3, which lets an end effector win over posture without a strict hierarchy (for that
see `robotics.controllers.hierarchy`).

`WholeBodyController.problem` writes this down as it stands here. What runs 500 times a second is the same problem in
arrays that are kept, without the slack when nothing is near; tests hold the one to the other.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from robotics.controllers.disturbance import DisturbanceObserver
from robotics.controllers.limits import CollisionMargin, JointLimits
from robotics.controllers.model import NominalModel
from robotics.controllers.qp import QP, GuardedSolver
from robotics.controllers.qp.problem import OPEN, Rows, views
from robotics.controllers.tasks import Task
from robotics.errors import UsageError

Array = np.ndarray

#: Largest joint positions [rad, m] and velocities [rad/s, m/s] taken for a measurement; beyond it dynamics overflow.
_BELIEVABLE = 1e6


@dataclass
class WholeBodyController:
    """Turns tasks into joint torques that never exceed their limits and are never NaN."""

    model: NominalModel
    tasks: Sequence[Task]
    collision: CollisionMargin | None = None
    joint_limits: JointLimits = field(default_factory=JointLimits)
    solver: GuardedSolver = field(default_factory=GuardedSolver)
    disturbance: DisturbanceObserver | None = None
    slack_weight: float = 1e4
    regularisation: float = 1e-6
    hold_ticks: int = 5  # how long the last good torque may stand in for a solution
    fallback_damping: float = 5.0  # [N m s/rad], of the safe torque after that

    def __post_init__(self) -> None:
        self.tasks = tuple(self.tasks)
        self._workspaces: dict[int, _Workspace] = {}
        self.model_ms = 0.0  # how long the model took in the last tick
        self.reset()

    def reset(self) -> None:
        """Forget the last good torque: the robot has been put somewhere else."""
        self._last: Array | None = None
        self._held = 0
        if self.disturbance is not None:
            self.disturbance.reset()

    def solve(self, q: Array, v: Array) -> tuple[Array, Array]:
        """Joint torques (n,) [N m, N] and the accelerations (n,) they give on the nominal model, at state (q, v).

        Without a usable solution: the last good torque for `hold_ticks`, then gravity compensation with damping.
        Raises UsageError for a state of another shape; nothing else ever raises here.
        """
        if not q.shape == v.shape == (self.model.n,):
            raise UsageError(
                f"robot {self.model.spec.name} has {self.model.n} actuated joints, "
                f"but positions have shape {q.shape} and velocities {v.shape}"
            )
        if not math.hypot(*q.tolist(), *v.tolist()) <= _BELIEVABLE:  # NaN is not believable either
            self.solver.faults.nan += 1
            self.solver.faults.fallback_ticks += 1
            return self._fallback(np.zeros(self.model.n)), np.zeros(self.model.n)
        started = time.perf_counter()
        self.model.update(q, v)
        self.model_ms = (time.perf_counter() - started) * 1e3
        if self.disturbance is not None:
            self.model.h -= self.disturbance.update(self.model)
        y = self.optimum()
        if y is None:
            torque = self._fallback(v)
            acceleration = np.linalg.solve(self.model.M, torque - self.model.h)
        else:
            acceleration = y[: self.model.n]
            torque = self._clipped(self.model.M.dot(acceleration) + self.model.h)
            self._last, self._held = torque.copy(), 0
        if self.disturbance is not None:
            self.disturbance.applied(v, torque)
        return torque, acceleration

    def optimum(self) -> Array | None:
        """The accelerations (and slack) to act on at the state of the model, or None where there are none."""
        return self.solver.solve(self._write(self.tasks))

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
        A, b = self.stacked(self.tasks)
        P[:n, :n] = A.T @ A
        q[:n] = -(A.T @ b)
        P[range(n), range(n)] += self.regularisation
        P[n, n] = self.slack_weight
        return P, q

    def stacked(self, tasks: Sequence[Task]) -> tuple[Array, Array]:
        """All rows of some tasks, A (m, n) and b (m,), each times the root of its weight."""
        parts = [(np.sqrt(task.weight), *task.rows(self.model)) for task in tasks]
        return np.concatenate([w * A for w, A, _ in parts]), np.concatenate([w * b for w, _, b in parts])

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

    def _write(self, tasks: Sequence[Task]) -> QP:
        """`problem` for some of the tasks, in arrays that the next call overwrites; with a slack only where a collision
        row needs one."""
        model, n = self.model, self.model.n
        C, d = self.collision.rows(model) if self.collision is not None else (None, None)
        near = 0 if C is None else len(C)
        space = self._workspaces.get(near)
        if space is None or space.tasks is not tasks:
            space = self._workspaces[near] = _Workspace(model, tasks, near, self.slack_weight)
        for task, (A, b) in zip(tasks, space.parts, strict=True):
            task.write(A, b, model)
        space.A.T.dot(space.A, space.cost_of_motion)
        space.diagonal += self.regularisation
        space.b.dot(space.A, space.pull)
        np.negative(space.pull, out=space.pull)
        self.joint_limits.write_bounds(space.lower, space.upper, model)
        space.inertia[:] = model.M
        np.subtract(model.torque_range, model.h, out=space.torque_range)
        if near:
            space.P[:n, :n] = space.cost_of_motion
            space.gradients[:], space.clearance[:] = C, d
        return space.qp

    def _clipped(self, torque: Array) -> Array:
        return np.minimum(np.maximum(torque, self.model.torque_lower), self.model.torque_upper)


class _Workspace:
    """A problem with `near` collision rows, and views of what changes in it from tick to tick."""

    def __init__(self, model: NominalModel, tasks: Sequence[Task], near: int, slack_weight: float) -> None:
        n, self.tasks = model.n, tasks
        counts = [len(task.rows(model)[1]) for task in tasks]
        self.A, self.b, ends = np.zeros((sum(counts), n)), np.zeros(sum(counts)), np.cumsum(counts)[:-1]
        self.parts = list(zip(np.split(self.A, ends), np.split(self.b, ends), strict=True))
        size = n + 1 if near else n
        held = size + n + near
        whole, (self.P, q, matrix, bounds) = views((size, size), (size,), (n + near, size), (2, held))
        lower, upper = bounds
        lower.fill(-OPEN)
        upper.fill(OPEN)
        if near:
            self.P[n, n], lower[n] = slack_weight, 0.0
            matrix[n:, n] = 1.0
        self.cost_of_motion = np.zeros((n, n)) if near else self.P  # the product of tasks needs a contiguous array
        self.diagonal = np.einsum("ii->i", self.cost_of_motion)
        self.pull = q[:n]
        self.lower, self.upper = lower[:n], upper[:n]
        self.torque_range = bounds[:, size : size + n]
        self.inertia, self.gradients, self.clearance = matrix[:n, :n], matrix[n:, :n], lower[size + n :]
        self.qp = QP.of_rows(self.P, q, Rows(matrix, lower, upper, n_box=size, n_equal=0), whole)
