"""From spooled frames to a captioned film."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np

from robotics.media.caption import Caption
from robotics.media.spool import FrameSpool
from robotics.media.video import film

#: Where an environment does not say how fast it runs.
USUAL_FPS = 30.0
#: Screens show no more; a faster film drops frames instead.
MAX_FPS = 60.0
#: The last picture stays this long, so that one sees how it ended [s].
STILL_S = 1.0


def develop(frames: FrameSpool, caption: Caption, fps: float, speed: float, out: Path) -> None:
    """Write frames that were taken `fps` times per simulated second under their caption, `speed` times as fast.

    At most `MAX_FPS` of them are shown per second.
    """
    every = max(1, math.ceil(fps * speed / MAX_FPS - 1e-9))
    shown_fps = fps * speed / every
    first = next(iter(frames))
    size = (first.shape[0] + caption.strip(first.shape[1], "").shape[0], first.shape[1])
    with film(out, size, float(Fraction(shown_fps).limit_denominator(1000))) as mp4:
        for number, image in enumerate(frames):
            last = number == len(frames) - 1
            if number % every and not last:
                continue
            picture = np.concatenate([image, caption.strip(image.shape[1], f"{number / fps:.2f} s")])
            for _ in range(1 + (round(STILL_S * shown_fps) if last else 0)):
                mp4.add(picture)
