"""Orientations of many bodies at once: what tasks ask of quaternions (…, 4), wxyz."""

import numpy as np

Array = np.ndarray


def yaw_of(quat: Array) -> Array:
    """The heading of a frame's x axis, seen from above (…,) [rad]."""
    w, x, y, z = (quat[..., i] for i in range(4))
    return np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))


def upright(quat: Array) -> Array:
    """The cosine of the angle between a frame's z axis and the vertical (…,)."""
    x, y = quat[..., 1], quat[..., 2]
    return 1 - 2 * (x * x + y * y)
