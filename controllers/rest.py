"""A model as it is before anything moves, and how far its parts reach."""

import mujoco
import numpy as np

Array = np.ndarray


def at_rest(model: mujoco.MjModel) -> mujoco.MjData:
    """The keyframe 'home', or the model's own pose."""
    data = mujoco.MjData(model)
    key = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_KEY, "home")
    if key >= 0:
        mujoco.mj_resetDataKeyframe(model, data, key)
    mujoco.mj_forward(model, data)
    return data


def box_corners(model: mujoco.MjModel, geom: int) -> Array:
    """Corners (8, 3) [m] of the box around a geom, in its own frame."""
    centre, half = model.geom_aabb[geom, :3], model.geom_aabb[geom, 3:]
    signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T
    return centre + signs * half
