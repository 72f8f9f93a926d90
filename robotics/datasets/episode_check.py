"""What can be wrong with the frames of one episode."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from robotics.datasets.episodes import Episode
from robotics.datasets.features import EPISODE_INDEX, FRAME_INDEX, INDEX, TASK_INDEX, TIMESTAMP, is_depth, is_numbers
from robotics.datasets.reader import Dataset
from robotics.datasets.statistics import DatasetStats, column_stats
from robotics.datasets.video import TOLERANCE_S, count_frames
from robotics.errors import DataError


@dataclass
class Inspection:
    """What is wrong with an episode (`problems`, one line each, beginning with the file) and what is in it.

    `stats` are those of its numbers; `image_means` (3,) on [0, 255] by camera. Both lack what could not be read.
    """

    problems: list[str] = field(default_factory=list)
    stats: DatasetStats = field(default_factory=dict)
    image_means: dict[str, np.ndarray] = field(default_factory=dict)


def inspect(dataset: Dataset, episode: Episode) -> Inspection:
    """Read and decode all of `episode`, once."""
    found = Inspection()
    numbers = [key for key, feature in dataset.features.items() if is_numbers(feature)]
    try:
        columns = {key: dataset.episode_column(episode, key) for key in numbers}
    except DataError as error:
        found.problems.append(str(error))
        return found
    where = f"{dataset.root / episode.data_file}: episode {episode.index}"
    problems = (*_index_problems(dataset, episode, columns), *_value_problems(columns))
    found.problems += [f"{where}: {problem}" for problem in problems]
    if not problems:  # of numbers that are none, NumPy would warn
        found.stats |= {key: column_stats(values) for key, values in columns.items()}
    for key in dataset.image_keys:
        try:
            images = dataset.episode_images(episode, key)
            if not is_depth(dataset.features[key]):  # whose noted means are distances
                found.image_means[key] = images.mean(axis=(0, 1, 2))
            found.problems += _film_problems(dataset, episode, key)
        except DataError as error:
            found.problems.append(str(error))
    return found


def _index_problems(dataset: Dataset, episode: Episode, columns: dict[str, np.ndarray]) -> Iterator[str]:
    flat = {key: columns[key].reshape(-1) for key in (TIMESTAMP, FRAME_INDEX, EPISODE_INDEX, INDEX, TASK_INDEX)}
    number = np.arange(episode.length)
    if not np.array_equal(flat[FRAME_INDEX], number):
        yield f"frame_index is not 0 … {episode.length - 1}"
    if not np.array_equal(flat[INDEX], number + episode.start):
        yield f"index is not {episode.start} … {episode.stop - 1}"
    if not (flat[EPISODE_INDEX] == episode.index).all():
        yield "episode_index is that of another episode"
    late = np.abs(flat[TIMESTAMP] - number / dataset.fps) > _tolerance_s(number / dataset.fps)
    if late.any() or not np.isfinite(flat[TIMESTAMP]).all():
        frame = int(late.argmax())
        yield f"timestamp of frame {frame} is {flat[TIMESTAMP][frame]:.6f} s, expected {frame / dataset.fps:.6f} s"
    outside = (flat[TASK_INDEX] < 0) | (flat[TASK_INDEX] >= len(dataset.tasks))
    if outside.any():
        yield f"task_index {flat[TASK_INDEX][outside.argmax()]} is none of the {len(dataset.tasks)} tasks"
    elif episode.tasks and {dataset.tasks[i] for i in set(flat[TASK_INDEX].tolist())} != set(episode.tasks):
        yield "its task is another one in the data than in meta/episodes"


def _tolerance_s(time_s: np.ndarray) -> np.ndarray:
    """LeRobot's tolerance, or what a float32 timestamp can hold where that is coarser [s]."""
    return np.maximum(TOLERANCE_S, np.spacing(time_s.astype(np.float32)))


def _value_problems(columns: dict[str, np.ndarray]) -> Iterator[str]:
    for key, values in columns.items():
        finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
        if not finite.all() and key != TIMESTAMP:
            yield f"'{key}' is NaN or infinite in frame {int(finite.argmin())}"


def _film_problems(dataset: Dataset, episode: Episode, key: str) -> Iterator[str]:
    """A film of ours with more frames than its episode, which then may be shifted against them.

    Films of other programs hold several clips, of which some may be nobody's: they are found by their times.
    """
    if key not in episode.clips or not dataset.provenance:
        return
    file = episode.clips[key].file
    if dataset.clips_in[file] == 1 and (count := count_frames(dataset.root / file)) != episode.length:
        yield f"{dataset.root / file}: holds {count} frames, episode {episode.index} has {episode.length}"
