"""A box that stands between two hands, and how each of them will press on it."""

from typing import NamedTuple

import numpy as np

from robotics.control.hands_plant import BOX_HALF
from robotics.controllers.rotation import log_between, rotated, rotation_matrix
from robotics.controllers.tasks import Reference

Array = np.ndarray

#: How far off the box hands come first [m].
CLEAR = 0.06


class Press(NamedTuple):
    """How a hand presses on the box."""

    inwards: Array  # (3,) unit, world
    quat: Array  # of its site
    tip: float  # from its site to where it touches, along `inwards` [m]
    aside: Array  # (3,) the same across `inwards` [m]
    half: float  # of what it touches with, to any side [m]


class StandingBox(NamedTuple):
    """The box before it is touched, and how each hand will press on it."""

    start: Reference
    presses: dict[str, Press]
    side: float = 1.0  # to which its path turns: 1 to its left, -1 to its right

    def hand(self, name: str, box: Reference, gap: float) -> tuple[Array, Array]:
        """Pose of a hand that is `gap` [m] off its face of the box, wherever that is."""
        press, turn = self.presses[name], log_between(self.start.quat, box.quat)
        way = (BOX_HALF[0] + press.tip + gap) * press.inwards + press.aside
        R = rotation_matrix(rotated(np.array([1.0, 0, 0, 0]), turn))
        return box.position - R @ way, rotated(press.quat, turn)
