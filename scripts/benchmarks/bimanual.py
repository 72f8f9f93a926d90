"""Two ViperX arms that carry a box of 1 kg between them, both hands on circles, and the same arms on wheels.

    OMP_NUM_THREADS=1 .venv/bin/python scripts/benchmarks/bimanual.py [--seeds 5] [--only WORD]

Rows are medians over the seeds (of the encoders' mounting, and of targets), `worst` the worst of all seeds. The
squeeze is the simulator's contact force; `felt` is how far off the controller's own estimate by the joints is, rms.
Errors of the box count from the moment that it shall leave the table. `torque_used` is the largest share of any joint's
limit. `against_cvxpy`: the carrying program of one tick at states along the path, writing the arrays and solving; cvxpy
sets its parameters (DPP) and solves.
"""

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import cvxpy as cp
import numpy as np
from provenance import publish

from robotics.control.bimanual import BimanualSession
from robotics.control.run import run_trial
from robotics.control.trial import Conditions, StateSource, Trial
from robotics.controllers.carrying import CarryingController, HeldPoseTask
from robotics.controllers.grasp import contact_rows, grasp_matrix, internal
from robotics.controllers.legged.locomotion import Twist
from robotics.controllers.robot_spec import torque_limits
from robotics.controllers.tasks import Reference
from robotics.envs.robots.aloha import ALOHA, nominal_model
from robotics.envs.robots.mobile_aloha import MOBILE_ALOHA
from robotics.envs.robots.mobile_aloha import nominal_model as nominal_mobile

RUNS = 5


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    robot: str
    task: str
    seconds: float
    state: StateSource = "estimated"
    twist: Twist = field(default_factory=Twist)
    conditions: Conditions = field(default_factory=Conditions)


def rows() -> dict[str, Row]:
    table = {f"carry 1 kg, {state}": Row("bimanual", "carry", 12.0, state) for state in ("estimated", "truth")}
    table["carry, box secretly 1.25 kg"] = Row("bimanual", "carry", 12.0, conditions=Conditions(payload=0.25))
    table["carry, torques 4 ms late"] = Row("bimanual", "carry", 12.0, conditions=Conditions(delay_s=0.004))
    table |= {f"circles, {state}": Row("bimanual", "track", 8.0, state) for state in ("estimated", "truth")}
    for name, twist in {
        "standing": Twist(),
        "0.4 m/s ahead": Twist(vx=0.4),
        "0.3 m/s to the left": Twist(vy=0.3),
        "0.3 m/s and 0.3 rad/s": Twist(vx=0.3, wz=0.3),
    }.items():
        table[f"mobile, circles carried along, {name}"] = Row("mobile", "track", 10.0, twist=twist)
    table["mobile, targets up to 2 m apart"] = Row("mobile", "reach", 25.0)
    return table


def one(row: Row, seed: int) -> dict[str, Any]:
    return run_trial(
        Trial(row.robot, row.task, row.twist, row.seconds, seed, conditions=row.conditions, state=row.state)
    )


def summary(row: Row, documents: list[dict[str, Any]]) -> dict[str, Any]:
    done = [d for d in documents if not d["fell"]]
    result: dict[str, Any] = {"went_well": f"{len(done)}/{len(documents)}"}
    if done:
        errors = {name: [d["tracking_rms"][name] for d in done] for name in done[0]["tracking_rms"]}
        for name, values in errors.items():
            scale, unit = (1e3, "mm") if name.endswith("position") else (180 / np.pi, "deg")
            result[f"{name}_rms_{unit}"] = _both([scale * v for v in values], max)
        if "squeeze" in done[0]:
            squeezes = [d["squeeze"] for d in done]
            result["position_max_mm"] = _both([1e3 * d["position_max"] for d in done], max)
            result["squeeze_N"] = {
                "mean": round(median(s["mean"] for s in squeezes), 2),
                "min": _both([s["min"] for s in squeezes], min),
                "max": _both([s["max"] for s in squeezes], max),
                "share_within_2N": _both([s["within_2N"] for s in squeezes], min),
                "felt_rms_error": _both([s["felt_rms_error"] for s in squeezes], max),
            }
        if "targets" in done[0]:
            given = sum(d["targets"]["given"] for d in done)
            missed = [miss for d in done for miss in d["targets"]["missed"]]
            result["targets"] = {"given": given, "missed_by_m": missed}
        if row.twist != Twist():
            result["base_velocity"] = np.mean([d["velocity_mean"] for d in done], axis=0).round(3).tolist()
    spec, model = (ALOHA, nominal_model()) if row.robot == "bimanual" else (MOBILE_ALOHA, nominal_mobile())
    limits = dict(zip(spec.joints, torque_limits(model, spec.joints)[1], strict=True))
    used = [{joint: torque / limits[joint] for joint, torque in d["peak_torque"].items()} for d in documents]
    share, joint = max((share, joint) for shares in used for joint, share in shares.items() if "finger" not in joint)
    result["torque_used"] = {"share": round(share, 3), "joint": joint}
    result["limits_exceeded"] = sum(d["limits_exceeded"] for d in documents)
    result["fallback_ticks"] = sum(d["faults"]["fallback_ticks"] for d in documents)
    for part in ("wbc", "mpc"):
        result[f"{part}_ms"] = {q: round(median(d["timing_ms"][part][q] for d in documents), 3) for q in ("p50", "p99")}
    result["realtime_factor"] = round(median(d["realtime_factor"] for d in documents), 2)
    return result


def _both(values: list[float], worst: Any) -> dict[str, float]:
    return {"median": round(median(values), 3), "worst": round(worst(values), 3)}


class ReadableCarrying:
    """`CarryingController.problem` for a solver of cvxpy's, as its formulae stand."""

    def __init__(self, controller: CarryingController) -> None:
        assert controller.grip is not None
        self.controller, held = controller, controller.grip.held
        n, m = controller.model.n, sum(len(b) for _, b in self._tasks())
        self.a, self.wrench = cp.Variable(n), cp.Variable(12)
        self.A, self.b = cp.Parameter((m, n)), cp.Parameter(m)
        self.inertia, self.load = cp.Parameter((6, n)), cp.Parameter(6)
        self.M, self.J = cp.Parameter((n, n)), cp.Parameter((12, n))
        self.low, self.high, self.least, self.most = (cp.Parameter(n) for _ in range(4))
        scale = np.sqrt(controller.wrench_weight) * np.tile([1, 1, 1, 30, 30, 30], 2)
        cost = cp.sum_squares(self.A @ self.a - self.b) + controller.regularisation * cp.sum_squares(self.a)
        cost += cp.sum_squares(cp.multiply(scale, self.wrench - internal(controller.squeeze)))
        torque = self.M @ self.a + self.J.T @ self.wrench
        self.problem = cp.Problem(
            cp.Minimize(0.5 * cost),
            [
                grasp_matrix(held.half_width) @ self.wrench == self.inertia @ self.a + self.load,
                contact_rows(held) @ self.wrench >= 0,
                self.low <= self.a,
                self.a <= self.high,
                self.least <= torque,
                torque <= self.most,
            ],
        )

    def _tasks(self) -> list[tuple[np.ndarray, np.ndarray]]:
        controller, stacked = self.controller, []
        for task in controller.tasks:
            if isinstance(task, HeldPoseTask):
                task.kinematics = controller._kinematics
            A, b = task.rows(controller.model)
            stacked.append((np.sqrt(task.weight) * A, np.sqrt(task.weight) * b))
        return stacked

    def set(self) -> None:
        controller, k = self.controller, self.controller._kinematics
        model, tasks = controller.model, self._tasks()
        self.A.value, self.b.value = np.concatenate([A for A, _ in tasks]), np.concatenate([b for _, b in tasks])
        inertia, self.load.value = controller._object(k)
        self.inertia.value, self.M.value, self.J.value = inertia @ k.jacobian, model.M, k.contacts
        self.low.value, self.high.value = controller.joint_limits.bounds(model)
        self.least.value, self.most.value = model.torque_lower - model.h, model.torque_upper - model.h


#: Of cvxpy, with their options.
SOLVERS: dict[str, dict[str, Any]] = {
    "CLARABEL": {},
    "PIQP": {},
    "DAQP": {},
    "OSQP": {"eps_abs": 1e-8, "eps_rel": 1e-8, "max_iter": 50000},
}


def against_cvxpy() -> dict[str, Any]:
    """At 40 states of a box on its way; both sides start from the same model, in the same run."""
    session = BimanualSession(Trial("bimanual", "carry", seconds=8.0, state="truth", seed=1))
    cases = []
    while session.now < 8.0:
        session.tick()
        if session.now > 4.0 and round(session.now * 500) % 50 == 0:
            cases.append((*(x.copy() for x in session.plant.truth()), session.controller._object.reference))
    carrier = session.controller._carrier
    assert carrier.grip is not None

    def at(q: np.ndarray, v: np.ndarray, reference: Reference) -> None:
        carrier.model.update(q, v)
        session.controller._object.reference = reference
        carrier._kinematics = carrier.grip.kinematics(carrier.model)

    at(*cases[0])
    readable = ReadableCarrying(carrier)
    programs, fast = [], []
    for case in RUNS * cases:
        at(*case)
        started = time.perf_counter()
        qp = carrier.problem()
        y = carrier.solver.solve(qp)
        fast.append((time.perf_counter() - started) * 1e3)
        programs.append((qp, y))
    table = {}
    for name, options in SOLVERS.items():
        slow, worst = [], 0.0
        for case, (qp, y) in zip(cases, programs, strict=False):
            at(*case)
            started = time.perf_counter()
            readable.set()
            readable.problem.solve(solver=name, **options)
            slow.append((time.perf_counter() - started) * 1e3)
            least, theirs = qp.objective(y), qp.objective(np.concatenate([readable.a.value, readable.wrench.value]))
            worst = max(worst, abs(least - theirs) / max(abs(least), 1e-9))
        table[name] = {"ms": round(median(slow), 3), "worst_objective_difference": worst}
    best = min(entry["ms"] for entry in table.values())
    return {
        "fast_ms": round(median(fast), 4),
        "cvxpy": table,
        "times_faster_than_the_best": round(best / median(fast), 1),
    }


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=RUNS)
    parser.add_argument("--only", default="", help="rows whose name holds this")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    comparison = against_cvxpy() if options.only in "against_cvxpy" else {}
    print(comparison, flush=True)
    table = {}
    with ProcessPoolExecutor(options.workers) as pool:
        for name, row in rows().items():
            if options.only in name:
                documents = list(pool.map(one, [row] * options.seeds, range(options.seeds)))
                table[name] = summary(row, documents)
                print(name, table[name], flush=True)
    if not options.only:
        publish("bimanual", {"seeds": options.seeds, "rows": table, "against_cvxpy": comparison})
