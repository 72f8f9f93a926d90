"""Palletizing: the 7-DoF arm takes four boxes of varied sizes from a feed and lays them on a pallet in a pattern."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np

from robotics.controllers.arms import HandTarget
from robotics.controllers.rotation import nearest_turn, wrapped
from robotics.envs.base import Array, Expert, Observation
from robotics.envs.hands import HandExpert
from robotics.envs.instances import SIZE, set_size
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
from robotics.envs.orientation import upright, yaw_of
from robotics.envs.pick import Grasp, is_held, pick, place, pointing_down, retreat
from robotics.envs.rewards import tolerance
from robotics.envs.robots.panda import FINGER_RANGE, TOUCHING
from robotics.envs.state import Simulation, State, measured_once

# -- constants ------------------------------------------------------------------------------------------------------

BOXES = ("box1", "box2", "box3", "box4")
_COLOURS = ((0.80, 0.55, 0.30, 1), (0.72, 0.45, 0.24, 1), (0.85, 0.66, 0.40, 1), (0.62, 0.40, 0.22, 1))
#: Half sizes of boxes [m], least and most: along their length, across it (where they are held), and up. Unseen ones are
#: longer than any seen, or as good as square and flatter.
SHAPES = {
    "seen": (((0.028, 0.022, 0.020), (0.040, 0.034, 0.028)),),
    "unseen": (((0.043, 0.020, 0.020), (0.050, 0.030, 0.028)), ((0.022, 0.020, 0.016), (0.026, 0.024, 0.019))),
}
DENSITY = 250.0  # [kg/m^3]
#: Where boxes come from: slots of the feed, how far off they lie [m] and are turned [rad].
FEED = np.array([[0.38, -0.20], [0.56, -0.20], [0.38, -0.36], [0.56, -0.36]])
STRAY, TURN = 0.015, 0.35
#: The pallet: its middle, half its size [m]. Boxes are laid about its middle lines, these gaps apart [m]: along their
#: length, and across it, where fingers must pass.
PALLET, PALLET_HALF = np.array([0.48, 0.22]), (0.12, 0.13, 0.01)
GAPS = (0.012, 0.04)
TOP = 2 * PALLET_HALF[2]
#: How far a box may be from its place [m], turned [rad], above the pallet [m]; this upright (cosine); at rest [m/s].
OFF, TURNED, GAP, UPRIGHT, RESTING = 0.012, 0.12, 0.004, 0.99, 0.02


# -- success: a pure function of the state --------------------------------------------------------------------------


@dataclass(frozen=True)
class PalletState:
    """What success depends on: of the four boxes (…, 4) of one simulation, or of n."""

    off: Array | tuple[float, ...]  # from its place in the pattern, level [m]
    turned: Array | tuple[float, ...]  # from the pattern's direction, half a turn being none [rad]
    gap: Array | tuple[float, ...]  # between the pallet and the box [m]
    upright: Array | tuple[float, ...]  # cosine of the lean; a box upside down lies as well
    speed: Array | tuple[float, ...]  # [m/s]
    touched: Array | tuple[bool, ...]  # by anything of the arm


def laid(state: PalletState) -> Array:
    """Which boxes lie in their places, at rest and let go of: bool, (…, 4)."""
    in_place = np.less_equal(state.off, OFF) & np.less_equal(np.abs(state.turned), TURNED)
    low = np.less_equal(np.abs(state.gap), GAP) & np.greater_equal(state.upright, UPRIGHT)
    return in_place & low & np.less_equal(state.speed, RESTING) & np.logical_not(state.touched)


def palletized(state: PalletState) -> Array:
    """All boxes laid: bool, (n,) or ()."""
    return np.all(laid(state), axis=-1)


# -- task -----------------------------------------------------------------------------------------------------------


class Palletize(ArmTask):
    """Four boxes, each of its own size. The pattern is two by two, as tight as sizes and fingers allow.

    Args:
        shapes: which sizes of boxes are drawn, "seen" or "unseen"; for generalisation, train on the one, evaluate on
            the other. `options={"shapes": …}` of a reset overrides it.
    """

    task = "stack the boxes from the feed onto the pallet in a two by two pattern"
    paraphrases = ("palletize the four boxes", "move all boxes to the pallet and lay them side by side")
    RANDOMISED = SIZE

    def __init__(self, action_mode: str = "joint", shapes: str = "seen", **kwargs: Any) -> None:
        self.shapes = self.name_option({}, "shapes", shapes, SHAPES)
        super().__init__(action_mode, **kwargs)

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        spec.nuserdata = 5 * len(BOXES)  # of each box: half its size, and its place on the pallet [m]
        for name, colour in zip(BOXES, _COLOURS, strict=True):
            add_object(spec, name, mujoco.mjtGeom.mjGEOM_BOX, [0.03, 0.028, 0.024], 0.05, colour)
            add_touch_sensors(spec, name)
        wood = [0.55, 0.42, 0.28, 1]
        pallet = spec.worldbody.add_body(name="pallet", pos=[*PALLET, PALLET_HALF[2]])
        pallet.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=PALLET_HALF, rgba=wood, **TOUCHING)
        feed = spec.worldbody.add_body(name="feed", pos=[*FEED.mean(axis=0), 0.0005])
        feed.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=[0.17, 0.16, 0.0005],
            rgba=[0.3, 0.32, 0.35, 1],
            contype=0,
            conaffinity=0,
        )

    def place(self, simulation: Simulation, rng: np.random.Generator, options: Mapping[str, Any]) -> None:
        """Uniform sizes of the chosen shapes, each box about its slot of the feed."""
        self.refuse_options(options, "shapes")
        ranges = SHAPES[self.name_option(options, "shapes", self.shapes, SHAPES)]
        self.place_robot(simulation)
        sizes = np.array([rng.uniform(*ranges[int(rng.integers(len(ranges)))]) for _ in BOXES])
        simulation.userdata[:] = _known_of(sizes)
        for name, size, slot in zip(BOXES, sizes, rng.permutation(FEED), strict=True):
            set_size(simulation, name, size, 8 * float(np.prod(size)) * DENSITY)
            x, y = slot + rng.uniform(-STRAY, STRAY, 2)
            simulation.joint(name)[:] = lying(x, y, size[2], rng.uniform(-TURN, TURN))

    def enlarge(self, simulation: Simulation, factor: float) -> None:
        sizes = simulation.userdata.reshape(len(BOXES), 5)[:, :3] * factor
        simulation.userdata[:] = _known_of(sizes)

    def state_spaces(self) -> dict[str, gym.spaces.Box]:
        return {
            "state": gym.spaces.Box(-4.0, 4.0, (8,), np.float32),
            "environment_state": gym.spaces.Box(-10.0, 10.0, (12 * len(BOXES),), np.float32),
        }

    def observe(self, state: State) -> Observation:
        """`state`: joint positions; `environment_state`: of each box its pose, half its size [m] and its place on the
        pallet, level [m]."""
        known = self._known(state)
        seen = [part for i, name in enumerate(BOXES) for part in (observed_pose(state, name), known[:, i])]
        return {"state": state.qpos[:, self._q], "environment_state": np.concatenate(seen, axis=1)}

    def _known(self, state: State) -> Array:
        """Of each box half its size and its place (n, 4, 5) [m]."""
        return state.userdata.reshape(state.size, len(BOXES), 5)

    @measured_once
    def pallet_state(self, state: State) -> PalletState:
        """What success depends on, read from the simulations."""
        known = self._known(state)
        pose = np.stack([state.joint(name) for name in BOXES], axis=1)
        turned = wrapped(2 * yaw_of(pose[..., 3:])) / 2
        off = np.sqrt(((pose[..., :2] - known[..., 3:]) ** 2).sum(axis=-1))
        moving = np.stack([speed(state, name) for name in BOXES], axis=-1)
        touched = np.stack([touches(state, name)[1] for name in BOXES], axis=-1)
        gap = pose[..., 2] - known[..., 2] - TOP
        return PalletState(off, turned, gap, np.abs(upright(pose[..., 3:])), moving, touched)

    def reward_terms(self, state: State) -> dict[str, Array]:
        now = self.pallet_state(state)
        in_place = laid(now)
        hand = state.site("grip")
        away = np.stack([np.sqrt(((hand - state.joint(name)[:, :3]) ** 2).sum(axis=-1)) for name in BOXES], axis=-1)
        grasped = np.stack([np.all(touches(state, name)[0], axis=-1) for name in BOXES], axis=-1)
        done = np.all(in_place, axis=-1)
        nearest = np.where(in_place, np.inf, away).min(axis=-1)
        return {
            "near": np.maximum(tolerance(np.where(done, 0.0, nearest), 0.01, 0.3), done),
            "grasped": np.maximum(np.any(grasped, axis=-1), done),
            "over": tolerance(now.off, OFF, 0.4).mean(axis=-1),
            "laid": in_place.mean(axis=-1),
        }

    def succeeds(self, state: State) -> Array:
        return palletized(self.pallet_state(state))

    def lost(self, state: State) -> Array:
        """A box has fallen off the table."""
        return np.stack([state.joint(name)[:, 2] for name in BOXES], axis=-1).min(axis=-1) < -0.05

    def expert(self) -> Expert:
        return PalletizeExpert()


def _known_of(sizes: Array) -> Array:
    """What an instance tells of boxes of half sizes (4, 3) [m], flat: of each its half size and its place."""
    return np.concatenate([sizes, pattern(sizes)], axis=1).ravel()


def pattern(sizes: Array) -> Array:
    """Places (4, 2) [m] of boxes of half sizes (4, 3): two by two about the pallet's middle, each against its lines."""
    signs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    return PALLET + signs * (sizes[:, :2] + np.array(GAPS) / 2)


# -- expert ---------------------------------------------------------------------------------------------------------

#: Height of a hand on its way; how far below a box's top it holds it [m].
TRAVEL, GRIP_DEPTH = 0.15, 0.016


class PalletizeExpert(HandExpert):
    """Takes one box after another across its width and lays it in its place; also one that lies badly there."""

    def targets(self, q: Array, observation: Mapping[str, Array]) -> dict[str, HandTarget]:
        boxes = observation["environment_state"].reshape(len(BOXES), -1)
        hand, finger, opened = self.kinematics.pose(HAND), float(q[7]), FINGER_RANGE[1]
        grasps = [_grasp(box) for box in boxes]
        waiting = [i for i, box in enumerate(boxes) if not _in_place(box)]
        held = [i for i in waiting if is_held(hand, finger, grasps[i])]
        if held:
            box, grasp = boxes[held[0]], grasps[held[0]]
            goal = np.array([*box[10:12], TOP + box[9] + 0.002]) + hand[0] - box[:3]
            return {HAND: place(hand, (goal, pointing_down(0.0)), grasp, TRAVEL, opened)}
        near = [np.linalg.norm(hand[0] - grasp.position) < 0.04 for grasp in grasps]
        if any(near) and finger < 0.036 and not (waiting and near[waiting[0]]):
            return {HAND: HandTarget(hand[0], hand[1], opened)}  # lets go of what lies in its place
        if not waiting:
            return {HAND: retreat(hand, TRAVEL, opened)}
        return {HAND: pick(hand, grasps[waiting[0]], opened)}


def _grasp(box: Array) -> Grasp:
    """Across the width of a box (12,), near its top."""
    above = max(box[9] - GRIP_DEPTH, 0.0, 0.018 - box[2])
    turn = pointing_down(nearest_turn(float(yaw_of(box[3:7])), np.pi))
    return Grasp(box[:3] + [0, 0, above], turn, 2 * box[8], approach=0.1)


def _in_place(box: Array) -> bool:
    turned, lies = wrapped(2 * yaw_of(box[3:7])) / 2, abs(upright(box[3:7])) >= UPRIGHT
    near = np.hypot(*(box[:2] - box[10:12])) < 0.9 * OFF and abs(turned) < 0.9 * TURNED
    return bool(near and lies and abs(box[2] - box[9] - TOP) < GAP)
