"""When each foot is on the ground: periodic gaits as phase offsets and a duty factor."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from robotics.errors import UsageError, unknown_name

Array = np.ndarray


@dataclass(frozen=True)
class Gait:
    """Foot i is in stance while its phase (t / period + offsets[i]) mod 1 is below `duty`.

    On the two feet of one side or one end a body can not hold its attitude, only swing about it: such gaits leave it
    `to_the_plan`, and whole-body control corrects nothing by itself. `width` brings the feet closer together than the
    hips are, which keeps that swinging small.
    """

    name: str
    period_s: float
    duty: float
    offsets: tuple[float, ...]
    to_the_plan: bool = False
    width: float = 1.0
    lift: float = 1.0
    """How high the feet swing, as a share of the usual height."""
    running_duty: float | None = None
    """What `duty` falls to at speed: legs have to swing as fast as the body goes, and need the time for it."""
    running_from: tuple[float, float] = (0.75, 1.1)
    r"""Speeds [:math:`\sqrt{g \cdot hip\ height}`] between which it falls to that."""

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

    def paced(self, pace: float) -> "Gait":
        """The same gait, `pace` times slower."""
        return replace(self, period_s=pace * self.period_s)

    def at_speed(self, froude: float) -> "Gait":
        r"""The gait at a speed given in units of :math:`\sqrt{g \cdot hip\ height}`."""
        slow, fast = self.running_from
        if self.running_duty is None or froude <= slow:
            return self
        share = min((froude - slow) / (fast - slow), 1.0)
        duty = self.duty + share * (self.running_duty - self.duty)
        return replace(self, duty=duty, lift=self.lift * (1.0 - 0.3 * share), running_duty=None)

    def in_stance(self, times: Array | float) -> Array:
        """Whether each foot is scheduled to be on the ground at gait times (…) [s]: bool (…, feet)."""
        phases = (np.divide(times, self.period_s)[..., None] + np.array(self.offsets)) % 1.0
        return phases < self.duty

    def at(self, t: float) -> "GaitInstant":
        """Where every foot is in its cycle at gait time t [s]. Floats: four feet are too few for arrays to pay."""
        duty, period = self.duty, self.period_s
        stance, stood, flown, landing = [], [], [], []
        for offset in self.offsets:
            phase = (t / period + offset) % 1.0
            standing = phase < duty
            stance.append(standing)
            stood.append(phase / duty if standing else 1.0)
            flown.append(0.0 if standing else (phase - duty) / (1.0 - duty))
            landing.append(0.0 if standing else (1.0 - phase) * period)
        return GaitInstant(stance, stood, flown, landing)


class GaitInstant(NamedTuple):
    """Per foot (feet,): whether it is in stance, the shares of its stance and of its swing that are over, and the
    seconds until it lands (0 in stance)."""

    stance: list[bool]
    stance_progress: list[float]
    swing_progress: list[float]
    time_to_touchdown: list[float]


#: Gaits of four feet in the order front left, front right, rear left, rear right.
GAITS = {
    gait.name: gait
    for gait in (
        Gait("stand", 0.5, 1.0, (0.0, 0.0, 0.0, 0.0)),
        Gait("trot", 0.36, 0.5, (0.0, 0.5, 0.5, 0.0), running_duty=0.4),
        Gait("walk", 0.6, 0.75, (0.0, 0.5, 0.75, 0.25), running_duty=0.6, running_from=(0.2, 0.32)),
        Gait("pace", 0.33, 0.5, (0.0, 0.5, 0.0, 0.5), to_the_plan=True, width=0.2),
        Gait("bound", 0.27, 0.5, (0.0, 0.0, 0.5, 0.5), to_the_plan=True),
        Gait("gallop", 0.3, 0.5, (0.0, 0.1, 0.5, 0.6), lift=0.8),
    )
}


def gait(name: str) -> Gait:
    """The gait of that name; UsageError with a did-you-mean."""
    if name not in GAITS:
        raise unknown_name("gait", name, GAITS)
    return GAITS[name]
