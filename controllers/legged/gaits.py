"""When each foot is on the ground: periodic gaits as phase offsets and a duty factor."""

from dataclasses import dataclass

import numpy as np

from robotics.errors import UsageError, unknown_name

Array = np.ndarray


@dataclass(frozen=True)
class Gait:
    """Foot i is in stance while its phase (t / period + offsets[i]) mod 1 is below `duty`."""

    name: str
    period_s: float
    duty: float
    offsets: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.period_s <= 0 or not 0 < self.duty <= 1:
            raise UsageError(f"gait {self.name}: period {self.period_s} s and duty {self.duty} make no gait")

    @property
    def stance_s(self) -> float:
        """How long a foot stays on the ground [s]."""
        return self.duty * self.period_s

    @property
    def swing_s(self) -> float:
        return self.period_s - self.stance_s

    def phases(self, t: float) -> Array:
        """Phase of every foot in [0, 1) at gait time t [s]."""
        return (t / self.period_s + np.array(self.offsets)) % 1.0

    def in_stance(self, t: float) -> Array:
        """Whether each foot is scheduled to be on the ground at gait time t, bool (feet,)."""
        return self.phases(t) < self.duty

    def swing_progress(self, t: float) -> Array:
        """Fraction of the swing done, 0 … 1; 0 for feet in stance."""
        phases = self.phases(t)
        if self.duty == 1.0:
            return np.zeros_like(phases)
        return np.clip((phases - self.duty) / (1.0 - self.duty), 0.0, 1.0) * (phases >= self.duty)

    def time_to_touchdown(self, t: float) -> Array:
        """Seconds until each foot lands; 0 for feet in stance."""
        phases = self.phases(t)
        return np.where(phases < self.duty, 0.0, (1.0 - phases) * self.period_s)


#: Gaits of four feet in the order front left, front right, rear left, rear right.
GAITS = {
    gait.name: gait
    for gait in (
        Gait("stand", 0.5, 1.0, (0.0, 0.0, 0.0, 0.0)),
        Gait("trot", 0.36, 0.5, (0.0, 0.5, 0.5, 0.0)),
        Gait("walk", 0.6, 0.75, (0.0, 0.5, 0.75, 0.25)),
    )
}


def gait(name: str) -> Gait:
    """The gait of that name; UsageError with a did-you-mean."""
    if name not in GAITS:
        raise unknown_name("gait", name, GAITS)
    return GAITS[name]
