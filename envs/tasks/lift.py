"""Lift: the 7-DoF arm lifts a cube, a cylinder or a capsule of varied size, mass and friction from its table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np

from robotics.controllers.arms import HandTarget
from robotics.controllers.rotation import nearest_turn, rotation_matrix
from robotics.envs.base import Array, Expert, Observation
from robotics.envs.hands import HandExpert
from robotics.envs.instances import SOLID, set_solid
from robotics.envs.manipulation import HAND, ArmTask, add_object, add_touch_sensors, observed_pose, touches
from robotics.envs.pick import Grasp, is_held, pick, pointing_down, raised, upright_yaw
from robotics.envs.rewards import tolerance
from robotics.envs.robots.panda import FINGER_RANGE
from robotics.envs.state import Simulation, State, measured_once

# -- constants ------------------------------------------------------------------------------------------------------

SHAPES = ("cube", "cylinder", "capsule")
#: Where the object may lie [m]; its yaw is any.
REGION = (np.array([0.38, -0.22]), np.array([0.62, 0.22]))
#: Half sizes [m], mass [kg] and friction of the instances.
HALF_WIDTH, HALF_LENGTH, MASS, FRICTION = (0.014, 0.028), (0.02, 0.04), (0.03, 0.3), (0.6, 1.2)
LIFTED = 0.10  # [m]


# -- success: a pure function of the state --------------------------------------------------------------------------


@dataclass(frozen=True)
class LiftState:
    """What success depends on: of one simulation, or of n."""

    clearance: Array | float  # height of the object's centre above where it lay [m]
    fingers: Array | tuple[bool, bool]  # which of them touch it (…, 2)


def lifted(state: LiftState) -> Array:
    """10 cm above where it lay, between both fingers: bool, (n,) or ()."""
    return np.greater_equal(state.clearance, LIFTED) & np.all(state.fingers, axis=-1)


# -- task -----------------------------------------------------------------------------------------------------------


class Lift(ArmTask):
    """One of three shapes at a random place is to be held in the air."""

    task = "pick up the object and lift it"
    paraphrases = ("lift the object off the table", "grasp the thing on the table and raise it")
    RANDOMISED = (*SOLID, "geom_friction")

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        spec.nuserdata = 7  # one of three shapes, half extents along the object's axes [m], height of its centre [m]
        body = add_object(spec, "object", mujoco.mjtGeom.mjGEOM_BOX, [0.02] * 3, 0.1, [0.85, 0.35, 0.1, 1])
        cube = body.geoms[0]
        cube.name = "cube"
        for name, kind, colour in (
            ("cylinder", mujoco.mjtGeom.mjGEOM_CYLINDER, [0.15, 0.45, 0.8, 1]),
            ("capsule", mujoco.mjtGeom.mjGEOM_CAPSULE, [0.2, 0.65, 0.3, 1]),
        ):
            geom = body.add_geom(
                name=name, type=kind, size=[0.02, 0.02, 0], mass=0.1, rgba=colour, condim=4, priority=1
            )
            geom.friction, geom.contype, geom.conaffinity = cube.friction, cube.contype, cube.conaffinity
        body.geoms[2].condim, body.geoms[2].friction = 6, [1, 0.005, 5e-4]  # or it would roll for ever
        add_touch_sensors(spec, "object")

    def place(self, simulation: Simulation, rng: np.random.Generator, options: Mapping[str, Any]) -> None:
        """A uniform shape, size, mass, friction and pose; `options={"shape": name}` chooses the shape."""
        self.refuse_options(options, "shape")
        self.place_robot(simulation)
        shape = int(rng.integers(3))
        a, b, mass, friction = (rng.uniform(*span) for span in (HALF_WIDTH, HALF_LENGTH, MASS, FRICTION))
        x, y = rng.uniform(*REGION)
        yaw = rng.uniform(-np.pi, np.pi)
        shape = SHAPES.index(self.name_option(options, "shape", SHAPES[shape], SHAPES))
        size, half = (((a, a, a), (a, a, a)), ((a, b), (a, a, b)), ((a, b), (a, a, a + b)))[shape]
        set_solid(simulation, SHAPES[shape], size, mass)
        simulation.parameter("geom_friction")[simulation.model.geom(SHAPES[shape]).id, 0] = friction
        turn = np.array([np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)])
        height = half[2]
        if SHAPES[shape] == "capsule":  # it lies, along its z axis
            s = np.sqrt(0.5)
            turn, height = np.array([turn[0] * s, -turn[3] * s, turn[0] * s, turn[3] * s]), a
        simulation.joint("object")[:] = [x, y, height, *turn]
        simulation.userdata[:] = [*(np.arange(3) == shape), *half, height]

    def enlarge(self, simulation: Simulation, factor: float) -> None:
        simulation.userdata[3:] *= factor

    def state_spaces(self) -> dict[str, gym.spaces.Box]:
        return {
            "state": gym.spaces.Box(-4.0, 4.0, (8,), np.float32),
            "environment_state": gym.spaces.Box(-10.0, 10.0, (13,), np.float32),
        }

    def observe(self, state: State) -> Observation:
        """`state`: joint positions; `environment_state`: the object's position [m], orientation wxyz, which of
        `SHAPES` it is, and its half extents along its own axes [m]."""
        seen = [observed_pose(state, "object"), state.userdata[:, :6]]
        return {"state": state.qpos[:, self._q], "environment_state": np.concatenate(seen, axis=1)}

    @measured_once
    def lift_state(self, state: State) -> LiftState:
        """What success depends on, read from the simulations."""
        return LiftState(state.joint("object")[:, 2] - state.userdata[:, 6], touches(state, "object")[0])

    def reward_terms(self, state: State) -> dict[str, Array]:
        lift = self.lift_state(state)
        away = state.site("grip") - state.joint("object")[:, :3]
        return {
            "near": tolerance(np.sqrt((away**2).sum(axis=-1)), 0.01, 0.3),
            "grasped": np.all(lift.fingers, axis=-1).astype(float),
            "lifted": tolerance(np.minimum(lift.clearance - LIFTED, 0.0), 0.0, LIFTED),
        }

    def succeeds(self, state: State) -> Array:
        return lifted(self.lift_state(state))

    def lost(self, state: State) -> Array:
        """The object has fallen off the table."""
        return state.joint("object")[:, 2] < -0.05

    def expert(self) -> Expert:
        return LiftExpert()


# -- expert ---------------------------------------------------------------------------------------------------------


class LiftExpert(HandExpert):
    """Grasps the object across its shortest level extent and raises it."""

    def targets(self, q: Array, observation: Mapping[str, Array]) -> dict[str, HandTarget]:
        seen = observation["environment_state"]
        hand, opening = self.kinematics.pose(HAND), float(q[7])
        grasp = grasp_of(seen[:7], SHAPES[int(np.argmax(seen[7:10]))], float(seen[10]), hand[1])
        if is_held(hand, opening, grasp):
            return {HAND: raised(hand, grasp, 0.25)}
        return {HAND: pick(hand, grasp, FINGER_RANGE[1])}


def grasp_of(pose: Array, shape: str, half_width: float, hand: Array) -> Grasp:
    """From above, the fingers on two faces of a cube, anywhere around a cylinder, across a capsule that lies; of the
    ways there are, the one nearest to the hand's orientation."""
    fingers = rotation_matrix(hand)[:, 1]
    now = float(np.arctan2(fingers[0], -fingers[1]))
    if shape == "capsule":
        axis = rotation_matrix(pose[3:])[:, 2]
        # The fingers close along (sin, -cos) of the yaw, which is across an axis along (cos, sin)
        yaw = nearest_turn(float(np.arctan2(axis[1], axis[0])), np.pi)
    elif shape == "cube":
        yaw = nearest_turn(upright_yaw(pose[3:]), np.pi / 2)
    else:
        yaw = min(max(now, -np.pi / 2), np.pi / 2)
    return Grasp(pose[:3] + [0, 0, max(0.018 - pose[2], 0.0)], pointing_down(yaw), 2 * half_width)
