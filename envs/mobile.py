"""Tasks of the robot with two hands on a holonomic base: its scene, two ways of acting, what its experts share."""

import math
from collections.abc import Mapping
from dataclasses import replace

import gymnasium as gym
import mujoco
import numpy as np

from robotics.controllers.arms import ArmSettings, HandTarget, ServoTargets
from robotics.controllers.mobile import BaseSettings, BaseTwist, MobileCerebellum
from robotics.controllers.mobile_servos import MobileServoTargets
from robotics.controllers.motors import servo_zeros
from robotics.controllers.rotation import rotated, rotation_matrix, wrapped
from robotics.envs.base import Array, Executor, Observation
from robotics.envs.hands import HandExecutor, HandExpert, HandTask, as_in, ee_action, hand_targets
from robotics.envs.robots import Actuation
from robotics.envs.robots.aloha import CLOSED, OPEN, SIDES
from robotics.envs.robots.mobile_aloha import MOBILE_ALOHA, SPEED, collision_margin, mobile_scene, nominal_model
from robotics.envs.state import Simulation, State

#: Hands weigh ten, so that arms rather than the base follow their targets; limits are kept clear of.
SETTINGS = ArmSettings(hand_weight=10.0, position_margin=0.002, velocity_share=0.97)
#: The base goes where it is told, whatever the hands would have it do.
BASE = BaseSettings(weight=300.0)
#: Where hands may be told to go, in the frame of the base [m].
WORKSPACE = (np.array([0.2, -1.0, 0.4]), np.array([1.2, 1.0, 1.8]))


class MobileTask(HandTask):
    """Two hands, `left` and `right`, on a base. Actions begin with the base's velocity in its own frame: ahead and to
    the left [m/s], turning left [rad/s]. Then:

    * `joint` (17): absolute targets of the arms' servos, per arm waist … wrist_rotate [rad] and the left finger [m].
      The servos, those of the base's velocity too, are MuJoCo's own; nothing else runs inside the step.
    * `ee` (19): 8 per hand, position [m], orientation wxyz, fingers' distance [m], in the frame of the base: it moves
      along. The cerebellum runs inside the step.

    `state` (20): the base's place on the floor [m] and heading within +-pi [rad], the arms' joints as in `joint`,
    measured; then the base's velocity as in the action.
    """

    robot_type = "mobile_aloha"
    camera_names = ("room", "head", "chase", "left_wrist", "right_wrist")
    default_camera = "room"
    SPEC = MOBILE_ALOHA
    WORKSPACE = WORKSPACE
    FINGERS = (CLOSED, OPEN)

    def build_robot(self, actuation: Actuation) -> mujoco.MjSpec:
        spec = mobile_scene(actuation)
        for side in SIDES:
            spec.camera(f"{side}/wrist").name = f"{side}_wrist"
        world = spec.worldbody
        world.add_light(pos=[0, 0, 4], dir=[0.1, 0.1, -1], diffuse=[0.3] * 3, specular=[0.0] * 3, castshadow=False)
        world.add_camera(name="room", pos=[0, -3.4, 3.2], xyaxes=[1, 0, 0, 0, 0.63, 0.77], fovy=50)
        return spec

    @classmethod
    def make_cerebellum(
        cls,
        solver: str = "daqp",
        believed: mujoco.MjModel | None = None,
        period_s: float = ArmSettings.wbc_period_s,
    ) -> MobileCerebellum:
        model = as_in(believed, nominal_model())
        settings = replace(SETTINGS, wbc_period_s=period_s)
        return MobileCerebellum(model, MOBILE_ALOHA, collision_margin(model), settings, solver, base=BASE)

    def make_action_space(self) -> gym.spaces.Box:
        hands = super().make_action_space()
        if self.action_mode == "joint":
            return hands
        speed = np.array(SPEED, np.float32)
        return gym.spaces.Box(np.concatenate([-speed, hands.low]), np.concatenate([speed, hands.high]))

    def make_executor(self) -> Executor | None:
        if self.action_mode != "ee":
            return None
        return MobileExecutor(self.model, self.make_cerebellum(period_s=self.model.opt.timestep))

    def place_base(self, simulation: Simulation, x: float, y: float, yaw: float) -> None:
        """After `place_robot`: the base to somewhere on the floor [m, rad]."""
        simulation.qpos[self._q[:3]] = x, y, yaw

    def robot_state(self, state: State) -> Array:
        """`state` of the observation (n, 20)."""
        q = state.qpos[:, self._q]
        q[:, 2] = wrapped(q[:, 2])
        vx, vy, wz = (state.velocity(joint)[:, 0] for joint in self.SPEC.joints[:3])
        c, s = np.cos(q[:, 2]), np.sin(q[:, 2])
        return np.concatenate([q, np.stack([c * vx + s * vy, c * vy - s * vx, wz], axis=-1)], axis=1)


class MobileExecutor(HandExecutor):
    """Carries out `ee` actions by the cerebellum."""

    _cerebellum: MobileCerebellum

    def plan(self, action: Array, simulation: Simulation) -> None:
        self._cerebellum.drive(BaseTwist(*map(float, action[:3])))
        self._cerebellum.plan(hand_targets(self._cerebellum.model.spec, action[3:]), with_base=True)


class MobileExpert(HandExpert):
    """As `HandExpert`; decides how the base drives as well, and where hands go in the frame of the base."""

    _servos: MobileServoTargets | None

    def make_servos(self, model: mujoco.MjModel) -> ServoTargets:
        low, high = model.actuator_ctrlrange.T
        gain, damping = model.actuator_gainprm[:, 0], -model.actuator_biasprm[:, 2]
        assert isinstance(self._cerebellum, MobileCerebellum)
        return MobileServoTargets(self._cerebellum, gain, damping, low, high, servo_zeros(model))

    def act(self, observation: Observation) -> Array:
        q = self.task.joints_in(observation).astype(np.float64)
        self.kinematics.update(q, np.zeros_like(q))
        targets, twist = self.decide(q, {key: values.astype(np.float64) for key, values in observation.items()})
        if self._servos is None:
            hands = ee_action(self.task.SPEC, targets)
            return np.concatenate([[twist.vx, twist.vy, twist.wz], hands]).astype(np.float32)
        self._servos.drive(twist)
        return self._servos.follow(targets, q, self._period_s).astype(np.float32)

    def decide(self, q: Array, observation: Mapping[str, Array]) -> tuple[dict[str, HandTarget], BaseTwist]:
        """Where every hand shall go, in the frame of the base, and how the base shall drive, at joint positions q (n,);
        `kinematics` are there already."""
        raise NotImplementedError


# -- what experts share ---------------------------------------------------------------------------------------------

#: How a base is driven to a place: per metre of distance [1/s], at most [m/s], and as one that will brake [m/s^2];
#: per radian [1/s], at most [rad/s].
GAIN, CRUISE, BRAKING, TURN_GAIN, TURNING = 1.6, 0.9, 0.4, 1.6, 0.9
#: A base takes 0.3 s to take on a speed; half as long, where more than that is asked for by what is missing.
LEAD = 1.0
STILL = BaseTwist(0.0, 0.0, 0.0)


def towards(base: Array, velocity: Array, goal: Array) -> BaseTwist:
    """How a base at (x, y, heading), with the velocity (3,) in its own frame, drives to another such place: straight,
    turning the short way on the way."""
    away = goal[:2] - base[:2]
    far = math.hypot(*away)
    x, y = away * (min(GAIN * far, CRUISE, math.sqrt(2 * BRAKING * far)) / max(far, 1e-9))
    turn = math.remainder(goal[2] - base[2], math.tau)
    c, s = math.cos(base[2]), math.sin(base[2])
    wanted = np.array([c * x + s * y, c * y - s * x, min(max(TURN_GAIN * turn, -TURNING), TURNING)])
    asked = np.clip(wanted + LEAD * (wanted - velocity), -np.array(SPEED), SPEED)
    return BaseTwist(*map(float, asked))


def in_base(base: Array, target: HandTarget) -> HandTarget:
    """A target in the world as one in the frame of a base at (x, y, heading)."""
    turned = rotated(np.array([1.0, 0, 0, 0]), np.array([0, 0, base[2]]))
    position = rotation_matrix(turned).T @ (target.position - [*base[:2], 0.0])
    return HandTarget(position, rotated(target.quat, np.array([0, 0, -base[2]])), target.opening)
