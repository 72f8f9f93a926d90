"""Between environments and learners of reward: one flat observation, actions within [-1, 1], and how to go back.

A learned policy is saved with what it was taught in, and refuses anything else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from robotics.environments import observation_dict
from robotics.errors import UsageError

Array = np.ndarray


@dataclass(frozen=True)
class Interface:
    """What a policy sees and does.

    Attributes:
        inputs: names and sizes of the observations that make up the flat one, in this order.
        choices: how many discrete actions there are, or None for continuous ones.
        low, high: bounds (k,) of continuous actions; the policy's -1 and 1. Without bounds they are -1 and 1.
        first: the number of the first discrete action.
    """

    inputs: dict[str, int]
    choices: int | None = None
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    first: int = 0

    @classmethod
    def of(cls, observation: gym.Space, action: gym.Space, env_id: str) -> "Interface":
        """UsageError for spaces that no multi-layer perceptron can read or fill."""
        spaces = dict(observation.spaces) if isinstance(observation, gym.spaces.Dict) else {"state": observation}
        inputs = {}
        for name, space in spaces.items():
            if not isinstance(space, gym.spaces.Box) or space.shape is None or len(space.shape) > 1:
                raise UsageError(f"environment '{env_id}' observes {name} as {space}: ppo and sac read vectors only")
            inputs[name] = int(np.prod(space.shape))
        if isinstance(action, gym.spaces.Discrete):
            return cls(inputs, int(action.n), first=int(action.start))
        if not isinstance(action, gym.spaces.Box) or len(action.shape) != 1:
            raise UsageError(f"environment '{env_id}' takes actions in {action}: ppo and sac give vectors or choices")
        bounded = np.isfinite(action.low) & np.isfinite(action.high)
        low, high = np.where(bounded, action.low, -1.0), np.where(bounded, action.high, 1.0)
        return cls(inputs, None, tuple(map(float, low)), tuple(map(float, high)))

    @property
    def observation_space(self) -> gym.spaces.Box:
        return gym.spaces.Box(-np.inf, np.inf, (sum(self.inputs.values()),), np.float32)

    @property
    def action_space(self) -> gym.Space:
        if self.choices is not None:
            return gym.spaces.Discrete(self.choices)
        return gym.spaces.Box(-1.0, 1.0, (len(self.low),), np.float32)

    def flat(self, observation: Any, batch: tuple[int, ...] = ()) -> Array:
        """The observation as one vector, float32 (*batch, size)."""
        seen = observation_dict(observation)
        parts = [np.asarray(seen[name], np.float32).reshape(*batch, size) for name, size in self.inputs.items()]
        return np.concatenate(parts, axis=-1)

    def action(self, chosen: Array) -> Any:
        """The environment's actions that a policy's (…, k) or choices (…) mean."""
        if self.choices is not None:
            return chosen + self.first
        low, high = np.array(self.low), np.array(self.high)
        return (low + (np.clip(chosen, -1, 1) + 1) / 2 * (high - low)).astype(np.float32)

    def require(self, env: gym.Env, path: str) -> None:
        """UsageError unless `env` observes and acts as this says."""
        here = Interface.of(env.observation_space, env.action_space, env.spec.id if env.spec else type(env).__name__)
        for what, ours, theirs in (
            ("observes", self.inputs, here.inputs),
            ("acts in", (self.choices, self.low, self.high), (here.choices, here.low, here.high)),
        ):
            if ours != theirs:
                raise UsageError(f"{path} {what} {ours}, the environment {theirs}: give the one it was trained in")

    def document(self) -> dict[str, Any]:
        return {
            "inputs": self.inputs,
            "choices": self.choices,
            "low": list(self.low),
            "high": list(self.high),
            "first": self.first,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Interface":
        """Raises KeyError, TypeError or ValueError for a document that is none."""
        inputs = {str(name): int(size) for name, size in dict(document["inputs"]).items()}
        choices = None if document["choices"] is None else int(document["choices"])
        low, high = (tuple(float(value) for value in document[end]) for end in ("low", "high"))
        return cls(inputs, choices, low, high, int(document["first"]))
