"""Every task's expert over 100 development seeds, and the README's table of them.

    OMP_NUM_THREADS=1 .venv/bin/python scripts/benchmarks/experts.py [--only NAME …] [--episodes 100] [--no-readme]

Rows that are not measured anew stay, each with the commit it was measured at; a row is kept as soon as it is measured.
`episode_s` is the mean simulated length;
`realtime_factor` simulated over wall time of one process, with physics, controllers and the expert in it.
"""

import argparse
import os
from typing import Any

import numpy as np
from provenance import publish, rows_of
from readme_table import into_readme

import robotics
from robotics.environments import make_env
from robotics.evaluation.bench import bench

FIRST_SEED = 1_000_000


def measured(env_id: str, episodes: int, workers: int) -> dict[str, Any]:
    document = bench(env_id, "expert", episodes, FIRST_SEED, workers=workers)
    lengths = np.array([episode["length"] for episode in document["episodes"]]) / document["control_hz"]
    walls = np.array([episode["wall_s"] for episode in document["episodes"]])
    env = make_env(env_id)
    robot = env.unwrapped.robot_type
    env.close()
    return {
        "robot": robot,
        "episodes": episodes,
        "successes": sum(episode["success"] for episode in document["episodes"]),
        "ci95": [round(bound, 4) for bound in document["success_ci95"]],
        "episode_s": round(float(lengths.mean()), 1),
        "realtime_factor": round(float(np.median(lengths / walls)), 2),
        "faults": document["faults"],
    }


def table(rows: dict[str, dict[str, Any]]) -> str:
    lines = ["| task | robot | expert | 95 % Wilson | episode | x real time |", "|---|---|---|---|---|---|"]
    for env_id, row in rows.items():
        low, high = (f"{100 * bound:.1f}" for bound in row["ci95"])
        lines.append(
            f"| `{env_id}` | {row['robot']} | {row['successes']}/{row['episodes']} | {low}–{high} % "
            f"| {row['episode_s']} s | {row['realtime_factor']} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", default=[], help="tasks whose ids hold one of these; the others stay")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--no-readme", action="store_true", help="leave the README's table as it is")
    options = parser.parse_args()
    for env_id in robotics.ENVIRONMENTS:
        if not options.only or any(word in env_id for word in options.only):
            row = measured(env_id, options.episodes, options.workers)
            publish("experts", {"seed": FIRST_SEED}, order=robotics.ENVIRONMENTS, rows={env_id: row})
    if not options.no_readme:
        into_readme("experts", table(rows_of("experts")))
