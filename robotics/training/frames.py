"""Images of all datasets of a training: on the device, in memory, or mapped from the disk, whichever has room."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from robotics.datasets.episodes import Episode
from robotics.datasets.frame_cache import is_cached, mapped_images
from robotics.datasets.reader import Dataset
from robotics.errors import RoboticsError
from robotics.progress import progress
from robotics.training.config import Place
from robotics.training.memory import is_out_of_memory

#: Share of what is free that the images may take: the rest is for the network and everybody else.
SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Part:
    """The images uint8 (n, h, w, 3) of `episodes`, which follow each other in the dataset in `root`."""

    root: Path
    episodes: list[Episode]
    images: Tensor


class Frames:
    """The images uint8 (N, h, w, 3) of one camera: parts of the datasets, one after the other, each where it lies."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = list(parts)
        self._ends = torch.tensor([len(part.images) for part in parts]).cumsum(0)

    @classmethod
    def load(
        cls, datasets: Sequence[Dataset], key: str, place: Place, device: torch.device, earlier: "Frames | None" = None
    ) -> "Frames":
        """Read or map a camera of all datasets; `place` is not auto.

        What `earlier` holds of them stays where it lies, and the episodes behind it are read into a part of their own.
        On the disk a dataset is one file, which is mapped whole. Raises RoboticsError where there is no room.
        """
        parts: list[Part] = []
        for dataset in datasets:
            held = [] if earlier is None else earlier.of(dataset)
            new = dataset.episodes[sum(len(part.episodes) for part in held) :]
            if new and place == "disk":
                held, new = [Part(dataset.root, dataset.episodes, torch.from_numpy(mapped_images(dataset, key)))], []
            parts += held
            if new:
                parts.append(Part(dataset.root, new, _read(dataset, key, new, place, device)))
        return cls(parts)

    def of(self, dataset: Dataset) -> list[Part]:
        """The parts that `dataset` begins with."""
        found, count = list[Part](), 0
        for part in self.parts:
            if part.root == dataset.root and part.episodes == dataset.episodes[count : count + len(part.episodes)]:
                found.append(part)
                count += len(part.episodes)
        return found

    def __len__(self) -> int:
        return int(self._ends[-1])

    def take(self, frames: np.ndarray, device: torch.device) -> Tensor:
        """The images (B, h, w, 3) at indices int64 (B,), on `device`. One gather per part."""
        first = torch.from_numpy(frames)
        if len(self.parts) == 1:
            return _gather(self.parts[0].images, first, device)
        owner = torch.searchsorted(self._ends, first, right=True)
        images = torch.empty((len(first), *self.parts[0].images.shape[1:]), dtype=torch.uint8, device=device)
        for number, part in enumerate(self.parts):
            rows = torch.nonzero(owner == number).squeeze(1)
            begin = int(self._ends[number]) - len(part.images)
            images[rows.to(device)] = _gather(part.images, first[rows] - begin, device)
        return images


def choose_place(wanted: Place, size: float, device: torch.device) -> Place:
    """Where images of `size` bytes go: as wanted, or the fastest place with room for them."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda" and size < SHARE * torch.cuda.mem_get_info(device)[0]:
        return "device"
    return "memory" if size < SHARE * _free_memory() / _local_processes() else "disk"


def _gather(images: Tensor, rows: Tensor, device: torch.device) -> Tensor:
    return images[rows.to(images.device)].to(device)


def _read(dataset: Dataset, key: str, episodes: Sequence[Episode], place: Place, device: torch.device) -> Tensor:
    """Their images (n, h, w, 3) in memory or on `device`, where they go an episode at a time: this machine's memory,
    which may be smaller, holds no more of them at once."""
    begin = episodes[0].start
    images = _empty((episodes[-1].stop - begin, *dataset.features[key]["shape"]), key, place, device)
    cached = mapped_images(dataset, key) if is_cached(dataset, key) else None
    with progress(f"load {key}", len(episodes), "episodes") as bar:
        for episode in episodes:
            own = dataset.episode_images(episode, key) if cached is None else cached[episode.start : episode.stop]
            images[episode.start - begin : episode.stop - begin] = torch.from_numpy(own)
            bar.advance()
    return images


def _empty(shape: tuple[int, ...], key: str, place: Place, device: torch.device) -> Tensor:
    """Room for images; RoboticsError where there is none."""
    where = device if place == "device" else torch.device("cpu")
    try:
        return torch.empty(shape, dtype=torch.uint8, device=where)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    raise RoboticsError(
        f"--frames {place}: the images of '{key}' take {np.prod(shape, dtype=float) / 1e9:.1f} GB and {where} has no "
        "room for them; give --frames disk, fewer --inputs or smaller images"
    )


def _free_memory() -> float:
    """What this machine can still give without swapping [B]."""
    import psutil  # Accelerate brings it

    return float(psutil.virtual_memory().available)


def _local_processes() -> int:
    """Training processes on this machine, each of which holds the images (torchrun's variable)."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
