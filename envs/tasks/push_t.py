"""Push-T: the 7-DoF arm pushes a T to its place with a round finger, planned by simulated nudges."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np

from robotics.controllers.arms import HandTarget
from robotics.envs.base import Array, Expert, Observation
from robotics.envs.hands import HandExpert
from robotics.envs.manipulation import HAND, ArmTask, add_picture, lying, speed
from robotics.envs.nudges import SETTLE, Choice, choose, way
from robotics.envs.orientation import upright, yaw_of
from robotics.envs.pick import pointing_down
from robotics.envs.pushing import overlap
from robotics.envs.rewards import tolerance
from robotics.envs.robots.panda import TIP, TOUCHING
from robotics.envs.robots.push_t import (
    BAR,
    BAR_AT,
    FINGER_RADIUS,
    HALF_HEIGHT,
    STEM,
    STEM_AT,
    add_free_block,
    away,
    corners,
)
from robotics.envs.state import Simulation, State, measured_once

# -- constants ------------------------------------------------------------------------------------------------------

#: Where the T belongs: x, y [m], angle [rad].
GOAL = np.array([0.5, 0.0, -np.pi / 4])
#: Starts of the T: this far from its place along each axis [m], at any angle.
STRAY = 0.12
#: How much of its place the T must cover; this upright (cosine); at rest [m/s].
COVERED, UPRIGHT, RESTING = 0.95, 0.99, 0.02
#: How far the pusher's end is below the fingertips [m].
LENGTH = 0.09
#: The fingers hold the pusher this far from the middle [m].
GRIP = 0.008
#: The sensor of how fast the pusher's end moves.
VELOCITY = "pusher/velocity"


# -- success: a pure function of the state --------------------------------------------------------------------------


@dataclass(frozen=True)
class PushState:
    """What success depends on: of one simulation, or of n."""

    covered: Array | float  # part of its place that the T covers
    height: Array | float  # of the T's middle above where it lies flat [m]
    upright: Array | float  # cosine of the T's lean; -1 upside down
    speed: Array | float  # of the T [m/s]


def in_place(state: PushState) -> Array:
    """The T covers its place, flat on the table with its right side up, and at rest: bool, (n,) or ()."""
    flat = np.less_equal(np.abs(state.height), 0.005) & np.greater(state.upright, UPRIGHT)
    return np.greater_equal(state.covered, COVERED) & flat & np.less_equal(state.speed, RESTING)


# -- task -----------------------------------------------------------------------------------------------------------


class PushT(ArmTask):
    """The T of the PushT benchmark at 1:2.5, on a table with friction; a round pusher sits between the fingers."""

    task = "push the T onto its outline"
    paraphrases = ("push the red T to the green place", "move the T-shaped block to the goal pose")
    default_camera = "top"

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        _add_place(spec)
        add_free_block(spec, **TOUCHING)
        _add_pusher(spec)

    def place(self, simulation: Simulation, rng: np.random.Generator, options: Mapping[str, Any]) -> None:
        """The T anywhere near its place, at any angle."""
        self.refuse_options(options)
        self.place_robot(simulation)
        x, y = GOAL[:2] + rng.uniform(-STRAY, STRAY, 2)
        simulation.joint("block")[:] = lying(x, y, HALF_HEIGHT, rng.uniform(-np.pi, np.pi))

    def state_spaces(self) -> dict[str, gym.spaces.Box]:
        return {
            "state": gym.spaces.Box(-4.0, 4.0, (14,), np.float32),
            "environment_state": gym.spaces.Box(-10.0, 10.0, (5,), np.float32),
        }

    def observe(self, state: State) -> Observation:
        """`state`: joint positions, then velocity (3,) [m/s] and position (3,) [m] of the pusher's end.

        `environment_state`: position (3,) [m] of the T, cosine and sine of its angle, which do not jump at half a turn.

        Only the velocity tells a pusher that arrives at the T from one that is done with it.
        """
        angle = self.flat_pose(state)[:, 2:]
        position = state.joint("block")[:, :3]
        return {
            "state": np.concatenate([state.qpos[:, self._q], state.sensor(VELOCITY), state.site("pusher")], axis=1),
            "environment_state": np.concatenate([position, np.cos(angle), np.sin(angle)], axis=1),
        }

    @measured_once
    def flat_pose(self, state: State) -> Array:
        """x, y [m] and angle about the vertical [rad] (n, 3) of the T."""
        pose = state.joint("block")
        return np.stack([pose[:, 0], pose[:, 1], yaw_of(pose[:, 3:])], axis=-1)

    @measured_once
    def push_state(self, state: State) -> PushState:
        """What success depends on, read from the simulations."""
        block = state.joint("block")
        covered, height = overlap(self.flat_pose(state), GOAL), block[:, 2] - HALF_HEIGHT
        return PushState(covered, height, upright(block[:, 3:]), speed(state, "block"))

    def reward_terms(self, state: State) -> dict[str, Array]:
        pose = self.flat_pose(state)
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

    def left_to_do(self) -> float:
        """How far the corners of the T are from their places [m], all together: far off, the reward tells nothing."""
        return float(away(self.flat_pose(self.state)[0], GOAL))

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


def _add_pusher(spec: mujoco.MjSpec) -> None:
    """A round stick between the fingers, thicker below."""
    pusher = spec.body("hand").add_body(name="pusher", pos=[0, 0, TIP])
    pusher.add_site(name="pusher", pos=[0, 0, LENGTH], size=[0.004] * 3)
    spec.add_sensor(
        name=VELOCITY,
        type=mujoco.mjtSensor.mjSENS_FRAMELINVEL,
        objtype=mujoco.mjtObj.mjOBJ_SITE,
        objname="pusher",
    )
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


# -- expert ---------------------------------------------------------------------------------------------------------

#: How far from the middle of the table nudges go along each axis [m].
ROOM = np.array([0.28, 0.34])
#: A hand that moves already is so far ahead on its way [s]: its target leads it.
LEAD = 0.25


class PushTExpert(HandExpert):
    """Nudges the T to its place: each time by the nudge of a simulated table that brings it nearest, with the next.

    What it is about shows in where the hand is: high, it is on its way; low, it pushes. A learner sees that, too.
    """

    def reset(self, env: gym.Env) -> None:
        super().reset(env)
        self._choice: Choice | None = None
        self._times, self._now, self._begins = np.zeros(1), 0.0, 0.0

    def resume(self) -> None:
        super().resume()
        self._choice, self._begins = None, LEAD

    def targets(self, q: Array, observation: Mapping[str, Array]) -> dict[str, HandTarget]:
        x, y, _, cosine, sine = observation["environment_state"]
        block = np.array([x, y, np.arctan2(sine, cosine)]) - _MIDDLE
        hand = observation["state"][-3:] - _MIDDLE
        if self._choice is None or self._now > self._times[-1] + SETTLE:
            self._choice = choose(hand[:2], block, GOAL - _MIDDLE, ROOM)
            self._times, self._places = way(hand, block, self._choice)
            self._now, self._begins = self._begins, 0.0
        place = np.array([np.interp(self._now, self._times, axis) for axis in self._places.T])
        self._now += self._period_s
        return {HAND: HandTarget(place + _MIDDLE + [0.0, 0.0, LENGTH], pointing_down(0.0), GRIP)}


#: The middle of the table, in the world: where nudges are planned about.
_MIDDLE = np.array([GOAL[0], 0.0, 0.0])
