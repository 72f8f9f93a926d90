"""Where LeRobotDataset v3.0 keeps its files, and the one addition of ours: `meta/robotics.json`."""

from pathlib import Path

from robotics.errors import DataError

CODEBASE_VERSION = "v3.0"
#: Files per chunk folder. We write one file per episode, so that a commit never touches an older file.
CHUNK_SIZE = 1000

INFO = Path("meta/info.json")
STATS = Path("meta/stats.json")
TASKS = Path("meta/tasks.parquet")
PROVENANCE = Path("meta/robotics.json")
EPISODES_FOLDER = Path("meta/episodes")
DATA_FOLDER = Path("data")
VIDEOS_FOLDER = Path("videos")
#: Where `repair` moves what it takes out. LeRobot looks into data/, videos/ and meta/ only.
REJECTED_FOLDER = Path("rejected")
#: A dataset that is about to take the place of this one, while `repair` has not come to its end.
REPAIRED_FOLDER = Path(".repaired")

DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"


def chunk_and_file(episode: int) -> tuple[int, int]:
    """(chunk_index, file_index) of the files that we write for an episode."""
    return divmod(episode, CHUNK_SIZE)


def fill(template: str, chunk: int, file: int, video_key: str = "") -> Path:
    """The relative path that a template of info.json stands for.

    Raises DataError for a template with other fields, or one that leads out of the dataset.
    """
    try:
        path = Path(template.format(chunk_index=chunk, file_index=file, video_key=video_key))
    except (KeyError, IndexError, ValueError, AttributeError):
        raise DataError(f"{INFO}: path template '{template}' is not one of LeRobotDataset {CODEBASE_VERSION}") from None
    if path.is_absolute() or ".." in path.parts:
        raise DataError(f"{INFO}: path template '{template}' leads out of the dataset")
    return path
