"""What a dataset column is: its entry in info.json, and its type in Arrow."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import pyarrow as pa

from robotics.errors import UsageError
from robotics.vocabulary import ACTION, camera_of, dataset_key

Feature = dict[str, Any]
Features = dict[str, Feature]

TIMESTAMP, FRAME_INDEX, EPISODE_INDEX, INDEX, TASK_INDEX = (
    "timestamp",
    "frame_index",
    "episode_index",
    "index",
    "task_index",
)
REWARD, DONE, SUCCESS = "next.reward", "next.done", "next.success"

#: Every LeRobot dataset has these; the writer fills them in.
DEFAULT_FEATURES: Features = {
    TIMESTAMP: {"dtype": "float32", "shape": [1], "names": None},
    **{key: {"dtype": "int64", "shape": [1], "names": None} for key in (FRAME_INDEX, EPISODE_INDEX, INDEX, TASK_INDEX)},
}
OUTCOME_FEATURES: Features = {
    REWARD: {"dtype": "float32", "shape": [1], "names": None},
    DONE: {"dtype": "bool", "shape": [1], "names": None},
    SUCCESS: {"dtype": "bool", "shape": [1], "names": None},
}
_CHANNELS = (1, 3)
IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def features_of(
    spaces: Mapping[str, gym.Space],
    action_space: gym.Space,
    image_dtype: str,
    names: Mapping[str, list[str]] | None = None,
) -> Features:
    """Columns for the observations of an environment, its actions and their outcome.

    `spaces` go by environment name; `image_dtype` is `video` or `image` (PNG); `names` are those of a vector's numbers,
    by column (`joint_names`). Raises UsageError for what a column can not hold.
    """
    features = {dataset_key(name): _feature(name, space, image_dtype) for name, space in spaces.items()}
    features[ACTION] = _feature(ACTION, action_space, image_dtype)
    for key, joints in (names or {}).items():
        features[key]["names"] = joints
    return {**features, **OUTCOME_FEATURES}


def is_visual(feature: Feature) -> bool:
    return feature["dtype"] in ("video", "image")


def as_read(feature: Feature) -> Feature:
    """The feature as its values are read: a picture is (h, w, 3), also where other programs note its channels first, or
    one channel, as of depth."""
    if not is_visual(feature):
        return feature
    first, second, third = feature["shape"]
    names = feature.get("names")
    named_first = isinstance(names, list) and str(next(iter(names), None)).startswith("channel")
    if first in _CHANNELS and (third not in _CHANNELS or named_first):
        height, width = second, third
    elif third in _CHANNELS:
        height, width = first, second
    else:
        return feature
    return {**feature, "shape": [height, width, 3], "names": ["height", "width", "channels"]}


def is_depth(feature: Feature) -> bool:
    """Whether a picture holds distances; they are read as shades of grey, but statistics are noted of distances."""
    info = feature.get("info")
    return is_visual(feature) and isinstance(info, dict) and bool(info.get("is_depth_map"))


def is_numbers(feature: Feature) -> bool:
    """Whether a column can be read as numbers. Texts, and types that only other programs know, are carried along."""
    try:
        return not is_visual(feature) and np.dtype(feature["dtype"]).kind in "fiub"
    except TypeError:
        return False


def stored_in_table(features: Features) -> Features:
    """The columns of the data files: all but the videos."""
    return {key: feature for key, feature in features.items() if feature["dtype"] != "video"}


def schema_of(features: Features) -> pa.Schema:
    """Arrow schema of a data file: scalars for shape (1,), fixed-size lists for vectors, PNG structs for images."""
    return pa.schema([(key, _arrow_type(feature)) for key, feature in stored_in_table(features).items()])


def _arrow_type(feature: Feature) -> pa.DataType:
    if feature["dtype"] == "image":
        return IMAGE_TYPE
    scalar = pa.from_numpy_dtype(np.dtype(feature["dtype"]))
    (size,) = feature["shape"]
    return scalar if size == 1 else pa.list_(scalar, size)


def _feature(name: str, space: gym.Space, image_dtype: str) -> Feature:
    if not isinstance(space, gym.spaces.Box):
        raise UsageError(f"'{name}' is a {type(space).__name__} space; only Box spaces can be recorded")
    if 0 in space.shape:
        raise UsageError(
            f"'{name}' has shape {space.shape}: it holds no number, and a column of none can't be recorded"
        )
    if camera_of(dataset_key(name)):
        return _image_feature(name, space, image_dtype)
    if len(space.shape) != 1:
        raise UsageError(f"'{name}' has shape {space.shape}; only vectors and images (image_<camera>) can be recorded")
    return {"dtype": "float32", "shape": list(space.shape), "names": None}


def _image_feature(name: str, space: gym.spaces.Box, image_dtype: str) -> Feature:
    if space.dtype != np.uint8 or len(space.shape) != 3 or space.shape[2] != 3:
        raise UsageError(f"'{name}' is {space.dtype} {space.shape}; images are uint8 (height, width, 3)")
    height, width, _ = space.shape
    if image_dtype == "video" and (height % 2 or width % 2):
        raise UsageError(
            f"'{name}' is {height}x{width}; H.264 video needs even sides: change --image-size or --images png"
        )
    return {"dtype": image_dtype, "shape": list(space.shape), "names": ["height", "width", "channels"]}
