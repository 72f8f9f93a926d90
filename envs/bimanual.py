"""Tasks of the ALOHA robot: its state, its two ways of acting, and the cerebellum inside the step."""

from typing import Any, ClassVar

import gymnasium as gym
import mujoco
import numpy as np

from robotics.controllers.arms import ArmCerebellum, HandTarget, ServoTargets
from robotics.envs.base import Array, Executor, MujocoTask
from robotics.envs.robots.aloha import ALOHA, CLOSED, OPEN, SIDES, aloha_scene, collision_margin, nominal_model
from robotics.envs.state import Simulation

#: Numbers per hand in an `ee` action: position [m], orientation wxyz, finger distance from the middle [m].
EE_SIZE = 8


class BimanualTask(MujocoTask):
    """Actions:

    * `joint` (14): absolute targets of the joint servos, per arm waist … wrist_rotate [rad] and the fingers' distance
      from the middle [m]. The servos are MuJoCo's own actuators; nothing else runs inside the step.
    * `ee` (16): per arm position [m], orientation quaternion wxyz and fingers' distance [m]. The cerebellum runs inside
      the step: Cartesian MPC at 50 Hz, torque-level whole-body control at 500 Hz.

    State (14): the same joint positions as in `joint`, measured.
    """

    robot_type = "aloha"
    ACTION_MODES = ("joint", "ee")
    camera_names = ("top", "angle", "left_wrist", "right_wrist")
    default_camera = "angle"
    #: Workspace of `ee` targets [m].
    WORKSPACE: ClassVar[tuple[Array, Array]] = (np.array([-0.6, -0.4, 0.0]), np.array([0.6, 0.4, 0.6]))

    def __init__(self, action_mode: str = "joint", **kwargs: Any) -> None:
        super().__init__(action_mode, **kwargs)
        self._q = np.array([self.model.joint(j).qposadr[0] for j in ALOHA.joints])
        self._followers = np.array([self.model.joint(f"{side}/right_finger").qposadr[0] for side in SIDES])
        self._leaders = np.array([self.model.joint(f"{side}/left_finger").qposadr[0] for side in SIDES])

    def build_scene(self, action_mode: str) -> mujoco.MjSpec:
        spec = aloha_scene("servo" if action_mode == "joint" else "motor")
        for side in SIDES:
            spec.camera(f"{side}/wrist").name = f"{side}_wrist"
        self.add_objects(spec)
        return spec

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        """Add what the task is about to the scene."""
        raise NotImplementedError

    def make_action_space(self) -> gym.spaces.Box:
        if self.action_mode == "joint":
            low, high = self.model.actuator_ctrlrange.T
        else:
            low = np.tile([*self.WORKSPACE[0], -1, -1, -1, -1, CLOSED], 2)
            high = np.tile([*self.WORKSPACE[1], 1, 1, 1, 1, OPEN], 2)
        return gym.spaces.Box(low.astype(np.float32), high.astype(np.float32))

    def make_executor(self) -> Executor | None:
        return HandExecutor(self.model) if self.action_mode == "ee" else None

    def place_robot(self, simulation: Simulation) -> None:
        """The robot at its home, at rest, holding itself there."""
        simulation.qpos[self._q] = ALOHA.home
        simulation.qpos[self._followers] = simulation.qpos[self._leaders]
        if self.action_mode == "joint":
            simulation.ctrl[:] = ALOHA.home

    def joint_positions(self) -> Array:
        """Measured positions of the actuated joints of the serial environment, float64 (14,). A copy."""
        return self.data.qpos[self._q]


class HandExecutor:
    """Carries out `ee` actions by the cerebellum."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._q = np.array([model.joint(j).qposadr[0] for j in ALOHA.joints])
        self._v = np.array([model.joint(j).dofadr[0] for j in ALOHA.joints])
        self._cerebellum = make_cerebellum()

    def reset(self, simulation: Simulation) -> None:
        self._cerebellum.reset(simulation.qpos[self._q])

    def plan(self, action: Array, simulation: Simulation) -> None:
        self._cerebellum.plan(hand_targets(action))

    def control(self, simulation: Simulation) -> Array:
        torque, _ = self._cerebellum.torque(simulation.qpos[self._q], simulation.qvel[self._v])
        return torque

    def faults(self) -> dict[str, int]:
        return self._cerebellum.faults.as_dict()


def make_cerebellum(solver: str = "daqp") -> ArmCerebellum:
    """The robot's controller with a nominal model of its own."""
    model = nominal_model()
    return ArmCerebellum(model, ALOHA, collision_margin(model), solver=solver)


def servo_targets(model: mujoco.MjModel, cerebellum: ArmCerebellum) -> ServoTargets:
    """The cerebellum for the position servos of `model`."""
    low, high = model.actuator_ctrlrange.T
    return ServoTargets(cerebellum, model.actuator_gainprm[:, 0], -model.actuator_biasprm[:, 2], low, high)


def hand_targets(action: Array) -> dict[str, HandTarget]:
    """The two hand targets that an `ee` action (16,) spells; a zero quaternion means no rotation."""
    targets = {}
    for side, part in zip(SIDES, action.reshape(2, EE_SIZE), strict=True):
        norm = np.linalg.norm(part[3:7])
        quat = part[3:7] / norm if norm > 1e-6 else np.array([1.0, 0, 0, 0])
        targets[side] = HandTarget(part[:3].copy(), quat, float(part[7]))
    return targets


def ee_action(targets: dict[str, HandTarget]) -> Array:
    """The `ee` action (16,) that spells two hand targets."""
    return np.concatenate([[*targets[s].position, *targets[s].quat, targets[s].opening] for s in SIDES])
