"""Between a solver and the motors: a solution is used only when it is finite and feasible, whatever its status says."""

from dataclasses import dataclass, field

import numpy as np

from robotics.controllers.qp.problem import OPEN, QP, Array, primal_residual
from robotics.controllers.qp.solvers import SOLVERS, solve
from robotics.errors import unknown_name


@dataclass
class Faults:
    """What went wrong so far. Counted, never raised: a control loop does not stop for an exception."""

    qp_infeasible: int = 0  # solves that gave no usable point
    fallback_ticks: int = 0  # ticks that acted on something else than a fresh solution
    nan: int = 0  # states and problems that were no numbers a robot can have

    def as_dict(self) -> dict[str, int]:
        return {"qp_infeasible": self.qp_infeasible, "fallback_ticks": self.fallback_ticks, "nan": self.nan}


@dataclass
class GuardedSolver:
    """Solves a sequence of similar problems; hands out nothing that is not finite and feasible.

    `solve` returns None when there is no usable point: the caller then takes its own safe action, which only it knows.
    Raises UsageError for a solver that does not exist, before any loop runs.
    """

    solver: str = "daqp"
    tolerance: float = 1e-6  # largest accepted constraint violation, relative to the largest bound in play
    faults: Faults = field(default_factory=Faults)

    def __post_init__(self) -> None:
        if self.solver not in SOLVERS:
            raise unknown_name("solver", self.solver, SOLVERS)

    def solve(self, qp: QP) -> Array | None:
        """The optimal x (n,), or None where the problem is infeasible, not finite, or the solver failed."""
        solution = solve(qp, self.solver)
        if solution.solved and self._feasible(qp, solution.x):
            return solution.x
        if qp.has_nan():
            self.faults.nan += 1
        else:
            self.faults.qp_infeasible += 1
        self.faults.fallback_ticks += 1
        return None

    def _feasible(self, qp: QP, x: Array) -> bool:
        violation = primal_residual(qp, x)
        return violation <= self.tolerance or violation <= self.tolerance * _scale(qp)


def _scale(qp: QP) -> float:
    """The largest bound in play, at least 1."""
    bounds = np.abs(np.concatenate([qp.rows.lower, qp.rows.upper]))
    return max(1.0, float(bounds[bounds < OPEN].max(initial=0.0)))
