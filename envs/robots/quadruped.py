"""A Unitree-Go2-class quadruped: twelve torque-controlled joints on a free base.

Kinematics, masses, inertias, joint ranges and torque limits from Unitree's own go2_description (unitree_ros), primitive
geometry instead of its meshes.
"""

import mujoco
import numpy as np

from robotics.controllers.robot_spec import RobotSpec
from robotics.envs.robots.surroundings import add_sky, floor_material

LEGS = ("FL", "FR", "RL", "RR")
#: Abduction, hip and knee torque [N m] and no-load speed [rad/s].
TORQUE = {"hip": 23.7, "thigh": 23.7, "calf": 45.43}
SPEED = {"hip": 30.1, "thigh": 30.1, "calf": 15.7}
FOOT_RADIUS = 0.022

QUADRUPED = RobotSpec(
    name="quadruped",
    joints=tuple(f"{leg}_{part}" for leg in LEGS for part in TORQUE),
    home=(0.0, 0.9, -1.8) * 4,
    velocity_limits=tuple(SPEED.values()) * 4,
    base="base",
    feet=LEGS,
)


def quadruped_scene(friction: float = 0.8) -> mujoco.MjSpec:
    """The robot on flat ground; `friction` is that of its feet on any ground."""
    spec = mujoco.MjSpec()
    spec.modelname = "quadruped"
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
    )
    base = world.add_body(name="base", pos=[0, 0, 0.30])
    base.add_freejoint(name="base")
    base.mass, base.ipos = 6.921, [0.021112, 0, -0.005366]
    base.iquat, base.inertia = [-0.000543471, 0.713435, -0.00173769, 0.700719], [0.107027, 0.0980771, 0.0244531]
    base.explicitinertial = True
    _shape(base, mujoco.mjtGeom.mjGEOM_BOX, [0.1881, 0.04675, 0.057], [0, 0, 0])
    base.add_light(pos=[-0.5, -0.7, 2.5], dir=[0.2, 0.28, -1], diffuse=[0.5] * 3, castshadow=True, mode=_TRACK)
    for leg in LEGS:
        _add_leg(spec, base, leg, friction)
    return spec


_TRACK = mujoco.mjtCamLight.mjCAMLIGHT_TRACK


def _add_leg(spec: mujoco.MjSpec, base: mujoco.MjsBody, leg: str, friction: float) -> None:
    front, left = (1 if leg[0] == "F" else -1), (1 if leg[1] == "L" else -1)
    hip = base.add_body(name=f"{leg}_hip", pos=[front * 0.1934, left * 0.0465, 0])
    _inertia(hip, 0.678, [-0.0054 * front, 0.00194 * left, -0.000105], [0.00088403, 0.000596003, 0.000479967])
    _joint(spec, hip, f"{leg}_hip", "hip", [1, 0, 0], (-1.0472, 1.0472))
    _shape(hip, mujoco.mjtGeom.mjGEOM_CYLINDER, [0.046, 0.02, 0], [0, left * 0.08, 0], quat=[1, 1, 0, 0])
    thigh = hip.add_body(name=f"{leg}_thigh", pos=[0, left * 0.0955, 0])
    _inertia(thigh, 1.152, [-0.00374, -0.0223 * left, -0.0327], [0.00594973, 0.00584149, 0.000878787])
    _joint(spec, thigh, f"{leg}_thigh", "thigh", [0, 1, 0], (-1.5708, 3.4907) if front > 0 else (-0.5236, 4.5379))
    _shape(thigh, mujoco.mjtGeom.mjGEOM_BOX, [0.1065, 0.01225, 0.017], [0, 0, -0.1065], quat=[1, 0, 1, 0])
    calf = thigh.add_body(name=f"{leg}_calf", pos=[0, 0, -0.213])
    _inertia(calf, 0.241352, [0.00629595, -0.000622121 * left, -0.141417], [0.0014901, 0.00146356, 5.31397e-05])
    _joint(spec, calf, f"{leg}_calf", "calf", [0, 1, 0], (-2.7227, -0.83776))
    _shape(calf, mujoco.mjtGeom.mjGEOM_CYLINDER, [0.012, 0.09, 0], [0.004, 0, -0.1], rgba=(0.75, 0.76, 0.78, 1))
    foot = calf.add_geom(name=leg, type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[FOOT_RADIUS, 0, 0], pos=[-0.002, 0, -0.213])
    # Feet alone decide how they grip, whatever they stand on
    foot.priority, foot.condim, foot.friction = 1, 6, [friction, 0.02, 0.01]
    foot.rgba, foot.mass = [0.1, 0.1, 0.11, 1], 0


def _joint(
    spec: mujoco.MjSpec, body: mujoco.MjsBody, name: str, kind: str, axis: list[float], span: tuple[float, float]
) -> None:
    joint = body.add_joint(name=name, type=mujoco.mjtJoint.mjJNT_HINGE, axis=axis, range=span)
    joint.armature, joint.damping, joint.frictionloss = 0.01, [0.1, 0, 0], 0.2
    joint.actfrcrange = [-TORQUE[kind], TORQUE[kind]]
    motor = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    motor.set_to_motor()
    motor.ctrlrange = [-TORQUE[kind], TORQUE[kind]]


def _inertia(body: mujoco.MjsBody, mass: float, position: list[float], inertia: list[float]) -> None:
    body.mass, body.ipos, body.inertia, body.explicitinertial = mass, position, inertia, True


def _shape(body, kind, size, pos, quat=(1, 0, 0, 0), rgba=(0.3, 0.32, 0.36, 1)) -> None:
    """Something to see; only the feet touch the ground."""
    quat = np.array(quat, float) / np.linalg.norm(quat)
    body.add_geom(type=kind, size=size, pos=pos, quat=quat, rgba=rgba, contype=0, conaffinity=0, mass=0)


def nominal_quadruped() -> mujoco.MjModel:
    """What the robot's controller believes in."""
    return quadruped_scene().compile()
