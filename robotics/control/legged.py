"""The simulated quadruped under its controller, with what the controller does not know about it."""

import time
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from robotics.control import overlay
from robotics.control.machine import Machine, embedded
from robotics.control.session import beyond_limits, rms, settled
from robotics.control.trial import Conditions, Trial
from robotics.controllers.legged.estimator import LeggedEstimator, LeggedMeasurement
from robotics.controllers.legged.locomotion import Locomotion, LocomotionSettings
from robotics.controllers.legged.model import LeggedState
from robotics.controllers.motors import Motors
from robotics.controllers.robot_spec import RobotSpec
from robotics.controllers.rotation import rotated, rotation_matrix
from robotics.envs.robots.ground import add_boxes, add_stairs
from robotics.envs.robots.quadruped import QUADRUPED, quadruped_scene
from robotics.errors import UsageError

Array = np.ndarray

EMBEDDED = embedded("quadruped", QUADRUPED, quadruped_scene)
ACCELEROMETER, GYRO = "robotics_accelerometer", "robotics_gyro"


class LeggedSession:
    """A quadruped that its controller moves by what its sensors say, or by the truth."""

    camera = "robotics_track"

    def __init__(self, trial: Trial, settings: LocomotionSettings | None = None) -> None:
        self.trial = trial
        machine = trial.machine() or EMBEDDED
        self.controller = Locomotion(machine.nominal(), machine.spec, settings, solver=trial.solver)
        self.period_s = self.controller.settings.wbc_period_s
        self.plant = LeggedPlant(trial.conditions, machine, self.period_s, trial.seed)
        self.model, self.data = self.plant.model, self.plant.data
        self.plant.place(self.controller.model.home(), np.random.default_rng(trial.seed))
        self.controller.reset(self.plant.state())
        self.controller.walk(trial.task, trial.twist)
        self.estimator: LeggedEstimator | None = None
        if trial.state == "estimated":
            self.estimator = LeggedEstimator(machine.nominal(), machine.spec, self.period_s)
            self.estimator.reset(self.plant.state())
        self.timing_ms: defaultdict[str, list[float]] = defaultdict(list)
        self.limits_exceeded = 0
        self._velocities: list[Array] = []
        self._heights: list[float] = []
        self._estimate_errors: list[Array] = []

    def tick(self) -> None:
        measured = None if self.estimator is None else self.plant.measure()
        started = time.perf_counter()
        if self.estimator is None or measured is None:
            state = self.plant.state()
        else:
            state = self.estimator.update(measured, self.controller.trusted_feet)
            self.timing_ms["estimator"].append((time.perf_counter() - started) * 1e3)
            self._estimate_errors.append(state.velocity - self.plant.state().velocity)
        torque = self.controller.torque(state)
        self.timing_ms["tick"].append((time.perf_counter() - started) * 1e3)
        for name, value in self.controller.timing_ms.items():
            self.timing_ms[name].append(value)
        self.controller.timing_ms.clear()
        self.limits_exceeded += beyond_limits(self.controller.model, torque, *self.plant.joints())
        self.plant.step(torque)
        self._velocities.append(self.plant.heading_velocity())
        self._heights.append(self.plant.height())

    def fell(self) -> bool:
        return self.plant.fell()

    def draw(self, scene: mujoco.MjvScene) -> None:
        """Forces under the feet as the simulator feels them, footholds, and where the body is meant to go."""
        weight = self.controller.model.mass * 9.81
        for foot, force in zip(self.plant.feet(), self.plant.contact_forces(), strict=True):
            overlay.arrow(scene, foot, 0.3 * force / weight, overlay.FORCE)
        for foothold in self.controller.footholds():
            overlay.ball(scene, foothold, overlay.TARGET)
        overlay.path(scene, self.controller.horizon_path(), overlay.PLAN)

    def faults(self) -> dict[str, int]:
        return self.controller.faults.as_dict()

    def results(self) -> dict[str, Any]:
        """How the base moved; `height_error` is its mean above where it shall be [m], `estimate_rms` the error of the
        estimated velocity (3,) [m/s]."""
        twist = self.trial.twist
        velocities = settled(self._velocities, self.period_s)
        errors = rms(velocities - [twist.vx, twist.vy, twist.wz])
        height = settled(self._heights, self.period_s) - self.controller.model.home().position[2]
        estimated = self.estimator is not None
        return {
            "velocity_mean": velocities.mean(axis=0).tolist(),
            "tracking_rms": {**dict(zip(("vx", "vy", "wz"), errors, strict=True)), "height": rms(height)},
            "height_error": float(height.mean()),
            "estimate_rms": rms(settled(self._estimate_errors, self.period_s)) if estimated else None,
            "position": self.plant.state().position.tolist(),
        }


@dataclass(frozen=True)
class SensorNoise:
    """Standard deviations of one reading: what a cheap inertial unit and the encoders of a geared motor deliver."""

    attitude: float = 0.002  # [rad]
    gyro: float = 0.01  # [rad/s]
    accelerometer: float = 0.1  # [m/s^2]
    joint: float = 0.0005  # [rad]
    joint_velocity: float = 0.05  # [rad/s]


class LeggedPlant:
    """A quadruped in MuJoCo: torques in, true state and noisy measurements out."""

    TOUCH_SHARE = 0.03  # of its weight, on one foot: what closes the switch in it
    FALLEN = 0.35  # share of its usual height at which it lies on the ground

    def __init__(
        self, conditions: Conditions, machine: Machine = EMBEDDED, period_s: float = 0.002, seed: int = 0
    ) -> None:
        self.conditions, spec = conditions, machine.spec
        scene = machine.scene(conditions.friction)
        base = _base_body(scene, spec)
        _equip(base, scene)
        if conditions.slope:
            _tilt(scene, conditions.slope)
        if conditions.terrain == "boxes":
            add_boxes(scene, seed)
        elif conditions.terrain == "stairs":
            add_stairs(scene)
        if conditions.payload:
            _load(base, conditions.payload)
        self.model = scene.compile()
        self.data = mujoco.MjData(self.model)
        self._motors = Motors(self.model, spec.joints)
        self._substeps = round(period_s / self.model.opt.timestep)
        free = self.model.joint(spec.base)
        self._base = int(self.model.jnt_bodyid[free.id])
        self._base_q, self._base_v = int(free.qposadr[0]), int(free.dofadr[0])
        self._weight = float(self.model.body_subtreemass[self._base]) * 9.81
        self._feet = [self.model.geom(foot).id for foot in spec.feet]
        self._foot_of = self._foot_geoms()
        self._q = np.array([self.model.joint(j).qposadr[0] for j in spec.joints])
        self._v = np.array([self.model.joint(j).dofadr[0] for j in spec.joints])
        self._queue: deque[Array] = deque([np.zeros(len(spec.joints))] * conditions.late(period_s))
        towards = conditions.push_towards
        noise, n = SensorNoise(), len(spec.joints)
        self._noise = np.random.default_rng([seed, 1])
        self._noises = (
            *((std, 3) for std in (noise.attitude, noise.gyro, noise.accelerometer)),
            *((std, n) for std in (noise.joint, noise.joint_velocity)),
        )
        self._push = conditions.push / conditions.PUSH_S * np.array([np.cos(towards), np.sin(towards), 0.0])

    def _foot_geoms(self) -> dict[int, int]:
        """Geom -> the foot that it counts as: whatever of a last link touches the ground, unless it has more feet."""
        bodies = self.model.geom_bodyid.tolist()
        feet = [bodies[foot] for foot in self._feet]
        alone = {body: number for number, body in enumerate(feet) if feet.count(body) == 1}
        whole = {geom: alone[body] for geom, body in enumerate(bodies) if body in alone}
        return whole | {foot: number for number, foot in enumerate(self._feet)}

    def _foot_at(self, geom: int, place: Array) -> int | None:
        """The foot that something which touches at `place` (3,) counts as."""
        return self._foot_of.get(geom)

    def place(self, state: LeggedState, rng: np.random.Generator) -> None:
        """Put the robot at `state`, parallel to the ground, with joints off by up to a hundredth of a radian."""
        tilt = np.array([np.cos(self.conditions.slope / 2), 0, -np.sin(self.conditions.slope / 2), 0])
        at, position = self._base_q, rotation_matrix(tilt) @ state.position
        self.data.qpos[at : at + 3], self.data.qpos[at + 3 : at + 7] = position, tilt
        self.data.qpos[self._q] = state.q + rng.uniform(-0.01, 0.01, len(state.q))
        self._upright = float(state.position[2])
        mujoco.mj_forward(self.model, self.data)

    def state(self) -> LeggedState:
        """The true state now."""
        position, velocity = self.data.qpos[self._base_q :], self.data.qvel[self._base_v :]
        return LeggedState(
            position[:3].copy(),
            position[3:7].copy(),
            velocity[:3].copy(),
            velocity[3:6].copy(),
            self.data.qpos[self._q],
            self.data.qvel[self._v],
            self.touch(),
        )

    def joints(self) -> tuple[Array, Array]:
        """True positions and velocities of the joints (n,) [rad], [rad/s]."""
        return self.data.qpos[self._q], self.data.qvel[self._v]

    def measure(self) -> LeggedMeasurement:
        """What the robot's own sensors say."""
        tilt, turning, force, q, v = (self._noise.normal(0.0, std, size) for std, size in self._noises)
        return LeggedMeasurement(
            rotated(self.data.qpos[self._base_q + 3 : self._base_q + 7], tilt),
            self.data.sensor(GYRO).data + turning,
            self.data.sensor(ACCELEROMETER).data + force,
            self.data.qpos[self._q] + q,
            self.data.qvel[self._v] + v,
            self.touch(),
        )

    def touch(self) -> Array:
        """What the switches in the feet say, bool (feet,)."""
        return np.linalg.norm(self.contact_forces(), axis=1) > self.TOUCH_SHARE * self._weight

    def step(self, torque: Array) -> None:
        """One period of the controller under the (delayed) torques."""
        self._queue.append(torque)
        torque = self._queue.popleft()
        pushing = self.conditions.pushing(self.data.time)
        self.data.xfrc_applied[self._base, :3] = self._push if pushing else 0.0
        for _ in range(self._substeps):
            self._motors.apply(self.data, torque, self.data.qpos[self._q], self.data.qvel[self._v])
            mujoco.mj_step(self.model, self.data)

    def heading_velocity(self) -> Array:
        """Forward and leftward velocity of the base in its heading [m/s] and its turning rate [rad/s], (3,)."""
        R = self.data.xmat[self._base].reshape(3, 3)
        yaw = np.arctan2(R[1, 0], R[0, 0])
        vx, vy = self.data.qvel[self._base_v : self._base_v + 2]
        turning = (R @ self.data.qvel[self._base_v + 3 : self._base_v + 6])[2]
        return np.array([np.cos(yaw) * vx + np.sin(yaw) * vy, np.cos(yaw) * vy - np.sin(yaw) * vx, turning])

    def height(self) -> float:
        """Distance of the base from the ground, perpendicular to it [m]; on uneven ground, from the lowest foot."""
        if self.conditions.terrain != "flat":
            soles = self.feet()[:, 2] - self.model.geom_size[self._feet, 0]
            return float(self.data.xpos[self._base, 2] - soles.min())
        normal = [-np.sin(self.conditions.slope), 0, np.cos(self.conditions.slope)]
        return float(self.data.xpos[self._base] @ normal)

    def feet(self) -> Array:
        """Centres of the feet (feet, 3) [m]."""
        return self.data.geom_xpos[self._feet]

    def contact_forces(self) -> Array:
        """What the ground does to each foot: (feet, 3) [N] in the world."""
        forces, wrench = np.zeros((len(self._feet), 3)), np.zeros(6)
        contacts = self.data.contact
        for number, pair in enumerate(contacts.geom.tolist()):
            for geom, sign in zip(pair, (-1.0, 1.0), strict=True):
                foot = self._foot_at(geom, contacts.pos[number])
                if foot is not None:
                    mujoco.mj_contactForce(self.model, self.data, number, wrench)
                    forces[foot] += sign * (wrench[:3] @ contacts.frame[number].reshape(3, 3))
        return forces

    def fell(self) -> bool:
        """Whether the base is tipped by more than 60 degrees or close to the ground."""
        tipped = self.data.xmat[self._base].reshape(3, 3)[2, 2] < 0.5
        return bool(tipped or self.height() < self.FALLEN * self._upright or not np.isfinite(self.data.qpos).all())


def _base_body(scene: mujoco.MjSpec, spec: RobotSpec) -> mujoco.MjsBody:
    return next(joint.parent for joint in scene.joints if joint.name == spec.base)


def _equip(base: mujoco.MjsBody, scene: mujoco.MjSpec) -> None:
    """Give the base what every robot with legs has: an inertial unit, and somebody who films it."""
    base.add_site(name="robotics_imu")
    for name, kind in ((ACCELEROMETER, mujoco.mjtSensor.mjSENS_ACCELEROMETER), (GYRO, mujoco.mjtSensor.mjSENS_GYRO)):
        scene.add_sensor(name=name, type=kind, objtype=mujoco.mjtObj.mjOBJ_SITE, objname="robotics_imu")
    track = mujoco.mjtCamLight.mjCAMLIGHT_TRACK
    base.add_camera(name=LeggedSession.camera, pos=[0.2, -1.6, 0.7], xyaxes=[1, 0, 0, 0, 0.38, 0.92], mode=track)


def _tilt(scene: mujoco.MjSpec, slope: float) -> None:
    """Let the ground rise ahead, about the origin."""
    planes = [g for g in scene.worldbody.geoms if g.type == mujoco.mjtGeom.mjGEOM_PLANE]
    if not planes:
        raise UsageError("--slope tilts a plane, and this robot's scene has none to stand on")
    for plane in planes:
        plane.quat = [np.cos(slope / 2), 0, -np.sin(slope / 2), 0]


def _load(base: mujoco.MjsBody, mass: float) -> None:
    load = base.add_body(name="payload", pos=[0, 0, 0.1])
    load.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[0.1, 0.07, 0.04],
        mass=mass,
        rgba=[0.8, 0.5, 0.2, 1],
        contype=0,
        conaffinity=0,
    )
