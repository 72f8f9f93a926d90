"""What our reader finds in a dataset, for a process that has LeRobot but not us: DATA -> one .npz file."""

import sys
from pathlib import Path

import numpy as np

from robotics.datasets.reader import Dataset


def reference(root: Path) -> dict[str, np.ndarray]:
    """Every column, image, statistic and range of the dataset in `root`, by name."""
    dataset = Dataset.open(root)
    arrays = {"ranges": dataset.episode_ranges, "tasks": np.array(dataset.tasks)}
    for key in dataset.features:
        arrays[f"values/{key}"] = dataset.images(key) if key in dataset.image_keys else dataset.column(key)
    for key, stats in dataset.stats.items():
        arrays |= {f"stats/{key}/{name}": value for name, value in stats.items()}
    return arrays


if __name__ == "__main__":
    np.savez(sys.argv[2], **reference(Path(sys.argv[1])))
