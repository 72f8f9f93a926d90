"""The car on its courses, and its MPC against the same problem in cvxpy.

    OMP_NUM_THREADS=1 .venv/bin/python scripts/benchmarks/car.py

Each course is driven to its end with 5 seeds, by the true and by an estimated state; numbers are medians over them.
`cvxpy` is the problem before states are eliminated, in cvxpy's parametrised form (DPP), which is compiled once; its
times hold setting the parameters and solving. Both sides start from the same linearised model, in the same run.
"""

from statistics import median
from typing import Any

import cvxpy as cp
import numpy as np
from provenance import publish
from readable import compared

from robotics.control.car import TASKS, CarSession
from robotics.control.trial import Conditions, StateSource, Trial
from robotics.controllers.car.model import SPEED
from robotics.controllers.car.mpc import CarMPC, Motion, _error_weights, discretise, linearise, reference_ahead

RUNS = 5


def drive(task: str, state: StateSource, seed: int, push: float = 0.0) -> CarSession:
    """One course, to its end."""
    session = CarSession(Trial("car", task, seconds=90.0, seed=seed, state=state, conditions=Conditions(push=push)))
    for _ in range(round(90.0 / session.period_s)):
        session.tick()
        if session.driver.finished or session.fell():
            break
    return session


def course(task: str, state: StateSource, push: float = 0.0) -> dict[str, Any]:
    """Medians over the seeds; counts are sums."""
    sessions = [drive(task, state, seed, push) for seed in range(RUNS)]
    results = [session.results() for session in sessions]
    faults = [session.faults() for session in sessions]
    summary: dict[str, Any] = {
        "finished": sum(result["finished"] for result in results),
        "gear_changes": results[0]["gear_changes"],
        "cross_track_rms_m": median(result["tracking_rms"]["cross_track"] for result in results),
        "worst_cross_track_m": max(result["cross_track_max"] for result in results),
        "side_acceleration_max": median(result["side_acceleration_max"] for result in results),
        "slack_max": median(result["slack_max"] for result in results),
        "slack_ticks": median(result["slack_ticks"] for result in results),
        "faults": {name: sum(fault[name] for fault in faults) for name in faults[0]},
        "limits_exceeded": sum(session.limits_exceeded for session in sessions),
        "mpc_ms": {
            name: median(float(np.percentile(session.timing_ms["mpc"], q)) for session in sessions)
            for name, q in (("p50", 50), ("p99", 99))
        },
    }
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in summary.items()}


class Parametrised:
    """The problem of `controllers.car.mpc` over states, inputs and slacks, for a solver of cvxpy's."""

    def __init__(self, mpc: CarMPC) -> None:
        s, car, n, N = mpc.settings, mpc.model.car, mpc.model.states, mpc.settings.horizon
        self.mpc = mpc
        self.z, self.u, self.s, side = cp.Variable((N, n)), cp.Variable((N, 2)), cp.Variable(N), cp.Variable(N)
        self.A = [cp.Parameter((n, n)) for _ in range(N - 1)]
        self.B = [cp.Parameter((n, 2)) for _ in range(N)]
        self.c = cp.Parameter((N, n))
        self.L, self.l = [cp.Parameter((5, 5)) for _ in range(N)], cp.Parameter((N, 5))
        self.g, self.h, self.last = cp.Parameter((N, n)), cp.Parameter(N), cp.Parameter(2)
        self.lower, self.upper = cp.Parameter((N, 2)), cp.Parameter((N, 2))
        cost = sum(cp.sum_squares(self.L[k] @ self.z[k, :5] - self.l[k]) for k in range(N))
        cost += cp.sum_squares(cp.multiply(self.u, np.sqrt(np.tile(s.input_weight, (N, 1)))))
        changes = cp.vstack([self.u[0] - self.last, self.u[1:] - self.u[:-1]])
        cost += cp.sum_squares(cp.multiply(changes, np.sqrt(np.tile(s.smoothness_weight, (N, 1)))))
        rows = [self.z[0] == self.B[0] @ self.u[0] + self.c[0], self.u >= self.lower, self.u <= self.upper]
        rows += [self.z[k] == self.A[k - 1] @ self.z[k - 1] + self.B[k] @ self.u[k] + self.c[k] for k in range(1, N)]
        rows += [cp.abs(self.z[:, 4]) <= car.max_steer]
        rows += [side[k] == self.g[k] @ self.z[k] + self.h[k] for k in range(N)]
        for angle in (np.arange(s.sides) + 0.5) * 2 * np.pi / s.sides:
            asked = np.cos(angle) * self.u[:, 0] + np.sin(angle) * side
            rows.append(asked <= car.grip * np.cos(np.pi / s.sides) + self.s)
        self.problem = cp.Problem(cp.Minimize(cost + s.slack_weight * cp.sum_squares(self.s)), rows)

    def set(self, start, stretch, way, last, nominal: Motion) -> None:
        model, s = self.mpc.model, self.mpc.settings
        times = s.step_s * np.arange(s.horizon + 1)
        reference = reference_ahead(stretch, way, times, model.car.wheelbase)[1:]
        nominal = Motion(np.concatenate([start[None], nominal.states[1:]]), nominal.inputs, nominal.step_s)
        Ad, Bd, defect = discretise(model, nominal, *linearise(model, nominal))
        c = nominal.states[1:] + defect - (Bd @ nominal.inputs[..., None])[..., 0]
        c[1:] -= (Ad[1:] @ nominal.states[1:-1, :, None])[..., 0]
        self.c.value, self.last.value = c, last
        for k in range(s.horizon):
            self.B[k].value = Bd[k]
            if k:
                self.A[k - 1].value = Ad[k]
        roots = np.linalg.cholesky(_error_weights(s, reference)).transpose(0, 2, 1)
        for parameter, root in zip(self.L, roots, strict=True):
            parameter.value = root
        self.l.value = (roots @ reference[..., None])[..., 0]
        side, gradient = model.side_acceleration(nominal.states[1:])
        self.g.value, self.h.value = gradient, side - (gradient * nominal.states[1:]).sum(axis=1)
        car, backwards = model.car, nominal.states[1:, SPEED] < 0
        rate = np.full(s.horizon, car.max_steer_rate)
        ahead = np.where(backwards, car.max_braking, car.max_acceleration)
        back = np.where(backwards, car.max_acceleration, car.max_braking)
        self.upper.value, self.lower.value = np.column_stack([ahead, rate]), -np.column_stack([back, rate])

    def point(self) -> np.ndarray:
        return np.concatenate([self.u.value.ravel(), self.s.value])


def problems(task: str, count: int) -> list[tuple]:
    """States that the driver meets on the task, evenly over its first 8 seconds."""
    session = CarSession(Trial("car", task, seconds=8.0, state="truth"))
    met, plan = [], session.driver.mpc.plan

    def recorded(*arguments):
        met.append(arguments)
        return plan(*arguments)

    session.driver.mpc.plan = recorded  # type: ignore[method-assign]
    for _ in range(round(8.0 / session.period_s)):
        session.tick()
    return [arguments for arguments in met[:: len(met) // count] if arguments[-1] is not None]


def against_cvxpy(task: str) -> dict[str, Any]:
    """Build and solve over problems of the task."""
    setup = TASKS[task]
    mpc = CarMPC(setup.model(), setup.mpc)

    def qps(*case):
        qp, _, _ = mpc.problem(*case)
        return qp, mpc.solver.solve(qp), case

    return compared(mpc.plan, Parametrised(mpc), qps, problems(task, 25))


if __name__ == "__main__":
    document: dict[str, Any] = {}
    for state in ("truth", "estimated"):
        document[state] = {task: course(task, state) for task in TASKS}
    document["estimated"]["limit, pushed by 2000 N s"] = course("limit", "estimated", push=2000.0)
    document["against_cvxpy"] = {task: against_cvxpy(task) for task in ("track", "limit")}
    publish("car", document)
