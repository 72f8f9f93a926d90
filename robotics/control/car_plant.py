"""A car in MuJoCo: an acceleration and a steering angle in, its true state and what its sensors say out."""

import mujoco
import numpy as np

from robotics.control.machine import Machine, embedded
from robotics.control.trial import Conditions
from robotics.controllers.car.actuation import SteeringActuators, WheelMotors
from robotics.controllers.car.chassis import Chassis, read_chassis
from robotics.controllers.car.driver import CarState
from robotics.controllers.car.estimator import CarMeasurement
from robotics.controllers.car.linkage import drivers
from robotics.controllers.car.scale import Scale
from robotics.controllers.car.spec import CarSpec
from robotics.envs.robots.car import CAR_SPEC, CHASSIS, car_scene
from robotics.errors import UsageError

Array = np.ndarray

PERIOD_S = 0.02
EMBEDDED = embedded("car", CAR_SPEC, car_scene)
#: The embedded car brings its own; every other one gets them.
CAMERA, GYRO, ADDED = "track", "gyro", "robotics_"


def chassis_of(machine: Machine) -> Chassis:
    """What the controller plans with: published figures of the embedded car, those of its model of any other."""
    return CHASSIS if machine is EMBEDDED else read_chassis(machine.nominal(), car_spec(machine))


def car_spec(machine: Machine) -> CarSpec:
    if not isinstance(machine.spec, CarSpec):
        raise UsageError(f'robot {machine.spec.name} is no car: give kind = "car" in its file')
    return machine.spec


class CarPlant:
    """The simulated car, on a road that may be another than its controller believes."""

    #: Satellite fixes every so many ticks, and standard deviations of fixes [m], wheel speeds [m/s] and gyro [rad/s];
    #: those of lengths and speeds are drawn to scale: a model car is followed by a camera, not by satellites.
    FIX_EVERY, FIX_NOISE, WHEEL_NOISE, TURN_NOISE = 5, 0.02, 0.02, 0.002

    def __init__(
        self,
        conditions: Conditions,
        rng: np.random.Generator,
        machine: Machine = EMBEDDED,
        chassis: Chassis = CHASSIS,
        scale: Scale | None = None,
    ) -> None:
        self.conditions, self.chassis, self.scale, self._rng = conditions, chassis, scale or Scale(), rng
        spec = car_spec(machine)
        scene = machine.scene(conditions.friction)
        own = machine is EMBEDDED
        if not own:
            _equip(scene, spec, chassis)
        self.camera, self._gyro = (CAMERA, GYRO) if own else (ADDED + CAMERA, ADDED + GYRO)
        self.model = scene.compile()
        self.data = mujoco.MjData(self.model)
        base = self.model.joint(spec.base)
        self.car = int(self.model.jnt_bodyid[base.id])
        self._base_q, self._base_v = int(base.qposadr[0]), int(base.dofadr[0])
        self._steering = SteeringActuators(self.model, drivers(self.model, spec.steering, spec.name))
        self._motors = WheelMotors(self.model, spec.wheels, spec.name)
        self._steer_q = [self.model.joint(hinge).qposadr[0] for hinge in spec.steering]
        self._spin_v = [self.model.joint(wheel).dofadr[0] for wheel in spec.wheels]
        self._substeps = round(PERIOD_S / self.model.opt.timestep)
        self._steer, self._ticks = 0.0, 0
        x, y, z = chassis.origin
        self._arm = np.array([[0, z, -y], [-z, 0, x], [y, -x, 0]])  # turning rate to velocity of the origin
        towards = conditions.push_towards
        self._push = conditions.push / conditions.PUSH_S * np.array([np.cos(towards), np.sin(towards), 0.0])

    def place(self, speed: float) -> None:
        """Put the rear axle at the origin, off by up to 5 cm (to scale) and a hundredth of a radian, rolling at `speed`
        [m/s]."""
        length, chassis, q, v = self.scale.length, self.chassis, self._base_q, self._base_v
        x, y, heading = self._rng.uniform(-1, 1, 3) * [0.05 * length, 0.05 * length, 0.01]
        if chassis.rest is not None:
            self.data.qpos[:] = chassis.rest
        # its base so that the frame of the car looks ahead
        turn = np.zeros(4)
        mujoco.mju_mat2Quat(turn, chassis.frame.T.ravel())
        mujoco.mju_mulQuat(
            self.data.qpos[q + 3 : q + 7], np.array([np.cos(heading / 2), 0, 0, np.sin(heading / 2)]), turn
        )
        R = np.zeros(9)
        mujoco.mju_quat2Mat(R, self.data.qpos[q + 3 : q + 7])
        rear, ground = chassis.car.rear, self._ground()
        point = np.array([x + rear * np.cos(heading), y + rear * np.sin(heading), ground])
        self.data.qpos[q : q + 3] = point - R.reshape(3, 3) @ chassis.origin
        self.data.qvel[v : v + 2] = [speed * np.cos(heading), speed * np.sin(heading)]
        self.data.qvel[self._spin_v] = chassis.signs * speed / chassis.radii
        mujoco.mj_forward(self.model, self.data)

    def state(self) -> CarState:
        """The true state now."""
        base = self.data.xmat[self.car].reshape(3, 3)
        R = base @ self.chassis.frame
        heading = float(np.arctan2(R[1, 0], R[0, 0]))
        c, s = np.cos(heading), np.sin(heading)
        vx, vy, _ = self._velocity()
        point = self.data.qpos[self._base_q :][:3] + base @ self.chassis.origin
        position = point[:2] - self.chassis.car.rear * np.array([c, s])
        turn = float((base @ self.data.qvel[self._base_v + 3 : self._base_v + 6])[2])
        steer = self.chassis.steering.steer(self.data.qpos[self._steer_q])
        return CarState(position, heading, float(c * vx + s * vy), float(c * vy - s * vx), turn, steer)

    def measure(self) -> CarMeasurement:
        """What the car's own sensors say."""
        truth, rng, chassis, scale = self.state(), self._rng, self.chassis, self.scale
        # the circumference of a steered wheel runs along the wheel, not along the car, and at its own distance
        half, turn = np.array([1, -1]) * chassis.tracks[0] / 2, truth.turn
        spin = chassis.signs * self.data.qvel[self._spin_v] * chassis.radii
        spin = spin + rng.normal(0, self.WHEEL_NOISE * scale.speed, 4)
        angles = chassis.steering.angles(self.data.qpos[self._steer_q])
        along = spin * [*np.cos(angles), 1.0, 1.0] + turn * np.tile(half, 2)
        self._ticks += 1
        fix = None
        if self._ticks % self.FIX_EVERY == 0:
            fix = truth.position + rng.normal(0, self.FIX_NOISE * scale.length, 2)
        gyro = float(self.data.sensor(self._gyro).data[2]) + rng.normal(0, self.TURN_NOISE)
        return CarMeasurement(along, gyro, truth.steer, fix)

    def drive(self, acceleration: float, steer: float) -> int:
        """One control period; 1 when a servo or a motor was asked for more than it may give, else 0."""
        exceeded, chassis = 0, self.chassis
        before = self._steer
        for step in range(self._substeps):
            way = (step + 1) / self._substeps
            self._steering.apply(self.data, chassis.steering.positions(before + way * (steer - before)))
            spins = chassis.signs * self.data.qvel[self._spin_v]
            along = self._along()
            torque = chassis.wheel_torques(acceleration, along) + chassis.losses(spins)
            exceeded |= int((np.abs(torque) > self._motors.limits).any())
            self._motors.apply(self.data, chassis.signs * self._without_spin(torque, spins, along))
            pushing = self.conditions.pushing(self.data.time)
            self.data.xfrc_applied[self.car, :3] = self._push if pushing else 0.0
            mujoco.mj_step(self.model, self.data)
        self._steer = steer
        return exceeded

    def position(self) -> Array:
        """Of its base (3,) [m]."""
        return self.data.qpos[self._base_q : self._base_q + 3].copy()

    def upright(self) -> float:
        """How much of up is up for the car: 1 on its wheels, 0 on its side, -1 on its roof."""
        return float((self.data.xmat[self.car].reshape(3, 3) @ self.chassis.frame)[2, 2])

    def _ground(self) -> float:
        """How high the road is [m]."""
        planes = np.flatnonzero(self.model.geom_type == int(mujoco.mjtGeom.mjGEOM_PLANE))
        return float(self.model.geom_pos[planes[0], 2])

    def _velocity(self) -> Array:
        """Of the point on the ground below the centre of mass (3,) [m/s]."""
        linear, turning = self.data.qvel[self._base_v :][:3], self.data.qvel[self._base_v + 3 :][:3]
        return linear + self.data.xmat[self.car].reshape(3, 3) @ (self._arm @ turning)

    def _along(self) -> float:
        R = self.data.xmat[self.car].reshape(3, 3) @ self.chassis.frame
        return float(R[:, 0] @ self._velocity())

    def _without_spin(self, torque: Array, spins: Array, along: float) -> Array:
        """No torque on a wheel that it would make slip further: anti-lock brakes and traction control in one line."""
        slip = spins * self.chassis.radii - along
        allowed = 0.5 * self.scale.speed + 0.12 * abs(along)
        return np.where((np.abs(slip) > allowed) & (np.sign(slip) == np.sign(torque)), 0.0, torque)


def _equip(scene: mujoco.MjSpec, spec: CarSpec, chassis: Chassis) -> None:
    """Give a car what it needs to be driven: a gyro in its own frame; and somebody who films it, with a light."""
    base, frame = next(joint.parent for joint in scene.joints if joint.name == spec.base), chassis.frame
    turn = np.zeros(4)
    mujoco.mju_mat2Quat(turn, frame.ravel())
    base.add_site(name=ADDED + "imu", pos=chassis.origin, quat=turn)
    gyro = mujoco.mjtSensor.mjSENS_GYRO
    scene.add_sensor(name=ADDED + GYRO, type=gyro, objtype=mujoco.mjtObj.mjOBJ_SITE, objname=ADDED + "imu")
    track, origin, size = mujoco.mjtCamLight.mjCAMLIGHT_TRACK, chassis.origin, chassis.size
    if not base.lights:
        sun = origin + frame @ [-4, -5, 12] * size
        base.add_light(pos=sun, dir=frame @ [0.3, 0.38, -1], diffuse=[0.5] * 3, castshadow=True, mode=track)
    base.add_camera(
        name=ADDED + CAMERA,
        pos=origin + frame @ [-7.5, -7.5, 6.2] * size,
        xyaxes=[*(frame @ [1, -1, 0]), *(frame @ [0.33, 0.33, 0.88])],
        mode=track,
    )
