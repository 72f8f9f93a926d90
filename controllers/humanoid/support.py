"""The support polygon: convex hull of the corners of the soles on the ground. Plain floats: eight points are few."""

from collections.abc import Iterable

import numpy as np

Array = np.ndarray
Point = tuple[float, float]


def hull(points: Iterable[Point]) -> list[Point]:
    """Corners of the convex hull, counter-clockwise (Andrew's monotone chain)."""
    ordered = sorted(points)

    def chain(way: Iterable[Point]) -> list[Point]:
        corners: list[Point] = []
        for point in way:
            while len(corners) > 1 and _turn(corners[-2], corners[-1], point) <= 0:
                corners.pop()
            corners.append(point)
        return corners[:-1]

    return chain(ordered) + chain(reversed(ordered))


def margin(polygon: list[Point], x: float, y: float) -> float:
    """How far inside a convex polygon (x, y) is [m]: the distance to the line of its nearest side, negative outside."""
    nearest = float("inf")
    (ax, ay) = polygon[-1]
    for bx, by in polygon:
        dx, dy = bx - ax, by - ay
        length = (dx * dx + dy * dy) ** 0.5
        nearest = min(nearest, (dx * (y - ay) - dy * (x - ax)) / length)
        ax, ay = bx, by
    return nearest


def inner_box(corners: Array) -> Array:
    """Half length and half width (2,) [m] of a large box about the origin, along the axes, inside the convex hull of
    `corners` (n, 2 or 3): the largest with sides as far out as one of the corners, or else one shaped like them all."""
    around = hull((x, y) for x, y, *_ in corners.tolist())
    x, y = np.abs(corners[:, :2]).T
    sizes = [(a, b) for a in x.tolist() for b in y.tolist()]
    sizes += [(share * x.max(), share * y.max()) for share in np.linspace(1, 0, 50)]
    inside = [(a, b) for a, b in sizes if min(margin(around, i * a, j * b) for i in (-1, 1) for j in (-1, 1)) > -1e-9]
    return np.array(max(inside, key=lambda size: size[0] * size[1], default=(0.0, 0.0)))


def within(polygon: list[Point], start: Point, end: Point, slack: float) -> Point:
    """The point furthest on the way from `start` to `end` that is at most `slack` [m] outside a convex polygon.

    `start` itself where that is outside already.
    """
    share = 1.0
    (ax, ay) = polygon[-1]
    for bx, by in polygon:
        dx, dy = bx - ax, by - ay
        room = slack * (dx * dx + dy * dy) ** 0.5
        first = dx * (start[1] - ay) - dy * (start[0] - ax) + room
        last = dx * (end[1] - ay) - dy * (end[0] - ax) + room
        if last < 0:
            share = min(share, max(first, 0.0) / (first - last) if first > last else 0.0)
        ax, ay = bx, by
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])


def _turn(a: Point, b: Point, c: Point) -> float:
    """Positive where a, b, c turn left."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
