"""info.json and tasks.parquet from the other files of a dataset, for when they are lost."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from robotics.datasets.episodes import Episode
from robotics.datasets.features import DEFAULT_FEATURES, FRAME_INDEX, IMAGE_TYPE, TASK_INDEX, TIMESTAMP, Feature
from robotics.datasets.info import Info
from robotics.datasets.layout import DATA_FOLDER, VIDEO_PATH, VIDEOS_FOLDER
from robotics.datasets.pictures import decode_image
from robotics.datasets.reader import Dataset
from robotics.datasets.tables import read_table
from robotics.datasets.video import read_frames, video_info
from robotics.errors import DataError


def rebuild_info(root: Path) -> Info:
    """What the first data file and the first videos say about the dataset; the robot's type and the names of its
    joints are lost.

    The totals are left at 0. Raises DataError when there is no readable data file either.
    """
    files = sorted((root / DATA_FOLDER).glob("*/*.parquet"))
    if not files:
        raise DataError(f"{root / DATA_FOLDER}: holds no data file, so there is nothing to repair")
    table = read_table(files[0])
    missing = sorted(set(DEFAULT_FEATURES) - set(table.column_names))
    if missing:
        raise DataError(f"{files[0]}: has no column '{missing[0]}', so it is no LeRobotDataset")
    fps = _frame_rate(files[0], table)
    features = {name: _feature(table[name]) for name in table.column_names}
    for folder in sorted(path for path in (root / VIDEOS_FOLDER).glob("*") if path.is_dir()):
        features[folder.name] = _video_feature(folder, fps)
    has_video = any(feature["dtype"] == "video" for feature in features.values())
    return Info(fps, features, robot_type=None, video_path=VIDEO_PATH if has_video else None)


def rebuild_tasks(dataset: Dataset) -> list[str]:
    """The instructions by task_index, as rows and frames tell, up to the first damaged episode."""
    tasks: dict[int, str] = {}
    for episode in dataset.episodes:
        try:
            found = np.unique(dataset.episode_column(episode, TASK_INDEX)).tolist()
        except DataError:
            break
        tasks |= _new_texts(episode, [index for index in found if index not in tasks], tasks)
    return [tasks.get(index, "") for index in range(max(tasks, default=-1) + 1)]


def _new_texts(episode: Episode, indices: list[int], known: Mapping[int, str]) -> dict[int, str]:
    """Texts of the `indices` that no episode before had: LeRobot numbers new texts in the order in which a row has
    them."""
    texts = [text for text in episode.tasks if text not in known.values()] or list(episode.tasks)
    texts += [f"task {index}" for index in indices[len(texts) :]]
    return dict(zip(indices, texts, strict=False))


def _frame_rate(path: Path, table: pa.Table) -> int:
    frames, times = (table[name].to_numpy() for name in (FRAME_INDEX, TIMESTAMP))
    later = np.flatnonzero(frames > 0)
    if not len(later) or not times[later[-1]] > 0:
        raise DataError(f"{path}: has too few frames to tell how many there are per second")
    return round(float(frames[later[-1]] / times[later[-1]]))


def _feature(column: pa.ChunkedArray) -> Feature:
    kind, shape = column.type, []
    if pa.types.is_struct(kind) and kind == IMAGE_TYPE:
        image = decode_image(column[0].as_py()["bytes"])
        return {"dtype": "image", "shape": list(image.shape), "names": ["height", "width", "channels"]}
    value = column[0].as_py() if len(column) else None
    while pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind):
        shape.append(kind.list_size if pa.types.is_fixed_size_list(kind) else len(value or ()))
        value, kind = (value[0] if value else None), kind.value_type
    if pa.types.is_struct(kind):  # what LeRobot's annotations are made of
        return {"dtype": "language", "shape": [1], "names": None}
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        return {"dtype": "string", "shape": [1], "names": None}
    return {"dtype": str(np.dtype(kind.to_pandas_dtype())), "shape": shape or [1], "names": None}


def _video_feature(folder: Path, fps: int) -> Feature:
    files = sorted(folder.glob("*/*.mp4"))
    if not files:
        raise DataError(f"{folder}: holds no video")
    _, image = next(read_frames(files[0], fps))
    height, width, channels = image.shape
    return {
        "dtype": "video",
        "shape": [height, width, channels],
        "names": ["height", "width", "channels"],
        "info": video_info(height, width, fps),
    }
