"""Episodes of one policy in many worlds on the same seeds: the common random numbers behind every number of a gap.

The outcome of (world, seed) depends on nothing else, so it is run once, whoever asks for it, in whatever order, by
however many processes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from robotics.evaluation.agents import AgentSource
from robotics.evaluation.bench import one_thread
from robotics.evaluation.rollout import Episode, run_episode
from robotics.progress import progress
from robotics.sim2real.world import World
from robotics.sim2real.world_stage import WorldStage
from robotics.workers import in_order

Trial = tuple[World, int]


@dataclass(frozen=True)
class Outcome:
    """What counts of an episode."""

    success: bool
    return_: float
    length: int

    @classmethod
    def of(cls, episode: Episode) -> "Outcome":
        return cls(bool(episode.success), episode.return_, episode.length)


@dataclass(frozen=True)
class _Serial:
    """A worker's job: trial i of `trials`."""

    env_id: str
    env_kwargs: Mapping[str, Any]
    source: AgentSource
    trials: tuple[Trial, ...]

    @contextmanager
    def open(self) -> Iterator[Callable[[int], Outcome]]:
        stage = WorldStage(self.env_id, self.env_kwargs)
        agent = self.source.agent(stage.env(self.trials[0][0]))
        try:
            with one_thread():
                yield lambda i: Outcome.of(run_episode(stage.env(self.trials[i][0]), agent, self.trials[i][1]))
        finally:
            stage.close()


class Trials:
    """Runs trials and remembers their outcomes.

    Args:
        copies: above one, episodes of one world run side by side in one process (a trained policy alone can do that).
    """

    def __init__(
        self, env_id: str, env_kwargs: Mapping[str, Any], source: AgentSource, workers: int = 1, copies: int = 1
    ) -> None:
        self.env_id, self.env_kwargs, self.source = env_id, dict(env_kwargs), source
        self._workers, self._copies = workers, copies
        self._known: dict[Trial, Outcome] = {}

    @property
    def count(self) -> int:
        """Episodes run so far."""
        return len(self._known)

    def missing(self, trials: Iterable[Trial]) -> int:
        """How many of these would have to be run."""
        return len(set(trials) - set(self._known))

    def run(self, trials: Sequence[Trial], title: str = "episodes") -> list[Outcome]:
        """The outcomes of `trials`, in their order."""
        new = sorted(set(trials) - set(self._known), key=lambda trial: (trial[0].values, trial[1]))
        if new:
            with progress(title, len(new), "episodes") as bar:
                for trial, outcome in self._side_by_side(new) if self._copies > 1 else self._one_by_one(new):
                    self._known[trial] = outcome
                    bar.advance()
        return [self._known[trial] for trial in trials]

    def successes(self, world: World, seeds: Sequence[int], title: str = "episodes") -> np.ndarray:
        """Success (n,) as 0.0 or 1.0 of one world."""
        return np.array([float(one.success) for one in self.run([(world, seed) for seed in seeds], title)])

    def _one_by_one(self, trials: list[Trial]) -> Iterator[tuple[Trial, Outcome]]:
        job = _Serial(self.env_id, self.env_kwargs, self.source, tuple(trials))
        with in_order(job, range(len(trials)), min(self._workers, len(trials))) as outcomes:
            yield from zip(trials, outcomes, strict=True)

    def _side_by_side(self, trials: list[Trial]) -> Iterator[tuple[Trial, Outcome]]:
        from robotics.evaluation.batched import evaluate_batched

        for world in dict.fromkeys(world for world, _ in trials):
            seeds = [seed for other, seed in trials if other == world]
            kwargs = {**self.env_kwargs, **({"world": world} if not world.nominal else {})}
            how: dict[str, Any] = {"execution": self.source.execution, "device": self.source.device}
            how |= {"copies": self._copies, "env_kwargs": kwargs}
            episodes = evaluate_batched(self.env_id, self.source.policy, seeds, **how)
            yield from (((world, episode.seed), Outcome.of(episode)) for episode in episodes)
