"""Decoded images of a camera as one array in a file that is mapped into memory: decoded once, read in any order.

The file lies in the user's cache, never in the dataset. Its name holds a fingerprint of the dataset's files, so that
one that was made from something else is not found, and it appears whole or not at all. When a dataset has grown, its
file becomes the beginning of the new one, and only the new episodes are decoded.
"""

import fcntl
import hashlib
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from robotics.datasets.durable import publish
from robotics.datasets.reader import Dataset
from robotics.outputs import require_room
from robotics.progress import progress


def cache_folder() -> Path:
    """Where decoded images are kept: `robotics/frames` under XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "robotics" / "frames"


def is_cached(dataset: Dataset, key: str) -> bool:
    """Whether `mapped_images` would have nothing to decode."""
    return _opened(_path(dataset, key), _shape(dataset, key)) is not None


def mapped_images(dataset: Dataset, key: str) -> np.ndarray:
    """All images uint8 (N, h, w, 3) of a camera, mapped from the cache; decodes those into it that are not there yet.

    What is written to the array stays in this process. Files that an earlier state of the dataset left are removed.
    Raises DataError for an image that is missing or damaged, RoboticsError when the disk is too small.
    """
    path, shape = _path(dataset, key), _shape(dataset, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path):  # another training may be decoding the same: wait for it
        images = _opened(path, shape)
        if images is None:
            begun, count = _begun(dataset, key)
            for outdated in path.parent.glob(f"*{_place(path)}-*"):  # and what an interrupted decoding left
                if outdated != begun:
                    outdated.unlink()
            missing = sum(episode.length for episode in dataset.episodes[count:])
            require_room(path.parent, float(missing * np.prod(shape[1:])), f"the decoded images of '{key}'")
            publish(path, lambda temporary: _decode(dataset, key, temporary, begun, count))
            images = _opened(path, shape)
    assert images is not None
    return images


def _begun(dataset: Dataset, key: str) -> tuple[Path | None, int]:
    """The file of what the dataset was before it grew, and of how many of its episodes; None, 0 where there is none."""
    frame = _shape(dataset, key)[1:]
    for path in cache_folder().glob(f"{_place(_path(dataset, key))}-*.npy"):
        for count, episode in enumerate(dataset.episodes, 1):
            if _opened(path, (episode.stop, *frame)) is not None and path == _path(_first(dataset, count), key):
                return path, count
    return None, 0


def _first(dataset: Dataset, count: int) -> Dataset:
    """The dataset as it was when it held so many episodes."""
    episodes = dataset.episodes[:count]
    info = dataset.info.with_totals(count, episodes[-1].stop, dataset.info.tasks)
    return replace(dataset, info=info, episodes=episodes)


def _decode(dataset: Dataset, key: str, path: Path, begun: Path | None, count: int) -> None:
    """Write the images to `path`; the file `begun`, which becomes it, holds those of the first `count` episodes."""
    shape = _shape(dataset, key)
    if begun is not None:
        os.replace(begun, path)
        images = _lengthened(path, shape)
    else:
        images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    with progress(f"decode {key}", len(dataset.episodes) - count, "episodes") as bar:
        for episode in dataset.episodes[count:]:
            images[episode.start : episode.stop] = dataset.episode_images(episode, key)
            bar.advance()
    images.flush()


def _lengthened(path: Path, shape: tuple[int, ...]) -> np.memmap:
    """The array file in `path` with more along its first axis, for which numpy leaves room in its header."""
    with open(path, "r+b") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + math.prod(shape))
    return np.lib.format.open_memmap(path, mode="r+")


def _opened(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The array in `path`; None when there is none of this shape, or it was cut short."""
    try:
        images = np.load(path, mmap_mode="c")
    except (OSError, ValueError):
        return None
    return images if images.shape == shape and images.dtype == np.uint8 else None


def _path(dataset: Dataset, key: str) -> Path:
    place = _digest(str(dataset.root.resolve()), key)
    return cache_folder() / f"{place}-{_digest(*_sources(dataset, key))}.npy"


def _place(path: Path) -> str:
    """The part of a name that stays when the dataset changes."""
    return path.name.split("-")[0]


def _sources(dataset: Dataset, key: str) -> list[str]:
    """The files that the images come from, with their sizes and times."""
    files = dict.fromkeys(e.clips[key].file if key in e.clips else e.data_file for e in dataset.episodes)
    stats = {file: (dataset.root / file).stat() for file in files if (dataset.root / file).exists()}
    return [repr(_shape(dataset, key)), *(f"{file} {stat.st_size} {stat.st_mtime_ns}" for file, stat in stats.items())]


def _shape(dataset: Dataset, key: str) -> tuple[int, ...]:
    return (dataset.info.frames, *dataset.features[key]["shape"])


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Alone with all states of this dataset's camera; other cameras are decoded meanwhile."""
    handle = os.open(path.with_name(f"{_place(path)}.lock"), os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
