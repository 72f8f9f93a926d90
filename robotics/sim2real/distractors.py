"""Things that lie about in a scene, are seen and touch nothing."""

import mujoco
import numpy as np

#: So that the same number of things is the same picture everywhere.
_STREAM = 0xD157
_KINDS = (mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_SPHERE, mujoco.mjtGeom.mjGEOM_CYLINDER)


def add_distractors(spec: mujoco.MjSpec, nominal: mujoco.MjModel, count: int) -> None:
    """Add `count` things around the scene's middle, at the height of its table; the first k are always the same.

    Each is a body of its own behind all others, so that no index of the task's moves.
    """
    rng = np.random.default_rng(_STREAM)
    middle, reach = nominal.stat.center, min(0.35 * nominal.stat.extent, 0.45)
    for number in range(count):
        angle, far, size = rng.uniform(-np.pi, np.pi), reach * rng.uniform(0.35, 1.0), rng.uniform(0.015, 0.035)
        colour, kind = [*rng.uniform(0.1, 0.95, 3), 1.0], _KINDS[int(rng.integers(len(_KINDS)))]
        body = spec.worldbody.add_body(
            name=f"distractor{number}", pos=[middle[0] + far * np.cos(angle), middle[1] + far * np.sin(angle), size]
        )
        body.add_geom(type=kind, size=[size] * 3, rgba=colour, contype=0, conaffinity=0, mass=0)
