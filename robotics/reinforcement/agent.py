"""A policy learned from reward, acting in one environment."""

from typing import Any

import gymnasium as gym
import numpy as np

from robotics.reinforcement.checkpoint import load_policy

#: As Stable-Baselines3 normalises: clipped to so many standard deviations, which are at least so large.
CLIP, EPSILON = 10.0, 1e-8


class LearnedPolicy:
    """Acts by the mean of the policy, on observations normalised as in training."""

    def __init__(self, path: str) -> None:
        self.document, self.network, self.statistics = load_policy(path)
        self.mean = np.asarray(self.statistics.mean)
        self.scale = 1 / np.sqrt(np.asarray(self.statistics.var) + EPSILON)

    def actions(self, observation: Any, batch: tuple[int, ...] = ()) -> Any:
        """The environment's actions (*batch, k), or choices (*batch), for what it observes."""
        interface = self.document.interface
        flat = np.clip((interface.flat(observation, batch) - self.mean) * self.scale, -CLIP, CLIP)
        chosen, _ = self.network.predict(flat.astype(np.float32), deterministic=True)
        return interface.action(chosen)


class LearnedAgent:
    """The `Agent` of a policy; UsageError for an environment that it was not trained in."""

    def __init__(self, path: str, env: gym.Env) -> None:
        self._policy = LearnedPolicy(path)
        self._policy.document.interface.require(env, path)

    def reset(self, env: gym.Env, seed: int) -> None:
        pass

    def act(self, observation: Any) -> Any:
        action = self._policy.actions(observation)
        return int(action) if self._policy.document.interface.choices is not None else action

    def act_in_copies(self, observation: Any, copies: int) -> Any:
        """The actions (copies, k) for what as many environments observe."""
        return self._policy.actions(observation, (copies,))
