"""Transfer cube: the right arm picks a cube from the table and hands it to the left arm (ALOHA's first task)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np

from robotics.controllers.arms import HandTarget
from robotics.controllers.rotation import angle, from_axes, nearest_turn, rotation_matrix
from robotics.envs.base import Array, Expert, Observation
from robotics.envs.bimanual import BimanualTask
from robotics.envs.hands import HandExpert
from robotics.envs.pick import upright_yaw
from robotics.envs.rewards import tolerance
from robotics.envs.robots.aloha import BASE_X, LEFT, OBJECT, OPEN, RIGHT, SIDES, STATIC
from robotics.envs.state import Simulation, State, measured_once
from robotics.envs.top_down import is_down
from robotics.envs.touch import add_touch_sensor

# -- constants ------------------------------------------------------------------------------------------------------

CUBE_HALF = 0.02  # [m]
CUBE_MASS = 0.05  # [kg]
#: Where the cube may lie: 20 x 20 cm on the right half of the table [m]. Its yaw is uniform in +-45 degrees, which is
#: every yaw there is: a cube repeats every 90 degrees.
REGION = (np.array([0.0, -0.1]), np.array([0.2, 0.1]))
LIFTED = 0.05  # clearance under the cube that counts as lifted [m]
#: Where the hands meet [m].
MEETING = np.array([0.0, 0.0, 0.27])
FINGERS = ("left_finger", "right_finger")


# -- success: a pure function of the state --------------------------------------------------------------------------


@dataclass(frozen=True)
class TransferState:
    """What success depends on, of one simulation or of n: shapes without or with a leading n.

    A finger touches when MuJoCo reports a contact with the cube.
    """

    clearance: Array | float  # height of the cube's centre above its resting height [m]
    left_fingers: Array | tuple[bool, bool]  # (…, 2)
    right_fingers: Array | tuple[bool, bool]  # (…, 2)
    right_arm: Array | bool = False  # any part of the right arm touches


def held_by_left(state: TransferState) -> Array:
    """Lifted by 5 cm, in both fingers of the left gripper, touched by nothing of the right arm: bool, (n,) or ()."""
    return (
        np.greater_equal(state.clearance, LIFTED)
        & np.all(state.left_fingers, axis=-1)
        & ~np.any(state.right_fingers, axis=-1)
        & np.logical_not(state.right_arm)
    )


# -- task -----------------------------------------------------------------------------------------------------------


class TransferCube(BimanualTask):
    """The right arm picks a red cube at a random pose and hands it to the left arm, which must hold it alone."""

    task = "pick up the red cube with the right arm and hand it over to the left arm"
    paraphrases = (
        "pass the red cube from the right gripper to the left one",
        "take the cube with your right hand and give it to your left hand",
    )

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        spec.nuserdata = 1  # half the cube's edge [m]
        cube = spec.worldbody.add_body(name="cube", pos=[0.1, 0, CUBE_HALF])
        cube.add_freejoint(name="cube")
        cube.add_geom(
            name="cube",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=[CUBE_HALF] * 3,
            mass=CUBE_MASS,
            rgba=[0.85, 0.12, 0.1, 1],
            condim=4,
            friction=[1, 0.005, 0.0001],
            contype=OBJECT,
            conaffinity=LEFT | RIGHT | STATIC,
        )
        for side in SIDES:
            for finger in FINGERS:
                add_touch_sensor(spec, f"{side}/{finger}", f"{side}/{finger}_link", "cube")
        add_touch_sensor(spec, "right/arm", "right/base_link", "cube", whole_subtree=True)

    def __init__(self, action_mode: str = "joint", **kwargs: Any) -> None:
        super().__init__(action_mode, **kwargs)
        names = [f"{side}/{finger}" for side in SIDES for finger in FINGERS]
        self._touch = np.array([self.model.sensor(name).adr[0] for name in (*names, "right/arm")])

    def place(self, simulation: Simulation, rng: np.random.Generator, options: Mapping[str, Any]) -> None:
        """A uniform pose in `REGION`; `options={"cube": (x, y, yaw)}` puts it anywhere [m, rad]."""
        self.refuse_options(options, "cube")
        self.place_robot(simulation)
        drawn = [*rng.uniform(*REGION), rng.uniform(-np.pi / 4, np.pi / 4)]
        x, y, yaw = self.pose_option(options, "cube", drawn)
        simulation.userdata[0] = CUBE_HALF
        simulation.joint("cube")[:] = [x, y, CUBE_HALF, np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]

    def enlarge(self, simulation: Simulation, factor: float) -> None:
        simulation.userdata[0] *= factor

    def state_spaces(self) -> dict[str, gym.spaces.Box]:
        return {
            "state": gym.spaces.Box(-4.0, 4.0, (14,), np.float32),
            "environment_state": gym.spaces.Box(-10.0, 10.0, (7,), np.float32),
        }

    def observe(self, state: State) -> Observation:
        """`state`: joint positions; `environment_state`: the cube's position [m] and orientation wxyz with w >= 0."""
        pose = state.joint("cube").copy()
        pose[pose[:, 3] < 0, 3:] *= -1  # q and -q are the same rotation: the policy shall see one of them
        return {"state": state.qpos[:, self._q], "environment_state": pose}

    @measured_once
    def transfer_state(self, state: State) -> TransferState:
        """What success depends on, read from the simulations."""
        touches = state.sensordata[:, self._touch] > 0
        clearance = state.body("cube")[:, 2] - state.userdata[:, 0]
        return TransferState(clearance, touches[:, :2], touches[:, 2:4], touches[:, 4])

    def reward_terms(self, state: State) -> dict[str, Array]:
        transfer = self.transfer_state(state)
        cube, held = state.body("cube"), held_by_left(transfer).astype(float)
        left, right = (
            tolerance(np.linalg.norm(state.site(f"{side}/gripper") - cube, axis=-1), 0.01, 0.3) for side in SIDES
        )
        return {
            "right_reaches": np.maximum(right, held),
            "lifted": tolerance(np.minimum(transfer.clearance - LIFTED, 0.0), 0.0, LIFTED),
            "left_reaches": left,
            "held_by_left": held,
        }

    def succeeds(self, state: State) -> Array:
        return held_by_left(self.transfer_state(state))

    def lost(self, state: State) -> Array:
        """The cube has fallen off the table."""
        return state.body("cube")[:, 2] < -0.05

    def expert(self) -> Expert:
        return TransferExpert()


# -- expert ---------------------------------------------------------------------------------------------------------

#: Finger distance that squeezes the cube, and how much wider than it a gripper that is closed on it may be [m].
SQUEEZE, GRASPED = 0.011, 0.0025
ABOVE = 0.08  # height above the cube from which the hand comes down [m]
SAFE_HEIGHT = 0.15  # of the hand, from which a hand with the cube can be levelled without touching the table [m]
GRASP_HEIGHT = 0.006  # of the finger centres above the cube's centre, so that finger tips clear the table [m]
#: The hands meet on a line that rises to the right, so that neither wrist has to pass its straight, singular position;
#: the left hand is rolled by 90 degrees, so that its fingers take the pair of faces that the right hand leaves free.
_TILT = 0.6  # [rad]
_LINE = np.array([np.cos(_TILT), 0.0, np.sin(_TILT)])
RIGHT_MEETS = from_axes(-_LINE, np.array([0, -1.0, 0]))
LEFT_MEETS = from_axes(_LINE, np.array([-np.sin(_TILT), 0, np.cos(_TILT)]))
LEFT_WAITS = MEETING - 0.13 * _LINE
RIGHT_LEAVES = MEETING + 0.14 * _LINE


class TransferExpert(HandExpert):
    """What to do next follows from where the cube is and who holds it."""

    def targets(self, q: Array, observation: Mapping[str, Array]) -> dict[str, HandTarget]:
        cube = observation["environment_state"]
        hands = {side: self.kinematics.pose(side) for side in SIDES}
        opening = {"left": q[6], "right": q[13]}
        half = self.half_size("cube")
        near = {side: np.linalg.norm(hands[side][0] - cube[:3]) < half for side in SIDES}
        if near["left"] and opening["left"] < half + GRASPED:
            return self._release(opening["right"])
        if near["right"] and opening["right"] < half + GRASPED:
            return self._hand_over(hands, cube)
        return self._pick(hands["right"], cube)

    def _pick(self, hand: tuple[Array, Array], cube: Array) -> dict[str, HandTarget]:
        grasp = cube[:3] + [0, 0, GRASP_HEIGHT]
        position, orientation = hand
        across = nearest_turn(upright_yaw(cube[3:]), np.pi / 2)  # the fingers on a pair of upright faces
        quat = _pointing_down(across if is_down(orientation) else _in_plane_yaw(position))
        aligned = angle(orientation, quat) < 0.15
        over = np.linalg.norm(position[:2] - grasp[:2]) < 0.012
        down = aligned and over
        at_cube = down and abs(position[2] - grasp[2]) < 0.008
        target = grasp if down else grasp + [0, 0, ABOVE]
        return {
            "right": HandTarget(target, quat, SQUEEZE if at_cube else OPEN),
            "left": HandTarget(LEFT_WAITS, LEFT_MEETS, OPEN),
        }

    def _hand_over(self, hands: dict[str, tuple[Array, Array]], cube: Array) -> dict[str, HandTarget]:
        position, orientation = hands["right"]
        in_plane = _in_plane_yaw(position)
        if is_down(orientation) and (position[2] < SAFE_HEIGHT or abs(_yaw(orientation) - in_plane) > 0.15):
            target = position * [1, 1, 0] + [0, 0, SAFE_HEIGHT + 0.05]
            up = HandTarget(target, _pointing_down(in_plane), SQUEEZE)
            return {"right": up, "left": HandTarget(LEFT_WAITS, LEFT_MEETS, OPEN)}
        arrived = np.linalg.norm(position - MEETING) < 0.02 and angle(orientation, RIGHT_MEETS) < 0.12
        at_cube = arrived and np.linalg.norm(hands["left"][0] - cube[:3]) < 0.01
        return {
            "right": HandTarget(MEETING, RIGHT_MEETS, SQUEEZE),
            "left": HandTarget(cube[:3] if arrived else LEFT_WAITS, LEFT_MEETS, SQUEEZE if at_cube else OPEN),
        }

    def _release(self, right_opening: float) -> dict[str, HandTarget]:
        free = right_opening > 0.03
        return {
            "right": HandTarget(RIGHT_LEAVES if free else MEETING, RIGHT_MEETS, OPEN),
            "left": HandTarget(MEETING, LEFT_MEETS, SQUEEZE),
        }


# The wrist of a ViperX is singular where the hand is in line with the forearm. Close to it the hand is only pitched, in
# the vertical plane of the arm, and turned about the vertical only while it points down: turning it elsewhere would
# flip the forearm.


def _in_plane_yaw(position: Array) -> float:
    """Yaw of the vertical plane through the right arm's base and its hand, 0 towards the left arm [rad]."""
    return float(np.arctan2(-position[1], BASE_X - position[0]))


def _pointing_down(yaw: float) -> Array:
    """The right hand pointing down, turned by `yaw` about the vertical [rad]."""
    return from_axes(np.array([0, 0, -1.0]), np.array([np.sin(yaw), -np.cos(yaw), 0]))


def _yaw(quat: Array) -> float:
    """The yaw of a right hand whose fingers are level, whatever its pitch [rad]."""
    fingers = rotation_matrix(quat)[:, 1]
    return float(np.arctan2(fingers[0], -fingers[1]))
