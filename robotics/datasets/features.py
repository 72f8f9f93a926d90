"""What a dataset column is: its entry in info.json, and its type in Arrow."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import pyarrow as pa

from robotics.errors import UsageError
from robotics.vocabulary import ACTION, IMAGE_PREFIX, dataset_key

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
    if dataset_key(name).startswith(IMAGE_PREFIX):
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
