"""A round finger that pushes a T over a table, both in the plane: the contact-rich puzzle of PushT.

The T has the proportions of the PushT task of Florence et al. 2021 and Chi et al. 2023 at 1:2.5. It slides on three
joints with dry friction, the forces of a table at a coefficient of 0.4: forces along the axes apart from each other and
from the moment, a box in place of the ellipsoid of Goyal et al. 1991. No vertical contacts make futures cheap.
"""

from typing import Any

import mujoco
import numpy as np

from robotics.controllers.rotation import wrapped
from robotics.envs.robots.surroundings import add_sky, floor_material

Array = np.ndarray

MASS, TABLE_FRICTION = 0.3, 0.4
#: Bar and stem of the T: half sizes and centres [m], about the frame of the T at its centre of mass.
BAR, STEM = (0.10, 0.025), (0.025, 0.075)
BAR_AT, STEM_AT = 0.0429, -0.0571
HALF_HEIGHT = 0.02
FINGER_RADIUS = 0.02
REACH = 0.40  # of the finger, from the middle of the table along each axis [m]
FINGER_SPEED = 0.6  # what its servo is made for [m/s]
GOAL = (0.0, 0.0, 0.0)
#: Points on the T whose distance from where they belong measures a pose: the ends of the bar and of the stem.
CORNERS = np.array([[-0.1, BAR_AT], [0.1, BAR_AT], [0.0, STEM_AT - 0.075]])


def push_t_scene(timestep: float = 0.01) -> mujoco.MjSpec:
    """Table, T, finger, and the T's place drawn on the table. qpos: finger (x, y), T (x, y, angle)."""
    spec = mujoco.MjSpec()
    spec.modelname = "push_t"
    spec.compiler.degree = False
    spec.option.timestep = timestep
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.jacobian = mujoco.mjtJacobian.mjJAC_DENSE  # see aloha_scene
    add_sky(spec)
    spec.visual.headlight.diffuse = [0.4] * 3
    spec.visual.headlight.ambient = [0.4] * 3
    world = spec.worldbody
    _show(world, mujoco.mjtGeom.mjGEOM_PLANE, [0, 0, 0.05], [0, 0, -0.4], (1, 1, 1, 1)).material = floor_material(spec)
    _show(world, mujoco.mjtGeom.mjGEOM_BOX, [0.5, 0.5, 0.02], [0, 0, -0.02], (0.78, 0.70, 0.58, 1))
    world.add_light(pos=[0.5, -0.6, 1.6], dir=[-0.3, 0.35, -1], diffuse=[0.5] * 3, castshadow=True)
    world.add_camera(name="track", pos=[0, -0.75, 1.15], xyaxes=[1, 0, 0, 0, 0.84, 0.55])
    place = world.add_body(name="place", pos=[GOAL[0], GOAL[1], 0.0005], quat=_turned(GOAL[2]))
    for half, at in ((BAR, BAR_AT), (STEM, STEM_AT)):
        _show(place, mujoco.mjtGeom.mjGEOM_BOX, [*half, 0.0005], [0, at, 0], (0.35, 0.75, 0.45, 1))
    _add_finger(spec)
    _add_block(spec)
    return spec


def _add_finger(spec: mujoco.MjSpec) -> None:
    finger = spec.worldbody.add_body(name="finger", pos=[0, 0, 0.04])
    for name, axis in (("finger_x", [1, 0, 0]), ("finger_y", [0, 1, 0])):
        joint = finger.add_joint(name=name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=axis, range=[-REACH, REACH])
        joint.damping = [10, 0, 0]
        servo = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        servo.set_to_position(kp=100.0)
        servo.ctrlrange, servo.forcerange = [-REACH, REACH], [-10 * FINGER_SPEED, 10 * FINGER_SPEED]
    tip = finger.add_geom(name="finger", type=mujoco.mjtGeom.mjGEOM_CYLINDER, size=[FINGER_RADIUS, 0.035, 0], mass=0.3)
    tip.rgba, tip.friction, tip.condim = [0.20, 0.35, 0.75, 1], [0.3, 0.005, 0.0001], 3


def _add_block(spec: mujoco.MjSpec) -> None:
    block = spec.worldbody.add_body(name="block", pos=[0, 0, 0.025])
    weight = TABLE_FRICTION * MASS * 9.81
    for name, axis in (("block_x", [1, 0, 0]), ("block_y", [0, 1, 0])):
        joint = block.add_joint(name=name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=axis)
        joint.frictionloss = weight / np.sqrt(2)  # between the least and the most that a circle would give
    turn = block.add_joint(name="block_turn", type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 0, 1])
    turn.frictionloss = weight * 0.065  # the mean distance of the T's area from its centre of mass [m]
    _add_shape(block, friction=[0.3, 0.005, 0.0001])


def add_free_block(spec: mujoco.MjSpec, **touching: int) -> None:
    """The T as a free body `block` about its centre of mass, `touching` what these bits say."""
    block = spec.worldbody.add_body(name="block", pos=[0, 0, HALF_HEIGHT])
    block.add_freejoint(name="block")
    _add_shape(block, priority=1, friction=[TABLE_FRICTION, 0.005, 1e-4], **touching)  # its own, whatever touches it


def _add_shape(block: mujoco.MjsBody, **contact: Any) -> None:
    """Bar and stem, of even density."""
    areas = np.array([BAR[0] * BAR[1], STEM[0] * STEM[1]])
    for name, half, at, area in (("bar", BAR, BAR_AT, areas[0]), ("stem", STEM, STEM_AT, areas[1])):
        block.add_geom(
            name=name,
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=[*half, HALF_HEIGHT],
            pos=[0, at, 0],
            mass=MASS * area / areas.sum(),
            rgba=[0.82, 0.30, 0.22, 1],
            condim=3,
            **contact,
        )


def away(pose: Array, goal: Array) -> Array:
    """How far the corners of the T at poses (..., 3) are from their places, together [m]."""
    return np.linalg.norm(corners(pose) - corners(goal), axis=-1).sum(axis=-1)


def pose_errors(pose: Array, goal: Array) -> tuple[Array, Array]:
    """Distance [m] and angle [rad, not negative] between poses (..., 3) of the T."""
    distance = np.hypot(pose[..., 0] - goal[0], pose[..., 1] - goal[1])
    return distance, np.abs(wrapped(pose[..., 2] - goal[2]))


def corners(pose: Array) -> Array:
    """Where the `CORNERS` are at poses (..., 3): (..., 3, 2)."""
    c, s = np.cos(pose[..., 2, None]), np.sin(pose[..., 2, None])
    x, y = CORNERS.T
    return np.stack([pose[..., 0, None] + c * x - s * y, pose[..., 1, None] + s * x + c * y], axis=-1)


def random_start(rng: np.random.Generator) -> Array:
    """qpos (5,) with the T anywhere within 20 cm of the middle, at any angle, and the finger free of it."""
    pose = np.array([*rng.uniform(-0.2, 0.2, 2), rng.uniform(-np.pi, np.pi)])
    while True:
        finger = rng.uniform(-0.35, 0.35, 2)
        if np.linalg.norm(finger - pose[:2]) > 0.18:  # beyond the farthest corner
            return np.concatenate([finger, pose])


def _turned(angle: float) -> list[float]:
    return [np.cos(angle / 2), 0, 0, np.sin(angle / 2)]


def _show(body, kind, size, pos, rgba):
    return body.add_geom(type=kind, size=size, pos=pos, rgba=rgba, contype=0, conaffinity=0, mass=0)
