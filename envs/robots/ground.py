"""Ground that is not flat: scattered boxes and stairs, for robots with legs."""

import mujoco
import numpy as np

_STONE = ((0.55, 0.53, 0.5, 1.0), (0.48, 0.5, 0.53, 1.0))


def add_boxes(spec: mujoco.MjSpec, seed: int, height: float = 0.035, count: int = 250) -> None:
    """Scatter boxes of up to `height` [m], 10 to 40 cm wide, over the way ahead: x from 0.5 to 8 m."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        half = np.array([*rng.uniform(0.05, 0.2, 2), rng.uniform(0.2, 1.0) * height / 2])
        turn = rng.uniform(-np.pi, np.pi)
        _block(spec, [rng.uniform(0.7, 8.0), rng.uniform(-1.5, 1.5), half[2]], half, number, turn)


def add_stairs(spec: mujoco.MjSpec, rise: float = 0.08, tread: float = 0.3, steps: int = 5) -> None:
    """Stairs ahead, from x = 1 m: `steps` up, a landing of 1 m, and down again."""
    heights = [rise * step for step in (*range(1, steps + 1), *range(steps - 1, 0, -1))]
    at = 1.0
    for number, height in enumerate(heights):
        depth = 1.0 if number == steps - 1 else tread
        half = np.array([depth / 2, 1.5, height / 2])
        _block(spec, [at + depth / 2, 0, height / 2], half, number, 0.0)
        at += depth


def _block(spec: mujoco.MjSpec, position: list[float], half: np.ndarray, number: int, turn: float) -> None:
    spec.worldbody.add_geom(
        name=f"ground_{number}",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=position,
        size=half,
        quat=[np.cos(turn / 2), 0, 0, np.sin(turn / 2)],
        rgba=_STONE[number % 2],
    )
