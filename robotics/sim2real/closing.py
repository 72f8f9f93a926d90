"""How much of a gap was closed, and whether that is sure: arms on the same seeds, in numbers and in words."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import stdtrit

from robotics.evaluation.paired import Pairs, mcnemar_mid_p, newcombe_paired
from robotics.evaluation.statistics import Interval
from robotics.sim2real.identification.uncertainty import AT_BOUND
from robotics.wording import counted

Array = np.ndarray

#: How much less, or more, an arm is taken to close on a target that was not drawn.
UNSEEN = 0.3
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
    """(after − before) / (oracle − before) on the target, with its interval over seeds; None without an oracle.

    Without a number where the oracle is not surely better than `before`: there is nothing to take a part of.
    """
    if "oracle" not in arms:
        return None
    there = gain(arms["oracle"]["target"], arms["before"]["target"])
    won, most = (gains[0] for gains in _gains([arms], "after"))
    interval = _ratio_interval(won, most)
    if interval is None or not _surely_better(there):
        return {"value": None, "ci95": None}
    alike = interval[1] - interval[0] < 1e-9
    return {"value": float(won.mean() / most.mean()), "ci95": None if alike else list(interval)}


def closed_over(targets: Sequence[Mapping[str, Mapping[str, Any]]], name: str) -> dict[str, Any]:
    """What the arm `name` closed of what the oracles gain over `before`, over several targets of equally many seeds.

    The interval speaks of targets like these, not of these alone. What is left open is often the matter of one target
    in ten, which ten draws may miss; so its ends are as though there were one more target, on which the arm closes
    `UNSEEN` less, or more. How often that covers: scripts/benchmarks/calibration.py. Without a number where the oracles
    may gain nothing, and for one target alone.
    """
    won, there = (gains.mean(axis=1) for gains in _gains(targets, name))
    if len(targets) < 2 or _ratio_interval(won, there) is None:
        return {"value": None, "ci95": None}
    further = UNSEEN * there.mean()
    less, more = (
        _ratio_interval(np.append(won, won.mean() + side * further), np.append(there, there.mean())) for side in (-1, 1)
    )
    assert less and more  # one more target of the mean gain makes the oracles no less sure
    return {"value": float(won.mean() / there.mean()), "ci95": [less[0], more[1]]}


def _gains(targets: Sequence[Mapping[str, Mapping[str, Any]]], name: str) -> tuple[Array, Array]:
    """What the arm and what the oracle gain over `before`, (targets, seeds) each: -1, 0 or 1."""
    before, arm, oracle = (
        np.array([arms[which]["target"]["success"] for arms in targets], float) for which in ("before", name, "oracle")
    )
    return arm - before, oracle - before


def _ratio_interval(above: Array, below: Array) -> Interval | None:
    """95 % interval of mean(above) / mean(below) of n pairs, by Fieller's theorem (Fieller 1954).

    It holds the ratios r for which a t test does not tell the mean of `above - r below` from zero. None where the mean
    of `below` is not surely above zero: then no ratio is too large.
    """
    cut = float(stdtrit(len(below) - 1, 0.975)) ** 2 / len(below)
    (variance, together), (_, variance_below) = np.cov(above, below)
    a = below.mean() ** 2 - cut * variance_below
    b = above.mean() * below.mean() - cut * together
    c = above.mean() ** 2 - cut * variance
    if a <= 0 or below.mean() <= 0:
        return None
    half = math.sqrt(max(b * b - a * c, 0.0))
    return float((b - half) / a), float((b + half) / a)


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
