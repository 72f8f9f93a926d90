"""The quadruped under everything that it shall stand, over many seeds.

    OMP_NUM_THREADS=1 .venv/bin/python scripts/benchmarks/quadruped.py [--seeds 20] [--only WORD …]
    OMP_NUM_THREADS=1 .venv/bin/python scripts/benchmarks/quadruped.py --without   # as quadruped_without.json

Estimated state unless a row says otherwise. A seed draws the joints' initial errors, the moment of a push and the
scattered boxes. `back_m` is how far beside its path the robot ends after a push, `speed_error` the relative error of
the mean velocity along the command, `sag_mm` how much lower than meant the base is on average. Every row carries the
commit it was measured at. `--without` holds the controller as it is against itself without whole-body control (planned
forces through the Jacobians) and without adaptation to a load, side by side.
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from math import radians
from typing import Any

import numpy as np
from provenance import publish

from robotics.control.legged import LeggedSession
from robotics.control.run import run_trial
from robotics.control.trial import Conditions, Trial
from robotics.controllers.legged.locomotion import LocomotionSettings, Twist
from robotics.evaluation.statistics import wilson

VARIANTS = {
    "as it is": LocomotionSettings(),
    "without whole-body control": LocomotionSettings(whole_body=False),
    "without adaptation": LocomotionSettings(adaptation=0.0),
}


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    task: str
    twist: Twist
    seconds: float = 6.0
    conditions: Conditions = field(default_factory=Conditions)
    state: str = "estimated"


def rows() -> dict[str, Row]:
    table = {f"trot {v:.1f} m/s": Row("trot", Twist(vx=v)) for v in (0.0, 0.5, 1.0, 1.5, 2.0)}
    table |= {f"trot {v:.1f} m/s, true state": Row("trot", Twist(vx=v), state="truth") for v in (1.0, 2.0)}
    table |= {
        "lateral 0.8 m/s": Row("trot", Twist(vy=0.8)),
        "yaw 3 rad/s": Row("trot", Twist(wz=3.0)),
        "walk 0.4 m/s": Row("walk", Twist(vx=0.4)),
    }
    for gait in ("pace", "bound", "gallop"):
        table[f"{gait} 1 m/s for 10 s"] = Row(gait, Twist(vx=1.0), seconds=10.0)
    for gait in ("bound", "gallop"):
        table[f"{gait} 1.2 m/s for 10 s"] = Row(gait, Twist(vx=1.2), seconds=10.0)
    trotting = Row("trot", Twist(vx=0.5), seconds=8.0)
    for name, towards, strength in (("lateral", 90, 35), ("forward", 0, 40), ("backward", 180, 40)):
        push = Conditions(push=strength, push_towards=radians(towards))
        table[f"push {name} {strength} N s"] = replace(trotting, conditions=push)
    for name, conditions in {
        "payload 8 kg": Conditions(payload=8.0),
        "slope 15 deg up": Conditions(slope=radians(15)),
        "slope 15 deg down": Conditions(slope=radians(-15)),
        "boxes 3.5 cm": Conditions(terrain="boxes"),
        "stairs 8 cm": Conditions(terrain="stairs"),
        "friction 0.3": Conditions(friction=0.3),
        "delay 10 ms": Conditions(delay_s=0.010),
    }.items():
        seconds = 14.0 if conditions.terrain != "flat" else 8.0
        table[name] = replace(trotting, conditions=conditions, seconds=seconds)
    return table


def one(row: Row, seed: int, variant: str = "as it is") -> dict[str, Any]:
    conditions = row.conditions
    if conditions.push:
        moment = float(np.random.default_rng(seed).uniform(2.0, 2.4))  # anywhere in the gait
        conditions = replace(conditions, push_at_s=moment)
    trial = Trial("quadruped", row.task, row.twist, row.seconds, seed, conditions=conditions, state=row.state)
    return run_trial(trial, session=LeggedSession(trial, VARIANTS[variant]))


def summary(row: Row, documents: list[dict[str, Any]]) -> dict[str, Any]:
    stood = [d for d in documents if not d["fell"]]
    low, high = wilson(len(stood), len(documents))
    wanted = np.array([row.twist.vx, row.twist.vy, row.twist.wz])
    result: dict[str, Any] = {"survived": f"{len(stood)}/{len(documents)}", "ci95": [round(low, 3), round(high, 3)]}
    if stood:
        means = np.array([d["velocity_mean"] for d in stood])
        result["velocity_mean"] = means.mean(axis=0).round(3).tolist()
        if wanted.any() and not row.conditions.push:
            errors = np.abs(means @ wanted / (wanted @ wanted) - 1.0)
            result["speed_error"] = {"mean": round(float(errors.mean()), 4), "worst": round(float(errors.max()), 4)}
        result["sag_mm"] = round(-1e3 * float(np.mean([d["height_error"] for d in stood])), 1)
        result["height_rms_mm"] = round(1e3 * float(np.mean([d["tracking_rms"]["height"] for d in stood])), 1)
        if row.conditions.push:
            beside = [abs(d["position"][1]) for d in stood]
            result["back_m"] = {"mean": round(float(np.mean(beside)), 3), "worst": round(max(beside), 3)}
    result["limits_exceeded"] = sum(d["limits_exceeded"] for d in documents)
    result["fallback_ticks"] = sum(d["faults"]["fallback_ticks"] for d in documents)
    return result


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", nargs="+", default=[], help="rows whose names hold one of these; the others stay")
    parser.add_argument("--without", action="store_true", help="the value of its parts")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    document = "quadruped_without" if options.without else "quadruped"
    fresh: dict[str, Any] = {}
    try:
        with ProcessPoolExecutor(options.workers) as pool:
            for name, row in rows().items():
                if options.only and not any(word in name for word in options.only):
                    continue
                results = {
                    variant: summary(row, list(pool.map(partial(one, row, variant=variant), range(options.seeds))))
                    for variant in (VARIANTS if options.without else ("as it is",))
                }
                fresh[name] = results if options.without else results["as it is"]
                print(name, fresh[name], flush=True)
    finally:
        publish(document, {"seeds": options.seeds}, order=rows(), rows=fresh)
