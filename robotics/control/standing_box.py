"""Where a box can stand between the hands of any robot, so that both reach it, press on it and carry it."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import mujoco
import numpy as np

from robotics.control.carrying_way import OUT_OF_REACH, CanNotError, Room, find_way, quality, require_strength
from robotics.control.hands_plant import BOX_HALF, BOX_MASS
from robotics.control.palms import Palm, palms
from robotics.control.pressing import Press, StandingBox
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
_LOWEST = 0.02  # of the top of a stand above the floor [m]


Path = Callable[[Reference, float], Sequence[Reference]]
"""Where the box shall be carried, from where it stands, to its left (1) or right (-1)."""


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
    failures: Counter[CanNotError] = Counter()
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
    failures: Counter[CanNotError],
) -> list[tuple[float, StandingBox]]:
    """What can be done with a box at `start`, and how well; counts why the rest can not."""
    home = np.array(robot.spec.home)
    near = {hand: [one for one in some if _in_reach(robot, hand, one, start, home)] for hand, some in presses.items()}
    if not all(near.values()):
        failures[CanNotError(0, OUT_OF_REACH)] += 1
        return []
    around = Room(scene(), robot, start)
    found: list[tuple[float, StandingBox]] = []
    for pair, side in itertools.product(itertools.product(*near.values()), (1.0, -1.0)):
        box = StandingBox(start, dict(zip(near, pair, strict=True)), side)
        try:
            way = find_way(robot, box, home, path(start, side))
            require_strength(robot, box, way, squeeze)
            around.require_room(box, home, way)
            found.append((quality(box, way), box))
        except CanNotError as error:
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


def _in_reach(robot: NominalModel, hand: str, press: Press, start: Reference, home: Array) -> bool:
    """Whether a hand by itself gets there."""
    pose = StandingBox(start, {hand: press}).hand(hand, start, 0.0)
    there = reach(robot, {hand: pose}, home) is not None
    robot.move(home)
    return there
