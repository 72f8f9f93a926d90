"""How long the quadruped's controller takes, and its two programs against the same ones in cvxpy. On an idle machine:

    OMP_NUM_THREADS=1 .venv/bin/python scripts/benchmarks/quadruped_times.py

`times_ms` are medians over 5 runs of 6 s each of their percentiles: `mpc` builds and solves (50 Hz); `wbc` is the whole
tick but for it (kinematics, dynamics, footholds, problem, solution; 500 Hz); `realtime_factor` has the controller, the
state estimator, the simulated sensors and the physics in it. `against_cvxpy` takes states of a trot at 1 m/s; cvxpy's
times hold setting the parameters (DPP) and solving, the fast path's building and solving.
"""

import os
from statistics import median
from typing import Any, get_args

import cvxpy as cp
import numpy as np
from provenance import publish
from readable import RUNS, compared

from robotics.control.legged import LeggedSession
from robotics.control.run import run_trial
from robotics.control.trial import StateSource, Trial
from robotics.controllers.legged.locomotion import Twist
from robotics.controllers.legged.srbd_mpc import GRAVITY, Body, Horizon, SrbdMPC, _yaw_rotation
from robotics.controllers.legged.wbc import BodyTarget, FootTarget, LeggedWbc

FEET = 4


def times(task: str, speed: float, state: StateSource) -> dict[str, Any]:
    documents = [run_trial(Trial("quadruped", task, Twist(vx=speed), 6.0, seed, state=state)) for seed in range(RUNS)]

    def of(part: str, percentile: str) -> float:
        return median(d["timing_ms"][part][percentile] for d in documents)

    parts = [part for part in documents[0]["timing_ms"] if part != "model"]
    result: dict[str, Any] = {part: {q: round(of(part, q), 3) for q in ("p50", "p99")} for part in parts}
    result["wbc"]["p50"] = round(of("wbc", "p50") + of("model", "p50"), 3)
    result["wbc"]["p99"] = round(of("wbc", "p99") + of("model", "p99"), 3)
    result["realtime_factor"] = round(median(d["realtime_factor"] for d in documents), 2)
    return result


class ReadablePlan:
    """The convex MPC over states, accelerations and the forces of all feet; feet in the air are bounded to nothing."""

    def __init__(self, mpc: SrbdMPC) -> None:
        self.mpc, s = mpc, mpc.settings
        N, dt, n = s.horizon, s.step_s, 3 * FEET
        self.u, a = cp.Variable((N, n)), cp.Variable((N, 6))
        x, v = cp.Variable((N + 1, 6)), cp.Variable((N + 1, 6))  # angles and position; angular and linear velocity
        self.G, self.turn = [cp.Parameter((6, n)) for _ in range(N)], cp.Parameter((6, 6))
        self.gravity, self.x0, self.v0 = cp.Parameter(6), cp.Parameter(6), cp.Parameter(6)
        self.X, self.V = cp.Parameter((N, 6)), cp.Parameter((N, 6))
        self.least, self.most = cp.Parameter((N, FEET)), cp.Parameter((N, FEET))
        rows, cost = [x[0] == self.x0, v[0] == self.v0], s.force_weight * cp.sum_squares(self.u)
        for k in range(N):
            rows += [a[k] == self.G[k] @ self.u[k] + self.gravity, v[k + 1] == v[k] + dt * a[k]]
            rows += [x[k + 1] == x[k] + self.turn @ (dt * v[k] + 0.5 * dt**2 * a[k])]
        fz = self.u[:, 2::3]
        rows += [fz >= self.least, fz <= self.most]
        rows += [cp.abs(self.u[:, 0::3]) <= s.friction * fz, cp.abs(self.u[:, 1::3]) <= s.friction * fz]
        cost += cp.sum_squares(cp.multiply(np.tile(np.sqrt(mpc._Qx), (N, 1)), x[1:] - self.X))
        cost += cp.sum_squares(cp.multiply(np.tile(np.sqrt(mpc._Qv), (N, 1)), v[1:] - self.V))
        self.problem = cp.Problem(cp.Minimize(cost), rows)

    def set(self, body: Body, horizon: Horizon) -> None:
        s, self.stance = self.mpc.settings, horizon.stance
        steps, feet = np.nonzero(self.stance)
        maps = np.zeros((s.horizon, FEET, 3, 6))
        maps[steps, feet] = self.mpc._force_map(body, horizon, steps, feet).reshape(-1, 3, 6)
        for parameter, caused in zip(self.G, maps, strict=True):
            parameter.value = caused.reshape(-1, 6).T
        turn = np.eye(6)
        turn[:3, :3] = _yaw_rotation(float(horizon.angles[:, 2].mean())).T
        self.turn.value, self.gravity.value = turn, np.array([0, 0, 0, 0, 0, body.lift - GRAVITY])
        self.x0.value = np.concatenate([body.angles, body.com])
        self.v0.value = np.concatenate([body.angular_velocity, body.velocity])
        self.X.value = np.concatenate([horizon.angles, horizon.positions], axis=1)
        self.V.value = np.concatenate([horizon.angular_velocities, horizon.velocities], axis=1)
        self.least.value, self.most.value = s.min_force * self.stance, s.max_force * self.stance

    def point(self) -> np.ndarray:
        return self.u.value.reshape(-1, FEET, 3)[self.stance].ravel()


class ReadableWbc:
    """Whole-body control over accelerations and the forces of all feet; feet in the air are bounded to nothing."""

    def __init__(self, wbc: LeggedWbc) -> None:
        self.wbc, s, model = wbc, wbc.settings, wbc.model
        nv, n = model.nv, 3 * FEET
        self.a, self.f = cp.Variable(nv), cp.Variable(n)
        self.J, self.feet, self.M, self.h = (
            cp.Parameter((n, nv)),
            cp.Parameter(n),
            cp.Parameter((nv, nv)),
            cp.Parameter(nv),
        )
        self.press, self.planned = cp.Parameter((nv, n)), cp.Parameter(n)
        self.linear, self.angular, self.joints = cp.Parameter(3), cp.Parameter(3), cp.Parameter(model.n)
        self.low, self.high, self.most = cp.Parameter(model.n), cp.Parameter(model.n), cp.Parameter(FEET)
        torque = self.M @ self.a + self.h - self.press @ self.f
        total = self.f[0::3], self.f[1::3], self.f[2::3]
        pushed = cp.hstack([cp.sum(part) for part in total]) / model.mass
        weight = s.force_weight * (15.0 / model.mass) ** 2
        cost = cp.sum_squares(self.J @ self.a - self.feet) + s.base_weight * cp.sum_squares(pushed - self.linear)
        cost += s.base_weight * cp.sum_squares(self.a[3:6] - self.angular)
        cost += s.joint_weight * cp.sum_squares(self.a[6:] - self.joints)
        cost += weight * cp.sum_squares(self.f - self.planned)
        cost += 0.5e-8 * (cp.sum_squares(self.a) + cp.sum_squares(self.f))
        rows = [torque[:6] == np.zeros(6), torque[6:] >= model.torque_lower, torque[6:] <= model.torque_upper]
        rows += [self.a[6:] >= self.low, self.a[6:] <= self.high, total[2] >= 0, total[2] <= self.most]
        rows += [cp.abs(side) <= s.friction * total[2] for side in total[:2]]
        self.problem = cp.Problem(cp.Minimize(cost), rows)

    def set(self, contact: np.ndarray, forces: np.ndarray, body: BodyTarget, feet: dict[int, FootTarget]) -> None:
        model, s, self.contact = self.wbc.model, self.wbc.settings, contact
        J, standing = model.foot_jacobians.reshape(-1, model.nv), contact.repeat(3)
        root = np.sqrt(np.where(standing, s.stance_weight, s.swing_weight))
        self.J.value, self.feet.value = root[:, None] * J, root * self.wbc._foot_accelerations(J, feet)
        self.M.value, self.h.value = model.M, model.h
        self.press.value, self.planned.value = np.where(standing, J.T, 0.0), forces.ravel()
        self.linear.value, self.angular.value = self.wbc._base_accelerations(forces[contact].ravel(), J[standing], body)
        self.joints.value = -s.joint_damping * model.v
        self.low.value, self.high.value = self.wbc.joint_limits.bounds(model)
        self.most.value = s.max_force * model.mass * GRAVITY * contact

    def point(self) -> np.ndarray:
        return np.concatenate([self.a.value, self.f.value.reshape(-1, 3)[self.contact].ravel()])


def against_cvxpy() -> dict[str, Any]:
    """Both programs, at states that a trot at 1 m/s meets."""
    session = LeggedSession(Trial("quadruped", "trot", Twist(vx=1.0), state="truth"))
    controller = session.controller
    mpc, wbc, plans, ticks = controller.mpc, controller.wbc, [], []
    assert isinstance(wbc, LeggedWbc)
    forces, torque = mpc.forces, wbc.torque

    def planned(*arguments):
        plans.append(arguments)
        return forces(*arguments)

    def controlled(*arguments):
        ticks.append((wbc.model.state, *(a.copy() if isinstance(a, np.ndarray) else a for a in arguments)))
        return torque(*arguments)

    mpc.forces, wbc.torque = planned, controlled  # type: ignore[method-assign]
    for _ in range(1500):
        session.tick()

    def plan_qp(*case):
        qp = mpc.problem(*case)
        return qp, mpc.solver.solve(qp), case

    def wbc_qp(state, *case):
        wbc.model.update(state)
        qp = wbc.problem(*case)
        return qp, wbc.solver.solve(qp), case

    return {
        "convex MPC": compared(forces, ReadablePlan(mpc), plan_qp, plans[30::3][:25]),
        "whole-body control": compared(
            lambda state, *case: wbc.solver.solve(wbc.problem(*case)), ReadableWbc(wbc), wbc_qp, ticks[500::37][:25]
        ),
    }


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    measured = {
        f"{task} at {speed} m/s, {state}": times(task, speed, state)
        for task, speed in (("trot", 0.5), ("trot", 2.0), ("gallop", 1.0))
        for state in get_args(StateSource)
    }
    publish("quadruped_times", {"times_ms": measured, "against_cvxpy": against_cvxpy()})
