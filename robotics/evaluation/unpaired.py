"""Two success rates measured on different episodes: how far apart, and could it be chance.

Where the seeds can be shared, share them: `paired` needs half the episodes, or fewer.
"""

import math

from robotics.evaluation.statistics import Interval, wilson

#: Successes and trials.
Counts = tuple[int, int]


def newcombe(first: Counts, second: Counts, confidence: float = 0.95) -> Interval:
    """Interval of the difference of two success rates, first minus second.

    The square-and-add of two Wilson intervals (Newcombe 1998, Statistics in Medicine 17:873, method 10).
    """
    rate_1, rate_2 = _rate(first), _rate(second)
    return square_and_add(rate_1, wilson(*first, confidence), rate_2, wilson(*second, confidence))


def square_and_add(first: float, of_first: Interval, second: float, of_second: Interval) -> Interval:
    """Interval of the difference of two independent numbers, first minus second, from the interval of each."""
    (low_1, high_1), (low_2, high_2), difference = of_first, of_second, first - second
    return (
        difference - math.hypot(first - low_1, high_2 - second),
        difference + math.hypot(high_1 - first, second - low_2),
    )


def barnard(first: Counts, second: Counts) -> float:
    """p-value of Barnard's unconditional exact test (1947) that both rates are equal, two-sided. Some milliseconds."""
    from scipy.stats import barnard_exact

    return float(barnard_exact(_table(first, second)).pvalue)


def boschloo(first: Counts, second: Counts) -> float:
    """p-value of Boschloo's exact test (1970) that both rates are equal, two-sided: never weaker than Fisher's."""
    from scipy.stats import boschloo_exact

    return float(boschloo_exact(_table(first, second)).pvalue)


#: Up to so many possible tables; beyond, Boschloo's test takes minutes.
_FEW_TABLES = 300_000


def exact_p(first: Counts, second: Counts) -> tuple[str, float]:
    """An exact test that both rates are equal, and its two-sided p-value: Boschloo's, or Fisher's for many trials."""
    if first[1] * second[1] <= _FEW_TABLES:
        return "Boschloo, exact", boschloo(first, second)
    from scipy.stats import fisher_exact

    return "Fisher, exact", float(fisher_exact(_table(first, second)).pvalue)


def _rate(counts: Counts) -> float:
    successes, trials = counts
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes} successes of {trials} trials")
    return successes / trials


def _table(first: Counts, second: Counts) -> list[list[int]]:
    """Successes over failures, one column each: scipy fixes the column sums, which here are the trials."""
    _rate(first), _rate(second)
    return [[first[0], second[0]], [first[1] - first[0], second[1] - second[0]]]
