"""Drawer: the 7-DoF arm pulls a drawer open by its handle and puts a cube inside."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np

from robotics.controllers.arms import HandTarget
from robotics.controllers.rotation import nearest_turn
from robotics.envs.base import Array, Expert, Observation
from robotics.envs.hands import HandExpert
from robotics.envs.manipulation import (
    HAND,
    ArmTask,
    add_object,
    add_touch_sensors,
    lying,
    observed_pose,
    speed,
    touches,
)
from robotics.envs.pick import Grasp, is_held, pick, place, pointing_down, retreat, upright_yaw
from robotics.envs.rewards import tolerance
from robotics.envs.robots.panda import FINGER_RANGE, TOUCHING
from robotics.envs.state import Simulation, State, measured_once

# -- constants ------------------------------------------------------------------------------------------------------

HALF = 0.02  # of the cube [m]
#: The cabinet: half its depth and width, height, thickness of its boards [m]. Its frame is on the table below the
#: middle of its front, x into it, y to its left.
DEPTH, WIDTH, HEIGHT, BOARD = 0.10, 0.12, 0.13, 0.006
#: The drawer's tray: half its depth and inner width, height of its floor and of its rim [m]; how far it opens [m].
TRAY, TRAY_WIDTH, FLOOR, RIM, OPENS = 0.09, 0.09, 0.022, 0.085, 0.16
#: The handle: a bar that stands in front of the drawer, half its size [m], and how far in front [m].
HANDLE, STANDOFF = (0.006, 0.008, 0.028), 0.05
HANDLE_HEIGHT = 0.06
#: Where the cabinet's front stands and how it may be turned, and where the cube lies, left or right of it [m, rad].
FRONT, TURN = ((0.60, -0.05), (0.66, 0.05)), 0.2
BESIDE = ((0.34, 0.30), (0.48, 0.38))
#: An open drawer; at rest [m, m/s].
OPEN, RESTING = 0.10, 0.02


# -- success: a pure function of the state --------------------------------------------------------------------------


@dataclass(frozen=True)
class DrawerState:
    """What success depends on: of one simulation, or of n."""

    opening: Array | float  # of the drawer [m]
    inside: Array | tuple[float, float]  # the cube from the middle of the tray, in the tray's axes (…, 2) [m]
    height: Array | float  # of the cube's centre above the table [m]
    speed: Array | float  # of the cube [m/s]
    touched: Array | bool  # the cube, by anything of the arm


def stowed(state: DrawerState) -> Array:
    """The drawer open, the cube at rest between its walls and below its rim, let go of: bool, (n,) or ()."""
    limits = np.array([TRAY - BOARD, TRAY_WIDTH]) - HALF * 0.9
    within = np.all(np.less_equal(np.abs(state.inside), limits), axis=-1)
    low = np.less_equal(state.height, RIM - HALF)
    at_rest = np.less_equal(state.speed, RESTING) & np.logical_not(state.touched)
    return np.greater_equal(state.opening, OPEN) & within & low & at_rest


# -- task -----------------------------------------------------------------------------------------------------------


class DrawerOpen(ArmTask):
    """The cabinet stands in front of the arm, turned a little, its drawer closed; the cube lies beside it."""

    task = "open the drawer and put the cube inside"
    paraphrases = ("pull the drawer open and place the red cube in it", "put the cube away in the drawer")

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        add_object(spec, "cube", mujoco.mjtGeom.mjGEOM_BOX, [HALF] * 3, 0.06, [0.85, 0.2, 0.15, 1])
        add_touch_sensors(spec, "cube")
        _add_cabinet(spec)

    def __init__(self, action_mode: str = "joint", **kwargs: Any) -> None:
        super().__init__(action_mode, **kwargs)
        self._cabinet = int(self.model.body("cabinet").mocapid[0])

    def place(self, simulation: Simulation, rng: np.random.Generator, options: Mapping[str, Any]) -> None:
        """Uniform places."""
        self.refuse_options(options)
        self.place_robot(simulation)
        (x, y), turn = rng.uniform(*FRONT), rng.uniform(-TURN, TURN)
        pose = lying(x, y, 0.0, turn)
        simulation.mocap_pos[self._cabinet], simulation.mocap_quat[self._cabinet] = pose[:3], pose[3:]
        ahead, aside = rng.uniform(*BESIDE)
        side = 1 if rng.random() < 0.5 else -1
        simulation.joint("cube")[:] = lying(ahead, side * aside, HALF, rng.uniform(-np.pi / 4, np.pi / 4))

    def state_spaces(self) -> dict[str, gym.spaces.Box]:
        return {
            "state": gym.spaces.Box(-4.0, 4.0, (8,), np.float32),
            "environment_state": gym.spaces.Box(-10.0, 10.0, (12,), np.float32),
        }

    def observe(self, state: State) -> Observation:
        """`state`: joint positions; `environment_state`: pose of the cube, where the middle of the cabinet's front is,
        level [m], cosine and sine of its turn, and how far the drawer is open [m]."""
        at, axis = self._front(state)
        return {
            "state": state.qpos[:, self._q],
            "environment_state": np.concatenate(
                [observed_pose(state, "cube"), at, axis, state.joint("drawer")], axis=1
            ),
        }

    def _front(self, state: State) -> tuple[Array, Array]:
        """Where the middle of the cabinet's front is (n, 2) [m], and the way into it (n, 2)."""
        w, z = state.mocap_quat[:, self._cabinet, 0], state.mocap_quat[:, self._cabinet, 3]
        return state.mocap_pos[:, self._cabinet, :2], np.stack([w * w - z * z, 2 * w * z], axis=-1)

    @measured_once
    def drawer_state(self, state: State) -> DrawerState:
        """What success depends on, read from the simulations."""
        at, axis = self._front(state)
        cube, opening = state.joint("cube"), state.joint("drawer")[:, 0]
        away = cube[:, :2] - at
        inwards = away[:, 0] * axis[:, 0] + away[:, 1] * axis[:, 1]
        leftwards = away[:, 1] * axis[:, 0] - away[:, 0] * axis[:, 1]
        inside = np.stack([inwards + opening - TRAY, leftwards], axis=-1)
        return DrawerState(opening, inside, cube[:, 2], speed(state, "cube"), touches(state, "cube")[1])

    def reward_terms(self, state: State) -> dict[str, Array]:
        now, fingers = self.drawer_state(state), touches(state, "cube")[0]
        done, pulled = stowed(now).astype(float), np.greater_equal(now.opening, OPEN)
        hand = state.site("grip")
        to_handle = np.sqrt(((hand - state.site("handle")) ** 2).sum(axis=-1))
        to_cube = np.sqrt(((hand - state.joint("cube")[:, :3]) ** 2).sum(axis=-1))
        over = np.sqrt((np.asarray(now.inside) ** 2).sum(axis=-1))
        return {
            "near": np.maximum(np.where(pulled, tolerance(to_cube, 0.01, 0.3), tolerance(to_handle, 0.01, 0.3)), done),
            "open": tolerance(np.minimum(now.opening - OPEN, 0.0), 0.0, OPEN),
            "grasped": np.maximum(np.all(fingers, axis=-1), done),
            "over": tolerance(over, TRAY / 2, 0.3),
            "stowed": done,
        }

    def succeeds(self, state: State) -> Array:
        return stowed(self.drawer_state(state))

    def lost(self, state: State) -> Array:
        """The cube has fallen off the table."""
        return state.joint("cube")[:, 2] < -0.05

    def expert(self) -> Expert:
        return DrawerOpenExpert()


def _add_cabinet(spec: mujoco.MjSpec) -> None:
    cabinet = spec.worldbody.add_body(name="cabinet", mocap=True, pos=[0.63, 0, 0])
    wood, light, steel = (0.55, 0.38, 0.24, 1), (0.78, 0.62, 0.42, 1), (0.75, 0.76, 0.78, 1)
    for half, at in (
        ([DEPTH, WIDTH, BOARD], [DEPTH, 0, BOARD]),
        ([DEPTH, WIDTH, BOARD], [DEPTH, 0, HEIGHT - BOARD]),
        ([DEPTH, BOARD, HEIGHT / 2], [DEPTH, WIDTH - BOARD, HEIGHT / 2]),
        ([DEPTH, BOARD, HEIGHT / 2], [DEPTH, BOARD - WIDTH, HEIGHT / 2]),
        ([BOARD, WIDTH, HEIGHT / 2], [2 * DEPTH - BOARD, 0, HEIGHT / 2]),
    ):
        cabinet.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=half, pos=at, rgba=wood, **TOUCHING)
    drawer = cabinet.add_body(name="drawer")
    joint = drawer.add_joint(name="drawer", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[-1, 0, 0], range=[0, OPENS])
    joint.damping, joint.frictionloss = [4.0, 0, 0], 1.0
    middle, rise = (RIM + FLOOR) / 2, (RIM - FLOOR) / 2
    for half, at in (
        ([TRAY, TRAY_WIDTH, 0.003], [TRAY, 0, FLOOR - 0.003]),
        ([BOARD, TRAY_WIDTH + BOARD, rise], [0, 0, middle]),
        ([BOARD, TRAY_WIDTH, rise], [2 * TRAY - BOARD, 0, middle]),
        ([TRAY, BOARD / 2, rise], [TRAY, TRAY_WIDTH + BOARD / 2, middle]),
        ([TRAY, BOARD / 2, rise], [TRAY, -TRAY_WIDTH - BOARD / 2, middle]),
    ):
        drawer.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=half, pos=at, rgba=light, mass=0.1, **TOUCHING)
    for half, at in (
        ([*HANDLE], [-STANDOFF, 0, HANDLE_HEIGHT]),
        ([STANDOFF / 2, HANDLE[1], 0.004], [-STANDOFF / 2, 0, HANDLE_HEIGHT + HANDLE[2] - 0.004]),
        ([STANDOFF / 2, HANDLE[1], 0.004], [-STANDOFF / 2, 0, HANDLE_HEIGHT - HANDLE[2] + 0.004]),
    ):
        geom = drawer.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=half, pos=at, rgba=steel, mass=0.02, **TOUCHING)
        geom.condim, geom.friction = 4, [1, 0.005, 1e-4]
    drawer.add_site(name="handle", pos=[-STANDOFF, 0, HANDLE_HEIGHT], size=[0.004] * 3)
    spec.add_exclude(bodyname1="cabinet", bodyname2="drawer")


# -- expert ---------------------------------------------------------------------------------------------------------

#: Height of a hand on its way, and of one that lets the cube fall into the drawer [m].
TRAVEL, RELEASE = 0.26, 0.115
#: How far it pulls the drawer open, and by how much the hand is ahead of the handle while it pulls [m].
PULLED, PULL = 0.14, 0.03


class DrawerOpenExpert(HandExpert):
    """Pulls the drawer open by its handle; then takes the cube and lets go of it over the drawer."""

    def targets(self, q: Array, observation: Mapping[str, Array]) -> dict[str, HandTarget]:
        cube, (x, y), (c, s), (opening,) = np.split(observation["environment_state"], [7, 9, 11])
        hand, finger, opened = self.kinematics.pose(HAND), float(q[7]), FINGER_RANGE[1]
        into, yaw = np.array([c, s, 0]), np.arctan2(s, c)
        front = np.array([x, y, 0]) - opening * into
        away = cube[:2] - (front + TRAY * into)[:2]
        inside = abs(away @ [c, s]) < TRAY - HALF and abs(away @ [-s, c]) < TRAY_WIDTH - 0.015 and cube[2] < RIM
        bar = Grasp(front + [*(-STANDOFF * into[:2]), HANDLE_HEIGHT + 0.01], pointing_down(yaw), 2 * HANDLE[1], 0.12)
        half = self.half_size("cube")
        turn = pointing_down(nearest_turn(upright_yaw(cube[3:]), np.pi / 2))
        grasp = Grasp(cube[:3] + [0, 0, max(0.018 - cube[2], 0.0)], turn, 2 * half, approach=0.12)
        holds_cube = is_held(hand, finger, grasp)
        if inside and opening > OPEN:
            if hand[0][2] < TRAVEL - 0.02:
                return {HAND: retreat(hand, TRAVEL, opened)}
            return {HAND: HandTarget(np.array([*hand[0][:2], TRAVEL]), hand[1], opened)}
        if opening < PULLED - 0.005 and not holds_cube and (opening < OPEN or is_held(hand, finger, bar)):
            if not is_held(hand, finger, bar):
                return {HAND: pick(hand, bar, opened)}
            ahead = bar.position - min(PULL, PULLED - opening + 0.01) * into
            return {HAND: HandTarget(ahead, bar.quat, 0.0)}
        if np.linalg.norm(hand[0] - bar.position) < 0.04 and finger < HANDLE[1] + 0.008:
            return {HAND: HandTarget(hand[0], hand[1], opened)}  # lets go of the handle
        if not holds_cube:
            return {HAND: pick(hand, grasp, opened)}
        if opening < OPEN:
            aside = np.array([0.42, 0.28, HALF])
            return {HAND: place(hand, (aside, hand[1]), grasp, TRAVEL, opened)}  # needs its hand for the handle first
        goal = front + (opening / 2 + 0.01) * into
        return {HAND: place(hand, (goal + [0, 0, RELEASE], pointing_down(yaw)), grasp, TRAVEL, opened)}
