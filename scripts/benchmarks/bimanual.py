"""Two arms with one box, and two arms on a base: how well they hold, carry and drive, and what a tick costs.

`OMP_NUM_THREADS=1 .venv/bin/python scripts/benchmarks/bimanual.py` writes results/bimanual.json, in about five minutes.
"""

from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np
from provenance import publish

from robotics.control.bimanual import ON_TABLE, BimanualSession
from robotics.control.carry import Carry
from robotics.control.hands import HandsSession
from robotics.control.mobile import MobileSession
from robotics.control.trial import Conditions, StateSource, Trial
from robotics.controllers.legged.locomotion import Twist
from robotics.envs.robots.aloha import ALOHA

SEEDS = range(5)
SECONDS = 14.0
#: Stall torques of the servos of a ViperX-300 at 12 V [N m]: XM540-W270 has 10.6, shoulder and elbow have two of them;
#: the last joint is an XM430-W350 (Robotis' data sheets, Trossen's parts list).
STALL = {"waist": 10.6, "shoulder": 21.2, "elbow": 21.2, "forearm_roll": 10.6, "wrist_angle": 10.6, "wrist_rotate": 4.1}


class StraightUp(Carry):
    """The harder way to lift: both elbows turn back at the same moment, and their friction with them."""

    LIFT = np.array([0.0, 0.0, 0.12])


def run(session: HandsSession) -> dict[str, Any]:
    while session.now < session.trial.seconds and not session.fell():
        session.tick()
    return {"fell": session.fell(), **session.results(), "limits_exceeded": session.limits_exceeded}


def carry(state: StateSource, seeds: Sequence[int], straight_up: bool = False, **conditions: float) -> dict[str, Any]:
    """The box along its whole path, once around and a quarter more; over all seeds."""
    results = []
    for seed in seeds:
        trial = Trial("bimanual", "carry", seconds=SECONDS, seed=seed, state=state, conditions=Conditions(**conditions))
        session = BimanualSession(trial)
        if straight_up:
            session.job = StraightUp(session, ON_TABLE)
        results.append(run(session))
        results[-1]["wbc_ms"] = median(session.timing_ms["wbc"][-2500:])
    squeezes = [result["squeeze"] for result in results]
    return {
        "runs": len(results),
        "dropped": sum(result["fell"] for result in results),
        "position_rms_mm": round(1e3 * median(r["tracking_rms"]["position"] for r in results), 3),
        "position_max_mm": round(1e3 * max(r["position_max"] for r in results), 3),
        "orientation_rms_mrad": round(1e3 * median(r["tracking_rms"]["orientation"] for r in results), 3),
        "squeeze_mean_N": round(median(s["mean"] for s in squeezes), 3),
        "squeeze_range_N": [round(min(s["min"] for s in squeezes), 2), round(max(s["max"] for s in squeezes), 2)],
        "squeeze_within_2N": min(s["within_2N"] for s in squeezes),
        "felt_rms_error_N": round(median(s["felt_rms_error"] for s in squeezes), 3),
        "limits_exceeded": sum(r["limits_exceeded"] for r in results),
        "wbc_ms": round(median(r["wbc_ms"] for r in results), 4),
    }


def torques() -> dict[str, Any]:
    """Largest torque of any joint while the box is carried, without what the model's own damping and friction eat, next
    to what the real servo can give at most."""
    session = BimanualSession(Trial("bimanual", "carry", seconds=SECONDS, state="truth"))
    most = np.zeros(len(ALOHA.joints))
    while session.now < SECONDS:
        session.tick()
        controller = session.controller
        if controller.holding and round(session.now / session.period_s) % 10 == 0:
            controller.model.update(session.plant.truth()[0], np.zeros(len(most)))
            most = np.maximum(most, np.abs(controller.static_torque()))
    largest = most.reshape(2, 7).max(axis=0)
    return {
        joint: {"needed_Nm": round(float(value), 2), "stall_Nm": STALL[joint]}
        for joint, value in zip(STALL, largest, strict=False)
    }


def track(state: StateSource) -> dict[str, Any]:
    """Both hands on circles of 5 cm at 0.5 Hz."""
    session = BimanualSession(Trial("bimanual", "track", seconds=6.0, state=state))
    result = run(session)
    return {**_millimetres(result), "wbc_ms": round(median(session.timing_ms["wbc"]), 4)}


def drive(state: StateSource, task: str, twist: Twist, seconds: float) -> dict[str, Any]:
    """Both hands along paths in the world; wheels that slip by 0.1 % are part of the estimated state."""
    session = MobileSession(Trial("mobile", task, twist, seconds=seconds, state=state))
    result = run(session)
    kept = {key: result[key] for key in ("base", "targets") if key in result}
    return {**_millimetres(result), **kept, "wbc_ms": round(median(session.timing_ms["wbc"]), 4)}


def _millimetres(result: dict[str, Any]) -> dict[str, Any]:
    rms = {f"{name}_rms_mm": round(1e3 * value, 3) for name, value in result["tracking_rms"].items() if "pos" in name}
    mrad = {f"{name}_rms_mrad": round(1e3 * v, 3) for name, v in result["tracking_rms"].items() if "orient" in name}
    return {**rms, **mrad, "limits_exceeded": result["limits_exceeded"]}


def main() -> None:
    ahead = Twist(0.4, 0.0, 0.2)
    publish(
        "bimanual",
        {
            "bar": "a 1 kg box between both grippers on a path: internal force 10 +- 2 N, at most 3 mm off",
            "carry": {
                "estimated": carry("estimated", SEEDS),
                "truth": carry("truth", SEEDS[:1]),
                "estimated, lifted straight up": carry("estimated", SEEDS, straight_up=True),
                "estimated, 0.2 kg heavier than believed": carry("estimated", SEEDS[:2], payload=0.2),
                "estimated, torques 4 ms late": carry("estimated", SEEDS[:2], delay_s=0.004),
            },
            "torques": torques(),
            "track": {state: track(state) for state in ("estimated", "truth")},
            "mobile": {
                "stand": {state: drive(state, "track", Twist(), 6.0) for state in ("estimated", "truth")},
                "0.4 m/s, 0.2 rad/s": {state: drive(state, "track", ahead, 10.0) for state in ("estimated", "truth")},
                "reach": {state: drive(state, "reach", Twist(), 25.5) for state in ("estimated", "truth")},
            },
        },
    )


if __name__ == "__main__":
    main()
