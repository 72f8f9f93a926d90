"""Reach: the hand of the 7-DoF arm goes to a pose and stays there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np

from robotics.controllers.arms import HandTarget
from robotics.envs.base import Array, Expert, Observation
from robotics.envs.hands import HandExpert
from robotics.envs.manipulation import HAND, ArmTask, add_picture
from robotics.envs.rewards import tolerance
from robotics.envs.robots.panda import ARM
from robotics.envs.state import Simulation, State, measured_once

# -- constants ------------------------------------------------------------------------------------------------------

#: Goals are poses of the hand for joint positions this far around home, so that every one of them can be reached [rad].
AROUND_HOME = np.array([0.6, 0.5, 0.5, 0.5, 0.6, 0.5, 0.8])
#: `joint` actions, the finger apart, stay this far around home: all goals lie well inside [rad].
JOINT_SPAN = 1.1
#: The box that goals lie in [m].
GOALS = (np.array([0.3, -0.45, 0.15]), np.array([0.75, 0.45, 0.75]))
NEAR, TURNED = 0.01, 0.1  # [m], [rad]


# -- success: a pure function of the state --------------------------------------------------------------------------


@dataclass(frozen=True)
class ReachState:
    """What success depends on: of one simulation, or of n."""

    distance: Array | float  # of the hand from its goal [m]
    angle: Array | float  # between the hand's orientation and its goal's [rad]


def reached(state: ReachState) -> Array:
    """Within 1 cm and 0.1 rad: bool, (n,) or ()."""
    return np.less_equal(state.distance, NEAR) & np.less_equal(state.angle, TURNED)


# -- task -----------------------------------------------------------------------------------------------------------


class Reach(ArmTask):
    """The hand goes to a random pose in front of the arm, drawn as three coloured axes."""

    task = "move the hand to the marked pose"
    paraphrases = ("bring the gripper to the coloured axes and align it with them", "reach the target pose")

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        spec.nuserdata = 7  # the goal: position, orientation wxyz
        goal = add_picture(spec, "goal", mujoco.mjtGeom.mjGEOM_SPHERE, [0.012], [0.95, 0.85, 0.2, 1])
        for axis in range(3):
            colour, end = [0.15, 0.15, 0.15, 1.0], np.zeros(3)
            colour[axis], end[axis] = 0.9, 0.08
            line = goal.add_geom(type=mujoco.mjtGeom.mjGEOM_CAPSULE, size=[0.005, 0, 0], rgba=colour, mass=0)
            line.fromto, line.contype, line.conaffinity = [0, 0, 0, *end], 0, 0

    def __init__(self, action_mode: str = "joint", **kwargs: Any) -> None:
        super().__init__(action_mode, **kwargs)
        self._imagined = mujoco.MjData(self.model)
        self._hand, self._grip = self.model.body("hand").id, self.model.site("grip").id

    def make_action_space(self) -> gym.spaces.Box:
        space = super().make_action_space()
        if self.action_mode == "joint":
            home = np.array(ARM.home[:7], np.float32)
            space.low[:7] = np.maximum(space.low[:7], home - JOINT_SPAN)
            space.high[:7] = np.minimum(space.high[:7], home + JOINT_SPAN)
        return gym.spaces.Box(space.low, space.high)

    def place(self, simulation: Simulation, rng: np.random.Generator, options: Mapping[str, Any]) -> None:
        """The pose of the hand for random joint positions."""
        self.refuse_options(options)
        self.place_robot(simulation)
        data, goal = self._imagined, simulation.userdata
        home = np.array(ARM.home[:7])
        while True:
            data.qpos[self._q[:7]] = home + rng.uniform(-AROUND_HOME, AROUND_HOME)
            mujoco.mj_kinematics(self.model, data)
            goal[:3], goal[3:] = data.site_xpos[self._grip], data.xquat[self._hand]
            if (goal[:3] >= GOALS[0]).all() and (goal[:3] <= GOALS[1]).all():
                break
        simulation.mocap_pos[0], simulation.mocap_quat[0] = goal[:3], goal[3:]

    def state_spaces(self) -> dict[str, gym.spaces.Box]:
        return {
            "state": gym.spaces.Box(-5.0, 5.0, (16,), np.float32),
            "environment_state": gym.spaces.Box(-4.0, 4.0, (13,), np.float32),
        }

    def observe(self, state: State) -> Observation:
        """`state`: joint positions, and a tenth of their velocities; `environment_state`: the goal's position [m] and
        orientation wxyz, and the way there from the hand: position [m], rotation vector [rad], both in the world."""
        v = 0.1 * state.qvel[:, : len(self._q)]
        way, turn = self._errors(state)
        return {
            "state": np.concatenate([state.qpos[:, self._q], v], axis=1),
            "environment_state": np.concatenate([state.userdata, way, turn], axis=1),
        }

    def _errors(self, state: State) -> tuple[Array, Array]:
        """From the hand to the goal: (n, 3) [m] and rotation vectors (n, 3) [rad]."""
        goal, quat = state.userdata, state.xquat[:, self._hand]
        return goal[:, :3] - state.site("grip"), rotation_between(quat, goal[:, 3:])

    @measured_once
    def reach_state(self, state: State) -> ReachState:
        """What success depends on, read from the simulations."""
        way, turn = self._errors(state)
        return ReachState(np.sqrt((way**2).sum(axis=-1)), np.sqrt((turn**2).sum(axis=-1)))

    def reward_terms(self, state: State) -> dict[str, Array]:
        reach = self.reach_state(state)
        near, aligned = tolerance(reach.distance, NEAR / 2, 0.3), tolerance(reach.angle, TURNED / 2, 1.0)
        precise = tolerance(reach.distance, NEAR / 2, 0.05) * tolerance(reach.angle, TURNED / 2, 0.3)
        return {"near": near, "aligned": near * aligned, "precise": precise}

    def succeeds(self, state: State) -> Array:
        return reached(self.reach_state(state))

    def expert(self) -> Expert:
        return ReachExpert()


def rotation_between(first: Array, second: Array) -> Array:
    """Rotation vectors (n, 3) [rad] in the world that turn the orientations `first` (n, 4) into `second` (n, 4)."""
    w, x, y, z = (first[..., i] for i in range(4))
    a, b, c, d = (second[..., i] for i in range(4))
    real = a * w + b * x + c * y + d * z
    vector = np.stack(
        [b * w - a * x + d * y - c * z, c * w - a * y + b * z - d * x, d * w - a * z + c * x - b * y], axis=-1
    )
    sine = np.sqrt((vector**2).sum(axis=-1))
    angle = 2.0 * np.arctan2(sine, np.abs(real))
    scale = np.where(sine > 1e-9, angle / np.maximum(sine, 1e-9), 2.0) * np.where(real < 0, -1.0, 1.0)
    return vector * scale[..., None]


# -- expert ---------------------------------------------------------------------------------------------------------


class ReachExpert(HandExpert):
    """There, by the shortest way that the arm's limits allow."""

    def targets(self, q: Array, observation: Mapping[str, Array]) -> dict[str, HandTarget]:
        goal = observation["environment_state"][:7]
        return {HAND: HandTarget(goal[:3], goal[3:] / np.linalg.norm(goal[3:]), ARM.home[7])}
