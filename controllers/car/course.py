r"""A course: the way of the middle of the rear axle, in stretches between changes of gear, with a speed everywhere.

Each stretch is a curve whose curvature is linear between its nodes (lines, arcs and the clothoids that join them), so
that a steering wheel of finite speed can follow it. Its speed profile is the fastest within the limits of speed,
acceleration, and side acceleration :math:`v^2 |\kappa|`, found by one pass forwards and one back over
:math:`v_{i+1}^2 = v_i^2 + 2 a \Delta s`; it starts and ends at rest where the gear changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from robotics.errors import UsageError

Array = np.ndarray

#: Distance between the points of a stretch [m], and how many of them a place is looked for before and behind.
SPACING, REACH = 0.05, 60


@dataclass(frozen=True)
class Pace:
    """How fast a course is meant to be driven."""

    speed: float = 5.0  # [m/s]
    acceleration: float = 1.5  # of the profile, in both directions [m/s^2]
    side_acceleration: float = 2.5  # [m/s^2]
    start: float = 0.0  # speed at the start of the course [m/s]
    end: float = 0.0  # and at its end


@dataclass(frozen=True)
class Stretch:
    """A piece of a course driven in one gear. Arrays (m,) over the way from its start, `spacing` apart."""

    gear: Literal[1, -1]
    way: Array  # [m], from 0
    position: Array  # (m, 2) [m]
    heading: Array  # of the car, not of the motion; unwrapped [rad]
    curvature: Array  # of the car: dheading over gear d way [1/m]
    speed: Array  # >= 0 [m/s]
    time: Array  # of arrival [s]
    spacing: float = SPACING  # [m]

    @property
    def length(self) -> float:
        return float(self.way[-1])

    def at(self, way: Array) -> tuple[Array, Array, Array, Array]:
        """Position (k, 2), heading, curvature and signed velocity (k,) at places (k,); held at both ends."""
        position = np.stack([np.interp(way, self.way, self.position[:, i]) for i in (0, 1)], axis=-1)
        heading = np.interp(way, self.way, self.heading)
        velocity = self.gear * np.interp(way, self.way, self.speed)
        return position, heading, np.interp(way, self.way, self.curvature), velocity

    def ahead(self, way: float, times: Array) -> Array:
        """Places (k,) [m] that the speed profile reaches from `way` in `times` (k,) [s]."""
        return np.interp(np.interp(way, self.way, self.time) + times, self.time, self.way)

    def project(self, position: Array, near: float) -> float:
        """The place [m] nearest to `position` (2,), looked for within `REACH` points of the place `near`."""
        reach = REACH * self.spacing
        first = max(0, int((near - reach) / self.spacing))
        last = min(len(self.way), int((near + reach) / self.spacing) + 2)
        offset = position - self.position[first:last]
        nearest = first + int(np.argmin(np.einsum("ij,ij->i", offset, offset)))
        heading = self.heading[nearest]
        along = self.gear * (position - self.position[nearest]) @ [np.cos(heading), np.sin(heading)]
        return float(np.clip(self.way[nearest] + np.clip(along, -self.spacing, self.spacing), 0, self.length))


@dataclass(frozen=True)
class Course:
    """Stretches, each from where the one before it ends."""

    stretches: tuple[Stretch, ...]

    @property
    def length(self) -> float:
        return sum(stretch.length for stretch in self.stretches)


#: One gear and the (length [m], curvature at its end [1/m]) of the pieces driven in it.
Leg = tuple[Literal[1, -1], Sequence[tuple[float, float]]]


def lay_out(legs: Sequence[Leg], pace: Pace, max_curvature: float, spacing: float = SPACING) -> Course:
    """The course from the origin along x. Raises UsageError for pieces that no car of `max_curvature` can drive."""
    if not legs:
        raise UsageError("a course needs at least one leg: give (gear, [(length, curvature at its end), …])")
    position, heading, stretches = np.zeros(2), 0.0, []
    for number, (gear, pieces) in enumerate(legs):
        _check(number, gear, pieces, max_curvature, spacing)
        ends = (pace.start if number == 0 else 0.0, pace.end if number == len(legs) - 1 else 0.0)
        stretch = _stretch(gear, pieces, position, heading, pace, ends, spacing)
        stretches.append(stretch)
        position, heading = stretch.position[-1], float(stretch.heading[-1])
    return Course(tuple(stretches))


def _check(number: int, gear: int, pieces: Sequence[tuple[float, float]], max_curvature: float, spacing: float) -> None:
    if gear not in (1, -1):
        raise UsageError(f"leg {number} has gear {gear}: give 1 (forwards) or -1 (backwards)")
    for length, curvature in pieces:
        if not (np.isfinite([length, curvature]).all() and length > 0):
            raise UsageError(f"leg {number} has a piece of length {length} and curvature {curvature}: give real ones")
        if abs(curvature) > max_curvature:
            raise UsageError(
                f"leg {number} has curvature {curvature} 1/m; the car turns at most {max_curvature:.3g}: "
                "make the radius larger"
            )
    if sum(length for length, _ in pieces) < 10 * spacing:
        raise UsageError(f"leg {number} is shorter than {10 * spacing:g} m: leave it out or make it longer")


def _stretch(
    gear: Literal[1, -1],
    pieces: Sequence[tuple[float, float]],
    position: Array,
    heading: float,
    pace: Pace,
    ends: tuple[float, float],
    spacing: float,
) -> Stretch:
    lengths, curvatures = zip(*pieces, strict=True)
    nodes = np.concatenate([[0.0], np.cumsum(lengths)])
    way = np.linspace(0, nodes[-1], round(nodes[-1] / spacing) + 1)
    ds = way[1]
    # the first piece has the curvature of its end when it is an arc that begins at a gear change
    curvature = np.interp(way, nodes, [curvatures[0] if len(pieces) == 1 else 0.0, *curvatures])
    turned = heading + gear * np.concatenate([[0.0], np.cumsum((curvature[1:] + curvature[:-1]) / 2 * ds)])
    middle = (turned[1:] + turned[:-1]) / 2
    steps = gear * ds * np.stack([np.cos(middle), np.sin(middle)], axis=-1)
    points = position + np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    speed = _speed_profile(curvature, float(ds), pace, ends)
    # between two points that are both at rest nothing moves; elsewhere the mean speed is exact for a constant pull
    time = np.concatenate([[0.0], np.cumsum(2 * ds / np.maximum(speed[1:] + speed[:-1], 1e-3))])
    return Stretch(gear, way, points, turned, curvature, speed, time, spacing)


def _speed_profile(curvature: Array, ds: float, pace: Pace, ends: tuple[float, float]) -> Array:
    limit = np.minimum(pace.speed, np.sqrt(pace.side_acceleration / np.maximum(np.abs(curvature), 1e-6)))
    limit[0], limit[-1] = min(limit[0], ends[0]), min(limit[-1], ends[1])
    # v_{i+1}^2 <= v_i^2 + 2 a ds: what is left of each limit once the climb towards it is taken off
    climb = 2 * pace.acceleration * ds * np.arange(len(limit))
    squares = np.minimum.accumulate(limit**2 - climb) + climb
    squares = (np.minimum.accumulate(squares[::-1] - climb) + climb)[::-1]
    return np.sqrt(np.maximum(squares, 0.0))
