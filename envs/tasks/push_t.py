"""Push-T: the 7-DoF arm pushes a T to its place with a round finger, planned by sampling through the contacts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np

from robotics.controllers.arms import HandTarget
from robotics.controllers.sampling import SamplingMPC
from robotics.envs.base import Array, Expert, Observation
from robotics.envs.hands import HandExpert
from robotics.envs.manipulation import HAND, ArmTask, add_picture, lying, observed_pose, speed
from robotics.envs.pick import pointing_down
from robotics.envs.pushing import SETTINGS, cost, overlap, proposals
from robotics.envs.rewards import tolerance
from robotics.envs.robots.panda import TIP, TOUCHING
from robotics.envs.robots.push_t import (
    BAR,
    BAR_AT,
    FINGER_RADIUS,
    MASS,
    STEM,
    STEM_AT,
    TABLE_FRICTION,
    corners,
    push_t_scene,
)
from robotics.envs.state import Simulation, State, measured_once

# -- constants ------------------------------------------------------------------------------------------------------

#: Where the T belongs: x, y [m], angle [rad].
GOAL = np.array([0.5, 0.0, -np.pi / 4])
#: Starts of the T: this far from its place along each axis [m], at any angle.
STRAY = 0.12
#: How much of its place the T must cover; at rest [m/s].
COVERED, RESTING = 0.95, 0.02
#: Half the height of the T [m]; how far the pusher's end is below the fingertips, and above the table [m].
HALF_HEIGHT, LENGTH, ABOVE = 0.02, 0.09, 0.012
#: The fingers hold the pusher this far from the middle [m].
GRIP = 0.008


# -- success: a pure function of the state --------------------------------------------------------------------------


@dataclass(frozen=True)
class PushState:
    """What success depends on: of one simulation, or of n."""

    covered: Array | float  # part of its place that the T covers
    height: Array | float  # of the T's middle above where it lies flat [m]
    speed: Array | float  # of the T [m/s]


def in_place(state: PushState) -> Array:
    """The T covers its place, flat on the table and at rest: bool, (n,) or ()."""
    flat = np.less_equal(np.abs(state.height), 0.005) & np.less_equal(state.speed, RESTING)
    return np.greater_equal(state.covered, COVERED) & flat


# -- task -----------------------------------------------------------------------------------------------------------


class PushT(ArmTask):
    """The T of the PushT benchmark at 1:2.5, on a table with friction; a round pusher sits between the fingers."""

    task = "push the T onto its outline"
    paraphrases = ("push the red T to the green place", "move the T-shaped block to the goal pose")
    default_camera = "top"

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        _add_place(spec)
        _add_block(spec)
        _add_pusher(spec)

    def place(self, simulation: Simulation, rng: np.random.Generator, options: Mapping[str, Any]) -> None:
        """The T anywhere near its place, at any angle."""
        self.refuse_options(options)
        self.place_robot(simulation)
        x, y = GOAL[:2] + rng.uniform(-STRAY, STRAY, 2)
        simulation.joint("block")[:] = lying(x, y, HALF_HEIGHT, rng.uniform(-np.pi, np.pi))

    def state_spaces(self) -> dict[str, gym.spaces.Box]:
        return {
            "state": gym.spaces.Box(-4.0, 4.0, (10,), np.float32),
            "environment_state": gym.spaces.Box(-10.0, 10.0, (7,), np.float32),
        }

    def observe(self, state: State) -> Observation:
        """`state`: joint positions, then where the pusher's end is, level (2,) [m]; `environment_state`: pose of the
        T."""
        return {
            "state": np.concatenate([state.qpos[:, self._q], state.site("pusher")[:, :2]], axis=1),
            "environment_state": observed_pose(state, "block"),
        }

    @measured_once
    def push_state(self, state: State) -> PushState:
        """What success depends on, read from the simulations."""
        pose = state.joint("block")
        return PushState(overlap(_level(pose), GOAL), pose[:, 2] - HALF_HEIGHT, speed(state, "block"))

    def reward_terms(self, state: State) -> dict[str, Array]:
        pose = _level(state.joint("block"))
        missing = corners(pose) - corners(GOAL)
        away = np.sqrt((missing**2).sum(axis=-1)).mean(axis=-1)
        finger = state.site("pusher")[:, :2] - pose[:, :2]
        now = self.push_state(state)
        done = in_place(now)
        return {
            "near": np.maximum(tolerance(np.sqrt((finger**2).sum(axis=-1)), 0.1, 0.3), done),
            "covered": np.asarray(now.covered),
            "placed": tolerance(away, 0.002, 0.3),
        }

    def succeeds(self, state: State) -> Array:
        return in_place(self.push_state(state))

    def lost(self, state: State) -> Array:
        """The T has fallen off the table."""
        return state.joint("block")[:, 2] < -0.05

    def expert(self) -> Expert:
        return PushTExpert()


def _add_place(spec: mujoco.MjSpec) -> None:
    """Where the T belongs, drawn on the table."""
    green = [0.35, 0.75, 0.45, 1.0]
    place = add_picture(spec, "place", mujoco.mjtGeom.mjGEOM_BOX, [*BAR, 0.0004], green, mocap=False)
    place.pos, place.quat = [*GOAL[:2], 0.0004], lying(0, 0, 0, GOAL[2])[3:]
    place.first_geom().pos = [0, BAR_AT, 0]
    stem = place.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=[*STEM, 0.0004], pos=[0, STEM_AT, 0], rgba=green, mass=0)
    stem.contype = stem.conaffinity = 0


def _add_block(spec: mujoco.MjSpec) -> None:
    """The T, a free body about its centre of mass."""
    block = spec.worldbody.add_body(name="block", pos=[GOAL[0], 0, HALF_HEIGHT])
    block.add_freejoint(name="block")
    areas = np.array([BAR[0] * BAR[1], STEM[0] * STEM[1]])
    for name, half, at, area in (("bar", BAR, BAR_AT, areas[0]), ("stem", STEM, STEM_AT, areas[1])):
        block.add_geom(
            name=name,
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=[*half, HALF_HEIGHT],
            pos=[0, at, 0],
            mass=MASS * area / areas.sum(),
            rgba=[0.82, 0.30, 0.22, 1],
            condim=3,
            priority=1,  # its own friction counts, whatever touches it
            friction=[TABLE_FRICTION, 0.005, 1e-4],
            **TOUCHING,
        )


def _add_pusher(spec: mujoco.MjSpec) -> None:
    """A round stick between the fingers, thicker below."""
    pusher = spec.body("hand").add_body(name="pusher", pos=[0, 0, TIP])
    pusher.add_site(name="pusher", pos=[0, 0, LENGTH], size=[0.004] * 3)
    for radius, start, end in ((GRIP, -0.02, LENGTH - 0.05), (FINGER_RADIUS, LENGTH - 0.05, LENGTH)):
        pusher.add_geom(
            type=mujoco.mjtGeom.mjGEOM_CYLINDER,
            size=[radius, 0, 0],
            fromto=[0, 0, start, 0, 0, end],
            rgba=[0.20, 0.35, 0.75, 1],
            mass=0.03,
            contype=TOUCHING["contype"],
            conaffinity=TOUCHING["contype"],
        )


def _level(pose: Array) -> Array:
    """x, y [m] and angle about the vertical [rad] (n, 3) of poses (n, 7)."""
    w, x, y, z = (pose[:, 3 + i] for i in range(4))
    return np.stack([pose[:, 0], pose[:, 1], np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))], axis=-1)


# -- expert ---------------------------------------------------------------------------------------------------------

#: Control steps between plans; how far from the middle of the table the pusher goes along each axis [m].
PLAN_EVERY, ROOM = 5, (0.24, 0.34)
#: The hand follows its target as a mass on a damped spring: natural frequency [rad/s], damping ratio, top speed [m/s],
#: and so heavy that the T does not hold it up [kg]. Proposals begin as much sooner as it comes later [s].
FREQUENCY, DAMPING, TOP_SPEED, WEIGHT = 5.0, 0.71, 0.5, 40.0
LATER = 0.25
#: Looks ahead far enough to go round the T; pushes slowly, because what it foresees is not quite what happens.
PLANNING = replace(SETTINGS, steps=240, knots=12, threads=1)
CARE = 1.0
#: The pusher comes down this far from the T's middle [m], from this height [m].
CLEAR, TRAVEL = 0.19, 0.10


class PushTExpert(HandExpert):
    """Tries many ways round and into the T in a plane model, and sends the pusher along the best."""

    def reset(self, env: gym.Env) -> None:
        super().reset(env)
        aim = partial(cost, goal=GOAL - _MIDDLE, care=CARE)
        self._planner = SamplingMPC(_plane_model(), aim, PLANNING, proposals=_sooner)
        self._steps, self._last = 0, np.zeros(2)

    def targets(self, q: Array, observation: Mapping[str, Array]) -> dict[str, HandTarget]:
        block = _level(observation["environment_state"][None])[0] - _MIDDLE
        finger = observation["state"][-2:] - _MIDDLE[:2]
        above = self.kinematics.pose(HAND)[0][2] - LENGTH
        x, y, z = self._down(finger, block[:2]) if above > ABOVE + 0.02 else [*self._along(finger, block), ABOVE]
        return {HAND: HandTarget(np.array([x, y, z + LENGTH]) + _MIDDLE, pointing_down(0.0), GRIP)}

    def _along(self, finger: Array, block: Array) -> Array:
        """Where the best way that is known leads the pusher (2,) next."""
        phase = self._steps % PLAN_EVERY
        if phase == 0:
            begun = self._steps > 0
            if not begun:
                self._planner.reset(0, finger)
            velocity = (finger - self._last) / self._period_s if begun else np.zeros(2)
            elapsed = PLAN_EVERY * self._period_s if begun else 0.0
            self._planner.plan(np.concatenate([finger, block]), np.array([*velocity, 0, 0, 0]), elapsed)
        self._steps, self._last = self._steps + 1, finger
        return self._planner.control(phase * self._period_s)

    def _down(self, finger: Array, block: Array) -> Array:
        """Beside the T, and down once there: where the pusher's end goes (3,)."""
        away = finger - block
        far = float(np.hypot(*away))
        out = away / far if far > 1e-3 else np.array([-1.0, 0.0])
        goal = np.clip(block + max(far, CLEAR) * out, np.negative(ROOM), ROOM)
        there = np.hypot(*(goal - finger)) < 0.02
        return np.array([*goal, ABOVE if there else TRAVEL])


#: The middle of the plane model, in the world.
_MIDDLE = np.array([GOAL[0], 0.0, 0.0])


def _sooner(qpos: Array, times: Array, rng: np.random.Generator) -> Array:
    """Ways of the hand's target, which the hand follows later."""
    return proposals(qpos, times + LATER, rng)


def _plane_model() -> mujoco.MjModel:
    """Hand and T in the plane."""
    spec = push_t_scene()
    damping = 2 * DAMPING * FREQUENCY * WEIGHT
    spec.geom("finger").mass = WEIGHT
    for name, room in zip(("finger_x", "finger_y"), ROOM, strict=True):
        joint, servo = spec.joint(name), spec.actuator(name)
        servo.set_to_position(kp=WEIGHT * FREQUENCY**2)
        servo.forcerange = [-TOP_SPEED * damping, TOP_SPEED * damping]
        joint.damping = [damping, 0, 0]
        joint.range = servo.ctrlrange = [-room, room]
    return spec.compile()
