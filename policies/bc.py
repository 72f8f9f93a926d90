"""Behaviour cloning by regression: the baseline that everything else must beat."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robotics.policies.base import ACTION_IS_PAD, Policy
from robotics.policies.bc_config import BCConfig
from robotics.policies.losses import masked_mse
from robotics.policies.observation_tokens import ObservationTokens
from robotics.vocabulary import ACTION


class BC(Policy):
    """Behaviour cloning: a multilayer perceptron from observations to a chunk, by regression.

    It takes one token per vector and instruction, and the mean of each camera's.
    """

    config: BCConfig

    def __init__(self, config: BCConfig) -> None:
        super().__init__(config)
        self.tokens = ObservationTokens(config, config.dim)
        inputs = (len(config.input_shapes) + config.language) * config.dim
        layers: list[nn.Module] = []
        for width in [config.hidden] * config.layers:
            layers += [nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(config.dropout)]
            inputs = width
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, config.chunk_size * config.action_dim))

    def loss(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean squared error of the normalised actions."""
        error = masked_mse(self._chunk(batch), self.normalizer.normalize(ACTION, batch[ACTION]), batch[ACTION_IS_PAD])
        return error + self.tokens.penalty(), {"mse": error.detach()}

    def predict_chunk(self, observation: Mapping[str, Tensor], generator: torch.Generator | None = None) -> Tensor:
        return self.normalizer.denormalize(ACTION, self._chunk(observation).float())

    def _chunk(self, observation: Mapping[str, Tensor]) -> Tensor:
        tokens, positions = self.tokens(observation, self.normalizer)
        # The bend before the mean lets a cell's content and its place act together: what is where.
        tokens = F.gelu(tokens + positions)
        single = len(self.config.vector_dims) + self.config.language
        parts = [tokens[:, :single].flatten(1)]
        if self.config.image_shapes:
            stride = self.config.image_stride
            sizes = [-(-h // stride) * -(-w // stride) for h, w, _ in self.config.image_shapes.values()]
            parts += [cells.mean(dim=1) for cells in tokens[:, single:].split(sizes, dim=1)]
        return self.layers(torch.cat(parts, dim=1)).unflatten(1, (self.config.chunk_size, self.config.action_dim))
