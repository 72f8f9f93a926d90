r"""The quadratic program and what counts as a solution of it.

.. math:: \min_x \tfrac12 x^\top P x + q^\top x \quad\text{s.t.}\quad A x = b,\; g \le G x \le h,\; l \le x \le u

Two-sided rows spare the real-time solver the doubled matrix of :math:`[G; -G] x \le [h; -g]`.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

Array = np.ndarray
Status = Literal["solved", "infeasible", "failed"]

#: Stand-in for an open side.
OPEN = 1e30
_NONE = np.zeros(0)


class Rows(NamedTuple):
    r"""All constraints as :math:`lower \le (x, matrix\, x) \le upper`: bounds of x, then the rows of A, then of G.

    `n_box` is n, or 0 for a problem without bounds; open sides are at ±`OPEN`.
    """

    matrix: Array
    lower: Array
    upper: Array
    n_box: int
    n_equal: int

    def values(self, x: Array) -> Array:
        """What is held between `lower` and `upper` at `x`."""
        rows = self.matrix.dot(x)
        return np.concatenate([x, rows]) if self.n_box else rows


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
    whole: Array | None = None  # what all of the above are views of, for whoever looks through them 500 times a second

    @classmethod
    def of_rows(cls, P: Array, q: Array, rows: Rows, whole: Array | None = None) -> "QP":
        """The problem whose constraints are already in one block, as a real-time controller writes them; no copies."""
        box, equal = rows.n_box, rows.n_box + rows.n_equal
        qp = cls(
            P,
            q,
            A=rows.matrix[: rows.n_equal],
            b=rows.upper[box:equal],
            G=rows.matrix[rows.n_equal :],
            h=rows.upper[equal:],
            g=rows.lower[equal:],
            lower=rows.lower[:box] if box else None,
            upper=rows.upper[:box] if box else None,
            whole=whole,
        )
        vars(qp)["rows"] = rows  # where the cached property looks
        return qp

    @property
    def n(self) -> int:
        return self.q.shape[0]

    @cached_property
    def rows(self) -> Rows:
        """Every constraint in one block, made once: do not change the problem after."""
        n = self.n
        rows: list[Array] = []
        uppers: list[Array] = []
        lowers: list[Array] = []
        n_box = n if self.lower is not None or self.upper is not None else 0
        if n_box:
            uppers.append(np.full(n, OPEN) if self.upper is None else self.upper)
            lowers.append(np.full(n, -OPEN) if self.lower is None else self.lower)
        n_equal = 0
        if self.A is not None and self.b is not None and len(self.A):
            n_equal = len(self.A)
            rows.append(self.A)
            uppers.append(self.b)
            lowers.append(self.b)
        if self.G is not None and len(self.G):
            rows.append(self.G)
            uppers.append(np.full(len(self.G), OPEN) if self.h is None else self.h)
            lowers.append(np.full(len(self.G), -OPEN) if self.g is None else self.g)
        if not uppers:
            return Rows(np.zeros((0, n)), np.zeros(0), np.zeros(0), 0, 0)
        matrix = np.ascontiguousarray(np.concatenate(rows)) if rows else np.zeros((0, n))
        upper, lower = np.minimum(np.concatenate(uppers), OPEN), np.maximum(np.concatenate(lowers), -OPEN)
        return Rows(matrix, lower, upper, n_box, n_equal)

    def has_nan(self) -> bool:
        """Whether any number is NaN, or P or q is infinite. Infinite bounds are open sides, and fine."""
        add, rows = np.add.reduce, self.rows  # a sum is NaN when an entry is; reduce is its cheap form
        if self.whole is not None and math.isfinite(add(self.whole)):
            return False
        return not math.isfinite(add(self.P.ravel()) + add(self.q)) or math.isnan(
            add(rows.matrix.ravel()) + add(rows.lower) + add(rows.upper)
        )

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


def views(*shapes: tuple[int, ...]) -> tuple[Array, list[Array]]:
    """Zeros in one piece (sum of sizes,), and a view of each of those shapes, one behind the other."""
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    whole = np.zeros(ends[-1])
    return whole, [part.reshape(shape) for part, shape in zip(np.split(whole, ends[:-1]), shapes, strict=True)]


class QPSolution(NamedTuple):
    """What a solver returned. `x` is garbage unless `status` is "solved": DAQP, for one, fills it all the same.

    `multipliers` are in the order of `Rows`: of the bounds, of the rows of A, of those of G. They follow
    Px + q + A'y + G'z + z_box = 0, positive where the upper side is active.
    """

    x: Array
    status: Status
    iterations: int
    multipliers: Array = _NONE
    n_box: int = 0
    n_equal: int = 0

    @property
    def z_box(self) -> Array:
        """Multipliers of the bounds (n,), or (0,) without any."""
        return self.multipliers[: self.n_box]

    @property
    def y(self) -> Array:
        """Multipliers of A x = b."""
        return self.multipliers[self.n_box : self.n_box + self.n_equal]

    @property
    def z(self) -> Array:
        """Multipliers of the rows of G."""
        return self.multipliers[self.n_box + self.n_equal :]

    @property
    def solved(self) -> bool:
        return self.status == "solved"


def primal_residual(qp: QP, x: Array) -> float:
    """Largest violation of any constraint at `x`; infinite where x or the problem is not a number."""
    rows = qp.rows
    if not len(rows.upper):
        return 0.0 if np.isfinite(x).all() else float("inf")
    values = rows.values(x)  # an entry of x that is not finite makes some value, or every one, NaN or infinite
    worst = float(np.maximum.reduce(np.maximum(values - rows.upper, rows.lower - values)))  # hands a NaN on
    return max(worst, 0.0) if math.isfinite(worst) else float("inf")


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
