"""The transformer of DETR (Carion et al. 2020) and ACT: positions join queries and keys only.

Every sublayer is residual, normalised after the sum as in the papers (post-norm) or before the function (pre-norm).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robotics.policies.dropout import Dropout, dropout


class Attention(nn.Module):
    """Multi-head attention: queries (B, Q, D) over keys and values (B, K, D) to (B, Q, D)."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.key, self.value = (nn.Linear(dim, dim) for _ in range(3))
        self.out = nn.Linear(dim, dim)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, is_pad: Tensor | None = None) -> Tensor:
        """`is_pad` (B, K): keys that nobody may look at."""
        q, k, v = self._split(self.query(query)), self._split(self.key(key)), self._split(self.value(value))
        visible = None if is_pad is None else ~is_pad[:, None, None, :]
        if self.training and self.dropout and q.device.type == "cpu":
            mixed = _attention_with_dropout(q, k, v, visible, self.dropout)
        else:
            rate = self.dropout if self.training else 0.0
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=visible, dropout_p=rate)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


def _attention_with_dropout(q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None, rate: float) -> Tensor:
    """softmax(q kᵀ / √d) v with dropout on the weights; torch has no fused kernel for it on a CPU either."""
    scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    if visible is not None:
        scores = scores.masked_fill(~visible, -torch.inf)
    return dropout(scores.softmax(dim=-1), rate) @ v


class Residual(nn.Module):
    """x + f(norm(x)), or norm(x + f(x)) when not `pre_norm`; of the first tokens alone where f returns no others."""

    def __init__(self, dim: int, dropout: float, pre_norm: bool) -> None:
        super().__init__()
        self.norm, self.dropout, self.pre_norm = nn.LayerNorm(dim), Dropout(dropout), pre_norm

    def forward(self, x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        change = self.dropout(function(self.norm(x) if self.pre_norm else x))
        x = x[:, : change.shape[1]] + change
        return x if self.pre_norm else self.norm(x)


class FeedForward(nn.Sequential):
    """Two linear layers with a ReLU between, per token."""

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__(nn.Linear(dim, hidden), nn.ReLU(), Dropout(dropout), nn.Linear(hidden, dim))


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward layer."""

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float, pre_norm: bool) -> None:
        super().__init__()
        self.attention = Attention(dim, heads, dropout)
        self.attend = Residual(dim, dropout, pre_norm)
        self.feed_forward = FeedForward(dim, hidden, dropout)
        self.feed = Residual(dim, dropout, pre_norm)

    def forward(self, x: Tensor, positions: Tensor, is_pad: Tensor | None = None, wanted: int | None = None) -> Tensor:
        """The first `wanted` tokens, which look at all of them; every token by default."""

        def attention(h: Tensor) -> Tensor:
            keys = h + positions
            return self.attention(keys[:, :wanted], keys, h, is_pad)

        return self.feed(self.attend(x, attention), self.feed_forward)


class DecoderLayer(nn.Module):
    """Self-attention among the queries, attention to the memory, and a feed-forward layer."""

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float, pre_norm: bool) -> None:
        super().__init__()
        self.self_attention = Attention(dim, heads, dropout)
        self.attend_self = Residual(dim, dropout, pre_norm)
        self.cross_attention = Attention(dim, heads, dropout)
        self.attend_memory = Residual(dim, dropout, pre_norm)
        self.feed_forward = FeedForward(dim, hidden, dropout)
        self.feed = Residual(dim, dropout, pre_norm)

    def forward(self, x: Tensor, positions: Tensor, memory: Tensor, memory_positions: Tensor) -> Tensor:
        keys = memory + memory_positions
        x = self.attend_self(x, lambda h: self.self_attention(h + positions, h + positions, h))
        x = self.attend_memory(x, lambda h: self.cross_attention(h + positions, keys, memory))
        return self.feed(x, self.feed_forward)


class Encoder(nn.Module):
    """A stack of encoder layers over tokens (B, T, D)."""

    def __init__(self, layers: int, dim: int, heads: int, hidden: int, dropout: float, pre_norm: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(dim, heads, hidden, dropout, pre_norm) for _ in range(layers))
        # Pre-norm leaves the sum of the residual stream unnormalised; post-norm ends in a norm already.
        self.norm = nn.LayerNorm(dim) if pre_norm else nn.Identity()

    def forward(self, x: Tensor, positions: Tensor, is_pad: Tensor | None = None, wanted: int | None = None) -> Tensor:
        """The first `wanted` tokens, every one by default: the last layer need not compute the others."""
        for number, layer in enumerate(self.layers, 1):
            x = layer(x, positions, is_pad, wanted if number == len(self.layers) else None)
        return self.norm(x)


class Decoder(nn.Module):
    """A stack of decoder layers over queries (B, Q, D), normalised at its end."""

    def __init__(self, layers: int, dim: int, heads: int, hidden: int, dropout: float, pre_norm: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(dim, heads, hidden, dropout, pre_norm) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, positions: Tensor, memory: Tensor, memory_positions: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, positions, memory, memory_positions)
        return self.norm(x)
