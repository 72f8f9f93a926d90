"""One writer per dataset: a second one would take away the first one's unfinished episode."""

import fcntl
import os
from pathlib import Path
from types import TracebackType

from robotics.errors import UsageError


class FolderLock:
    """A lock on a folder itself; no file is left behind, and a kill frees it. Also a context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._handle: int | None = None

    def acquire(self) -> None:
        """Take the lock, or keep it; UsageError when another process has it."""
        if self._handle is not None:
            return
        handle = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise UsageError(f"{self._folder} is being written by another process; wait for it, or end it") from None
        self._handle = handle

    @property
    def lost_folder(self) -> bool:
        """Whether the folder that was locked has been removed, or another one put in its place."""
        if self._handle is None:
            return False
        return not (self._folder.exists() and os.path.samestat(os.fstat(self._handle), os.stat(self._folder)))

    def release(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> "FolderLock":
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()
