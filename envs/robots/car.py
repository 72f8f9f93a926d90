"""A passenger car: four sprung wheels on tyres that MuJoCo's contacts make, steered and driven by wire.

Masses, inertias, suspension, track and tyre radius are those of a BMW 320i, vehicle 2 of the CommonRoad vehicle models
(Althoff, Koschi, Manzinger 2017, "CommonRoad: Composable benchmarks for motion planning on roads"), in SI units. The
frame of the car is below its middle of mass on the ground: x ahead, y left.
"""

from collections.abc import Sequence

import mujoco
import numpy as np

from robotics.controllers.car import steering
from robotics.controllers.car.chassis import Chassis
from robotics.controllers.car.model import CarParameters
from robotics.controllers.car.spec import CarSpec
from robotics.envs.robots.surroundings import add_sky, floor_material

Array = np.ndarray

CAR = CarParameters()
WHEELS = ("FL", "FR", "RL", "RR")
TRACK = {"F": 1.3868, "R": 1.3640}  # between the wheels of an axle [m]
WHEEL_RADIUS, WHEEL_HALF_WIDTH = 0.344, 0.1
SPRUNG_MASS, WHEEL_MASS, WHEEL_SPIN_INERTIA, WHEEL_TURN_INERTIA = 965.7, 31.9, 1.7, 0.9
SPRUNG_INERTIA = (207.3, 1565.8)  # roll, pitch [kg m^2]
SPRUNG_HEIGHT = 0.6137
#: Spring [N/m], damper [N s/m] and anti-roll bar [N m/rad] by axle.
SUSPENSION = {"F": (24445.0, 1786.0, 6915.0), "R": (19629.0, 1649.0, 2644.0)}
#: Share of the front axle in braking; only the rear axle drives.
BRAKE_FRONT = 0.66

CAR_SPEC = CarSpec(
    "car",
    joints=("FL_steer", "FR_steer", *(f"{wheel}_spin" for wheel in WHEELS)),
    home=(0.0,) * 6,
    velocity_limits=(np.inf,) * 6,
    base="car",
    wheels=tuple(f"{wheel}_spin" for wheel in WHEELS),
    steering=("FL_steer", "FR_steer"),
    tyres=WHEELS,
)
CHASSIS = Chassis(
    CAR,
    steering.Ackermann(CAR.wheelbase, TRACK["F"] / 2),
    (TRACK["F"], TRACK["R"]),
    radii=np.full(4, WHEEL_RADIUS),
    drive_share=np.array([0.0, 0.0, 0.5, 0.5]),
    brake_share=np.array([BRAKE_FRONT, BRAKE_FRONT, 1 - BRAKE_FRONT, 1 - BRAKE_FRONT]) / 2,
    moved_mass=CAR.mass,
)

_PAINT, _GLASS, _TRIM = (0.62, 0.09, 0.10, 1.0), (0.10, 0.13, 0.17, 1.0), (0.09, 0.09, 0.10, 1.0)
_RUBBER, _RIM = (0.06, 0.06, 0.065, 1.0), (0.72, 0.73, 0.75, 1.0)


def car_scene(friction: float = 0.8) -> mujoco.MjSpec:
    """The car on a flat road."""
    spec = mujoco.MjSpec()
    spec.modelname = "car"
    spec.compiler.degree = False
    spec.option.timestep = 0.002
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 0.03  # the creep of its tyres at 15 m/s is then that of the published cornering stiffness
    spec.option.jacobian = mujoco.mjtJacobian.mjJAC_DENSE  # see aloha_scene
    add_sky(spec)
    spec.visual.headlight.diffuse = [0.45] * 3
    spec.visual.headlight.ambient = [0.35] * 3
    spec.visual.map.shadowclip = 12
    floor = spec.worldbody.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[0, 0, 0.05],
        material=floor_material(spec),
        friction=[friction, 0.005, 0.0001],
    )
    floor.condim = 3
    spec.material("floor").texrepeat = [0.2, 0.2]
    car = spec.worldbody.add_body(name="car")
    car.add_freejoint(name="car")
    car.mass, car.ipos, car.explicitinertial = SPRUNG_MASS, [0, 0, SPRUNG_HEIGHT], True
    car.inertia = [*SPRUNG_INERTIA, _sprung_yaw_inertia()]
    car.add_site(name="imu", pos=[0, 0, SPRUNG_HEIGHT])
    for name, kind in (
        ("accelerometer", mujoco.mjtSensor.mjSENS_ACCELEROMETER),
        ("gyro", mujoco.mjtSensor.mjSENS_GYRO),
    ):
        spec.add_sensor(name=name, type=kind, objtype=mujoco.mjtObj.mjOBJ_SITE, objname="imu")
    car.add_light(pos=[-4, -5, 12], dir=[0.3, 0.38, -1], diffuse=[0.5] * 3, castshadow=True, mode=_FOLLOW)
    car.add_camera(name="track", pos=[-7.5, -7.5, 6.2], xyaxes=[1, -1, 0, 0.33, 0.33, 0.88], mode=_FOLLOW)
    _add_bodywork(spec, car)
    for wheel in WHEELS:
        _add_wheel(spec, car, wheel)
    for axle in "FR":
        _add_anti_roll_bar(spec, axle)
    return spec


_FOLLOW = mujoco.mjtCamLight.mjCAMLIGHT_TRACK


def wheel_angles(steer: Array | float) -> tuple[Array, Array]:
    """Steering angles of the left and the right front wheel [rad] (...,) that turn about one point (Ackermann)."""
    return steering.wheel_angles(steer, CAR.wheelbase, TRACK["F"] / 2)


def steering_angle(left: Array | float, right: Array | float) -> Array:
    """The steering angle [rad] of a single track between two front wheels: the mean of their curvatures. (...,)"""
    return steering.steering_angle(left, right, CAR.wheelbase, TRACK["F"] / 2)


def wheel_torques(acceleration: Array | float, speed: Array | float) -> Array:
    """Torques (..., 4) [N m] on `WHEELS`: the rear axle drives, all wheels brake."""
    return CHASSIS.wheel_torques(acceleration, speed)


def _sprung_yaw_inertia() -> float:
    """What is left of the published yaw inertia of the whole car without its wheels [kg m^2]."""
    wheels = sum(
        2 * (WHEEL_MASS * ((TRACK[axle] / 2) ** 2 + arm**2) + WHEEL_TURN_INERTIA)
        for axle, arm in (("F", CAR.front), ("R", CAR.rear))
    )
    return CAR.yaw_inertia - wheels


def _add_wheel(spec: mujoco.MjSpec, car: mujoco.MjsBody, wheel: str) -> None:
    axle, left = wheel[0], (1 if wheel[1] == "L" else -1)
    x = CAR.front if axle == "F" else -CAR.rear
    stiffness, damping, _ = SUSPENSION[axle]
    hub = car.add_body(name=f"{wheel}_hub", pos=[x, left * TRACK[axle] / 2, WHEEL_RADIUS])
    _inertia(hub, 1.0, [0.01] * 3)
    strut = hub.add_joint(name=f"{wheel}_strut", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[0, 0, 1], range=[-0.12, 0.12])
    strut.stiffness, strut.damping = [stiffness, 0, 0], [damping, 0, 0]
    other = CAR.rear if axle == "F" else CAR.front
    strut.springref = -SPRUNG_MASS * 9.81 * other / CAR.wheelbase / 2 / stiffness  # level under its own weight
    carrier = hub
    if axle == "F":
        carrier = hub.add_body(name=f"{wheel}_knuckle")
        _inertia(carrier, 1.0, [0.01] * 3)
        steer = carrier.add_joint(name=f"{wheel}_steer", type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 0, 1])
        steer.range, steer.armature = [-0.95, 0.95], 2.0
        servo = spec.add_actuator(name=f"{wheel}_steer", target=f"{wheel}_steer", trntype=mujoco.mjtTrn.mjTRN_JOINT)
        servo.set_to_position(kp=3e4, dampratio=1.0)
        servo.ctrlrange, servo.forcerange = [-0.95, 0.95], [-2000, 2000]
    body = carrier.add_body(name=wheel)
    _inertia(body, WHEEL_MASS - 1.0 - (axle == "F"), [WHEEL_TURN_INERTIA, WHEEL_SPIN_INERTIA, WHEEL_TURN_INERTIA])
    body.add_joint(name=f"{wheel}_spin", type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 1, 0])
    lying = [np.sqrt(0.5), np.sqrt(0.5), 0, 0]
    tyre = body.add_geom(
        name=wheel,
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=[WHEEL_RADIUS, WHEEL_HALF_WIDTH, 0],
        quat=lying,
        rgba=_RUBBER,
        mass=0,
    )
    tyre.friction = [0.1, 0.005, 0.0001]  # a contact takes the larger friction of the two: the road's
    _show(body, mujoco.mjtGeom.mjGEOM_CYLINDER, [0.235, 0.104, 0], quat=lying, rgba=_TRIM)
    for turn in np.arange(5) * np.pi / 5:
        _show(
            body,
            mujoco.mjtGeom.mjGEOM_BOX,
            [0.225, 0.108, 0.022],
            quat=[np.cos(turn / 2), 0, np.sin(turn / 2), 0],
            rgba=_RIM,
        )
    motor = spec.add_actuator(name=f"{wheel}_torque", target=f"{wheel}_spin", trntype=mujoco.mjtTrn.mjTRN_JOINT)
    motor.set_to_motor()
    motor.ctrlrange = [-1500, 1500]


def _add_anti_roll_bar(spec: mujoco.MjSpec, axle: str) -> None:
    """Ties the struts of an axle: moment per roll angle is what the source gives."""
    bar = spec.add_tendon(name=f"{axle}_bar", stiffness=[SUSPENSION[axle][2] / TRACK[axle] ** 2, 0, 0])
    bar.springlength = [0, 0]
    bar.wrap_joint(f"{axle}L_strut", 1.0)
    bar.wrap_joint(f"{axle}R_strut", -1.0)


def _add_bodywork(spec: mujoco.MjSpec, car: mujoco.MjsBody) -> None:
    """Something to see, 4.5 m long and 1.61 m wide: prisms over the profile of a saloon, lights and mirrors."""
    lower = ((-2.2, 0.32), (-2.24, 0.62), (-2.12, 0.90), (0.75, 0.93), (1.95, 0.78), (2.22, 0.58), (2.24, 0.32))
    glass = ((-1.75, 0.88), (-1.05, 1.34), (0.0, 1.38), (0.95, 0.90))
    roof = ((-1.08, 1.32), (-0.95, 1.385), (-0.05, 1.42), (0.10, 1.35))
    _prism(spec, car, "lower", lower, 0.80, 0.74, _PAINT)
    _prism(spec, car, "glass", glass, 0.72, 0.56, _GLASS)
    _prism(spec, car, "roof", roof, 0.575, 0.54, _PAINT)
    _prism(spec, car, "sill", ((-2.1, 0.2), (-2.2, 0.34), (2.2, 0.34), (2.1, 0.2)), 0.76, 0.8, _TRIM)
    for left in (1, -1):
        _show(car, mujoco.mjtGeom.mjGEOM_ELLIPSOID, [0.1, 0.14, 0.06], [2.13, left * 0.55, 0.64], rgba=(1, 1, 0.9, 1))
        _show(
            car, mujoco.mjtGeom.mjGEOM_BOX, [0.03, 0.16, 0.05], [-2.215, left * 0.56, 0.74], rgba=(0.9, 0.05, 0.05, 1)
        )
        _show(car, mujoco.mjtGeom.mjGEOM_ELLIPSOID, [0.09, 0.11, 0.06], [0.68, left * 0.86, 0.97], rgba=_PAINT)
        for x in (CAR.front, -CAR.rear):
            _show(
                car,
                mujoco.mjtGeom.mjGEOM_CYLINDER,
                [0.40, 0.03, 0],
                [x, left * 0.755, WHEEL_RADIUS + 0.02],
                quat=[np.sqrt(0.5), np.sqrt(0.5), 0, 0],
                rgba=_TRIM,
            )


def _prism(
    spec: mujoco.MjSpec,
    body: mujoco.MjsBody,
    name: str,
    profile: Sequence[tuple[float, float]],
    lower: float,
    upper: float,
    rgba: tuple[float, float, float, float],
) -> None:
    """The convex hull of a side profile (x, z), half as wide as `lower` at its lowest point and `upper` at its top."""
    points = np.array(profile)
    rise = (points[:, 1] - points[:, 1].min()) / np.ptp(points[:, 1])
    half = lower + (upper - lower) * rise
    corners = np.array([[x, side * h, z] for (x, z), h in zip(points, half, strict=True) for side in (1, -1)])
    spec.add_mesh(name=name, uservert=corners.ravel())
    # a mesh is moved into its own inertial frame; the geom that shows it is put back by the compiler
    body.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name, rgba=rgba, contype=0, conaffinity=0, mass=0, group=1)


def _inertia(body: mujoco.MjsBody, mass: float, inertia: list[float]) -> None:
    # without ipos an explicit inertia would sit at the body's place in its parent, counted twice
    body.mass, body.ipos, body.inertia, body.explicitinertial = mass, [0, 0, 0], inertia, True


def _show(body, kind, size, pos=(0, 0, 0), quat=(1, 0, 0, 0), rgba=_TRIM) -> None:
    """Something to see; only the tyres touch the road."""
    body.add_geom(type=kind, size=size, pos=pos, quat=quat, rgba=rgba, contype=0, conaffinity=0, mass=0)
