"""The three ways to solve a `QP`: DAQP for real time, PIQP for large ones, cvxpy as the readable definition.

`solve` returns a `QPSolution` and never raises on a problem that has no solution, nor calls one solved that holds NaN
or whose cost is not convex.
"""

from collections.abc import Callable
from functools import lru_cache

import daqp
import numpy as np

from robotics.controllers.qp.problem import QP, Array, QPSolution, Status
from robotics.errors import unknown_name

#: DAQP's marker for an equality row (see its parameters page).
_EQUALITY = 5


def solve_daqp(qp: QP) -> QPSolution:
    """Dual active set: exact, tens of microseconds up to about a hundred variables. P must be positive definite."""
    rows = qp.rows
    sense = _sense(len(rows.upper), rows.n_box, rows.n_equal)
    x, _, flag, info = daqp.solve(qp.P, qp.q, rows.matrix, rows.upper, rows.lower, sense)
    status: Status = "solved" if flag in (1, 2) else "infeasible" if flag == -1 else "failed"
    return QPSolution(x, status, info["iterations"], info["lam"], rows.n_box, rows.n_equal)


@lru_cache
def _sense(size: int, n_box: int, n_equal: int) -> Array:
    """What DAQP is told of every constraint. Made once and read only."""
    sense = np.zeros(size, np.int32)
    sense[n_box : n_box + n_equal] = _EQUALITY
    return sense


def solve_piqp(qp: QP) -> QPSolution:
    """Proximal interior point: robust for long horizons and many rows; about 5 times slower than DAQP on small ones."""
    import piqp

    solver = piqp.DenseSolver()
    solver.settings.eps_abs = 1e-9
    solver.settings.eps_rel = 1e-9
    solver.setup(qp.P, qp.q, qp.A, qp.b, qp.G, qp.g, qp.h, qp.lower, qp.upper)
    flag = solver.solve()
    result = solver.result
    status: Status = {piqp.PIQP_SOLVED: "solved", piqp.PIQP_PRIMAL_INFEASIBLE: "infeasible"}.get(flag, "failed")
    y, z = np.array(result.y), np.array(result.z_u) - np.array(result.z_l)
    has_box = qp.lower is not None or qp.upper is not None
    box = np.array(result.z_bu) - np.array(result.z_bl) if has_box else np.zeros(0)
    multipliers = np.concatenate([box, y, z])
    return QPSolution(np.array(result.x), status, int(result.info.iter), multipliers, len(box), len(y))


def solve_cvxpy(qp: QP) -> QPSolution:
    """The problem exactly as it is written down, for tests and for reading: milliseconds, not microseconds."""
    import cvxpy as cp

    if np.linalg.eigvalsh(qp.P)[0] < -1e-9 * np.abs(qp.P).max():
        return QPSolution(np.full(qp.n, np.nan), "failed", 0)  # psd_wrap below silences cvxpy's own check
    x = cp.Variable(qp.n)
    equal, above, below, top, bottom = [], [], [], [], []
    rows = 0 if qp.G is None else len(qp.G)
    if qp.A is not None and len(qp.A):
        equal = [qp.A @ x == qp.b]
    if qp.G is not None and len(qp.G):
        above = _rows(qp.G @ x, qp.h, upper=True)
        below = _rows(qp.G @ x, qp.g, upper=False)
    top = _rows(x, qp.upper, upper=True)
    bottom = _rows(x, qp.lower, upper=False)
    problem = cp.Problem(
        cp.Minimize(0.5 * cp.quad_form(x, cp.psd_wrap(qp.P)) + qp.q @ x), equal + above + below + top + bottom
    )
    try:
        problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)
        flag = problem.status
    except cp.error.SolverError:
        flag = "failed"
    status: Status = "solved" if flag == cp.OPTIMAL else "infeasible" if "infeasible" in flag else "failed"
    value = np.full(qp.n, np.nan) if x.value is None else np.asarray(x.value)
    if status != "solved":
        return QPSolution(value, status, 0)
    iterations = problem.solver_stats.num_iters or 0
    y = equal[0].dual_value if equal else np.zeros(0)
    z = _multipliers(above, qp.h, rows) - _multipliers(below, qp.g, rows)
    box = _multipliers(top, qp.upper, qp.n) - _multipliers(bottom, qp.lower, qp.n)
    return QPSolution(value, status, iterations, np.concatenate([box, y, z]), len(box), len(y))


def _rows(expression, bound: Array | None, upper: bool) -> list:
    """The constraint expression <= bound (or >=) on the rows where the bound is finite."""
    if bound is None or not np.isfinite(bound).any():
        return []
    finite = np.isfinite(bound)
    return [expression[finite] <= bound[finite]] if upper else [expression[finite] >= bound[finite]]


def _multipliers(constraints: list, bound: Array | None, size: int) -> Array:
    full = np.zeros(size)
    if constraints and bound is not None:
        full[np.isfinite(bound)] = constraints[0].dual_value
    return full


#: Name -> solver, as `--solver` takes it.
SOLVERS: dict[str, Callable[[QP], QPSolution]] = {"daqp": solve_daqp, "piqp": solve_piqp, "cvxpy": solve_cvxpy}


def solve(qp: QP, solver: str = "daqp") -> QPSolution:
    """Solve `qp` by the solver of that name; UsageError listing the solvers for any other name."""
    if solver not in SOLVERS:
        raise unknown_name("solver", solver, SOLVERS)
    if qp.has_nan():  # DAQP reports NaN as solved, cvxpy raises
        return QPSolution(np.full(qp.n, np.nan), "failed", 0)
    return SOLVERS[solver](qp)
