"""Mobile-ALOHA-class robot: two ViperX-300 arms side by side on a base that drives in every direction.

Where the arms sit, the base's outline and its 80 kg are those of Trossen Robotics' published model of their Mobile AI
kit (trossen_arm_description, mobile_ai), the successor of Mobile ALOHA (Fu, Zhao and Finn 2024); 1.6 m/s is the top
speed of its AgileX Tracer. That base steers by two wheels; ours is holonomic, with three planar joints and motors, and
its forces are those of four hub motors of the Tracer's class. The arms are ALOHA's (viperx300.xml).

World frame: x ahead, y to the left, z up; the base's joints are its pose on the floor in it.
"""

from importlib.resources import files

import mujoco
import numpy as np

from robotics.controllers.limits import CollisionMargin, pairs_between
from robotics.controllers.robot_spec import EndEffector, RobotSpec
from robotics.envs.robots import Actuation
from robotics.envs.robots.aloha import ARM_JOINTS, LEFT, OBJECT, RIGHT, SIDES, STATIC
from robotics.envs.robots.surroundings import add_sky, floor_material

BASE_JOINTS = ("base_x", "base_y", "base_yaw")
#: Where an arm's base plate sits on the robot [m]; the right one on the other side.
MOUNT = np.array([0.331, 0.3, 1.042])
#: Of the base: along its joints [N, N, N m], and as fast as [m/s, m/s, rad/s].
FORCE, SPEED = (150.0, 150.0, 60.0), (1.6, 1.6, 1.5)
#: What rolling costs [N s/m, N s/m, N m s/rad].
_ROLLING = (20.0, 20.0, 5.0)
#: Of the servos that keep a commanded speed, ahead, to the left and turning: 90 kg and 7 kg m^2 follow within 0.1 s.
_SPEED_GAIN = (900.0, 900.0, 90.0)
#: Collision bit of what the base alone bumps into: furniture, but not the floor, on which it slides along its joints.
FURNITURE = 16
#: Both hands level before the chest, wrists well bent: straight, they would be singular.
_HOME_ARM = (0.0, -0.5, 1.4, 0.0, -0.9, 0.0, 0.024)
_ARM_VELOCITY = (3.14,) * 6 + (0.25,)

MOBILE_ALOHA = RobotSpec(
    name="mobile_aloha",
    joints=BASE_JOINTS + tuple(f"{side}/{joint}" for side in SIDES for joint in ARM_JOINTS),
    home=(0.0, 0.0, 0.0) + 2 * _HOME_ARM,
    velocity_limits=SPEED + 2 * _ARM_VELOCITY,
    end_effectors=tuple(EndEffector(side, f"{side}/gripper", f"{side}/left_finger") for side in SIDES),
)


def mobile_scene(actuation: Actuation = "motor") -> mujoco.MjSpec:
    """The robot alone on a floor, ready for rooms and objects to be added.

    Actuators are in the order of `MOBILE_ALOHA.joints`. `servo` has ALOHA's position servos, and for the base three
    servos of its velocity in its own frame: ahead, to the left [m/s], turning left [rad/s].
    """
    spec = mujoco.MjSpec()
    spec.modelname = "mobile_aloha"
    spec.option.timestep = 0.002
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10
    # MuJoCo 4.0.0's sparse Newton factor can be wrong (google-deepmind/mujoco#3767)
    spec.option.jacobian = mujoco.mjtJacobian.mjJAC_DENSE
    add_sky(spec)
    spec.visual.headlight.diffuse = [0.4] * 3
    spec.visual.headlight.ambient = [0.25] * 3
    spec.visual.map.shadowscale = 1.0  # all that the light falls on: beyond the usual 0.6 of it there are speckles
    world = spec.worldbody
    world.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[0, 0, 0.05],
        material=floor_material(spec),
        contype=STATIC,
        conaffinity=LEFT | RIGHT | OBJECT,
    )
    base = _add_base(world)
    _drive(spec, actuation)
    for side, y, bit in (("left", MOUNT[1], LEFT), ("right", -MOUNT[1], RIGHT)):
        arm = mujoco.MjSpec.from_file(str(files("robotics.envs.robots") / "viperx300.xml"))
        for geom in arm.geoms:
            if geom.contype:
                geom.contype, geom.conaffinity = bit, (LEFT | RIGHT | STATIC) & ~bit
        spec.attach(arm, prefix=f"{side}/", frame=base.add_frame(pos=[MOUNT[0], y, MOUNT[2]]))
    if actuation == "motor":
        for actuator in spec.actuators[len(BASE_JOINTS) :]:
            limit = spec.joint(actuator.target).actfrcrange
            actuator.set_to_motor()
            actuator.ctrlrange = limit
    return spec


def _drive(spec: mujoco.MjSpec, actuation: Actuation) -> None:
    """Actuators of the base: forces along its joints, or servos of its velocity in its own frame."""
    for axis, (joint, force, speed, gain) in enumerate(zip(BASE_JOINTS, FORCE, SPEED, _SPEED_GAIN, strict=True)):
        actuator = spec.add_actuator(name=joint)
        if actuation == "motor":
            actuator.trntype, actuator.target = mujoco.mjtTrn.mjTRN_JOINT, joint
            actuator.set_to_motor()
            actuator.ctrlrange = [-force, force]
        else:
            actuator.trntype, actuator.target = mujoco.mjtTrn.mjTRN_SITE, "base"
            actuator.gear = np.eye(6)[(0, 1, 5)[axis]]
            actuator.set_to_velocity(kv=gain)
            actuator.ctrlrange, actuator.forcerange = [-speed, speed], [-force, force]


def _add_base(world: mujoco.MjsBody) -> mujoco.MjsBody:
    base = world.add_body(name="base")
    base.add_site(name="base", group=4, size=[0.005] * 3)
    axes = ([1, 0, 0], [0, 1, 0], [0, 0, 1])
    for name, axis, force, damping in zip(BASE_JOINTS, axes, FORCE, _ROLLING, strict=True):
        turns = name == "base_yaw"
        base.add_joint(
            name=name,
            type=mujoco.mjtJoint.mjJNT_HINGE if turns else mujoco.mjtJoint.mjJNT_SLIDE,
            axis=axis,
            damping=damping,
            actfrcrange=[-force, force],
            actfrclimited=True,
        )
    touch = {"contype": STATIC | FURNITURE, "conaffinity": LEFT | RIGHT | OBJECT}
    box = mujoco.mjtGeom.mjGEOM_BOX
    dark, grey = [0.2, 0.21, 0.23, 1], [0.55, 0.57, 0.6, 1]
    base.add_geom(name="chassis", type=box, size=[0.28, 0.28, 0.07], pos=[0, 0, 0.13], mass=55, rgba=dark, **touch)
    base.add_geom(name="tower", type=box, size=[0.19, 0.24, 0.3], pos=[0, 0, 0.5], mass=20, rgba=grey, **touch)
    base.add_geom(name="beam", type=box, size=[0.17, 0.36, 0.02], pos=[0.25, 0, 1.02], mass=3, rgba=grey, **touch)
    base.add_geom(name="column", type=box, size=[0.06, 0.2, 0.1], pos=[0.12, 0, 0.9], mass=2, rgba=grey, **touch)
    for number, (x, y) in enumerate(((0.2, 0.24), (0.2, -0.24), (-0.2, 0.24), (-0.2, -0.24))):
        base.add_geom(
            name=f"wheel{number}",
            type=mujoco.mjtGeom.mjGEOM_CYLINDER,
            fromto=[x, y - 0.025, 0.085, x, y + 0.025, 0.085],
            size=[0.085, 0, 0],
            rgba=[0.1, 0.1, 0.11, 1],
            contype=0,
            conaffinity=0,
            mass=0,
        )
    track = mujoco.mjtCamLight.mjCAMLIGHT_TRACK
    base.add_light(pos=[0.9, -1.2, 3.2], dir=[-0.22, 0.33, -1], diffuse=[0.6] * 3, castshadow=True, mode=track)
    base.add_camera(name="head", pos=[0.23, 0, 1.27], xyaxes=[0, -1, 0, 0.57, 0, 0.82], fovy=75)
    base.add_camera(name="chase", pos=[2.3, -1.9, 1.9], xyaxes=[0.64, 0.77, 0, -0.25, 0.21, 0.95], fovy=42)
    return base


def nominal_model() -> mujoco.MjModel:
    """The robot alone: what its controller believes in."""
    return mobile_scene().compile()


def collision_margin(model: mujoco.MjModel) -> CollisionMargin:
    """Hands and forearms keep clear of each other, and of the robot's own body."""
    links = ("upper_forearm", "lower_forearm", "wrist", "gripper", "rail")
    left, right = ([f"{side}/{link}" for link in links] for side in SIDES)
    hands = [
        f"{side}/{link}" for side in SIDES for link in ("lower_forearm", "wrist", "gripper", "rail", "left_finger")
    ]
    return CollisionMargin(
        pairs_between(model, left, right) + pairs_between(model, hands, ["tower", "beam"]), margin=0.005
    )
