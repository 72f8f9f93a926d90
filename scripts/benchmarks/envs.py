"""How fast the environments step, beside the raw engine and beside other ways to step many copies. On an idle machine:

    OMP_NUM_THREADS=1 .venv/bin/python scripts/benchmarks/envs.py [--only NAME …] [--peer gym_aloha]

64 copies, random actions in `joint` mode, both cores. Everything in one line is measured in turns, 5 times over; ratios
are medians of the ratios of the turns. `of_raw`: the share of the speed of `Batch.step` alone, from the same state by
the same controls. `async`: times faster than `gymnasium.vector.AsyncVectorEnv` of the same serial environment. `ant`:
physics steps per second over those of Gymnasium's Ant-v5 in an AsyncVectorEnv. `images`: environment steps per second
with one camera. `compile_s` and `reset_ms` are those of the serial environment. Rows that are not measured anew stay,
each with the commit it was measured at.
"""

import argparse
import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from mujoco.batch import Batch
from peers import gym_aloha
from provenance import publish

import robotics
from robotics.environments import make_env, make_vector

COPIES, STEPS, RUNS = 64, 25, 5
CORES = len(os.sched_getaffinity(0))


def clocked(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def stepping(env_id: str, ant: gym.vector.VectorEnv) -> dict[str, Any]:
    """The vector environment, the raw engine, AsyncVectorEnv and Ant-v5, in turns."""
    ours = make_vector(env_id, COPIES)
    task, rng = ours.prototype, np.random.default_rng(0)
    theirs = gym.make_vec(env_id, num_envs=COPIES, vectorization_mode="async")
    raw = Batch(task.model, COPIES, CORES)
    low, high = ours.action_space.low, ours.action_space.high
    actions = [rng.uniform(low, high).astype(np.float32) for _ in range(STEPS)]
    controls = [np.zeros((COPIES, task.model.nu))]
    for action in actions:
        controls.append(task.controls(task.checked(action, low.shape, env_id), controls[-1]))
    moves = [ant.action_space.sample() for _ in range(STEPS)]

    def all_of(env: gym.vector.VectorEnv, chosen: list) -> Callable[[], None]:
        def run() -> None:
            for action in chosen:
                env.step(action)

        return run

    def engine() -> None:
        for ctrl in controls[1:]:
            raw.ctrl = ctrl
            raw.step(nstep=task.substeps)

    works = {"ours": all_of(ours, actions), "raw": engine, "async": all_of(theirs, actions), "ant": all_of(ant, moves)}
    walls: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(RUNS):
        for env in (ours, theirs, ant):
            env.reset(seed=0)
        raw.state[:] = ours.batch.state
        for name in np.roll(list(works), turn).tolist():  # the first finds a processor that others just left
            walls[name].append(clocked(works[name]))
    for env in (ours, theirs):
        env.close()

    def ratio(other: str, scale: float = 1.0) -> float:
        return round(scale * median(b / a for a, b in zip(walls["ours"], walls[other], strict=True)), 2)

    substeps_of_ant = 5
    return {
        "steps_per_s": round(COPIES * STEPS / median(walls["ours"])),
        "of_raw": ratio("raw"),
        "async": ratio("async"),
        "ant": ratio("ant", task.substeps / substeps_of_ant),
    }


def serial(env_id: str) -> dict[str, float]:
    """Compile and reset of the serial environment."""
    compile_s = median(clocked(lambda: make_env(env_id).close()) for _ in range(RUNS))
    env = make_env(env_id)
    env.reset(seed=0)
    reset_ms = 1e3 * median(clocked(lambda: env.reset()) for _ in range(20))
    env.close()
    return {"compile_s": round(compile_s, 3), "reset_ms": round(reset_ms, 2)}


def images(env_id: str, size: tuple[int, int], steps: int = 5) -> float:
    """Environment steps per second of 16 copies with their first camera: the median of the runs."""
    env = make_vector(env_id, 16, cameras=camera(env_id), image_size=size)
    env.reset(seed=0)
    actions = [env.action_space.sample() for _ in range(steps)]
    env.step(actions[0])
    wall = median(clocked(lambda: [env.step(action) for action in actions]) for _ in range(RUNS))
    env.close()
    return round(16 * steps / wall, 1)


def camera(env_id: str) -> tuple[str]:
    env = make_env(env_id)
    first = env.unwrapped.camera_names[0]
    env.close()
    return (first,)


def beside_gym_aloha() -> dict[str, Any]:
    """Its transfer task and ours, both by all cores, in turns."""
    theirs, small, equal = [], [], []
    for _ in range(RUNS):
        theirs.append(gym_aloha(CORES, 20))
        small.append(images("robotics/TransferCube-v0", (96, 96)))
        equal.append(images("robotics/TransferCube-v0", (480, 640)))

    def over(ours: list[float]) -> float:
        return round(median(a / b["steps_per_s"] for a, b in zip(ours, theirs, strict=True)), 1)

    return {
        "gym_aloha_steps_per_s": round(median(run["steps_per_s"] for run in theirs), 2),
        "gym_aloha_image": theirs[0]["image"],
        "gym_aloha_mujoco": theirs[0]["mujoco"],
        "times_faster": {"at 96 x 96": over(small), "at its size of 480 x 640": over(equal)},
    }


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", default=[], help="environments whose ids hold one of these")
    parser.add_argument("--peer", choices=["gym_aloha"], help="compare with it as well, in its own virtual environment")
    options = parser.parse_args()
    fresh = {}
    ant = gym.make_vec("Ant-v5", num_envs=COPIES, vectorization_mode="async")
    for env_id in robotics.ENVIRONMENTS:
        if not options.only or any(word in env_id for word in options.only):
            fresh[env_id] = {**stepping(env_id, ant), **serial(env_id), "images_96": images(env_id, (96, 96))}
            print(env_id, fresh[env_id], flush=True)
    ant.close()
    peers = {options.peer: beside_gym_aloha()} if options.peer else {}
    document = {"copies": COPIES, "engine": mujoco.__version__}
    publish("envs", document, order=robotics.ENVIRONMENTS, rows=fresh, peers=peers)
