"""A circle that a hand draws, begun smoothly."""

import math
from dataclasses import dataclass

import numpy as np

from robotics.controllers.tasks import Reference

Array = np.ndarray


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
        return Reference(self.top + self.radius * np.array([0.0, s, c - 1.0]), self.quat, velocity, acceleration)
