r"""Strictly prioritised whole-body control: a cascade of quadratic programs, each in what the ones before leave free.

Level k of :math:`1 \dots K` looks for :math:`\dot v_k = \dot v_{k-1} + N_{k-1} z` (Escande, Mansard and Wieber, IJRR
2014, in its null-space form), with

.. math::
   \min_z \; \lVert A_k (\dot v_{k-1} + N_{k-1} z) - b_k \rVert^2 + \epsilon \lVert z \rVert^2
   \quad\text{s.t.}\quad
   \tau_{min} \le M \dot v_k + h \le \tau_{max},\;
   l \le \dot v_k \le u,\;
   C \dot v_k + s \ge d ,

where the columns of :math:`N_{k-1}` span the null space of :math:`A_1 \dots A_{k-1}`, so that no level changes what an
earlier one has reached: not by a weight that is small, but at all. Every level keeps all limits; z = 0 always does, so
a lower level never makes the problem infeasible. The slack s of the collision margin belongs to the first level.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from robotics.controllers.qp import QP
from robotics.controllers.qp.problem import OPEN, Rows
from robotics.controllers.tasks import Task
from robotics.controllers.wbc import WholeBodyController
from robotics.errors import UsageError

Array = np.ndarray

#: Singular values below this share of the largest are directions that a level can not move in.
_RANK_TOLERANCE = 1e-5


@dataclass
class HierarchicalController(WholeBodyController):
    """A `WholeBodyController` whose `levels` come strictly one before the other; weights only count within a level.

    Raises UsageError unless `tasks` are those of `levels`, one to four of them.
    """

    levels: Sequence[Sequence[Task]] = field(default=())

    def __post_init__(self) -> None:
        if not 1 <= len(self.levels) <= 4 or not all(self.levels):
            raise UsageError(f"a hierarchy has one to four levels with tasks, not {[len(x) for x in self.levels]}")
        self.tasks = [task for level in self.levels for task in level]
        super().__post_init__()

    def optimum(self) -> Array | None:
        """The accelerations (n,) to act on at the state of the model, or None where the first level has none."""
        n, y = self.model.n, self.solver.solve(self._write(self.levels[0]))
        if y is None:
            return None
        rows = self._limits(float(y[n]) if len(y) > n else 0.0)
        motion, free = y[:n].copy(), np.eye(n)
        for done, level in zip(self.levels, self.levels[1:], strict=False):
            free = free @ _null_space(self.stacked(done)[0] @ free)
            if not free.shape[1]:
                break
            z = self.solver.solve(self._level(level, motion, free, rows))
            if z is not None:  # what the levels before it want is fine without it
                motion += free @ z
        return motion

    def _limits(self, slack: float) -> Rows:
        """Every row that all levels keep, over the accelerations: bounds, torques, collisions."""
        G, g, h = self._rows()
        n = self.model.n
        lower, upper = self.joint_limits.bounds(self.model)
        g = g - slack * G[:, n]
        return Rows(np.concatenate([np.eye(n), G[:, :n]]), np.concatenate([lower, g]), np.concatenate([upper, h]), 0, 0)

    def _level(self, tasks: Sequence[Task], motion: Array, free: Array, limits: Rows) -> QP:
        """The program over z of one level below `motion` (n,), within the span of `free` (n, m)."""
        A, b = self.stacked(tasks)
        within, missing = A @ free, b - A @ motion
        here = limits.matrix @ motion
        return QP.of_rows(
            within.T @ within + self.regularisation * np.eye(free.shape[1]),
            -within.T @ missing,
            Rows(
                np.ascontiguousarray(limits.matrix @ free),
                # What the level before was allowed to violate by a rounding error, this one is too
                np.maximum(np.minimum(limits.lower - here, 0.0), -OPEN),
                np.minimum(np.maximum(limits.upper - here, 0.0), OPEN),
                n_box=0,
                n_equal=0,
            ),
        )


def _null_space(A: Array) -> Array:
    """An orthonormal basis (n, m) of the directions that A (rows, n) does not see."""
    _, values, rows = np.linalg.svd(A)
    rank = int((values > _RANK_TOLERANCE * max(values.max(initial=0.0), 1e-12)).sum())
    return rows[rank:].T
