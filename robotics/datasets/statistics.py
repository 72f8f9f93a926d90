"""Statistics of columns as LeRobot keeps them: per episode, and merged over the episodes.

Vectors have statistics of their shape; images one number per channel, shape (3, 1, 1), on [0, 1]. `std` is that of the
population. Quantiles are exact within an episode; merged ones are means weighted by frames, as in LeRobot 0.6.
"""

from collections.abc import Iterable
from functools import reduce

import numpy as np

Stats = dict[str, np.ndarray]
DatasetStats = dict[str, Stats]

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
#: What episodes together have exactly; quantiles of several are no more than estimates.
MOMENTS = ("min", "max", "mean", "std", "count")
STATISTICS = (*MOMENTS, *QUANTILES)


def vector_stats(values: np.ndarray) -> Stats:
    """Statistics over the frames of values (T, D), each of shape (D,); `count` is (1,)."""
    values = values.astype(np.float64)
    quantiles = np.quantile(values, list(QUANTILES.values()), axis=0)
    return {
        "min": values.min(axis=0),
        "max": values.max(axis=0),
        "mean": values.mean(axis=0),
        "std": values.std(axis=0),
        "count": np.array([len(values)]),
        **dict(zip(QUANTILES, quantiles, strict=True)),
    }


def column_stats(values: np.ndarray) -> Stats:
    """Statistics of a column (T, *shape); of a matrix they are those of its last axis, as in LeRobot."""
    count = len(values)
    flat = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
    return {**vector_stats(flat), "count": np.array([count])}


def image_stats(images: np.ndarray) -> Stats:
    """Statistics over the pixels of images uint8 (T, h, w, 3), from one exact histogram per channel."""
    histogram = np.zeros((3, 256), np.int64)
    for image in images:  # of all at once, bincount would make a copy eight times as large
        histogram += [np.bincount(image[..., channel].ravel(), minlength=256) for channel in range(3)]
    levels = np.arange(256) / 255.0
    share = histogram / histogram.sum(axis=1, keepdims=True)
    cumulative = np.cumsum(histogram, axis=1) / histogram.sum(axis=1, keepdims=True)
    mean = share @ levels
    present = histogram > 0
    stats = {
        "min": levels[present.argmax(axis=1)],
        "max": levels[255 - present[:, ::-1].argmax(axis=1)],
        "mean": mean,
        "std": np.sqrt((share * (levels - mean[:, None]) ** 2).sum(axis=1)),
        **{name: levels[(cumulative >= q).argmax(axis=1)] for name, q in QUANTILES.items()},
    }
    return {**{name: value.reshape(3, 1, 1) for name, value in stats.items()}, "count": np.array([len(images)])}


def merged(episodes: Iterable[DatasetStats]) -> DatasetStats:
    """Statistics of all episodes together, folded in their order; {} for none."""
    return reduce(merge, episodes, {})


def merge(first: DatasetStats, second: DatasetStats) -> DatasetStats:
    """Statistics of two sets of frames together, for the columns that both have ({} is the neutral element)."""
    if not first or not second:
        return first or second
    return {key: _merge_column(first[key], second[key]) for key in first if key in second}


def _merge_column(a: Stats, b: Stats) -> Stats:
    count = a["count"] + b["count"]
    weight = float(b["count"][0] / count[0])
    mean = a["mean"] + weight * (b["mean"] - a["mean"])
    spread = (a["mean"] - b["mean"]) ** 2 * weight * (1 - weight)  # between the two sets
    variance = (1 - weight) * a["std"] ** 2 + weight * b["std"] ** 2 + spread
    return {
        "min": np.minimum(a["min"], b["min"]),
        "max": np.maximum(a["max"], b["max"]),
        "mean": mean,
        "std": np.sqrt(variance),
        "count": count,
        **{q: a[q] + weight * (b[q] - a[q]) for q in QUANTILES if q in a and q in b},
    }


def to_lists(stats: DatasetStats) -> dict[str, dict[str, list]]:
    """The statistics as JSON holds them."""
    return {key: {name: value.tolist() for name, value in column.items()} for key, column in stats.items()}


def from_lists(document: dict[str, dict[str, list]]) -> DatasetStats:
    """The statistics from what JSON or a Parquet row holds."""
    return {
        key: {name: np.atleast_1d(np.array(value)) for name, value in column.items()}
        for key, column in document.items()
    }
