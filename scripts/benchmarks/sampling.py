"""Sampling MPC: what a set of futures of the quadruped costs, and whether the finger gets the T to its place.

    OMP_NUM_THREADS=1 .venv/bin/python scripts/benchmarks/sampling.py [--seeds 10]

Futures: 60 of 35 steps of 10 ms, from standing, on position servos with random targets (which keep it on its feet, as a
planner's would); the whole plan is timed, medians of 5 plans after one to warm up. `cpu_ms` is the time of all threads
together: on a busy machine the better measure. PushT: a seed is a random pose of T and finger; success is being within
2 cm and 10 degrees, and staying there for a second, within 30 s of simulated time. The physics waits for the planner.
By an estimated state (a noisy camera) unless a row says otherwise; in `unlike_the_model` the T weighs half as much
again, slides on a table of 0.6 times and is pushed with 0.7 times the friction that the planner believes in.
"""

import argparse
import time
from statistics import median
from typing import Any

import mujoco
import numpy as np
from provenance import publish

from robotics.control.pusher import PusherSession
from robotics.control.trial import StateSource, Trial
from robotics.controllers.sampling import Futures, SamplingMPC, SamplingSettings, coarse_model
from robotics.envs.robots.quadruped import QUADRUPED, quadruped_scene
from robotics.evaluation.statistics import wilson

RUNS = 5
LIMIT_S, HOLD_S = 30.0, 1.0


def standing(futures: Futures) -> np.ndarray:
    """Height and uprightness of the base."""
    return (futures["qpos"][..., 2] - 0.29) ** 2 + (1 - futures["qpos"][..., 3] ** 2)


def futures_ms(coarse: bool, threads: int) -> dict[str, float]:
    """Median wall and CPU time of one plan [ms]."""
    spec = quadruped_scene()
    home = np.array(QUADRUPED.home)
    for motor in spec.actuators:
        torque = list(motor.ctrlrange)
        motor.set_to_position(kp=60.0, kv=2.0)
        motor.forcerange, motor.ctrlrange = torque, [-3.0, 4.6]
    spec.option.timestep = 0.01
    model = coarse_model(spec) if coarse else spec.compile()
    planner = SamplingMPC(model, standing, SamplingSettings(samples=60, steps=35, noise=0.03, threads=threads))
    planner.reset(control=home)
    data = mujoco.MjData(model)
    data.qpos[2], data.qpos[7:] = 0.29, home
    wall, cpu = [], []
    for _ in range(RUNS + 1):
        started = time.perf_counter(), time.process_time()
        planner.plan(data.qpos, data.qvel, 0.02)
        wall.append((time.perf_counter() - started[0]) * 1e3)
        cpu.append((time.process_time() - started[1]) * 1e3)
    return {"wall_ms": round(median(wall[1:]), 1), "cpu_ms": round(median(cpu[1:]), 1)}


def push_t(seed: int, unlike: bool = False, state: StateSource = "estimated") -> dict[str, Any]:
    """One start, until the T has been in place for `HOLD_S` or the time is over."""
    session, held = PusherSession(Trial("pusher", "push_t", seconds=LIMIT_S, seed=seed, state=state)), 0
    if unlike:
        model, block = session.model, session.model.body("block").id
        model.body_mass[block] *= 1.5
        model.body_inertia[block] *= 1.5
        model.dof_frictionloss *= 0.6
        model.geom_friction[:, 0] *= 0.7
        mujoco.mj_setConst(model, mujoco.MjData(model))
    while session.data.time < LIMIT_S and held * session.period_s < HOLD_S:
        session.tick()
        held = held + 1 if session.in_place() else 0
    results = session.results()
    return {
        "seed": seed,
        "success": held * session.period_s >= HOLD_S,
        "seconds": round(float(session.data.time) - HOLD_S, 2),
        "position_error_mm": round(1e3 * results["position_error"], 1),
        "angle_error_deg": round(float(np.degrees(results["angle_error"])), 1),
        "plan_ms": round(median(session.timing_ms["mpc"]), 1),
        "fallback_ticks": session.faults()["fallback_ticks"],
    }


def summary(episodes: list[dict[str, Any]]) -> dict[str, Any]:
    solved = sum(episode["success"] for episode in episodes)
    return {
        "solved": f"{solved}/{len(episodes)}",
        "ci95": [round(bound, 3) for bound in wilson(solved, len(episodes))],
        "seconds_median": median(episode["seconds"] for episode in episodes),
        "episodes": episodes,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    quadruped = {
        f"{'coarse' if coarse else 'as it is'}, {threads} thread{'s' * (threads > 1)}": futures_ms(coarse, threads)
        for coarse in (False, True)
        for threads in (1, 2)
    }
    publish(
        "sampling",
        {
            "quadruped_60_futures_of_35_steps": quadruped,
            "push_t": summary([push_t(seed) for seed in range(options.seeds)]),
            "push_t_true_state": summary([push_t(seed, state="truth") for seed in range(options.seeds)]),
            "push_t_unlike_the_model": summary([push_t(seed, unlike=True) for seed in range(options.seeds)]),
        },
    )
