"""The soles of a robot on two feet: their corners and their frames, in whatever frames their links have."""

from itertools import groupby
from typing import NamedTuple

import mujoco
import numpy as np

from robotics.controllers.robot_spec import RobotSpec
from robotics.errors import UsageError

Array = np.ndarray

#: A foot that points so little to the side at home [rad] is thought to be meant to point ahead.
ALIGNED = 0.1


class Sole(NamedTuple):
    """The body of a foot, the lowest points of its balls (corners, 3) [m], and the axes of the sole as columns (3, 3):
    x ahead, z up from the ground, both in the body's frame."""

    link: int
    corners: Array
    frame: Array


def soles(model: mujoco.MjModel, spec: RobotSpec) -> list[Sole]:
    """Both soles of the balls in `RobotSpec.feet`. Raises UsageError for feet that are no two soles."""
    data = _at_home(model, spec)
    balls = [model.geom(foot).id for foot in spec.feet]
    feet = [
        (link, list(members))
        for link, members in groupby(balls, lambda g: int(model.body_weldid[model.geom_bodyid[g]]))
    ]
    if len(feet) != 2 or any(len(members) < 3 for _, members in feet):
        found = ", ".join(f"{model.body(link).name} with {len(members)}" for link, members in feet) or "none"
        raise UsageError(
            f"robot {spec.name} needs two feet with at least three balls in each sole, but has: {found}; "
            "name the balls in RobotSpec.feet, all of the left foot first"
        )
    if len(feet[0][1]) != len(feet[1][1]):
        raise UsageError(f"robot {spec.name}: its two soles have different numbers of balls")
    return [_sole(model, data, link, members) for link, members in feet]


def _at_home(model: mujoco.MjModel, spec: RobotSpec) -> mujoco.MjData:
    """With the joints at home and the base upright."""
    data, base = mujoco.MjData(model), int(model.joint(spec.base).qposadr[0])
    data.qpos[base : base + 7] = [0, 0, 0, 1, 0, 0, 0]
    data.qpos[[int(model.joint(joint).qposadr[0]) for joint in spec.joints]] = spec.home
    mujoco.mj_kinematics(model, data)
    return data


def _sole(model: mujoco.MjModel, data: mujoco.MjData, link: int, balls: list[int]) -> Sole:
    R = data.xmat[link].reshape(3, 3)
    centres = np.array([_in_link(model, data, link, ball) for ball in balls])
    radii, up = model.geom_size[balls, :1], R[2]
    for _ in range(2):  # balls of several sizes: their lowest points are not in the plane of their centres
        up = _normal(centres - radii * up, R[2])
    ahead = _ahead(R[0], up)
    return Sole(link, centres - radii * up, np.column_stack([ahead, np.cross(up, ahead), up]) + 0.0)


def _in_link(model: mujoco.MjModel, data: mujoco.MjData, link: int, ball: int) -> Array:
    """Centre of a ball in the frame of the link that it is fixed to."""
    if int(model.geom_bodyid[ball]) == link:
        return np.array(model.geom_pos[ball])
    return (data.geom_xpos[ball] - data.xpos[link]) @ data.xmat[link].reshape(3, 3)


def _normal(points: Array, up: Array) -> Array:
    """Unit normal (3,) of the plane through the points (n, 3), on the side of `up`."""
    normal = np.linalg.svd(points - points.mean(axis=0))[2][2]
    rounded = np.round(normal if normal @ up > 0 else -normal, 12)  # exact where the plane is along axes
    return rounded / np.linalg.norm(rounded)


def _ahead(ahead: Array, up: Array) -> Array:
    """The way ahead in the plane of the sole (3,): along the axis of the link that was meant to point there, or where
    none is, as the foot stands at home."""
    axes = np.concatenate([np.eye(3), -np.eye(3)])
    meant = axes[int(np.argmax(axes @ ahead))]
    chosen = meant if meant @ ahead > np.cos(ALIGNED) else ahead
    flat = chosen - (chosen @ up) * up
    return flat / np.linalg.norm(flat)
