"""One writer per dataset: a second one would take away the first one's unfinished episode."""

import fcntl
import os
from pathlib import Path

from robotics.errors import UsageError


class FolderLock:
    """A lock on a folder itself; no file is left behind, and a kill frees it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._handle: int | None = None

    def acquire(self) -> None:
        """Take the lock; UsageError when another process has it."""
        handle = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise UsageError(f"{self._folder} is being written by another process; wait for it, or end it") from None
        self._handle = handle

    def release(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
