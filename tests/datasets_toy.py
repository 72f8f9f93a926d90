"""A small dataset of random numbers for the tests of writing, checking and repairing."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from robotics.datasets.video import write_video
from robotics.datasets.writer import DatasetWriter

FPS = 30
FEATURES = {
    "observation.state": {"dtype": "float32", "shape": [3], "names": None},
    "action": {"dtype": "float32", "shape": [2], "names": None},
    "next.done": {"dtype": "bool", "shape": [1], "names": None},
}
CAMERA = "observation.images.top"


def features(image_dtype: str | None) -> dict:
    camera = {CAMERA: {"dtype": image_dtype, "shape": [16, 24, 3], "names": ["height", "width", "channels"]}}
    return FEATURES | (camera if image_dtype else {})


def frames(rng: np.random.Generator, length: int, images: bool) -> dict[str, np.ndarray]:
    """Random columns of one episode; images of 8-pixel blocks, which survive compression."""
    columns = {
        "observation.state": rng.normal(size=(length, 3)).astype(np.float32),
        "action": rng.normal(size=(length, 2)).astype(np.float32),
        "next.done": np.arange(length)[:, None] == length - 1,
    }
    if images:
        blocks = rng.uniform(20, 230, size=(length, 2, 3, 3)).repeat(8, axis=1).repeat(8, axis=2)
        columns[CAMERA] = blocks.astype(np.uint8)
    return columns


def write(root: Path, image_dtype: str | None, lengths: tuple[int, ...] = (4, 7, 5)) -> list[dict[str, np.ndarray]]:
    """Write a dataset of `lengths` frames into `root`; returns what was written."""
    rng = np.random.default_rng(0)
    episodes = [frames(rng, length, image_dtype is not None) for length in lengths]
    with DatasetWriter.create(root, FPS, features(image_dtype), "toy") as out:
        for number, episode in enumerate(episodes):
            out.append(episode, f"task {number % 2}", {"seeds": list(range(number + 1))})
    return episodes


def in_one_file(root: Path, episodes: list[dict[str, np.ndarray]], **columns: pa.Array) -> None:
    """Give the dataset of these episodes LeRobot's layout: one data, one row and one video file.

    `columns` become columns of the data file, which info.json does not tell of.
    """
    lengths = [len(episode["action"]) for episode in episodes]
    places = {"data/file_index": [0] * len(episodes)}
    videos = root / "videos" / CAMERA / "chunk-000"
    if videos.exists():
        shutil.rmtree(videos)
        videos.mkdir()
        write_video(videos / "file-000.mp4", np.concatenate([episode[CAMERA] for episode in episodes]), FPS)
        places[f"videos/{CAMERA}/file_index"] = [0] * len(episodes)
        places[f"videos/{CAMERA}/from_timestamp"] = [sum(lengths[:i]) / FPS for i in range(len(episodes))]
    for folder, new in (("data/chunk-000", columns), ("meta/episodes/chunk-000", places)):
        files = sorted((root / folder).glob("*.parquet"))
        table = pa.concat_tables([pq.read_table(file) for file in files])
        for file in files:
            file.unlink()
        for name, values in new.items():
            at = table.column_names.index(name) if name in table.column_names else len(table.column_names)
            table = table.set_column(at, name, values if name in columns else pa.array(values))
        pq.write_table(table, files[0])


def contents(root: Path) -> dict[str, bytes]:
    """Every file of `root`, byte for byte."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
