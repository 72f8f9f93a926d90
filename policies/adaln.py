"""The diffusion transformer with adaptive layer norms that start at zero (Peebles & Xie 2023; DiT-Policy 2024).

DiT-Policy's public code multiplies by the scale without 1 +, never applies the norm of its last layer and never calls
that layer's zero initialisation (https://github.com/SudeepDasari/dit-policy/blob/main/data4robotics/models/diffusion.py).
Here everything is as in DiT. Beside the modulation by a summary of the observation there is attention to its tokens:
a mean over image cells does not say where things are.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robotics.policies.attention import CrossAttention, KeysValues, SelfAttention
from robotics.policies.denoiser import Condition, Denoiser, perceptron, zero_linear
from robotics.policies.dit_config import BackboneConfig
from robotics.policies.observation_encoder import Encoded


class AdaLayerNorm(nn.Module):
    """norm(x)·(1 + scale) + shift, with scale and shift given from outside."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        return torch.addcmul(shift, F.layer_norm(x, (self.dim,)), 1 + scale)


class AdaLnBlock(nn.Module):
    """Attention among tokens, attention to the observation, feed-forward; each x + gate·f(adaptive norm(x))."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        dim = config.dim
        self.norm = AdaLayerNorm(dim)
        self.self_attention = SelfAttention(dim, config.heads)
        self.cross_attention = CrossAttention(dim, config.heads)
        self.feed_forward = perceptron(dim, nn.Linear(config.feed_forward, dim))
        self.dropout = nn.Dropout(config.dropout)
        self.modulation = zero_linear(dim, 9 * dim)

    def forward(self, x: Tensor, signal: Tensor, memory: KeysValues) -> Tensor:
        """`signal` (B, 1 or Q, D): time and summary of the observation."""
        shift_a, scale_a, gate_a, shift_b, scale_b, gate_b, shift_c, scale_c, gate_c = self.modulation(signal).chunk(
            9, -1
        )
        x = x + gate_a * self.dropout(self.self_attention(self.norm(x, shift_a, scale_a)))
        x = x + gate_b * self.dropout(self.cross_attention(self.norm(x, shift_b, scale_b), memory))
        return x + gate_c * self.dropout(self.feed_forward(self.norm(x, shift_c, scale_c)))


class AdaLnDenoiser(Denoiser):
    """Tokens of noisy actions with learned positions through blocks that time and observation modulate."""

    def __init__(self, config: BackboneConfig, channels: int) -> None:
        super().__init__(config, channels)
        self.positions = nn.Parameter(0.02 * torch.randn(config.chunk_size // self.group, config.dim))
        self.summary = nn.Linear(config.dim, config.dim)
        self.blocks = nn.ModuleList(AdaLnBlock(config) for _ in range(config.decoder_layers))
        self.norm = AdaLayerNorm(config.dim)
        self.modulation = zero_linear(config.dim, 2 * config.dim)
        self.head = zero_linear(config.dim, self.group * channels)

    def condition(self, encoded: Encoded) -> Condition:
        tokens, positions = encoded.all()
        summary = self.summary(tokens.mean(dim=1, keepdim=True))
        attentions = [block.cross_attention for block in self.blocks if isinstance(block, AdaLnBlock)]
        return Condition(summary, tuple(attention.remember(tokens, positions) for attention in attentions))

    def forward(self, noisy: Tensor, time: Tensor, condition: Condition) -> Tensor:
        signal = F.silu(self._times(time) + condition.context)
        x = self._tokens(noisy) + self.positions
        for block, memory in zip(self.blocks, condition.memory, strict=True):
            x = block(x, signal, memory)
        return self._chunk(self.head(self.norm(x, *self.modulation(signal).chunk(2, -1))))
