"""Where results go: a folder that is never silently overwritten, and files that are never half written."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from robotics.errors import DataError, RoboticsError, UsageError


def prepare_folder(
    out: Path, kind: str, marks: Sequence[Path | str], *, resume: bool | None = None, overwrite: bool = False
) -> Path:
    """Make `out` ready to be written to and return it, refusing what `require_free` refuses.

    With `overwrite` its content is removed, in the folder it leads to where it is a link: to be called when nothing can
    be refused any more.
    """
    require_free(out, kind, marks, resume=resume, overwrite=overwrite)
    require_writable(out)
    if overwrite:
        for path in out.iterdir():  # the folder itself stays: a writer's lock is on it
            _remove(path)
    return out


def _remove(path: Path) -> None:
    try:
        path.unlink() if path.is_symlink() or not path.is_dir() else shutil.rmtree(path)
    except OSError as error:  # rmtree's names a file without its folder
        raise OSError(error.errno, f"can not be removed ({error.strerror})", str(path)) from None


def require_free(
    out: Path, kind: str, marks: Sequence[Path | str], *, resume: bool | None = None, overwrite: bool = False
) -> None:
    """UsageError when `out` already holds something and neither `resume` nor `overwrite` was asked for, or when both
    were; changes nothing. `resume` is None for a command that knows no --resume.

    `overwrite` is for a folder in which one of the files `marks` tells that it is a `kind`: a slip in --out shall not
    empty a home.
    """
    if resume and overwrite:
        raise UsageError("--resume and --overwrite contradict each other: give one")
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; a folder is needed")
    if out.is_dir() and any(out.iterdir()):
        if overwrite:
            if not any((out / mark).exists() for mark in marks):
                raise UsageError(
                    f"--overwrite: {out} holds something that is no {kind}; remove it yourself if it is meant"
                )
        elif not resume:
            replace = "--overwrite to replace it"
            cure = replace if resume is None else f"--resume to continue it or {replace}"
            raise UsageError(f"--out {out} already holds something: give {cure}, or another folder")


def refuse_existing(file: Path, overwrite: bool, option: str = "--out") -> None:
    """UsageError for a `file` that is there already and shall not be replaced."""
    if file.exists() and not overwrite:
        raise UsageError(f"{option} {file} exists: give --overwrite to replace it, or another name")


def require_writable(folder: Path) -> None:
    """Make `folder` and see that files can be made in it; UsageError when not, before any work is done in vain."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _not_writable(folder, error) from None


def size_of(folder: Path) -> int:
    """Bytes of all files in `folder`; 0 where there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def require_room(folder: Path, needed_bytes: float, what: str, *, overwrite: bool = False) -> None:
    """Raise RoboticsError when the disk that holds `folder` has less than `needed_bytes` free; UsageError when that is
    because nothing can be written there at all. With `overwrite` what `folder` holds makes room."""
    existing = next(parent for parent in [folder, *folder.resolve().parents] if parent.exists())
    free = shutil.disk_usage(existing).free
    if overwrite and free < needed_bytes:
        free += size_of(folder)
    if free < needed_bytes:
        try:
            with tempfile.TemporaryFile(dir=existing):
                pass
        except OSError as error:  # what is no disk, /proc for one, has no room either
            if error.errno != errno.ENOSPC:
                raise _not_writable(folder, error) from None
        raise RoboticsError(
            f"no room on the disk for {what}: about {needed_bytes / 1e6:.0f} MB are needed in {folder}, "
            f"{free / 1e6:.0f} MB are free; free some, or choose another --out"
        )


def _not_writable(folder: Path, error: OSError) -> UsageError:
    return UsageError(f"--out: nothing can be written to {folder} ({error.strerror}); choose another place")


def require_memory(needed_bytes: float, what: str) -> None:
    """Raise RoboticsError when this machine has less memory than `needed_bytes` [B]."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed_bytes > total:
        raise RoboticsError(
            f"{what} needs {needed_bytes / 1e9:.1f} GB in memory, this machine has {total / 1e9:.1f} GB; "
            "use fewer --inputs or smaller images"
        )


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write `content` so that a reader finds the old file or the new one, whole, whatever interrupts this."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder; a file is needed")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    data = content.encode() if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:  # the name that was asked for, not that of a moment
        raise OSError(error.errno, f"can not be written ({error.strerror})", str(path)) from None
    finally:
        with suppress(OSError):  # where nothing can be written, it is not there
            temporary.unlink(missing_ok=True)


def write_json(path: Path, document: Any) -> None:
    """`document` as indented JSON, atomically. NaN and infinities are refused: they are not JSON."""
    write_atomically(path, json.dumps(document, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The document in `path`; DataError naming the file when it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf8"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (ValueError, RecursionError) as error:  # also integers too long, and nesting too deep
        raise DataError(f"{path}: not a JSON document ({error})") from None


def kept_json(path: Path, make: Callable[[], Any]) -> Any:
    """The document in `path`; what `make` gives, written there, if there is none yet."""
    if not path.exists():
        write_json(path, make())
    return read_json(path)
