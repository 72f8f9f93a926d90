"""A policy learned from reward as a function of plain tensors, for `policies.export`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.sac.policies import SACPolicy
from torch import Tensor, nn

from robotics.policies.export import PolicyFunction
from robotics.reinforcement.agent import CLIP, LearnedPolicy


class ActionFunction(PolicyFunction):
    """The mean of the policy: normalisation, network, squashing and the scale of the actions in one. Its inputs are the
    environment's observations, its action (1, k) or the number of a choice (1,) is one that the environment takes."""

    gives = "action"

    def __init__(self, policy: str) -> None:
        super().__init__()
        self._original = original = LearnedPolicy(policy)
        interface, network = original.document.interface, original.network
        layers: tuple[Any, ...]
        self.inputs = {name: (size,) for name, size in interface.inputs.items()}
        self.choices, self.first = interface.choices, interface.first
        if isinstance(network, SACPolicy):
            layers = (network.actor.latent_pi, network.actor.mu, nn.Tanh())
        else:
            assert isinstance(network, ActorCriticPolicy)
            layers = (network.mlp_extractor.policy_net, network.action_net)
        self.network = nn.Sequential(*layers).eval().requires_grad_(False)
        mean = torch.from_numpy(original.mean)
        # In two parts: what hardly ever changes has a scale of up to 1e4, by which float32 would be seen to round
        self.register_buffer("mean", mean.float())
        self.register_buffer("rest", (mean - mean.float()).float())
        self.register_buffer("scale", torch.from_numpy(original.scale).float())
        self.register_buffer("low", torch.tensor(interface.low))
        self.register_buffer("range", torch.tensor(interface.high) - torch.tensor(interface.low))

    def forward(self, *observations: Tensor) -> Tensor:
        seen = ((torch.cat(observations, dim=-1) - self.mean) - self.rest) * self.scale
        chosen = self.network(seen.clamp(-CLIP, CLIP))
        if self.choices is not None:
            return chosen.argmax(dim=-1) + self.first
        return self.low + (chosen.clamp(-1.0, 1.0) + 1.0) / 2.0 * self.range

    def run(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.asarray(self._original.actions(values, (1,)))

    def spread(self) -> np.ndarray:
        return np.ones(1) if self.choices is not None else self.range.numpy() / 2

    def draw(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """As normalised in training: spread by a standard deviation about the mean."""
        flat = self._original.mean + rng.standard_normal(len(self._original.mean)) / self._original.scale
        ends = np.cumsum([size for (size,) in self.inputs.values()])
        return dict(zip(self.inputs, np.split(flat.astype(np.float32)[None], ends[:-1], axis=1), strict=True))

    def description(self) -> dict[str, Any]:
        document = self._original.document
        about = {"type": document.kind, "layers": document.layers, "env_kwargs": document.env_kwargs}
        return {**about, "interface": document.interface.document(), "inputs": self.inputs}
