"""Attention for networks that are evaluated many times on one observation: its keys and values are made once."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Keys and values (B, heads, T, D/heads).
KeysValues = tuple[Tensor, Tensor]


class RMSNorm(nn.Module):
    """x / rms(x) · weight over the last dimension, computed in float32 and returned as what it came.

    torch's own module refuses its fast kernel under autocast, and warns.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), self.weight.shape, self.weight).to(x.dtype)


class SelfAttention(nn.Module):
    """Tokens (B, Q, D) over each other; with `qk_norm` queries and keys are RMS-normalised per head.

    The norm keeps the scores of attention bounded, which RDT-1B needs for training in low precision (Liu et al. 2024).
    """

    def __init__(self, dim: int, heads: int, qk_norm: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(dim, 3 * dim)
        self.query_norm, self.key_norm = _norms(dim // heads, qk_norm)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(self.query_norm(q), self.key_norm(k), v)
        return self.out(mixed.transpose(1, 2).flatten(2))


class CrossAttention(nn.Module):
    """Tokens (B, Q, D) over a memory."""

    def __init__(self, dim: int, heads: int, qk_norm: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(dim, dim) for _ in range(3))
        self.query_norm, self.key_norm = _norms(dim // heads, qk_norm)
        self.out = nn.Linear(dim, dim)

    def remember(self, memory: Tensor, positions: Tensor) -> KeysValues:
        """What `forward` needs of a memory (B, T, D); its positions (T, D) join the keys."""
        return self.key_norm(self._split(self.key(memory + positions))), self._split(self.value(memory))

    def forward(self, x: Tensor, memory: KeysValues) -> Tensor:
        mixed = F.scaled_dot_product_attention(self.query_norm(self._split(self.query(x))), *memory)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


def _norms(dim: int, there: bool) -> tuple[nn.Module, nn.Module]:
    return (RMSNorm(dim), RMSNorm(dim)) if there else (nn.Identity(), nn.Identity())
