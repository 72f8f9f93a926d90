"""Opens a dataset with LeRobot, compares every value with our reader's, prints one JSON line.

Runs under the Python that has LeRobot: DATA REFERENCE.npz [STATE…]. Exit code 0 when everything agrees.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from lerobot.datasets.compute_stats import aggregate_stats
from lerobot.datasets.lerobot_dataset import LeRobotDataset, LeRobotDatasetMetadata
from lerobot.datasets.sampler import EpisodeAwareSampler

#: LeRobot's PyAV backend needs no FFmpeg on the machine, and decodes with the library that we decode with.
BACKEND = "pyav"
#: An image may differ by one level of 255: both sides round, on different types.
IMAGE_TOLERANCE = 1.01 / 255


def open_with_lerobot(root: Path) -> LeRobotDataset:
    return LeRobotDataset("local/check", root=root, video_backend=BACKEND)


def value_errors(dataset: LeRobotDataset, reference: dict[str, np.ndarray]) -> dict[str, float]:
    """Largest absolute difference per feature over every frame, and whether tasks, counts and ranges agree."""
    errors = dict.fromkeys(dataset.features, 0.0)
    for index in range(len(dataset)):
        item = dataset[index]
        for key in errors:
            ours = reference[f"values/{key}"][index]
            if key in dataset.meta.camera_keys:
                ours = ours.transpose(2, 0, 1) / 255.0
            difference = np.abs(item[key].numpy().astype(np.float64).reshape(ours.shape) - ours)
            errors[key] = max(errors[key], float(difference.max()))
        task = reference["tasks"][int(item["task_index"])]
        assert item["task"] == task, f"frame {index}: task '{item['task']}', ours '{task}'"
    assert len(dataset) == len(reference["values/index"]), f"{len(dataset)} frames"
    ranges = np.array([(e["dataset_from_index"], e["dataset_to_index"]) for e in dataset.meta.episodes])
    assert np.array_equal(ranges[: len(reference["ranges"])], reference["ranges"]), "episode ranges differ"
    return errors


def stats_error(dataset: LeRobotDataset, reference: dict[str, np.ndarray]) -> float:
    """Largest difference of our statistics to the stats.json that LeRobot loads and to its own merge of the rows."""
    rows = pd.concat(pd.read_parquet(path) for path in sorted((dataset.root / "meta/episodes").glob("*/*.parquet")))
    merged = aggregate_stats([_row_stats(row) for _, row in rows.iterrows()])
    errors = [0.0]
    for name, ours in reference.items():
        if name.startswith("stats/"):
            key, statistic = name.removeprefix("stats/").rsplit("/", 1)
            for theirs in (dataset.meta.stats[key][statistic], merged[key][statistic]):
                assert np.shape(theirs) == ours.shape, f"{name}: shape {np.shape(theirs)}, ours {ours.shape}"
                errors.append(float(np.abs(np.asarray(theirs, np.float64) - ours).max()))
    return max(errors)


def _row_stats(row: pd.Series) -> dict[str, dict[str, np.ndarray]]:
    stats: dict[str, dict[str, np.ndarray]] = {}
    for column, value in row.items():
        if column.startswith("stats/"):
            key, name = column.removeprefix("stats/").rsplit("/", 1)
            stats.setdefault(key, {})[name] = np.array(_plain(value))
    return stats


def _plain(value: np.ndarray) -> list:
    """Nested arrays, as pandas gives nested lists, as nested lists."""
    return [_plain(item) if isinstance(item, np.ndarray) else item for item in value]


def read_state(root: Path) -> int:
    """Read a dataset as a crash left it; returns its episodes, -1 when it has no info.json yet.

    Reads what indexing reaches and what `lerobot-train` draws: its sampler takes the frames from all rows that it
    finds, also from one that is not committed yet.
    """
    if not (root / "meta/info.json").exists():
        return -1
    episodes = LeRobotDatasetMetadata("local/check", root=root).total_episodes
    if episodes:
        dataset = open_with_lerobot(root)
        rows = dataset.meta.episodes
        drawn = set(EpisodeAwareSampler(rows["dataset_from_index"], rows["dataset_to_index"]))
        read = {index: dataset[index]["episode_index"].item() for index in drawn | set(range(len(dataset)))}
        assert read[len(dataset) - 1] == episodes - 1, f"{root.name}: the last frame is not of episode {episodes - 1}"
    return episodes


def main(root: Path, reference_file: Path, states: list[Path]) -> dict:
    reference = dict(np.load(reference_file))
    dataset = open_with_lerobot(root)
    errors = value_errors(dataset, reference)
    worst_stat = stats_error(dataset, reference)
    allowed = {key: IMAGE_TOLERANCE if key in dataset.meta.camera_keys else 0.0 for key in errors}
    return {
        "ok": all(error <= allowed[key] for key, error in errors.items()) and worst_stat < 1e-6,
        "lerobot": version("lerobot"),
        "episodes": dataset.num_episodes,
        "frames": len(dataset),
        "largest_difference": errors,
        "largest_stats_difference": worst_stat,
        "crash_states": [read_state(state) for state in states],
    }


if __name__ == "__main__":
    result = main(Path(sys.argv[1]), Path(sys.argv[2]), [Path(state) for state in sys.argv[3:]])
    print(json.dumps(result))
    sys.exit(not result["ok"])
