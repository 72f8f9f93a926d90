"""Single images as PNG, through PyAV: no further dependency, and the same bytes every time."""

from fractions import Fraction

import av
import numpy as np


def encode_png(image: np.ndarray) -> bytes:
    """PNG of an image uint8 (h, w, 3)."""
    codec = av.CodecContext.create("png", "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.height, codec.width = image.shape[:2]
    codec.pix_fmt = "rgb24"
    codec.time_base = Fraction(1, 1)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])


def decode_image(content: bytes) -> np.ndarray:
    """The image uint8 (h, w, 3) in a PNG or JPEG. Raises ValueError when it is neither or damaged."""
    name = "mjpeg" if content[:2] == b"\xff\xd8" else "png"
    codec = av.CodecContext.create(name, "r")
    assert isinstance(codec, av.VideoCodecContext)
    try:
        frames = [*codec.decode(av.Packet(content)), *codec.decode(None)]
    except av.error.FFmpegError as error:
        raise ValueError(f"no readable {name} image ({error.strerror})") from None
    if not frames:
        raise ValueError(f"no readable {name} image")
    return frames[0].to_ndarray(format="rgb24")
