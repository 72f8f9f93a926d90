"""One network, four objectives, eight samplers: the success of each on two tasks.

    OMP_NUM_THREADS=1 .venv/bin/python scripts/benchmarks/objectives.py --out /tmp/objectives

Demonstrations are collected, the `small` diffusion transformer is trained as regression, MIP, flow and DDIM with each
seed, and what each training gives is measured with each number of evaluations on the same episodes. The intervals are
of the method, from how its trainings differ: with three of them they are wide. What a chunk takes: `inference.py`. What
is in --out already is used again: an interrupted run goes on where it stopped. Less with --seeds 1 --episodes 50
--steps 4000.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from provenance import publish
from readme_table import into_readme

from robotics.datasets.collect import collect
from robotics.evaluation.batched import evaluate_batched
from robotics.evaluation.hierarchy import rate_over_trainings
from robotics.outputs import kept_json
from robotics.policies.checkpoint import load_policy
from robotics.policies.dit import DiT
from robotics.policies.dit_config import Objective
from robotics.training.train import train

TASKS = ("robotics/TransferCube-v0", "robotics/BimanualInsertion-v0")
#: Objective -> the numbers of network evaluations it is measured with.
SAMPLERS: dict[Objective, tuple[int, ...]] = {"regression": (1,), "mip": (2,), "flow": (1, 3, 5, 9), "ddim": (8, 16)}
#: Apart from the seeds that recipes were chosen with.
FIRST_SEED = 1_700_000


def trained(task: str, objective: Objective, seed: int, options: argparse.Namespace) -> Path:
    """The run of one training; what is missing of it is made."""
    name = task.split("/")[-1]
    data, run = options.out / f"{name}-data", options.out / f"{name}-{objective}-{seed}"
    collect(task, options.demonstrations, 0, data, workers=options.workers, resume=data.exists())
    training = {"seed": seed} | ({"steps": options.steps} if options.steps else {})
    train("dit", data, run, policy_options={"objective": objective}, training_options=training, resume=run.exists())
    return run


def measured(task: str, run: Path, evaluations: int, options: argparse.Namespace) -> dict[str, Any]:
    """Successes of a run, sampled in so many evaluations."""
    path = run / f"evaluations-{evaluations}-of-{options.episodes}.json"

    def measure() -> dict[str, Any]:
        policy = sampled_in(run, evaluations)
        seeds = range(FIRST_SEED, FIRST_SEED + options.episodes)
        episodes = evaluate_batched(task, policy, seeds, copies=options.copies)
        return {"successes": sum(bool(episode.success) for episode in episodes)}

    return kept_json(path, measure)


def sampled_in(run: Path, evaluations: int) -> DiT:
    """The policy of a run, with that number of evaluations per chunk."""
    policy = load_policy(run)
    assert isinstance(policy, DiT)
    policy.config = replace(policy.config, sampling_steps=evaluations)
    return policy


def interval(successes: list[int], episodes: int) -> list[float]:
    """95 % interval of a method's success from those of its trainings."""
    outcomes = [[1.0] * count + [0.0] * (episodes - count) for count in successes]
    return [round(bound, 4) for bound in rate_over_trainings(outcomes)]


def table(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One row per task, objective and number of evaluations."""
    for task in options.tasks:
        for objective, counts in SAMPLERS.items():
            runs = [trained(task, objective, seed, options) for seed in range(options.seeds)]
            for evaluations in counts:
                results = [measured(task, run, evaluations, options) for run in runs]
                each = [result["successes"] for result in results]
                yield {
                    "task": task,
                    "objective": objective,
                    "evaluations": evaluations,
                    "success_rate": round(sum(each) / (len(each) * options.episodes), 4),
                    "ci95": interval(each, options.episodes),
                    "successes_of_each_seed": each,
                }


def as_table(rows: list[dict[str, Any]], episodes: int) -> str:
    """A row per objective and number of evaluations, a column per task, with the percentages of all trainings."""
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    names = [task.split("/")[-1].removesuffix("-v0") for task in tasks]
    lines = [f"| objective, evaluations | {' | '.join(names)} |", f"|---|{'---|' * len(tasks)}"]
    for objective, evaluations in dict.fromkeys((row["objective"], row["evaluations"]) for row in rows):
        chosen = [row for row in rows if (row["objective"], row["evaluations"]) == (objective, evaluations)]
        shares = []
        for row in chosen:
            value, low, high = (f"{100 * number:.1f}" for number in (row["success_rate"], *row["ci95"]))
            each = ", ".join(f"{100 * count / episodes:.0f}" for count in row["successes_of_each_seed"])
            shares.append(f"{value} % [{low}, {high}] ({each})")
        lines.append(f"| {objective}, {evaluations} | {' | '.join(shares)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of demonstrations, runs and measurements")
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--demonstrations", type=int, default=50)
    parser.add_argument("--steps", type=int, help="of each training; the preset's when not given")
    parser.add_argument("--workers", type=int, default=2, help="processes that collect")
    parser.add_argument("--copies", type=int, default=32, help="episodes at a time")
    parser.add_argument("--name", default="objectives", help="of the result")
    options = parser.parse_args()
    settings = {name: getattr(options, name) for name in ("seeds", "episodes", "demonstrations", "steps")}
    rows = list(table(options))
    publish(options.name, {"preset": "small", **settings, "rows": rows})
    if options.name == parser.get_default("name"):
        into_readme("objectives", as_table(rows, options.episodes))
