"""Success of a trained policy over many seeds, many episodes at a time: physics stepped natively, and one network pass
for all copies that want an answer."""

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from robotics.environments import make_vector
from robotics.errors import UsageError
from robotics.evaluation.agents import environment_options, open_policy, require_fit, reward_learner
from robotics.evaluation.one_thread import one_thread
from robotics.evaluation.rollout import Episode
from robotics.evaluation.smoothness import squared_jerk
from robotics.policies.base import Policy
from robotics.policies.checkpoint import find_pretrained, load_policy
from robotics.policies.language import TASK, word_ids
from robotics.policies.packing import packed
from robotics.policies.playback import Playback
from robotics.policies.prediction import predict_chunks
from robotics.policies.schedule import Execution, Schedule, schedule_for
from robotics.vocabulary import to_dataset


def evaluate_batched(env_id: str, policy: str | Path | Policy, seeds: Sequence[int], **options: Any) -> list[Episode]:
    """The episodes of a trained policy at `seeds`, in their order; `options` are those of `batched_episodes`."""
    done = dict(batched_episodes(env_id, policy, seeds, **options))
    return [done[number] for number in range(len(seeds))]


def batched_episodes(
    env_id: str,
    policy: str | Path | Policy,
    seeds: Sequence[int],
    *,
    copies: int = 32,
    execution: Execution | None = None,
    device: str = "cpu",
    env_kwargs: Mapping[str, Any] | None = None,
) -> Generator[tuple[int, Episode], None, None]:
    """(place in `seeds`, episode) as the episodes of a trained policy end, in `copies` copies of the environment.

    `policy` is a run or a checkpoint, which acts on `device`, or a network that predicts chunks, which acts where it
    lies. What comes out is what serial episodes of the same seeds give, up to the rounding of batched matrix products,
    which a long episode can amplify; the same `copies` give the same numbers. Times are each episode's share of what
    the copies took together.

    Raises UsageError where environment, policy and execution do not fit each other.
    """
    if copies < 1:
        raise UsageError(f"--copies {copies}: at least one is needed")
    by_reward = not isinstance(policy, Policy) and reward_learner(find_pretrained(policy))
    mind = _Rewarded(str(policy), execution) if by_reward else _Chunks(policy, execution, device)
    kwargs = {**mind.env_kwargs, **(env_kwargs or {})}
    env: Any = make_vector(env_id, max(1, min(copies, len(seeds))), autoreset_mode="Disabled", **kwargs)
    try:
        mind.join(env)
        with one_thread():
            yield from _Fleet(env, mind, seeds).episodes()
    finally:
        env.close()


class _Chunks:
    """A network that predicts chunks."""

    def __init__(self, policy: str | Path | Policy, execution: Execution | None, device: str) -> None:
        self._name = "the policy" if isinstance(policy, Policy) else str(policy)
        self._network = policy.eval() if isinstance(policy, Policy) else packed(load_policy(policy, device))
        self.schedule = schedule_for(execution or Execution(), self._network.config, self._name)
        self.env_kwargs = environment_options(self._network.config, self._name)

    def join(self, env: Any) -> None:
        """UsageError where it does not fit `env`."""
        require_fit(self._name, self._network.config, env.single_action_space, env.prototype.control_hz)

    def answer(self, seen: Mapping[str, np.ndarray], asking: "Sequence[_Begun]") -> np.ndarray:
        """A chunk for each of those that ask, (B, H, A)."""
        words = {TASK: np.stack([episode.words for episode in asking])}
        playbacks = [episode.playback for episode in asking]
        return predict_chunks(self._network, self.schedule, to_dataset(seen) | words, playbacks)


class _Rewarded:
    """A policy learned from reward: its chunks are one action long."""

    schedule = Schedule("open_loop", chunk_size=1, steps=1, delay=0)

    def __init__(self, policy: str, execution: Execution | None) -> None:
        self._name, self.env_kwargs = policy, open_policy(policy, execution).env_kwargs

    def join(self, env: Any) -> None:
        """UsageError where it does not fit `env`."""
        from robotics.reinforcement.agent import LearnedAgent

        self._agent = LearnedAgent(self._name, env.prototype)

    def answer(self, seen: Mapping[str, np.ndarray], asking: "Sequence[_Begun]") -> np.ndarray:
        """An action for each of those that ask, (B, 1, A)."""
        return self._agent.act_in_copies(seen, len(asking))[:, None]


@dataclass
class _Begun:
    """An episode that is not over."""

    number: int
    seed: int
    playback: Playback
    words: np.ndarray
    faults_before: dict[str, int]
    wall_s: float
    total: float = 0.0
    policy_ms: list[float] = field(default_factory=list)
    actions: list[np.ndarray] = field(default_factory=list)


class _Fleet:
    """Copies of one environment, each in an episode of its own; one that is finished begins the next."""

    def __init__(self, env: Any, mind: _Chunks | _Rewarded, seeds: Sequence[int]) -> None:
        self._env, self._mind = env, mind
        self._waiting = list(reversed(list(enumerate(seeds))))
        self._running: list[_Begun | None] = [None] * env.num_envs
        self._actions = np.zeros(env.action_space.shape, np.float32)
        self._observation: Mapping[str, np.ndarray] = {}

    def episodes(self) -> Iterator[tuple[int, Episode]]:
        self._begin(np.ones(self._env.num_envs, bool))
        while running := [(copy, episode) for copy, episode in enumerate(self._running) if episode is not None]:
            started = time.perf_counter()
            broken = self._act(running)
            observation, reward, terminated, truncated, info = self._env.step(self._actions)
            self._observation = observation
            over = terminated | truncated
            share = (time.perf_counter() - started) / len(running)
            for copy, episode in running:
                episode.wall_s += share
                if copy not in broken:
                    episode.total += float(reward[copy])
                if over[copy] or copy in broken:
                    yield episode.number, self._ended(copy, episode, info, copy in broken)
            over[list(broken)] = True
            if over.any():
                self._begin(over)

    def _begin(self, free: np.ndarray) -> None:
        """Start the next episodes in the `free` copies; those for which none is left run on unwatched."""
        started = time.perf_counter()
        freed = np.flatnonzero(free).tolist()
        begun = {copy: self._waiting.pop() for copy in freed[: len(self._waiting)]}
        seeds = [begun[copy][1] if copy in begun else None for copy in range(len(free))]
        self._env.watched = self._asking() & ~free
        self._env.watched[list(begun)] = True
        observation, _ = self._env.reset(seed=seeds, options={"reset_mask": free})
        self._observation = observation
        instructions = self._env.prototype.instructions(self._env.state)
        share = (time.perf_counter() - started) / len(freed)
        for copy in freed:
            self._running[copy] = None
        for copy, (number, seed) in begun.items():
            playback, words = Playback(self._mind.schedule, seed), word_ids(instructions[copy])
            self._running[copy] = _Begun(number, seed, playback, words, self._env.faults_of(copy), share)

    def _act(self, running: Sequence[tuple[int, _Begun]]) -> set[int]:
        """Fill in the actions of the running copies; returns those whose action is not finite and is left as it was."""
        started, broken = time.perf_counter(), set()
        if asking := [(copy, episode) for copy, episode in running if episode.playback.asks()]:
            chosen = [copy for copy, _ in asking]
            seen = {key: values[chosen] for key, values in self._observation.items()}
            chunks = self._mind.answer(seen, [episode for _, episode in asking])
            for (_, episode), chunk in zip(asking, chunks, strict=True):
                episode.playback.give(chunk)
        for copy, episode in running:
            action = episode.playback.action()
            if np.isfinite(action).all():
                self._actions[copy] = action
                episode.actions.append(action)
            else:
                broken.add(copy)
        share = (time.perf_counter() - started) * 1e3 / len(running)
        for _, episode in running:
            episode.policy_ms.append(share)
        self._env.watched = self._asking()
        return broken

    def _asking(self) -> np.ndarray:
        """Copies (n,) whose policy wants to see what comes next."""
        return np.array([episode is not None and episode.playback.asks() for episode in self._running])

    def _ended(self, copy: int, begun: _Begun, info: Mapping[str, Any], broken: bool) -> Episode:
        after = self._env.faults_of(copy)
        faults = {name: count - begun.faults_before.get(name, 0) for name, count in after.items()}
        faults["nan"] = faults.get("nan", 0) + broken + ("fault" in info and not broken and info["_fault"][copy])
        success = not broken and bool(info["success"][copy])
        times = np.array(begun.policy_ms)
        jerk = squared_jerk(begun.actions)
        return Episode(begun.seed, success, begun.total, len(times), begun.wall_s, times, faults, jerk)
