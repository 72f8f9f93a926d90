"""How sure a measured rate or mean is. Pure functions; whoever draws at random hands in the generator.

Two measurements beside each other: `unpaired`, `paired`, `sequential`. Several training seeds: `hierarchy`. How many
episodes are enough: `power`.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from scipy.special import betaincinv, ndtr, stdtrit

Interval = tuple[float, float]

#: Bootstrap resamples: the interval's ends then move by well under a tenth of its width.
RESAMPLES = 10_000


def wilson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a success rate (Wilson 1927; recommended for small n by Brown, Cai, DasGupta 2001).

    (0, 1) for no trials. ValueError for counts that can not be.
    """
    _require_counts(successes, trials)
    if trials == 0:
        return 0.0, 1.0
    centre, half = wilson_around(successes / trials, trials, confidence)
    # At 0 and n successes the formula touches 0 and 1 up to rounding
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == trials else centre + half)


def wilson_around(rate: float, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Middle and half width of Wilson's interval of a rate, whether or not so many trials can have it."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    z2 = z * z
    centre = (rate + z2 / (2 * trials)) / (1 + z2 / trials)
    return centre, z / (1 + z2 / trials) * math.sqrt(rate * (1 - rate) / trials + z2 / (4 * trials * trials))


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """The exact interval of a success rate (Clopper and Pearson 1934): covers at least as often as it says.

    Wider than `wilson`, which covers as often as it says on average. (0, 1) for no trials; ValueError as there.
    """
    _require_counts(successes, trials)
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, trials - successes + 1, tail))
    high = 1.0 if successes == trials else float(betaincinv(successes + 1, trials - successes, 1 - tail))
    return low, high


def bootstrap_mean(
    values: Sequence[float] | np.ndarray, generator: np.random.Generator, confidence: float = 0.95
) -> Interval:
    """Percentile bootstrap interval of the mean (Efron 1979), its levels widened for few values. ValueError for none.

    Of paired differences it is the paired bootstrap. Values that are all the same give an interval without width, which
    says that they do not tell how sure they are, not that they are sure: for rates there are `wilson` and
    `paired.newcombe_paired`.
    """
    sample = np.asarray(values, dtype=float)
    if sample.size == 0:
        raise ValueError("the mean of no values has no interval")
    return quantile_interval(resampled_means(sample, RESAMPLES, generator), expanded_levels(sample.size, confidence))


def resampled_means(sample: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """(count,) means of `sample` (n,) drawn with replacement. Memory does not grow with count · n."""
    rows = max(1, 1_000_000 // sample.size)
    return np.concatenate(
        [
            sample[generator.integers(sample.size, size=(min(rows, count - first), sample.size))].mean(axis=1)
            for first in range(0, count, rows)
        ]
    )


def expanded_levels(n: int, confidence: float = 0.95) -> Interval:
    """Between which quantiles of its bootstrap distribution the mean of `n` units lies with `confidence`.

    A bootstrap of n units is narrow by sqrt((n-1)/n) and knows of no t quantile; both are put right by looking further
    out (Hesterberg 2015, "What Teachers Should Know About the Bootstrap"). Without it, an interval of 95 % from ten
    values covers about 90 %.
    """
    if n < 2:
        return (1 - confidence) / 2, (1 + confidence) / 2
    tail = float(ndtr(math.sqrt(n / (n - 1)) * stdtrit(n - 1, (1 - confidence) / 2)))
    return tail, 1 - tail


def quantile_interval(draws: np.ndarray, levels: Interval) -> Interval:
    """The quantiles `levels` of `draws`."""
    low, high = np.quantile(draws, levels)
    return float(low), float(high)


def _require_counts(successes: int, trials: int) -> None:
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials")
