"""Two success rates measured on the same seeds: only the episodes that come out differently tell them apart."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr

from robotics.evaluation.statistics import Interval, bootstrap_mean, wilson


@dataclass(frozen=True)
class Pairs:
    """How many seeds succeeded with both, only the first, only the second, neither."""

    both: int
    first_only: int
    second_only: int
    neither: int

    @classmethod
    def of(cls, first: Sequence[bool], second: Sequence[bool]) -> "Pairs":
        """Counts of two lists whose i-th entries belong to the same seed. ValueError for lists of different length."""
        if len(first) != len(second):
            raise ValueError(f"{len(first)} and {len(second)} episodes are not pairs")
        a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
        return cls(int((a & b).sum()), int((a & ~b).sum()), int((~a & b).sum()), int((~a & ~b).sum()))

    @property
    def trials(self) -> int:
        return self.both + self.first_only + self.second_only + self.neither

    @property
    def discordant(self) -> int:
        return self.first_only + self.second_only

    @property
    def difference(self) -> float:
        """Rate of the first minus rate of the second. ValueError without pairs."""
        if self.trials == 0:
            raise ValueError("no pairs")
        return (self.first_only - self.second_only) / self.trials

    @property
    def correlation(self) -> float | None:
        """Phi of the two outcomes; None where one of them never varies."""
        a, b, c, d = self.both, self.first_only, self.second_only, self.neither
        scale = math.sqrt((a + b) * (c + d) * (a + c) * (b + d))
        return (a * d - b * c) / scale if scale else None


def mcnemar_exact(pairs: Pairs) -> float:
    """Exact two-sided p-value that both rates are equal (McNemar 1947): given the discordant pairs, a fair coin."""
    return min(1.0, 2 * float(bdtr(min(pairs.first_only, pairs.second_only), pairs.discordant, 0.5)))


def mcnemar_mid_p(pairs: Pairs) -> float:
    """McNemar's mid-p: counts half of the observed outcome, so that it is less timid than the exact test.

    Recommended by Fagerland, Lydersen and Laake 2013 (BMC Medical Research Methodology 13:91): it guarantees nothing,
    but broke its level in none of their 9595 scenarios.
    """
    least, n = min(pairs.first_only, pairs.second_only), pairs.discordant
    if n == 0:
        return 1.0
    below = float(bdtr(least - 1, n, 0.5)) if least else 0.0
    return min(1.0, float(bdtr(least, n, 0.5)) + below)


def newcombe_paired(pairs: Pairs, confidence: float = 0.95) -> Interval:
    """Interval of the difference of two success rates on the same seeds, first minus second.

    Square-and-add of two Wilson intervals with the correlation of the outcomes (Newcombe 1998, Statistics in Medicine
    17:2635, method 10). Has width also where no pair differs. ValueError without pairs.
    """
    difference, n = pairs.difference, pairs.trials
    hits_1, hits_2 = pairs.both + pairs.first_only, pairs.both + pairs.second_only
    low_1, high_1 = wilson(hits_1, n, confidence)
    low_2, high_2 = wilson(hits_2, n, confidence)
    below_1, above_1 = hits_1 / n - low_1, high_1 - hits_1 / n
    below_2, above_2 = hits_2 / n - low_2, high_2 - hits_2 / n
    phi = _continuity_corrected_phi(pairs)
    return (
        difference - math.sqrt(below_1**2 - 2 * phi * below_1 * above_2 + above_2**2),
        difference + math.sqrt(above_1**2 - 2 * phi * above_1 * below_2 + below_2**2),
    )


def bootstrap_difference(
    first: Sequence[float], second: Sequence[float], generator: np.random.Generator, confidence: float = 0.95
) -> Interval:
    """Paired bootstrap interval of the mean difference, first minus second: draws seeds, which keeps pairs together.

    For returns and other numbers as for success. Without width where no pair differs (see `bootstrap_mean`).
    ValueError for lists of different length, and for none.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} episodes are not pairs")
    return bootstrap_mean(np.asarray(first, dtype=float) - np.asarray(second, dtype=float), generator, confidence)


def _continuity_corrected_phi(pairs: Pairs) -> float:
    """Newcombe's phi: a positive association is trusted only beyond n/2."""
    a, b, c, d = pairs.both, pairs.first_only, pairs.second_only, pairs.neither
    scale = math.sqrt((a + b) * (c + d) * (a + c) * (b + d))
    if scale == 0:
        return 0.0
    product = a * d - b * c
    return (max(product - pairs.trials / 2, 0.0) if product > 0 else product) / scale
