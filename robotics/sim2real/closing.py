"""How much of a gap was closed, and whether that is sure: arms on the same seeds, in numbers and in words."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from robotics.evaluation.paired import Pairs, mcnemar_mid_p, newcombe_paired
from robotics.sim2real.identification.uncertainty import AT_BOUND
from robotics.wording import counted

Array = np.ndarray

RESAMPLES = 10_000
_SEED = 0xC105
_ALPHA = 0.05


def gain(after: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """How much more often an arm succeeds than another one on the same seeds, as JSON."""
    pairs = Pairs.of(after["success"], before["success"])
    return {
        "difference": pairs.difference,
        "ci95": list(newcombe_paired(pairs)),
        "mcnemar_mid_p": mcnemar_mid_p(pairs),
    }


def closed_fraction(arms: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """(after − before) / (oracle − before) on the target, with a bootstrap over seeds; None without an oracle.

    Without a number where the oracle is not surely better than `before`: there is nothing to take a part of.
    """
    if "oracle" not in arms:
        return None
    there = gain(arms["oracle"]["target"], arms["before"]["target"])
    if not _surely_better(there):
        return {"value": None, "ci95": None}
    won, most = _gains([arms], "after")
    drawn = np.random.default_rng(_SEED).integers(won.size, size=(RESAMPLES, won.size))
    return _part(won, most, won[0, drawn].mean(axis=1), most[0, drawn].mean(axis=1))


def closed_over(targets: Sequence[Mapping[str, Mapping[str, Any]]], name: str) -> dict[str, Any]:
    """What the arm `name` closed of what the oracles gain over `before`, over several targets of equally many seeds.

    The bootstrap draws targets, then seeds of each: it speaks of targets like these, not of these alone. Without a
    number where the oracles may gain nothing.
    """
    won, there = _gains(targets, name)
    rng, (count, seeds) = np.random.default_rng(_SEED), won.shape
    drawn = np.empty((2, RESAMPLES))
    for index in range(RESAMPLES):
        chosen = rng.integers(count, size=(count, 1)), rng.integers(seeds, size=(count, seeds))
        drawn[:, index] = won[chosen].mean(), there[chosen].mean()
    if np.quantile(drawn[1], 0.025) <= 0:
        return {"value": None, "ci95": None}
    return _part(won, there, *drawn)


def _gains(targets: Sequence[Mapping[str, Mapping[str, Any]]], name: str) -> tuple[Array, Array]:
    """What the arm and what the oracle gain over `before`, (targets, seeds) each: -1, 0 or 1."""
    before, arm, oracle = (
        np.array([arms[which]["target"]["success"] for arms in targets], float) for which in ("before", name, "oracle")
    )
    return arm - before, oracle - before


def _part(won: Array, there: Array, drawn_won: Array, drawn_there: Array) -> dict[str, Any]:
    """The ratio of the mean gains, and its interval from means that were drawn again; none where that has no width."""
    ratios = drawn_won[drawn_there > 0] / drawn_there[drawn_there > 0]
    interval = np.quantile(ratios, [0.025, 0.975]).tolist() if np.ptp(ratios) > 1e-9 else None
    return {"value": float(won.mean() / there.mean()), "ci95": interval}


def verdict(
    arms: Mapping[str, Mapping[str, Any]],
    identified: Mapping[str, Any],
    closed: Mapping[str, Any] | None,
    target: str,
) -> list[str]:
    """What the loop did, in sentences that claim no more than was shown."""
    lines = [_on_gain(arms, target), f"identification: {identified['verdict']}"]
    if not identified["promoted"]:
        better = _surely_better(arms["after"]["gain"])
        advice = "only what was measured on the target speaks for it" if better else "prefer the one as it was"
        lines.append(f"the policy was trained around an identification that is not promoted: {advice}")
    for name, row in identified["parameters"].items():
        if AT_BOUND in row.get("reason", ""):
            lines.append(f"{name} {row['reason']} {row['unit']}: nothing was trained with it; it may be what is left")
    if after_wins := _beats_training_alone(arms):
        lines.append(after_wins)
    return [*lines, _on_closed(closed)]


def _on_gain(arms: Mapping[str, Mapping[str, Any]], target: str) -> str:
    before, after = arms["before"]["target"], arms["after"]["target"]
    won = arms["after"]["gain"]
    low, high = (100 * end for end in won["ci95"])
    moved = f"{100 * won['difference']:+.1f} points [{low:+.1f}, {high:+.1f}]"
    rates = f"success on {target} was {before['rate']:.1%} before and {after['rate']:.1%} after, {moved}"
    seeds = counted(after["n"], "seed")
    if _sure(won):
        return f"{rates}: {'better' if won['difference'] > 0 else 'worse'} on the same {seeds}"
    return f"{rates}: not enough evidence of a change with {seeds}"


def _beats_training_alone(arms: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Whether it is the identification that helped, and not merely training anew."""
    others: Sequence[str] = [name for name in ("nominal", "medium", "wide", "identified") if name in arms]
    words = []
    for name in others:
        won = gain(arms["after"]["target"], arms[name]["target"])
        low, high = (100 * end for end in won["ci95"])
        sure = "" if _sure(won) else ", which may be nothing"
        words.append(f"{100 * won['difference']:+.1f} points [{low:+.1f}, {high:+.1f}] against '{name}'{sure}")
    return f"trained around the identification: {'; '.join(words)}" if words else None


def _on_closed(closed: Mapping[str, Any] | None) -> str:
    if closed is None:
        return "what part of the gap was closed is not measured: that takes a policy trained in the target itself"
    if closed["value"] is None:
        return "what part of the gap was closed can not be said: training in the target itself is not surely better"
    closed_by = (
        f"of what training in the target itself gains, training around the identification gains {closed['value']:.0%}"
    )
    if closed["ci95"] is None:
        return f"{closed_by}, on every seed alike"
    low, high = closed["ci95"]
    return f"{closed_by} [{low:.0%}, {high:.0%}]"


def _surely_better(won: Mapping[str, Any]) -> bool:
    return _sure(won) and won["difference"] > 0


def _sure(won: Mapping[str, Any]) -> bool:
    return won["mcnemar_mid_p"] < _ALPHA and won["ci95"][0] * won["ci95"][1] > 0
