"""The humanoid standing, squatting, pushed and walking, over many seeds.

    OMP_NUM_THREADS=1 .venv/bin/python scripts/benchmarks/humanoid.py [--seeds 20] [--only WORD …]

What is measured takes the place of its row in the last result; each row names its commit. What is measured is published
even when the run is interrupted.

Every row by estimated and by true state; those beyond what is asked for on a quarter of the seeds. A seed draws the
joints' initial errors, the noise of the sensors, and the moment of a push. `without_a_step` counts the robots that
stood a push where they were; `com_rms_mm` is the error of the true centre of mass, `velocity_error` that of the mean
velocity (vx, vy, wz), the worst of all seeds.
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from math import radians
from typing import Any, get_args

import numpy as np
from provenance import publish

from robotics.control.run import run_trial
from robotics.control.trial import Conditions, StateSource, Trial
from robotics.controllers.legged.locomotion import Twist
from robotics.evaluation.statistics import wilson


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    task: str
    twist: Twist = field(default_factory=Twist)
    seconds: float = 6.0
    conditions: Conditions = field(default_factory=Conditions)
    share: float = 1.0  # of the seeds


DIRECTIONS = {"forward": 0, "left": 90, "backward": 180, "right": 270}


def rows() -> dict[str, Row]:
    table = {"stand": Row("stand"), "squat 10 cm": Row("squat", seconds=10.0)}
    for strength in (12, 25):
        for name, towards in DIRECTIONS.items():
            push = Conditions(push=strength, push_towards=radians(towards))
            table[f"standing, push {name} {strength} N s"] = Row("stand", seconds=5.0, conditions=push)
    table["step on the spot"] = Row("step", share=0.25)
    table["walk 0.5 m/s for 10 m"] = Row("walk", Twist(vx=0.5), seconds=22.0)
    for name, twist in {
        "walk 0.2 m/s": Twist(vx=0.2),
        "walk 0.3 m/s": Twist(vx=0.3),
        "walk 0.6 m/s": Twist(vx=0.6),
        "walk backwards 0.3 m/s": Twist(vx=-0.3),
        "walk sideways 0.2 m/s": Twist(vy=0.2),
        "turn on the spot 0.5 rad/s": Twist(wz=0.5),
        "walk a circle, 0.3 m/s and 0.4 rad/s": Twist(vx=0.3, wz=0.4),
    }.items():
        table[name] = Row("walk", twist, share=0.25)
    walking = Row("walk", Twist(vx=0.3), share=0.25)
    for name, towards in DIRECTIONS.items():
        push = Conditions(push=12, push_towards=radians(towards), push_at_s=3.0)
        table[f"walking, push {name} 12 N s"] = replace(walking, conditions=push)
    for name, conditions in {
        "friction 0.5": Conditions(friction=0.5),
        "payload 3 kg": Conditions(payload=3.0),
        "slope 3 deg": Conditions(slope=radians(3)),
        "delay 2 ms": Conditions(delay_s=0.002),
    }.items():
        table[f"walking, {name}"] = replace(walking, conditions=conditions)
    return table


def one(row: Row, state: StateSource, seed: int) -> dict[str, Any]:
    conditions = row.conditions
    if conditions.push:
        moment = conditions.push_at_s + float(np.random.default_rng(seed).uniform(0.0, 0.8))  # anywhere in two steps
        conditions = replace(conditions, push_at_s=moment)
    return run_trial(Trial("humanoid", row.task, row.twist, row.seconds, seed, conditions=conditions, state=state))


def summary(row: Row, documents: list[dict[str, Any]]) -> dict[str, Any]:
    stood = [d for d in documents if not d["fell"]]
    low, high = wilson(len(stood), len(documents))
    result: dict[str, Any] = {"survived": f"{len(stood)}/{len(documents)}", "ci95": [round(low, 3), round(high, 3)]}
    if stood:
        wanted = np.array([row.twist.vx, row.twist.vy, row.twist.wz])
        if row.task in ("step", "walk"):
            errors = np.array([d["velocity_mean"] for d in stood]) - wanted
            result["velocity_error"] = np.abs(errors).max(axis=0).round(3).tolist()
            result["distance_m"] = round(min(float(np.hypot(*d["position"][:2])) for d in stood), 2)
        elif row.conditions.push:
            result["without_a_step"] = sum(d["steps"] == 0 for d in stood)
            result["most_steps"] = max(d["steps"] for d in stood)
        else:
            com = [1e3 * d["tracking_rms"]["com"] for d in stood]
            result["com_rms_mm"] = {"median": round(float(np.median(com)), 2), "worst": round(max(com), 2)}
        result["realtime_factor"] = round(float(np.median([d["realtime_factor"] for d in stood])), 2)
    result["limits_exceeded"] = sum(d["limits_exceeded"] for d in documents)
    result["fallback_ticks"] = sum(d["faults"]["fallback_ticks"] for d in documents)
    return result


def timing(runs: int = 5) -> dict[str, Any]:
    """Median over the runs of the median times [ms], alone on the machine; "tick" is everything but physics."""
    result: dict[str, Any] = {}
    for task in ("squat", "walk"):
        for state in get_args(StateSource):
            row = Row(task, Twist(vx=0.5) if task == "walk" else Twist(), seconds=5.0)
            documents = [one(row, state, seed)["timing_ms"] for seed in range(runs)]
            result[f"{task}, {state}"] = {
                part: round(float(np.median([d[part]["p50"] for d in documents])), 3) for part in documents[0]
            }
    return result


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", nargs="+", default=[], help="rows whose names hold one of these; timing: the times")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    fresh: dict[str, dict[str, Any]] = {"timing_ms_p50": {}, "rows": {}}
    try:
        if not options.only or "timing" in options.only:
            fresh["timing_ms_p50"] = timing()
        with ProcessPoolExecutor(options.workers) as pool:
            for name, row in rows().items():
                if options.only and not any(word in name for word in options.only):
                    continue
                result: dict[str, Any] = {}
                for state in get_args(StateSource):
                    seeds = range(max(1, round(row.share * options.seeds)))
                    documents = list(pool.map(one, [row] * len(seeds), [state] * len(seeds), seeds))
                    result[state] = summary(row, documents)
                    print(f"{name} ({state}): {result[state]}", flush=True)
                fresh["rows"][name] = result
    finally:
        publish("humanoid", {}, order=rows(), **fresh)
