"""The diffusion transformer of RDT-1B (Liu et al. 2024, arXiv 2410.07864): conditions are tokens, no modulation."""

import torch
from torch import Tensor, nn

from robotics.policies.attention import CrossAttention, KeysValues, RMSNorm, SelfAttention
from robotics.policies.denoiser import Condition, Denoiser, perceptron, zero_linear
from robotics.policies.dit_config import BackboneConfig
from robotics.policies.observation_encoder import Encoded


class InContextBlock(nn.Module):
    """Attention among tokens, attention to one kind of memory where there is one, feed-forward; RMSNorm before each."""

    def __init__(self, config: BackboneConfig, looks: bool) -> None:
        super().__init__()
        dim = config.dim
        self.self_norm, self.self_attention = RMSNorm(dim), SelfAttention(dim, config.heads, qk_norm=True)
        if looks:
            self.cross_norm, self.cross_attention = RMSNorm(dim), CrossAttention(dim, config.heads, qk_norm=True)
        self.feed_norm = RMSNorm(dim)
        self.feed_forward = perceptron(dim, nn.Linear(config.feed_forward, dim))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, memory: KeysValues | None) -> Tensor:
        x = x + self.dropout(self.self_attention(self.self_norm(x)))
        if memory is not None:
            x = x + self.dropout(self.cross_attention(self.cross_norm(x), memory))
        return x + self.dropout(self.feed_forward(self.feed_norm(x)))


class InContextDenoiser(Denoiser):
    """Tokens [time, vectors, noisy actions]; block i looks at language or at images, in turn.

    RDT has one time for all; here the noisy tokens also carry their own, for chunks of which a part is known.
    """

    def __init__(self, config: BackboneConfig, channels: int) -> None:
        super().__init__(config, channels)
        kinds = ["language"] * config.language + ["images"] * bool(config.image_shapes)
        self.looks = [kinds[block % len(kinds)] if kinds else None for block in range(config.decoder_layers)]
        self.positions = nn.Parameter(0.02 * torch.randn(config.chunk_size // self.group, config.dim))
        self.blocks = nn.ModuleList(InContextBlock(config, kind is not None) for kind in self.looks)
        self.norm = RMSNorm(config.dim)
        self.head = perceptron(config.dim, zero_linear(config.dim, self.group * channels))

    def condition(self, encoded: Encoded) -> Condition:
        if encoded.low_dimensional is not None:
            tokens, positions = encoded.low_dimensional
            context = tokens + positions
        else:
            tokens = encoded.all()[0]
            context = tokens[:, :0]
        memory: list[KeysValues | None] = []
        for block, kind in zip(self.blocks, self.looks, strict=True):
            assert isinstance(block, InContextBlock)
            memory.append(None if kind is None else block.cross_attention.remember(*getattr(encoded, kind)))
        return Condition(context, tuple(memory))

    def forward(self, noisy: Tensor, time: Tensor, condition: Condition) -> Tensor:
        times = self._times(time)
        actions = self._tokens(noisy) + self.positions + times
        x = torch.cat([times.mean(dim=1, keepdim=True), condition.context, actions], dim=1)
        for block, memory in zip(self.blocks, condition.memory, strict=True):
            x = block(x, memory)
        return self._chunk(self.head(self.norm(x[:, -actions.shape[1] :])))
