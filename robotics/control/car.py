"""The simulated car on its courses, driven by model-predictive control that knows only a single-track model of it."""

import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from robotics.control import overlay
from robotics.control.session import rms, settled
from robotics.control.trial import Conditions, Trial
from robotics.controllers.car.course import Course, Leg, Pace, lay_out
from robotics.controllers.car.driver import CarState, Driver
from robotics.controllers.car.estimator import CarEstimator, CarMeasurement
from robotics.controllers.car.model import CarParameters, DynamicBicycle, KinematicBicycle, SingleTrack
from robotics.controllers.car.mpc import CarMPC, CarMPCSettings
from robotics.controllers.qp import GuardedSolver
from robotics.envs.robots.car import (
    CAR,
    TRACK,
    WHEEL_RADIUS,
    WHEELS,
    car_scene,
    steering_angle,
    wheel_angles,
    wheel_torques,
)

Array = np.ndarray

PERIOD_S = 0.02

#: A winding road, a turn in three moves at its end, and the way back out.
WINDING: tuple[Leg, ...] = (
    (1, [(8, 0.0), (6, 0.10), (8, 0.10), (10, -0.12), (10, -0.12), (10, 0.14), (9, 0.14), (8, 0.0), (4, 0.0)]),
    (-1, [(3, 0.16), (7, 0.16), (3, 0.0), (2, 0.0)]),
    (1, [(3, 0.15), (6, 0.15), (6, -0.10), (12, -0.10), (8, 0.08), (10, 0.08), (6, 0.0), (4, 0.0)]),
)
#: Past a gap, back into it, out again to straighten up, back, and forwards into the lane.
PARKING: tuple[Leg, ...] = (
    (1, [(6, 0.0), (3, 0.0), (2.5, 0.12), (3, 0.12), (2.5, 0.0)]),
    (-1, [(2.5, -0.19), (4.5, -0.19), (2.5, 0.0), (1.0, 0.0)]),
    (1, [(1.5, 0.12), (1.0, 0.12), (1.5, 0.0)]),
    (-1, [(2.0, -0.15), (1.5, -0.15), (2.0, 0.0), (2.0, 0.0)]),
    (1, [(2.0, 0.0), (2.5, -0.19), (5.0, -0.19), (2.5, 0.0), (8.0, 0.0)]),
)
#: A fast circuit whose bends are tighter than 0.8 g allows at the speed that is asked for.
LIMIT: tuple[Leg, ...] = (
    (
        1,
        [
            (25, 0.0),
            (10, 0.045),
            (26, 0.045),
            (10, 0.0),
            (12, 0.0),
            (10, -0.05),
            (36, -0.05),
            (12, 0.0),
            (15, 0.0),
            (8, 0.06),
            (12, -0.06),
            (12, 0.06),
            (8, 0.0),
            (30, 0.0),
        ],
    ),
)


@dataclass(frozen=True)
class CarTask:
    """A course, its pace, and the model that its driver plans with."""

    legs: tuple[Leg, ...]
    pace: Pace
    model: type[SingleTrack]
    mpc: CarMPCSettings


TASKS = {
    "track": CarTask(WINDING, Pace(speed=6.0), KinematicBicycle, CarMPCSettings()),
    "parking": CarTask(
        PARKING, Pace(speed=2.0, acceleration=0.8, side_acceleration=1.0), KinematicBicycle, CarMPCSettings()
    ),
    "limit": CarTask(
        LIMIT,
        Pace(speed=15.0, acceleration=4.0, side_acceleration=11.0, start=13.0, end=0.0),
        DynamicBicycle,
        CarMPCSettings(horizon=20, step_s=0.075, along_weight=0.02, speed_weight=0.1),
    ),
}


def lay_out_task(task: CarTask) -> Course:
    """The course of a task, checked against what the car can drive."""
    return lay_out(task.legs, task.pace, float(np.tan(CAR.max_steer) / CAR.wheelbase))


class CarSession:
    """A car that drives a course."""

    camera = "track"

    def __init__(self, trial: Trial) -> None:
        self.trial, self.period_s = trial, PERIOD_S
        task = TASKS[trial.task]
        model = task.model(CarParameters())
        self.driver = Driver(lay_out_task(task), CarMPC(model, task.mpc, GuardedSolver(trial.solver)), PERIOD_S)
        self.plant = CarPlant(trial.conditions, np.random.default_rng(trial.seed))
        self.model, self.data = self.plant.model, self.plant.data
        self.plant.place(task.pace.start)
        self.estimator: CarEstimator | None = None
        if trial.state == "estimated":
            self.estimator = CarEstimator(PERIOD_S)
            self.estimator.reset(self.plant.state())
        self.timing_ms: defaultdict[str, list[float]] = defaultdict(list)
        self.limits_exceeded = 0
        self._deviations: list[Array] = []
        self._velocities: list[Array] = []
        self._side: list[float] = []
        self._slack: list[float] = []
        self._estimate_errors: list[Array] = []

    def tick(self) -> None:
        state = self.plant.state()
        measured = self.plant.measure() if self.estimator is not None else None
        started = time.perf_counter()
        if self.estimator is not None and measured is not None:
            truth, state = state, self.estimator.update(measured)
            self.timing_ms["estimator"].append((time.perf_counter() - started) * 1e3)
            self._estimate_errors.append(state.position - truth.position)
        acceleration, steer = self.driver.command(state)
        self.timing_ms["tick"].append((time.perf_counter() - started) * 1e3)
        for name, values in self.driver.timing_ms.items():
            self.timing_ms[name] += values
        self.driver.timing_ms.clear()
        self.limits_exceeded += self.plant.drive(acceleration, steer)
        state = self.plant.state()
        off = self.driver.deviation(state)
        self._deviations.append(np.array([off.across, off.heading, off.speed]))
        self._velocities.append(np.array([state.speed, state.side_speed, state.turn]))
        self._side.append(state.speed * state.turn)
        self._slack.append(self.driver.motion.slack if self.driver.motion else 0.0)

    def fell(self) -> bool:
        """Off its course by more than 5 m, or on its roof."""
        return bool(abs(self._deviations[-1][0]) > 5.0 or self.data.xmat[self.plant.car].reshape(3, 3)[2, 2] < 0.5)

    def draw(self, scene: mujoco.MjvScene) -> None:
        """The course, the horizon, and the car's place on its course."""
        for stretch in self.driver.course.stretches:
            colour = overlay.TARGET if stretch.gear > 0 else overlay.FORCE
            overlay.line(scene, _on_the_road(stretch.position[::10], 0.02), colour)
        if self.driver.motion is not None:
            overlay.path(scene, _on_the_road(self.driver.motion.states[:, :2], 0.06), overlay.PLAN, 0.08)

    def faults(self) -> dict[str, int]:
        return self.driver.faults.as_dict()

    def results(self) -> dict[str, Any]:
        """How the car kept to its course [m, rad, m/s^2]; `estimate_rms` is of the position (2,) [m]."""
        off = rms(settled(self._deviations, self.period_s))
        estimated = self.estimator is not None
        return {
            "velocity_mean": settled(self._velocities, self.period_s).mean(axis=0).tolist(),
            "tracking_rms": dict(zip(("cross_track", "heading", "speed"), off, strict=True)),
            "estimate_rms": rms(settled(self._estimate_errors, self.period_s)) if estimated else None,
            "cross_track_max": float(np.abs(np.array(self._deviations)[:, 0]).max()),
            "side_acceleration_max": float(np.abs(self._side).max()),
            "slack_max": float(max(self._slack)),
            "slack_ticks": int((np.array(self._slack) > 1e-3).sum()),
            "gear_changes": self.driver.stretch_number,
            "finished": self.driver.finished,
            "position": self.data.qpos[:3].tolist(),
        }


class CarPlant:
    """The car in MuJoCo: an acceleration and a steering angle in, its true state and what its sensors say out."""

    #: Satellite fixes every so many ticks, and standard deviations of fixes [m], wheel speeds [m/s] and gyro [rad/s].
    FIX_EVERY, FIX_NOISE, WHEEL_NOISE, TURN_NOISE = 5, 0.02, 0.02, 0.002

    def __init__(self, conditions: Conditions, rng: np.random.Generator) -> None:
        self.conditions, self._rng = conditions, rng
        self.model = car_scene(conditions.friction).compile()
        self.data = mujoco.MjData(self.model)
        self.car = self.model.body("car").id
        self._steer_servos = [self.model.actuator(f"{wheel}_steer").id for wheel in ("FL", "FR")]
        self._motors = [self.model.actuator(f"{wheel}_torque").id for wheel in WHEELS]
        self._steer_q = [self.model.joint(f"{wheel}_steer").qposadr[0] for wheel in ("FL", "FR")]
        self._spin_v = [self.model.joint(f"{wheel}_spin").dofadr[0] for wheel in WHEELS]
        self._substeps = round(PERIOD_S / self.model.opt.timestep)
        self._steer, self._ticks = 0.0, 0
        towards = conditions.push_towards
        self._push = conditions.push / conditions.PUSH_S * np.array([np.cos(towards), np.sin(towards), 0.0])

    def place(self, speed: float) -> None:
        """Put the rear axle at the origin, off by up to 5 cm and a hundredth of a radian, rolling at `speed` [m/s]."""
        x, y, heading = self._rng.uniform(-1, 1, 3) * [0.05, 0.05, 0.01]
        self.data.qpos[:2] = [x + CAR.rear * np.cos(heading), y + CAR.rear * np.sin(heading)]
        self.data.qpos[3:7] = [np.cos(heading / 2), 0, 0, np.sin(heading / 2)]
        self.data.qvel[:2] = [speed * np.cos(heading), speed * np.sin(heading)]
        self.data.qvel[self._spin_v] = speed / WHEEL_RADIUS
        mujoco.mj_forward(self.model, self.data)

    def state(self) -> CarState:
        """The true state now."""
        R = self.data.xmat[self.car].reshape(3, 3)
        heading = float(np.arctan2(R[1, 0], R[0, 0]))
        c, s = np.cos(heading), np.sin(heading)
        vx, vy = self.data.qvel[:2]
        position = self.data.qpos[:2] - CAR.rear * np.array([c, s])
        turn = float((R @ self.data.qvel[3:6])[2])
        steer = float(steering_angle(*self.data.qpos[self._steer_q]))
        return CarState(position, heading, float(c * vx + s * vy), float(c * vy - s * vx), turn, steer)

    def measure(self) -> CarMeasurement:
        """What the car's own sensors say."""
        truth, rng = self.state(), self._rng
        # the circumference of a steered wheel runs along the wheel, not along the car, and at its own distance
        half, turn = np.array([1, -1]) * TRACK["F"] / 2, truth.turn
        spin = self.data.qvel[self._spin_v] * WHEEL_RADIUS + rng.normal(0, self.WHEEL_NOISE, 4)
        along = spin * [*np.cos(self.data.qpos[self._steer_q]), 1.0, 1.0] + turn * np.tile(half, 2)
        self._ticks += 1
        fix = None
        if self._ticks % self.FIX_EVERY == 0:
            fix = truth.position + rng.normal(0, self.FIX_NOISE, 2)
        gyro = float(self.data.sensor("gyro").data[2]) + rng.normal(0, self.TURN_NOISE)
        return CarMeasurement(along, gyro, truth.steer, fix)

    def drive(self, acceleration: float, steer: float) -> int:
        """One control period; 1 when a servo or a motor was asked for more than it may give, else 0."""
        exceeded = 0
        before = self._steer
        for step in range(self._substeps):
            way = (step + 1) / self._substeps
            self.data.ctrl[self._steer_servos] = wheel_angles(before + way * (steer - before))
            torque = wheel_torques(acceleration, self._along())
            over = np.abs(torque) > self.model.actuator_ctrlrange[self._motors, 1]
            exceeded |= int(over.any())
            self.data.ctrl[self._motors] = self._without_spin(torque)
            pushing = 0 <= self.data.time - self.conditions.push_at_s < self.conditions.PUSH_S
            self.data.xfrc_applied[self.car, :3] = self._push if pushing else 0.0
            mujoco.mj_step(self.model, self.data)
        self._steer = steer
        return exceeded

    def _along(self) -> float:
        R = self.data.xmat[self.car].reshape(3, 3)
        return float(R[:, 0] @ self.data.qvel[:3])

    def _without_spin(self, torque: Array) -> Array:
        """No torque on a wheel that it would make slip further: anti-lock brakes and traction control in one line."""
        slip = self.data.qvel[self._spin_v] * WHEEL_RADIUS - self._along()
        allowed = 0.5 + 0.12 * abs(self._along())
        return np.where((np.abs(slip) > allowed) & (np.sign(slip) == np.sign(torque)), 0.0, torque)


def _on_the_road(points: Array, height: float) -> Array:
    return np.column_stack([points, np.full(len(points), height)])
