"""Pushing a T over a table in the plane: how well it covers its place, and what a sampling planner needs to know.

Everything here is of the finger and the T of `envs.robots.push_t`.
"""

import numpy as np

from robotics.controllers.rotation import plane_rotation, wrapped
from robotics.controllers.sampling import Futures, SamplingSettings
from robotics.envs.robots.push_t import (
    BAR,
    BAR_AT,
    FINGER_RADIUS,
    FINGER_SPEED,
    GOAL,
    STEM,
    STEM_AT,
    away,
)

Array = np.ndarray

# -- planning -------------------------------------------------------------------------------------------------------

SETTINGS = SamplingSettings(samples=64, steps=160, knots=8, spline="linear", noise=0.06, threads=2)


#: A finger this far from the T's middle is clear of it [m].
ROUND = 0.165


def cost(futures: Futures) -> Array:
    """(samples, T): how far the corners of the T are from their places [m], and a little how far the finger is off."""
    finger, pose = futures["qpos"][..., :2], futures["qpos"][..., 2:]
    left = away(pose, np.array(GOAL))
    idle = np.maximum(np.linalg.norm(finger - pose[..., :2], axis=-1) - ROUND, 0.0)
    running = left + 0.02 * idle
    running[:, -1] += 0.5 * running.shape[1] * left[:, -1]
    return running


def proposals(qpos: Array, times: Array, rng: np.random.Generator, count: int = 40) -> Array:
    """Knots (count, K, 2) of ways round the T to a point of its outline and on into it."""
    return np.stack([_way(qpos[:2], qpos[2:], rng, times) for _ in range(count)])


def _way(finger: Array, pose: Array, rng: np.random.Generator, times: Array) -> Array:
    """A way, (len(times), 2): fast round the T on a circle that is clear of it, then straight in at a random speed."""
    point, outwards = _outline(pose, rng)
    depth = 0.14 * rng.random() ** 2  # often but a nudge
    before, after = point + (FINGER_RADIUS + 0.015) * outwards, point + (FINGER_RADIUS - depth) * outwards
    after = after + min(1.0, 20 * depth) * rng.uniform(-0.04, 0.04) * np.array([-outwards[1], outwards[0]])
    ways = [finger]
    if rng.random() < 0.8:
        ways += _round(finger, before, pose[:2], ROUND)
    points = np.stack([*ways, before, after])
    speeds = np.full(len(points) - 1, FINGER_SPEED * rng.uniform(0.7, 1.0))
    speeds[-1] = FINGER_SPEED * rng.uniform(0.2, 1.0)
    arrivals = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1) / speeds)])
    return np.stack([np.interp(times, arrivals, points[:, axis]) for axis in (0, 1)], axis=-1)


def _round(start: Array, end: Array, centre: Array, radius: float) -> list[Array]:
    first, last = (np.arctan2(*(p - centre)[::-1]) for p in (start, end))
    turn = wrapped(last - first)
    if abs(turn) < 0.3:
        return []
    angles = first + turn * np.linspace(0, 1, 5)
    return [centre + radius * np.array([np.cos(angle), np.sin(angle)]) for angle in angles]


def _outline(pose: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """A random point on the outline of the T and the direction out of it, in the world."""
    half, at = ((BAR, BAR_AT), (STEM, STEM_AT))[int(rng.integers(2))]
    side, place = int(rng.integers(4)), rng.uniform(-1, 1)
    axis, sign = side % 2, 1 if side < 2 else -1
    outwards = np.zeros(2)
    outwards[axis] = sign
    point = np.array([0.0, at]) + outwards * half + place * np.abs(outwards[::-1]) * half
    R = plane_rotation(pose[2])
    return pose[:2] + R @ point, R @ outwards


# -- how much of its place the T covers -----------------------------------------------------------------------------

_PARTS = ((np.array(BAR), BAR_AT), (np.array(STEM), STEM_AT))
_AREA = sum(4 * half[0] * half[1] for half, _ in _PARTS)
_SQUARE = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
#: The T counts as this much smaller [m]: edges that lie on each other would be counted twice or never.
_SHRUNK = 1e-9
#: Of each part of the T with each part of its place (4, …): half sizes and heights of their middles.
_PAIRS = [(part, place) for part in _PARTS for place in _PARTS]
_HALF, _UP = np.array([part[0] - _SHRUNK for part, _ in _PAIRS]), np.array([part[1] for part, _ in _PAIRS])
_ROOM, _ABOVE = np.array([place[0] for _, place in _PAIRS]), np.array([place[1] for _, place in _PAIRS])
#: Corners (4, 4, 2) of the one seen from the middle of the T, and of the other from that of its place.
_EDGES = _SQUARE * _HALF[:, None] + np.stack([0 * _UP, _UP], axis=-1)[:, None]
_BORDER = _SQUARE * _ROOM[:, None]
#: Half sizes of what the one is cut by, then of what the other is (8, 2).
_BOXES = np.concatenate([_ROOM, _HALF])


def overlap(pose: Array, goal: Array) -> Array:
    """The part (n,) of a T's place at `goal` that a T at `pose` (n, 3) covers; both x, y [m], angle [rad].

    Exact: the area of the intersection of two rectangles, for each of two by two, by Green's theorem: the boundary of
    an intersection is what of either boundary lies within the other.
    """
    c, s = np.cos(goal[..., 2]), np.sin(goal[..., 2])
    dx, dy = pose[..., 0] - goal[..., 0], pose[..., 1] - goal[..., 1]
    x, y, turn = (value[:, None, None] for value in (c * dx + s * dy, c * dy - s * dx, pose[..., 2] - goal[..., 2]))
    c, s = np.cos(turn), np.sin(turn)
    seen = np.empty((len(pose), *_EDGES.shape))  # the T's parts in the frames of those of its place
    seen[..., 0] = x + c * _EDGES[..., 0] - s * _EDGES[..., 1]
    seen[..., 1] = y + s * _EDGES[..., 0] + c * _EDGES[..., 1] - _ABOVE[:, None]
    dx, dy = _BORDER[..., 0] - x, _BORDER[..., 1] + _ABOVE[:, None] - y
    back = np.empty_like(seen)  # and the other way round
    back[..., 0], back[..., 1] = c * dx + s * dy, c * dy - s * dx - _UP[:, None]
    drawn = np.concatenate([seen, np.broadcast_to(_BORDER, back.shape)], axis=1)
    both = _within(np.concatenate([seen, back], axis=1), _BOXES, drawn)
    areas = both[:, :4] + both[:, 4:]
    return np.clip((areas[:, 0] + areas[:, 1] + areas[:, 2] + areas[:, 3]) / _AREA, 0.0, 1.0)


def _within(polygon: Array, half: Array, drawn: Array) -> Array:
    """Half the cross products (n, pairs) along the parts of a polygon's edges that lie within a box about the origin.

    `polygon` (n, pairs, 4, 2) holds its corners in the frame of a box of `half` sizes (pairs, 2); `drawn` the same ones
    in the frame to integrate in.
    """
    way = _following(polygon) - polygon
    first, last = np.zeros(way.shape[:-1]), np.ones(way.shape[:-1])
    for axis in (0, 1):
        start, speed, room = polygon[..., axis], way[..., axis], half[:, axis, None]
        still, side = speed == 0, np.copysign(room, speed)
        along = np.where(still, 1.0, speed)
        enter, leave = (-side - start) / along, (side - start) / along
        outside = np.abs(start) > room  # for good, where it does not move along this axis
        np.maximum(first, np.where(still, 0.0, enter), out=first)
        np.minimum(last, np.where(still, np.where(outside, -1.0, 1.0), leave), out=last)
    step = _following(drawn) - drawn
    a, b = drawn + first[..., None] * step, drawn + last[..., None] * step
    areas = np.where(last > first, a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0], 0.0) / 2
    return areas[..., 0] + areas[..., 1] + areas[..., 2] + areas[..., 3]


def _following(corners: Array) -> Array:
    """The corner (…, 4, 2) after each one."""
    return corners[..., [1, 2, 3, 0], :]
