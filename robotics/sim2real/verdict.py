"""A gap report in plain words, claiming no more than its intervals do."""

from collections.abc import Sequence
from typing import Any

from robotics.sim2real.attribution import ALPHA, LEAST_PAIRS, Attribution, Blame
from robotics.sim2real.factors import FACTORS
from robotics.wording import counted


def percent(value: float) -> str:
    return f"{round(100 * value)} %"


def span(interval: Any) -> str:
    return f"[{round(100 * interval[0])}, {round(100 * interval[1])}]"


def on_drop(policy: str, sim: dict[str, Any], target: dict[str, Any], paired: dict[str, Any], where: str) -> str:
    """Whether there is a drop."""
    rates = f"{policy}: {percent(sim['rate'])} {span(sim['ci95'])} in simulation, {percent(target['rate'])} "
    rates += f"{span(target['ci95'])} on {where}"
    if paired["n"] < LEAST_PAIRS:
        return f"{rates}; not enough evidence: {counted(paired['n'], 'seed')} can not show any difference"
    if changed := _surely(paired):
        return f"{rates}: it {changed}"
    needed = paired["seeds_needed"]
    more = "" if needed is None else f"; about {counted(needed, 'seed')} would show a difference of this size"
    drop = f"{round(100 * paired['drop'])} points {span(paired['ci95'])}"
    return f"{rates}; not enough evidence of a drop: {drop}, exact McNemar p = {paired['mcnemar_p']:.2g}{more}"


def _surely(paired: dict[str, Any]) -> str | None:
    """What is lost or gained from the first arm of a pair to the second; None where neither is shown."""
    low, high = paired["ci95"]
    if paired["n"] < LEAST_PAIRS or paired["mcnemar_p"] > ALPHA or low <= 0 <= high:
        return None
    return _lost(paired["drop"], (low, high))


def _lost(drop: float, ci95: Any) -> str:
    if drop < 0:
        return f"gains {round(-100 * drop)} points {span((-ci95[1], -ci95[0]))}"
    return f"loses {round(100 * drop)} points {span(ci95)}"


def on_calibration(
    sim: dict[str, Any],
    target: dict[str, Any] | None,
    calibrated: dict[str, Any],
    promoted: bool,
    not_applied: Sequence[str] = (),
) -> str:
    """What the calibrated model says of the policy, beside the nominal one, and which is nearer to the target.

    `not_applied` are parameters of the calibration that this environment has no place for.
    """
    model = "the calibrated model" if promoted else "the calibrated model, which is NOT promoted,"
    model += f" (without {', '.join(not_applied)})" if not_applied else ""
    line = f"in {model} {percent(calibrated['rate'])} {span(calibrated['ci95'])} on the same seeds"
    if target is None:
        return line
    apart = calibrated["paired_with_target"]
    if apart["n"] < LEAST_PAIRS:
        return f"{line}; {counted(apart['n'], 'seed')} can not show which model is nearer to the target"
    shown = _surely(apart)
    there = f"it {shown}" if shown else f"no difference is shown ({round(100 * apart['drop'])} {span(apart['ci95'])})"
    points = round(100 * (sim["rate"] - target["rate"]))
    nominal = f"{points} lost" if points > 0 else f"{-points} gained" if points < 0 else "none lost"
    return (
        f"{line}: from there to the target {there}, from the nominal model {nominal}; both are shown, since "
        "identification can manufacture agreement"
    )


def on_attribution(groups: Attribution | None, within: Attribution | None, leading: str | None) -> list[str]:
    """What the drop comes from; nothing where there is none to share out."""
    if groups is None:
        return []
    if not groups.sure:
        if groups.gained:
            return [f"on these seeds it {_lost(groups.total, groups.total_ci95)}: there is no drop to share out"]
        drop = f"{round(100 * groups.total)} points {span(groups.total_ci95)}"
        return [f"not enough evidence to share out a drop of {drop}"]
    lines = [_share(blame, blame.name, "of the drop ") for blame in groups.players if blame.significant]
    if not lines:
        lines.append("not enough evidence to blame any group of factors: more seeds are needed")
    if within is not None and leading is not None and within.sure:
        for blame in within.players:
            if blame.significant:
                name = FACTORS[blame.name].name.replace("_", " ") if blame.name in FACTORS else blame.name
                lines.append(f"within {leading}, {_share(blame, name)}")
    low, high = groups.interaction_ci95
    if low > 0 or high < 0:
        kind = "more" if groups.interaction > 0 else "less"
        lines.append(
            f"together the groups cost {kind} than one by one: interaction {round(100 * groups.interaction)} points "
            f"{span(groups.interaction_ci95)}"
        )
    return lines


def _share(blame: Blame, name: str, of: str = "") -> str:
    """A player's part of a drop that is sure."""
    assert blame.share is not None
    alike, interval = "on every seed alike", blame.share_ci95
    if blame.share < 0:
        made_up = alike if interval is None else span((-interval[1], -interval[0]))
        return f"{name} makes up for {percent(-blame.share)} {of}{made_up}"
    caused = f", {alike}" if interval is None else f" {span(interval)}"
    return f"{percent(blame.share)} {of}comes from {name}{caused}"


def on_curves(curves: list[dict[str, Any]]) -> list[str]:
    """Factors whose worst value loses surely something, the worst first."""
    lines: list[str] = []
    if any(point["successes"] == 0 for curve in curves for point in curve["points"] if point["severity"] == 0.0):
        return ["it never succeeds in the simulation, so there is nothing that a factor could cost"]
    tried = sum(len(curve["points"]) - 1 for curve in curves)  # the worst of so many is looked at
    for curve in sorted(curves, key=lambda one: one["worst"]["rate"]):
        worst = min(curve["points"], key=lambda point: point["rate"])
        enough = worst["n"] >= LEAST_PAIRS
        if enough and worst["drop_ci95"][0] > 0 and worst["mcnemar_mid_p"] <= ALPHA / max(1, tried):
            lines.append(
                f"{curve['factor'].replace('_', ' ')} at {worst['value']:.3g} {curve['unit']} costs "
                f"{round(100 * worst['drop'])} points {span(worst['drop_ci95'])}"
            )
    if curves and not lines:
        lines.append("no factor alone costs anything that these seeds can show")
    return lines
