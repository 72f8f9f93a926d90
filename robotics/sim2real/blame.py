"""Attribution of a drop on a target whose factors are known: which coalitions to run, and what comes out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from robotics.sim2real.attribution import (
    Attribution,
    Coalition,
    attribute,
    coalitions,
    orders_by_seed,
    prefixes,
    shapley_exact,
    shapley_sampled,
)
from robotics.sim2real.factors import FACTORS, GROUPS
from robotics.sim2real.trials import Trial, Trials
from robotics.sim2real.world import World

#: All coalitions of so many players at most, where there is no budget to keep to.
EXACT_PLAYERS = 6
#: Streams of random orders and of intervals.
_ORDERS, _INTERVALS = 0x0D, 0x1C


@dataclass(frozen=True)
class Game:
    """Players are sets of factors of `target`; a coalition is the world with just its players' factors on target."""

    target: World
    players: dict[str, frozenset[str]]

    @classmethod
    def of_factors(cls, target: World) -> "Game":
        return cls(target, {name: frozenset([name]) for name, _ in target.values})

    @classmethod
    def of_groups(cls, target: World) -> "Game":
        by_group = {group: frozenset(n for n, _ in target.values if FACTORS[n].group == group) for group in GROUPS}
        return cls(target, {group: names for group, names in by_group.items() if names})

    def world(self, coalition: Coalition) -> World:
        return self.target.only({name for player in coalition for name in self.players[player]})


@dataclass(frozen=True)
class Method:
    """How a game is played: `exact`, or with `pairs` random orders and their reverses on every seed."""

    exact: bool
    pairs: int = 1

    @classmethod
    def for_players(cls, players: int, full: bool) -> "Method":
        """All coalitions where they are few; elsewhere orders, more of them in a full report."""
        return cls(players <= (EXACT_PLAYERS if full else 3), 4 if full else 1)

    def episodes(self, players: int, seeds: int) -> int:
        """At most so many episodes, the simulation's and the target's own not counted."""
        if self.exact:
            return (2**players - 2) * seeds if players else 0
        singles, inside = players, 2 * self.pairs * max(players - 1, 0)
        return (singles + inside) * seeds if players > 1 else 0

    @property
    def text(self) -> str:
        return "exact, all coalitions" if self.exact else f"sampled, {2 * self.pairs} orders per seed"


def blame(
    trials: Trials, game: Game, seeds: Sequence[int], method: Method, title: str = "attribution"
) -> Attribution | None:
    """Shares of the drop from the simulation to the game's target on `seeds`; None for a target without factors."""
    players = list(game.players)
    if not players:
        return None
    rng = np.random.default_rng((_ORDERS, len(players), len(seeds)))
    orders = [] if method.exact else orders_by_seed(players, len(seeds), method.pairs, rng)
    wanted: set[tuple[Coalition, int]] = {
        (coalition, seed)
        for coalition in [frozenset(), *(frozenset([p]) for p in players), frozenset(players)]
        for seed in range(len(seeds))
    }
    if method.exact:
        wanted |= {(coalition, seed) for coalition in coalitions(players) for seed in range(len(seeds))}
    for seed, own in enumerate(orders):
        wanted |= {(coalition, seed) for order in own for coalition in prefixes(order)}
    listed = sorted(wanted, key=lambda pair: (sorted(pair[0]), pair[1]))
    asked: list[Trial] = [(game.world(coalition), seeds[seed]) for coalition, seed in listed]
    success = {pair: float(one.success) for pair, one in zip(listed, trials.run(asked, title), strict=True)}
    worth = _worths(success)
    everybody, every = frozenset(players), range(len(seeds))
    if method.exact:
        table = {c: np.array([worth(c, seed) for seed in every]) for c in coalitions(players)}
        values = shapley_exact(players, table)
    else:
        values = shapley_sampled(players, orders, worth)
    singles = {player: np.array([worth(frozenset([player]), seed) for seed in every]) for player in players}
    total = np.array([worth(everybody, seed) for seed in every])
    return attribute(method.text, values, singles, total, np.random.default_rng((_INTERVALS, len(seeds))))


def _worths(success: dict[tuple[Coalition, int], float]) -> Callable[[Coalition, int], float]:
    nobody: Coalition = frozenset()
    return lambda coalition, seed: success[nobody, seed] - success[coalition, seed]
