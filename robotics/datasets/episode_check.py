"""What can be wrong with the frames of one episode."""

from collections.abc import Iterator

import numpy as np

from robotics.datasets.episodes import Episode
from robotics.datasets.features import EPISODE_INDEX, FRAME_INDEX, INDEX, TASK_INDEX, TIMESTAMP
from robotics.datasets.reader import Dataset
from robotics.datasets.video import TOLERANCE_S, count_frames
from robotics.errors import DataError


def episode_problems(dataset: Dataset, episode: Episode) -> Iterator[str]:
    """What is wrong with `episode`, one line each, beginning with the file. Reads and decodes all of it."""
    try:
        columns = {
            key: dataset.episode_column(episode, key)
            for key, feature in dataset.features.items()
            if key not in dataset.image_keys and feature["dtype"] != "string"
        }
    except DataError as error:
        yield str(error)
        return
    where = f"{dataset.root / episode.data_file}: episode {episode.index}"
    for problem in (*_index_problems(dataset, episode, columns), *_value_problems(columns)):
        yield f"{where}: {problem}"
    yield from _image_problems(dataset, episode)


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


def _image_problems(dataset: Dataset, episode: Episode) -> Iterator[str]:
    for key in dataset.image_keys:
        try:
            dataset.episode_images(episode, key)
            if key not in episode.clips:
                continue
            path = dataset.root / episode.clips[key].file
            alone = dataset.clips_in[episode.clips[key].file] == 1
            if alone and (count := count_frames(path)) != episode.length:
                yield f"{path}: holds {count} frames, episode {episode.index} has {episode.length}"
        except DataError as error:
            yield str(error)
