"""The finger that pushes a T to its place, planned by sampling through the contacts."""

import time
from collections import defaultdict
from typing import Any

import mujoco
import numpy as np

from robotics.control import overlay
from robotics.control.session import rms, settled
from robotics.control.trial import Trial
from robotics.controllers.sampling import SamplingMPC
from robotics.envs.pushing import SETTINGS, cost, proposals
from robotics.envs.robots.push_t import GOAL, REACH, pose_errors, push_t_scene, random_start

Array = np.ndarray

PERIOD_S = 0.02
#: Control periods between plans.
PLAN_EVERY = 5
#: What counts as being in place [m], [rad].
NEAR, TURNED = 0.02, np.radians(10)


class PusherSession:
    """A finger and a T on a table. The physics waits for the planner.

    Estimated, the T's pose comes from a camera, with noise, and is believed to rest whenever it is looked at: dry
    friction stops it within millimetres, and differences of noisy poses would say less.
    """

    camera = "track"
    #: Standard deviations of what the camera says of the T [m], [rad].
    POSITION_NOISE, ANGLE_NOISE = 0.001, 0.005

    def __init__(self, trial: Trial) -> None:
        self.trial, self.period_s = trial, PERIOD_S
        spec = push_t_scene()
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        self._rng = np.random.default_rng(trial.seed)
        self.data.qpos[:] = random_start(self._rng)
        mujoco.mj_forward(self.model, self.data)
        self.planner = SamplingMPC(spec.copy().compile(), cost, SETTINGS, trial.seed, proposals)
        self.planner.reset(trial.seed, self.data.qpos[:2])
        self._substeps = round(PERIOD_S / self.model.opt.timestep)
        self._ticks = 0
        self.timing_ms: defaultdict[str, list[float]] = defaultdict(list)
        self.limits_exceeded = 0
        self.in_place_at: float | None = None
        self._errors: list[Array] = []
        self._velocities: list[Array] = []

    def tick(self) -> None:
        qpos, qvel = self._seen()
        started = time.perf_counter()
        phase = self._ticks % PLAN_EVERY
        if phase == 0:
            control = self.planner.plan(qpos, qvel, PLAN_EVERY * PERIOD_S if self._ticks else 0.0)
            self.timing_ms["mpc"].append((time.perf_counter() - started) * 1e3)
        else:
            control = self.planner.control(phase * PERIOD_S)
        self.timing_ms["tick"].append((time.perf_counter() - started) * 1e3)
        self._ticks += 1
        self.limits_exceeded += int((np.abs(control) > REACH + 1e-9).any())
        self.data.ctrl[:] = control
        mujoco.mj_step(self.model, self.data, self._substeps)
        errors = np.array(pose_errors(self.data.qpos[2:], np.array(GOAL)))
        self._errors.append(errors)
        self._velocities.append(np.array([*self.data.qvel[:2], 0.0]))
        if self.in_place_at is None and self.in_place():
            self.in_place_at = float(self.data.time)

    def _seen(self) -> tuple[Array, Array]:
        """Positions and velocities as the planner gets them."""
        qpos, qvel = self.data.qpos.copy(), self.data.qvel.copy()
        if self.trial.state == "estimated":
            qpos[2:] += self._rng.normal(size=3) * [self.POSITION_NOISE, self.POSITION_NOISE, self.ANGLE_NOISE]
            qvel[2:] = 0.0
        return qpos, qvel

    def in_place(self) -> bool:
        """Whether the T is where it belongs now."""
        return bool(self._errors[-1][0] < NEAR and self._errors[-1][1] < TURNED)

    def fell(self) -> bool:
        """The T is out of the finger's reach."""
        return bool(np.abs(self.data.qpos[2:4]).max() > REACH + 0.1)

    def draw(self, scene: mujoco.MjvScene) -> None:
        """Where the finger means to go."""
        ahead = np.linspace(0, SETTINGS.steps * self.model.opt.timestep, 12)
        points = np.array([[*self.planner.control(t), 0.08] for t in ahead])
        overlay.path(scene, points, overlay.PLAN)
        overlay.ball(scene, points[-1], overlay.PLAN, 0.008)

    def faults(self) -> dict[str, int]:
        return self.planner.faults.as_dict()

    def results(self) -> dict[str, Any]:
        """Errors of the T's pose; `in_place_at` is when it first was in place [s], `success` whether it is now."""
        position, angle = rms(settled(self._errors, self.period_s))
        return {
            "velocity_mean": settled(self._velocities, self.period_s).mean(axis=0).tolist(),
            "tracking_rms": {"position": position, "angle": angle},
            "position_error": float(self._errors[-1][0]),
            "angle_error": float(self._errors[-1][1]),
            "in_place_at": self.in_place_at,
            "success": self.in_place(),
        }
