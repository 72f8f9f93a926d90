"""A camera that sees the whole of a robot that nobody gave one."""

import math

import mujoco
import numpy as np

from robotics.controllers.limbs import bodies_of_hands
from robotics.controllers.model import NominalModel
from robotics.controllers.rest import box_corners

Array = np.ndarray

NAME = "robotics_hands"
#: Half of what it sees upwards [rad], and from how far beside straight ahead and how far above it looks [rad].
_HALF_VIEW, _ASIDE, _ABOVE = math.radians(22.5), math.radians(40), math.radians(22)
_ROOM = 1.05  # of the distance from which a ball around the robot just fills the picture


def film(scene: mujoco.MjSpec, robot: NominalModel, on: str | None = None) -> None:
    """Add a camera in front of a robot at home, in the world, or on the body that the joint `on` moves."""
    mujoco.mj_kinematics(robot.model, robot.data)
    corners = _corners(robot)
    lower, upper = corners.min(axis=0), corners.max(axis=0)
    middle, radius = 0.5 * (lower + upper), 0.5 * float(np.linalg.norm(upper - lower))
    ahead = _ahead(robot)
    yaw = math.atan2(ahead[1], ahead[0]) - _ASIDE
    towards = np.array([math.cos(yaw) * math.cos(_ABOVE), math.sin(yaw) * math.cos(_ABOVE), math.sin(_ABOVE)])
    right = np.array([-math.sin(yaw), math.cos(yaw), 0.0])
    position, turn = middle + _ROOM * radius / math.sin(_HALF_VIEW) * towards, np.eye(3)
    if on is not None:
        body = int(robot.model.jnt_bodyid[robot.model.joint(on).id])
        turn = robot.data.xmat[body].reshape(3, 3).T
        position = turn @ (position - robot.data.xpos[body])
    axes = np.concatenate([turn @ right, turn @ np.cross(towards, right)])
    parent = scene.worldbody if on is None else next(j for j in scene.joints if j.name == on).parent
    parent.add_camera(name=NAME, pos=position, xyaxes=axes, fovy=2 * math.degrees(_HALF_VIEW))


def _corners(robot: NominalModel) -> Array:
    """Of the boxes around everything that the robot is made of (n, 3) [m]."""
    model, data = robot.model, robot.data
    arms = set.union(*bodies_of_hands(model, robot.spec).values())
    roots = {int(model.body_rootid[body]) for body in arms}
    found = [
        data.geom_xpos[g] + box_corners(model, g) @ data.geom_xmat[g].reshape(3, 3).T
        for g in range(model.ngeom)
        if int(model.body_rootid[model.geom_bodyid[g]]) in roots
    ]
    return np.concatenate(found)


def _ahead(robot: NominalModel) -> Array:
    """Where its hands are from where its arms begin (2,); across the line of hands that reach for each other."""
    model, data = robot.model, robot.data
    hands = np.array([robot.pose(e.name)[0][:2] for e in robot.spec.end_effectors])
    shoulders = np.array([data.xpos[min(bodies)][:2] for bodies in bodies_of_hands(model, robot.spec).values()])
    ahead: Array = (hands - shoulders).mean(axis=0)
    if float(np.linalg.norm(ahead)) > 0.1:
        return ahead
    across = hands[-1] - hands[0]
    return np.array([across[1], -across[0]])
