"""Arms on their circle, among random targets, and their programs against the same ones in cvxpy.

    OMP_NUM_THREADS=1 .venv/bin/python scripts/benchmarks/arm.py
    OMP_NUM_THREADS=1 .venv/bin/python scripts/benchmarks/arm.py --targets 100000   # only these, as arm_targets.json

`circle`: radius 10 cm, 0.5 Hz, for the embedded 7-DoF arm and two arms of tests/robots that nothing was tuned for, with
5 seeds each; errors are medians over the seeds of the rms from 2 s on. `tick_ms` is model and whole-body control of one
tick, without the planning that every tenth one does. `random_targets`: poses for random joint positions, one in five
twice as far away as that, a new one after 20 to 600 ms; counts are ticks in which the torque, or the true position or
speed of any joint, was beyond its limit. `cvxpy` times hold setting the parameters (DPP) and solving; the fast path's,
writing the arrays and solving. Both sides start from the same linearised model, in the same run.
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any, get_args

import cvxpy as cp
import numpy as np
from provenance import publish
from readable import compared

from robotics.control.arm import RADIUS, RATE, SETTINGS, ArmSession
from robotics.control.trial import Conditions, StateSource, Trial
from robotics.controllers import arm_mpc
from robotics.controllers.hierarchy import HierarchicalController
from robotics.controllers.model import NominalModel
from robotics.controllers.tasks import EndEffectorPoseTask, PostureTask, Reference
from robotics.controllers.wbc import WholeBodyController
from robotics.envs.robots.panda import ARM, nominal_arm

RUNS = 5
ROBOTS = Path(__file__).parents[2] / "tests" / "robots"
ARMS = {"7-DoF arm": "arm", "6-DoF, never tuned for": "reacher.toml", "7-DoF URDF, never tuned for": "seven.toml"}


def circle(robot: str, state: StateSource, payload: float) -> dict[str, Any]:
    """Medians over the seeds; counts are sums."""
    name, sessions = str(ROBOTS / robot) if robot.endswith(".toml") else robot, []
    for seed in range(RUNS):
        session = ArmSession(Trial(name, "track", seed=seed, state=state, conditions=Conditions(payload=payload)))
        for _ in range(round(6.0 / session.period_s)):
            session.tick()
        sessions.append(session)
    errors = [session.results()["tracking_rms"] for session in sessions]
    ticks = [np.array(s.timing_ms["model"]) + np.array(s.timing_ms["wbc"]) for s in sessions]
    return {
        "position_rms_mm": round(1e3 * median(e["position"] for e in errors), 3),
        "orientation_rms_deg": round(float(np.degrees(median(e["orientation"] for e in errors))), 4),
        "limits_exceeded": sum(s.limits_exceeded for s in sessions),
        "fallback_ticks": sum(s.faults()["fallback_ticks"] for s in sessions),
        "tick_ms": {
            q: round(median(float(np.percentile(t, p)) for t in ticks), 4) for q, p in (("p50", 50), ("p99", 99))
        },
        "mpc_ms": {
            q: round(median(float(np.percentile(s.timing_ms["mpc"], p)) for s in sessions), 3)
            for q, p in (("p50", 50), ("p99", 99))
        },
    }


def random_targets(seed: int, targets: int) -> dict[str, int]:
    """What one process sees of them, by estimated state."""
    session = ArmSession(Trial("arm", "reach", seed=seed))
    rng = np.random.default_rng(seed)
    given, until, ticks = 0, 0, 0
    while given < targets:
        if ticks >= until:
            session.patience_s = float(rng.choice([0.02, 0.04, 0.6], p=[0.9, 0.09, 0.01]))
            until = ticks + round(session.patience_s / session.period_s)
            given += 1
        session.tick()
        ticks += 1
        if ticks % 20000 == 0:  # what it remembers of each tick is of no use here
            for kept in (session.timing_ms["tick"], session._errors, session._velocities):
                kept.clear()
    return {"targets": given, "ticks": ticks, "limits_exceeded": session.limits_exceeded, **session.faults()}


def strictness(count: int = 200) -> dict[str, float]:
    """How much lower levels change the residual of the first one [m/s^2]: the worst of random states."""
    model = NominalModel(nominal_arm(), ARM)
    worst = {"strict": 0.0, "strict, relative": 0.0, "weighted 1 : 1e-3": 0.0}
    for seed in range(count):
        rng = np.random.default_rng(seed)
        span = model.position_upper - model.position_lower
        q, v = model.position_lower + span * rng.uniform(0.1, 0.9, model.n), rng.normal(0, 0.3, model.n)
        model.update(q, v)
        position, _ = model.pose("hand")
        turn = rng.normal(size=4)
        reference = Reference(position + rng.normal(0, 0.02, 3), turn / np.linalg.norm(turn))
        first = EndEffectorPoseTask("hand", reference, part="position")
        second = EndEffectorPoseTask("hand", reference, part="orientation", weight=1e-3)
        third = PostureTask(rng.normal(0, 1, model.n), kp=400.0, weight=1e-3)
        A, b = first.rows(model)
        alone = A @ HierarchicalController(model, (), levels=[[first]]).solve(q, v)[1] - b
        strict = A @ HierarchicalController(model, (), levels=[[first], [second], [third]]).solve(q, v)[1] - b
        weighted = A @ WholeBodyController(model, [first, second, third]).solve(q, v)[1] - b
        change = float(np.abs(strict - alone).max())
        worst["strict"] = max(worst["strict"], change)
        worst["strict, relative"] = max(worst["strict, relative"], change / (1.0 + float(np.abs(b).max())))
        worst["weighted 1 : 1e-3"] = max(worst["weighted 1 : 1e-3"], float(np.abs(weighted - alone).max()))
    return worst


class ReadableWBC:
    """The whole-body control of one arm with nothing near, for a solver of cvxpy's."""

    def __init__(self, wbc: WholeBodyController, rows: int) -> None:
        self.wbc, n = wbc, wbc.model.n
        self.x = cp.Variable(n)
        self.A, self.b, self.M = cp.Parameter((rows, n)), cp.Parameter(rows), cp.Parameter((n, n))
        self.low, self.high, self.least, self.most = (cp.Parameter(n) for _ in range(4))
        cost = cp.sum_squares(self.A @ self.x - self.b) + wbc.regularisation * cp.sum_squares(self.x)
        torque = self.M @ self.x
        bounds = [self.low <= self.x, self.x <= self.high, self.least <= torque, torque <= self.most]
        self.problem = cp.Problem(cp.Minimize(0.5 * cost), bounds)

    def set(self) -> None:
        model = self.wbc.model
        parts = [(np.sqrt(task.weight), *task.rows(model)) for task in self.wbc.tasks]
        self.A.value = np.concatenate([w * A for w, A, _ in parts])
        self.b.value = np.concatenate([w * b for w, _, b in parts])
        self.low.value, self.high.value = self.wbc.joint_limits.bounds(model)
        self.M.value = model.M
        self.least.value, self.most.value = model.torque_lower - model.h, model.torque_upper - model.h

    def point(self) -> np.ndarray:
        return self.x.value


class ReadableMPC:
    """The trajectory of one arm with nothing near, over joint positions, speeds and accelerations."""

    def __init__(self, mpc: arm_mpc.ArmMPC) -> None:
        self.mpc, s = mpc, mpc.settings
        N, n = s.horizon, len(mpc.moving)
        u, q, v, self.s = cp.Variable((N + 1, n)), cp.Variable((N, n)), cp.Variable((N, n)), cp.Variable()
        self.u = u
        self.drift, self.v0 = cp.Parameter((N, n)), cp.Parameter(n)
        self.J = [cp.Parameter((6, n)) for _ in range(N)]
        self.d, self.V, self.first = cp.Parameter((N, 6)), cp.Parameter((N, 6)), cp.Parameter(6)
        self.F, self.M = cp.Parameter((n, n)), cp.Parameter((n, n))
        self.least, self.most = cp.Parameter(n), cp.Parameter(n)
        cost = s.slack_weight * cp.square(self.s)
        before, bounds = self.first, [q == self.drift + mpc._Sx @ u, self.s >= 0, cp.abs(u) <= s.max_joint_acceleration]
        v_max = np.repeat(s.max_velocity, 3) + arm_mpc._HAND_SPEED * self.s
        for k in range(N):
            bounds += [v[k] == self.v0 + mpc._Sv[k] @ u]
            speed = self.J[k] @ v[k]
            away, root_v = speed - self.V[k], mpc._root_end if k == N - 1 else mpc._root_v
            cost += cp.sum_squares(cp.multiply(mpc._root_x, self.J[k] @ q[k] + self.d[k]))
            cost += cp.sum_squares(cp.multiply(root_v, away))
            cost += cp.sum_squares(cp.multiply(mpc._root_a / s.step_s, away - before))
            cost += s.posture_weight * cp.sum_squares(self.F @ (q[k] - mpc._home))
            cost += s.damping_weight * cp.sum_squares(self.F @ v[k])
            bounds += [speed <= v_max, -speed <= v_max]
            before = away
        cost += s.effort_weight * cp.sum_squares(u) + s.bend_weight * cp.sum_squares(u[2:] - 2 * u[1:-1] + u[:-2])
        low, high, fast = (x.reshape(N, n) for x in (mpc._lowest, mpc._highest, mpc._fastest))
        room, more = arm_mpc._POSITION * self.s, arm_mpc._SPEED * self.s
        bounds += [low - room <= q, q <= high + room, cp.abs(v) <= fast + more]
        for k in range(N + 1):
            torque, give = self.M @ u[k], arm_mpc._TORQUE * self.s
            bounds += [self.least - give <= torque, torque <= self.most + give]
        self.problem = cp.Problem(cp.Minimize(0.5 * cost), bounds)

    def set(self, q0, v0, guess, hands, torque) -> None:
        mpc, hand = self.mpc, hands["hand"]
        self.drift.value, self.v0.value = q0 + mpc._times[:, None] * v0, v0
        for parameter, J in zip(self.J, hand.J[1:], strict=True):
            parameter.value = J
        pulled = arm_mpc._shortened(hand.delta[1:], mpc.settings.pull)
        self.d.value, self.V.value = pulled - np.einsum("kij,kj->ki", hand.J[1:], guess), hand.V[1:]
        self.first.value = hand.J[0] @ v0 - hand.V[0]
        self.F.value = np.linalg.cholesky(mpc._projection([hand.J[0]], len(q0))).T
        self.M.value, self.least.value, self.most.value = torque

    def point(self) -> np.ndarray:
        return np.append(self.u.value.ravel(), self.s.value)


def against_cvxpy(task: str) -> dict[str, Any]:
    """Whole-body control and trajectory, at states that the arm meets in its first seconds of the task."""
    session = ArmSession(Trial("arm", task, state="truth", seed=1))
    wbc, mpc = session.controller.wbc, session.controller._arm_mpc
    assert mpc is not None
    wbc.collision = mpc.collision = None  # a problem of fixed size, as cvxpy needs it
    states, plans, follow = [], [], mpc.follow

    def recorded(before, elapsed, motions):
        plans.append((before, elapsed, motions))
        return follow(before, elapsed, motions)

    mpc.follow = recorded  # type: ignore[method-assign]
    for tick in range(1500):
        session.tick()
        if tick % 60 == 59:
            states.append((*(x.copy() for x in session.plant.truth()), session.controller._aim(0.0)))

    def at(q, v, aim) -> None:
        session.controller._pursue(aim)
        wbc.model.update(q, v)

    def wbc_case(q, v, aim):
        at(q, v, aim)
        qp = wbc._write(wbc.tasks)
        return qp, wbc.solver.solve(qp), ()

    def wbc_fast(q, v, aim) -> None:
        wbc.solver.solve(wbc._write(wbc.tasks))

    def arguments(before, elapsed, motions):
        q0, v0, _ = before.joints(elapsed)
        guess = np.array([before.joints(elapsed + t)[0] for t in mpc._times])
        hands, _, torque = mpc._linearised(q0, v0, guess, motions)
        return q0[mpc.moving], v0[mpc.moving], guess[:, mpc.moving], hands, torque

    def mpc_case(before, elapsed, motions):
        qp = mpc.problem(before, elapsed, motions)
        return qp, mpc.solver.solve(qp), arguments(before, elapsed, motions)

    linearised = {id(case[0]): arguments(*case) for case in plans[30::6][:20]}

    def mpc_fast(before, elapsed, motions) -> None:
        q0, v0, guess, hands, torque = linearised[id(before)]
        mpc.solver.solve(mpc._problem(q0, v0, guess, hands, [], torque))

    rows = sum(len(t.rows(wbc.model)[1]) for t in wbc.tasks)
    return {
        "whole-body control": compared(wbc_fast, ReadableWBC(wbc, rows), wbc_case, states),
        "trajectory": compared(mpc_fast, ReadableMPC(mpc), mpc_case, plans[30::6][:20]),
    }


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    parser = argparse.ArgumentParser()
    parser.add_argument("--targets", type=int, help="so many random targets, and nothing else")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    if options.targets:
        parts = 4 * options.workers
        with ProcessPoolExecutor(options.workers) as pool:
            seen = list(pool.map(random_targets, range(parts), [-(-options.targets // parts)] * parts))
        counts = {key: sum(part[key] for part in seen) for key in seen[0]}
        kept = {"position_margin": SETTINGS.position_margin, "velocity_share": SETTINGS.velocity_share}
        publish("arm_targets", {"random_targets": counts, "settings": kept})
    else:
        circles: dict[str, Any] = {"radius_m": RADIUS, "rate_hz": RATE}
        for name, robot in ARMS.items():
            for payload in (0.0, 1.0):
                for state in get_args(StateSource):
                    circles[f"{name}, {payload:g} kg, {state}"] = circle(robot, state, payload)
        against = {task: against_cvxpy(task) for task in ("track", "reach")}
        publish("arm", {"circle": circles, "residual_of_level_1_changed_by": strictness(), "against_cvxpy": against})
