"""Every invariant of a dataset, tested against its files: what `robotics data check` reports."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from robotics.datasets.copied_actions import copied_actions
from robotics.datasets.episode_check import Inspection, inspect
from robotics.datasets.episodes import Episode
from robotics.datasets.layout import STATS
from robotics.datasets.leftovers import leftovers
from robotics.datasets.reader import Dataset
from robotics.datasets.statistics import MOMENTS, QUANTILES, merge
from robotics.datasets.tables import row_count
from robotics.progress import progress

#: Statistics of images are compared with those of decoded video, or of the frames that LeRobot sampled.
IMAGE_TOLERANCE = 0.05


@dataclass(frozen=True)
class Report:
    """What is wrong with a dataset (`problems`: it can not be trusted) or suspicious about it (`warnings`).

    `stats_differences`: of which columns the statistics are missing or others than the data's, and which of them.
    """

    root: Path
    episodes: int
    frames: int
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    stats_differences: dict[str, str] = field(default_factory=dict)


def check(root: Path) -> Report:
    """Read everything in the dataset `root` and report. Costs decoding all of its images.

    Raises DataError, naming the file, when it can not even be opened.
    """
    dataset = Dataset.open(root)
    found = Inspection()  # of all episodes together
    with progress("check", len(dataset.episodes), "episodes") as bar:
        for episode in dataset.episodes:
            one = inspect(dataset, episode)
            found.problems += one.problems
            found.stats = merge(found.stats, one.stats)
            for key, mean in one.image_means.items():
                share = mean * (episode.length / dataset.info.frames)
                found.image_means[key] = found.image_means.get(key, 0.0) + share
            bar.advance()
    problems, differences, warnings = found.problems, {}, [*_leftover_warnings(dataset)]
    if not problems:  # statistics of a damaged dataset can only differ
        problems += file_problems(dataset)
        differences = _stats_differences(dataset, found)
        warnings += _stats_warnings(dataset.root / STATS, differences)
    if not problems:
        warnings += copied_actions(dataset)
    return Report(Path(root), len(dataset.episodes), dataset.info.frames, problems, warnings, differences)


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


def _stats_differences(dataset: Dataset, found: Inspection) -> dict[str, str]:
    """Column -> how stats.json differs from what was `found` in all episodes, of those that differ."""
    noted = dataset.stats if (dataset.root / STATS).exists() else {}  # those of the rows, which LeRobot does not merge
    differences = {}
    for key in (*found.stats, *found.image_means):
        if "mean" not in noted.get(key, {}):
            differences[key] = "missing"
        elif key in found.stats:
            names = [n for n in MOMENTS if n not in noted[key] or not _close(noted[key][n], found.stats[key][n])]
            if not _increase([noted[key][q] for q in QUANTILES if q in noted[key]]):
                names.append("quantiles")
            if names:
                differences[key] = ", ".join(names)
        elif not _close(noted[key]["mean"], found.image_means[key] / 255, rtol=0.0, atol=IMAGE_TOLERANCE):
            differences[key] = "mean"
    return differences


def _stats_warnings(path: Path, differences: dict[str, str]) -> Iterator[str]:
    cure = "nothing here needs them, LeRobot normalises by them; `robotics data repair` computes them"
    if missing := [key for key, names in differences.items() if names == "missing"]:
        yield f"{path}: has no statistics of {', '.join(missing)}; {cure}"
    if others := [f"'{key}' ({names})" for key, names in differences.items() if names != "missing"]:
        yield f"{path}: statistics of {', '.join(others)} are not those of the data; {cure}"


def _close(noted: np.ndarray, measured: np.ndarray, rtol: float = 1e-3, atol: float = 1e-5) -> bool:
    return noted.size == measured.size and np.allclose(noted.reshape(-1), measured.reshape(-1), rtol=rtol, atol=atol)


def _increase(quantiles: list[np.ndarray]) -> bool:
    return all(low.shape == high.shape and (low <= high + 1e-9).all() for low, high in pairwise(quantiles))


def _leftover_warnings(dataset: Dataset) -> Iterator[str]:
    if not dataset.episodes:
        yield f"{dataset.root}: holds no complete episode yet"
    beyond = leftovers(dataset.root, dataset.episodes)
    if beyond:
        yield (
            f"{beyond[0]}: left by an interrupted commit (as are {len(beyond) - 1} more files); readers do not see "
            "it, and the next collect --resume or data repair takes it away"
        )
