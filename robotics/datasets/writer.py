"""Writing a LeRobotDataset v3.0, one atomic commit per episode.

Every episode has data, row and video files of its own, so a commit never touches an older file. The order is chosen so
that a kill between any two steps leaves a dataset that we and LeRobot read as it was before:

    tasks      an instruction that no frame refers to harms nobody
    videos     are looked up through the rows
    data       LeRobot globs these files, but counts the frames of info.json and samples those that have a row
    row        LeRobot's trainer samples the frames of every row that it globs: they must all be there by now
    stats, provenance     describe one episode too many until the next step; readers count frames and notice
    info.json  the commit: LeRobot and we take the number of episodes and frames from it
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from robotics.datasets import video
from robotics.datasets.durable import publish_bytes, publish_json
from robotics.datasets.encoding import Columns, EncodedColumns, encode_columns, encode_frames
from robotics.datasets.episodes import Clip, Episode, write_episode
from robotics.datasets.features import (
    DEFAULT_FEATURES,
    EPISODE_INDEX,
    FRAME_INDEX,
    INDEX,
    TASK_INDEX,
    TIMESTAMP,
    Features,
)
from robotics.datasets.folder_lock import FolderLock
from robotics.datasets.info import Info, read_info, write_info
from robotics.datasets.layout import DATA_PATH, EPISODES_PATH, INFO, PROVENANCE, STATS, VIDEO_PATH, chunk_and_file, fill
from robotics.datasets.leftovers import leftovers
from robotics.datasets.reader import Dataset
from robotics.datasets.statistics import DatasetStats, merge, to_lists
from robotics.datasets.tables import frames_table, publish_table
from robotics.datasets.tasks import write_tasks
from robotics.errors import DataError, UsageError


class DatasetWriter:
    """Appends episodes to a dataset.

    As a context manager it is the only writer, and takes away what an interrupted commit left, now or earlier. It may
    be given a `lock` that its caller holds on the folder, which it releases at its end.
    """

    def __init__(
        self,
        root: Path,
        info: Info,
        tasks: list[str],
        stats: DatasetStats,
        episodes: list[Episode],
        lock: FolderLock | None = None,
    ) -> None:
        self.root, self.info = root, info
        self._tasks, self._stats = tasks, stats
        self._episodes = episodes  # the committed ones, and the one under way
        self._lock = lock or FolderLock(root)

    @classmethod
    def create(
        cls, root: Path, fps: int, features: Features, robot_type: str | None, lock: FolderLock | None = None
    ) -> "DatasetWriter":
        """A dataset without episodes in the folder `root`. `features` are all but LeRobot's default ones."""
        if (root / INFO).exists():
            raise UsageError(f"{root} holds a dataset; resume it, or create another one elsewhere")
        features = {key: _with_video_info(feature, fps) for key, feature in features.items()} | DEFAULT_FEATURES
        info = Info(fps, features, robot_type)
        info = info if info.video_keys else replace(info, video_path=None)
        write_info(root, info)
        return cls(root, info, [], {}, [], lock)

    @classmethod
    def resume(cls, root: Path, lock: FolderLock | None = None) -> "DatasetWriter":
        """Continue a dataset that this class wrote.

        Raises DataError when it is damaged, or when its files hold several episodes as those of other programs do.
        """
        dataset = Dataset.open(root)
        if len({episode.data_file for episode in dataset.episodes}) < len(dataset.episodes):
            raise DataError(f"{root}: was written by another program and can not be continued; give another folder")
        return cls(root, dataset.info, dataset.tasks, dataset.stats, dataset.episodes, lock)

    def __enter__(self) -> "DatasetWriter":
        self._lock.acquire()
        if read_info(self.root).episodes != self.info.episodes:  # since it was opened, and before the lock was ours
            self._lock.release()
            raise UsageError(f"{self.root} has just been written by another process; start again")
        self.remove_leftovers()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if not self._lock.lost_folder and (self.root / INFO).exists():  # else nothing there is ours
                self.remove_leftovers()
        finally:
            self._lock.release()

    def append(self, frames: Columns, task: str, provenance: Mapping[str, Any] | None = None) -> None:
        """Commit one episode: `frames` by feature, (T, *shape) each; see `commit`.

        Raises DataError, before anything is written, for frames that do not fit the features.
        """
        self.commit(encode_frames(self.info.features, frames, self.info.fps), task, provenance)

    def commit(self, encoded: EncodedColumns, task: str, provenance: Mapping[str, Any] | None = None) -> None:
        """Commit one episode that was encoded for this dataset; `provenance` replaces meta/robotics.json.

        When this returns the episode survives a power cut; when it is interrupted, the dataset is as before.
        """
        self._require_own_folder()
        places = encode_columns(DEFAULT_FEATURES, self._places(encoded.length, self._task_index(task)), self.info.fps)
        table, found = encoded.table | places.table, encoded.stats | places.stats
        episode = self._next_episode(encoded.length, task)
        stats = {key: found[key] for key in self.info.features}
        total_stats = merge(self._stats, stats)
        # Known before it is on the disk: an interruption right behind the commit must not take it for a leftover.
        self._episodes = [*self._episodes[: self.info.episodes], episode]

        if task not in self._tasks:
            write_tasks(self.root, [*self._tasks, task])
        for key, clip in episode.clips.items():
            publish_bytes(self.root / clip.file, encoded.videos[key])
        publish_table(self.root / episode.data_file, frames_table(self.info.features, table))
        write_episode(self.root, episode, self.info, stats)
        publish_json(self.root / STATS, to_lists(total_stats))
        if provenance is not None:
            publish_json(self.root / PROVENANCE, dict(provenance))
        tasks = self._tasks if task in self._tasks else [*self._tasks, task]
        info = self.info.with_totals(episode.index + 1, episode.stop, len(tasks))
        self._require_own_folder()  # once more: it may have been taken away meanwhile
        write_info(self.root, info)

        self.info, self._tasks, self._stats = info, tasks, total_stats

    def remove_leftovers(self) -> None:
        """Take away the files of an interrupted commit; info.json tells whether it was one."""
        for path in leftovers(self.root, self._episodes[: read_info(self.root).episodes]):
            path.unlink(missing_ok=True)

    def _require_own_folder(self) -> None:
        """DataError when the dataset is not the one of the last commit any more: what follows would be a broken one."""
        there = not self._lock.lost_folder and (self.root / INFO).exists()
        if not there or read_info(self.root).episodes != self.info.episodes:
            raise DataError(f"{self.root}: was removed or replaced while episodes were written to it; start again")

    def _task_index(self, task: str) -> int:
        return self._tasks.index(task) if task in self._tasks else len(self._tasks)

    def _next_episode(self, length: int, task: str) -> Episode:
        index, start = self.info.episodes, self.info.frames
        chunk, file = chunk_and_file(index)
        data_file, row_file = fill(DATA_PATH, chunk, file), fill(EPISODES_PATH, chunk, file)
        clips = {key: Clip(fill(VIDEO_PATH, chunk, file, key), 0.0) for key in self.info.video_keys}
        return Episode(index, (task,), start, start + length, data_file, row_file, clips)

    def _places(self, length: int, task_index: int) -> dict[str, np.ndarray]:
        """LeRobot's default columns of the next episode."""
        number = np.arange(length, dtype=np.int64)
        return {
            TIMESTAMP: (number / self.info.fps).astype(np.float32)[:, None],
            FRAME_INDEX: number[:, None],
            EPISODE_INDEX: np.full((length, 1), self.info.episodes, np.int64),
            INDEX: (number + self.info.frames)[:, None],
            TASK_INDEX: np.full((length, 1), task_index, np.int64),
        }


def _with_video_info(feature: dict[str, Any], fps: int) -> dict[str, Any]:
    if feature["dtype"] != "video":
        return feature
    height, width, _ = feature["shape"]
    return {**feature, "info": video.video_info(height, width, fps)}
