"""An episode as its files will hold it: what takes long, and depends on nothing that was committed before.

Encoding images is most of the work of a commit. It can be done in any process, so that many workers do not wait for the
one that writes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from robotics.datasets.features import DEFAULT_FEATURES, Feature, Features, is_visual
from robotics.datasets.statistics import DatasetStats, Stats, image_stats, vector_stats
from robotics.datasets.tables import to_arrow
from robotics.datasets.video import encode_video
from robotics.errors import DataError

Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class EncodedColumns:
    """Columns of one episode: those of the data table, a video file per camera of video, statistics of all of them."""

    length: int
    table: dict[str, pa.Array]
    videos: dict[str, bytes]
    stats: DatasetStats


def encode_frames(features: Features, frames: Columns, fps: int) -> EncodedColumns:
    """`frames` by feature, (T, *shape) each, for a dataset of `features`, without LeRobot's default ones.

    Raises DataError for frames that do not fit the features.
    """
    own = {key: feature for key, feature in features.items() if key not in DEFAULT_FEATURES}
    if set(frames) != set(own):
        raise DataError(f"an episode with columns {sorted(frames)} does not fit a dataset with {sorted(own)}")
    length = len(next(iter(frames.values())))
    if not length:
        raise DataError("an episode without frames can not be committed")
    return encode_columns(own, {key: _checked(key, frames[key], length, own[key]) for key in own}, fps)


def encode_columns(features: Features, columns: Columns, fps: int) -> EncodedColumns:
    """`columns` that are known to fit the `features`, of which there may be any."""
    return EncodedColumns(
        len(next(iter(columns.values()))),
        to_arrow(features, columns),
        {key: encode_video(columns[key], fps) for key, feature in features.items() if feature["dtype"] == "video"},
        {key: _stats(columns[key], feature) for key, feature in features.items()},
    )


def _stats(values: np.ndarray, feature: Feature) -> Stats:
    return image_stats(values) if is_visual(feature) else vector_stats(values)


def _checked(key: str, values: np.ndarray, length: int, feature: Feature) -> np.ndarray:
    dtype = np.uint8 if is_visual(feature) else feature["dtype"]
    if values.shape != (length, *feature["shape"]):
        raise DataError(f"'{key}' has shape {values.shape}, expected {(length, *feature['shape'])}")
    if is_visual(feature) and values.dtype != np.uint8:
        raise DataError(f"'{key}' is {values.dtype}; images are uint8")
    finite = np.isfinite(values).reshape(length, -1).all(axis=1)
    if not finite.all():
        raise DataError(f"'{key}' is NaN or infinite in frame {int(finite.argmin())}")
    return np.ascontiguousarray(values, dtype=dtype)
