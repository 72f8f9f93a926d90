"""A controller alone, without any policy: how well it tracks, how fast it is, what went wrong."""

import math
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from robotics.control.plant import Conditions, LeggedPlant
from robotics.controllers.legged.estimator import LeggedEstimator
from robotics.controllers.legged.gaits import GAITS
from robotics.controllers.legged.locomotion import Locomotion, Twist
from robotics.envs.rendering import Camera
from robotics.envs.robots.quadruped import QUADRUPED, nominal_quadruped
from robotics.errors import UsageError, unknown_name
from robotics.media.caption import Caption
from robotics.media.develop import develop
from robotics.media.spool import FrameSpool
from robotics.outputs import require_writable
from robotics.progress import progress
from robotics.versions import versions

#: Robot -> the tasks its controller knows.
TASKS = {"quadruped": tuple(GAITS)}
VIDEO_HZ, VIDEO_SIZE = 50, (480, 640)


@dataclass(frozen=True)
class Trial:
    """What is asked of which robot, for how long, under which conditions."""

    robot: str
    task: str
    twist: Twist = field(default_factory=Twist)
    seconds: float = 5.0
    seed: int = 0
    solver: str = "daqp"
    conditions: Conditions = field(default_factory=Conditions)
    state: Literal["truth", "estimated"] = "estimated"

    def __post_init__(self) -> None:
        if self.robot not in TASKS:
            raise unknown_name("robot with a controller of its own", self.robot, TASKS)
        if self.task not in TASKS[self.robot]:
            raise unknown_name(f"task of {self.robot}", self.task, TASKS[self.robot])
        if self.state not in get_args(type(self).__annotations__["state"]):
            raise unknown_name("state", self.state, ("truth", "estimated"))
        numbers = {**vars(self.twist), "seconds": self.seconds, **vars(self.conditions)}
        for name, value in numbers.items():
            if not math.isfinite(value):
                raise UsageError(f"--{name} {value} is no number")
        for name in ("seconds", "friction"):
            if numbers[name] <= 0:
                raise UsageError(f"--{name} {numbers[name]}: it must be positive")
        if self.conditions.payload < 0 or self.conditions.delay_s < 0:
            raise UsageError("--payload and --delay must not be negative")
        if self.twist != Twist() and self.task == "stand":
            raise UsageError("task stand goes nowhere: leave out --vx, --vy and --wz, or take another task")


def run_trial(trial: Trial, video: Path | None = None) -> dict[str, Any]:
    """Run `trial` and return the document of `robotics control --json`; with `video`, film it.

    Velocities and tracking errors are measured from two seconds on, when commands have been ramped up, or over the
    second half of a shorter trial.
    """
    if video is not None:
        require_writable(video.parent)
    controller = Locomotion(nominal_quadruped(), QUADRUPED, solver=trial.solver)
    plant = LeggedPlant(trial.conditions)
    plant.place(controller.model.home(), np.random.default_rng(trial.seed))
    controller.reset(plant.state())
    controller.walk(trial.task, trial.twist)
    with FrameSpool() as frames:
        log = _loop(trial, controller, plant, frames if video else None)
        if video is not None:
            develop(frames, _caption(trial, log), VIDEO_HZ, 1.0, video)
    return _document(trial, controller, log)


@dataclass
class _Log:
    """What happened, tick by tick."""

    fell: bool = False
    simulated_s: float = 0.0
    wall_s: float = 0.0
    velocities: list[np.ndarray] = field(default_factory=list)
    heights: list[float] = field(default_factory=list)
    velocity_errors: list[np.ndarray] = field(default_factory=list)
    exceeded: int = 0
    timing: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


def _loop(trial: Trial, controller: Locomotion, plant: LeggedPlant, frames: FrameSpool | None) -> _Log:
    log, period = _Log(), controller.settings.wbc_period_s
    estimator = LeggedEstimator(nominal_quadruped(), QUADRUPED, period) if trial.state == "estimated" else None
    if estimator is not None:
        estimator.reset(plant.state())
    camera = Camera(plant.model, VIDEO_SIZE, fast=False) if frames is not None else None
    ticks, model = round(trial.seconds / period), controller.model
    with progress("control", trial.seconds, "s") as bar:
        for tick in range(ticks):
            started = time.perf_counter()
            if estimator is None:
                state = plant.state()
            else:
                state = estimator.update(plant.measure(), controller.trusted_feet)
                log.timing["estimator"].append((time.perf_counter() - started) * 1e3)
                log.velocity_errors.append(state.velocity - plant.data.qvel[:3])
            torque = controller.torque(state)
            plant.step(torque)
            log.wall_s += time.perf_counter() - started
            log.simulated_s += period
            for name, value in controller.timing_ms.items():
                log.timing[name].append(value)
            controller.timing_ms.clear()
            over = (torque > model.torque_upper + 1e-9) | (torque < model.torque_lower - 1e-9)
            log.exceeded += int(over.any())
            log.velocities.append(plant.heading_velocity())
            log.heights.append(plant.height())
            if camera is not None and frames is not None and tick % round(1 / VIDEO_HZ / period) == 0:
                frames.append(camera.image(plant.data, "track"))
                bar.advance(1 / VIDEO_HZ)
            elif camera is None:
                bar.advance(period)
            if plant.fell():
                log.fell = True
                bar.finish_early()
                break
    if camera is not None:
        camera.close()
    return log


def _document(trial: Trial, controller: Locomotion, log: _Log) -> dict[str, Any]:
    period = controller.settings.wbc_period_s
    settled = min(round(2.0 / period), len(log.velocities) // 2)
    velocities = np.array(log.velocities[settled:])
    wanted = np.array([trial.twist.vx, trial.twist.vy, trial.twist.wz])
    errors = np.sqrt(((velocities - wanted) ** 2).mean(axis=0))
    height_error = np.array(log.heights[settled:]) - controller.model.home().position[2]
    return {
        "schema": 1,
        "robot": trial.robot,
        "task": trial.task,
        "command": wanted.tolist(),
        "state": trial.state,
        "estimate_rms": _rms(log.velocity_errors[settled:]),
        "conditions": vars(trial.conditions),
        "seconds": round(log.simulated_s, 3),
        "seed": trial.seed,
        "fell": log.fell,
        "velocity_mean": velocities.mean(axis=0).tolist(),
        "tracking_rms": {
            **dict(zip(("vx", "vy", "wz"), errors.tolist(), strict=True)),
            "height": float(np.sqrt((height_error**2).mean())),
        },
        "limits_exceeded": log.exceeded,
        "timing_ms": {name: _percentiles(values) for name, values in sorted(log.timing.items())},
        "missed_deadlines": int((np.array(log.timing["tick"]) > period * 1e3).sum()),
        "realtime_factor": log.simulated_s / log.wall_s,
        "faults": controller.faults.as_dict(),
        "versions": versions(),
    }


def _rms(errors: list[np.ndarray]) -> list[float] | None:
    """Error of the estimated velocity (3,) [m/s]; None when the truth was used."""
    return np.sqrt((np.array(errors) ** 2).mean(axis=0)).tolist() if errors else None


def _percentiles(values: list[float]) -> dict[str, float]:
    p50, p99 = np.percentile(values, [50, 99])
    return {"p50": round(float(p50), 4), "p99": round(float(p99), 4), "max": round(max(values), 4)}


def _caption(trial: Trial, log: _Log) -> Caption:
    t = trial.twist
    detail = f"vx {t.vx:g} m/s, vy {t.vy:g} m/s, wz {t.wz:g} rad/s · seed {trial.seed}"
    outcome = f"fell after {log.simulated_s:.1f} s" if log.fell else f"on its feet after {log.simulated_s:.1f} s"
    return Caption(f"{trial.robot}: {trial.task}", detail, outcome, not log.fell)
