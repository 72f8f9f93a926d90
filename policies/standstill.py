"""Noise for a policy whose robot stands still: the longer it stands, the more.

A policy that gives the same chunk for the same sight stays for ever where that chunk leads nowhere: between two things,
for example, that its teacher did there, in whose middle there is nothing to be done. A little aside it knows on.
"""

from torch import Tensor

from robotics.policies.normalization import Mode
from robotics.policies.schedule import MOST_NOISE

#: A robot stands still while what is seen has moved by no more than this: root of the mean square over all numbers of
#: the vector inputs [standard deviations]. From chunk to chunk it is 0.33 or more on PushT while all goes well, and at
#: most 0.13 where the pusher has come down on the T and stays.
STILL = 0.2
#: A standard deviation of the data in normalised units: of the range, −1 to 1 with min_max, it is about so much.
DEVIATION: dict[Mode, float] = {"mean_std": 1.0, "min_max": 1 / 3}
#: More would overflow, in the end.
MOST_DOUBLINGS = 100


class Standstill:
    """Watches one episode. `noise` at first, after `span` control steps without motion, and twice as much after each
    further span."""

    def __init__(self, noise: float, span: int) -> None:
        self._noise, self._span = noise, span
        self._since: tuple[int, Tensor] | None = None

    def noise(self, now: int, seen: Tensor) -> float:
        """Of the noise that is to be added at step `now` to `seen` (D,), inputs in standard deviations; mostly 0."""
        if self._since is None or float((seen - self._since[1]).square().mean().sqrt()) > STILL:
            self._since = (now, seen)
        spans = (now - self._since[0]) // self._span
        return min(self._noise * 2.0 ** min(spans - 1, MOST_DOUBLINGS), MOST_NOISE) if spans else 0.0
