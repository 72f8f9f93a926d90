"""A simulated robot with two hands under its controller, whatever its job is."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import mujoco
import numpy as np

from robotics.control.camera import NAME
from robotics.control.hands_plant import HandsPlant
from robotics.control.robots import is_file
from robotics.control.session import beyond_limits, rms
from robotics.control.trial import Trial
from robotics.controllers.arms import ArmSettings
from robotics.controllers.bimanual import BimanualCerebellum
from robotics.controllers.encoders import EncoderFilter
from robotics.controllers.rotation import log_between
from robotics.controllers.tasks import Reference

Array = np.ndarray

#: How far off the accelerations of the joints are that the encoders' filter is told [rad/s^2, m/s^2].
AGILITY = 3.0
#: How the controller keeps clear of limits that encoders with few counts do not see.
SETTINGS = ArmSettings(hand_weight=10.0, position_margin=0.002, velocity_share=0.97)
#: The same for robots of others: their grippers are as heavy as they are, nobody knows how well they stop, and what
#: pulls at them is learned.
OTHERS = replace(SETTINGS, grip_rate=40.0, position_margin=0.01, velocity_share=0.95, observed=True)


class Job(Protocol):
    """What the hands do."""

    def plan(self) -> None:
        """Give the controller its targets, 50 times a second."""

    def note(self) -> None:
        """Look at what has become of them, after every tick."""

    def failed(self) -> bool:
        """Whether going on makes no sense."""

    def draw(self, scene: mujoco.MjvScene) -> None:
        """Add targets and plans to a picture."""

    def results(self) -> dict[str, Any]:
        """See `Session.results`."""


class HandsSession:
    """A `Session` of `plant` under `controller`; whoever makes it gives it its `job`."""

    job: Job
    camera = NAME

    def __init__(self, trial: Trial, controller: BimanualCerebellum, plant: HandsPlant) -> None:
        self.trial, self.controller, self.plant = trial, controller, plant
        self.known = not is_file(trial.robot)
        self.hands = tuple(e.name for e in controller.model.spec.end_effectors)
        self.period_s = controller.settings.wbc_period_s
        self.model, self.data = plant.model, plant.data
        home = np.array(controller.model.spec.home)
        plant.place(home)
        controller.reset(home)
        self._filter = EncoderFilter(plant.resolution, np.full(len(home), AGILITY), self.period_s)
        self._filter.reset(home)
        self._meant = np.zeros(len(home))
        self.timing_ms: defaultdict[str, list[float]] = defaultdict(list)
        self.limits_exceeded = 0
        self.peak_torque = np.zeros(len(home))
        self._ticks = 0

    def opening(self, hand: str, usual: float) -> float:
        """How far fingers shall be open: as usual with ours, as at home with those of others."""
        joint = next((j for j, name in self.controller.gripper_joints.items() if name == hand), None)
        return usual if self.known or joint is None else self.controller.model.spec.home[joint]

    @property
    def now(self) -> float:
        """Simulated time [s]."""
        return self._ticks * self.period_s

    def tick(self) -> None:
        started = time.perf_counter()
        if self.trial.state == "truth":
            q, v = self.plant.truth()
        else:
            q, v = self._filter.update(self.plant.counts(), self._meant)
        if self._ticks % 10 == 0:
            self.job.plan()
            self.timing_ms["mpc"].append((time.perf_counter() - started) * 1e3)
        before = time.perf_counter()
        torque, self._meant = self.controller.torque(q, v)
        ended = time.perf_counter()
        self.timing_ms["wbc"].append((ended - before) * 1e3)
        self.timing_ms["tick"].append((ended - started) * 1e3)
        self.plant.step(torque)
        self._ticks += 1
        self._check(torque)
        self.job.note()

    def _check(self, torque: Array) -> None:
        model, (q, v) = self.controller.model, self.plant.truth()
        self.peak_torque = np.maximum(self.peak_torque, np.abs(torque))
        self.limits_exceeded += beyond_limits(model, torque, q, v)

    def fell(self) -> bool:
        return self.job.failed()

    def draw(self, scene: mujoco.MjvScene) -> None:
        self.job.draw(scene)

    def faults(self) -> dict[str, int]:
        return self.controller.faults.as_dict()

    def results(self) -> dict[str, Any]:
        peak = np.round(self.peak_torque, 2).tolist()
        return {**self.job.results(), "peak_torque": dict(zip(self.controller.model.spec.joints, peak, strict=True))}


def hand_errors(session: HandsSession, wanted: dict[str, Reference]) -> Array:
    """Of position [m] and orientation [rad], (2, 6)."""
    rows = []
    for side, reference in wanted.items():
        position, quat = session.plant.hand(side)
        rows.append([*(reference.position - position), *log_between(quat, reference.quat)])
    return np.array(rows)


def hand_tracking(hands: Sequence[str], errors: Array) -> dict[str, float]:
    """Root mean squares of the errors (time, 2, 6) of both hands by name."""
    tracking = {}
    for number, hand in enumerate(hands):
        tracking[f"{hand}_position"] = float(np.linalg.norm(rms(errors[:, number, :3])))
        tracking[f"{hand}_orientation"] = float(np.linalg.norm(rms(errors[:, number, 3:])))
    return tracking
