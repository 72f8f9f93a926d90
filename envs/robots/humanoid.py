"""A Unitree-G1-class humanoid: 29 torque-controlled joints on a free base, without hands.

Kinematics, masses, inertias, joint ranges, torque and speed limits and the corners of the soles from Unitree's own
g1_description (unitree_ros, g1_29dof_rev_1_0), primitive geometry instead of its meshes. The right side mirrors the
left; Unitree's differ in the fourth digit. Rotor inertias of the motors as published for training (NVIDIA's GR00T
whole-body control); small damping and friction, which Unitree does not state.
"""

from typing import NamedTuple

import mujoco

from robotics.controllers.robot_spec import EndEffector, RobotSpec
from robotics.envs.robots.surroundings import add_sky, floor_material

Vector = tuple[float, ...]


class Motor(NamedTuple):
    """Torque [N m], no-load speed [rad/s], and inertia of the rotors as the joint feels it [kg m^2]."""

    torque: float
    speed: float
    rotor: float


class Link(NamedTuple):
    """A body with its one hinge, in its parent's frame; `com`, `axes` and `inertia` are its inertial."""

    name: str
    parent: str
    pos: Vector
    quat: Vector
    mass: float
    com: Vector
    axes: Vector
    inertia: Vector
    axis: Vector
    span: tuple[float, float]
    motor: Motor


class Shape(NamedTuple):
    """Something to see on a link: a capsule or box from one point to another, `width` thick."""

    link: str
    start: Vector
    end: Vector
    width: float
    dark: bool = False


HIP = Motor(88, 32, 0.010177520)
KNEE = Motor(139, 20, 0.025101925)
ANKLE = Motor(50, 37, 2 * 0.003609725)
ARM = Motor(25, 37, 0.003609725)
WRIST = Motor(5, 22, 0.00425)

_STRAIGHT, _X, _Y, _Z = (1, 0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)
_FORWARD, _BACK = (0.996179, 0, -0.0873386, 0), (0.996179, 0, 0.0873386, 0)  # 10 degrees built into thigh and shank
_OUT, _IN = (0.990264, 0.139201, 1.38722e-05, -9.86868e-05), (0.990268, -0.139172, 0, 0)

# fmt: off
_LEG = (
    Link("hip_pitch", "base", (0, 0.064452, -0.1027), _STRAIGHT,
         1.35, (0.002741, 0.047791, -0.02606), (0.954862, 0.293964, 0.0302556, 0.030122),
         (0.00181517, 0.00153422, 0.00116212), _Y, (-2.5307, 2.8798), HIP),
    Link("hip_roll", "hip_pitch", (0, 0.052, -0.030465), _FORWARD,
         1.52, (0.029812, -0.001045, -0.087934), (0.977808, -1.97119e-05, 0.205576, -0.0403793),
         (0.00254986, 0.00241169, 0.00148755), _X, (-0.5236, 2.9671), KNEE),
    Link("hip_yaw", "hip_roll", (0.025001, 0, -0.12412), _STRAIGHT,
         1.702, (-0.057709, -0.010981, -0.15078), (0.600598, 0.15832, 0.223482, 0.751181),
         (0.00776166, 0.00717575, 0.00160139), _Z, (-2.7576, 2.7576), HIP),
    Link("knee", "hip_yaw", (-0.078273, 0.0021489, -0.17734), _BACK,
         1.932, (0.005457, 0.003964, -0.12074), (0.923418, -0.0327699, 0.0158246, 0.382067),
         (0.0113804, 0.0112778, 0.00146458), _Y, (-0.087267, 2.8798), KNEE),
    Link("ankle_pitch", "knee", (0, -9.4445e-05, -0.30001), _STRAIGHT,
         0.074, (-0.007269, 0, 0.011137), (0.603053, 0.369225, 0.369225, 0.603053),
         (1.89e-05, 1.40805e-05, 6.9195e-06), _Y, (-0.87267, 0.5236), ANKLE),
    Link("ankle_roll", "ankle_pitch", (0, 0, -0.017558), _STRAIGHT,
         0.608, (0.026505, 0, -0.016425), (-0.000481092, 0.728482, -0.000618967, 0.685065),
         (0.00167218, 0.0016161, 0.000217621), _X, (-0.2618, 0.2618), ANKLE),
)
_WAIST = (
    Link("waist_yaw", "base", (0, 0, 0), _STRAIGHT,
         0.214, (0.003494, 0.000233, 0.018034), (0.289697, 0.591001, -0.337795, 0.672821),
         (0.000163531, 0.000107714, 0.000102205), _Z, (-2.618, 2.618), HIP),
    Link("waist_roll", "waist_yaw", (-0.0039635, 0, 0.044), _STRAIGHT,
         0.086, (0, 2.3e-05, 0), (0.5, 0.5, -0.5, 0.5),
         (8.245e-06, 7.079e-06, 6.339e-06), _X, (-0.52, 0.52), ANKLE),
    Link("waist_pitch", "waist_roll", (0, 0, 0), _STRAIGHT,
         7.818, (0.00203158, 0.000339683, 0.184568), (0.999803, -6.03319e-05, 0.0198256, 0.00131986),
         (0.121847, 0.109825, 0.0273735), _Y, (-0.52, 0.52), ANKLE),
)
_ARM = (
    Link("shoulder_pitch", "waist_pitch", (0.0039563, 0.10022, 0.24778), _OUT,
         0.718, (0, 0.035892, -0.011628), (0.654152, 0.0130458, -0.326267, 0.68225),
         (0.000465864, 0.000432842, 0.000406394), _Y, (-3.0892, 2.6704), ARM),
    Link("shoulder_roll", "shoulder_pitch", (0, 0.038, -0.013831), _IN,
         0.643, (-0.000227, 0.00727, -0.063243), (0.701256, -0.0196223, -0.00710317, 0.712604),
         (0.000691311, 0.000618011, 0.000388977), _X, (-1.5882, 2.2515), ARM),
    Link("shoulder_yaw", "shoulder_roll", (0, 0.00624, -0.1032), _STRAIGHT,
         0.734, (0.010773, -0.002949, -0.072009), (0.716879, -0.0964829, -0.0679942, 0.687134),
         (0.00106187, 0.00103217, 0.000400661), _Z, (-2.618, 2.618), ARM),
    Link("elbow", "shoulder_yaw", (0.015783, 0, -0.080518), _STRAIGHT,
         0.6, (0.064956, 0.004454, -0.010062), (0.541765, 0.636132, 0.388821, 0.388129),
         (0.000443035, 0.000421612, 0.000259353), _Y, (-1.0472, 2.0944), ARM),
    Link("wrist_roll", "elbow", (0.1, 0.00188791, -0.01), _STRAIGHT,
         0.085445, (0.0171394, 0.000537591, 4.8864e-07), (0.575338, 0.411667, -0.574906, 0.411094),
         (5.48211e-05, 4.96646e-05, 3.57798e-05), _X, (-1.97222, 1.97222), ARM),
    Link("wrist_pitch", "wrist_roll", (0.038, 0, 0), _STRAIGHT,
         0.48405, (0.0229999, -0.00111685, -0.00111658), (0.249998, 0.661363, 0.293036, 0.643608),
         (0.000430353, 0.000429873, 0.000164648), _Y, (-1.61443, 1.61443), WRIST),
    Link("wrist_yaw", "wrist_pitch", (0.046, 0, 0), _STRAIGHT,
         0.254576, (0.0708244, 0.000191745, 0.00161742), (0.510571, 0.526295, 0.468078, 0.493188),
         (0.000646113, 0.000559993, 0.000147566), _Z, (-1.61443, 1.61443), WRIST),
)
_LIMBS = (
    Shape("hip_pitch", (0, 0, -0.01), (0, 0.045, -0.03), 0.045, dark=True),
    Shape("hip_roll", (0.02, 0, -0.02), (0.025, 0, -0.12), 0.05),
    Shape("hip_yaw", (0, 0, 0), (-0.075, 0, -0.17), 0.05),
    Shape("knee", (0, 0, 0), (0, 0, -0.26), 0.038),
    Shape("ankle_roll", (-0.03, 0, -0.017), (0.1, 0, -0.02), 0.018, dark=True),
    Shape("shoulder_pitch", (0, 0.01, -0.005), (0, 0.04, -0.012), 0.04, dark=True),
    Shape("shoulder_roll", (0, 0.005, -0.02), (0, 0.006, -0.09), 0.034),
    Shape("shoulder_yaw", (0, 0, 0), (0.012, 0, -0.075), 0.032),
    Shape("elbow", (0, 0, 0), (0.1, 0, -0.01), 0.03),
    Shape("wrist_roll", (0, 0, 0), (0.03, 0, 0), 0.026, dark=True),
    Shape("wrist_yaw", (0, 0, 0), (0.1, 0, 0), 0.028, dark=True),
)
# fmt: on
_BODY = (
    Shape("base", (0, 0.05, -0.09), (0, -0.05, -0.09), 0.06, dark=True),
    Shape("waist_pitch", (0, 0, 0.03), (0, 0, 0.12), 0.075, dark=True),
    Shape("waist_pitch", (0, 0.06, 0.19), (0, -0.06, 0.19), 0.095),
    Shape("waist_pitch", (0, 0, 0.29), (0, 0, 0.33), 0.03, dark=True),
    Shape("waist_pitch", (0.01, 0, 0.4), (0.01, 0, 0.43), 0.065),
    Shape("waist_pitch", (0.045, 0, 0.4), (0.045, 0, 0.44), 0.045, dark=True),
)

#: Corners of the sole in the frame of the ankle [m]: heel left and right, toe left and right; each a ball.
CORNERS = ((-0.05, 0.025), (-0.05, -0.025), (0.12, 0.03), (0.12, -0.03))
SOLE_BELOW_ANKLE, CORNER_RADIUS = 0.03, 0.005
#: The tip of the hand in the frame of the wrist [m].
HAND = (0.12, 0.0, 0.0)

SIDES = ("left", "right")
#: Joint angles at rest for the left side; a roll or yaw to the right is the same with the other sign.
_STANCE: dict[str, float] = {
    "hip_pitch": -0.31, "hip_roll": 0.06, "knee": 0.66, "ankle_pitch": -0.35, "ankle_roll": -0.06,
    "shoulder_pitch": 0.2, "shoulder_roll": 0.2, "elbow": 0.9,
}  # fmt: skip


def _links() -> list[tuple[str, Link]]:
    """Every joint in the order of commands, as (name, its link): left leg, right leg, waist, left arm, right arm."""

    def limb(side: str, links: tuple[Link, ...]) -> list[tuple[str, Link]]:
        return [(f"{side}_{link.name}", link if side == "left" else _mirrored(link)) for link in links]

    waist = [(link.name, link) for link in _WAIST]
    return [*limb("left", _LEG), *limb("right", _LEG), *waist, *limb("left", _ARM), *limb("right", _ARM)]


def _mirrored(link: Link) -> Link:
    """The link of the other side: the picture of this one in the plane y = 0."""
    low, high = link.span
    return link._replace(
        pos=_flipped(link.pos),
        quat=_turned_over(link.quat),
        com=_flipped(link.com),
        axes=_turned_over(link.axes),
        span=link.span if link.axis == _Y else (-high, -low),
    )


def _flipped(v: Vector) -> Vector:
    return (v[0], -v[1], v[2])


def _turned_over(q: Vector) -> Vector:
    return (q[0], -q[1], q[2], -q[3])


def _home(name: str, link: Link) -> float:
    angle = _STANCE.get(link.name, 0.0)
    return -angle if name.startswith("right") and link.axis != _Y else angle


HUMANOID = RobotSpec(
    name="humanoid",
    joints=tuple(name for name, _ in _links()),
    home=tuple(_home(name, link) for name, link in _links()),
    velocity_limits=tuple(link.motor.speed for _, link in _links()),
    end_effectors=tuple(EndEffector(f"{side}_hand", f"{side}_hand") for side in SIDES),
    base="base",
    feet=tuple(f"{side}_sole_{corner}" for side in SIDES for corner in range(len(CORNERS))),
)


def humanoid_scene(friction: float = 0.8) -> mujoco.MjSpec:
    """The robot on flat ground."""
    spec = mujoco.MjSpec()
    spec.modelname = "humanoid"
    spec.compiler.degree = False
    spec.option.timestep = 0.002
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10
    spec.option.jacobian = mujoco.mjtJacobian.mjJAC_DENSE  # see aloha_scene
    add_sky(spec)
    spec.visual.headlight.diffuse = [0.5] * 3
    spec.visual.headlight.ambient = [0.3] * 3
    world = spec.worldbody
    world.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[0, 0, 0.05],
        material=floor_material(spec),
        friction=[friction, 0.02, 0.01],
    )
    base = world.add_body(name="base", pos=[0, 0, 0.793])
    base.add_freejoint(name="base")
    _inertia(base, 3.813, (0, 0, -0.07605), (1, 0, -0.000399148, 0), (0.010549, 0.0093089, 0.0079184))
    base.add_site(name="imu", pos=[0.04525, 0, -0.08339])
    for name, kind in (
        ("accelerometer", mujoco.mjtSensor.mjSENS_ACCELEROMETER),
        ("gyro", mujoco.mjtSensor.mjSENS_GYRO),
    ):
        spec.add_sensor(name=name, type=kind, objtype=mujoco.mjtObj.mjOBJ_SITE, objname="imu")
    base.add_light(pos=[-0.5, -0.7, 2.5], dir=[0.2, 0.28, -1], diffuse=[0.5] * 3, castshadow=True, mode=_TRACK)
    base.add_camera(name="track", pos=[0.5, -1.9, 0.15], xyaxes=[1, 0.25, 0, -0.03, 0.12, 1], mode=_TRACK)
    for name, link in _links():
        _add_link(spec, name, link)
    for shape in _BODY:
        _show(spec.body(shape.link), shape)
    for side in SIDES:
        for shape in _LIMBS:
            mirrored = shape if side == "left" else shape._replace(start=_flipped(shape.start), end=_flipped(shape.end))
            _show(spec.body(f"{side}_{shape.link}"), mirrored)
        _add_sole(spec.body(f"{side}_ankle_roll"), side, friction)
        spec.body(f"{side}_wrist_yaw").add_site(name=f"{side}_hand", pos=HAND)
    return spec


_TRACK = mujoco.mjtCamLight.mjCAMLIGHT_TRACK


def _add_link(spec: mujoco.MjSpec, name: str, link: Link) -> None:
    central = ("base", *(part.name for part in _WAIST))
    parent = link.parent if link.parent in central else f"{name.split('_')[0]}_{link.parent}"
    body = spec.body(parent).add_body(name=name, pos=link.pos, quat=link.quat)
    _inertia(body, link.mass, link.com, link.axes, link.inertia)
    joint = body.add_joint(name=name, type=mujoco.mjtJoint.mjJNT_HINGE, axis=link.axis, range=link.span)
    joint.armature, joint.damping, joint.frictionloss = link.motor.rotor, [0.05, 0, 0], 0.1
    joint.actfrcrange = [-link.motor.torque, link.motor.torque]
    motor = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    motor.set_to_motor()
    motor.ctrlrange = [-link.motor.torque, link.motor.torque]


def _add_sole(ankle: mujoco.MjsBody, side: str, friction: float) -> None:
    for corner, (x, y) in enumerate(CORNERS):
        geom = ankle.add_geom(name=f"{side}_sole_{corner}", type=mujoco.mjtGeom.mjGEOM_SPHERE)
        geom.size, geom.pos = [CORNER_RADIUS, 0, 0], [x, y, -SOLE_BELOW_ANKLE]
        geom.condim, geom.friction = 3, [friction, 0.02, 0.01]  # of two geoms MuJoCo takes the larger friction
        geom.rgba, geom.mass = [0.1, 0.1, 0.11, 1], 0


def _inertia(body: mujoco.MjsBody, mass: float, com: Vector, axes: Vector, inertia: Vector) -> None:
    body.mass, body.ipos, body.iquat, body.inertia, body.explicitinertial = mass, com, axes, inertia, True


def _show(body: mujoco.MjsBody, shape: Shape) -> None:
    """Something to see; only the soles touch the ground."""
    rgba = [0.2, 0.21, 0.24, 1] if shape.dark else [0.75, 0.76, 0.78, 1]
    geom = body.add_geom(type=mujoco.mjtGeom.mjGEOM_CAPSULE, size=[shape.width, 0, 0], rgba=rgba)
    geom.fromto = [*shape.start, *shape.end]
    geom.contype, geom.conaffinity, geom.mass = 0, 0, 0


def nominal_humanoid() -> mujoco.MjModel:
    """What the robot's controller believes in."""
    return humanoid_scene().compile()
