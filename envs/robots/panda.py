"""A Franka-Panda-class arm: seven torque-controlled joints and a parallel gripper, bolted to a table.

Kinematics (Craig's Denavit-Hartenberg parameters), joint ranges, torque and speed limits from Franka Emika's interface
documentation and franka_description; masses, centres of mass and inertias as identified by Gaz, Cognetti, Oliva,
Robuffo Giordano and De Luca, "Dynamic identification of the Franka Emika Panda robot with retrieval of feasible
parameters using penalty-based optimization" (RA-L 2019), hand and fingers from franka_description; primitive geometry
instead of its meshes. Rotor inertia and damping of the joints as MuJoCo Menagerie has them. Franka's own joint
controllers compensate friction, so what is left of it is small.
"""

from typing import NamedTuple

import mujoco
import numpy as np

from robotics.controllers.limits import CollisionMargin, pairs_between
from robotics.controllers.robot_spec import EndEffector, RobotSpec
from robotics.envs.robots import Actuation
from robotics.envs.robots.surroundings import add_sky, floor_material

Vector = tuple[float, ...]


class Link(NamedTuple):
    """A body with its one hinge: DH parameters to the link before it, inertial in its own frame, and its motor."""

    a: float  # along the x axis of the link before [m]
    d: float  # along its own z axis, which the hinge turns about [m]
    alpha: float  # quarter turns about the x axis of the link before
    mass: float
    com: Vector
    inertia: Vector  # xx, yy, zz, xy, xz, yz about the centre of mass [kg m^2]
    span: tuple[float, float]
    torque: float
    speed: float


class Shape(NamedTuple):
    """A capsule on a link from one point to another, `width` thick, in the link's frame."""

    link: int
    start: Vector
    end: Vector
    width: float
    dark: bool = False


# fmt: off
LINKS = (
    Link(0.0, 0.333, 0, 4.970684, (0.003875, 0.002081, -0.04762),
         (0.70337, 0.70661, 0.0091170, -0.000139, 0.006772, 0.019169), (-2.8973, 2.8973), 87, 2.1750),
    Link(0.0, 0.0, -1, 0.646926, (-0.003141, -0.02872, 0.003495),
         (0.007962, 0.02811, 0.025995, -0.003925, 0.010254, 0.000704), (-1.7628, 1.7628), 87, 2.1750),
    Link(0.0, 0.316, 1, 3.228604, (0.027518, 0.039252, -0.066502),
         (0.037242, 0.036155, 0.01083, -0.004761, -0.011396, -0.012805), (-2.8973, 2.8973), 87, 2.1750),
    Link(0.0825, 0.0, 1, 3.587895, (-0.05317, 0.104419, 0.027454),
         (0.025853, 0.019552, 0.028323, 0.007796, -0.001332, 0.008641), (-3.0718, -0.0698), 87, 2.1750),
    Link(-0.0825, 0.384, -1, 1.225946, (-0.011953, 0.041065, -0.038437),
         (0.035549, 0.029474, 0.008627, -0.002117, -0.004037, 0.000229), (-2.8973, 2.8973), 12, 2.6100),
    Link(0.0, 0.0, 1, 1.666555, (0.060149, -0.014117, -0.010517),
         (0.001964, 0.004354, 0.005433, 0.000109, -0.001158, 0.000341), (-0.0175, 3.7525), 12, 2.6100),
    Link(0.088, 0.0, 1, 0.735522, (0.010517, -0.004252, 0.061597),
         (0.012516, 0.010027, 0.004815, -0.000428, -0.001196, -0.000741), (-2.8973, 2.8973), 12, 2.6100),
)
_SHAPES = (
    Shape(1, (0, 0, -0.19), (0, 0, -0.02), 0.062), Shape(1, (0, -0.03, 0), (0, 0.03, 0), 0.062, dark=True),
    Shape(2, (0, 0, 0), (0, -0.10, 0), 0.060),
    Shape(3, (0, 0, -0.15), (0, 0, -0.09), 0.056), Shape(3, (0.0825, -0.02, 0), (0.0825, 0.02, 0), 0.056, dark=True),
    Shape(3, (0.02, 0, -0.08), (0.0825, 0, 0), 0.048),
    Shape(4, (0, 0, 0), (-0.0825, 0.095, 0), 0.050),
    Shape(5, (0, 0, -0.26), (0, 0.01, -0.22), 0.052), Shape(5, (0, 0.065, -0.16), (0, 0.072, -0.02), 0.034),
    Shape(5, (0, 0.01, -0.22), (0, 0.065, -0.16), 0.040, dark=True),
    Shape(6, (0, 0, -0.03), (0, 0, 0.03), 0.048, dark=True), Shape(6, (0, 0, 0), (0.088, 0, 0), 0.046),
    Shape(7, (0, 0, 0), (0, 0, 0.07), 0.044),
)
# fmt: on
#: From the last joint's frame to the flange, from there to the hand (turned by 45 degrees) and to its fingertips [m].
FLANGE, HAND_TURN, TIP = 0.107, -np.pi / 4, 0.1034
#: Fingers: 0 to 4 cm from the middle each, by up to 5 cm/s, held with up to 70 N.
FINGER_RANGE, FINGER_SPEED, FINGER_FORCE = (0.0, 0.04), 0.05, 70.0
#: Height of the table's top [m] and where it ends: the arm's base stands on it, at the origin.
_TABLE = ((0.35, 0.0, -0.02), (0.55, 0.5, 0.02))

_JOINTS = tuple(f"joint{number}" for number in range(1, 8))
ARM = RobotSpec(
    name="arm",
    joints=(*_JOINTS, "finger_joint1"),
    home=(0.0, -np.pi / 4, 0.0, -3 * np.pi / 4, 0.0, np.pi / 2, np.pi / 4, 0.02),
    velocity_limits=(*(link.speed for link in LINKS), FINGER_SPEED),
    end_effectors=(EndEffector("hand", "grip", "finger_joint1"),),
)
#: Of the position servos: stiffness [N m/rad, N/m] and damping [N m s/rad, N s/m]: the joints' give each its usual
#: inertia 40 rad/s, critically damped. Much stiffer ones (Menagerie's 4500 and 450) change a joint's speed by more than
#: itself within a step; the implicit integrator copes, but contact forces are computed before it, and grasps creep.
#: A finger that is told to be two centimetres inside an object squeezes it with 10 N from either side.
_SERVOS = (*((k, k / 20) for k in (2000, 2500, 1800, 1800, 250, 250, 170)), (1000, 30))
_WHITE, _DARK, _STEEL = (0.92, 0.93, 0.94, 1), (0.2, 0.21, 0.24, 1), (0.6, 0.62, 0.66, 1)
#: Collision bits: the arm touches everything but itself; the rest touches everything.
_ARM, _OTHER = 1, 2
#: Of an object: `add_geom(..., **TOUCHING)`.
TOUCHING = {"contype": _OTHER, "conaffinity": _ARM | _OTHER}


def arm_scene(actuation: Actuation = "motor") -> mujoco.MjSpec:
    """The arm on its table, ready for objects to be added. `servo` replaces the joint motors by position servos."""
    spec = mujoco.MjSpec()
    spec.modelname = "arm"
    spec.compiler.degree = False
    spec.option.timestep = 0.002
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10
    spec.option.jacobian = mujoco.mjtJacobian.mjJAC_DENSE  # see aloha_scene
    _add_surroundings(spec)
    base = spec.worldbody.add_body(name="link0")
    _inertia(base, 0.629769, (-0.041018, -0.00014, 0.049974), (0.00315, 0.00388, 0.004285, 8.3e-7, 0.00015, 8.2e-6))
    _capsule(base, "base", (-0.06, 0, 0.03), (0, 0, 0.06), 0.07, _WHITE)
    _capsule(base, "pillar", (0, 0, 0.05), (0, 0, 0.12), 0.068, _DARK)
    body = base
    for number, link in enumerate(LINKS, start=1):
        body = _add_link(spec, body, number, link)
    _add_hand(spec, body)
    if actuation == "servo":
        for actuator, (stiffness, damping) in zip(spec.actuators, _SERVOS, strict=True):
            limit, span = actuator.ctrlrange, spec.joint(actuator.target).range
            actuator.set_to_position(kp=stiffness, kv=damping)
            actuator.forcerange, actuator.ctrlrange = limit, span
    return spec


def _add_link(spec: mujoco.MjSpec, parent: mujoco.MjsBody, number: int, link: Link) -> mujoco.MjsBody:
    quarter = link.alpha * np.pi / 2
    body = parent.add_body(
        name=f"link{number}",
        pos=[link.a, -link.d * np.sin(quarter), link.d * np.cos(quarter)],
        quat=[np.cos(quarter / 2), np.sin(quarter / 2), 0, 0],
    )
    _inertia(body, link.mass, link.com, link.inertia)
    joint = body.add_joint(name=f"joint{number}", type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 0, 1], range=link.span)
    joint.armature, joint.damping, joint.frictionloss = 0.1, [1.0, 0, 0], 0.1
    _add_motor(spec, joint, link.torque)
    for index, shape in enumerate(s for s in _SHAPES if s.link == number):
        _capsule(body, f"link{number}_{index}", shape.start, shape.end, shape.width, _DARK if shape.dark else _WHITE)
    return body


def _add_hand(spec: mujoco.MjSpec, wrist: mujoco.MjsBody) -> None:
    turn = [np.cos(HAND_TURN / 2), 0, 0, np.sin(HAND_TURN / 2)]
    hand = wrist.add_body(name="hand", pos=[0, 0, FLANGE], quat=turn)
    _inertia(hand, 0.73, (-0.01, 0, 0.03), (0.001, 0.0025, 0.0017, 0, 0, 0))
    _capsule(hand, "palm", (0, -0.07, 0.032), (0, 0.07, 0.032), 0.032, _WHITE)
    hand.add_site(name="grip", pos=[0, 0, TIP], size=[0.005] * 3)
    hand.add_camera(name="wrist", pos=[0.07, 0, 0.02], xyaxes=[0, -1, 0, -0.9, 0, -0.35], fovy=70)
    for number, side in ((1, 1), (2, -1)):
        finger = hand.add_body(
            name=f"finger{number}", pos=[0, 0, 0.0584], quat=[1, 0, 0, 0] if side > 0 else [0, 0, 0, 1]
        )
        _inertia(finger, 0.015, (0, 0, 0.02), (2.375e-6, 2.375e-6, 7.5e-7, 0, 0, 0))
        joint = finger.add_joint(name=f"finger_joint{number}", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[0, 1, 0])
        joint.range, joint.armature, joint.damping = FINGER_RANGE, 0.1, [2.0, 0, 0]
        pad = finger.add_geom(name=f"finger{number}", type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.01, 0.006, 0.025])
        pad.pos, pad.rgba, pad.mass = [0, 0.006, 0.028], _STEEL, 0
        pad.contype, pad.conaffinity, pad.condim, pad.friction = _ARM, _OTHER, 4, [1.0, 0.02, 0.001]
        if number == 1:
            _add_motor(spec, joint, FINGER_FORCE)
    spec.add_equality(
        type=mujoco.mjtEq.mjEQ_JOINT,
        objtype=mujoco.mjtObj.mjOBJ_JOINT,
        name1="finger_joint2",
        name2="finger_joint1",
        data=[0, 1, *[0] * 10],
        solref=[0.005, 1],
    )


def _add_motor(spec: mujoco.MjSpec, joint: mujoco.MjsJoint, limit: float) -> None:
    joint.actfrcrange = [-limit, limit]
    motor = spec.add_actuator(name=joint.name, target=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    motor.set_to_motor()
    motor.ctrlrange = [-limit, limit]


def _inertia(body: mujoco.MjsBody, mass: float, com: Vector, inertia: Vector) -> None:
    body.mass, body.ipos, body.fullinertia, body.explicitinertial = mass, com, inertia, True


def _capsule(body: mujoco.MjsBody, name: str, start: Vector, end: Vector, width: float, colour: Vector) -> None:
    geom = body.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_CAPSULE, size=[width, 0, 0], rgba=colour, mass=0)
    geom.fromto = [*start, *end]
    geom.contype, geom.conaffinity = _ARM, _OTHER


def _add_surroundings(spec: mujoco.MjSpec) -> None:
    add_sky(spec)
    spec.visual.headlight.diffuse = [0.4] * 3
    spec.visual.headlight.ambient = [0.3] * 3
    spec.visual.headlight.specular = [0.0] * 3
    world = spec.worldbody
    world.add_light(pos=[0.8, -0.9, 2.2], dir=[-0.25, 0.45, -1], diffuse=[0.55] * 3, castshadow=True)
    world.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        pos=[0, 0, -0.75],
        size=[3, 3, 0.1],
        material=floor_material(spec),
        contype=_OTHER,
        conaffinity=_ARM | _OTHER,
    )
    position, half = _TABLE
    world.add_geom(
        name="table",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=position,
        size=half,
        rgba=[0.72, 0.66, 0.58, 1],
        contype=_OTHER,
        conaffinity=_ARM | _OTHER,
    )
    world.add_camera(name="top", pos=[0.5, 0, 1.25], xyaxes=[0, -1, 0, 1, 0, 0], fovy=45)
    world.add_camera(name="side", pos=[1.35, -1.25, 0.85], xyaxes=[0.72, 0.69, 0, -0.28, 0.29, 0.92], fovy=45)


def nominal_arm() -> mujoco.MjModel:
    """What the arm's controller believes in."""
    return arm_scene().compile()


def arm_margin(model: mujoco.MjModel) -> CollisionMargin:
    """Hand, wrist and fingers keep clear of the table."""
    hand = ["palm", "link7_0", "link6_0", "link6_1", "finger1", "finger2"]
    return CollisionMargin(pairs_between(model, hand, ["table"]), margin=0.01)
