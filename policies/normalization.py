"""Normalisation of vectors by statistics that are buffers of the policy, and so travel in its checkpoint."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from robotics.errors import UsageError
from robotics.vocabulary import ACTION

Mode = Literal["mean_std", "min_max"]

#: Smallest divisor [unit of the data]: what hardly changes in the data must not amplify noise (ACT, utils.py). Without
#: it the tilt of a block on a table, a few thousandths, would be stretched over [−1, 1].
MIN_SCALE = 1e-2
#: The same of an action: nothing trembles in what was commanded, and steps of a hand are of millimetres.
MIN_ACTION_SCALE = 1e-3


class Normalizer(nn.Module):
    """(x − offset) / scale for each key, and back; the identity until `fit`."""

    def __init__(self, dims: Mapping[str, int], mode: Mode) -> None:
        super().__init__()
        self.mode = mode
        names = {_buffer(key, "offset"): key for key in dims}
        for key in dims:
            if (other := names[_buffer(key, "offset")]) != key:
                raise UsageError(f"inputs '{key}' and '{other}' differ by dots and underscores alone: rename one")
        for key, dim in dims.items():
            self.register_buffer(_buffer(key, "offset"), torch.zeros(dim))
            self.register_buffer(_buffer(key, "scale"), torch.ones(dim))

    def fit(self, key: str, values: np.ndarray) -> None:
        """Take the statistics of values (N, D): mean and deviation, or the range mapped to [−1, 1] (or less)."""
        values = values.astype(np.float64)
        if self.mode == "mean_std":
            offset, scale = values.mean(0), values.std(0)
        else:
            low, high = values.min(0), values.max(0)
            offset, scale = (high + low) / 2, (high - low) / 2
        smallest = MIN_ACTION_SCALE if key == ACTION else MIN_SCALE
        for name, statistic in (("offset", offset), ("scale", np.maximum(scale, smallest))):
            buffer = self.get_buffer(_buffer(key, name))
            buffer.copy_(torch.from_numpy(statistic).to(buffer))

    def normalize(self, key: str, x: Tensor) -> Tensor:
        return (x - self.get_buffer(_buffer(key, "offset"))) / self.get_buffer(_buffer(key, "scale"))

    def denormalize(self, key: str, x: Tensor) -> Tensor:
        return x * self.get_buffer(_buffer(key, "scale")) + self.get_buffer(_buffer(key, "offset"))


def _buffer(key: str, statistic: str) -> str:
    return f"{key.replace('.', '_')}_{statistic}"  # torch refuses dots in names
