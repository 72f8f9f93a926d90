"""How well it goes in the worst of many cells, measured on seeds that did not say which these are.

Of cells that are all alike, those that look worst on some seeds were unlucky there: their mean on the same seeds is too
low, by more than an interval around it spans.
"""

import numpy as np

from robotics.evaluation.statistics import Interval, wilson_around

Array = np.ndarray


def worst_share(success: Array, share: float) -> tuple[float, Interval | None]:
    """Mean success of the worst `share` of the cells, of which there is at least one, from `success` (cells, seeds).

    The worst are chosen on every other seed and measured on those between, both ways. That is right where cells are
    alike and too high where they differ by little, since the choice errs; the mean of those that look worst on all
    seeds is too low. So the interval goes from the lower end of the one to the upper end of the other: it covers 92 to
    99 % from 20 seeds on (scripts/benchmarks/calibration.py), whether cells differ or not. None from a single seed.
    """
    count, seeds = max(1, round(share * len(success))), success.shape[1]
    if seeds < 2:
        return float(_worst(success, count, slice(None)).mean()), None
    odd, apart = np.arange(seeds) % 2 == 1, np.empty(seeds)
    for half in (odd, ~odd):
        apart[~half] = _worst(success, count, half)[~half]
    value = float(apart.mean())
    low = _wilson(_worst(success, count, slice(None)), count)[0]
    return value, (min(low, value), _wilson(apart, count)[1])


def _worst(success: Array, count: int, chosen_on: Array | slice) -> Array:
    """(seeds,) mean success of the `count` cells that are worst on some seeds."""
    chosen = np.argsort(success[:, chosen_on].mean(axis=1), kind="stable")[:count]
    return success[chosen].mean(axis=0)


def _wilson(by_seed: Array, cells: int) -> Interval:
    """Wilson's interval of a mean over cells and seeds: cells of one seed count as as many as they vary like, one at
    least, so that seeds that all agree leave it a width."""
    n, rate, spread = len(by_seed), float(by_seed.mean()), float(by_seed.var(ddof=1))
    trials = round(min(max(n * rate * (1 - rate) / spread, n), n * cells)) if spread > 0 else n
    centre, half = wilson_around(rate, trials)
    return max(centre - half, 0.0), min(centre + half, 1.0)
