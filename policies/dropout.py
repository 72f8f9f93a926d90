"""Dropout (Srivastava et al. 2014) that costs little on a CPU.

torch draws one uniform number per element there, one after the other, which was a sixth of a training step of ACT. Here
every 64 random bits decide about four elements.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LEVELS = 1 << 16  # of 16 random bits: the rate is rounded to a multiple of 1 / 65536


class Dropout(nn.Module):
    """In training, zero a share `p` of the elements and scale the others so that the mean stays."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p) if self.training else x


def dropout(x: Tensor, p: float) -> Tensor:
    """`x` with a share `p` of its elements zeroed and the others divided by what is kept; torch's seed decides."""
    if not p:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, p)
    dropped = round(p * _LEVELS)
    bits = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
    kept = bits.view(torch.int16)[: x.numel()].view(x.shape) >= dropped - _LEVELS // 2
    return x * kept.to(x.dtype).mul_(_LEVELS / (_LEVELS - dropped))
