"""Tasks of the quadruped: what it measures, its two ways of acting, the cerebellum behind both."""

from abc import abstractmethod
from dataclasses import replace
from typing import ClassVar

import gymnasium as gym
import mujoco
import numpy as np

from robotics.controllers.legged.gaits import gait
from robotics.controllers.legged.locomotion import Locomotion, LocomotionSettings, Twist
from robotics.controllers.legged.model import LeggedState
from robotics.controllers.motors import aimed, servo_gains
from robotics.controllers.robot_spec import RobotSpec
from robotics.envs.base import Array, Executor, Expert, MujocoTask, Observation
from robotics.envs.orientation import upright, yaw_of
from robotics.envs.robots.quadruped import LEGS, QUADRUPED, nominal_quadruped, quadruped_scene
from robotics.envs.state import Simulation, State, measured_once
from robotics.envs.touch import add_touch_sensor

#: Of the position servos: soft, as legs on the ground want them [N m/rad, N m s/rad].
STIFFNESS, DAMPING = 40.0, 1.0
JOINTS = len(QUADRUPED.joints)
#: The gait of everything here, which the clock of the observation goes with.
GAIT = "trot"
PERIOD = gait(GAIT).period_s
#: By how much the expert's velocity may jump [m/s].
SURGE = 0.9
#: Twists that can be commanded: forwards, to the left [m/s], turning left [rad/s].
TWIST = np.array([2.0, 0.8, 3.0])


class QuadrupedTask(MujocoTask):
    """Actions:

    * `joint` (12,): targets of the joint servos [rad], in the order of `QUADRUPED.joints`.
    * `twist` (3,): velocity of the base in its heading: forwards, to the left [m/s], turning left [rad/s]. The
      cerebellum runs inside the step: convex MPC at 50 Hz, whole-body control at 500 Hz.

    `state` is what the robot's own sensors say, and what it is told: which way is down in its frame (3,), turning rate
    (3,) [rad/s], joint positions (12,) [rad] and velocities (12,) [rad/s], the last servo targets (12,) (in `twist`
    torques), a clock (sine and cosine, one turn a trot: without it, who looks at one moment can not tell which feet are
    due), the commanded twist (3,). `environment_state` is what they do not: position (3,) [m], orientation wxyz,
    velocity (3,) [m/s] in the world, which feet touch the ground (4,).
    """

    robot_type = "quadruped"
    SPEC: ClassVar[RobotSpec] = QUADRUPED
    ACTION_MODES = ("joint", "twist")
    camera_names = ("track", "front")
    default_camera = "track"
    HOLD_STEPS = 1  # success is of the whole episode
    #: Heights of the base above the lowest foot below which it lies on the ground [m].
    FALLEN = 0.13

    def build_scene(self, action_mode: str) -> mujoco.MjSpec:
        spec = quadruped_scene()
        base = spec.body("base")
        track = mujoco.mjtCamLight.mjCAMLIGHT_TRACK
        base.add_camera(name="track", pos=[0.2, -1.6, 0.7], xyaxes=[1, 0, 0, 0, 0.38, 0.92], mode=track)
        base.add_camera(name="front", pos=[0.3, 0, 0.05], xyaxes=[0, -1, 0, 0.4, 0, 0.9], fovy=80)
        for leg in LEGS:
            add_touch_sensor(spec, f"{leg}/ground", f"{leg}_calf", "world")
        if action_mode == "joint":
            for actuator in spec.actuators:
                limit, span = actuator.ctrlrange.copy(), spec.joint(actuator.target).range
                actuator.set_to_position(kp=STIFFNESS, kv=DAMPING)
                actuator.forcerange, actuator.ctrlrange = limit, span
        self.add_ground(spec)
        return spec

    def add_ground(self, spec: mujoco.MjSpec) -> None:
        """Add what there is to walk on besides the floor."""

    def make_action_space(self) -> gym.spaces.Box:
        low, high = self.model.actuator_ctrlrange.T if self.action_mode == "joint" else (-TWIST, TWIST)
        return gym.spaces.Box(low.astype(np.float32), high.astype(np.float32))

    def make_executor(self) -> Executor | None:
        return LeggedExecutor() if self.action_mode == "twist" else None

    def stand(self, simulation: Simulation, x: float = 0.0, y: float = 0.0, z: float = 0.0, yaw: float = 0.0) -> None:
        """At home at that place, at rest."""
        simulation.qpos[:3] = [x, y, z + 0.288]
        simulation.qpos[3:7] = [np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]
        simulation.qpos[7:] = QUADRUPED.home
        if self.action_mode == "joint":
            simulation.ctrl[:] = QUADRUPED.home

    @abstractmethod
    def command(self, state: State) -> Array:
        """The commanded twists now (n, 3)."""

    def state_spaces(self) -> dict[str, gym.spaces.Box]:
        return {
            "state": gym.spaces.Box(-100.0, 100.0, (11 + 3 * JOINTS,), np.float32),
            "environment_state": gym.spaces.Box(-1000.0, 1000.0, (14,), np.float32),
        }

    def observe(self, state: State) -> Observation:
        q, v = state.qpos, state.qvel
        w, x, y, z = (q[:, 3 + i] for i in range(4))
        down = np.stack([-2 * (x * z - w * y), -2 * (y * z + w * x), 2 * (x * x + y * y) - 1], axis=-1)
        turn = 2 * np.pi / PERIOD * state.time
        clock = np.stack([np.sin(turn), np.cos(turn)], axis=-1)
        felt = [down, v[:, 3:6], q[:, 7:], v[:, 6:], state.ctrl, clock, self.command(state)]
        touch = np.concatenate([state.sensor(f"{leg}/ground") for leg in LEGS], axis=1) > 0
        return {
            "state": np.concatenate(felt, axis=1),
            "environment_state": np.concatenate([q[:, :7], v[:, :3], touch], axis=1),
        }

    @classmethod
    def joints_in(cls, observation: Observation) -> Array:
        """The positions of `SPEC.joints` (12,) that an observation tells [rad]."""
        return observation["state"][6 : 6 + JOINTS]

    def twist(self, state: State) -> Array:
        """How the bases move in their heading: forwards, to the left [m/s], turning left [rad/s] (n, 3)."""
        v, yaw = state.qvel, yaw_of(state.qpos[:, 3:7])
        c, s = np.cos(yaw), np.sin(yaw)
        return np.stack([c * v[:, 0] + s * v[:, 1], c * v[:, 1] - s * v[:, 0], v[:, 5]], axis=-1)

    @measured_once
    def fallen(self, state: State) -> Array:
        """Tipped by more than 60 degrees, or the base near the lowest foot (n,)."""
        feet = np.stack([state.body(f"{leg}_calf")[:, 2] for leg in LEGS], axis=-1).min(axis=-1) - 0.12
        return (upright(state.qpos[:, 3:7]) < 0.5) | (state.qpos[:, 2] - feet < self.FALLEN)

    def expert(self) -> Expert:
        return QuadrupedExpert()


class LeggedExecutor:
    """Carries out twists by the cerebellum, which sees the true state."""

    def __init__(self) -> None:
        self.locomotion = Locomotion(nominal_quadruped(), QUADRUPED)

    def reset(self, simulation: Simulation) -> None:
        self.locomotion.reset(_legged_state(simulation.qpos, simulation.qvel, None))

    def plan(self, action: Array, simulation: Simulation) -> None:
        self.locomotion.walk(GAIT, Twist(*action.tolist()))

    def control(self, simulation: Simulation) -> Array:
        touch = np.array([simulation.sensor(f"{leg}/ground")[0] > 0 for leg in LEGS])
        return self.locomotion.torque(_legged_state(simulation.qpos, simulation.qvel, touch))

    def faults(self) -> dict[str, int]:
        return self.locomotion.faults.as_dict()


class QuadrupedExpert:
    """Passes the command on, or, in `joint`, lets the cerebellum decide once per control step where the servos aim."""

    settings = LocomotionSettings()

    def reset(self, env: gym.Env) -> None:
        task = env.unwrapped
        assert isinstance(task, QuadrupedTask)
        self.space = task.action_space
        self._servos = servo_gains(task.believed) if task.action_mode == "joint" else None
        self._period_s = 1.0 / task.control_hz
        settings = replace(self.settings, wbc_period_s=self._period_s)
        self.locomotion = Locomotion(nominal_quadruped(), QUADRUPED, settings)
        self._begun = False

    def resume(self) -> None:
        """Somebody else moves the robot: the expert has seen all of it, and its gait goes on."""

    def act(self, observation: Observation) -> Array:
        sensed, known = (observation[key].astype(np.float64) for key in ("state", "environment_state"))
        command = self._shaped(self.prepared(sensed[-3:], known), known)
        if self._servos is None:
            return np.clip(command, self.space.low, self.space.high).astype(np.float32)
        position, velocity = known[:7], known[7:10]
        q, v = QuadrupedTask.joints_in(observation).astype(np.float64), sensed[6 + JOINTS : 6 + 2 * JOINTS]
        state = LeggedState(position[:3], position[3:] / np.linalg.norm(position[3:]), velocity, sensed[3:6], q, v)
        if not self._begun:
            self.locomotion.reset(state)
            self._begun = True
        state = LeggedState(*list(vars(state).values())[:6], touch=known[10:14] > 0.5)
        self.locomotion.walk(GAIT, Twist(*command.tolist()))
        torque = self.locomotion.torque(state)
        aim = aimed(q, v, torque, *self._servos, self._period_s)
        return np.clip(aim, self.space.low, self.space.high).astype(np.float32)

    def prepared(self, command: Array, known: Array) -> Array:
        """The twist (3,) to walk by, for the commanded one, once the controller is set to what is seen ahead."""
        return command

    def _shaped(self, command: Array, known: Array) -> Array:
        """The twist (3,) to walk by on the way to the commanded one: not further from the present velocity than feet
        can make good at once."""
        yaw = yaw_of(known[3:7])
        c, s = np.cos(yaw), np.sin(yaw)
        velocity = np.array([c * known[7] + s * known[8], c * known[8] - s * known[7]])
        ahead = np.clip(command[:2] - velocity, -SURGE, SURGE)
        return np.array([*(velocity + ahead), command[2]])

    def faults(self) -> dict[str, int]:
        return self.locomotion.faults.as_dict()


def _legged_state(qpos: Array, qvel: Array, touch: Array | None) -> LeggedState:
    parts = (qpos[:3], qpos[3:7], qvel[:3], qvel[3:6], qpos[7:], qvel[6:])
    return LeggedState(*(part.copy() for part in parts), touch=touch)
