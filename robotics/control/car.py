"""The simulated car on its courses, driven by model-predictive control that knows only a single-track model of it."""

import time
from collections import defaultdict
from typing import Any

import mujoco
import numpy as np

from robotics.control import overlay
from robotics.control.car_plant import EMBEDDED, PERIOD_S, CarPlant, chassis_of
from robotics.control.courses import TASKS, fitted, lay_out_task
from robotics.control.session import rms, settled
from robotics.control.trial import Trial
from robotics.controllers.car.driver import Driver
from robotics.controllers.car.estimator import CarEstimator, CarNoise
from robotics.controllers.car.mpc import CarMPC
from robotics.controllers.qp import GuardedSolver

Array = np.ndarray


class CarSession:
    """A car that drives a course drawn to its size."""

    def __init__(self, trial: Trial) -> None:
        self.trial, self.period_s = trial, PERIOD_S
        machine = trial.machine() or EMBEDDED
        self.chassis = chassis_of(machine)
        task = fitted(TASKS[trial.task], self.chassis)
        car, self.scale = self.chassis.car, task.scale
        mpc = CarMPC(task.model(car), task.mpc, GuardedSolver(trial.solver))
        self.driver = Driver(lay_out_task(task, car), mpc, PERIOD_S, self.scale)
        self.plant = CarPlant(trial.conditions, np.random.default_rng(trial.seed), machine, self.chassis, self.scale)
        self.model, self.data, self.camera = self.plant.model, self.plant.data, self.plant.camera
        self.plant.place(task.pace.start)
        self.estimator: CarEstimator | None = None
        if trial.state == "estimated":
            self.estimator = CarEstimator(PERIOD_S, car, CarNoise().scaled(self.scale))
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
        """Off its course by more than 5 m (to scale), or on its roof."""
        lost = not abs(self._deviations[-1][0]) <= 5.0 * self.scale.length
        return bool(lost or self.plant.upright() < 0.5)

    def draw(self, scene: mujoco.MjvScene) -> None:
        """The course, the horizon, and the car's place on its course."""
        size = self.chassis.size
        for stretch in self.driver.course.stretches:
            colour = overlay.TARGET if stretch.gear > 0 else overlay.FORCE
            overlay.line(scene, _on_the_road(stretch.position[::10], 0.02 * size), colour)
        if self.driver.motion is not None:
            way = _on_the_road(self.driver.motion.states[:, :2], 0.06 * size)
            overlay.path(scene, way, overlay.PLAN, 0.08 * size)

    def faults(self) -> dict[str, int]:
        return self.driver.faults.as_dict()

    def results(self) -> dict[str, Any]:
        """How the car kept to its course [m, rad, m/s^2]; `estimate_rms` is of the position (2,) [m].

        For a robot file, `car` says what its model was read as, and how much smaller its course is.
        """
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
            "position": self.plant.position().tolist(),
            **({"car": self._read()} if self.chassis.rest is not None else {}),
        }

    def _read(self) -> dict[str, Any]:
        chassis = self.chassis
        return {
            **vars(chassis.car),
            "wheelbase": chassis.car.wheelbase,
            "tracks": chassis.tracks,
            "wheel_radii": chassis.radii.tolist(),
            "drive_share": chassis.drive_share.tolist(),
            "top_speed": chassis.top_speed if np.isfinite(chassis.top_speed) else None,
            "course_scale": self.scale.length,
        }


def _on_the_road(points: Array, height: float) -> Array:
    return np.column_stack([points, np.full(len(points), height)])
