"""A policy learned from reward, acting in one environment."""

from typing import Any

import gymnasium as gym
import numpy as np

from robotics.reinforcement.checkpoint import load_policy

#: As Stable-Baselines3 normalises: clipped to so many standard deviations, which are at least so large.
_CLIP, _EPSILON = 10.0, 1e-8


class LearnedAgent:
    """Acts by the mean of the policy, on observations normalised as in training."""

    def __init__(self, path: str, env: gym.Env) -> None:
        document, self._policy, statistics = load_policy(path)
        document.interface.require(env, path)
        self._interface = document.interface
        self._mean = np.asarray(statistics.mean)
        self._scale = 1 / np.sqrt(np.asarray(statistics.var) + _EPSILON)

    def reset(self, env: gym.Env, seed: int) -> None:
        pass

    def act(self, observation: Any) -> Any:
        flat = (self._interface.flat(observation) - self._mean) * self._scale
        chosen, _ = self._policy.predict(np.clip(flat, -_CLIP, _CLIP).astype(np.float32), deterministic=True)
        action = self._interface.action(chosen)
        return int(action) if self._interface.choices is not None else action
