"""The architecture of ACT (Zhao et al. 2023, "Learning Fine-Grained Bimanual Manipulation with Low-Cost Hardware")."""

from dataclasses import dataclass
from typing import ClassVar

from robotics.errors import UsageError
from robotics.policies.base import PolicyConfig, require_not_negative, require_positive, require_whole_queries


@dataclass(frozen=True, kw_only=True)
class ActConfig(PolicyConfig):
    """Action Chunking with Transformers. The defaults are the paper's."""

    type: ClassVar[str] = "act"

    chunk_size: int = 100
    n_action_steps: int = 100
    dim: int = 512
    """Width of the tokens."""
    heads: int = 8
    """Attention heads."""
    feed_forward: int = 3200
    """Hidden width of the feed-forward layers."""
    encoder_layers: int = 4
    """Layers over the observation tokens, and over the actions in the CVAE."""
    decoder_layers: int = 1
    """Layers over the action queries. The public code builds 7 but takes the output of the first, so 1 is what the
    published results used (https://github.com/tonyzhaozh/act/issues/25); with 7 here all 7 count."""
    actions_per_query: int = 1
    """Consecutive actions that one decoder query stands for; more make a short, cheap decoder."""
    pre_norm: bool = False
    """Normalise before each sublayer, not after it."""
    dropout: float = 0.1
    """Dropout everywhere in the transformers."""
    latent_dim: int = 32
    """Dimensions of the CVAE's style variable; 0 trains without a CVAE."""
    kl_weight: float = 10.0
    """Weight of the KL term [L1 per nat]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "dim", "heads", "feed_forward", "encoder_layers", "decoder_layers", "actions_per_query")
        if self.dim % self.heads or self.dim % 4:
            raise UsageError(f"dim {self.dim} must be a multiple of heads {self.heads} and of 4")
        require_whole_queries(self.chunk_size, self.actions_per_query)
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout is {self.dropout}; it must be in [0, 1)")
        require_not_negative(self, "latent_dim", "kl_weight")
