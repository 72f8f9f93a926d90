"""PPO from nothing: how long a training takes, and how often the policy then succeeds on 100 development seeds.

    .venv/bin/python scripts/benchmarks/reinforcement.py [--only NAME …] [--steps N] [--seed 0] [--keep FOLDER]

The settings are those of `robotics train ppo --env ID`, evaluations on the way included. `wall_s` and `cpu_s` are the
time of the training, and of all its threads together: on a busy machine the better measure, half of it being the least
that two cores take. Rows that are not measured anew stay, each with the commit it was measured at.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from provenance import publish

from robotics.evaluation.bench import bench
from robotics.reinforcement.train import train

TASKS = ("robotics/Reach-v0", "robotics/PathTrack-v0")
FIRST_SEED, EPISODES = 1_000_000, 100


def cpu_s() -> float:
    """Processor time of this process and its children so far [s]."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def measured(env_id: str, run: Path, options: dict[str, Any]) -> dict[str, Any]:
    wall, cpu = time.perf_counter(), cpu_s()
    steps = train("ppo", env_id, run, options=options, overwrite=True)
    wall, cpu = time.perf_counter() - wall, cpu_s() - cpu
    document = bench(env_id, str(run), EPISODES, FIRST_SEED)
    return {
        "steps": steps,
        "wall_s": round(wall),
        "cpu_s": round(cpu),
        "episodes": EPISODES,
        "successes": sum(episode["success"] for episode in document["episodes"]),
        "ci95": [round(bound, 4) for bound in document["success_ci95"]],
        "return_mean": round(document["return_mean"], 1),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", default=[], help="tasks whose ids hold one of these; the others stay")
    parser.add_argument("--steps", type=int, help="other than the task's default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the runs; without it they are deleted")
    chosen = parser.parse_args()
    options = {"seed": chosen.seed} | ({} if chosen.steps is None else {"steps": chosen.steps})
    for env_id in TASKS:
        if chosen.only and not any(word in env_id for word in chosen.only):
            continue
        with tempfile.TemporaryDirectory() as scratch:
            folder = (chosen.keep or Path(scratch)) / env_id.rpartition("/")[2]
            row = {**measured(env_id, folder, options), "seed": chosen.seed}
        publish("reinforcement", {"first_seed": FIRST_SEED}, order=TASKS, rows={env_id: row})
