"""Images of all datasets of a training: on the device, in memory, or mapped from the disk, whichever has room."""

import os
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from robotics.datasets.frame_cache import is_cached, mapped_images
from robotics.datasets.reader import Dataset
from robotics.training.config import Place

#: Share of what is free that the images may take: the rest is for the network and everybody else.
SHARE = 0.5


class Frames:
    """The images uint8 (N, h, w, 3) of one camera: one tensor per dataset, one after the other."""

    def __init__(self, parts: Sequence[Tensor]) -> None:
        self.parts = list(parts)
        self._ends = torch.tensor([len(part) for part in parts]).cumsum(0)

    @classmethod
    def load(cls, datasets: Sequence[Dataset], key: str, place: Place, device: torch.device) -> "Frames":
        """Read or map a camera of all datasets; `place` is not auto."""
        parts = [torch.from_numpy(_images(dataset, key, mapped=place == "disk")) for dataset in datasets]
        return cls([part.to(device) for part in parts] if place == "device" else parts)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def take(self, frames: np.ndarray, device: torch.device) -> Tensor:
        """The images (B, h, w, 3) at indices int64 (B,), on `device`. One gather per dataset."""
        first = torch.from_numpy(frames)
        if len(self.parts) == 1:
            return _gather(self.parts[0], first, device)
        owner = torch.searchsorted(self._ends, first, right=True)
        images = torch.empty((len(first), *self.parts[0].shape[1:]), dtype=torch.uint8, device=device)
        for number, part in enumerate(self.parts):
            rows = torch.nonzero(owner == number).squeeze(1)
            begin = int(self._ends[number]) - len(part)
            images[rows.to(device)] = _gather(part, first[rows] - begin, device)
        return images


def choose_place(wanted: Place, size: float, device: torch.device) -> Place:
    """Where images of `size` bytes go: as wanted, or the fastest place with room for them."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda" and size < SHARE * torch.cuda.mem_get_info(device)[0]:
        return "device"
    return "memory" if size < SHARE * _free_memory() / _local_processes() else "disk"


def _gather(part: Tensor, rows: Tensor, device: torch.device) -> Tensor:
    return part[rows.to(part.device)].to(device)


def _images(dataset: Dataset, key: str, mapped: bool) -> np.ndarray:
    if mapped:
        return mapped_images(dataset, key)
    return np.array(mapped_images(dataset, key)) if is_cached(dataset, key) else dataset.images(key)


def _free_memory() -> float:
    """What this machine can still give without swapping [B]."""
    import psutil  # Accelerate brings it

    return float(psutil.virtual_memory().available)


def _local_processes() -> int:
    """Training processes on this machine, each of which holds the images (torchrun's variable)."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
