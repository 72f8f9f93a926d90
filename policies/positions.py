"""Fixed sine positions of sequences and of image feature maps (Vaswani et al. 2017; Carion et al. 2020, DETR)."""

import math

import torch
from torch import Tensor

#: Longest wavelength over 2π, in positions (both papers).
_TEMPERATURE = 10_000.0


def sine_1d(length: int, dim: int, device: torch.device) -> Tensor:
    """(length, dim): interleaved sine and cosine of the index, wavelengths from 2π to 2π·10⁴."""
    return _interleaved(torch.arange(length, device=device, dtype=torch.float32), dim)


def sine_2d(height: int, width: int, dim: int, device: torch.device) -> Tensor:
    """(height·width, dim), row by row: half of the channels from the row, half from the column.

    Rows and columns are spread over one full turn, so that the code does not depend on the image size.
    """
    rows = _interleaved((torch.arange(height, device=device) + 1) / height * 2 * math.pi, dim // 2)
    columns = _interleaved((torch.arange(width, device=device) + 1) / width * 2 * math.pi, dim // 2)
    grid = torch.cat([rows[:, None].expand(-1, width, -1), columns[None].expand(height, -1, -1)], dim=-1)
    return grid.reshape(height * width, dim)


def _interleaved(position: Tensor, dim: int) -> Tensor:
    frequency = _TEMPERATURE ** (-torch.arange(0, dim, 2, device=position.device, dtype=torch.float32) / dim)
    angle = position[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)
