"""Tasks of the humanoid: what it measures, its two ways of acting, the cerebellum behind both."""

from abc import abstractmethod
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np

from robotics.controllers.humanoid.biped import Biped
from robotics.controllers.humanoid.settings import BipedSettings
from robotics.controllers.legged.model import LeggedState
from robotics.controllers.motors import aimed, servo_gains
from robotics.envs.base import Array, Executor, Expert, MujocoTask, Observation
from robotics.envs.orientation import upright
from robotics.envs.robots.humanoid import CORNERS, HUMANOID, SIDES, humanoid_scene, nominal_humanoid
from robotics.envs.state import Simulation, State, measured_once
from robotics.envs.touch import add_touch_sensor

JOINTS = len(HUMANOID.joints)
HANDS = tuple(hand.name for hand in HUMANOID.end_effectors)
#: Of the position servos by what they move [N m/rad, N m s/rad]: legs as in Unitree's own training (unitree_rl_gym);
#: the waist, which it leaves out, stiff for what hangs on it; the arms as the ankles, the wrists softer.
SERVOS = {
    "hip": (100.0, 2.0), "knee": (150.0, 4.0), "ankle": (40.0, 2.0), "waist": (200.0, 5.0),
    "shoulder": (40.0, 1.0), "elbow": (40.0, 1.0), "wrist": (20.0, 0.5),
}  # fmt: skip
STIFFNESS, DAMPING = np.array([next(SERVOS[part] for part in SERVOS if part in joint) for joint in HUMANOID.joints]).T
#: Where the pelvis (height) and a hand (x, y, z) can be sent: lowest and highest [m].
PELVIS, HAND_SPACE = (0.5, 0.78), (np.array([-0.4, -0.8, 0.2]), np.array([0.8, 0.8, 1.5]))
#: How fast `ee` lets the pelvis rise and sink [m/s].
FASTEST = 0.5


class HumanoidTask(MujocoTask):
    """Actions:

    * `joint` (29,): targets of the joint servos [rad], in the order of `HUMANOID.joints`.
    * `ee` (7,): height of the pelvis, where the left hand shall be, and the right one: (3,) each in the world [m]. The
      cerebellum runs inside the step: capture point and whole-body control at 500 Hz.

    `state` is what the robot's own sensors say, and what it is told: which way is down in its frame (3,), turning rate
    (3,) [rad/s], joint positions (29,) [rad] and velocities (29,) [rad/s], the last servo targets (29,) (in `ee`
    torques), the commanded height of the pelvis [m], how fast that changes [m/s], and the hand that is to reach (1 the
    left one, -1 the right one). `environment_state` is what they do not: position (3,) [m], orientation wxyz, velocity
    (3,) [m/s] in the world, which share of each sole is on the ground (2,), where the hands are (2, 3) and the goal
    (3,) [m].
    """

    robot_type = "humanoid"
    ACTION_MODES = ("joint", "ee")
    camera_names = ("track", "front")
    default_camera = "track"
    FIELDS = ("site_xpos", "sensordata")
    #: Height of the pelvis [m] and cosine of its tilt below which the robot has fallen.
    FALLEN, TIPPED = 0.4, 0.7

    def build_scene(self, action_mode: str) -> mujoco.MjSpec:
        spec = humanoid_scene()  # films itself: the camera "track"
        head = spec.body("waist_pitch")
        head.add_camera(name="front", pos=[0.1, 0, 0.42], xyaxes=[0, -1, 0, 0.57, 0, 0.82], fovy=90)
        for side in SIDES:
            add_touch_sensor(spec, f"{side}/ground", f"{side}_ankle_roll", "world")
        if action_mode == "joint":
            for actuator, stiffness, damping in zip(spec.actuators, STIFFNESS, DAMPING, strict=True):
                limit, span = actuator.ctrlrange.copy(), spec.joint(actuator.target).range
                actuator.set_to_position(kp=stiffness, kv=damping)
                actuator.forcerange, actuator.ctrlrange = limit, span
        self.add_objects(spec)
        return spec

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        """Add what there is besides the robot and the floor."""

    def __init__(self, action_mode: str = "joint", **kwargs: Any) -> None:
        super().__init__(action_mode, **kwargs)
        self._imagined = mujoco.MjData(self.model)
        self._soles = [self.model.geom(ball).id for ball in HUMANOID.feet]

    def make_action_space(self) -> gym.spaces.Box:
        low, high = self.model.actuator_ctrlrange.T
        if self.action_mode == "ee":
            low, high = (np.array([PELVIS[end], *HAND_SPACE[end], *HAND_SPACE[end]]) for end in (0, 1))
        return gym.spaces.Box(low.astype(np.float32), high.astype(np.float32))

    def make_executor(self) -> Executor | None:
        return HumanoidExecutor(1.0 / self.control_hz) if self.action_mode == "ee" else None

    def stand(self, simulation: Simulation, offset: Array) -> None:
        """At the origin at rest, the joints `offset` (29,) [rad] from home, the lowest point of the soles on the
        ground."""
        data, balls = self._imagined, self._soles
        data.qpos[:7] = [0, 0, 0, 1, 0, 0, 0]
        data.qpos[7:] = np.array(HUMANOID.home) + offset
        mujoco.mj_kinematics(self.model, data)
        data.qpos[2] = -(data.geom_xpos[balls, 2] - self.model.geom_size[balls, 0]).min()
        simulation.qpos[:] = data.qpos
        if self.action_mode == "joint":
            simulation.ctrl[:] = data.qpos[7:]

    @abstractmethod
    def command(self, state: State) -> Array:
        """The commanded height of the pelvis now [m], how fast it changes [m/s], which hand is to reach (n, 3)."""

    @abstractmethod
    def goal(self, state: State) -> Array:
        """Where that hand is to be (n, 3) [m]."""

    def state_spaces(self) -> dict[str, gym.spaces.Box]:
        return {
            "state": gym.spaces.Box(-200.0, 200.0, (9 + 3 * JOINTS,), np.float32),
            "environment_state": gym.spaces.Box(-1000.0, 1000.0, (21,), np.float32),
        }

    def observe(self, state: State) -> Observation:
        q, v = state.qpos, state.qvel
        w, x, y, z = (q[:, 3 + i] for i in range(4))
        down = np.stack([-2 * (x * z - w * y), -2 * (y * z + w * x), 2 * (x * x + y * y) - 1], axis=-1)
        felt = [down, v[:, 3:6], q[:, 7:], v[:, 6:], state.ctrl, self.command(state)]
        hands = [state.site(hand) for hand in HANDS]
        return {
            "state": np.concatenate(felt, axis=1),
            "environment_state": np.concatenate(
                [q[:, :7], v[:, :3], self.grounded(state), *hands, self.goal(state)], axis=1
            ),
        }

    def grounded(self, state: State) -> Array:
        """Which share of each sole is on the ground (n, 2)."""
        balls = [state.sensor(f"{side}/ground") for side in SIDES]
        return np.concatenate(balls, axis=1) / len(CORNERS)

    def tilt(self, state: State) -> Array:
        """How far the pelvis leans [rad] (n,)."""
        return np.arccos(np.clip(upright(state.qpos[:, 3:7]), -1.0, 1.0))

    @measured_once
    def fallen(self, state: State) -> Array:
        """Tipped by more than 45 degrees, or the pelvis near the ground (n,)."""
        return (upright(state.qpos[:, 3:7]) < self.TIPPED) | (state.qpos[:, 2] < self.FALLEN)

    def expert(self) -> Expert:
        return HumanoidExpert()


class HumanoidExecutor:
    """Carries out heights and places of hands by the cerebellum, which sees the true state."""

    def __init__(self, period_s: float) -> None:
        self.biped, self._period_s = Biped(nominal_humanoid(), HUMANOID), period_s

    def reset(self, simulation: Simulation) -> None:
        self.biped.reset(_state(simulation.qpos, simulation.qvel, np.ones(len(SIDES))))
        self._height = float(simulation.qpos[2])

    def plan(self, action: Array, simulation: Simulation) -> None:
        height, goals = float(action[0]), action[1:].reshape(len(HANDS), 3)
        speed = (height - self._height) / self._period_s
        self._height = height
        self.biped.crouch(height, min(max(speed, -FASTEST), FASTEST))
        for hand, goal in zip(HANDS, goals, strict=True):
            self.biped.hands.reach(hand, goal)

    def control(self, simulation: Simulation) -> Array:
        grounded = np.array([simulation.sensor(f"{side}/ground")[0] for side in SIDES])
        return self.biped.torque(_state(simulation.qpos, simulation.qvel, grounded))

    def faults(self) -> dict[str, int]:
        return self.biped.faults.as_dict()


class HumanoidExpert:
    """Passes the command on, or, in `joint`, lets the cerebellum decide once per control step where the servos aim."""

    def reset(self, env: gym.Env) -> None:
        task = env.unwrapped
        assert isinstance(task, HumanoidTask)
        self.space = task.action_space
        self._servos = servo_gains(task.believed) if task.action_mode == "joint" else None
        self._period_s = period_s = 1.0 / task.control_hz
        # A foot that has been told to swing lifts off at once: at this rate, one step on the ground is one too many
        settings = BipedSettings(wbc_period_s=period_s, plan_period_s=period_s, both_feet_s=0.0)
        self.biped = Biped(nominal_humanoid(), HUMANOID, settings)
        self._resting = _resting_hands(self.biped)
        self._begun = False

    def act(self, observation: Observation) -> Array:
        sensed, known = (observation[key].astype(np.float64) for key in ("state", "environment_state"))
        (height, rate, side), goal = sensed[-3:], known[-3:]
        reaching = 0 if side > 0 else 1
        if self._servos is None:
            hands = known[:3] + self._resting
            hands[reaching] = goal
            return np.clip([height, *hands.ravel()], self.space.low, self.space.high).astype(np.float32)
        q, v = sensed[6 : 6 + JOINTS], sensed[6 + JOINTS : 6 + 2 * JOINTS]
        qpos = np.concatenate([known[:3], known[3:7] / np.linalg.norm(known[3:7]), q])
        state = _state(qpos, np.concatenate([known[7:10], sensed[3:6], v]), known[10:12])
        if not self._begun:
            self.biped.reset(state)
            self._begun = True
        self.biped.crouch(height, rate)
        self.biped.hands.reach(HANDS[reaching], goal)
        torque = self.biped.torque(state)
        aim = aimed(q, v, torque, *self._servos, self._period_s)
        return np.clip(aim, self.space.low, self.space.high).astype(np.float32)

    def faults(self) -> dict[str, int]:
        return self.biped.faults.as_dict()


def _state(qpos: Array, qvel: Array, grounded: Array) -> LeggedState:
    touch = np.repeat(grounded > 0, len(CORNERS))
    return LeggedState(
        *(part.copy() for part in (qpos[:3], qpos[3:7], qvel[:3], qvel[3:6], qpos[7:], qvel[6:])), touch=touch
    )


def _resting_hands(biped: Biped) -> Array:
    """From the pelvis to each hand at home (2, 3) [m]."""
    home = biped.model.home()
    biped.model.update(home)
    sites = [biped.model.model.site(hand.site).id for hand in HUMANOID.end_effectors]
    return np.array([biped.model.point(site).position for site in sites]) - home.position
