"""Whether a robot can take a box that stands there and carry it along its path: reach, strength, and room."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import mujoco
import numpy as np

from robotics.control.hands_plant import BOX, BOX_MASS, STAND, add_box_on_stand
from robotics.control.plant import place_joints
from robotics.control.pressing import CLEAR, StandingBox
from robotics.controllers.grasp import GRAVITY
from robotics.controllers.limbs import bodies_of_hands, hangs_on
from robotics.controllers.model import NominalModel
from robotics.controllers.reaching import reach
from robotics.controllers.rotation import log_between, rotated, rotation_matrix
from robotics.controllers.tasks import Reference

Array = np.ndarray

OUT_OF_REACH = "they do not reach around it"
#: Joints give no more than this share of their torque, to press with and to carry by that much more than is needed.
_SHARE, _MORE = 0.9, 1.3
#: Hands this far from being singular (the least singular value of their Jacobian) can follow a path.
_AGILE = 0.03
_WIDE = 0.02  # of what a hand touches with to either side: more is no better [m]
_DEEP = -1e-4  # what is less deep in something else than that only touches it [m]


@dataclass(frozen=True)
class CanNotError(Exception):
    """Why a robot can not do what was asked of it, and how far it got."""

    stage: int
    why: str


class Point(NamedTuple):
    """Somewhere on the way of the box."""

    box: Reference
    q: Array  # (n,) of the robot there
    agility: Array  # (hands,) least singular values of their Jacobians


def find_way(robot: NominalModel, box: StandingBox, home: Array, path: Sequence[Reference]) -> list[Point]:
    """From before the box on, along the path."""
    way: list[Point] = []
    q = home
    for gap, at in ((CLEAR, box.start), (0.0, box.start), *((0.0, at) for at in path)):
        solution = reach(robot, {hand: box.hand(hand, at, gap) for hand in box.presses}, q)
        if solution is None:
            raise CanNotError(*((0, OUT_OF_REACH) if len(way) < 2 else (1, "they do not reach where it goes")))
        q = solution
        agility = np.array([np.linalg.svd(robot.jacobian(hand), compute_uv=False)[-1] for hand in box.presses])
        if agility.min() < _AGILE:
            raise CanNotError(2, "an arm would be stretched out or folded")
        way.append(Point(at, q, agility))
    return way


def quality(box: StandingBox, way: list[Point]) -> float:
    """How far the arms stay from being stretched out or folded, less of it for hands that touch with little."""
    touching = np.minimum(1.0, [press.half / _WIDE for press in box.presses.values()])
    return float(np.min([point.agility for point in way], axis=0) @ touching)


def require_strength(robot: NominalModel, box: StandingBox, way: list[Point], squeeze: float) -> None:
    """Raise where a joint can not press, and hold half the box."""
    weight = np.array([0, 0, 0.5 * _MORE * BOX_MASS * GRAVITY])
    for point in way:
        robot.update(point.q, np.zeros(len(point.q)))
        torque = robot.h.copy()
        turn = rotation_matrix(rotated(np.array([1.0, 0, 0, 0]), log_between(box.start.quat, point.box.quat)))
        for hand, press in box.presses.items():
            lever = turn @ (press.tip * press.inwards + press.aside)
            force = _MORE * squeeze * (turn @ press.inwards) + weight
            torque += robot.jacobian(hand).T @ np.concatenate([force, np.cross(lever, force)])
        over = np.maximum(torque - _SHARE * robot.torque_upper, _SHARE * robot.torque_lower - torque)
        if over.max() > 0:
            weak = int(over.argmax())
            most = max(robot.torque_upper[weak], -robot.torque_lower[weak])
            raise CanNotError(3, f"joint '{robot.spec.joints[weak]}' can not give more than {most:.3g}")


class Room:
    """The robot, the box and its stand, to see what touches what."""

    def __init__(self, scene: mujoco.MjSpec, robot: NominalModel, start: Reference) -> None:
        add_box_on_stand(scene, BOX_MASS, start)
        self.model = model = scene.compile()
        self.data = mujoco.MjData(model)
        self._box, self._place = model.body(BOX).id, int(model.joint(BOX).qposadr[0])
        self._joints = np.array([model.joint(joint).qposadr[0] for joint in robot.spec.joints])
        self._standing = {model.geom(STAND).id, int(model.body_geomadr[self._box])}
        self._arms = set.union(*bodies_of_hands(model, robot.spec).values())
        links = [int(model.body_weldid[model.site_bodyid[model.site(e.site).id]]) for e in robot.spec.end_effectors]
        self._hands = {body for body in self._arms if any(hangs_on(model, body, link) for link in links)}
        home = np.array(robot.spec.home)
        place_joints(model, self.data, self._joints, home)  # and fingers that follow others
        self._usual = self._contacts(home, start)

    def require_room(self, box: StandingBox, home: Array, way: list[Point]) -> None:
        """Raise where something is in the way: of the box, of hands that come to it, or of arms that carry it."""
        if any(self._box in pair for pair in self._usual):
            raise CanNotError(4, "something is where the box would stand")
        for q in (home + share * (way[0].q - home) for share in (0.25, 0.5, 0.75, 1.0)):
            if any(pair & self._arms for pair in self._contacts(q, box.start) - self._usual):
                raise CanNotError(4, "they would run into something on their way to the box")
        for point in way[1:]:
            for pair in self._contacts(point.q, point.box) - self._usual:
                if pair & self._arms and not (self._box in pair and pair & self._hands):
                    raise CanNotError(4, "an arm would run into something on the way of the box")

    def _contacts(self, q: Array, box: Reference) -> set[frozenset[int]]:
        """Pairs of bodies that touch, with the arms at q (n,) and the box at its pose, but for box and stand."""
        model, data = self.model, self.data
        data.qpos[self._joints] = q
        data.qpos[self._place : self._place + 7] = [*box.position, *box.quat]
        mujoco.mj_kinematics(model, data)
        mujoco.mj_collision(model, data)
        return {
            frozenset((int(model.geom_bodyid[c.geom1]), int(model.geom_bodyid[c.geom2])))
            for c in data.contact
            if c.dist < _DEEP and {int(c.geom1), int(c.geom2)} != self._standing
        }
