"""Films for people: H.264 in MP4 that every browser plays, written frame by frame."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from robotics.errors import UsageError

#: Constant rate factor: no visible loss on rendered scenes.
QUALITY = 18


class Film:
    """An open MP4 file; `add` takes frames uint8 (h, w, 3) of one even size."""

    def __init__(self, container: av.container.OutputContainer, size: tuple[int, int], fps: Fraction) -> None:
        self._container, self._size, self._count = container, size, 0
        self._period = 1 / fps
        stream = container.add_stream("libx264", rate=fps)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"  # the one layout that all browsers decode
        stream.time_base = self._period
        stream.options = {"crf": str(QUALITY), "preset": "veryfast", "profile": "high"}
        self._stream = stream

    def add(self, image: np.ndarray) -> None:
        assert image.shape == (*self._size, 3)
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = self._count, self._period
        self._count += 1
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        self._container.mux(self._stream.encode(None))


@contextmanager
def film(path: Path, size: tuple[int, int], fps: float) -> Iterator[Film]:
    """Write `path` at `fps` frames per second. It appears when it is complete; an interrupted one leaves nothing.

    Raises UsageError for an odd `size` (height, width): yuv420p halves both.
    """
    if size[0] % 2 or size[1] % 2:
        raise UsageError(f"video size {size[0]}x{size[1]}: H.264 for browsers needs even sides")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # faststart: the index comes first, so that a browser plays before it has everything
        with av.open(str(temporary), "w", format="mp4", options={"movflags": "faststart"}) as container:
            writer = Film(container, size, Fraction(fps).limit_denominator(1000))
            yield writer
            writer.finish()
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
