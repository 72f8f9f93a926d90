"""How far below its usual height the centre of mass shall be: not at all, or in squats."""

import math


class Squat:
    """The centre of mass sinks by `depth` [m] and rises again, as a cosine."""

    def __init__(self, depth: float = 0.0, frequency_hz: float = 0.25) -> None:
        self.depth, self._omega, self._t = depth, 2 * math.pi * frequency_hz, 0.0

    def tick(self, period_s: float) -> None:
        """A period has passed."""
        self._t += period_s

    def sunk(self) -> tuple[float, float, float]:
        """By how much it has sunk [m], the speed and the acceleration of that."""
        half, omega = 0.5 * self.depth, self._omega
        c, s = math.cos(omega * self._t), math.sin(omega * self._t)
        return half * (1 - c), half * omega * s, half * omega**2 * c
