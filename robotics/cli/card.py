"""`robotics card`: what each change of object, scene, camera and words costs a policy."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robotics.cli.execution import ExecutionField, ExecutionOptions, executed
from robotics.evaluation.seeds import refuse_seed_beside_exam
from robotics.outputs import prepare_folder, require_free
from robotics.wording import counted


@dataclass(frozen=True)
class Options:
    """Robustness and generalisation card of a policy: one radar picture, one table."""

    env: str
    """One of our environments (`robotics list envs`)."""
    policy: str
    """expert, random, zero, a run or a checkpoint folder."""
    out: Path
    """Folder that gets card.html, card.json, card.csv and card.svg."""
    episodes: int = 50
    """Episodes per change, on the same seeds."""
    seed: int = 1_000_000
    """Episode i uses seed + i."""
    severity: float = 1.0
    """How far: 1 is the end of the factors' ranges (`robotics list factors`)."""
    exam: str | None = None
    """Secret key: seeds that nobody can have tuned to."""
    how: ExecutionField = field(default_factory=ExecutionOptions)
    workers: int = 1
    """Processes; the result does not depend on it."""
    overwrite: bool = False
    """Replace a card in --out."""
    json: bool = False
    """Print the document, and nothing else, on stdout."""


def run(options: Options) -> None:
    execution = options.how.asked()
    refuse_seed_beside_exam(options.seed, options.exam)
    from robotics.reports.gap_card import write_card
    from robotics.sim2real.card import robustness_card

    folder = (options.out, "robustness card", ("card.json",))
    require_free(*folder, overwrite=options.overwrite)
    document = robustness_card(
        options.env,
        options.policy,
        options.episodes,
        options.seed,
        severity=options.severity,
        exam=options.exam,
        execution=execution,
        device=options.how.device,
        workers=options.workers,
    )
    page = write_card(document, prepare_folder(*folder, overwrite=options.overwrite))
    print(json.dumps(document, indent=2, allow_nan=False) if options.json else describe(document, page))


def describe(document: dict[str, Any], page: Path) -> str:
    """The card as a table for people."""
    from robotics.reports.gap_card import verdict
    from robotics.reports.gap_format import between, p_value, percent, points, points_between

    nominal = document["nominal"]
    episodes = counted(document["episodes"], "episode")
    lines = [f"{document['policy']} on {document['env']}, {episodes} per row", *executed(document)]
    lines.append(f"{'as it is':<18}{percent(nominal['success_rate']):>8}  [{between(nominal['success_ci95'])}]")
    for row in document["axes"]:
        if row["missing"]:
            lines.append(f"{row['name']:<18}{'–':>8}  not tried: {row['missing']}")
            continue
        lines.append(
            f"{row['name']:<18}{percent(row['success_rate']):>8}  [{between(row['success_ci95'])}]  "
            f"{points(row['difference'])} points [{points_between(row['difference_ci95'])}], "
            f"p {p_value(row['p_holm'])} (Holm)"
        )
    return "\n".join([*lines, verdict(document), f"written to {page}"])
