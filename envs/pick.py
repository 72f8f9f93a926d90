"""What experts of one hand know about picking things up and putting them down; decided anew from every observation."""

from dataclasses import dataclass

import numpy as np

from robotics.controllers.arms import HandTarget
from robotics.controllers.rotation import angle, from_axes, rotation_matrix
from robotics.envs.base import Array

Pose = tuple[Array, Array]


@dataclass(frozen=True)
class Grasp:
    """Where a hand closes on an object: position [m], orientation wxyz, and the fingers' distance around it [m].

    `approach` is how far above it the hand comes to from where it is safe to move sideways [m].
    """

    position: Array
    quat: Array
    width: float
    approach: float = 0.1


@dataclass(frozen=True)
class Limits:
    """When a hand has arrived: [m], [rad]; `grip` is how much the fingers may differ from an object's width [m]."""

    near: float = 0.006
    over: float = 0.012
    turned: float = 0.08
    grip: float = 0.001
    #: How deep into an object the fingers are commanded [m].
    squeeze: float = 0.02
    #: How far ahead of a rising hand its target is [m].
    gently: float = 0.02


def pointing_down(yaw: float) -> Array:
    """A hand that points down, its fingers closing along y turned by `yaw` about the vertical [rad]."""
    return from_axes(np.array([np.cos(yaw), np.sin(yaw), 0]), np.array([np.sin(yaw), -np.cos(yaw), 0]))


def upright_yaw(quat: Array) -> float:
    """The yaw of the most nearly horizontal of an object's axes [rad]: of a box on a face, up to quarter turns."""
    axes = rotation_matrix(quat)
    normal = axes[:, np.argmin(np.abs(axes[2]))]
    return float(np.arctan2(normal[1], normal[0]))


def is_held(hand: Pose, opening: float, grasp: Grasp, limits: Limits = Limits()) -> bool:
    """Whether the fingers are closed on the object: around it, and as far apart as it is wide."""
    around = np.linalg.norm(hand[0] - grasp.position) < 0.015
    return bool(around and opening < grasp.width / 2 + limits.grip)


def pick(hand: Pose, grasp: Grasp, opened: float, limits: Limits = Limits()) -> HandTarget:
    """The next target of a hand that shall close on `grasp`: over it, down to it, and closed."""
    position, quat = hand
    aligned = angle(quat, grasp.quat) < limits.turned
    away = grasp.position - position
    over = float(np.hypot(*away[:2])) < limits.over
    if aligned and np.linalg.norm(away) < limits.near:
        return HandTarget(grasp.position, grasp.quat, max(grasp.width / 2 - limits.squeeze, 0.0))
    above = grasp.position + [0, 0, grasp.approach]
    if aligned and over:
        return HandTarget(grasp.position, grasp.quat, opened)
    if position[2] < above[2] - 0.03 and np.hypot(*away[:2]) > 0.02:  # out of what stands around, before sideways
        return HandTarget(np.array([*position[:2], above[2]]), quat, opened)
    return HandTarget(above, grasp.quat, opened)


def place(hand: Pose, at: Pose, grasp: Grasp, height: float, opened: float, limits: Limits = Limits()) -> HandTarget:
    """The next target of a hand that holds the object and shall let go of it with the hand `at`; `height` is that of
    the hand on its way [m]."""
    position, quat = hand
    goal, turn = at
    gripping = max(grasp.width / 2 - limits.squeeze, 0.0)
    away = goal - position
    over, aligned = float(np.hypot(*away[:2])) < limits.over, angle(quat, turn) < limits.turned
    if over and aligned and position[2] < goal[2] + limits.near:
        return HandTarget(goal, turn, opened)
    if over and aligned:
        return HandTarget(goal, turn, gripping)
    if position[2] < height - 0.03:
        return raised(hand, grasp, height, limits)
    return HandTarget(np.array([*goal[:2], height]), turn, gripping)


def raised(hand: Pose, grasp: Grasp, height: float, limits: Limits = Limits()) -> HandTarget:
    """Straight up with the object, gently: fingers that have just met it do not press yet."""
    position, quat = hand
    up = np.array([*position[:2], min(height, position[2] + limits.gently)])
    return HandTarget(up, quat, max(grasp.width / 2 - limits.squeeze, 0.0))


def retreat(hand: Pose, height: float, opened: float) -> HandTarget:
    """Straight up from where the hand is, fingers open."""
    position, quat = hand
    return HandTarget(np.array([*position[:2], height]), quat, opened)
