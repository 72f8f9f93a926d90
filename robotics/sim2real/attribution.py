"""Who is to blame for a drop: Shapley values of a game whose players are factors, or groups of them.

A coalition is a set of players that are as on the target, all others as in the simulation; its worth is the drop of
success it causes. On every seed the worths are measured with the same random numbers, so each value is a mean over
seeds and its interval a bootstrap over seeds. Values of the players sum to the total drop on every single seed.

Exact values need all 2^k coalitions (Shapley 1953). Otherwise every seed gets a few random orders in which the players
join, each beside its reverse (Castro, Gómez and Tejada 2009; antithetic pairs after Mitchell et al. 2022): unbiased,
and still summing to the total. Significance is by flipping the signs of seeds, the largest statistic of all players
deciding (Westfall and Young 1993), so that the chance of blaming anyone wrongly is 5 % in all.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any

import numpy as np

from robotics.evaluation.statistics import RESAMPLES, Interval, clopper_pearson, expanded_levels, quantile_interval

Array = np.ndarray
Coalition = frozenset[str]
#: (coalition, index of a seed) -> its worth there.
Worth = Callable[[Coalition, int], float]

#: Drops whose interval is not above zero can not be shared out.
ALPHA = 0.05
#: Below so many seeds nothing is claimed: no outcome of an exact paired test could then be significant.
LEAST_PAIRS = 8
#: Bootstrap means that spread by no more than rounding come from seeds that all agree.
_NO_WIDTH = 1e-9


def coalitions(players: Sequence[str]) -> list[Coalition]:
    """All 2^k of them, the empty one first."""
    return [frozenset(c) for c in chain.from_iterable(combinations(players, n) for n in range(len(players) + 1))]


def shapley_exact(players: Sequence[str], worths: Mapping[Coalition, Array]) -> dict[str, Array]:
    """Values (n,) of every player on every seed, from the worths (n,) of all coalitions."""
    k = len(players)
    values = {}
    for player in players:
        terms = []
        for without in coalitions([other for other in players if other != player]):
            weight = math.factorial(len(without)) * math.factorial(k - len(without) - 1) / math.factorial(k)
            terms.append(weight * (worths[without | {player}] - worths[without]))
        values[player] = np.sum(terms, axis=0)
    return values


def orders_by_seed(players: Sequence[str], seeds: int, pairs: int, rng: np.random.Generator) -> list[list[list[str]]]:
    """For each seed `pairs` random orders of the players, each followed by its reverse."""
    drawn = []
    for _ in range(seeds):
        orders = [[players[i] for i in rng.permutation(len(players))] for _ in range(pairs)]
        drawn.append([order for one in orders for order in (one, one[::-1])])
    return drawn


def prefixes(order: Sequence[str]) -> list[Coalition]:
    """The coalitions that an order passes through, from nobody to everybody."""
    return [frozenset(order[:n]) for n in range(len(order) + 1)]


def shapley_sampled(
    players: Sequence[str], orders: Sequence[Sequence[Sequence[str]]], worth: Worth
) -> dict[str, Array]:
    """Unbiased values (n,) of every player on every seed, from that seed's orders."""
    values = {player: np.zeros(len(orders)) for player in players}
    for seed, own in enumerate(orders):
        for order in own:
            steps = np.diff([worth(coalition, seed) for coalition in prefixes(order)])
            for player, step in zip(order, steps, strict=True):
                values[player][seed] += step / len(own)
    return values


@dataclass(frozen=True)
class Blame:
    """A player's part of a drop. `share` is None where the drop itself is not sure; its interval also where the part is
    the same of every seed's drop, which does not tell how sure it is."""

    name: str
    shapley: float
    ci95: Interval
    share: float | None
    share_ci95: Interval | None
    single: float
    single_ci95: Interval
    p: float

    @property
    def significant(self) -> bool:
        return self.p <= ALPHA

    def as_dict(self) -> dict[str, Any]:
        return {**{key: _plain(value) for key, value in vars(self).items()}, "significant": self.significant}


@dataclass(frozen=True)
class Attribution:
    """A drop, shared out. Players by their value, the largest first."""

    method: str
    seeds: int
    players: tuple[Blame, ...]
    total: float
    total_ci95: Interval
    interaction: float
    interaction_ci95: Interval
    additivity_error: float

    @property
    def sure(self) -> bool:
        """Whether there is a drop at all."""
        return self.seeds >= LEAST_PAIRS and self.total_ci95[0] > 0

    @property
    def gained(self) -> bool:
        """Whether there is a gain instead."""
        return self.seeds >= LEAST_PAIRS and self.total_ci95[1] < 0

    def as_dict(self) -> dict[str, Any]:
        plain = {key: _plain(value) for key, value in vars(self).items() if key != "players"}
        return {
            **plain,
            "sure": self.sure,
            "gained": self.gained,
            "players": [player.as_dict() for player in self.players],
        }


def attribute(
    method: str,
    values: Mapping[str, Array],
    singles: Mapping[str, Array],
    total: Array,
    rng: np.random.Generator,
) -> Attribution:
    """Shares, intervals and significance from values, single effects and total drops, all (n,) by seed, in [-1, 1]."""
    names, n = list(values), len(total)
    table = np.stack([*(values[name] for name in names), *(singles[name] for name in names), total])
    means, levels = table.mean(axis=1), expanded_levels(n)
    draws = _bootstrap(table, rng)
    k = len(names)
    whole, whole_draws = means[-1], draws[:, -1]
    whole_ci = _interval(whole_draws, n)
    rest_draws = whole_draws - draws[:, k : 2 * k].sum(axis=1)
    p_values = sign_flip_p(table[:k], rng)
    blames = []
    for index, name in enumerate(names):
        share = share_ci = None
        if whole_ci[0] > 0:
            share = means[index] / whole
            dropped = whole_draws > 0  # but for the few draws below the interval of the drop
            shares = draws[dropped, index] / whole_draws[dropped]
            share_ci = quantile_interval(shares, levels) if np.ptp(shares) > _NO_WIDTH else None
        ci, single_ci = (_interval(draws[:, i], n) for i in (index, k + index))
        p = float(p_values[index])
        blames.append(Blame(name, float(means[index]), ci, share, share_ci, float(means[k + index]), single_ci, p))
    return Attribution(
        method=method,
        seeds=n,
        players=tuple(sorted(blames, key=lambda blame: -blame.shapley)),
        total=float(whole),
        total_ci95=whole_ci,
        interaction=float(whole - means[k : 2 * k].sum()),
        interaction_ci95=_interval(rest_draws, n),
        additivity_error=float(np.abs(table[:k].sum(axis=0) - total).max()),
    )


def _interval(draws: Array, n: int) -> Interval:
    """Of a mean over `n` seeds, from its bootstrap; where these all agree, as far as seeds of another kind, of which
    none may be among so many (Clopper and Pearson 1934), could move it within [-1, 1]."""
    if np.ptp(draws) > _NO_WIDTH:
        return quantile_interval(draws, expanded_levels(n))
    value, others = float(draws[0]), clopper_pearson(0, n)[1]
    return min(value, value - others * (1 + value)), max(value, value + others * (1 - value))


def _bootstrap(table: Array, rng: np.random.Generator) -> Array:
    """Means (RESAMPLES, rows) of the rows of `table` (rows, n), seeds drawn with replacement, the same for all rows."""
    n = table.shape[1]
    counts = rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    return counts @ table.T / n


def sign_flip_p(table: Array, rng: np.random.Generator) -> Array:
    """p-values (k,) that each row of `table` (k, n) has no effect, right for all of them together; two-sided."""
    scale = np.sqrt((table**2).sum(axis=1))
    live = scale > 0
    p = np.ones(len(table))
    if not live.any():
        return p
    standard = table[live] / scale[live, None]
    observed = np.abs(standard.sum(axis=1))
    signs = 2.0 * rng.integers(2, size=(RESAMPLES, table.shape[1]), dtype=np.int8) - 1.0
    largest = np.abs(signs @ standard.T).max(axis=1)
    p[live] = (1 + (largest[:, None] >= observed - 1e-12).sum(axis=0)) / (1 + RESAMPLES)
    return p


def _plain(value: Any) -> Any:
    return [float(part) for part in value] if isinstance(value, tuple) else value
