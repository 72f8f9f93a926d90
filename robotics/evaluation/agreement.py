"""Rank agreement of simulation and target over a set of policies, with all that its number does not say by itself.

A correlation over six policies looks convincing and seldom is: the interval from the trials alone spans ±0.1 to 0.2,
the one for other policies reaches zero. So nothing here comes without its interval, and a correlation over fewer than
four independent policies is refused.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from robotics.evaluation.rank_metrics import CORRELATIONS, METRICS, pearson
from robotics.evaluation.rates_together import rates_together
from robotics.evaluation.statistics import Interval, expanded_levels, quantile_interval
from robotics.wording import counted

#: Below this many independent policies no correlation is given: Fisher's z has no variance at three.
ENOUGH_POLICIES = 4
RESAMPLES = 4_000
#: All orders are tried up to this many policies (7! = 5040), a sample of them beyond.
ALL_ORDERS = 7
#: Above this p-value the trials do not tell simulation and target apart: intervals then hold what a simulation that is
#: exactly right has, which draws of rates never are.
ALIKE = 0.05
RIGHT = {**dict.fromkeys(METRICS, 0.0), **dict.fromkeys(CORRELATIONS, 1.0)}
#: A correlation that changes by more than this when one policy is left out hangs on that policy.
LEVERAGE = 0.10


@dataclass(frozen=True)
class Scores:
    """Success of N policies in simulation and on the target.

    Attributes:
        policies: their names.
        sim, target: (N,) rates in [0, 1].
        sim_n, target_n: (N,) trials behind each rate; None where not known.
        family: what a policy belongs to: checkpoints of one training run are one family, and count once. None where
            every policy stands for itself.
    """

    policies: Sequence[str]
    sim: np.ndarray
    target: np.ndarray
    sim_n: np.ndarray | None = None
    target_n: np.ndarray | None = None
    family: Sequence[str] | None = None

    @property
    def independent(self) -> int:
        """How many policies that are not of one family."""
        return len(set(self.labels))

    @property
    def labels(self) -> Sequence[str]:
        """Of each policy, what counts once: its family, or itself."""
        return self.policies if self.family is None else self.family


def agreement(scores: Scores, generator: np.random.Generator) -> dict[str, Any]:
    """The document of one group of policies: every metric, its interval, and what weakens it.

    Intervals are for these policies, from the noise of the trials where their numbers are known ("trials"; "target
    trials" or "sim trials" where only one side's are), with rates drawn together (`rates_together`): how alike
    simulation and target are over the table says what a policy's own trials leave open. Otherwise they are from drawing
    policies with replacement ("policies"). They always hold the value itself. `pearson_fisher_ci95` is for other
    policies of the same kind. Refused values are None, with `reason` saying why; the plain arithmetic of a refused
    correlation, for comparison with published tables, is in `arithmetic_only`.
    """
    plain = {name: _number(metric(sim=scores.sim, target=scores.target)) for name, metric in METRICS.items()}
    enough = scores.independent >= ENOUGH_POLICIES
    drawn = resample(scores, generator)
    document: dict[str, Any] = {"n": len(scores.policies), "n_independent": scores.independent, "enough": enough}
    document["reason"] = _reason(scores, plain, enough)
    document["interval"] = None if drawn is None else drawn.source
    for name in METRICS:
        refused = not enough and name in CORRELATIONS
        value = document[name] = None if refused or len(scores.policies) < 2 else plain[name]
        document[f"{name}_ci95"] = None if value is None or drawn is None else drawn.interval(name, value)
    if not enough:
        document["arithmetic_only"] = {name: plain[name] for name in CORRELATIONS}
    return document | _strength(scores, document["pearson"], generator)


@dataclass(frozen=True)
class Resamples:
    """What else the same policies might have scored.

    Attributes:
        source: where it comes from, as in the document.
        sim, target: (resamples, N) rates.
        levels: the quantiles that hold 95 %.
        alike: whether the trials leave it possible that simulation and target are the same for every policy.
    """

    source: str
    sim: np.ndarray
    target: np.ndarray
    levels: Interval
    alike: bool = False

    def interval(self, metric: str, value: float) -> list[float] | None:
        """Of the metric of that name, which was measured as `value`; None where over one resample in twenty has none,
        and where all give the same, which says nothing of others; where nearly all do, it reaches to those that do not.

        At its best value a metric can only be drawn worse: without `value` the interval would deny what was measured.
        """
        draws = METRICS[metric](sim=self.sim, target=self.target)
        known = draws[~np.isnan(draws)]
        if known.size < 0.95 * draws.size:
            return None
        ends = [*quantile_interval(known, self.levels), value, *([RIGHT[metric]] if self.alike else [])]
        if np.ptp(ends) < 1e-12:
            ends += [float(known.min()), float(known.max())]
        return None if np.ptp(ends) < 1e-12 else [min(ends), max(ends)]


def resample(scores: Scores, generator: np.random.Generator) -> Resamples | None:
    """By the noise of the trials where it is known, else by drawing policies; None for too few of these."""
    sides = {"sim": scores.sim_n, "target": scores.target_n}
    known = [side for side, trials in sides.items() if trials is not None]
    if known:
        source = "trials" if len(known) == 2 else f"{known[0]} trials"
        trials = [np.full(len(scores.policies), np.inf) if n is None else n for n in sides.values()]
        rates = np.stack([scores.sim, scores.target], axis=1)
        drawn, p = rates_together(rates, np.stack(trials, axis=1), RESAMPLES, generator)
        return Resamples(source, drawn[..., 0], drawn[..., 1], (0.025, 0.975), p > ALIKE)
    if scores.independent < ENOUGH_POLICIES:
        return None
    rows = _drawn_families(scores, generator)
    return Resamples("policies", scores.sim[rows], scores.target[rows], expanded_levels(scores.independent))


def fisher_interval(correlation: float, n: int, confidence: float = 0.95) -> Interval | None:
    """Fisher's z interval of a correlation over `n` independent pairs (Fisher 1921); None for one of ±1, of which it
    knows nothing. ValueError for fewer than four.
    """
    if n < ENOUGH_POLICIES:
        raise ValueError(f"a correlation over {n} policies has no interval: at least {ENOUGH_POLICIES} are needed")
    if abs(correlation) >= 1 - 1e-9:
        return None
    half = NormalDist().inv_cdf(0.5 + confidence / 2) / math.sqrt(n - 3)
    return math.tanh(math.atanh(correlation) - half), math.tanh(math.atanh(correlation) + half)


def permutation_p(scores: Scores, generator: np.random.Generator) -> float:
    """One-sided p-value of Pearson's r: how often a random pairing of policies does as well. At least 1 by the orders
    that are tried: N!, or a sample of them.

    Families are paired as one policy each, by their means: checkpoints of one run are alike on both sides.
    """
    scores = _of_families(scores)
    n, observed = len(scores.policies), float(pearson(sim=scores.sim, target=scores.target))
    if n <= ALL_ORDERS:
        orders = np.array(list(itertools.permutations(range(n))))
    else:
        others = [generator.permutation(n) for _ in range(_orders(n) - 1)]
        orders = np.array([np.arange(n), *others])
    found = pearson(sim=scores.sim[orders], target=np.broadcast_to(scores.target, orders.shape))
    return float(np.mean(found >= observed - 1e-12))


def _orders(n: int) -> int:
    """How many pairings of `n` policies `permutation_p` looks at."""
    return math.factorial(n) if n <= ALL_ORDERS else RESAMPLES


def drop_one(scores: Scores) -> tuple[float, str]:
    """How far Pearson's r moves when the policy (or family) that matters most is left out, and which one that is."""
    whole, labels = float(pearson(sim=scores.sim, target=scores.target)), np.array(scores.labels)
    moved: dict[str, float] = {}
    for label in dict.fromkeys(scores.labels):
        rest = labels != label
        change = abs(float(pearson(sim=scores.sim[rest], target=scores.target[rest])) - whole)
        moved[label] = math.inf if math.isnan(change) else change
    worst = max(moved, key=moved.__getitem__)
    return moved[worst], worst


def _of_families(scores: Scores) -> Scores:
    """Every family as one policy, by its mean rates."""
    if scores.family is None:
        return scores
    labels, families = np.array(scores.labels), list(dict.fromkeys(scores.labels))
    sim, target = (np.array([rates[labels == one].mean() for one in families]) for rates in (scores.sim, scores.target))
    return Scores(families, sim, target)


def _strength(scores: Scores, correlation: float | None, generator: np.random.Generator) -> dict[str, Any]:
    """What Pearson's r is worth: None throughout where it is refused."""
    n = scores.independent
    document: dict[str, Any] = dict.fromkeys(
        (
            "pearson_fisher_ci95",
            "permutation_p",
            "permutation_floor",
            "bootstrap_support",
            "leverage",
            "leverage_policy",
        )
    )
    if correlation is None:
        return document
    moved, policy = drop_one(scores)
    others = fisher_interval(correlation, scores.independent)
    return {
        "pearson_fisher_ci95": None if others is None else list(others),
        "permutation_p": permutation_p(scores, generator),
        "permutation_floor": 1 / _orders(n),
        "bootstrap_support": math.comb(2 * n - 1, n),
        "leverage": moved if math.isfinite(moved) else None,
        "leverage_policy": policy,
    }


def _drawn_families(scores: Scores, generator: np.random.Generator) -> np.ndarray:
    """(resamples, N) rows: families with replacement, of each as many policies in all as there are."""
    labels = scores.labels
    n, families = len(labels), sorted(set(labels))
    members = {family: [row for row, label in enumerate(labels) if label == family] for family in families}
    if len(families) == n:
        return generator.integers(n, size=(RESAMPLES, n))
    rows = []
    for _ in range(RESAMPLES):
        drawn = [members[families[k]] for k in generator.integers(len(families), size=n)]
        rows.append(list(itertools.islice(itertools.chain.from_iterable(drawn), n)))
    return np.array(rows)


def _reason(scores: Scores, plain: dict[str, float | None], enough: bool) -> str | None:
    if not enough:
        kind = "independent " if scores.family is not None else ""
        there = counted(scores.independent, f"{kind}policy", f"{kind}policies")
        return (
            f"not enough evidence: {there}; a correlation needs at least {ENOUGH_POLICIES}, and many more to be narrow"
        )
    if plain["pearson"] is None:
        where = "in simulation" if np.ptp(scores.sim) == 0 else "on the target"
        return f"no correlation: every policy has the same success {where}"
    return None


def _number(value: np.ndarray) -> float | None:
    return None if np.isnan(value) else float(value)
