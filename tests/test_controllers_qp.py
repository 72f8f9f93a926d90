"""Solvers against each other, against the conditions of optimality, and against problems that have no solution."""

import numpy as np
import pytest

from robotics.controllers.qp.guard import GuardedSolver
from robotics.controllers.qp.problem import QP, primal_residual, residuals
from robotics.controllers.qp.solvers import SOLVERS, solve
from robotics.errors import UsageError


def random_qp(seed: int) -> QP:
    """Strictly convex, feasible by construction, with every kind of constraint."""
    rng = np.random.default_rng(seed)
    n, rows, equal = int(rng.integers(3, 25)), int(rng.integers(1, 20)), int(rng.integers(1, 3))
    root = rng.normal(size=(n, n))
    inside = rng.normal(size=n)
    G, A = rng.normal(size=(rows, n)), rng.normal(size=(equal, n))
    width = rng.uniform(0.1, 2.0, rows)
    upper = np.where(rng.random(n) < 0.3, np.inf, inside + rng.uniform(0.05, 1.0, n))
    lower = np.where(rng.random(n) < 0.3, -np.inf, inside - rng.uniform(0.05, 1.0, n))
    return QP(
        P=root @ root.T + 0.1 * np.eye(n),
        q=10 * rng.normal(size=n),
        A=A,
        b=A @ inside,
        G=G,
        h=G @ inside + width,
        g=np.where(rng.random(rows) < 0.5, -np.inf, G @ inside - width),
        lower=lower,
        upper=upper,
    )


@pytest.mark.parametrize("seed", range(25))
def test_fast_solvers_agree_with_the_readable_definition(seed):
    qp = random_qp(seed)
    reference = solve(qp, "cvxpy")
    assert reference.solved
    for name in ("daqp", "piqp"):
        solution = solve(qp, name)
        assert solution.solved
        scale = 1 + abs(qp.objective(reference.x))
        assert abs(qp.objective(solution.x) - qp.objective(reference.x)) <= 1e-6 * scale
        assert primal_residual(qp, solution.x) <= 1e-6


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("seed", range(5))
def test_solutions_meet_the_conditions_of_optimality(solver, seed):
    """Stationarity, feasibility and no gap, with the solver's own multipliers: nothing is taken on trust."""
    qp = random_qp(seed)
    assert residuals(qp, solve(qp, solver)).within(2e-5 * (1 + abs(qp.objective(solve(qp, solver).x))))


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_problem_made_of_its_rows_is_the_same_problem(solver):
    qp = random_qp(4)
    again = QP.of_rows(qp.P, qp.q, qp.rows)
    assert solve(again, solver).x == pytest.approx(solve(qp, solver).x, abs=1e-6)
    assert residuals(again, solve(again, solver)).within(1e-4)


def test_a_wrong_point_is_not_optimal():
    qp = random_qp(0)
    solution = solve(qp)
    solution.x[0] += 1e-2
    assert not residuals(qp, solution).within(1e-3)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_problem_without_constraints(solver):
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6))
    P, q = root @ root.T + np.eye(6), rng.normal(size=6)
    assert solve(QP(P, q), solver).x == pytest.approx(np.linalg.solve(P, -q), abs=1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
def test_contradicting_rows_are_never_called_solved(solver):
    rows = np.array([[1.0, 1.0], [1.0, 1.0]])
    qp = QP(np.eye(2), np.zeros(2), G=rows, h=np.array([-1.0, 5.0]), g=np.array([-np.inf, 1.0]))
    assert not solve(qp, solver).solved
    guarded = GuardedSolver(solver)
    assert guarded.solve(qp) is None
    assert guarded.faults.as_dict() == {"qp_infeasible": 1, "fallback_ticks": 1, "nan": 0}


@pytest.mark.parametrize("block", ["P", "q", "G", "h", "g", "lower", "upper", "A", "b"])
def test_nan_anywhere_is_caught_before_the_solver(block):
    qp = random_qp(1)
    getattr(qp, block).flat[0] = np.nan
    guarded = GuardedSolver()
    assert guarded.solve(qp) is None
    assert guarded.faults.nan == 1
    assert block in ("P", "q") or primal_residual(qp, np.zeros(qp.n)) == np.inf


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("block", ["P", "q", "G", "h", "g", "lower", "upper", "A", "b"])
def test_no_solver_calls_nan_solved(solver, block):
    """DAQP, asked directly, returns NaN as optimal."""
    qp = random_qp(1)
    getattr(qp, block).flat[-1] = np.nan
    assert solve(qp, solver).status == "failed"


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("P", [np.diag([1.0, -1.0]), np.array([[1.0, 2.0], [2.0, 1.0]])], ids=["sign", "cross"])
def test_no_solver_calls_a_cost_that_is_not_convex_solved(solver, P):
    qp = QP(P, np.array([0.3, -0.2]), lower=-np.ones(2), upper=np.ones(2))
    assert not solve(qp, solver).solved
    guarded = GuardedSolver(solver)
    assert guarded.solve(qp) is None
    assert guarded.faults.as_dict() == {"qp_infeasible": 1, "fallback_ticks": 1, "nan": 0}


@pytest.mark.parametrize("solver", SOLVERS)
def test_empty_bounds_are_never_called_solved(solver):
    qp = QP(np.eye(3), np.ones(3), lower=np.array([0.0, 1.0, 0.0]), upper=np.array([1.0, 0.5, 1.0]))
    assert not solve(qp, solver).solved


@pytest.mark.parametrize("solver", SOLVERS)
def test_equality_out_of_reach_of_the_bounds_is_never_called_solved(solver):
    qp = QP(np.eye(2), np.zeros(2), A=np.ones((1, 2)), b=np.array([3.0]), lower=-np.ones(2), upper=np.ones(2))
    assert not solve(qp, solver).solved


def test_faults_are_counted_by_kind_over_a_sequence():
    guarded = GuardedSolver()
    good, contradiction = random_qp(3), QP(np.eye(1), np.zeros(1), A=np.ones((2, 1)), b=np.array([0.0, 1.0]))
    broken = random_qp(3)
    broken.q[0] = np.inf
    for qp in (good, contradiction, broken, broken, good):
        guarded.solve(qp)
    assert guarded.faults.as_dict() == {"qp_infeasible": 1, "fallback_ticks": 3, "nan": 2}


def test_a_solver_that_lies_is_found_out(monkeypatch):
    qp = random_qp(2)
    honest = solve(qp)

    def lie(problem):
        return type(honest)(honest.x + 10.0, "solved", 1, 0.0)

    monkeypatch.setitem(SOLVERS, "daqp", lie)
    guarded = GuardedSolver()
    assert guarded.solve(qp) is None
    assert guarded.faults.qp_infeasible == 1


def test_unknown_solver():
    with pytest.raises(UsageError, match="did you mean 'daqp'"):
        solve(random_qp(0), "dapq")
    with pytest.raises(UsageError, match="did you mean 'piqp'"):
        GuardedSolver("piq")
