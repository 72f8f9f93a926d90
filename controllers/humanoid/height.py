"""How far below its usual height the centre of mass shall be: in squats, or as told from tick to tick."""

import math
from dataclasses import dataclass


class Squat:
    """The centre of mass sinks by `depth` [m] and rises again, as a cosine."""

    def __init__(self, depth: float, frequency_hz: float) -> None:
        self.depth, self._omega, self._t = depth, 2 * math.pi * frequency_hz, 0.0

    def tick(self, period_s: float) -> None:
        """A period has passed."""
        self._t += period_s

    def sunk(self) -> tuple[float, float, float]:
        """By how much it has sunk [m], the speed and the acceleration of that."""
        half, omega = 0.5 * self.depth, self._omega
        c, s = math.cos(omega * self._t), math.sin(omega * self._t)
        return half * (1 - c), half * omega * s, half * omega**2 * c


@dataclass(frozen=True)
class Crouch:
    """The centre of mass is `depth` lower [m], and just now sinks with `speed` [m/s]."""

    depth: float = 0.0
    speed: float = 0.0

    def tick(self, period_s: float) -> None:
        """A period has passed."""

    def sunk(self) -> tuple[float, float, float]:
        """By how much it has sunk [m], the speed and the acceleration of that."""
        return self.depth, self.speed, 0.0
