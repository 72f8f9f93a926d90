"""Camera streams as H.264 in MP4: short groups of pictures for random access, and exact timestamps."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import numpy as np

from robotics.errors import DataError

CODEC, PIXEL_FORMAT = "h264", "yuv420p"
#: A key frame every second frame, as LeRobot writes: training reads frames in random order.
GROUP_OF_PICTURES = 2
#: Constant rate factor: about 40 dB on rendered scenes.
QUALITY = 20
#: LeRobot refuses frames further than this from frame_index / fps [s].
TOLERANCE_S = 1e-4


def write_video(path: Path, images: np.ndarray, fps: int) -> None:
    """Write images uint8 (T, h, w, 3) as frame t at exactly t / fps. The same images give the same bytes."""
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=fps)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = images.shape[1:3]
        stream.pix_fmt = PIXEL_FORMAT
        stream.time_base = Fraction(1, fps)
        stream.codec_context.thread_count = 1  # x264's output depends on how many threads share a picture
        stream.options = {"crf": str(QUALITY), "g": str(GROUP_OF_PICTURES), "bf": "0", "preset": "veryfast"}
        stream.options |= {"x264-params": "mbtree=0"}  # it looks at memory that others have left, now and then
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def encode_video(images: np.ndarray, fps: int) -> bytes:
    """The file that `write_video` writes."""
    with TemporaryDirectory() as folder:  # the muxer goes over a file on the disk twice, to put its index first
        path = Path(folder, "video.mp4")
        write_video(path, images, fps)
        return path.read_bytes()


def read_frames(path: Path, fps: int, first: int = 0) -> Iterator[tuple[int, np.ndarray]]:
    """Pairs (frame number, image uint8 (h, w, 3)) from frame `first` on, in the order of time; decodes as it goes.

    Raises DataError naming the file when it is missing, no video, damaged, or when a frame is off the grid of 1 / fps.
    """
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            if first and stream.time_base:  # to the key frame before it: a file of LeRobot holds many episodes
                container.seek(int(first / fps / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                number = _number(path, frame, fps)
                if number >= first:
                    yield number, frame.to_ndarray(format="rgb24")
    except (av.error.FFmpegError, IndexError, OSError) as error:
        raise _unreadable(path, error) from None


def count_frames(path: Path) -> int:
    """Frames that the file announces, without decoding them; DataError when it is no video."""
    try:
        with av.open(str(path)) as container:
            return container.streams.video[0].frames
    except (av.error.FFmpegError, IndexError, OSError) as error:
        raise _unreadable(path, error) from None


def video_info(height: int, width: int, fps: int) -> dict[str, Any]:
    """What LeRobot keeps about a stream under a feature's `info`."""
    return {
        "video.height": height,
        "video.width": width,
        "video.codec": CODEC,
        "video.pix_fmt": PIXEL_FORMAT,
        "video.is_depth_map": False,
        "video.fps": fps,
        "video.channels": 3,
        "has_audio": False,
    }


def _number(path: Path, frame: av.VideoFrame, fps: int) -> int:
    if frame.time is None:
        raise DataError(f"{path}: a frame has no timestamp")
    number = round(frame.time * fps)
    if abs(frame.time - number / fps) > TOLERANCE_S:
        raise DataError(f"{path}: a frame at {frame.time:.6f} s is on no multiple of 1/{fps} s")
    return number


def _unreadable(path: Path, error: Exception) -> DataError:
    if not path.exists():
        return DataError(f"{path}: no such file")
    reason = getattr(error, "strerror", None) or "it holds no video stream"
    return DataError(f"{path}: not a readable video ({reason})")
