"""Observations as tokens: one per vector, one per instruction, one per cell of an image's feature map."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from robotics.policies.augmentation import ImageAugmentation
from robotics.policies.base import PolicyConfig
from robotics.policies.input_gates import InputGates
from robotics.policies.language import InstructionToken
from robotics.policies.normalization import Normalizer
from robotics.policies.positions import sine_2d
from robotics.policies.resnet import CHANNELS, ResNet18

#: Mean and deviation of ImageNet's pixels on [0, 1]: what published ResNet weights expect.
_PIXEL_MEAN, _PIXEL_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

#: Tokens (B, T, D) and their positions (T, D).
Tokens = tuple[Tensor, Tensor]


class ObservationTokens(nn.Module):
    """Any subset of state, environment state, instruction and images to tokens (B, T, D) and their positions (T, D).

    One ResNet serves all cameras, as in ACT, or each has its own (`shared_backbone`). With ACT the feature maps of
    several cameras carry the same positions; here a learned vector per camera, zero at first, tells them apart.
    """

    def __init__(self, config: PolicyConfig, dim: int) -> None:
        super().__init__()
        self.vector_keys, self.image_keys = list(config.vector_dims), list(config.image_shapes)
        self.noise = config.input_noise
        sparse = config.input_sparsity and self.vector_keys
        self.gates = InputGates(list(config.vector_dims.values()), config.input_sparsity) if sparse else None
        self.shared = config.shared_backbone
        self.vectors = nn.ModuleList(nn.Linear(size, dim) for size in config.vector_dims.values())
        self.vector_positions = nn.Parameter(torch.randn(len(self.vector_keys), dim)) if self.vector_keys else None
        self.instruction = InstructionToken(dim) if config.language else None
        if self.image_keys:
            self.augmentation = ImageAugmentation(config.random_shift, config.colour_jitter)
            if self.shared:
                self.backbone = ResNet18(config.image_stride)
            else:
                self.backbones = nn.ModuleList(ResNet18(config.image_stride) for _ in self.image_keys)
            self.project = nn.Linear(CHANNELS[config.image_stride], dim)
            self.cameras = nn.Parameter(torch.zeros(len(self.image_keys), dim))

    def forward(self, observation: Mapping[str, Tensor], normalizer: Normalizer) -> Tokens:
        """Every token there is: vectors, then the instruction, then images."""
        parts = [self.low_dimensional(observation, normalizer), self.language(observation), self.images(observation)]
        tokens, positions = zip(*(part for part in parts if part is not None), strict=True)
        return torch.cat(tokens, dim=1), torch.cat(positions)

    def low_dimensional(self, observation: Mapping[str, Tensor], normalizer: Normalizer) -> Tokens | None:
        """One token per vector input, or None without any."""
        if self.vector_positions is None:
            return None
        vectors = [normalizer.normalize(key, observation[key]) for key in self.vector_keys]
        if self.training and self.noise:
            # A few demonstrations are a thin tube of states: noise widens it, and the chunk learns to lead back.
            vectors = [vector + self.noise * torch.randn_like(vector) for vector in vectors]
        if self.gates is not None:
            vectors = self.gates(vectors)
        tokens = [layer(vector) for layer, vector in zip(self.vectors, vectors, strict=True)]
        return torch.stack(tokens, dim=1), self.vector_positions

    def penalty(self) -> Tensor | float:
        """What these tokens add to the loss, whatever the batch."""
        return 0.0 if self.gates is None else self.gates.penalty()

    def language(self, observation: Mapping[str, Tensor]) -> Tokens | None:
        """One token of the instruction, or None without `language`."""
        if self.instruction is None:
            return None
        return self.instruction(observation), self.instruction.position

    def images(self, observation: Mapping[str, Tensor]) -> Tokens | None:
        """One token per cell of every camera's feature map, camera by camera, or None without cameras."""
        if not self.image_keys:
            return None
        maps = self._feature_maps([self.augmentation(observation[key]) for key in self.image_keys])
        tokens, positions = [], []
        for camera, features in enumerate(maps):
            height, width = features.shape[-2:]
            tokens.append(self.project(features.flatten(2).transpose(1, 2)))
            positions.append(sine_2d(height, width, tokens[-1].shape[-1], features.device) + self.cameras[camera])
        return torch.cat(tokens, dim=1), torch.cat(positions)

    def _feature_maps(self, images: list[Tensor]) -> list[Tensor]:
        pixels = [normalized_pixels(image) for image in images]
        if not self.shared:
            return [backbone(image) for backbone, image in zip(self.backbones, pixels, strict=True)]
        if len({image.shape for image in pixels}) == 1:  # one pass over all cameras keeps a GPU busier than one each
            return list(self.backbone(torch.cat(pixels)).chunk(len(pixels)))
        return [self.backbone(image) for image in pixels]


def normalized_pixels(images: Tensor) -> Tensor:
    """Images (B, h, w, 3) on [0, 255] to float (B, 3, h, w) with ImageNet's mean and deviation."""
    mean, std = (torch.tensor(values, device=images.device) for values in (_PIXEL_MEAN, _PIXEL_STD))
    return ((images.float() / 255 - mean) / std).permute(0, 3, 1, 2)
