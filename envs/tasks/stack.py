"""Stack: the 7-DoF arm puts a red cube on a green one."""

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
from robotics.envs.pick import Grasp, is_held, pick, place, pointing_down, retreat, upright_yaw
from robotics.envs.rewards import tolerance
from robotics.envs.robots.panda import FINGER_RANGE
from robotics.envs.state import Simulation, State, measured_once

# -- constants ------------------------------------------------------------------------------------------------------

#: Where the cubes may lie [m], how far apart at least [m], and their half sizes [m].
REGION = (np.array([0.38, -0.22]), np.array([0.62, 0.22]))
APART = 0.11
UPPER, LOWER = (0.018, 0.025), (0.022, 0.030)
DENSITY = 800.0  # [kg/m^3]
#: How far the upper cube may be from the middle of the lower one, and from lying on it [m]; how fast it may move [m/s].
BESIDE, GAP, RESTING = 0.015, 0.004, 0.02


# -- success: a pure function of the state --------------------------------------------------------------------------


@dataclass(frozen=True)
class StackState:
    """What success depends on: of one simulation, or of n."""

    beside: Array | float  # level distance of the cubes' centres [m]
    gap: Array | float  # how much higher the upper cube is than when it lies on the lower one [m]
    speed: Array | float  # of the upper cube [m/s]
    touched: Array | bool  # by anything of the arm


def stacked(state: StackState) -> Array:
    """On the other cube, within 1.5 cm of its middle, at rest and let go of: bool, (n,) or ()."""
    on = np.less_equal(state.beside, BESIDE) & np.less_equal(np.abs(state.gap), GAP)
    return on & np.less_equal(state.speed, RESTING) & np.logical_not(state.touched)


# -- task -----------------------------------------------------------------------------------------------------------


class Stack(ArmTask):
    """The red cube is to lie on the green one; sizes and poses vary."""

    task = "put the red cube on top of the green cube"
    paraphrases = ("stack the red block on the green block", "place the red cube onto the green one")
    RANDOMISED = SIZE

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        spec.nuserdata = 2  # half sizes of the red and of the green cube [m]
        add_object(spec, "red", mujoco.mjtGeom.mjGEOM_BOX, [0.02] * 3, 0.05, [0.85, 0.12, 0.1, 1])
        add_object(spec, "green", mujoco.mjtGeom.mjGEOM_BOX, [0.025] * 3, 0.1, [0.15, 0.6, 0.25, 1])
        add_touch_sensors(spec, "red")

    def place(self, simulation: Simulation, rng: np.random.Generator, options: Mapping[str, Any]) -> None:
        """Uniform sizes and poses, the cubes apart."""
        self.refuse_options(options)
        self.place_robot(simulation)
        first = second = rng.uniform(*REGION)
        while np.hypot(*(second - first)) < APART:
            second = rng.uniform(*REGION)
        for number, (name, span, spot) in enumerate((("red", UPPER, first), ("green", LOWER, second))):
            half = rng.uniform(*span)
            set_size(simulation, name, [half] * 3, DENSITY * (2 * half) ** 3)
            simulation.joint(name)[:] = lying(*spot, half, rng.uniform(-np.pi / 4, np.pi / 4))
            simulation.userdata[number] = half

    def enlarge(self, simulation: Simulation, factor: float) -> None:
        simulation.userdata[:] *= factor

    def state_spaces(self) -> dict[str, gym.spaces.Box]:
        return {
            "state": gym.spaces.Box(-4.0, 4.0, (8,), np.float32),
            "environment_state": gym.spaces.Box(-10.0, 10.0, (16,), np.float32),
        }

    def observe(self, state: State) -> Observation:
        """`state`: joint positions; `environment_state`: position [m], orientation wxyz of the red cube, then of the
        green one, and their half sizes [m]."""
        seen = [observed_pose(state, "red"), observed_pose(state, "green"), state.userdata]
        return {"state": state.qpos[:, self._q], "environment_state": np.concatenate(seen, axis=1)}

    @measured_once
    def stack_state(self, state: State) -> StackState:
        """What success depends on, read from the simulations."""
        way = (state.joint("red") - state.joint("green"))[:, :3]
        gap = way[:, 2] - state.userdata.sum(axis=-1)
        beside = np.sqrt((way[:, :2] ** 2).sum(axis=-1))
        return StackState(beside, gap, speed(state, "red"), touches(state, "red")[1])

    def reward_terms(self, state: State) -> dict[str, Array]:
        stack, fingers = self.stack_state(state), touches(state, "red")[0]
        done = stacked(stack).astype(float)
        away = state.site("grip") - state.joint("red")[:, :3]
        return {
            "near": np.maximum(tolerance(np.sqrt((away**2).sum(axis=-1)), 0.01, 0.3), done),
            "grasped": np.maximum(np.all(fingers, axis=-1), done),
            "over": tolerance(stack.beside, BESIDE, 0.2),
            "stacked": done,
        }

    def succeeds(self, state: State) -> Array:
        return stacked(self.stack_state(state))

    def lost(self, state: State) -> Array:
        """A cube has fallen off the table."""
        return np.minimum(state.joint("red")[:, 2], state.joint("green")[:, 2]) < -0.05

    def expert(self) -> Expert:
        return StackExpert()


# -- expert ---------------------------------------------------------------------------------------------------------

#: Height of a hand on its way [m].
TRAVEL = 0.22


class StackExpert(HandExpert):
    """Takes the red cube by two of its faces and sets it down on the green one, parallel to it."""

    def targets(self, q: Array, observation: Mapping[str, Array]) -> dict[str, HandTarget]:
        red, green, (upper, lower) = np.split(observation["environment_state"], [7, 14])
        hand, opening, opened = self.kinematics.pose(HAND), float(q[7]), FINGER_RANGE[1]
        way = red[:3] - green[:3]
        if np.hypot(*way[:2]) < BESIDE and abs(way[2] - upper - lower) < GAP:
            if hand[0][2] < TRAVEL - 0.02 and np.hypot(*(hand[0] - red[:3])[:2]) < 0.05:
                if opening < upper + 0.01:
                    return {HAND: HandTarget(hand[0], hand[1], opened)}
                return {HAND: retreat(hand, TRAVEL, opened)}
            return {HAND: HandTarget(np.array([*hand[0][:2], TRAVEL]), hand[1], opened)}
        turn = nearest_turn(upright_yaw(red[3:]), np.pi / 2)
        grasp = Grasp(red[:3] + [0, 0, max(0.018 - red[2], 0.0)], pointing_down(turn), 2 * upper)
        if not is_held(hand, opening, grasp):
            return {HAND: pick(hand, grasp, opened)}
        # Where the hand must be for the cube, as it hangs in it, to lie on the other
        goal = np.array([*green[:2], green[2] + lower + upper + 0.002]) + hand[0] - red[:3]
        aim = pointing_down(nearest_turn(upright_yaw(green[3:]), np.pi / 2))
        return {HAND: place(hand, (goal, aim), grasp, TRAVEL, opened)}
