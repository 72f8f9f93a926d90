"""What late chunks cost: delay x way of execution, success and smoothness of one policy on one task.

    .venv/bin/robotics train dit --data DATA --out RUN --max-delay 8
    .venv/bin/python scripts/benchmarks/latency.py --policy RUN [--env robotics/TransferCube-v0] [--delays 0 2 4 6 8]

One diffusion transformer trained by flow matching with `max_delay`, the same seeds in every cell. `delay` counts
control steps between asking for a chunk and having it; the ways of execution are those of `robotics.policies.schedule`:
sync is receding_horizon (the robot holds its last action while it waits). `squared_jerk` is the mean square of the
third differences of the actions, over time and dimensions, averaged over episodes [(unit of the action)²/step⁶].
"""

import argparse
import os
import sys
from typing import Any

import numpy as np
from provenance import publish

from robotics.errors import UsageError
from robotics.evaluation.batched import evaluate_batched
from robotics.evaluation.statistics import bootstrap_mean, wilson
from robotics.policies.checkpoint import find_pretrained, load_policy, read_policy_config
from robotics.policies.documents import to_document
from robotics.policies.schedule import Execution, schedule_for

#: Column of the table -> mode of execution.
WAYS = {
    "sync": "receding_horizon",
    "naive async": "naive_async",
    "temporal ensembling": "temporal_ensembling",
    "RTC-VJP": "rtc",
    "RTC-training-time": "rtc_training",
}
#: Apart from what other benchmarks and rollouts during training use.
FIRST_SEED = 1_400_000


def cell(env_id: str, policy: str, execution: Execution, seeds: range, copies: int) -> dict[str, Any]:
    """Success and smoothness of `policy`, executed so."""
    episodes = evaluate_batched(env_id, policy, seeds, copies=copies, execution=execution)
    successes = sum(bool(episode.success) for episode in episodes)
    jerks = [episode.squared_jerk for episode in episodes]
    return {
        "successes": successes,
        "success_ci95": [round(bound, 4) for bound in wilson(successes, len(episodes))],
        "squared_jerk": float(np.mean(jerks)),
        "squared_jerk_ci95": list(bootstrap_mean(jerks, np.random.default_rng(0))),
        "return_mean": round(float(np.mean([episode.return_ for episode in episodes])), 3),
        "length_mean": round(float(np.mean([episode.length for episode in episodes])), 1),
    }


def table(rows: list[dict[str, Any]], ways: list[str], episodes: int) -> str:
    """Success in % and 10⁶ x squared jerk, as Markdown."""
    lines = ["| delay | " + " | ".join(ways) + " |", "|---" * (len(ways) + 1) + "|"]
    for row in rows:
        cells = [f"{100 * row[way]['successes'] / episodes:.1f} ({1e6 * row[way]['squared_jerk']:.2f})" for way in ways]
        lines.append(f"| {row['delay']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    parser = argparse.ArgumentParser()
    parser.add_argument("--policy", required=True, help="a run trained with --max-delay")
    parser.add_argument("--env", default="robotics/TransferCube-v0")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--delays", type=int, nargs="+", default=[0, 2, 4, 6, 8])
    parser.add_argument("--only", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--n-action-steps", type=int, help="of every way but temporal ensembling; the policy's own")
    parser.add_argument("--copies", type=int, default=100)
    parser.add_argument("--name", default="latency", help="of the document under results/")
    options = parser.parse_args()
    config = read_policy_config(find_pretrained(options.policy))
    cells = {
        (delay, way): Execution(
            WAYS[way], None if WAYS[way] == "temporal_ensembling" else options.n_action_steps, delay
        )
        for delay in options.delays
        for way in options.only
    }
    for execution in cells.values():  # before hours of work, not after
        try:
            schedule_for(execution, config, options.policy)
        except UsageError as error:
            sys.exit(f"error: {error}")
    parameters = sum(parameter.numel() for parameter in load_policy(options.policy).parameters())
    seeds, rows = range(FIRST_SEED, FIRST_SEED + options.episodes), []
    for delay in options.delays:
        row: dict[str, Any] = {"delay": delay}
        for way in options.only:
            row[way] = cell(options.env, options.policy, cells[delay, way], seeds, options.copies)
            print(f"delay {delay}, {way}: {row[way]['successes']}/{options.episodes}", file=sys.stderr, flush=True)
        rows.append(row)
        publish(
            options.name,
            {
                "env": options.env,
                "policy": {**to_document(config), "parameters": parameters},
                "first_seed": FIRST_SEED,
                "episodes": options.episodes,
                "n_action_steps": options.n_action_steps or config.n_action_steps,
                "rows": rows,
            },
        )
    print(table(rows, options.only, options.episodes), file=sys.stderr)
