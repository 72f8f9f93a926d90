"""Things drawn into a film that are not there: forces, footholds, planned ways."""

import itertools

import mujoco
import numpy as np

Array = np.ndarray
Colour = tuple[float, float, float, float]

FORCE: Colour = (0.95, 0.35, 0.25, 0.9)
PLAN: Colour = (0.25, 0.65, 0.95, 0.9)
TARGET: Colour = (0.35, 0.85, 0.45, 0.8)


def arrow(scene: mujoco.MjvScene, start: Array, way: Array, colour: Colour, width: float = 0.008) -> None:
    """An arrow from `start` (3,) along `way` (3,) [m]; none where there is no way."""
    if np.linalg.norm(way) > 1e-4:
        _connect(scene, mujoco.mjtGeom.mjGEOM_ARROW, start, start + way, colour, width)


def path(scene: mujoco.MjvScene, points: Array, colour: Colour, width: float = 0.004) -> None:
    """A line through `points` (n, 3)."""
    for start, end in itertools.pairwise(points):
        if np.linalg.norm(end - start) > 1e-4:
            _connect(scene, mujoco.mjtGeom.mjGEOM_CAPSULE, start, end, colour, width)


def line(scene: mujoco.MjvScene, points: Array, colour: Colour, pixels: float = 3.0) -> None:
    """A line of constant width on the screen through `points` (n, 3): a tenth of what a path costs to render."""
    for start, end in itertools.pairwise(points):
        _connect(scene, mujoco.mjtGeom.mjGEOM_LINE, start, end, colour, pixels)


def ball(scene: mujoco.MjvScene, position: Array, colour: Colour, radius: float = 0.015) -> None:
    """A ball at `position` (3,)."""
    geom = _next(scene)
    if geom is not None:
        size, turn = np.full(3, radius), np.eye(3).ravel()
        mujoco.mjv_initGeom(geom, mujoco.mjtGeom.mjGEOM_SPHERE, size, position, turn, np.array(colour, np.float32))


def _connect(
    scene: mujoco.MjvScene, kind: mujoco.mjtGeom, start: Array, end: Array, colour: Colour, width: float
) -> None:
    geom = _next(scene)
    if geom is not None:
        mujoco.mjv_initGeom(geom, kind, np.zeros(3), np.zeros(3), np.zeros(9), np.array(colour, np.float32))
        mujoco.mjv_connector(geom, kind, width, start, end)


def _next(scene: mujoco.MjvScene) -> mujoco.MjvGeom | None:
    """The next free geom of the scene; None when it is full: a film does not fail for an arrow."""
    if scene.ngeom >= scene.maxgeom:
        return None
    scene.ngeom += 1
    return scene.geoms[scene.ngeom - 1]
