"""Observations as tokens: one per vector, one per cell of an image's feature map."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from robotics.policies.base import PolicyConfig
from robotics.policies.normalization import Normalizer
from robotics.policies.positions import sine_2d
from robotics.policies.resnet import CHANNELS, ResNet18

#: Mean and deviation of ImageNet's pixels on [0, 1]: what published ResNet weights expect.
_PIXEL_MEAN, _PIXEL_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ObservationTokens(nn.Module):
    """Any subset of state, environment state and images to tokens (B, T, D) and their positions (T, D).

    One ResNet serves all cameras, as in ACT. There the feature maps of several cameras carry the same positions; here a
    learned vector per camera, zero at first, tells them apart.
    """

    def __init__(self, config: PolicyConfig, dim: int, noise: float) -> None:
        super().__init__()
        self.vector_keys, self.image_keys = list(config.vector_dims), list(config.image_shapes)
        self.noise = noise
        self.vectors = nn.ModuleList(nn.Linear(size, dim) for size in config.vector_dims.values())
        self.vector_positions = nn.Parameter(torch.randn(len(self.vector_keys), dim)) if self.vector_keys else None
        if self.image_keys:
            self.backbone = ResNet18()
            self.project = nn.Linear(CHANNELS, dim)
            self.cameras = nn.Parameter(torch.zeros(len(self.image_keys), dim))

    def forward(self, observation: Mapping[str, Tensor], normalizer: Normalizer) -> tuple[Tensor, Tensor]:
        tokens: list[Tensor] = []
        positions: list[Tensor] = []
        if self.vector_positions is not None:
            tokens.append(torch.stack(self._vector_tokens(observation, normalizer), dim=1))
            positions.append(self.vector_positions)
        for camera, key in enumerate(self.image_keys):
            features = self.backbone(normalized_pixels(observation[key]))
            height, width = features.shape[-2:]
            tokens.append(self.project(features.flatten(2).transpose(1, 2)))
            positions.append(sine_2d(height, width, tokens[-1].shape[-1], features.device) + self.cameras[camera])
        return torch.cat(tokens, dim=1), torch.cat(positions)

    def _vector_tokens(self, observation: Mapping[str, Tensor], normalizer: Normalizer) -> list[Tensor]:
        vectors = [normalizer.normalize(key, observation[key]) for key in self.vector_keys]
        if self.training and self.noise:
            # A few demonstrations are a thin tube of states: noise widens it, and the chunk learns to lead back.
            vectors = [vector + self.noise * torch.randn_like(vector) for vector in vectors]
        return [layer(vector) for layer, vector in zip(self.vectors, vectors, strict=True)]


def normalized_pixels(images: Tensor) -> Tensor:
    """uint8 (B, h, w, 3) to float (B, 3, h, w) with ImageNet's mean and deviation."""
    mean, std = (torch.tensor(values, device=images.device) for values in (_PIXEL_MEAN, _PIXEL_STD))
    return ((images.float() / 255 - mean) / std).permute(0, 3, 1, 2)
