"""Where the hands of a robot are flat, so that they can press on something: found by rays, whatever they look like."""

from typing import NamedTuple

import mujoco
import numpy as np

from robotics.controllers.limbs import bodies_of_hands, hangs_on
from robotics.controllers.model import NominalModel

Array = np.ndarray

#: The rays' grid: half its width, its step, and how far out they begin [m].
_HALF, _STEP, _OUT = 0.1, 0.004, 0.25
#: What is this much lower than the highest point is no part of the flat [m], and how far it must reach to either side.
_FLAT, _LEAST = 2e-4, 0.008


class Palm(NamedTuple):
    """A flat face of a hand, in the frame of its site."""

    towards: Array  # (3,) unit, where it looks
    centre: Array  # (3,) [m] its middle
    half: tuple[float, float]  # how far it reaches from there to either side, along the two other axes [m]

    def beside(self) -> Array:
        """How far its middle is off the line from the site to where it looks (3,) [m]."""
        return self.centre - float(self.centre @ self.towards) * self.towards


def palms(robot: NominalModel, hand: str) -> list[Palm]:
    """The flat faces of a hand at home that look along an axis of its site; none where its ends are round, or nothing
    of it collides."""
    model, data = _hand_alone(robot, hand)
    site = model.site(next(e.site for e in robot.spec.end_effectors if e.name == hand)).id
    origin, axes = data.site_xpos[site], data.site_xmat[site].reshape(3, 3)
    found = []
    for number in range(3):
        for sign in (1.0, -1.0):
            towards, first, second = sign * axes[:, number], axes[:, number - 2], axes[:, number - 1]
            palm = _face(model, data, origin, towards, first, second)
            if palm is not None:
                centre, half = palm
                found.append(Palm(axes.T @ towards, axes.T @ (centre - origin), half))
    return found


def _face(
    model: mujoco.MjModel, data: mujoco.MjData, origin: Array, towards: Array, first: Array, second: Array
) -> tuple[Array, tuple[float, float]] | None:
    """What is highest of the hand along `towards`: its middle in the world, and its half lengths; None where it is not
    flat, less high than the arm beside it, or a hand's length off the site."""
    steps = np.arange(-_HALF, _HALF + 1e-9, _STEP)
    groups, geom = np.array([1, 1, 0, 0, 0, 0], np.uint8), np.zeros(1, np.int32)
    hits, highest = [], -np.inf
    for a in steps:
        for b in steps:
            start = origin + _OUT * towards + a * first + b * second
            distance = mujoco.mj_ray(model, data, start, -towards, groups, 1, -1, geom)
            if distance >= 0 and model.geom_group[geom[0]] == 0:
                hits.append((_OUT - distance, a, b))
            elif distance >= 0:
                highest = max(highest, _OUT - distance)
    if not hits or max(hits)[0] < highest:
        return None
    heights, along, across = np.array(hits).T
    flat = heights > heights.max() - _FLAT
    ends = [(float(values[flat].min()), float(values[flat].max())) for values in (along, across)]
    half = tuple(0.5 * (high - low + _STEP) for low, high in ends)
    if min(half) < _LEAST or np.abs(ends).max() > _HALF - 0.5 * _STEP:  # or goes on where no ray was
        return None
    (a_low, a_high), (b_low, b_high) = ends
    middle = origin + float(heights.max()) * towards + 0.5 * (a_low + a_high) * first + 0.5 * (b_low + b_high) * second
    return middle, (half[0], half[1])


def _hand_alone(robot: NominalModel, hand: str) -> tuple[mujoco.MjModel, mujoco.MjData]:
    """The robot at home, with rays in mind: what collides of the hand is in group 0, what does of its arm in 1."""
    model, data = robot.model.__copy__(), mujoco.MjData(robot.model)
    data.qpos[:] = robot.data.qpos
    site = model.site(next(e.site for e in robot.spec.end_effectors if e.name == hand)).id
    link = int(model.body_weldid[model.site_bodyid[site]])
    solid = (model.geom_contype | model.geom_conaffinity) != 0
    on_hand = np.array([hangs_on(model, int(body), link) for body in model.geom_bodyid])
    arm = bodies_of_hands(model, robot.spec)[hand]
    on_arm = np.array([int(body) in arm for body in model.geom_bodyid])
    model.geom_group[:] = np.where(solid & on_hand, 0, np.where(solid & on_arm, 1, 2))
    model.geom_matid[:] = -1
    model.geom_rgba[:, 3] = 1.0  # rays go through what can not be seen
    mujoco.mj_kinematics(model, data)
    return model, data
