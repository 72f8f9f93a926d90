"""How different what a policy sees and does is on a target: with the same seeds, and at the very same states.

* Observation shift: whether a classifier can tell target from simulation (C2ST, Lopez-Paz and Oquab 2017). Half of the
  seeds train it; of each other episode one moment counts, so that moments are independent and the interval Wilson's.
* Action shift: 1-Wasserstein distance of the actions along either's own states, per dimension, over the action range.
* Counterfactual action shift: at every state visited on the target, the same policy is also shown what it would have
  seen without the sensors' errors; the mean distance of both actions. Cause without consequence.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from robotics.environments import make_env, observation_dict
from robotics.envs.base import MujocoTask
from robotics.envs.eyes import Eye
from robotics.evaluation.agents import AgentSource
from robotics.evaluation.bench import one_thread
from robotics.evaluation.statistics import wilson
from robotics.sim2real.world import World
from robotics.workers import in_order

Array = np.ndarray

#: Pictures count as this many blocks a side.
_BLOCKS = 6
_STREAM = 0x5F


@dataclass(frozen=True)
class Seen:
    """An episode: features (t, k) of what was seen, actions (t, a), and those for error-free observations (t, a)."""

    features: Array
    actions: Array
    counterfactual: Array


@dataclass(frozen=True)
class _Watch:
    """A worker's job: the episode of a seed."""

    env_id: str
    env_kwargs: Mapping[str, Any]
    source: AgentSource
    world: World

    @contextmanager
    def open(self) -> Iterator[Callable[[int], Seen]]:
        more = {"world": self.world} if self.world.values else {}
        env = make_env(self.env_id, **self.env_kwargs, **more)
        task = env.unwrapped
        assert isinstance(task, MujocoTask)
        eye = Eye(copy.copy(task.believed), task.image_size, fast=True) if task.cameras else None
        try:
            agents = self.source.agent(env), self.source.agent(env)
            with one_thread():
                yield lambda seed: _watch(env, task, eye, agents, seed)
        finally:
            if eye is not None:
                eye.close()
            env.close()


def _watch(env: Any, task: MujocoTask, eye: Eye | None, agents: tuple[Any, Any], seed: int) -> Seen:
    observation, _ = env.reset(seed=seed)
    for agent in agents:
        agent.reset(env, seed)
    features, actions, others, done = [], [], [], False
    while not done:
        features.append(_features(observation_dict(observation)))
        action = np.asarray(agents[0].act(observation), float)
        other = np.asarray(agents[1].act(error_free(task, eye)), float)
        if not (np.isfinite(action).all() and np.isfinite(other).all()):  # the arms count it as a failure
            features.pop()
            break
        actions.append(action)
        others.append(other)
        observation, _, terminated, truncated, _ = env.step(action.astype(env.action_space.dtype))
        done = terminated or truncated
    return Seen(np.array(features), np.array(actions), np.array(others))


def error_free(task: MujocoTask, eye: Eye | None) -> dict[str, Array]:
    """What would be observed now if nothing but the state mattered."""
    clean = {key: values[0] for key, values in task.seen(task.state).items()}
    if eye is not None:
        things = [field for field in task.RANDOMISED if field.startswith(("geom_", "body_"))]
        for field in things:  # as they are in this instance
            part = np.s_[..., 3] if field == "geom_rgba" else np.s_[...]  # worlds colour them, instances hide some
            nominal = getattr(eye.model, field)
            nominal[part] = getattr(task.model, field)[: len(nominal)][part]
        images = eye.look(task.state, 0, task.cameras)
        clean.update({f"image_{camera}": image for camera, image in zip(task.cameras, images, strict=True)})
    return clean


def _features(observation: Mapping[str, Array]) -> Array:
    parts = []
    for value in observation.values():
        array = np.asarray(value, float)
        if array.ndim == 3:
            rows = [block.mean(axis=(0, 1)) for strip in np.array_split(array, _BLOCKS) for block in _columns(strip)]
            array = np.concatenate(rows) / 255.0
        parts.append(array.ravel())
    return np.concatenate(parts)


def _columns(strip: Array) -> list[Array]:
    return np.array_split(strip, _BLOCKS, axis=1)


def measure_shift(
    env_id: str, env_kwargs: Mapping[str, Any], source: AgentSource, target: World, seeds: Sequence[int], workers: int
) -> dict[str, Any] | None:
    """Observation and action shift between the simulation and `target` on `seeds`, as JSON.

    None where the policy gave no finite action at the beginning of any of them.
    """
    episodes = []
    for world in (World(), target):
        with in_order(_Watch(env_id, env_kwargs, source, world), list(seeds), min(workers, len(seeds))) as done:
            episodes.append(list(done))
    acted = [pair for pair in zip(*episodes, strict=True) if all(len(one.actions) for one in pair)]
    if not acted:
        return None
    sim, there = zip(*acted, strict=True)
    env = make_env(env_id, **env_kwargs)
    space: Any = env.action_space
    env.close()
    width = np.where(np.isfinite(space.high - space.low), space.high - space.low, 1.0).ravel()
    actions = [np.concatenate([one.actions for one in arm]) / width for arm in (sim, there)]
    moved = [np.abs(one.actions - one.counterfactual) / width for one in there]
    return {
        "seeds": len(acted),
        "observation": classifier_test([one.features for one in sim], [one.features for one in there]),
        "action_wasserstein": [wasserstein(actions[0][:, i], actions[1][:, i]) for i in range(actions[0].shape[1])],
        "counterfactual_action": float(np.mean([one.mean() for one in moved])),
        "unit": "of the action range",
    }


def wasserstein(first: Array, second: Array) -> float:
    """1-Wasserstein distance of two samples of numbers (scipy's)."""
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(first, second))


def classifier_test(sim: Sequence[Array], target: Sequence[Array]) -> dict[str, Any]:
    """Accuracy of telling the two apart on seeds it has not seen, from episodes (t, k) of the same seeds.

    A ridge classifier on values, their squares, and how much both changed since the moment before. 0.5 is a guess.
    """
    rng = np.random.default_rng((_STREAM, len(sim)))
    half = len(sim) // 2
    if half < 1:
        return {"accuracy": None, "ci95": None, "n": 0}
    arms = [[_moments(one) for one in arm] for arm in (sim, target)]
    train = [np.concatenate(arm[:half]) for arm in arms]
    middle, scale = np.concatenate(train).mean(axis=0), np.concatenate(train).std(axis=0)
    kept = scale > 1e-9
    x = np.concatenate([_expanded((part - middle)[:, kept] / scale[kept]) for part in train])
    labels = np.concatenate([np.full(len(part), side) for part, side in zip(train, (-1.0, 1.0), strict=True)])
    balance = np.concatenate([np.full(len(part), 1.0 / len(part)) for part in train])
    weighted = x * balance[:, None]
    weights = np.linalg.solve(x.T @ weighted + 1e-2 * np.eye(x.shape[1]), weighted.T @ labels)
    right = []
    for arm, side in zip(arms, (-1.0, 1.0), strict=True):
        for one in arm[half:]:
            moment = one[int(rng.integers(len(one)))][None]
            guess = float((_expanded((moment - middle)[:, kept] / scale[kept]) @ weights)[0])
            right.append(guess * side > 0)
    hits = int(np.sum(right))
    return {"accuracy": hits / len(right), "ci95": list(wilson(hits, len(right))), "n": len(right)}


def _moments(episode: Array) -> Array:
    change = np.diff(episode, axis=0, prepend=episode[:1])
    return np.concatenate([episode, np.abs(change)], axis=1)


def _expanded(x: Array) -> Array:
    bounded = np.clip(x, -10.0, 10.0)
    return np.concatenate([bounded, bounded**2, np.ones((len(x), 1))], axis=1)
