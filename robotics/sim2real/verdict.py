"""A gap report in plain words, claiming no more than its intervals do."""

from typing import Any

from robotics.sim2real.attribution import ALPHA, LEAST_PAIRS, Attribution
from robotics.sim2real.factors import FACTORS


def percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def span(interval: Any) -> str:
    return f"[{100 * interval[0]:.0f}, {100 * interval[1]:.0f}]"


def on_drop(policy: str, sim: dict[str, Any], target: dict[str, Any], paired: dict[str, Any], where: str) -> str:
    """Whether there is a drop."""
    rates = f"{policy}: {percent(sim['rate'])} {span(sim['ci95'])} in simulation, {percent(target['rate'])} "
    rates += f"{span(target['ci95'])} on {where}"
    low, high = paired["ci95"]
    drop = f"{100 * paired['drop']:.0f} points {span(paired['ci95'])}"
    if paired["n"] < LEAST_PAIRS:
        return f"{rates}; not enough evidence: {paired['n']} seeds can not show any difference"
    if paired["mcnemar_p"] <= ALPHA and low > 0:
        return f"{rates}: it loses {drop}"
    if paired["mcnemar_p"] <= ALPHA and high < 0:
        return f"{rates}: it gains {-100 * paired['drop']:.0f} points [{-100 * high:.0f}, {-100 * low:.0f}]"
    needed = paired["seeds_needed"]
    more = "" if needed is None else f"; about {needed} seeds would show a difference of this size"
    return f"{rates}; not enough evidence of a drop: {drop}, exact McNemar p = {paired['mcnemar_p']:.2g}{more}"


def on_calibration(
    sim: dict[str, Any], target: dict[str, Any] | None, calibrated: dict[str, Any], promoted: bool
) -> str:
    """What the calibrated model says of the policy, beside the nominal one, and which is nearer to the target."""
    model = "the calibrated model" if promoted else "the calibrated model, which is NOT promoted,"
    line = f"in {model} {percent(calibrated['rate'])} {span(calibrated['ci95'])} on the same seeds"
    if target is None:
        return line
    apart = calibrated["paired_with_target"]
    return (
        f"{line}: from there to the target it loses {100 * apart['drop']:.0f} points {span(apart['ci95'])}, from the "
        f"nominal model {100 * (sim['rate'] - target['rate']):.0f}; both are shown, since identification can "
        "manufacture agreement"
    )


def on_attribution(groups: Attribution | None, within: Attribution | None, leading: str | None) -> list[str]:
    """What the drop comes from; nothing where there is none to share out."""
    if groups is None:
        return []
    if not groups.sure:
        return [f"not enough evidence to share out a drop of {100 * groups.total:.0f} points {span(groups.total_ci95)}"]
    lines = []
    for blame in groups.players:
        if blame.significant and blame.share is not None:
            lines.append(f"{percent(blame.share)} of the drop comes from {blame.name} {span(blame.share_ci95)}")
    if not lines:
        lines.append("not enough evidence to blame any group of factors: more seeds are needed")
    if within is not None and leading is not None and within.sure:
        for blame in within.players:
            if blame.significant and blame.share is not None:
                name = FACTORS[blame.name].name.replace("_", " ") if blame.name in FACTORS else blame.name
                lines.append(f"within {leading}, {percent(blame.share)} comes from {name} {span(blame.share_ci95)}")
    low, high = groups.interaction_ci95
    if low > 0 or high < 0:
        kind = "more" if groups.interaction > 0 else "less"
        lines.append(
            f"together the groups cost {kind} than one by one: interaction {100 * groups.interaction:.0f} points "
            f"{span(groups.interaction_ci95)}"
        )
    return lines


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
                f"{100 * worst['drop']:.0f} points {span(worst['drop_ci95'])}"
            )
    if curves and not lines:
        lines.append("no factor alone costs anything that these seeds can show")
    return lines
