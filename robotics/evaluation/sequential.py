"""Comparing two policies while the episodes still run, and stopping as soon as it is clear.

Looking at a p-value after every episode and stopping when it is small finds differences that are not there. An
e-process may be looked at as often as one likes: whatever the stopping rule, it reaches 1/alpha with probability at
most alpha when nothing is different (Ville 1939; Ramdas et al. 2023, "Game-theoretic statistics and safe
anytime-valid inference").
"""

import math
from collections.abc import Iterable

from scipy.special import betaln


def e_value(first_only: int, second_only: int) -> float:
    """Wealth of a gambler who bet against "both are equally good" on every discordant pair so far, from 1.

    If both are equally good, a discordant pair falls to either side like a fair coin. With the bets of Krichevsky and
    Trofimov's mixture (1981), his wealth has a closed form: 2^n B(b+1/2, c+1/2) / B(1/2, 1/2), n = b + c. Two-sided.
    `math.inf` beyond what a float can hold.
    """
    log_wealth = (first_only + second_only) * math.log(2) + float(
        betaln(first_only + 0.5, second_only + 0.5) - betaln(0.5, 0.5)
    )
    return math.exp(log_wealth) if log_wealth < 700 else math.inf


def anytime_p(outcomes: Iterable[tuple[bool, bool]]) -> float:
    """The smallest p-value that may honestly be claimed after these pairs, however often one has looked."""
    best, counts = 1.0, [0, 0]
    for first, second in outcomes:
        if first != second:
            counts[0 if first else 1] += 1
            best = max(best, e_value(*counts))
    return 1 / best


def pairs_until_decided(outcomes: Iterable[tuple[bool, bool]], alpha: float = 0.05) -> int | None:
    """After how many pairs of (first succeeded, second succeeded) it is clear which one is better; None if it is not.

    Errs with probability at most `alpha`, although it looks after every pair.
    """
    counts = [0, 0]
    for number, (first, second) in enumerate(outcomes, 1):
        if first != second:
            counts[0 if first else 1] += 1
            if e_value(*counts) >= 1 / alpha:
                return number
    return None
