"""Time of a diffusion or flow, as the networks see it."""

import math

import torch
from torch import Tensor, nn

#: Time in [0, 1] is stretched to what the sinusoid's wavelengths (2π … 2π·10⁴) resolve. Left out, nearly all channels
#: are constant, as in LeRobot 0.6's multi_task_dit.
SCALE = 1000.0


class TimeEmbedding(nn.Module):
    """Time in [0, 1] of any shape to (*shape, D): sine and cosine at D/2 frequencies, then two layers."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.layers = nn.Sequential(nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, time: Tensor) -> Tensor:
        return self.layers(sinusoid(time, self.dim))


def sinusoid(time: Tensor, dim: int) -> Tensor:
    """(*shape, dim): cosines, then sines of 1000·time, wavelengths from 2π to 2π·10⁴ (Vaswani et al. 2017)."""
    half = dim // 2
    frequency = torch.exp(torch.arange(half, device=time.device, dtype=torch.float32) * (-math.log(1e4) / half))
    angle = SCALE * time[..., None].float() * frequency
    return torch.cat([angle.cos(), angle.sin()], dim=-1)
