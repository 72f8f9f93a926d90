"""Noise for a policy while nothing around its robot moves: the longer that lasts, the more.

A policy without memory that sees the same again does the same again. Where that leads nowhere, the robot stands still
for ever, or its hand goes round and round without touching anything: between two things, for example, that its teacher
did there, in whose middle there is nothing to be done. A little aside the policy knows on.
"""

from torch import Tensor

from robotics.policies.normalization import Mode
from robotics.policies.schedule import MOST_NOISE

#: Nothing has moved while what is seen of the environment is no farther from what it was: root of the mean square over
#: all its numbers [standard deviations]. On PushT that is 3 mm or 2 degrees.
STILL = 0.03
#: Spans without motion that are not yet noise: PushT's teacher moves nothing for up to two while it goes around the T,
#: and from two on, its student's last nudges are spoilt.
PATIENCE = 3
#: A standard deviation of the data in normalised units: of the range, −1 to 1 with min_max, it is about so much.
DEVIATION: dict[Mode, float] = {"mean_std": 1.0, "min_max": 1 / 3}
#: More would overflow, in the end.
MOST_DOUBLINGS = 100


class Standstill:
    """Watches one episode. `noise` at first, after `PATIENCE` spans of `span` control steps without motion, and twice
    as much after each further span."""

    def __init__(self, noise: float, span: int) -> None:
        self._noise, self._span = noise, span
        self._since: tuple[int, Tensor] | None = None

    def noise(self, now: int, environment: Tensor) -> float:
        """Of the noise that is to be added at step `now`, mostly 0; `environment` (D,) in standard deviations."""
        if self._since is None or float((environment - self._since[1]).square().mean().sqrt()) > STILL:
            self._since = (now, environment)
        doublings = (now - self._since[0]) // self._span - PATIENCE
        return min(self._noise * 2.0 ** min(doublings, MOST_DOUBLINGS), MOST_NOISE) if doublings >= 0 else 0.0
