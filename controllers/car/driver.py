"""The driver: follows a course stretch by stretch, changes gear where the course does, and brakes when in doubt."""

import time
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from robotics.controllers.car.course import Course, Stretch
from robotics.controllers.car.model import HEADING, SPEED, STEER, CarParameters
from robotics.controllers.car.mpc import CarMPC, Motion
from robotics.controllers.car.scale import Scale
from robotics.controllers.rotation import wrapped

Array = np.ndarray


@dataclass(frozen=True)
class CarState:
    """Where the middle of the rear axle is (2,) [m], heading [rad], forward and side speed, turning rate, steering."""

    position: Array
    heading: float
    speed: float  # [m/s], negative backwards
    side_speed: float  # of the centre of mass [m/s]
    turn: float  # [rad/s]
    steer: float  # [rad]

    def vector(self, states: int) -> Array:
        """The first `states` entries of (x, y, heading, v, steer, v_y, r)."""
        full = [*self.position, self.heading, self.speed, self.steer, self.side_speed, self.turn]
        return np.array(full)[:states]


@dataclass(frozen=True)
class Deviation:
    """Of the car from its course."""

    across: float  # to the left [m]
    heading: float  # [rad]
    speed: float  # [m/s]


class Driver:
    """Turns states into accelerations and steering angles, `period_s` apart. It owns its nominal model of the car.

    A state that is no number, and a problem without solution, are counted in `faults` and answered by the last plan;
    when that has run out, by braking with the wheel held.
    """

    #: A stretch is done when the car stands this near to its end [m], slower than this [m/s].
    ARRIVED_M, STANDING = 0.15, 0.05

    def __init__(self, course: Course, mpc: CarMPC, period_s: float = 0.02, scale: Scale | None = None) -> None:
        self.course, self.mpc, self.period_s = course, mpc, period_s
        scale = scale or Scale()
        self._arrived_m, self._standing = self.ARRIVED_M * scale.length, self.STANDING * scale.speed
        self.stretch_number, self.way = 0, 0.0
        self.finished = False
        self.motion: Motion | None = None
        self.timing_ms: defaultdict[str, list[float]] = defaultdict(list)
        self._input = np.zeros(2)
        self._steer = 0.0
        self._age_s = 0.0  # of the plan

    @property
    def stretch(self) -> Stretch:
        return self.course.stretches[self.stretch_number]

    @property
    def faults(self):
        return self.mpc.solver.faults

    @property
    def car(self) -> CarParameters:
        return self.mpc.model.car

    def command(self, state: CarState) -> tuple[float, float]:
        """Acceleration [m/s^2] along the car and steering angle [rad] for the next period."""
        started = time.perf_counter()
        start = state.vector(self.mpc.model.states)
        if np.isfinite(start).all():
            self._locate(state)
            start[HEADING] = self._near(state.heading)
            nominal = self.motion.after(self.period_s) if self.motion is not None else None
            # the wheel is where the servo was sent: a measured angle would feed its lag back into the plan
            start[STEER] = np.clip(self._steer, start[STEER] - 0.05, start[STEER] + 0.05)
            plan = self.mpc.plan(start, self.stretch, self.way, self._input, nominal)
        else:
            plan = None
            self.faults.nan += 1
            self.faults.fallback_ticks += 1
        self.timing_ms["mpc"].append((time.perf_counter() - started) * 1e3)
        if plan is not None:
            self.motion, self._age_s = plan, 0.0
            self._input = plan.inputs[0]
        else:
            self._fall_back(state.speed)
        self._steer = float(np.clip(self._steer + self._input[1] * self.period_s, -self._range, self._range))
        return float(self._input[0]), self._steer

    def deviation(self, state: CarState) -> Deviation:
        """How far the car is from its course, at the place where the driver believes to be."""
        way = self.stretch.project(state.position, self.way)
        position, heading, _, velocity = self.stretch.at(np.array([way]))
        offset = state.position - position[0]
        across = float(np.cos(heading[0]) * offset[1] - np.sin(heading[0]) * offset[0])
        turned = wrapped(state.heading - heading[0])
        return Deviation(across, float(turned), state.speed - float(velocity[0]))

    @property
    def _range(self) -> float:
        return self.car.max_steer

    def _locate(self, state: CarState) -> None:
        """Find the place on the course, and change gear at the end of a stretch."""
        self.way = self.stretch.project(state.position, self.way)
        standing = abs(state.speed) < self._standing and self.stretch.speed[-1] == 0.0
        if self.stretch.length - self.way > self._arrived_m or not standing:
            return
        if self.stretch_number + 1 < len(self.course.stretches):
            self.stretch_number += 1
            self.way, self.motion = self.stretch.project(state.position, 0.0), None
        else:
            self.finished = True

    def _near(self, heading: float) -> float:
        """The same heading on the turn of the course's."""
        wanted = float(np.interp(self.way, self.stretch.way, self.stretch.heading))
        return wanted + wrapped(heading - wanted)

    def _fall_back(self, speed: float) -> None:
        self._age_s += self.period_s
        if self.motion is not None and self._age_s < self.mpc.settings.step_s * self.mpc.settings.horizon:
            self.motion = self.motion.after(self.period_s)
            self._input = self.motion.inputs[0]
            return
        slow = abs(self._last_speed(speed)) < self._standing
        braking = 0.0 if slow else -0.5 * self.car.grip * np.sign(self._last_speed(speed))
        self._input = np.array([braking, 0.0])

    def _last_speed(self, speed: float) -> float:
        """The speed, or what the last plan says of it when it is no number."""
        if np.isfinite(speed):
            return speed
        return float(self.motion.states[-1, SPEED]) if self.motion is not None else 0.0
