"""`robotics gap`: how much a policy loses on a target, what of, and how sure that is."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robotics.cli.execution import ExecutionField, ExecutionOptions, executed
from robotics.errors import UsageError
from robotics.wording import counted


@dataclass(frozen=True)
class Options:
    """How much a policy loses on a target, what of, and how sure that is; without a target, over single factors."""

    env: str
    """Gymnasium id of one of this project's environments."""
    policy: tuple[str, ...]
    """One or more: expert, random, zero, a run or a checkpoint folder."""
    out: Path
    """Folder for report.html, gap.json, gap.csv, gap_numbers.csv and videos/."""
    target: str | None = None
    """twin:FILE (a hidden twin) or factors:NAME=VALUE,…"""
    calibration: Path | None = None
    """Run the policy in the model of this calibration.json (of `robotics sysid`) too, on the same seeds."""
    factors: str = ""
    """Factors to measure curves of, separated by commas; `robotics list factors`. Some of each kind when not given."""
    ranges: str | None = None
    """Published ranges for the curves: playground, robosuite, colosseum, …; the registry's own when not given."""
    episodes: int = 50
    """Seeds; all arms run on the same ones."""
    seed: int = 1_000_000
    """Episode i uses seed + i."""
    quick: bool = False
    """Few points per curve, sampled attribution, curves only when asked for or without a target (the default)."""
    full: bool = False
    """More points per curve, exact attribution where possible, curves too."""
    budget: str | None = None
    """Time to keep to, such as 20m: plans what is run and says how sure that can be."""
    workers: int = 1
    """Processes; the numbers do not depend on it."""
    copies: int = 1
    """Episodes side by side in one process, for a trained policy: faster."""
    action_mode: str | None = None
    """What an action means; the policy's or the environment's own default when not given."""
    how: ExecutionField = field(default_factory=ExecutionOptions)
    films: int = 0
    """Films of telling seeds, simulation and target side by side, per policy: about a minute each."""
    overwrite: bool = False
    """Replace what is in --out."""
    json: bool = False
    """Print the document, and nothing else, on stdout."""


def run(options: Options) -> None:
    execution = options.how.asked()
    from robotics.reports.gap import write_gap_page
    from robotics.reports.gap_films import film_gap
    from robotics.sim2real.gap import Request, gap
    from robotics.sim2real.targets import open_target

    if options.quick and options.full:
        raise UsageError("--quick and --full contradict each other: give one")
    if options.films < 0 or (options.films and options.target is None):
        raise UsageError(f"--films {options.films}: give a number of films of simulation and --target side by side")
    request = Request(
        env=options.env,
        policies=options.policy,
        target=options.target,
        calibration=options.calibration,
        factors=tuple(name.strip() for name in options.factors.split(",") if name.strip()),
        ranges=options.ranges,
        episodes=options.episodes,
        seed=options.seed,
        full=options.full,
        budget=options.budget,
        workers=options.workers,
        copies=options.copies,
        env_kwargs={} if options.action_mode is None else {"action_mode": options.action_mode},
        execution=execution,
        device=options.how.device,
    )
    document = gap(request, options.out, overwrite=options.overwrite)
    if options.films and options.target is not None:
        there = open_target(options.target, options.env).env_kwargs()
        film_gap(document, there, options.out, options.films, options.how.device)
    page = write_gap_page(options.out)
    print(json.dumps(document, indent=2, allow_nan=False) if options.json else describe(document, page))


def describe(document: dict[str, Any], written: Path) -> str:
    """The document as lines for people."""
    target = document["target"]
    where = "no target: single factors only" if target is None else f"target: {target['kind']}"
    seeds = counted(document["episodes"], "paired seed")
    lines = [f"{document['env']}, {seeds}, randomisation off; {where}", *executed(document)]
    for one in document["policies"]:
        checked, planned = counted(one["determinism"]["seeds"], "seed"), one["plan"]
        on = "" if one["device"] == "cpu" else f"network on {one['device']}; "
        lines.append(f"{one['label']}: {on}same seed, same episode, bit for bit ({checked}, run twice)")
        lines += [f"  {note}" for note in planned["notes"]]
        tell = "tells" if planned["seeds"] == 1 else "tell"
        lines.append(f"  {counted(planned['seeds'], 'seed')} {tell} differences of about ±{planned['half_width']:.0%}")
        lines += [f"  {line}" for line in one["verdict"]]
        if attribution := one["attribution"]:
            lines += _players(attribution["groups"])
        lines += [_curve(curve) for curve in one["curves"]]
        if shift := one["shift"]:
            lines.append(_shift(shift))
    return "\n".join([*lines, f"written to {written}"])


def _players(groups: dict[str, Any]) -> list[str]:
    lines = [f"  drop {groups['total']:+.1%} = sum of ({groups['method']}):"]
    for player in groups["players"]:
        low, high = player["ci95"]
        alone = f"alone {player['single']:+.1%}"
        mark = "" if player["significant"] else "  (may be nothing)"
        lines.append(f"    {player['name']:<18}{player['shapley']:+7.1%} [{low:+.1%}, {high:+.1%}]  {alone}{mark}")
    low, high = groups["interaction_ci95"]
    lines.append(f"    interaction (drop minus all alone) {groups['interaction']:+.1%} [{low:+.1%}, {high:+.1%}]")
    return lines


def _curve(curve: dict[str, Any]) -> str:
    cells = "  ".join(f"{point['value']:.3g}: {point['rate']:.0%}" for point in curve["points"])
    area = "no success" if curve["auc"] is None else f"area {curve['auc']:.2f}"
    return f"  {curve['factor']:<18}{area:<12}{cells}  [{curve['unit']}]"


def _shift(shift: dict[str, Any]) -> str:
    seen = shift["observation"]
    told = "not measured"
    if seen["accuracy"] is not None:
        low, high = seen["ci95"]
        told = f"told apart in {seen['accuracy']:.0%} [{low:.0%}, {high:.0%}] (half would be a guess)"
    moved = max(shift["action_wasserstein"])
    return (
        f"  observations {told}; actions shifted by {moved:.1%} of their range at most; "
        f"by sensors alone {shift['counterfactual_action']:.1%}"
    )
