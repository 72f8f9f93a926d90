"""Peg insertion: the 7-DoF arm puts a square peg into a hole that it knows only roughly, by feeling for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np

from robotics.controllers.arms import HandTarget
from robotics.controllers.rotation import angle, from_axes, nearest_turn, rotation_matrix
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
from robotics.envs.orientation import upright
from robotics.envs.pick import Grasp, Limits, is_held, pick, place, pointing_down, raised, retreat, upright_yaw
from robotics.envs.rewards import tolerance
from robotics.envs.robots.panda import FINGER_RANGE, TOUCHING
from robotics.envs.state import Simulation, State, measured_once
from robotics.errors import UsageError

# -- constants ------------------------------------------------------------------------------------------------------

#: Half the width of the hole, half the length of the peg, height of the block with the hole [m].
HOLE, LENGTH, BLOCK = 0.016, 0.05, 0.05
BLOCK_HALF = 0.045
#: How much narrower than the hole the peg is [m]; how wrong the place of the hole is that is seen [m].
CLEARANCE, BLUR = (0.001, 0.003), 0.0025
DENSITY = 900.0  # of the peg [kg/m^3]
#: Where the block and the peg stand, how they are turned [m, rad].
BLOCK_REGION, PEG_REGION = ((0.42, 0.08), (0.60, 0.26)), ((0.40, -0.28), (0.60, -0.06))
TURN = 0.6
#: Inserted: this deep [m], this upright (cosine), its middle so much further aside as it leans [m]; at rest [m/s].
DEPTH, UPRIGHT, LEANING, RESTING = 0.035, 0.99, 0.002, 0.02


# -- success: a pure function of the state --------------------------------------------------------------------------


@dataclass(frozen=True)
class InsertionState:
    """What success depends on: of one simulation, or of n."""

    beside: Array | float  # the peg's middle from the hole's axis, level [m]
    play: Array | float  # between the peg in the middle of the hole and each wall [m]
    depth: Array | float  # of the peg's end below the top of the block [m]
    upright: Array | float  # cosine of the peg's lean
    speed: Array | float  # of the peg [m/s]
    touched: Array | bool  # by anything of the arm


def most_beside(play: Array | float) -> Array:
    """How far from the hole's axis the middle of a peg in it can be [m]: in a corner, and leaning a little."""
    return np.sqrt(2) * np.asarray(play) + LEANING


def inserted(state: InsertionState) -> Array:
    """The peg in the hole, upright, at rest and let go of: bool, (n,) or ()."""
    inside = np.less_equal(state.beside, most_beside(state.play)) & np.greater_equal(state.depth, DEPTH)
    at_rest = np.less_equal(state.speed, RESTING) & np.logical_not(state.touched)
    return inside & np.greater_equal(state.upright, UPRIGHT) & at_rest


# -- task -----------------------------------------------------------------------------------------------------------


class PegInsertion(ArmTask):
    """A peg stands on the table; its hole, 1 to 3 mm wider, is seen up to 2.5 mm from where it is.

    `state` also has the force that the hand feels at its wrist: pressing tells the hole from its rim. Where a world
    makes the peg thicker, the block and its hole are so much wider that the clearance stays; a thinner one is loose.
    """

    task = "insert the peg into the hole"
    paraphrases = ("put the square peg in the square hole", "pick up the peg and insert it")
    RANDOMISED = (*SIZE, "geom_pos")

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        spec.nuserdata = 5  # half the peg's width and length; how far off the hole is seen (2,), half its width [m]
        size = [HOLE - CLEARANCE[0], HOLE - CLEARANCE[0], LENGTH]
        add_object(spec, "peg", mujoco.mjtGeom.mjGEOM_BOX, size, 0.08, [0.9, 0.55, 0.1, 1])
        add_touch_sensors(spec, "peg")
        block = spec.worldbody.add_body(name="block", mocap=True, pos=[0.5, 0.15, 0])
        wall = (BLOCK_HALF - HOLE) / 2
        for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            half = [wall if x else BLOCK_HALF, HOLE if x else wall, BLOCK / 2]
            at = [x * (HOLE + wall), y * (HOLE + wall), BLOCK / 2]
            rgba = [0.35, 0.45, 0.55, 1]
            geom = block.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=half, pos=at, rgba=rgba, **TOUCHING)
            geom.friction, geom.priority = [0.15, 0.005, 1e-4], 2  # smooth: what slides over it finds the hole
        spec.add_sensor(
            name="wrist", type=mujoco.mjtSensor.mjSENS_FORCE, objtype=mujoco.mjtObj.mjOBJ_SITE, objname="grip"
        )

    def __init__(self, action_mode: str = "joint", **kwargs: Any) -> None:
        super().__init__(action_mode, **kwargs)
        self._block = int(self.model.body("block").mocapid[0])
        self._walls = np.flatnonzero(self.model.geom_bodyid == self.model.body("block").id)

    def place(self, simulation: Simulation, rng: np.random.Generator, options: Mapping[str, Any]) -> None:
        """Uniform places; `options={"clearance": metres}` sets how much narrower than the hole the peg is."""
        self.refuse_options(options, "clearance")
        self.place_robot(simulation)
        clearance = self.number_option(options, "clearance", rng.uniform(*CLEARANCE))
        if not 0 <= clearance < HOLE:
            raise UsageError(f"reset option clearance {clearance}: give one within 0 … {HOLE} m")
        half = HOLE - clearance / 2
        simulation.userdata[:] = [half, LENGTH, *rng.uniform(-BLUR, BLUR, 2), HOLE]
        set_size(simulation, "peg", [half, half, LENGTH], 8 * half * half * LENGTH * DENSITY)
        simulation.joint("peg")[:] = lying(*rng.uniform(*PEG_REGION), LENGTH, rng.uniform(-TURN, TURN))
        pose = lying(*rng.uniform(*BLOCK_REGION), 0.0, rng.uniform(-TURN, TURN))
        simulation.mocap_pos[self._block], simulation.mocap_quat[self._block] = pose[:3], pose[3:]

    def enlarge(self, simulation: Simulation, factor: float) -> None:
        known = simulation.userdata
        if factor > 1.0:
            known[4] += (factor - 1.0) * known[0]
            self._widen(simulation, known[4] / HOLE)
        known[:2] *= factor

    def _widen(self, simulation: Simulation, times: float) -> None:
        """The block and its hole become so much wider, and stay as high as they are."""
        model, walls, level = self.model, self._walls, np.array([times, times, 1.0])
        for name in ("geom_pos", "geom_size"):
            simulation.parameter(name)[walls] *= level
        size = simulation.parameter("geom_size")[walls]
        simulation.parameter("geom_aabb")[walls, 3:] = size
        simulation.parameter("geom_rbound")[walls] = np.sqrt((size**2).sum(axis=-1))
        body = model.body("block").id
        first, count = model.body_bvhadr[body], model.body_bvhnum[body]
        along = np.abs(rotation_matrix(model.body_iquat[body])).T @ level  # of its principal axes, which bounds go by
        simulation.parameter("bvh_aabb")[first : first + count] *= [*along, *along]

    def state_spaces(self) -> dict[str, gym.spaces.Box]:
        return {
            "state": gym.spaces.Box(-200.0, 200.0, (11,), np.float32),
            "environment_state": gym.spaces.Box(-10.0, 10.0, (14,), np.float32),
        }

    def observe(self, state: State) -> Observation:
        """`state`: joint positions and the force at the wrist, in the hand's axes (3,) [N]; `environment_state`: pose
        of the peg, half its width [m], and the hole as it is seen: its middle, level [m], and the block's
        orientation wxyz."""
        at = state.mocap_pos[:, self._block, :2] + state.userdata[:, 2:4]
        turn = state.mocap_quat[:, self._block]
        return {
            "state": np.concatenate([state.qpos[:, self._q], state.sensor("wrist")], axis=1),
            "environment_state": np.concatenate([observed_pose(state, "peg"), state.userdata[:, :1], at, turn], axis=1),
        }

    @measured_once
    def insertion_state(self, state: State) -> InsertionState:
        """What success depends on, read from the simulations."""
        peg = state.joint("peg")
        lean = np.abs(upright(peg[:, 3:]))
        away = peg[:, :2] - state.mocap_pos[:, self._block, :2]
        end = peg[:, 2] - state.userdata[:, 1] * lean
        beside = np.sqrt((away**2).sum(axis=-1))
        play = state.userdata[:, 4] - state.userdata[:, 0]
        moving, touched = speed(state, "peg"), touches(state, "peg")[1]
        return InsertionState(beside, play, BLOCK - end, lean, moving, touched)

    def reward_terms(self, state: State) -> dict[str, Array]:
        now, fingers = self.insertion_state(state), touches(state, "peg")[0]
        done = inserted(now).astype(float)
        away = state.site("grip") - state.joint("peg")[:, :3]
        over = tolerance(now.beside, 0.002, 0.3)
        over_hole = np.less(now.beside, np.maximum(most_beside(now.play), 0.005))
        return {
            "near": np.maximum(tolerance(np.sqrt((away**2).sum(axis=-1)), 0.035, 0.3), done),
            "grasped": np.maximum(np.all(fingers, axis=-1), done),
            "over": over,
            "deep": np.where(over_hole, tolerance(np.minimum(now.depth - DEPTH, 0.0), 0, 0.05), 0.0),
            "inserted": done,
        }

    def succeeds(self, state: State) -> Array:
        return inserted(self.insertion_state(state))

    def lost(self, state: State) -> Array:
        """The peg has fallen off the table."""
        return state.joint("peg")[:, 2] < -0.05

    def expert(self) -> Expert:
        return PegInsertionExpert()


# -- expert ---------------------------------------------------------------------------------------------------------

#: Height of a hand on its way; where it holds the peg above its middle; how high the peg comes over the block [m].
TRAVEL, GRIP_ABOVE, OVER = 0.2, 0.016, 0.006
#: How far below where it is the hand is sent to press [m]; what the wrist feels when the peg hangs free, and how much
#: more is pressed enough [N].
PRESS, FREE, ENOUGH = 0.003, -7.8, 3.0
#: The spiral: distance of its windings, way per step, where it begins anew, and how near the peg follows [m].
WINDING, WAY, REACH, FOLLOWS = 0.0008, 0.0004, 0.0045, 0.0006
TIGHT = Limits(near=0.006, over=0.004, turned=0.03)


class PegInsertionExpert(HandExpert):
    """Picks the peg up, sets it down where the hole is seen, and slides it in a spiral, pressing, until it drops in.

    How far along the spiral it is, is the one thing it keeps to itself: what has been felt already. It begins anew
    whenever the peg is not on the block.
    """

    def reset(self, env: gym.Env) -> None:
        super().reset(env)
        self._searched = 0.0  # angle along the spiral [rad]

    def targets(self, q: Array, observation: Mapping[str, Array]) -> dict[str, HandTarget]:
        peg, (half,), hole, block = np.split(observation["environment_state"], [7, 8, 10])
        force = float(observation["state"][10])
        hand, finger, opened = self.kinematics.pose(HAND), float(q[7]), FINGER_RANGE[1]
        axes = rotation_matrix(peg[3:])
        tip = peg[:3] - self.half_size("peg", axis=2) * axes[:, 2]
        above, missing = tip[2] - BLOCK, hole - tip[:2]
        if above < -DEPTH - 0.005 and np.hypot(*missing) < 0.01:
            if finger < half + 0.01 and np.linalg.norm(hand[0] - peg[:3]) < 0.06:
                return {HAND: HandTarget(hand[0], hand[1], opened)}
            return {HAND: retreat(hand, TRAVEL, opened)}
        turn = pointing_down(nearest_turn(upright_yaw(peg[3:]), np.pi / 2))
        grasp = Grasp(peg[:3] + [0, 0, GRIP_ABOVE], turn, 2 * half, approach=0.12)
        if not is_held(hand, finger, grasp):
            self._searched = 0.0
            return {HAND: pick(hand, grasp, opened)}
        aim = _turned_with(hand[1], axes, upright_yaw(block))
        if np.hypot(*missing) > 0.02 or angle(hand[1], aim) > 0.2:
            self._searched = 0.0
            goal = hand[0] + [*missing, OVER - above]
            if np.hypot(*missing) > 0.02 and hand[0][2] < TRAVEL - 0.03:
                return {HAND: raised(hand, grasp, TRAVEL)}
            return {HAND: place(hand, (goal, aim), grasp, TRAVEL, opened, TIGHT)}
        if above < -0.004:  # in the hole: straight down
            aside, lower = np.zeros(2), 0.012
        else:
            aside = missing
            if above < 0.004:  # on the block: along the spiral, as fast as the peg follows
                aside = missing + self._spiral()
                self._search(WAY if np.hypot(*aside) < FOLLOWS else WAY / 5)
            pressing = force > FREE + ENOUGH
            lower = max(above, 0.0) + (0.0 if pressing else PRESS)
        # twice what is missing: friction keeps half
        return {HAND: HandTarget(hand[0] + [*(2 * aside), -lower], aim, max(half - 0.03, 0.0))}

    def _search(self, way: float) -> None:
        """On along the spiral [m], or from its middle again."""
        radius = WINDING * self._searched / (2 * np.pi)
        self._searched = self._searched + way / max(radius, WINDING / 2) if radius < REACH else 0.0

    def _spiral(self) -> Array:
        """Where it has got to, from the middle (2,) [m]."""
        return WINDING * self._searched / (2 * np.pi) * np.array([np.cos(self._searched), np.sin(self._searched)])


def _turned_with(hand: Array, peg: Array, block_yaw: float) -> Array:
    """The orientation wxyz of a hand, now `hand`, that holds the peg, now of axes (3, 3), upright and along the block.

    A peg that met the block a little hard leans in the fingers.
    """
    yaw = nearest_turn(block_yaw, np.pi / 2, float(np.arctan2(peg[1, 0], peg[0, 0])))
    upright = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    aim = upright @ peg.T @ rotation_matrix(hand)
    return from_axes(aim[:, 0], aim[:, 1])
