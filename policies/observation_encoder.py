"""What a policy sees, as tokens that know of each other. Runs once per chunk."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robotics.policies.dit_config import BackboneConfig
from robotics.policies.normalization import Normalizer
from robotics.policies.observation_tokens import ObservationTokens, Tokens
from robotics.policies.transformer import Encoder


@dataclass(frozen=True)
class Encoded:
    """Tokens (B, T, D) and positions (T, D) by kind; None for a kind that the policy does not observe."""

    low_dimensional: Tokens | None
    language: Tokens | None
    images: Tokens | None

    def all(self) -> Tokens:
        """Every token there is."""
        tokens, positions = zip(*self.there(), strict=True)
        return torch.cat(tokens, dim=1), torch.cat(positions)

    def there(self) -> list[Tokens]:
        """The kinds that are observed."""
        return [part for part in (self.low_dimensional, self.language, self.images) if part is not None]


class ObservationEncoder(nn.Module):
    """Observation tokens through a pre-norm transformer."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.tokens = ObservationTokens(config, config.dim)
        width = (config.dim, config.heads, config.feed_forward, config.dropout)
        self.encoder = Encoder(config.encoder_layers, *width, pre_norm=True)

    def forward(self, observation: Mapping[str, Tensor], normalizer: Normalizer) -> Encoded:
        source = self.tokens
        parts = Encoded(
            source.low_dimensional(observation, normalizer), source.language(observation), source.images(observation)
        )
        tokens, positions = parts.all()
        tokens = self.encoder(tokens, positions)
        counts = [len(part[1]) for part in parts.there()]
        split = iter(zip(tokens.split(counts, dim=1), positions.split(counts), strict=True))
        kinds = (parts.low_dimensional, parts.language, parts.images)
        return Encoded(*(None if part is None else next(split) for part in kinds))
