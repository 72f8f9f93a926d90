"""What an interrupted commit leaves behind: files that no committed episode refers to."""

from pathlib import Path

from robotics.datasets.durable import TEMPORARY_SUFFIX
from robotics.datasets.episodes import Episode
from robotics.datasets.layout import DATA_FOLDER, EPISODES_FOLDER, VIDEOS_FOLDER


def leftovers(root: Path, episodes: list[Episode]) -> list[Path]:
    """Files of `root` beyond its committed `episodes`, in the order in which they can be taken away safely.

    That is the reverse of the writer's: rows first, since LeRobot's trainer samples the frames of every row.
    """
    committed = {episode.data_file for episode in episodes} | {episode.row_file for episode in episodes}
    committed |= {clip.file for episode in episodes for clip in episode.clips.values()}
    found = [
        *_files(root, EPISODES_FOLDER, "*.parquet"),
        *_files(root, DATA_FOLDER, "*.parquet"),
        *_files(root, VIDEOS_FOLDER, "*.mp4"),
    ]
    temporary = [path for path in sorted(root.rglob(f".*{TEMPORARY_SUFFIX}")) if path.is_file()]
    return [path for path in found if path.relative_to(root) not in committed] + temporary


def _files(root: Path, folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in (root / folder).rglob(pattern) if path.is_file())
