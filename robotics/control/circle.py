"""A circle that a hand draws, begun smoothly."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from robotics.controllers.model import NominalModel
from robotics.controllers.reaching import reach
from robotics.controllers.tasks import Reference

Array = np.ndarray

#: A circle is followed by a hand that is off by no more than this share of its radius (rms).
FOLLOWED = 0.1
#: Tries to make a circle smaller that a hand does not reach, and by how much each; at how many places it is tried.
_SMALLER, _BY, _PLACES = 12, 0.8, 16


def turned(t: float, rate: float, ramp_s: float) -> tuple[float, float, float]:
    """Angle [rad], its rate and its acceleration `t` seconds after a start from rest; `rate` [1/s] is reached after
    `ramp_s`, with a continuous acceleration."""
    omega, u = 2 * math.pi * rate, min(max(t / ramp_s, 0.0), 1.0)
    angle = omega * (ramp_s * (u**3 - 0.5 * u**4) + max(t - ramp_s, 0.0))  # the integral of 3 u^2 - 2 u^3
    return angle, omega * (3 * u**2 - 2 * u**3), omega * 6 * u * (1 - u) / ramp_s


@dataclass(frozen=True)
class Circle:
    """Upright, in the plane of y and z, begun at its highest point after `starts_at` [s]; the hand keeps `quat`."""

    top: Array  # (3,) [m]
    quat: Array
    radius: float  # [m]
    rate: float  # [1/s], its sign the sense
    starts_at: float = 0.0

    def at(self, t: float) -> Reference:
        """The hand at time t [s]."""
        angle, rate, change = turned(t - self.starts_at, self.rate, 1.0)
        c, s = math.cos(angle), math.sin(angle)
        along, inwards = np.array([0.0, c, -s]), np.array([0.0, -s, -c])
        velocity, acceleration = np.zeros(6), np.zeros(6)
        velocity[:3] = self.radius * rate * along
        acceleration[:3] = self.radius * (change * along + rate**2 * inwards)
        return Reference(self.place(angle), self.quat, velocity, acceleration)

    def place(self, angle: float) -> Array:
        """Where it is (3,) [m] at this angle [rad] from its top."""
        return self.top + self.radius * np.array([0.0, math.sin(angle), math.cos(angle) - 1.0])


def within_reach(circle: Circle, robot: NominalModel, hand: str) -> Circle:
    """The circle, or one as large as the hand of `robot` (at home) reaches all around, however it is turned there; the
    circle itself where it reaches none of those."""
    smaller = circle
    for _ in range(_SMALLER):
        if _reached(smaller, robot, hand):
            return smaller
        smaller = replace(smaller, radius=_BY * smaller.radius)
    return circle


def _reached(circle: Circle, robot: NominalModel, hand: str) -> bool:
    q: Array | None = np.array(robot.spec.home)
    for angle in np.linspace(0, 2 * math.pi, _PLACES, endpoint=False):
        q = reach(robot, {hand: (circle.place(angle), circle.quat)}, q, turned=False)
        if q is None:
            return False
    return True


def judged(radius: float, tracking: Mapping[str, float]) -> dict[str, float]:
    """What a document says of circles: their radius [m], and by how much of it the worse hand was off (rms)."""
    worst = max(error for name, error in tracking.items() if name.endswith("position"))
    return {"radius": radius, "off": worst / radius}
