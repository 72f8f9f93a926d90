r"""The quadratic program and what counts as a solution of it.

.. math:: \min_x \tfrac12 x^\top P x + q^\top x \quad\text{s.t.}\quad A x = b,\; g \le G x \le h,\; l \le x \le u

Two-sided rows spare the real-time solver the doubled matrix of :math:`[G; -G] x \le [h; -g]`.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Array = np.ndarray
Status = Literal["solved", "infeasible", "failed"]


@dataclass(frozen=True)
class QP:
    """Data of one problem. P (n, n) symmetric positive definite, q (n,); every constraint block may be empty.

    Infinite entries of `g`, `h`, `lower` and `upper` leave that side open.
    """

    P: Array
    q: Array
    A: Array | None = None
    b: Array | None = None
    G: Array | None = None
    h: Array | None = None
    g: Array | None = None  # lower side of the rows of G; None leaves them open below
    lower: Array | None = None
    upper: Array | None = None

    @property
    def n(self) -> int:
        return self.q.shape[0]

    def has_nan(self) -> bool:
        """Whether any number is NaN, or P or q is infinite. Infinite bounds are open sides, and fine."""
        if not math.isfinite(self.P.sum() + self.q.sum()):
            return True
        # A sum is NaN when an entry is, or when a block is open to both infinities, which makes no sense either
        blocks = (self.A, self.b, self.G, self.g, self.h, self.lower, self.upper)
        return any(block is not None and math.isnan(block.sum()) for block in blocks)

    def objective(self, x: Array) -> float:
        return float(0.5 * x @ self.P @ x + self.q @ x)


@dataclass(frozen=True)
class Residuals:
    """How far a point is from optimal, computed from the problem alone. All in the units of the problem."""

    primal: float  # largest violation of any constraint
    dual: float  # largest entry of the gradient of the Lagrangian
    gap: float  # |primal objective - dual objective|

    def within(self, tolerance: float) -> bool:
        return max(self.primal, self.dual, self.gap) <= tolerance


@dataclass(frozen=True)
class QPSolution:
    """What a solver returned. `x` is garbage unless `status` is "solved": DAQP, for one, fills it all the same.

    Multipliers follow Px + q + A'y + G'z + z_box = 0, positive where the upper side is active.
    """

    x: Array
    status: Status
    iterations: int
    solve_time_s: float
    y: Array = field(default_factory=lambda: np.zeros(0))
    z: Array = field(default_factory=lambda: np.zeros(0))
    z_box: Array = field(default_factory=lambda: np.zeros(0))

    @property
    def solved(self) -> bool:
        return self.status == "solved"


def primal_residual(qp: QP, x: Array) -> float:
    """Largest violation of any constraint at `x`; infinite where x or the problem is not a number."""
    violations = [0.0] if np.isfinite(x).all() else [np.inf]
    if qp.A is not None and len(qp.A):
        violations.append(np.abs(qp.A @ x - qp.b).max())
    if qp.G is not None and len(qp.G):
        rows = qp.G @ x
        violations.append((rows - qp.h).max())
        if qp.g is not None:
            violations.append((qp.g - rows).max())
    if qp.lower is not None:
        violations.append((qp.lower - x).max())
    if qp.upper is not None:
        violations.append((x - qp.upper).max())
    worst = float(np.max(violations))  # NumPy's max hands a NaN on, Python's would drop it
    return float("inf") if math.isnan(worst) else worst


def residuals(qp: QP, solution: QPSolution) -> Residuals:
    """Primal, dual and gap residuals of a solution, apart from what the solver says of itself."""
    x = solution.x
    gradient = qp.P @ x + qp.q
    dual_objective = -0.5 * x @ qp.P @ x
    if qp.A is not None and len(qp.A):
        gradient = gradient + qp.A.T @ solution.y
        dual_objective -= qp.b @ solution.y
    if qp.G is not None and len(qp.G):
        gradient = gradient + qp.G.T @ solution.z
        dual_objective -= _support(solution.z, qp.g, qp.h)
    if len(solution.z_box):
        gradient = gradient + solution.z_box
        dual_objective -= _support(solution.z_box, qp.lower, qp.upper)
    return Residuals(
        primal=primal_residual(qp, x),
        dual=float(np.abs(gradient).max()),
        gap=float(abs(qp.objective(x) - dual_objective)),
    )


def _support(z: Array, lower: Array | None, upper: Array | None) -> float:
    """Support function of the interval [lower, upper] at z: what the active bounds add to the dual objective."""
    above = z > 0
    below = z < 0
    value = float(z[above] @ upper[above]) if upper is not None and above.any() else 0.0
    if lower is not None and below.any():
        value += float(z[below] @ lower[below])
    return value
