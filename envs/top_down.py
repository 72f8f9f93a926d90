"""What experts of ALOHA's hands know about working from above.

The wrist of a ViperX is singular where the hand is in line with the forearm. Close to it a hand is only pitched, in the
vertical plane of its arm, and turned about the vertical only while it points down: turning it elsewhere would flip the
forearm.
"""

import numpy as np

from robotics.controllers.rotation import from_axes, rotation_matrix
from robotics.envs.base import Array
from robotics.envs.robots.aloha import BASE_X

_BASES = {"left": -BASE_X, "right": BASE_X}


def is_down(quat: Array) -> bool:
    """Whether a hand points down, within 30 degrees."""
    return bool(rotation_matrix(quat)[2, 0] < -0.86)


def plane_heading(side: str, position: Array) -> float:
    """Heading of the vertical plane through an arm's base and a position: 0 along x [rad]."""
    return float(np.arctan2(position[1], position[0] - _BASES[side]))


def pointing_down(heading: float) -> Array:
    """A hand that points down, its fingers closing across `heading`: 0 is how the left one leaves home [rad]."""
    return from_axes(np.array([0, 0, -1.0]), np.array([-np.sin(heading), np.cos(heading), 0]))


def heading_of(quat: Array) -> float:
    """The heading of a hand whose fingers are level, whatever its pitch [rad]."""
    fingers = rotation_matrix(quat)[:, 1]
    return float(np.arctan2(-fingers[0], fingers[1]))
