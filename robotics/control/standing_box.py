"""Where a box can stand between the hands of any robot, so that both reach it, press on it and carry it."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import mujoco
import numpy as np

from robotics.control.hands_plant import BOX, BOX_HALF, BOX_MASS, STAND, add_box_on_stand
from robotics.control.palms import Palm, palms
from robotics.control.plant import place_joints
from robotics.controllers.grasp import GRAVITY
from robotics.controllers.limbs import bodies_of_hands, hangs_on
from robotics.controllers.model import NominalModel
from robotics.controllers.reaching import reach
from robotics.controllers.rotation import from_axes, log_between, rotated, rotation_matrix
from robotics.controllers.tasks import Reference
from robotics.errors import UsageError

Array = np.ndarray

#: How far the box may be from between the hands at home: ahead, and upwards [m].
_AHEAD, _UP = (0.0, 0.08, -0.08, 0.16, -0.16), (0.0, -0.1, 0.1, -0.2, 0.2)
#: Ways to hold a hand that are tried, the nearest ones to how it is at home, and how much a metre off its site counts.
_GRIPS, _ASIDE = 6, 5.0
#: How far beside its site a hand may touch [m]: at first hardly, since it is there to work with.
_BESIDE = (0.02, 0.1)
#: Joints give no more than this share of their torque, to press with and to carry by that much more than is needed.
_SHARE, _MORE = 0.9, 1.3
#: Hands this far from being singular (the least singular value of their Jacobian) can follow a path.
_AGILE = 0.03
_WIDE = 0.02  # of what a hand touches with to either side: more is no better [m]
_LOWEST = 0.02  # of the top of a stand above the floor [m]
_OUT_OF_REACH = "they do not reach around it"
_DEEP = -1e-4  # what is less deep in something else than that only touches it [m]


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


Path = Callable[[Reference, float], Sequence[Reference]]
"""Where the box shall be carried, from where it stands, to its left (1) or right (-1)."""


@dataclass(frozen=True)
class _CanNotError(Exception):
    """Why a robot can not do what was asked of it, and how far it got."""

    stage: int
    why: str


def place_box(
    name: str, scene: Callable[[], mujoco.MjSpec], robot: NominalModel, squeeze: float, path: Path
) -> StandingBox:
    """The first place, from between the hands at home outwards, where hands of `robot` can do all of `path`, and there
    the way to press that keeps both arms best from being stretched out or folded.

    Raises UsageError saying what can not be done at any.
    """
    grips = {e.name: palms(robot, e.name) for e in robot.spec.end_effectors}
    for hand, there in grips.items():
        if not there:
            raise UsageError(
                f"robot {name}: nothing of end effector '{hand}' that collides is flat and looks along an axis of its "
                "site, so it can not press on a box; give it a flat end of two centimetres or more, or take task track"
            )
    failures: Counter[_CanNotError] = Counter()
    off = max(float(np.linalg.norm(palm.beside())) for flat in grips.values() for palm in flat)
    for beside, start in itertools.product(_BESIDE if off > _BESIDE[0] else _BESIDE[:1], _places(name, robot)):
        presses = [
            _presses(robot, hand, flat, start, sign, beside)
            for (hand, flat), sign in zip(grips.items(), (1, -1), strict=True)
        ]
        found = _boxes(scene, robot, start, dict(zip(grips, presses, strict=True)), squeeze, path, failures)
        if found:
            return max(found, key=lambda one: one[0])[1]
    why = max(failures, key=lambda error: (error.stage, failures[error])).why if failures else "the floor is in the way"
    raise UsageError(
        f"robot {name}: no place between its hands at home where they could take a box of {_centimetres()} and "
        f"{BOX_MASS:g} kg from both sides and carry it ({why}); give another home, or take task track"
    )


def _boxes(
    scene: Callable[[], mujoco.MjSpec],
    robot: NominalModel,
    start: Reference,
    presses: dict[str, list[Press]],
    squeeze: float,
    path: Path,
    failures: Counter[_CanNotError],
) -> list[tuple[float, StandingBox]]:
    """What can be done with a box at `start`, and how well; counts why the rest can not."""
    home = np.array(robot.spec.home)
    near = {hand: [one for one in some if _in_reach(robot, hand, one, start, home)] for hand, some in presses.items()}
    if not all(near.values()):
        failures[_CanNotError(0, _OUT_OF_REACH)] += 1
        return []
    around = _Touching(scene(), robot, start)
    found: list[tuple[float, StandingBox]] = []
    for pair, side in itertools.product(itertools.product(*near.values()), (1.0, -1.0)):
        box = StandingBox(start, dict(zip(near, pair, strict=True)), side)
        try:
            way = _way(robot, box, home, path(start, side))
            _require_strength(robot, box, way, squeeze)
            around.require_room(box, home, way)
            found.append((_quality(box, way), box))
        except _CanNotError as error:
            failures[error] += 1
        finally:
            robot.move(home)
    return found


def _centimetres() -> str:
    return " x ".join(f"{200 * half:g}" for half in BOX_HALF) + " cm"


def _places(name: str, robot: NominalModel) -> Iterator[Reference]:
    """Poses of the box, its x axis from the first hand to the second: between them, then ever further from there."""
    first, second = (robot.pose(e.name)[0] for e in robot.spec.end_effectors)
    across = (second - first) * [1.0, 1.0, 0.0]
    if float(np.linalg.norm(across)) < 0.05:
        raise UsageError(f"robot {name}: its hands are above each other at home, and a box stands between two hands")
    quat = from_axes(across, np.cross([0.0, 0, 1], across))
    middle, ahead = 0.5 * (first + second), rotation_matrix(quat)[:, 1]
    for far, up in sorted(itertools.product(_AHEAD, _UP), key=lambda way: float(np.hypot(*way))):
        position = middle + far * ahead + [0.0, 0.0, up]
        if position[2] - BOX_HALF[2] >= _LOWEST:
            yield Reference(position, quat)


def _presses(
    robot: NominalModel, hand: str, flat: list[Palm], start: Reference, sign: float, beside: float
) -> list[Press]:
    """Ways to press on its face of the box at most so far beside its site, those nearest to how a hand is at home."""
    inwards, (_, at_home) = sign * rotation_matrix(start.quat)[:, 0], robot.pose(hand)
    found: list[tuple[float, Press]] = []
    for palm in flat:
        looks = rotation_matrix(at_home) @ palm.towards
        level = rotated(at_home, _least_turn(looks, inwards))
        for quarter in range(4):
            quat = rotated(level, quarter * np.pi / 2 * inwards)
            centre = rotation_matrix(quat) @ palm.centre
            tip = float(centre @ inwards)
            press = Press(inwards, quat, tip, centre - tip * inwards, min(palm.half))
            cost = float(np.linalg.norm(log_between(at_home, quat))) + _ASIDE * float(np.linalg.norm(press.aside))
            found.append((cost, press))
    near = [one for one in found if np.linalg.norm(one[1].aside) <= beside]
    return [press for _, press in sorted(near, key=lambda one: one[0])[:_GRIPS]]


def _least_turn(start: Array, end: Array) -> Array:
    """The shortest rotation vector (3,) from one direction to another."""
    axis, cosine = np.cross(start, end), float(start @ end)
    length = float(np.linalg.norm(axis))
    if length < 1e-9:
        across = np.cross(start, [0.0, 0, 1] if abs(start[2]) < 0.9 else [1.0, 0, 0])
        return across / np.linalg.norm(across) * (0.0 if cosine > 0 else np.pi)
    return axis / length * float(np.arctan2(length, cosine))


class _Point(NamedTuple):
    """Somewhere on the way of the box."""

    box: Reference
    q: Array  # (n,) of the robot there
    agility: Array  # (hands,) least singular values of their Jacobians


def _in_reach(robot: NominalModel, hand: str, press: Press, start: Reference, home: Array) -> bool:
    """Whether a hand by itself gets there."""
    pose = StandingBox(start, {hand: press}).hand(hand, start, 0.0)
    there = reach(robot, {hand: pose}, home) is not None
    robot.move(home)
    return there


def _way(robot: NominalModel, box: StandingBox, home: Array, path: Sequence[Reference]) -> list[_Point]:
    """From before the box on, along the path."""
    way: list[_Point] = []
    q = home
    for gap, at in ((CLEAR, box.start), (0.0, box.start), *((0.0, at) for at in path)):
        solution = reach(robot, {hand: box.hand(hand, at, gap) for hand in box.presses}, q)
        if solution is None:
            raise _CanNotError(*((0, _OUT_OF_REACH) if len(way) < 2 else (1, "they do not reach where it goes")))
        q = solution
        agility = np.array([np.linalg.svd(robot.jacobian(hand), compute_uv=False)[-1] for hand in box.presses])
        if agility.min() < _AGILE:
            raise _CanNotError(2, "an arm would be stretched out or folded")
        way.append(_Point(at, q, agility))
    return way


def _quality(box: StandingBox, way: list[_Point]) -> float:
    """How far the arms stay from being stretched out or folded, less of it for hands that touch with little."""
    touching = np.minimum(1.0, [press.half / _WIDE for press in box.presses.values()])
    return float(np.min([point.agility for point in way], axis=0) @ touching)


def _require_strength(robot: NominalModel, box: StandingBox, way: list[_Point], squeeze: float) -> None:
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
            raise _CanNotError(3, f"joint '{robot.spec.joints[weak]}' can not give more than {most:.3g}")


class _Touching:
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

    def require_room(self, box: StandingBox, home: Array, way: list[_Point]) -> None:
        """Raise where something is in the way: of the box, of hands that come to it, or of arms that carry it."""
        if any(self._box in pair for pair in self._usual):
            raise _CanNotError(4, "something is where the box would stand")
        for q in (home + share * (way[0].q - home) for share in (0.25, 0.5, 0.75, 1.0)):
            if any(pair & self._arms for pair in self._contacts(q, box.start) - self._usual):
                raise _CanNotError(4, "they would run into something on their way to the box")
        for point in way[1:]:
            for pair in self._contacts(point.q, point.box) - self._usual:
                if pair & self._arms and not (self._box in pair and pair & self._hands):
                    raise _CanNotError(4, "an arm would run into something on the way of the box")

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
