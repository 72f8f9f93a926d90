"""The programs of the controllers against the same ones in cvxpy, in one run."""

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, Protocol

import cvxpy as cp
import numpy as np

RUNS = 5
_EXACT = {"tol_gap_abs": 1e-14, "tol_gap_rel": 1e-12, "tol_feas": 1e-10}
#: Of cvxpy, each with its options; an objective near zero takes the tight tolerances.
SOLVERS: dict[str, dict[str, Any]] = {
    "CLARABEL": {},
    "CLARABEL, tight": _EXACT,
    "OSQP": {"eps_abs": 1e-6, "eps_rel": 1e-6, "max_iter": 20000},
    "PIQP": {},
    "DAQP": {},
}


class Readable(Protocol):
    """A problem in cvxpy's parametrised form (DPP), which is compiled once."""

    problem: cp.Problem

    def set(self, *arguments: Any) -> None:
        """Give the parameters their values."""

    def point(self) -> np.ndarray:
        """The solution in the variables of the fast path's problem."""


def compared(
    fast: Callable[..., object], readable: Readable, qps: Callable[..., tuple], cases: Sequence[tuple]
) -> dict[str, Any]:
    """Median times [ms] of both sides over the cases, and the relative difference of the objective.

    `fast(*case)` builds and solves one problem; `qps(*case)` gives the QP of it, its solution, and the arguments of
    `readable.set`, which is timed together with the solving.
    """
    times: list[float] = []
    for _ in range(RUNS):
        for case in cases:
            started = time.perf_counter()
            fast(*case)
            times.append((time.perf_counter() - started) * 1e3)
    table: dict[str, Any] = {}
    for name, options in SOLVERS.items():
        slow, differences = [], []
        for case in cases:
            qp, x, arguments = qps(*case)
            started = time.perf_counter()
            readable.set(*arguments)
            try:
                readable.problem.solve(solver=name.partition(",")[0], **options)
            except cp.error.SolverError:
                continue
            slow.append((time.perf_counter() - started) * 1e3)
            ours, theirs = qp.objective(x), qp.objective(readable.point())
            differences.append(abs(ours - theirs) / max(abs(ours), 1e-9))
        if slow:
            table[name] = {
                "ms": round(median(slow), 3),
                "solved": f"{len(slow)}/{len(cases)}",
                "objective_difference": {"median": float(median(differences)), "worst": float(max(differences))},
            }
    best = min(entry["ms"] for entry in table.values())
    return {
        "fast_ms": round(median(times), 4),
        "cvxpy": table,
        "times_faster_than_the_best": round(best / median(times), 1),
    }
