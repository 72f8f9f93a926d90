"""How many episodes a claim needs, before any is run."""

import math
from statistics import NormalDist

from robotics.evaluation.paired import Pairs
from robotics.evaluation.statistics import wilson_around


def episodes_unpaired(rate_1: float, rate_2: float, *, power: float = 0.8, alpha: float = 0.05) -> int:
    """Episodes per side to tell two success rates apart on different seeds (two-sided normal approximation).

    With `power`, the chance to find the difference, and `alpha`, the chance to find one that is not there
    (Fleiss, Levin and Paik 2003, Statistical Methods for Rates and Proportions, §4.2, without continuity correction).
    """
    z_alpha, z_power = _quantiles(rate_1, rate_2, power, alpha)
    mean = (rate_1 + rate_2) / 2
    spread_equal = math.sqrt(2 * mean * (1 - mean))
    spread = math.sqrt(rate_1 * (1 - rate_1) + rate_2 * (1 - rate_2))
    return math.ceil(((z_alpha * spread_equal + z_power * spread) / (rate_1 - rate_2)) ** 2)


def episodes_paired(
    rate_1: float, rate_2: float, correlation: float, *, power: float = 0.8, alpha: float = 0.05
) -> int:
    """Seeds to tell two success rates apart when both run on every one (Connor 1987, Biometrics 43:207).

    `correlation` is that of the two outcomes on one seed. ValueError for one that such rates can not have.
    """
    z_alpha, z_power = _quantiles(rate_1, rate_2, power, alpha)
    both = rate_1 * rate_2 + correlation * math.sqrt(rate_1 * (1 - rate_1) * rate_2 * (1 - rate_2))
    if not max(0.0, rate_1 + rate_2 - 1) - 1e-12 <= both <= min(rate_1, rate_2) + 1e-12:
        raise ValueError(f"rates {rate_1:g} and {rate_2:g} can not have a correlation of {correlation:g}")
    gap, discordant = abs(rate_1 - rate_2), rate_1 + rate_2 - 2 * both
    return math.ceil(
        ((z_alpha * math.sqrt(discordant) + z_power * math.sqrt(max(0.0, discordant - gap**2))) / gap) ** 2
    )


def seeds_to_show(pairs: Pairs) -> int | None:
    """Seeds from which on a difference as large as these pairs show is found with a power of 80 %; None for none."""
    first, second = (pairs.both + only for only in (pairs.first_only, pairs.second_only))
    if first == second:
        return None
    return episodes_paired(first / pairs.trials, second / pairs.trials, pairs.correlation or 0.0)


def episodes_for_width(rate: float, half_width: float, confidence: float = 0.95) -> int:
    """Episodes from which on the Wilson interval around this rate reaches at most `half_width` from its middle."""
    if not (0 <= rate <= 1 and half_width > 0):
        raise ValueError(f"rate {rate:g}, half width {half_width:g}")

    def wide(n: int) -> bool:
        return wilson_around(rate, n, confidence)[1] > half_width

    enough = 1
    while wide(enough):
        enough *= 2
    too_few = enough // 2
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        too_few, enough = (middle, enough) if wide(middle) else (too_few, middle)
    return enough


def _quantiles(rate_1: float, rate_2: float, power: float, alpha: float) -> tuple[float, float]:
    if not (0 <= rate_1 <= 1 and 0 <= rate_2 <= 1) or rate_1 == rate_2:
        raise ValueError(f"rates {rate_1:g} and {rate_2:g}: two different ones in [0, 1] are needed")
    return NormalDist().inv_cdf(1 - alpha / 2), NormalDist().inv_cdf(power)
