"""Files that appear whole or not at all, also after a kill or a power cut."""

import os
from collections.abc import Callable
from pathlib import Path

from robotics.outputs import write_json

#: LeRobot globs `*.parquet`, which matches hidden names too: a temporary must end otherwise.
TEMPORARY_SUFFIX = ".tmp"


def publish(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file, put it on the disk, and give it the name `path` in one step."""
    temporary = path.with_name(f".{path.name}{TEMPORARY_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:  # pyarrow's names no file, others that of a moment
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise OSError(error.errno, f"can not be written ({reason})", str(path)) from None


def publish_bytes(path: Path, content: bytes) -> None:
    """A file of `content`, as `publish`."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    publish(path, write)


def publish_json(path: Path, document: dict) -> None:
    """`document` under the name `path` in one step, on the disk when this returns."""
    write_json(path, document)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Put a rename in `folder` on the disk: it is there only when its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
