"""Every invariant of a dataset, tested against its files: what `robotics data check` reports."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from robotics.datasets.copied_actions import copied_actions
from robotics.datasets.episode_check import episode_problems
from robotics.datasets.episodes import Episode
from robotics.datasets.features import DEFAULT_FEATURES
from robotics.datasets.layout import STATS
from robotics.datasets.leftovers import leftovers
from robotics.datasets.reader import Dataset
from robotics.datasets.statistics import QUANTILES, DatasetStats, merge, vector_stats
from robotics.datasets.tables import row_count
from robotics.progress import progress

#: Statistics of images are compared with those of decoded video, or of the frames that LeRobot sampled.
IMAGE_TOLERANCE = 0.05


@dataclass(frozen=True)
class Report:
    """What is wrong with a dataset (`problems`: it can not be trusted) or suspicious about it (`warnings`)."""

    root: Path
    episodes: int
    frames: int
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def check(root: Path) -> Report:
    """Read everything in the dataset `root` and report. Costs decoding all of its images.

    Raises DataError, naming the file, when it can not even be opened.
    """
    dataset = Dataset.open(root)
    problems: list[str] = []
    measured: DatasetStats = {}
    with progress("check", len(dataset.episodes), "episodes") as bar:
        for episode in dataset.episodes:
            found = list(episode_problems(dataset, episode))
            problems += found
            if not found:
                measured = merge(measured, _table_stats(dataset, episode))
            bar.advance()
    if not problems:  # statistics of a damaged dataset can only differ
        problems += [*file_problems(dataset), *_stats_problems(dataset, measured)]
    warnings = [*_leftover_warnings(dataset), *_untold_stats(dataset)]
    if not problems:
        warnings += copied_actions(dataset)
    return Report(Path(root), len(dataset.episodes), dataset.info.frames, problems, warnings)


def file_problems(dataset: Dataset) -> Iterator[str]:
    """Data files that hold more frames than their episodes have: LeRobot would count them."""
    for file, expected in frames_by_file(dataset.episodes).items():
        rows = row_count(dataset.root / file)
        if rows != expected:
            yield f"{dataset.root / file}: holds {rows} frames, its episodes have {expected}"


def frames_by_file(episodes: list[Episode]) -> dict[Path, int]:
    """Data file -> frames that the episodes in it have."""
    frames: dict[Path, int] = {}
    for episode in episodes:
        frames[episode.data_file] = frames.get(episode.data_file, 0) + episode.length
    return frames


def _table_stats(dataset: Dataset, episode: Episode) -> DatasetStats:
    keys = [key for key in dataset.features if key not in dataset.image_keys and _is_number(dataset, key)]
    return {key: vector_stats(dataset.episode_column(episode, key).reshape(episode.length, -1)) for key in keys}


def _is_number(dataset: Dataset, key: str) -> bool:
    return dataset.features[key]["dtype"] != "string"


def _stats_problems(dataset: Dataset, measured: DatasetStats) -> Iterator[str]:
    path = dataset.root / STATS
    for key in measured:
        if key not in dataset.stats:
            if key not in DEFAULT_FEATURES:
                yield f"{path}: has no statistics of '{key}'"
            continue
        noted = dataset.stats[key]
        for name in ("min", "max", "mean", "std", "count"):
            if name not in noted or not _close(noted[name], measured[key][name]):
                yield f"{path}: '{name}' of '{key}' is not that of the data"
        quantiles = [noted[q] for q in QUANTILES if q in noted]
        if any((low > high + 1e-9).any() for low, high in pairwise(quantiles)):
            yield f"{path}: the quantiles of '{key}' do not increase"
    yield from _image_stats_problems(dataset, path)


def _untold_stats(dataset: Dataset) -> Iterator[str]:
    """Of times and numbers of frames nobody needs statistics; LeRobot's own writer notes them."""
    missing = [key for key in DEFAULT_FEATURES if key not in dataset.stats] if dataset.episodes else []
    if missing:
        yield f"{dataset.root / STATS}: has no statistics of {', '.join(missing)}; nothing here needs them"


def _image_stats_problems(dataset: Dataset, path: Path) -> Iterator[str]:
    for key in dataset.image_keys if dataset.episodes else ():  # without any, nothing is known of them
        if key not in dataset.stats or "mean" not in dataset.stats[key]:
            yield f"{path}: has no statistics of '{key}'"
            continue
        means = [dataset.episode_images(e, key).mean(axis=(0, 1, 2)) * e.length for e in dataset.episodes]
        mean = np.sum(means, axis=0) / dataset.info.frames / 255
        if np.abs(dataset.stats[key]["mean"].reshape(-1) - mean).max() > IMAGE_TOLERANCE:
            yield f"{path}: 'mean' of '{key}' is not that of the images"


def _close(noted: np.ndarray, measured: np.ndarray) -> bool:
    return noted.size == measured.size and np.allclose(noted.reshape(-1), measured.reshape(-1), rtol=1e-3, atol=1e-5)


def _leftover_warnings(dataset: Dataset) -> Iterator[str]:
    if not dataset.episodes:
        yield f"{dataset.root}: holds no complete episode yet"
    beyond = leftovers(dataset.root, dataset.episodes)
    if beyond:
        yield (
            f"{beyond[0]}: left by an interrupted commit (as are {len(beyond) - 1} more files); readers do not see "
            "it, and the next collect --resume or data repair takes it away"
        )
