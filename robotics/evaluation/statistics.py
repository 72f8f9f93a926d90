"""How sure a measured number is. Pure functions; whoever draws at random hands in the generator."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

Interval = tuple[float, float]

#: Bootstrap resamples: the interval's ends then move by well under a tenth of its width.
RESAMPLES = 10_000


def wilson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a success rate (Wilson 1927; recommended for small n by Brown, Cai, DasGupta 2001).

    (0, 1) for no trials. ValueError for counts that can not be.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials")
    if trials == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    rate, z2 = successes / trials, z * z
    centre = (rate + z2 / (2 * trials)) / (1 + z2 / trials)
    half = z / (1 + z2 / trials) * math.sqrt(rate * (1 - rate) / trials + z2 / (4 * trials * trials))
    # At 0 and n successes the formula touches 0 and 1 up to rounding
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == trials else centre + half)


def bootstrap_mean(values: Sequence[float], generator: np.random.Generator, confidence: float = 0.95) -> Interval:
    """Percentile bootstrap interval of the mean (Efron 1979). ValueError without values."""
    sample = np.asarray(values, dtype=float)
    if sample.size == 0:
        raise ValueError("the mean of no values has no interval")
    # In blocks: 10 000 resamples of 10 000 episodes at once would be 800 MB
    rows = max(1, 1_000_000 // sample.size)
    means = np.concatenate(
        [
            sample[generator.integers(sample.size, size=(min(rows, RESAMPLES - first), sample.size))].mean(axis=1)
            for first in range(0, RESAMPLES, rows)
        ]
    )
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
