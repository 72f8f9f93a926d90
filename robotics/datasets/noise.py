"""Smooth disturbance of executed actions, so that demonstrations also show how to come back.

The expert is asked in states that its own disturbed actions lead to, and its undisturbed answer is recorded:
Laskey et al., "DART: Noise Injection for Robust Imitation Learning", CoRL 2017. Noise that is correlated in time moves
a robot further than white noise of the same size, which its servos average away.
"""

import gymnasium as gym
import numpy as np

from robotics.errors import UsageError

CORRELATION_S = 0.2  # time in which the disturbance forgets itself [s]


class ActionNoise:
    """An Ornstein-Uhlenbeck disturbance with standard deviation `sigma` times the range of each action."""

    def __init__(self, space: gym.spaces.Box, sigma: float, control_hz: float, rng: np.random.Generator) -> None:
        if sigma and not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
            raise UsageError("--noise needs bounded actions; those of this environment have no range")
        self._space, self._rng = space, rng
        self._scale = sigma * (space.high - space.low) if sigma else np.zeros(space.shape)
        self._memory = np.exp(-1.0 / (CORRELATION_S * control_hz))
        self._value = rng.standard_normal(space.shape)  # the stationary distribution from the first step on

    def disturb(self, action: np.ndarray) -> np.ndarray:
        """The action to execute for the expert's `action`, within the bounds; the disturbance moves on by one step."""
        if not self._scale.any():
            return action
        disturbed = np.clip(action + self._scale * self._value, self._space.low, self._space.high)
        fresh = self._rng.standard_normal(self._space.shape)
        self._value = self._memory * self._value + np.sqrt(1 - self._memory**2) * fresh
        return disturbed.astype(self._space.dtype)
