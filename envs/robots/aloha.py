"""ALOHA-class bimanual robot: two ViperX-300 arms with parallel grippers, facing each other over a table.

World frame: x from the left arm to the right one, z up, origin in the middle of the table top.
"""

from importlib.resources import files

import mujoco
import numpy as np

from robotics.controllers.limits import CollisionMargin, pairs_between
from robotics.controllers.robot_spec import EndEffector, RobotSpec
from robotics.envs.robots import Actuation
from robotics.envs.robots.surroundings import add_sky, floor_material

SIDES = ("left", "right")
ARM_JOINTS = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate", "left_finger")
#: Distance of each base from the middle of the table [m] (ALOHA: 0.469).
BASE_X = 0.469
#: Fingers' distance from the middle, fully open and closed: the real gripper's software limits [m].
OPEN, CLOSED = 0.037, 0.002
#: The wrists rest bent to either side: straight, they would be singular. The right hand looks down at the table.
_HOME_LEFT = (0.0, -0.96, 1.16, 0.0, -0.4, 0.0, 0.024)
_HOME_RIGHT = (0.0, -0.96, 1.16, 0.0, 0.6, 0.0, 0.024)
#: Dynamixel XM540 / XM430 no-load speed at 12 V as in Trossen's URDF [rad/s]; the fingers' rail [m/s].
_VELOCITY = (3.14,) * 6 + (0.25,)

#: Collision bits: arms touch each other and everything else, but no arm touches itself.
LEFT, RIGHT, OBJECT, STATIC = 1, 2, 4, 8

ALOHA = RobotSpec(
    name="aloha",
    joints=tuple(f"{side}/{joint}" for side in SIDES for joint in ARM_JOINTS),
    home=_HOME_LEFT + _HOME_RIGHT,
    velocity_limits=_VELOCITY * 2,
    end_effectors=tuple(EndEffector(side, f"{side}/gripper", f"{side}/left_finger") for side in SIDES),
)


def aloha_scene(actuation: Actuation = "servo") -> mujoco.MjSpec:
    """The robot at its table, ready for objects to be added. `motor` replaces the joint servos by pure torques."""
    spec = mujoco.MjSpec()
    spec.modelname = "aloha"
    spec.option.timestep = 0.002
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10
    # MuJoCo 4.0.0's sparse Newton factor can be wrong (google-deepmind/mujoco#3767)
    spec.option.jacobian = mujoco.mjtJacobian.mjJAC_DENSE
    _add_surroundings(spec)
    for side, x, yaw, bit in (("left", -BASE_X, 0.0, LEFT), ("right", BASE_X, np.pi, RIGHT)):
        arm = mujoco.MjSpec.from_file(str(files("robotics.envs.robots") / "viperx300.xml"))
        for geom in arm.geoms:
            if geom.contype:
                geom.contype, geom.conaffinity = bit, (LEFT | RIGHT | STATIC) & ~bit
        frame = spec.worldbody.add_frame(pos=[x, 0, 0], quat=[np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)])
        spec.attach(arm, prefix=f"{side}/", frame=frame)
    if actuation == "motor":
        for actuator in spec.actuators:
            limit = spec.joint(actuator.target).actfrcrange
            actuator.set_to_motor()
            actuator.ctrlrange = limit
    return spec


def _add_surroundings(spec: mujoco.MjSpec) -> None:
    add_sky(spec)
    spec.visual.headlight.diffuse = [0.35] * 3
    spec.visual.headlight.specular = [0.0] * 3
    world = spec.worldbody
    world.add_light(pos=[0, -0.6, 1.8], dir=[0, 0.35, -1], diffuse=[0.6] * 3, specular=[0.1] * 3, castshadow=True)
    world.add_light(pos=[0.8, 0.8, 1.6], dir=[-0.4, -0.4, -1], diffuse=[0.2] * 3, specular=[0.0] * 3, castshadow=False)
    world.add_geom(
        name="table",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=[0, 0, -0.02],
        size=[0.62, 0.4, 0.02],
        rgba=[0.72, 0.66, 0.58, 1],
        contype=STATIC,
        conaffinity=LEFT | RIGHT | OBJECT,
    )
    _add_room(spec)
    world.add_camera(name="top", pos=[0.05, 0, 0.95], quat=[1, 0, 0, 0], fovy=55)
    world.add_camera(name="angle", pos=[0, -0.95, 0.62], xyaxes=[1, 0, 0, 0, 0.47, 0.88], fovy=50)


def _add_room(spec: mujoco.MjSpec) -> None:
    """Legs and a floor: to be seen, not to be touched."""
    unseen_by_physics = {"contype": 0, "conaffinity": 0, "mass": 0}
    world = spec.worldbody
    world.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        pos=[0, 0, -0.75],
        size=[3, 3, 0.1],
        material=floor_material(spec),
        **unseen_by_physics,
    )
    for number, (x, y) in enumerate(((-0.57, -0.35), (-0.57, 0.35), (0.57, -0.35), (0.57, 0.35))):
        world.add_geom(
            name=f"leg{number}",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=[x, y, -0.395],
            size=[0.025, 0.025, 0.355],
            rgba=[0.25, 0.26, 0.28, 1],
            **unseen_by_physics,
        )


def nominal_model() -> mujoco.MjModel:
    """The robot and its table alone: what its controller believes in."""
    return aloha_scene("motor").compile()


def collision_margin(model: mujoco.MjModel) -> CollisionMargin:
    """Hands and forearms keep clear of each other; hands keep clear of the table. Fingers may touch both."""
    links = ("upper_forearm", "lower_forearm", "wrist", "gripper", "rail")
    left, right = ([f"{side}/{link}" for link in links] for side in SIDES)
    hands = [f"{side}/{link}" for side in SIDES for link in ("wrist", "gripper", "rail", "left_finger", "right_finger")]
    return CollisionMargin(pairs_between(model, left, right) + pairs_between(model, hands, ["table"]), margin=0.002)
