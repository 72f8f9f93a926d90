"""What our reader finds in a dataset, for a process that has LeRobot but not us: DATA -> one .npz file."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from robotics.datasets.reader import Dataset
from robotics.errors import RoboticsError


def reference(root: Path) -> dict[str, Any]:
    """Every column, image, statistic and range of the dataset in `root`, by name."""
    dataset = Dataset.open(root)
    arrays: dict[str, Any] = {"ranges": dataset.episode_ranges, "tasks": np.array(dataset.tasks)}
    for key in dataset.features:
        arrays[f"values/{key}"] = dataset.images(key) if key in dataset.image_keys else dataset.column(key)
    for key, stats in dataset.stats.items():
        arrays |= {f"stats/{key}/{name}": value for name, value in stats.items()}
    return arrays


if __name__ == "__main__":
    try:
        np.savez(sys.argv[2], **reference(Path(sys.argv[1])))
    except RoboticsError as error:
        sys.exit(f"error: {error}")
