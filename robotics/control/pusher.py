"""The finger that pushes a T to its place, planned by sampling through the contacts."""

import time
from collections import defaultdict
from typing import Any

import mujoco
import numpy as np

from robotics.control import overlay
from robotics.control.session import rms, settled
from robotics.control.trial import Trial
from robotics.controllers.rotation import wrapped
from robotics.controllers.sampling import Futures, SamplingMPC, SamplingSettings
from robotics.envs.robots.push_t import (
    BAR,
    BAR_AT,
    FINGER_RADIUS,
    FINGER_SPEED,
    GOAL,
    REACH,
    STEM,
    STEM_AT,
    corners,
    pose_errors,
    push_t_scene,
    random_start,
)

Array = np.ndarray

PERIOD_S = 0.02
#: Control periods between plans.
PLAN_EVERY = 5
#: What counts as being in place [m], [rad].
NEAR, TURNED = 0.02, np.radians(10)

SETTINGS = SamplingSettings(samples=64, steps=160, knots=8, spline="linear", noise=0.06, threads=2)


def cost(futures: Futures) -> Array:
    """(samples, T): how far the corners of the T are from their places [m], and a little, the finger from the T."""
    finger, pose = futures["qpos"][..., :2], futures["qpos"][..., 2:]
    away = np.linalg.norm(corners(pose) - corners(np.array(GOAL)), axis=-1).sum(axis=-1)
    idle = np.linalg.norm(finger - pose[..., :2], axis=-1)
    running = away + 0.02 * idle
    running[:, -1] += 0.5 * running.shape[1] * away[:, -1]
    return running


def proposals(qpos: Array, times: Array, rng: np.random.Generator, count: int = 40) -> Array:
    """Knots (count, K, 2) of ways round the T to a point of its outline and on into it."""
    return np.stack([_way(qpos[:2], qpos[2:], rng, times) for _ in range(count)])


def _way(finger: Array, pose: Array, rng: np.random.Generator, times: Array) -> Array:
    """A way at a random speed, (len(times), 2): round the T on a circle that is clear of it, then straight in."""
    point, outwards = _outline(pose, rng)
    before, after = point + (FINGER_RADIUS + 0.015) * outwards, point - rng.uniform(0, 0.12) * outwards
    after = after + rng.uniform(-0.04, 0.04) * np.array([-outwards[1], outwards[0]])
    ways = [finger]
    if rng.random() < 0.8:
        ways += _round(finger, before, pose[:2], 0.165)
    corner_points = np.stack([*ways, before, after])
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(corner_points, axis=0), axis=1))])
    along = np.maximum(times, 0.0) * rng.uniform(0.4, 1.0) * FINGER_SPEED
    return np.stack([np.interp(along, lengths, corner_points[:, axis]) for axis in (0, 1)], axis=-1)


def _round(start: Array, end: Array, centre: Array, radius: float) -> list[Array]:
    first, last = (np.arctan2(*(p - centre)[::-1]) for p in (start, end))
    turn = wrapped(last - first)
    if abs(turn) < 0.3:
        return []
    angles = first + turn * np.linspace(0, 1, 5)
    return [centre + radius * np.array([np.cos(angle), np.sin(angle)]) for angle in angles]


def _outline(pose: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """A random point on the outline of the T and the direction out of it, in the world."""
    half, at = ((BAR, BAR_AT), (STEM, STEM_AT))[int(rng.integers(2))]
    side, place = int(rng.integers(4)), rng.uniform(-1, 1)
    axis, sign = side % 2, 1 if side < 2 else -1
    outwards = np.zeros(2)
    outwards[axis] = sign
    point = np.array([0.0, at]) + outwards * half + place * np.abs(outwards[::-1]) * half
    c, s = np.cos(pose[2]), np.sin(pose[2])
    R = np.array([[c, -s], [s, c]])
    return pose[:2] + R @ point, R @ outwards


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
