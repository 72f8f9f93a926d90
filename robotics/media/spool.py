"""Frames that wait on disk until their caption is known: bounded memory, no loss."""

import tempfile
import zlib
from collections.abc import Iterator
from types import TracebackType

import numpy as np

from robotics.errors import RoboticsError


class FrameSpool:
    """Append frames uint8 (h, w, 3), then iterate over them. The file vanishes with the spool."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (closed by __exit__)
        self._sizes: list[int] = []
        self._shape: tuple[int, ...] = ()

    def append(self, image: np.ndarray) -> None:
        """Keep `image`; RoboticsError when its shape is not that of the frames before it."""
        if self._shape not in ((), image.shape):
            raise RoboticsError(f"the picture's shape changed from {self._shape} to {image.shape} while it was filmed")
        packed = zlib.compress(np.ascontiguousarray(image).tobytes(), level=1)
        self._file.write(packed)
        self._sizes.append(len(packed))
        self._shape = image.shape

    def __len__(self) -> int:
        return len(self._sizes)

    def __iter__(self) -> Iterator[np.ndarray]:
        self._file.seek(0)
        for size in self._sizes:
            yield np.frombuffer(zlib.decompress(self._file.read(size)), np.uint8).reshape(self._shape)

    def __enter__(self) -> "FrameSpool":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._file.close()
