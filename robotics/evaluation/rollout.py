"""One episode of one agent in one environment."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

from robotics.evaluation.agents import Agent
from robotics.evaluation.smoothness import squared_jerk

#: Counters of every bench document; an environment or agent may add to them, not to the list.
FAULTS = ("qp_infeasible", "fallback_ticks", "nan")


@dataclass(frozen=True)
class Episode:
    """What happened at `seed`.

    Attributes:
        success: None where the environment does not say (`info["success"]`).
        return_: undiscounted sum of rewards.
        length: control steps.
        wall_s: time of the whole episode [s].
        policy_ms: time of each action [ms].
        inference_ms: of those that took an inference; of an agent that plays chunks, stepped by itself.
        faults: counters by name, of the controller and the policy.
        squared_jerk: of the actions, see `smoothness`.
    """

    seed: int
    success: bool | None
    return_: float
    length: int
    wall_s: float
    policy_ms: np.ndarray
    inference_ms: np.ndarray = field(default_factory=lambda: np.empty(0), kw_only=True)
    faults: dict[str, int] = field(default_factory=dict)
    squared_jerk: float = 0.0


def run_episode(env: gym.Env, agent: Agent, seed: int, on_step: Callable[[], None] | None = None) -> Episode:
    """Reset with `seed` and let `agent` act until the episode ends. Depends on nothing that happened before.

    An action that is not finite ends the episode as failed and counts as a `nan` fault. `on_step` is called after the
    reset and after every step.
    """
    started = time.perf_counter()
    observation, info = env.reset(seed=seed)
    agent.reset(env, seed)
    before = _faults(env, agent)
    success, total, nan, done = _success(info), 0.0, 0, False
    policy_ms: list[float] = []
    inference_ms: list[float] = []
    actions: list[np.ndarray] = []
    if on_step:
        on_step()
    while not done:
        asked = time.perf_counter()
        action = agent.act(observation)
        policy_ms.append((time.perf_counter() - asked) * 1e3)
        if getattr(agent, "asked", False):
            inference_ms.append(policy_ms[-1])
        if not np.all(np.isfinite(action)):
            success, nan = (None if success is None else False), 1
            break
        actions.append(np.array(action, dtype=float))
        observation, reward, terminated, truncated, info = env.step(action)
        total += float(reward)
        success, done = _success(info), terminated or truncated
        if on_step:
            on_step()
    faults = {name: count - before.get(name, 0) for name, count in _faults(env, agent).items()}
    faults["nan"] = faults.get("nan", 0) + nan + ("fault" in info)
    wall_s, jerk = time.perf_counter() - started, squared_jerk(actions)
    times = np.array(policy_ms)
    return Episode(seed, success, total, len(times), wall_s, times, faults, jerk, inference_ms=np.array(inference_ms))


def _success(info: dict[str, Any]) -> bool | None:
    return bool(info["success"]) if "success" in info else None


def _faults(env: gym.Env, agent: Agent) -> dict[str, int]:
    """Counters so far of the controller inside the environment's step, and of the agent."""
    total: dict[str, int] = {}
    for source in (env.unwrapped, agent):
        counters = source.faults() if hasattr(source, "faults") else {}
        for name, count in counters.items():
            total[name] = total.get(name, 0) + int(count)
    return total
