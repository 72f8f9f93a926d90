"""Pick and place: the 7-DoF arm puts a yellow cube into the bin of the named colour, past one to three other things."""

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
COLOURS = {"red": (0.8, 0.15, 0.12, 1), "green": (0.15, 0.6, 0.25, 1), "blue": (0.15, 0.35, 0.8, 1)}
#: The bins stand in a row to the arm's left, in any order: their middles, half their inner width, and height [m].
SLOTS = np.array([[0.38, 0.33, 0.0], [0.55, 0.33, 0.0], [0.72, 0.33, 0.0]])
INNER, WALL, HEIGHT = 0.06, 0.004, 0.06
#: Where cube and distractors may lie, and how far apart at least [m].
REGION = (np.array([0.38, -0.26]), np.array([0.66, 0.16]))
APART = 0.11
DISTRACTORS = ("cylinder", "box", "ball")
#: Where distractors are that this instance does not have: on the floor, under the table [m].
AWAY = np.array([[-0.1, -0.3, -0.72], [-0.1, 0.0, -0.72], [-0.1, 0.3, -0.72]])
RESTING = 0.02  # [m/s]


# -- success: a pure function of the state --------------------------------------------------------------------------


@dataclass(frozen=True)
class PlaceState:
    """What success depends on: of one simulation, or of n."""

    offset: Array | tuple[float, float]  # of the cube from the middle of the named bin, level (…, 2) [m]
    height: Array | float  # of the cube's centre above the table [m]
    speed: Array | float  # of the cube [m/s]
    touched: Array | bool  # by anything of the arm


def placed(state: PlaceState) -> Array:
    """The whole cube below the rim of the named bin and inside its walls, at rest, let go of: bool, (n,) or ()."""
    inside = np.all(np.less_equal(np.abs(state.offset), INNER - HALF * 0.9), axis=-1)
    low = np.less_equal(state.height, HEIGHT - HALF)
    return inside & low & np.less_equal(state.speed, RESTING) & np.logical_not(state.touched)


# -- task -----------------------------------------------------------------------------------------------------------


class PickPlace(ArmTask):
    """The yellow cube goes into the bin of a colour that the instruction names; bins and distractors vary."""

    task = "put the yellow cube into the bin of the named colour"
    paraphrases = ("sort the yellow cube into the bin that is named", "drop the yellow block in the named coloured bin")

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        spec.nuserdata = 1  # the number of the named colour
        add_object(spec, "cube", mujoco.mjtGeom.mjGEOM_BOX, [HALF] * 3, 0.06, [0.95, 0.8, 0.1, 1])
        add_touch_sensors(spec, "cube")
        for name, kind, size in (
            ("cylinder", mujoco.mjtGeom.mjGEOM_CYLINDER, [0.02, 0.03]),
            ("box", mujoco.mjtGeom.mjGEOM_BOX, [0.03, 0.018, 0.02]),
            ("ball", mujoco.mjtGeom.mjGEOM_SPHERE, [0.022]),
        ):
            body = add_object(spec, name, kind, size, 0.08, [0.55, 0.45, 0.6, 1])
            body.geoms[0].condim, body.geoms[0].friction = 6, [1, 0.005, 1e-3]
        for colour, rgba in COLOURS.items():
            _add_bin(spec, colour, rgba)

    def __init__(self, action_mode: str = "joint", **kwargs: Any) -> None:
        super().__init__(action_mode, **kwargs)
        self._bins = [int(self.model.body(colour).mocapid[0]) for colour in COLOURS]

    def place(self, simulation: Simulation, rng: np.random.Generator, options: Mapping[str, Any]) -> None:
        """Uniform places; `options={"colour": name}` names the bin."""
        self.refuse_options(options, "colour")
        self.place_robot(simulation)
        simulation.mocap_pos[self._bins] = SLOTS[rng.permutation(len(SLOTS))]
        named = int(rng.integers(len(COLOURS)))
        colours = list(COLOURS)
        simulation.userdata[0] = colours.index(self.name_option(options, "colour", colours[named], colours))
        count = int(rng.integers(1, len(DISTRACTORS) + 1))
        there = rng.permutation(len(DISTRACTORS))[:count]
        spots: list[Array] = []
        while len(spots) < 1 + count:
            spot = rng.uniform(*REGION)
            if all(np.hypot(*(spot - other)) >= APART for other in spots):
                spots.append(spot)
        simulation.joint("cube")[:] = lying(*spots[0], HALF, rng.uniform(-np.pi / 4, np.pi / 4))
        for number, name in enumerate(DISTRACTORS):
            height = (0.03, 0.02, 0.022)[number]
            x, y, z = AWAY[number]
            if number in there:
                (x, y), z = spots[1 + int(np.flatnonzero(there == number)[0])], 0.0
            simulation.joint(name)[:] = lying(x, y, z + height, rng.uniform(-np.pi, np.pi))

    def state_spaces(self) -> dict[str, gym.spaces.Box]:
        return {
            "state": gym.spaces.Box(-4.0, 4.0, (8,), np.float32),
            "environment_state": gym.spaces.Box(-10.0, 10.0, (27,), np.float32),
        }

    def observe(self, state: State) -> Observation:
        """`state`: joint positions; `environment_state`: position [m] and orientation wxyz of the cube, which of
        `COLOURS` is named, the middle of the named bin [m], the distractors' positions [m], and the middles of all
        bins in the order of `COLOURS` [m]."""
        bins = state.mocap_pos[:, self._bins, :2]
        things = [state.joint(name)[:, :3] for name in DISTRACTORS]
        seen = [observed_pose(state, "cube"), self._named(state), self._named_bin(state), *things]
        return {
            "state": state.qpos[:, self._q],
            "environment_state": np.concatenate([*seen, bins.reshape(state.size, -1)], axis=1),
        }

    def _named(self, state: State) -> Array:
        """Which of `COLOURS` is named, bool (n, 3)."""
        return state.userdata[:, :1] == np.arange(len(COLOURS))

    def _named_bin(self, state: State) -> Array:
        """The middle of the named bin (n, 2) [m]."""
        return (state.mocap_pos[:, self._bins, :2] * self._named(state)[:, :, None]).sum(axis=1)

    @measured_once
    def place_state(self, state: State) -> PlaceState:
        """What success depends on, read from the simulations."""
        cube = state.joint("cube")
        offset = cube[:, :2] - self._named_bin(state)
        return PlaceState(offset, cube[:, 2], speed(state, "cube"), touches(state, "cube")[1])

    def reward_terms(self, state: State) -> dict[str, Array]:
        now, fingers = self.place_state(state), touches(state, "cube")[0]
        done = placed(now).astype(float)
        away = state.site("grip") - state.joint("cube")[:, :3]
        return {
            "near": np.maximum(tolerance(np.sqrt((away**2).sum(axis=-1)), 0.01, 0.3), done),
            "grasped": np.maximum(np.all(fingers, axis=-1), done),
            "over": tolerance(np.sqrt((np.asarray(now.offset) ** 2).sum(axis=-1)), INNER - HALF, 0.3),
            "placed": done,
        }

    def succeeds(self, state: State) -> Array:
        return placed(self.place_state(state))

    def lost(self, state: State) -> Array:
        """The cube has fallen off the table."""
        return state.joint("cube")[:, 2] < -0.05

    def instructions(self, state: State) -> list[str]:
        colours = list(COLOURS)
        return [f"put the yellow cube into the {colours[int(named)]} bin" for named in state.userdata[:, 0]]

    def expert(self) -> Expert:
        return PickPlaceExpert()


def _add_bin(spec: mujoco.MjSpec, colour: str, rgba: tuple[float, ...]) -> None:
    """A box without a lid that stands wherever its `mocap_pos` is."""
    body = spec.worldbody.add_body(name=colour, mocap=True, pos=SLOTS[list(COLOURS).index(colour)])
    outer = INNER + WALL
    walls = [([outer, outer, 0.002], [0, 0, 0.002])]
    for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        half = [WALL if x else outer, WALL if y else outer, HEIGHT / 2]
        walls.append((half, [x * (INNER + WALL), y * (INNER + WALL), HEIGHT / 2]))
    for half, at in walls:
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=half, pos=at, rgba=rgba, **TOUCHING)


# -- expert ---------------------------------------------------------------------------------------------------------

#: Height of a hand on its way, and of a hand that lets the cube fall into the bin [m].
TRAVEL, RELEASE = 0.24, 0.095


class PickPlaceExpert(HandExpert):
    """Takes the cube and lets go of it inside the named bin; takes it out of a wrong one."""

    def targets(self, q: Array, observation: Mapping[str, Array]) -> dict[str, HandTarget]:
        seen = observation["environment_state"]
        cube, goal = seen[:7], seen[10:12]
        hand, opening, opened = self.kinematics.pose(HAND), float(q[7]), FINGER_RANGE[1]
        inside = np.abs(cube[:2] - goal).max() < INNER - HALF * 0.8 and cube[2] < HEIGHT
        if inside:
            if hand[0][2] < TRAVEL - 0.02:
                return {HAND: retreat(hand, TRAVEL, opened)}
            return {HAND: HandTarget(np.array([*goal, TRAVEL]), hand[1], opened)}
        half = self.half_size("cube")
        turn = pointing_down(nearest_turn(upright_yaw(cube[3:]), np.pi / 2))
        grasp = Grasp(cube[:3] + [0, 0, max(0.018 - cube[2], 0.0)], turn, 2 * half, approach=0.12)
        if not is_held(hand, opening, grasp):
            return {HAND: pick(hand, grasp, opened)}
        return {HAND: place(hand, (np.array([*goal, RELEASE]), pointing_down(0.0)), grasp, TRAVEL, opened)}
