"""The balls under two soles, for a robot whose description has feet of any shape.

A controller on two feet thinks of each sole as three or more points that press on the ground. Where the soles have
such balls, they are taken as they are. Of boxes, meshes, capsules and cylinders the lowest face counts: the corners of
its outline get balls without mass that touch nothing and only mark the spot.
"""

from collections.abc import Sequence
from typing import NamedTuple

import mujoco
import numpy as np

from robotics.controllers.humanoid.standing import Standing
from robotics.controllers.humanoid.support import hull
from robotics.errors import UsageError, unknown_name

Array = np.ndarray

#: Of the height of the centre of mass: points so little above the lowest are on the sole, and a sole whose points
#: are so close to one line is none.
ON_SOLE, NARROW = 0.008, 0.006
#: How far a sole may be from level at home, and how far it is looked for [rad].
LEVEL, STEEP = 0.3, 1.0
MARK = 1e-3  # radius of a ball that only marks a spot [m]


class Face(NamedTuple):
    """Where a foot touches the ground, in the frame of its link: the way down (3,), points (n, 3) [m] and the geoms
    that they are on."""

    down: Array
    points: Array
    geoms: list[int]


def humanoid_feet(
    standing: Standing, last_links: Sequence[int], named: Sequence[str] | None, sure: bool
) -> tuple[str, ...]:
    """Names of the balls under both soles, all of the left foot first; missing ones are added to the scene.

    `named` feet are balls, all of one foot before those of the other, or two bodies or geoms; None: those of the
    `last_links` that are on the ground at home. Raises UsageError for feet that nobody can stand on; none, unless it is
    `sure` that the robot is a humanoid, where it does not stand on two links.
    """
    links = standing.find_feet(last_links) if named is None else _links(standing, named)
    order = list(dict.fromkeys(links))
    if len(order) != 2 or (named is not None and len(set(named)) < 2):
        if not sure:
            return ()
        feet = ", ".join(named or [standing.label(link) for link in order]) or "none"
        where = "feet are" if named else "at home, its base's x axis ahead and z axis up, this one stands on"
        raise UsageError(
            f"robot {standing.name}: a humanoid has two feet, each one link; {where} {len(order)} ({feet}); "
            "give feet: two bodies or geoms, or the balls under both soles"
        )
    if named is None:
        for link in order:
            _require_alone(standing, link)
        order.sort(key=lambda link: -standing.data.xpos[link, 1])
        soles = [_marked(standing, link, standing.solids(link)) for link in order]
    else:
        soles = _named(standing, named, links, order)
    _require_soles(standing, order, soles)
    return (*soles[0], *soles[1])


def _require_alone(standing: Standing, link: int) -> None:
    """Raise UsageError for toes that have a heel on the ground above them."""
    ground, parent = standing.lowest(link), standing.link_above(link)
    while parent:
        if standing.lowest(parent) < ground + ON_SOLE * standing.height:
            both = f"'{standing.label(parent)}' and '{standing.label(link)}'"
            raise UsageError(
                f"robot {standing.name}: {both} are on the ground at home, of one leg: give feet, the two links whose "
                "soles it shall stand on"
            )
        parent = standing.link_above(parent)


def _links(standing: Standing, feet: Sequence[str]) -> list[int]:
    """The link of each of the feet."""
    links = [standing.link_of(foot) for foot in feet]
    for foot, link in zip(feet, links, strict=True):
        if link is None:
            there = [x.name for x in (*standing.geoms.values(), *standing.bodies.values()) if x.name]
            raise unknown_name(f"foot of robot {standing.name}", foot, there, "a foot is a geom or a body")
    return [link for link in links if link is not None]


def _named(standing: Standing, feet: Sequence[str], links: Sequence[int], order: Sequence[int]) -> list[list[str]]:
    """The balls that were named, foot by foot, or those at the corners of what was."""
    name, model = standing.name, standing.model
    geoms = [standing.geom(foot) for foot in feet]
    balls = [g is not None and model.geom_type[g] == mujoco.mjtGeom.mjGEOM_SPHERE for g in geoms]
    if any(balls) and not all(balls):
        raise UsageError(
            f"robot {name}: feet are balls or two links, but '{feet[balls.index(True)]}' is a ball and "
            f"'{feet[balls.index(False)]}' is not"
        )
    if list(links) != sorted(links, key=order.index) or (not any(balls) and len(feet) != 2):
        raise UsageError(
            f"robot {name}: feet mix both soles ({', '.join(feet)}): give two links, or all balls of the left foot, "
            "then all of the right one"
        )
    if all(balls):
        return [[f for f, link in zip(feet, links, strict=True) if link == foot] for foot in order]
    return [
        _marked(standing, link, standing.solids(link) if geom is None else [geom])
        for link, geom in zip(links, geoms, strict=True)
    ]


def _marked(standing: Standing, link: int, geoms: Sequence[int]) -> list[str]:
    """Balls at the corners of the lowest face of the geoms."""
    if not geoms:
        raise UsageError(f"robot {standing.name}: nothing on foot '{standing.label(link)}' collides with the ground")
    face = _face(standing, link, geoms)
    return [_ball(standing, face, i, link, number) for number, i in enumerate(_outline(face))]


def _ball(standing: Standing, face: Face, point: int, link: int, number: int) -> str:
    """A ball of the robot's own where that touches the ground, or one that marks the spot."""
    geom, name = standing.geoms[face.geoms[point]], f"robotics_{standing.label(link)}_{number}"
    if geom.type == mujoco.mjtGeom.mjGEOM_SPHERE:
        geom.name = geom.name or name
        return str(geom.name)
    body = standing.bodies[link]
    mark = body.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[MARK, 0, 0])
    mark.pos, mark.mass, mark.contype, mark.conaffinity = face.points[point] - MARK * face.down, 0, 0, 0
    mark.rgba = [0, 0, 0, 0]
    return str(mark.name)


def _face(standing: Standing, link: int, geoms: Sequence[int]) -> Face:
    """The largest of the faces that are about level at home: few robots' homes are so to the last degree. One that is
    steeper where there is none."""
    vertical = np.array([0.0, 0.0, -1.0])
    frames = [standing.data.xmat[link], *(standing.data.geom_xmat[g] for g in geoms)]
    ways = [sign * axis for frame in frames for axis in frame.reshape(3, 3).T for sign in (-1.0, 1.0)]
    for steepest in (LEVEL, STEEP):
        near = [down for down in ways if down @ vertical > np.cos(steepest)]
        face = max((_touching(standing, link, geoms, down) for down in [*near, vertical]), key=_area)
        if len(_outline(face)) > 2:
            break
    return face


def _touching(standing: Standing, link: int, geoms: Sequence[int], down: Array) -> Face:
    found = [standing.points(g, down) for g in geoms]
    points, owners = np.concatenate(found), np.repeat(geoms, [len(p) for p in found])
    depth = points @ down
    tolerance = ON_SOLE * standing.height
    low = depth > depth.max() - tolerance
    way = down @ standing.data.xmat[link].reshape(3, 3)
    return Face(way, standing.in_link(link, points[low]), owners[low].tolist())


def _flat(face: Face) -> Array:
    """The points on the plane of the face (n, 2) [m]."""
    across = np.linalg.svd(face.down[None])[2][1:]
    return face.points @ across.T


def _area(face: Face) -> float:
    around = hull(map(tuple, _flat(face).tolist()))
    ahead = [*around[1:], *around[:1]]
    return 0.5 * sum(a[0] * b[1] - a[1] * b[0] for a, b in zip(around, ahead, strict=True))


def _outline(face: Face) -> list[int]:
    """Up to four of its points: the corners of a box, or what comes nearest to them on another outline."""
    flat = _flat(face)
    u, v = _aligned(flat).T
    towards = [(-1, 1), (-1, -1), (1, 1), (1, -1)]
    return list(dict.fromkeys(int(np.argmax(su * u + sv * v)) for su, sv in towards))


def _aligned(flat: Array) -> Array:
    """The points in the smallest rectangle around them, from -1 to 1 along both of its sides."""
    around = np.array(hull(map(tuple, flat.tolist())))
    smallest: tuple[float, Array] = (np.inf, flat)
    for start, end in zip(around, np.roll(around, -1, axis=0), strict=True):
        along = (end - start) / max(float(np.linalg.norm(end - start)), 1e-12)
        turned = flat @ np.array([along, [-along[1], along[0]]]).T
        low, high = turned.min(axis=0), turned.max(axis=0)
        if (area := float(np.prod(high - low))) < smallest[0] - 1e-12:
            smallest = (area, (turned - (low + high) / 2) / np.maximum((high - low) / 2, 1e-12))
    return smallest[1]


def _require_soles(standing: Standing, links: Sequence[int], feet: Sequence[Sequence[str]]) -> None:
    """Raise UsageError for soles that are none, are not level, or are the other way round."""
    model, name = standing.scene.compile(), standing.name
    middles = []
    for link, balls in zip(links, feet, strict=True):
        ids = [model.geom(ball).id for ball in balls]
        places = np.array([standing.place(int(model.geom_bodyid[ball]), model.geom_pos[ball]) for ball in ids])
        foot = standing.label(link)
        middles.append(places.mean(axis=0))
        _, spread, axes = np.linalg.svd(places - middles[-1])
        if len(balls) < 3 or spread[1] < NARROW * standing.height * len(balls) ** 0.5:
            raise UsageError(
                f"robot {name}: the sole of '{foot}' has no area ({len(balls)} of its points touch the ground): "
                "it needs a flat face, or three balls or more that are not in a line"
            )
        tilt = float(np.degrees(np.arccos(min(1.0, abs(axes[2, 2])))))
        if tilt > np.degrees(LEVEL):
            raise UsageError(
                f"robot {name}: at home the sole of '{foot}' is tilted by {tilt:.0f} degrees: give a home "
                "in which it stands, with the base's x axis ahead and its z axis up"
            )
    if middles[0][1] <= middles[1][1]:
        raise UsageError(
            f"robot {name}: feet begin with '{standing.label(links[0])}', which is to the right: give the left foot "
            "first (x axis of the base ahead, y axis to the left)"
        )
