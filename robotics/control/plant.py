"""The simulated quadruped that a controller is tried on, with what the controller does not know about it."""

from collections import deque
from dataclasses import dataclass

import mujoco
import numpy as np

from robotics.controllers.legged.estimator import LeggedMeasurement
from robotics.controllers.legged.model import LeggedState
from robotics.controllers.robot_spec import RobotSpec
from robotics.controllers.rotation import rotation_matrix
from robotics.envs.robots.quadruped import QUADRUPED, quadruped_scene

Array = np.ndarray


@dataclass(frozen=True)
class Conditions:
    """How the simulated robot and its world differ from what the controller believes.

    `push` is a sideways impulse on the base [N s] over 0.1 s at `push_at_s`; `payload` a mass on its back [kg]; `slope`
    the rise of the ground ahead [rad]; `delay_s` the age of the torques that the motors get.
    """

    push: float = 0.0
    push_at_s: float = 2.0
    payload: float = 0.0
    friction: float = 0.8
    slope: float = 0.0
    delay_s: float = 0.0


class LeggedPlant:
    """A quadruped in MuJoCo: torques in, true state out."""

    PUSH_S = 0.1

    def __init__(self, conditions: Conditions, spec: RobotSpec = QUADRUPED) -> None:
        self.conditions, self.spec = conditions, spec
        scene = quadruped_scene(conditions.friction)
        _tilt(scene, conditions.slope)
        if conditions.payload:
            _load(scene, conditions.payload)
        self.model = scene.compile()
        self.data = mujoco.MjData(self.model)
        self._base = self.model.body("base").id
        self._q = np.array([self.model.joint(j).qposadr[0] for j in spec.joints])
        self._v = np.array([self.model.joint(j).dofadr[0] for j in spec.joints])
        delayed = round(conditions.delay_s / self.model.opt.timestep)
        self._queue: deque[Array] = deque([np.zeros(len(spec.joints))] * delayed)

    def place(self, state: LeggedState, rng: np.random.Generator) -> None:
        """Put the robot at `state`, parallel to the ground, with joints off by up to a hundredth of a radian."""
        tilt = np.array([np.cos(self.conditions.slope / 2), 0, -np.sin(self.conditions.slope / 2), 0])
        self.data.qpos[:3], self.data.qpos[3:7] = rotation_matrix(tilt) @ state.position, tilt
        self.data.qpos[self._q] = state.q + rng.uniform(-0.01, 0.01, len(state.q))
        mujoco.mj_forward(self.model, self.data)

    def state(self) -> LeggedState:
        """The true state now."""
        position, velocity = self.data.qpos, self.data.qvel
        return LeggedState(
            position[:3].copy(),
            position[3:7].copy(),
            velocity[:3].copy(),
            velocity[3:6].copy(),
            position[self._q],
            velocity[self._v],
        )

    def measure(self) -> LeggedMeasurement:
        """What the robot's own sensors say, without noise."""
        return LeggedMeasurement(
            self.data.qpos[3:7].copy(),
            self.data.sensor("gyro").data.copy(),
            self.data.sensor("accelerometer").data.copy(),
            self.data.qpos[self._q],
            self.data.qvel[self._v],
        )

    def step(self, torque: Array) -> None:
        """One step of the simulation under the (delayed) torques."""
        self._queue.append(torque)
        self.data.ctrl[:] = self._queue.popleft()
        pushing = 0 <= self.data.time - self.conditions.push_at_s < self.PUSH_S
        self.data.xfrc_applied[self._base, 1] = self.conditions.push / self.PUSH_S if pushing else 0.0
        mujoco.mj_step(self.model, self.data)

    def heading_velocity(self) -> Array:
        """Forward and leftward velocity of the base in its heading [m/s] and its turning rate [rad/s], (3,)."""
        R = self.data.xmat[self._base].reshape(3, 3)
        yaw = np.arctan2(R[1, 0], R[0, 0])
        vx, vy = self.data.qvel[:2]
        turning = (R @ self.data.qvel[3:6])[2]
        return np.array([np.cos(yaw) * vx + np.sin(yaw) * vy, np.cos(yaw) * vy - np.sin(yaw) * vx, turning])

    def height(self) -> float:
        """Distance of the base from the ground, perpendicular to it [m]."""
        normal = [-np.sin(self.conditions.slope), 0, np.cos(self.conditions.slope)]
        return float(self.data.xpos[self._base] @ normal)

    def fell(self) -> bool:
        """Whether the base is tipped by more than 60 degrees or close to the ground."""
        return bool(self.data.xmat[self._base].reshape(3, 3)[2, 2] < 0.5 or self.height() < 0.1)


def _tilt(scene: mujoco.MjSpec, slope: float) -> None:
    """Let the ground rise ahead, about the origin."""
    scene.geom("floor").quat = [np.cos(slope / 2), 0, -np.sin(slope / 2), 0]


def _load(scene: mujoco.MjSpec, mass: float) -> None:
    load = scene.body("base").add_body(name="payload", pos=[0, 0, 0.1])
    load.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[0.1, 0.07, 0.04],
        mass=mass,
        rgba=[0.8, 0.5, 0.2, 1],
        contype=0,
        conaffinity=0,
    )
