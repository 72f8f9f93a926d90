"""The dataset in memory, and batches from it: a window of observation and future actions per frame."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from robotics.datasets.reader import Dataset
from robotics.errors import DataError, UsageError, unknown_name
from robotics.outputs import require_memory
from robotics.policies.base import ACTION_IS_PAD
from robotics.vocabulary import ACTION, camera_of


@dataclass(frozen=True)
class TrainingData:
    """Frames of all episodes, one after the other.

    Attributes:
        observations: LeRobot name -> (N, *shape); vectors float32, images uint8.
        actions: float32 (N, A).
        episode_end: int64 (N,), one past the last frame of the episode that a frame belongs to.
    """

    observations: dict[str, Tensor]
    actions: Tensor
    episode_end: Tensor

    @classmethod
    def load(cls, dataset: Dataset, inputs: list[str]) -> "TrainingData":
        """Read the columns `inputs` and the actions. DataError for a value that is not finite, and for no frames."""
        if not dataset.info.frames:
            raise DataError(f"{dataset.root}: holds no complete episode to train on")
        size = sum(float(np.prod(dataset.features[key]["shape"])) * (1 if camera_of(key) else 4) for key in inputs)
        require_memory(size * dataset.info.frames, "the dataset")
        observations = {
            key: torch.from_numpy(dataset.images(key) if camera_of(key) else _finite(dataset, key)) for key in inputs
        }
        ranges = dataset.episode_ranges
        ends = np.repeat(ranges[:, 1], ranges[:, 1] - ranges[:, 0])
        return cls(observations, torch.from_numpy(_finite(dataset, ACTION)), torch.from_numpy(ends))

    def __len__(self) -> int:
        return len(self.actions)

    def to(self, device: torch.device) -> "TrainingData":
        """The same data on `device`."""
        observations = {key: values.to(device) for key, values in self.observations.items()}
        return TrainingData(observations, self.actions.to(device), self.episode_end.to(device))

    def batch(self, frames: np.ndarray, horizon: int) -> dict[str, Tensor]:
        """The windows that begin at `frames` (B,).

        Observations (B, *shape), `action` (B, H, A), `action_is_pad` (B, H).
        Behind the end of an episode its last action is repeated, and marked as padding.
        """
        first = torch.from_numpy(frames).to(self.actions.device)
        wanted = first[:, None] + torch.arange(horizon, device=first.device)
        end = self.episode_end[first][:, None]
        batch = {key: values[first] for key, values in self.observations.items()}
        return batch | {ACTION: self.actions[torch.minimum(wanted, end - 1)], ACTION_IS_PAD: wanted >= end}


class Sampler:
    """Which frames make up the batch of each step: every frame once per epoch, in an order that depends on the seed.

    A step's batch depends on nothing but its number, so a resumed training draws the same ones.
    """

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        self.count, self.batch_size = count, batch_size
        self._order = lru_cache(maxsize=2)(lambda epoch: np.random.default_rng((seed, epoch)).permutation(count))

    def frames(self, step: int) -> np.ndarray:
        """Indices int64 (batch_size,) of the batch of `step` = 0, 1, …"""
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, places = np.divmod(positions, self.count)
        return np.concatenate([self._order(int(epoch))[places[epochs == epoch]] for epoch in np.unique(epochs)])


def choose_inputs(dataset: Dataset, asked: str | None) -> list[str]:
    """The columns a policy observes: those named in `asked` (short or LeRobot's names, by commas), or all there are.

    Raises UsageError for a name the dataset does not have.
    """
    there = [key for key in sorted(dataset.features) if key.startswith("observation.")]
    if not there:
        raise DataError(f"{dataset.root}: holds no observation.* column to train on")
    if asked is None:
        return there
    short = {key.removeprefix("observation.").removeprefix("images."): key for key in there}
    chosen = []
    for name in (part.strip() for part in asked.split(",")):
        if not name:
            continue
        if name not in short and name not in there:
            raise unknown_name(f"input of {dataset.root}", name, short)
        chosen.append(short.get(name, name))
    if not chosen:
        raise UsageError(f"--inputs names nothing; available: {', '.join(short)}")
    return sorted(set(chosen))


def _finite(dataset: Dataset, key: str) -> np.ndarray:
    """A column as float32 (N, D)."""
    values = dataset.column(key).astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
    if len(bad):
        raise DataError(f"{dataset.root}: '{key}' is not finite at frame {bad[0]} ({len(bad)} frames in all)")
    return values
