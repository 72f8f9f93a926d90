"""meta/info.json: what a dataset is and how much of it is committed. Replacing it is the commit of an episode."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from robotics.datasets.durable import publish_json
from robotics.datasets.features import DEFAULT_FEATURES, Features, is_visual
from robotics.datasets.layout import CHUNK_SIZE, CODEBASE_VERSION, DATA_PATH, INFO, REPAIRED_FOLDER, VIDEO_PATH
from robotics.errors import DataError, RoboticsError
from robotics.outputs import read_json

#: The entries that `Info` has fields for; the version can only be ours.
_OWN_ENTRIES = {
    "codebase_version",
    "robot_type",
    "total_episodes",
    "total_frames",
    "total_tasks",
    "fps",
    "data_path",
    "video_path",
    "features",
}


@dataclass(frozen=True)
class Info:
    """The document, checked. Everything beyond `episodes` and `frames` on the disk is an unfinished commit."""

    fps: int
    features: Features
    robot_type: str | None
    episodes: int = 0
    frames: int = 0
    tasks: int = 0
    data_path: str = DATA_PATH
    video_path: str | None = VIDEO_PATH
    #: What else the document says, or says otherwise than we would (splits, sizes of files, tools): carried along.
    other: Mapping[str, Any] = field(default_factory=dict)

    @property
    def image_keys(self) -> list[str]:
        return [key for key, feature in self.features.items() if is_visual(feature)]

    @property
    def video_keys(self) -> list[str]:
        return [key for key, feature in self.features.items() if feature["dtype"] == "video"]

    def with_totals(self, episodes: int, frames: int, tasks: int) -> "Info":
        return replace(self, episodes=episodes, frames=frames, tasks=tasks)


def read_document(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; DataError naming it when it is missing, damaged or something else."""
    try:
        document = read_json(path)
    except (RoboticsError, OSError) as error:
        raise DataError(str(error) if isinstance(error, RoboticsError) else f"{path}: {error.strerror}") from None
    if not isinstance(document, dict):
        raise DataError(f"{path}: holds a {type(document).__name__}, expected a JSON object")
    return document


def read_info(root: Path) -> Info:
    """The checked info.json of the dataset in `root`; DataError naming what is wrong with it."""
    path = root / INFO
    if not root.exists():
        raise DataError(f"{root}: no such folder")
    if (root / REPAIRED_FOLDER).exists():
        raise DataError(f"{root}: a repair has not come to its end; `robotics data repair {root}` goes on with it")
    if not path.exists():
        raise DataError(f"{path}: no such file, so {root} is no LeRobotDataset {CODEBASE_VERSION}")
    document = read_document(path)
    version = document.get("codebase_version")
    if version != CODEBASE_VERSION:
        raise DataError(f"{path}: codebase_version is {version!r}, only {CODEBASE_VERSION!r} can be read")
    other = {name: value for name, value in document.items() if name not in _OWN_ENTRIES}
    if other.get("splits") == _one_split(document.get("total_episodes")):
        del other["splits"]
    totals = {name: _count(path, document, f"total_{name}") for name in ("episodes", "frames", "tasks")}
    return Info(
        fps=_fps(path, document),
        features=_features(path, document),
        robot_type=document.get("robot_type"),
        data_path=str(document.get("data_path", DATA_PATH)),
        video_path=document.get("video_path"),
        other=other,
        **totals,
    )


def write_info(root: Path, info: Info) -> None:
    """Replace info.json in one step: the commit point."""
    publish_json(
        root / INFO,
        {
            "codebase_version": CODEBASE_VERSION,
            "robot_type": info.robot_type,
            "total_episodes": info.episodes,
            "total_frames": info.frames,
            "total_tasks": info.tasks,
            "chunks_size": CHUNK_SIZE,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 200,
            "fps": info.fps,
            "splits": _one_split(info.episodes),
            "data_path": info.data_path,
            "video_path": info.video_path,
            "features": info.features,
            **info.other,
        },
    )


def _one_split(episodes: Any) -> dict[str, str]:
    return {"train": f"0:{episodes}"}


def _count(path: Path, document: dict[str, Any], name: str) -> int:
    value = document.get(name)
    if type(value) is not int or value < 0:
        raise DataError(f"{path}: {name} is {value!r}, expected a count")
    return value


def _fps(path: Path, document: dict[str, Any]) -> int:
    fps = document.get("fps")
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 < fps < 1e6 or fps != int(fps):
        raise DataError(f"{path}: fps is {fps!r}, expected a positive whole number")
    return int(fps)


def _features(path: Path, document: dict[str, Any]) -> Features:
    features = document.get("features")
    if not isinstance(features, dict):
        raise DataError(f"{path}: features is {type(features).__name__}, expected an object")
    for key, feature in features.items():
        if not isinstance(feature, dict) or not _fits(feature):
            raise DataError(f"{path}: feature '{key}' has no readable dtype and shape")
    missing = sorted(set(DEFAULT_FEATURES) - set(features))
    if missing:
        raise DataError(f"{path}: feature '{missing[0]}' is missing")
    return features


def _fits(feature: dict[str, Any]) -> bool:
    dtype, shape = feature.get("dtype"), feature.get("shape")
    if not isinstance(shape, list) or not all(type(side) is int and side > 0 for side in shape):
        return False
    if dtype in ("video", "image"):
        return len(shape) == 3
    return isinstance(dtype, str)
