"""`robotics agree`: does success in simulation predict success on the target, over a table of policies."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from robotics.errors import UsageError
from robotics.wording import counted

TITLES = {
    "mmrv": "MMRV",
    "pearson": "Pearson r",
    "spearman": "Spearman rho",
    "kendall": "Kendall tau-b",
    "mae": "mean |sim - target|",
    "bias": "mean sim - target",
    "regret": "regret of choosing in sim",
}
SOURCES = {
    "trials": "the noise of the trials, given how alike the table shows both places to be; of these policies alone",
    "sim trials": "the noise of the trials in simulation (those on the target are not known)",
    "target trials": "the noise of the trials on the target (those in simulation are not known)",
    "policies": "drawing policies anew (numbers of trials are not known); for policies like these",
    None: "nothing: neither trials nor enough policies are known",
}


@dataclass(frozen=True)
class Options:
    """Rank agreement of simulation and target over a set of policies: MMRV and correlations, with their intervals."""

    table: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="TABLE.csv")]
    """One line per policy: policy, sim, target (rates in [0, 1]); where known, sim_n and target_n (trials), family
    (checkpoints of one run are one). Other columns are welcome."""
    by: str | None = None
    """Column that tells groups apart: a task, for example. Each is judged for itself."""
    columns: tuple[str, ...] = ()
    """What the file calls these columns, where it differs: sim=sim_success target=real_success."""
    seed: int = 0
    """Of the intervals, which are drawn: the same seed gives the same bits."""
    json: bool = False
    """Print the document, and nothing else, on stdout."""


def run(options: Options) -> None:
    import sys

    from robotics.evaluation.seeds import require_seed

    require_seed(options.seed)
    document = agree(options.table, options.by, _mapping(options.columns), options.seed)
    for warning in document["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    print(json.dumps(document, indent=2, allow_nan=False) if options.json else describe(document))


def agree(table: Path, by: str | None, columns: dict[str, str], seed: int) -> dict[str, Any]:
    """The document of `robotics agree --json`; DataError and UsageError as `read_table`."""
    import numpy as np

    from robotics.evaluation.agreement import agreement
    from robotics.evaluation.agreement_table import read_table

    content = read_table(table, by, columns)
    # One generator per group: a group's intervals do not depend on which others are in the file
    groups = [{"by": name, **agreement(scores, np.random.default_rng(seed))} for name, scores in content.groups.items()]
    return {"schema": 1, "table": str(table), "by": by, "warnings": list(content.warnings), "groups": groups}


def describe(document: dict[str, Any]) -> str:
    """The document as a few lines per group for people."""
    return "\n\n".join(_group_lines(group) for group in document["groups"])


def _interval(bounds: list[float] | None) -> str:
    return "no interval" if bounds is None else f"[{_rounded(bounds[0], 3)}, {_rounded(bounds[1], 3)}]"


def _rounded(value: float, digits: int) -> str:
    """Without the sign of a zero."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def _group_lines(group: dict[str, Any]) -> str:
    independent = "" if group["n_independent"] == group["n"] else f" ({group['n_independent']} independent)"
    title = "" if group["by"] is None else f"{group['by']}: "
    policies = counted(group["n"], "policy", "policies")
    lines = [f"{title}{policies}{independent}; 95 % intervals from {SOURCES[group['interval']]}"]
    for name, text in TITLES.items():
        if group[name] is None:
            lines.append(f"  {text:<27}refused")
            continue
        lines.append(f"  {text:<27}{_rounded(group[name], 4):>7}  {_interval(group[f'{name}_ci95'])}")
    if group["pearson"] is not None:
        lines.append(f"  {'r for other policies':<27}{'':7}  {_interval(group['pearson_fisher_ci95'])} (Fisher z)")
        lines.append(
            f"  {'r by chance':<27}p = {group['permutation_p']:.2g} "
            f"(no smaller than {group['permutation_floor']:.2g} is possible)"
        )
        moved = "undefined" if group["leverage"] is None else f"moved by {group['leverage']:.2f}"
        lines.append(f"  {'r hangs most on':<27}{group['leverage_policy']}: without it {moved}")
    if group["reason"]:
        lines.append(f"  {group['reason']}")
    return "\n".join(lines)


def _mapping(pairs: tuple[str, ...]) -> dict[str, str]:
    mapping = {}
    for pair in pairs:
        ours, equals, theirs = pair.partition("=")
        if not (equals and ours and theirs):
            raise UsageError(f"--columns {pair}: expected NAME=COLUMN, sim=sim_success for example")
        mapping[ours] = theirs
    return mapping
