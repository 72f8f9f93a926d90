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


def add_rough(spec: mujoco.MjSpec, height: float = 0.06, seed: int = 0) -> None:
    """A height field of hills and holes up to `height` [m], 6 m long and 3 m wide, from x = 0.7 m."""
    rows, columns = 61, 121
    rng = np.random.default_rng(seed)
    rough = np.zeros((rows, columns))
    y, x = np.meshgrid(np.linspace(0, 3, rows), np.linspace(0, 6, columns), indexing="ij")
    for _ in range(24):  # waves of 0.5 to 1.5 m, in all directions
        length, towards, phase = rng.uniform(0.5, 1.5), rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi)
        rough += length * np.sin(2 * np.pi / length * (np.cos(towards) * x + np.sin(towards) * y) + phase)
    rough = (rough - rough.min()) / np.ptp(rough) * np.clip(2 * x, 0, 1)  # rising from the floor
    spec.add_hfield(name="rough", nrow=rows, ncol=columns, size=[3, 1.5, height, 0.1], userdata=rough.ravel())
    spec.worldbody.add_geom(
        name="rough", type=mujoco.mjtGeom.mjGEOM_HFIELD, hfieldname="rough", pos=[3.7, 0, 0.001], rgba=_STONE[0]
    )


def add_stairs(spec: mujoco.MjSpec, rise: float = 0.08, tread: float = 0.3, steps: int = 5, y: float = 0.0) -> None:
    """Stairs ahead, from x = 1 m, about `y` [m]: `steps` up, a landing of 1 m, and down again."""
    heights = [rise * step for step in (*range(1, steps + 1), *range(steps - 1, 0, -1))]
    at = 1.0
    for number, height in enumerate(heights):
        depth = 1.0 if number == steps - 1 else tread
        half = np.array([depth / 2, 1.5, height / 2])
        _block(spec, [at + depth / 2, y, height / 2], half, number, 0.0)
        at += depth


def _block(spec: mujoco.MjSpec, position: list[float], half: np.ndarray, number: int, turn: float) -> None:
    spec.worldbody.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=position,
        size=half,
        quat=[np.cos(turn / 2), 0, 0, np.sin(turn / 2)],
        rgba=_STONE[number % 2],
    )
