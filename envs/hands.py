"""Tasks of robots with hands: state, two ways of acting, the cerebellum inside the step, and what experts share."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium as gym
import mujoco
import numpy as np

from robotics.controllers.arms import ArmCerebellum, ArmSettings, HandTarget, ServoTargets
from robotics.controllers.model import NominalModel
from robotics.controllers.motors import servo_gains, servo_zeros
from robotics.controllers.robot_spec import RobotSpec
from robotics.envs.base import Array, Executor, MujocoTask, Observation
from robotics.envs.robots import Actuation
from robotics.envs.state import Simulation

#: Numbers per hand in an `ee` action: position [m], orientation wxyz, finger distance from the middle [m].
EE_SIZE = 8


class HandTask(MujocoTask):
    """Actions:

    * `joint`: absolute targets of the joint servos [rad] and the fingers' distance from the middle [m], in the order of
      `SPEC.joints`. The servos are MuJoCo's own actuators; nothing else runs inside the step.
    * `ee` (8 per hand): position [m], orientation quaternion wxyz and fingers' distance [m]. The cerebellum runs inside
      the step: Cartesian MPC at 50 Hz, torque-level whole-body control in every physics step (500 Hz, unless the task
      takes longer ones).

    `state` begins with the same joint positions as in `joint`, measured.
    """

    ACTION_MODES = ("joint", "ee")
    SPEC: ClassVar[RobotSpec]
    #: Workspace of `ee` targets [m], and the fingers' distance from the middle, closed and open [m].
    WORKSPACE: ClassVar[tuple[Array, Array]]
    FINGERS: ClassVar[tuple[float, float]]

    @classmethod
    @abstractmethod
    def make_cerebellum(
        cls,
        solver: str = "daqp",
        believed: mujoco.MjModel | None = None,
        period_s: float = ArmSettings.wbc_period_s,
    ) -> ArmCerebellum:
        """The robot's controller with a nominal model of its own, or of the robot as the scene `believed` has it.

        It is asked for torques every `period_s` [s]. Asked less often, it moves the hands slower than it believes.
        """

    @abstractmethod
    def build_robot(self, actuation: Actuation) -> mujoco.MjSpec:
        """The robot with nothing to do, actuated by a `servo` or a `motor` per joint."""

    @abstractmethod
    def add_objects(self, spec: mujoco.MjSpec) -> None:
        """Add what the task is about to the scene."""

    @classmethod
    def joints_in(cls, observation: Observation) -> Array:
        """The positions of `SPEC.joints` (n,) that an observation tells [rad, m]."""
        return observation["state"][: len(cls.SPEC.joints)]

    def __init__(self, action_mode: str = "joint", **kwargs: Any) -> None:
        super().__init__(action_mode, **kwargs)
        model = self.model
        self._q = np.array([model.joint(joint).qposadr[0] for joint in self.SPEC.joints])
        coupled = np.flatnonzero(model.eq_type == int(mujoco.mjtEq.mjEQ_JOINT))
        self._followers, self._leaders = (model.jnt_qposadr[ids[coupled]] for ids in (model.eq_obj1id, model.eq_obj2id))

    def build_scene(self, action_mode: str) -> mujoco.MjSpec:
        spec = self.build_robot("servo" if action_mode == "joint" else "motor")
        self.add_objects(spec)
        return spec

    def make_action_space(self) -> gym.spaces.Box:
        if self.action_mode == "joint":
            low, high = self.model.actuator_ctrlrange.T
        else:
            low, high = (
                np.tile([*corner, *quat, opening], len(self.SPEC.end_effectors))
                for corner, quat, opening in zip(self.WORKSPACE, ([-1] * 4, [1] * 4), self.FINGERS, strict=True)
            )
        return gym.spaces.Box(low.astype(np.float32), high.astype(np.float32))

    def make_executor(self) -> Executor | None:
        if self.action_mode != "ee":
            return None
        return HandExecutor(self.model, self.make_cerebellum(period_s=self.model.opt.timestep))

    def place_robot(self, simulation: Simulation) -> None:
        """The robot at its home, at rest, holding itself there."""
        simulation.qpos[self._q] = self.SPEC.home
        simulation.qpos[self._followers] = simulation.qpos[self._leaders]
        if self.action_mode == "joint":
            simulation.ctrl[:] = self.SPEC.home

    def joint_positions(self) -> Array:
        """Measured positions of the actuated joints of the serial environment, float64 (n,). A copy."""
        return self.data.qpos[self._q]

    def joint_velocities(self) -> Array:
        """Measured velocities of the actuated joints of the serial environment, float64 (n,). A copy."""
        return self.data.qvel[[self.model.joint(joint).dofadr[0] for joint in self.SPEC.joints]]


class HandExecutor:
    """Carries out `ee` actions by the cerebellum, whose period is the physics step."""

    def __init__(self, model: mujoco.MjModel, cerebellum: ArmCerebellum) -> None:
        joints = cerebellum.model.spec.joints
        self._q = np.array([model.joint(j).qposadr[0] for j in joints])
        self._v = np.array([model.joint(j).dofadr[0] for j in joints])
        self._cerebellum = cerebellum

    def reset(self, simulation: Simulation) -> None:
        self._cerebellum.reset(simulation.qpos[self._q])

    def plan(self, action: Array, simulation: Simulation) -> None:
        self._cerebellum.plan(hand_targets(self._cerebellum.model.spec, action))

    def control(self, simulation: Simulation) -> Array:
        torque, _ = self._cerebellum.torque(simulation.qpos[self._q], simulation.qvel[self._v])
        return torque

    def faults(self) -> dict[str, int]:
        return self._cerebellum.faults.as_dict()


class HandExpert:
    """Decides from the observation alone where the hands shall go; the cerebellum decides how.

    No clock and no script: what to do next follows from what is seen, so that an expert recovers from what it has
    dropped and can label any state that a learner gets into.
    """

    def reset(self, env: gym.Env) -> None:
        task = env.unwrapped
        assert isinstance(task, HandTask)
        self.task = task
        self._period_s = 1.0 / task.control_hz
        self._cerebellum = task.make_cerebellum(believed=task.believed)
        in_joints = task.action_mode == "joint"
        self._servos = self.make_servos(task.believed) if in_joints else None
        #: What `targets` reads hand poses from: the controller's own model is elsewhere, ahead of the robot.
        self.kinematics = NominalModel(self._cerebellum.model.model, task.SPEC) if in_joints else self._cerebellum.model
        if self._servos is not None:
            self._servos.reset(task.joint_positions())

    def make_servos(self, model: mujoco.MjModel) -> ServoTargets:
        """The cerebellum for the servos of `model`."""
        return servo_targets(model, self._cerebellum)

    def resume(self) -> None:
        """Somebody else has moved the robot: go on from where it is now and as it moves."""
        if self._servos is not None:
            self._servos.resume(self.task.joint_positions(), self.task.joint_velocities())

    def act(self, observation: Observation) -> Array:
        q = self.task.joints_in(observation).astype(np.float64)
        self.kinematics.update(q, np.zeros_like(q))
        targets = self.targets(q, {key: values.astype(np.float64) for key, values in observation.items()})
        if self._servos is None:
            return ee_action(self.task.SPEC, targets).astype(np.float32)
        return self._servos.follow(targets, q, self._period_s).astype(np.float32)

    def half_size(self, box: str, axis: int = 0) -> float:
        """Half the extent of the geom `box` along its axis, as the expert believes it to be [m]."""
        return float(self.task.believed.geom(box).size[axis])

    def targets(self, q: Array, observation: Mapping[str, Array]) -> dict[str, HandTarget]:
        """Where every hand shall go, at joint positions q (n,); `kinematics` are there already."""
        raise NotImplementedError

    def faults(self) -> dict[str, int]:
        return self._cerebellum.faults.as_dict()


def as_in(scene: mujoco.MjModel | None, robot: mujoco.MjModel) -> mujoco.MjModel:
    """The model `robot`, its masses, inertias, friction and damping now those that it has in a `scene`, if given."""
    if scene is None:
        return robot
    for body in (robot.body(number) for number in range(1, robot.nbody)):
        for field in ("mass", "inertia", "ipos", "iquat"):
            getattr(body, field)[:] = getattr(scene.body(body.name), field)
    for joint in (robot.joint(number) for number in range(robot.njnt)):
        for field in ("damping", "frictionloss", "armature"):
            getattr(joint, field)[:] = getattr(scene.joint(joint.name), field)
    mujoco.mj_setConst(robot, mujoco.MjData(robot))
    return robot


def servo_targets(model: mujoco.MjModel, cerebellum: ArmCerebellum) -> ServoTargets:
    """The cerebellum for the position servos of `model`."""
    low, high = model.actuator_ctrlrange.T
    return ServoTargets(cerebellum, *servo_gains(model), low, high, servo_zeros(model))


def hand_targets(spec: RobotSpec, action: Array) -> dict[str, HandTarget]:
    """The targets that an `ee` action (8 per hand,) spells; a zero quaternion means no rotation."""
    targets = {}
    for hand, part in zip(spec.end_effectors, action.reshape(-1, EE_SIZE), strict=True):
        norm = np.linalg.norm(part[3:7])
        quat = part[3:7] / norm if norm > 1e-6 else np.array([1.0, 0, 0, 0])
        targets[hand.name] = HandTarget(part[:3].copy(), quat, float(part[7]))
    return targets


def ee_action(spec: RobotSpec, targets: Mapping[str, HandTarget]) -> Array:
    """The `ee` action (8 per hand,) that spells the targets."""
    chosen = [targets[hand.name] for hand in spec.end_effectors]
    return np.concatenate([[*target.position, *target.quat, target.opening] for target in chosen])
