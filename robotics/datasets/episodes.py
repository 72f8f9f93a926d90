"""meta/episodes: one row per episode that says where its frames are, and their statistics."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robotics.datasets.info import Info
from robotics.datasets.layout import EPISODES_FOLDER, EPISODES_PATH, chunk_and_file, fill
from robotics.datasets.statistics import STATISTICS, DatasetStats, from_lists
from robotics.datasets.tables import column_names, publish_table, read_table, row_table
from robotics.errors import DataError


@dataclass(frozen=True)
class Clip:
    """The part of a video file that shows an episode; it starts at `from_s` [s]."""

    file: Path
    from_s: float


@dataclass(frozen=True)
class Episode:
    """One row: frames [start, stop) of the dataset, their data file, their clips. Paths are relative to the root."""

    index: int
    tasks: tuple[str, ...]
    start: int
    stop: int
    data_file: Path
    row_file: Path
    clips: Mapping[str, Clip] = field(default_factory=dict)

    @property
    def length(self) -> int:
        return self.stop - self.start


def read_episodes(root: Path, info: Info, limit: int | None = None) -> tuple[list[Episode], DataError | None]:
    """The longest consistent beginning of the rows (at most `limit`), and what ended it when that was a defect."""
    episodes: list[Episode] = []
    limit = info.episodes if limit is None else limit
    try:
        for path in sorted((root / EPISODES_FOLDER).glob("*/*.parquet")):
            if len(episodes) >= limit:
                break
            for row in _rows(path):
                episode = _episode(root, path, row, info)
                _check_follows(root / episode.row_file, episode, episodes)
                episodes.append(episode)
    except DataError as error:
        return episodes[:limit], error
    return episodes[:limit], None


def read_each_episode(root: Path, info: Info) -> list[Episode]:
    """The rows of all files that can be read, whether they follow each other or not."""
    episodes: list[Episode] = []
    for path in sorted((root / EPISODES_FOLDER).glob("*/*.parquet")):
        with suppress(DataError):
            episodes += [_episode(root, path, row, info) for row in _rows(path)]
    return episodes


def read_episode_stats(root: Path, episodes: list[Episode]) -> list[DatasetStats]:
    """The statistics in the rows of `episodes`, in their order; {} where a row has none."""
    by_index: dict[int, DatasetStats] = {}
    for path in dict.fromkeys(episode.row_file for episode in episodes):
        table = read_table(root / path)
        for row in table.to_pylist():
            by_index[row["episode_index"]] = _stats_of(row)
    return [by_index[episode.index] for episode in episodes]


def write_episode(root: Path, episode: Episode, info: Info, stats: DatasetStats) -> None:
    """Publish the row of one new episode, in a file of its own."""
    chunk, file = chunk_and_file(episode.index)
    row: dict[str, Any] = {
        "episode_index": episode.index,
        "tasks": list(episode.tasks),
        "length": episode.length,
        "data/chunk_index": chunk,
        "data/file_index": file,
        "dataset_from_index": episode.start,
        "dataset_to_index": episode.stop,
    }
    for key, clip in episode.clips.items():
        row[f"videos/{key}/chunk_index"], row[f"videos/{key}/file_index"] = chunk, file
        row[f"videos/{key}/from_timestamp"] = clip.from_s
        row[f"videos/{key}/to_timestamp"] = clip.from_s + episode.length / info.fps
    for key, column in stats.items():
        row.update({f"stats/{key}/{name}": value.tolist() for name, value in column.items()})
    row["meta/episodes/chunk_index"], row["meta/episodes/file_index"] = chunk, file
    publish_table(root / fill(EPISODES_PATH, chunk, file), row_table(row))


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of one file without their statistics, which are most of it."""
    return read_table(path, [name for name in column_names(path) if not name.startswith("stats/")]).to_pylist()


def _episode(root: Path, path: Path, row: dict[str, Any], info: Info) -> Episode:
    try:
        data_file = fill(info.data_path, row["data/chunk_index"], row["data/file_index"])
        episode = Episode(
            index=int(row["episode_index"]),
            tasks=tuple(row.get("tasks") or ()),
            start=int(row["dataset_from_index"]),
            stop=int(row["dataset_to_index"]),
            data_file=data_file,
            row_file=path.relative_to(root),
            clips={key: _clip(key, row, info) for key in info.video_keys},
        )
        length = int(row["length"])
    except KeyError as error:
        raise DataError(f"{path}: has no column {error}") from None
    except (TypeError, ValueError):
        raise DataError(f"{path}: a row holds something else than numbers") from None
    if episode.length != length or length <= 0:
        raise DataError(f"{path}: episode {episode.index} has length {length} but {episode.length} frames")
    return episode


def _clip(key: str, row: dict[str, Any], info: Info) -> Clip:
    template = info.video_path or ""
    file = fill(template, row[f"videos/{key}/chunk_index"], row[f"videos/{key}/file_index"], video_key=key)
    return Clip(file, float(row[f"videos/{key}/from_timestamp"]))


def _check_follows(path: Path, episode: Episode, before: list[Episode]) -> None:
    if episode.index != len(before):
        raise DataError(f"{path}: row of episode {episode.index} where episode {len(before)} belongs")
    expected = before[-1].stop if before else 0
    if episode.start != expected:
        raise DataError(f"{path}: episode {episode.index} starts at frame {episode.start}, expected {expected}")


def _stats_of(row: dict[str, Any]) -> DatasetStats:
    document: dict[str, dict[str, list]] = {}
    for column, value in row.items():
        prefix, _, rest = column.partition("/")
        key, _, name = rest.rpartition("/")
        if prefix == "stats" and name in STATISTICS and value is not None:
            document.setdefault(key, {})[name] = value
    return from_lists(document)
