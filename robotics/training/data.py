"""The datasets in memory, and batches from them: a window of observation and future actions per frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from robotics.datasets.features import TASK_INDEX, is_numbers, is_visual
from robotics.datasets.reader import Dataset
from robotics.errors import DataError, UsageError, unknown_name
from robotics.outputs import require_memory
from robotics.policies.base import ACTION_IS_PAD, future
from robotics.policies.language import TASK, word_ids
from robotics.training.config import Place
from robotics.training.frames import Frames, choose_place
from robotics.vocabulary import ACTION, camera_of

#: Column of episodes in which a learner acted: whether this frame's `action` is what was executed. LeRobot's name.
INTERVENTION = "complementary_info.is_intervention"


@dataclass(frozen=True)
class TrainingData:
    """Frames of all episodes of all datasets, one after the other.

    Attributes:
        observations: LeRobot name -> vectors float32 (N, D).
        images: LeRobot name -> images uint8 (N, h, w, 3).
        actions: float32 (N, A).
        window_end: int64 (N,), one past the last frame whose action belongs to the window that begins at a frame: the
            end of its episode, or where somebody else than who gave the actions was acting.
        task: int64 (N,), row of `instructions` that a frame was recorded under.
        instructions: words of each instruction, int64 (T, MAX_WORDS).
    """

    observations: dict[str, Tensor]
    images: dict[str, Frames]
    actions: Tensor
    window_end: Tensor
    task: Tensor
    instructions: Tensor

    @classmethod
    def load(
        cls,
        datasets: Sequence[Dataset],
        inputs: Sequence[str],
        device: torch.device | None = None,
        place: Place = "auto",
        earlier: "TrainingData | None" = None,
    ) -> "TrainingData":
        """Read the columns `inputs` and the actions onto `device`, images as `place` says.

        Images that `earlier` holds of these datasets, which may have grown since, stay where they lie: only those of
        new episodes are read. Raises DataError for a value that is not finite, and for no frames; RoboticsError where
        there is no room.
        """
        device = device or torch.device("cpu")
        for dataset in datasets:
            if not dataset.info.frames:
                raise DataError(f"{dataset.root}: holds no complete episode to train on")
        vectors, cameras = _by_kind(inputs)
        frames = sum(dataset.info.frames for dataset in datasets)
        numbers = {key: float(np.prod(datasets[0].features[key]["shape"])) for key in inputs}
        vector_bytes, image_bytes = 4 * sum(numbers[key] for key in vectors), sum(numbers[key] for key in cameras)
        longest = max(episode.length for dataset in datasets for episode in dataset.episodes)
        at_once = frames if place == "memory" else longest  # elsewhere they go an episode at a time
        require_memory(vector_bytes * frames + image_bytes * at_once, "the dataset")
        held = {} if earlier is None else earlier.images
        place = choose_place(place, image_bytes * (frames - _held(held, datasets)), device)
        texts = instructions_of(datasets)
        return cls(
            {key: _column(datasets, key).to(device) for key in vectors},
            {key: Frames.load(datasets, key, place, device, held.get(key)) for key in cameras},
            _column(datasets, ACTION).to(device),
            torch.from_numpy(_window_ends(datasets)).to(device),
            torch.from_numpy(np.concatenate([_tasks(dataset, texts) for dataset in datasets])).to(device),
            torch.from_numpy(np.stack([word_ids(text) for text in texts])).to(device),
        )

    def __len__(self) -> int:
        return len(self.actions)

    def batch(self, frames: np.ndarray, horizon: int, futures: Sequence[str] = ()) -> dict[str, Tensor]:
        """The windows that begin at `frames` (B,). No work per sample: one gather per column.

        Observations (B, *shape), `task` (B, MAX_WORDS), `action` (B, H, A), `action_is_pad` (B, H), and of the vectors
        `futures` what comes along the window, `future(key)` (B, H, D). Behind the end of a window its last action and
        observation are repeated, and marked as padding.
        """
        device = self.actions.device
        first = torch.from_numpy(frames).to(device)
        wanted = first[:, None] + torch.arange(horizon, device=device)
        end = self.window_end[first][:, None]
        batch = {key: values[first] for key, values in self.observations.items()}
        batch |= {key: images.take(frames, device) for key, images in self.images.items()}
        batch |= {TASK: self.instructions[self.task[first]]}
        inside = torch.minimum(wanted, end - 1)
        batch |= {future(key): self.observations[key][inside] for key in futures}
        return batch | {ACTION: self.actions[inside], ACTION_IS_PAD: wanted >= end}


class Sampler:
    """Which frames make up the batch of each step: every frame once per epoch, in an order that depends on the seed.

    A step's batch depends on nothing but its number, so a resumed training draws the same ones. Data that grew at the
    step `begin` are drawn in a new order from there on.
    """

    def __init__(self, count: int, batch_size: int, seed: int, begin: int = 0) -> None:
        self.count, self.batch_size, self.begin = count, batch_size, begin
        stream = (seed,) if not begin else (seed, begin)
        self._order = lru_cache(maxsize=2)(lambda epoch: np.random.default_rng((*stream, epoch)).permutation(count))

    def frames(self, step: int) -> np.ndarray:
        """Indices int64 (batch_size,) of the batch of `step` = begin, begin + 1, …"""
        first = (step - self.begin) * self.batch_size
        epochs, places = np.divmod(np.arange(first, first + self.batch_size), self.count)
        return np.concatenate([self._order(int(epoch))[places[epochs == epoch]] for epoch in np.unique(epochs)])


def choose_inputs(dataset: Dataset, asked: str | None) -> list[str]:
    """The columns a policy observes: those named in `asked` (short or LeRobot's names, by commas), or all there are.

    Raises UsageError for a name the dataset does not have.
    """
    seen = ((key, feature) for key, feature in sorted(dataset.features.items()) if key.startswith("observation."))
    there = [key for key, feature in seen if is_visual(feature) or is_numbers(feature)]
    if not there:
        raise DataError(f"{dataset.root}: holds no observation.* column to train on")
    if asked is None:
        return there
    short = {short_name(key): key for key in there}
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


def shared_inputs(datasets: Sequence[Dataset]) -> list[str]:
    """Short names of the observations that all datasets have, in one shape."""
    first, *others = (dataset.features for dataset in datasets)
    return sorted(
        short_name(key)
        for key, feature in first.items()
        if key.startswith("observation.")
        and all(key in other and other[key]["shape"] == feature["shape"] for other in others)
    )


def short_name(key: str) -> str:
    """What `--inputs` calls a column: `observation.images.top` -> `top`."""
    return key.removeprefix("observation.").removeprefix("images.")


def instructions_of(datasets: Sequence[Dataset]) -> list[str]:
    """The different instructions of all datasets, in the order in which they come; at least one."""
    return list(dict.fromkeys(text for dataset in datasets for text in dataset.tasks)) or [""]


def _by_kind(inputs: Sequence[str]) -> tuple[list[str], list[str]]:
    """Vectors, cameras."""
    return [key for key in inputs if not camera_of(key)], [key for key in inputs if camera_of(key)]


def _held(images: Mapping[str, Frames], datasets: Sequence[Dataset]) -> int:
    """Frames of the datasets of which `images` holds every camera."""
    of_each = [sum(len(part.images) for one in datasets for part in frames.of(one)) for frames in images.values()]
    return min(of_each, default=0)


def _column(datasets: Sequence[Dataset], key: str) -> Tensor:
    """A column of all datasets as float32 (N, D)."""
    return torch.from_numpy(np.concatenate([_finite(dataset, key) for dataset in datasets]))


def _finite(dataset: Dataset, key: str) -> np.ndarray:
    values = dataset.column(key).astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
    if len(bad):
        raise DataError(f"{dataset.root}: '{key}' is not finite at frame {bad[0]} ({len(bad)} frames in all)")
    return values


def _window_ends(datasets: Sequence[Dataset]) -> np.ndarray:
    """`TrainingData.window_end` int64 (N,) of all datasets."""
    ends, before = [], 0
    for dataset in datasets:
        ranges = dataset.episode_ranges
        end = np.repeat(ranges[:, 1], ranges[:, 1] - ranges[:, 0])
        if INTERVENTION in dataset.features:
            followed = dataset.column(INTERVENTION).astype(bool).reshape(-1)
            end = np.minimum(end, _first_unfollowed(followed) + 1)
        ends.append(end + before)
        before += len(end)
    return np.concatenate(ends)


def _first_unfollowed(followed: np.ndarray) -> np.ndarray:
    """Per frame, the first one from it on whose action was not executed: what comes behind it is no consequence of it.

    With f for followed:   f f . f . .   ->   2 2 2 4 4 5
    """
    count = len(followed)
    breaks = np.where(followed, count, np.arange(count))
    return np.minimum.accumulate(breaks[::-1])[::-1]


def _tasks(dataset: Dataset, texts: list[str]) -> np.ndarray:
    """The row in `texts` of every frame's instruction, int64 (N,)."""
    if not dataset.tasks:
        return np.zeros(dataset.info.frames, np.int64)
    rows = np.array([texts.index(text) for text in dataset.tasks])
    own = dataset.column(TASK_INDEX).reshape(-1)
    if own.min() < 0 or own.max() >= len(rows):
        raise DataError(f"{dataset.root}: a frame has task_index {own.max()}, there are {len(rows)} tasks")
    return rows[own]
