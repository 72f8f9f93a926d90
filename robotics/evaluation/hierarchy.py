"""The success of a *method*: several training seeds, several episodes each.

Episodes of one checkpoint say how good that checkpoint is. What the method gives when it is trained again varies from
training seed to training seed, so for a claim about the method the seed is the unit.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from robotics.evaluation.statistics import (
    RESAMPLES,
    Interval,
    expanded_levels,
    quantile_interval,
    resampled_means,
    wilson,
)

#: Training seeds from which on drawing them again covers what it says.
ENOUGH = 5


def bootstrap_hierarchy(
    by_seed: Sequence[Sequence[float]], generator: np.random.Generator, confidence: float = 0.95
) -> Interval:
    """Bootstrap interval of the mean over training seeds: `by_seed[k]` holds the episodes' results of seed k.

    Draws training seeds with replacement, then the episodes of each. A seed's mean already carries the noise of its
    episodes, so the means are first drawn together by the part of their spread that is only that noise; otherwise it
    would count twice (Davison and Hinkley 1997, Bootstrap Methods and their Application, §3.8). From five seeds on it
    covers what it says; of three, whose range no draw leaves, 84 to 87 % (scripts/benchmarks/calibration.py).
    ValueError for fewer than two training seeds, or one without episodes.
    """
    _require_seeds(by_seed)
    seeds = [np.asarray(episodes, dtype=float) for episodes in by_seed]
    means = np.array([episodes.mean() for episodes in seeds])
    noise = np.mean([episodes.var(ddof=1) / episodes.size for episodes in seeds if episodes.size > 1] or [0.0])
    spread = means.var(ddof=1)
    kept = np.sqrt(max(0.0, 1 - noise / spread)) if spread > 0 else 0.0
    # Where seeds differ by no more than their episodes' noise, every episode is a unit of its own
    units = len(seeds) if kept > 0 else sum(episodes.size for episodes in seeds)
    centres = means.mean() + kept * (means - means.mean())
    chosen = generator.integers(len(seeds), size=(RESAMPLES, len(seeds)))
    draws = centres[chosen]
    for k, episodes in enumerate(seeds):
        here = chosen == k
        draws[here] += resampled_means(episodes, int(here.sum()), generator) - means[k]
    return quantile_interval(draws.mean(axis=1), expanded_levels(units, confidence))


def mean_over_trainings(by_seed: Sequence[Sequence[float]]) -> Interval:
    """95 % interval of the mean over training seeds: `by_seed[k]` holds the episodes' results of seed k.

    `bootstrap_hierarchy`, and of fewer than `ENOUGH` seeds Student's t of their means, each of which carries the noise
    of its episodes.
    ValueError for fewer than two training seeds, or one without episodes.
    """
    if len(by_seed) >= ENOUGH:
        return bootstrap_hierarchy(by_seed, np.random.default_rng(0))
    _require_seeds(by_seed)
    means = np.array([np.mean(episodes) for episodes in by_seed])
    half = float(stdtrit(means.size - 1, 0.975)) * means.std(ddof=1) / math.sqrt(means.size)
    return float(means.mean() - half), float(means.mean() + half)


def rate_over_trainings(by_seed: Sequence[Sequence[float]]) -> Interval:
    """95 % interval of a success rate over training seeds, of which there may be one.

    Never narrower than Wilson's of so many episodes, also where all trainings agree.
    """
    low, high = wilson(int(sum(map(sum, by_seed))), sum(map(len, by_seed)))
    if len(by_seed) == 1:
        return low, high
    least, most = mean_over_trainings(by_seed)
    return max(0.0, min(low, least)), min(1.0, max(high, most))


def _require_seeds(by_seed: Sequence[Sequence[float]]) -> None:
    if len(by_seed) < 2:
        raise ValueError(f"{len(by_seed)} training seeds: how they vary needs at least two")
    if not all(len(episodes) for episodes in by_seed):
        raise ValueError("a training seed without episodes")
