"""Reading a LeRobotDataset v3.0: ours or LeRobot's own, with pyarrow and PyAV only."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from robotics.datasets.episodes import Episode, read_episode_stats, read_episodes
from robotics.datasets.features import TIMESTAMP, Features, as_read, is_numbers, is_visual
from robotics.datasets.info import Info, read_document, read_info
from robotics.datasets.layout import INFO, PROVENANCE, STATS, TASKS
from robotics.datasets.pictures import decode_image
from robotics.datasets.statistics import DatasetStats, from_lists, merged
from robotics.datasets.tables import read_table, to_numpy
from robotics.datasets.tasks import read_tasks
from robotics.datasets.video import read_frames
from robotics.errors import DataError, unknown_name


@dataclass(frozen=True)
class Dataset:
    """The committed episodes of a dataset. Opening reads its metadata; columns and images are read when asked for."""

    root: Path
    info: Info
    episodes: list[Episode]
    tasks: list[str]
    stats: DatasetStats
    provenance: dict[str, Any]

    @classmethod
    def open(cls, root: Path) -> "Dataset":
        """The dataset in `root`, without what an interrupted commit may have left there.

        Raises DataError naming the file that is missing, damaged or contradicts the others.
        """
        root = Path(root)
        info = read_info(root)
        episodes, defect = read_episodes(root, info)
        if len(episodes) < info.episodes:
            raise defect or DataError(
                f"{root / INFO}: announces {info.episodes} episodes, meta/episodes lists {len(episodes)}"
            )
        frames = episodes[-1].stop if episodes else 0
        if frames != info.frames:
            raise DataError(f"{root / INFO}: announces {info.frames} frames, the episodes add up to {frames}")
        tasks = read_tasks(root)
        if len(tasks) < info.tasks:
            raise DataError(f"{root / TASKS}: holds {len(tasks)} tasks, info.json announces {info.tasks}")
        return cls(root, info, episodes, tasks, _read_stats(root, info, episodes), read_provenance(root))

    @property
    def fps(self) -> int:
        return self.info.fps

    @cached_property
    def features(self) -> Features:
        """The columns as they are read: pictures are (h, w, 3) whatever info.json notes."""
        return {key: as_read(feature) for key, feature in self.info.features.items()}

    @property
    def robot_type(self) -> str | None:
        return self.info.robot_type

    @property
    def image_keys(self) -> list[str]:
        return self.info.image_keys

    @property
    def episode_ranges(self) -> np.ndarray:
        """Frames [from, to) of every episode, int64 (E, 2)."""
        return np.array([(e.start, e.stop) for e in self.episodes], dtype=np.int64).reshape(-1, 2)

    def column(self, key: str) -> np.ndarray:
        """Values (N, *shape) of a column that is no image. Reads that column of every data file."""
        feature = self._feature(key)
        if is_visual(feature):
            raise unknown_name("column", key, [k for k in self.features if k not in self.image_keys], "see images()")
        if not is_numbers(feature):
            raise DataError(f"{self.root}: column '{key}' holds {feature['dtype']}, no numbers")
        parts = [self.episode_column(episode, key) for episode in self.episodes]
        return np.concatenate(parts) if parts else np.zeros((0, *feature["shape"]), feature["dtype"])

    def images(self, key: str) -> np.ndarray:
        """All images uint8 (N, h, w, 3) of a camera: N·h·w·3 bytes, and the time to decode them."""
        shape = self._feature(key)["shape"]
        if key not in self.image_keys:
            raise unknown_name("camera", key, self.image_keys)
        images = np.empty((self.info.frames, *shape), np.uint8)
        for episode in self.episodes:
            images[episode.start : episode.stop] = self.episode_images(episode, key)
        return images

    def episode_column(self, episode: Episode, key: str) -> np.ndarray:
        """Values (T, *shape) of one episode."""
        name = f"{self.root / episode.data_file}: column '{key}' of episode {episode.index}"
        return to_numpy(self._episode_table(episode, key)[key], self._feature(key), name)

    def episode_images(self, episode: Episode, key: str) -> np.ndarray:
        """Images uint8 (T, h, w, 3) of one episode. DataError when one is missing, damaged or of another shape."""
        shape = tuple(self._feature(key)["shape"])
        source = episode.clips[key].file if key in episode.clips else episode.data_file
        images = np.empty((episode.length, *shape), np.uint8)
        count = 0
        for image in self._episode_frames(episode, key):
            if image.shape != shape:
                raise DataError(f"{self.root / source}: an image of '{key}' has shape {image.shape}, expected {shape}")
            images[count] = image
            count += 1
        if count != episode.length:
            raise DataError(
                f"{self.root / source}: holds {count} of the {episode.length} images '{key}' of episode {episode.index}"
            )
        return images

    def episode_pictures(self, episode: Episode, key: str) -> pa.Array:
        """The encoded images of one episode that the data file holds."""
        return self._episode_table(episode, key)[key].combine_chunks()

    def _episode_frames(self, episode: Episode, key: str) -> Iterator[np.ndarray]:
        if key in episode.clips:
            yield from self._clip_frames(episode, key)
            return
        for number, cell in enumerate(self._episode_table(episode, key)[key].to_pylist()):
            try:
                yield decode_image((cell or {}).get("bytes") or b"")
            except ValueError as error:
                where = f"frame {number} of episode {episode.index}"
                raise DataError(f"{self.root / episode.data_file}: '{key}', {where}: {error}") from None

    def _clip_frames(self, episode: Episode, key: str) -> Iterator[np.ndarray]:
        clip = episode.clips[key]
        expected = first = round(clip.from_s * self.fps)
        for number, image in read_frames(self.root / clip.file, self.fps, first):
            if number >= first + episode.length:
                return
            if number != expected:
                raise DataError(f"{self.root / clip.file}: frame {expected} is missing, the next one is {number}")
            expected += 1
            yield image

    def _episode_table(self, episode: Episode, key: str) -> pa.Table:
        """The rows of one episode in its data file, which may hold others before and after it."""
        path = self.root / episode.data_file
        table = _cached_column(path, key)
        rows = table.slice(episode.start - self.first_frame[episode.data_file], episode.length)
        if len(rows) != episode.length:
            raise DataError(f"{path}: holds {len(rows)} of the {episode.length} frames of episode {episode.index}")
        return rows

    @cached_property
    def first_frame(self) -> dict[Path, int]:
        """Index of the frame that each data file begins with."""
        return {episode.data_file: episode.start for episode in reversed(self.episodes)}

    @cached_property
    def clips_in(self) -> Counter[Path]:
        """How many episodes have a clip in each film."""
        return Counter(clip.file for episode in self.episodes for clip in episode.clips.values())

    def _feature(self, key: str) -> dict[str, Any]:
        if key not in self.features:
            raise unknown_name("column", key, self.features)
        return self.features[key]


def read_provenance(root: Path) -> dict[str, Any]:
    """Where the episodes come from, as `robotics collect` noted it; {} for a dataset of another program. DataError
    naming the file when it is damaged."""
    path = root / PROVENANCE
    document = read_document(path) if path.exists() else {}
    if not isinstance(document.get("env_kwargs", {}), dict):
        raise DataError(f"{path}: env_kwargs is {document['env_kwargs']!r}, expected an object")
    for name in ("seeds", "failed_seeds"):
        seeds = document.get(name, [])
        if not isinstance(seeds, list) or not all(type(seed) is int for seed in seeds):
            raise DataError(f"{path}: {name} is {str(seeds)[:40]}, expected a list of whole numbers")
    return document


def _read_stats(root: Path, info: Info, episodes: list[Episode]) -> DatasetStats:
    """stats.json, or the merged statistics of the rows where there is none or it counts frames not committed."""
    if not episodes:
        return {}
    path = root / STATS
    if not path.exists():
        return merged(read_episode_stats(root, episodes))
    stats = _stats_from(path, read_document(path))
    counted = stats.get(TIMESTAMP, {}).get("count")
    if counted is not None and int(counted[0]) != info.frames:
        return merged(read_episode_stats(root, episodes))
    return stats


def _stats_from(path: Path, document: dict[str, Any]) -> DatasetStats:
    try:
        stats = from_lists(document)
    except (AttributeError, TypeError, ValueError):
        raise DataError(f"{path}: does not hold statistics by column") from None
    if any(value.dtype.kind not in "fiub" for column in stats.values() for value in column.values()):
        raise DataError(f"{path}: holds something else than numbers")
    return stats


def _cached_column(path: Path, key: str) -> pa.Table:
    """One column of a data file. Files of LeRobot hold many episodes, which are read one after the other."""
    columns = _columns_read(path, path.stat().st_mtime_ns if path.exists() else 0)
    if key not in columns:
        columns[key] = read_table(path, [key])
    return columns[key]


@lru_cache(maxsize=1)
def _columns_read(_path: Path, _modified_ns: int) -> dict[str, pa.Table]:
    """Those columns of the file under way that were asked for: an episode is read with all of its columns."""
    return {}
