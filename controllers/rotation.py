"""Rotations as unit quaternions, wxyz, and rotation vectors [rad], both in the world frame."""

import math

import mujoco
import numpy as np

Array = np.ndarray


def log_between(quat_from: Array, quat_to: Array) -> Array:
    """Rotation vector (3,) [rad] in the world frame that turns `quat_from` into `quat_to`; length at most pi."""
    return np.array(turn_between(quat_from, quat_to))


def turn_between(quat_from: Array, quat_to: Array) -> tuple[float, float, float]:
    """`log_between` in plain floats: every tick comes by here, and four numbers are too few for arrays to pay."""
    (a, b, c, d), (w, x, y, z) = quat_from.tolist(), quat_to.tolist()
    # quat_to times the inverse of quat_from
    turn = w * a + x * b + y * c + z * d
    u, v, s = x * a - w * b + z * c - y * d, y * a - w * c + x * d - z * b, z * a - w * d + y * b - x * c
    length = math.sqrt(u * u + v * v + s * s)
    if length < 1e-15:
        return 0.0, 0.0, 0.0
    angle = 2 * math.atan2(length, turn)
    scale = (angle - 2 * math.pi if angle > math.pi else angle) / length
    return scale * u, scale * v, scale * s


def angle(first: Array, second: Array) -> float:
    """The angle [rad] between two orientations."""
    return float(np.linalg.norm(log_between(first, second)))


def wrapped(angle: Array) -> Array:
    """The same angles (...,) within [-pi, pi) [rad]."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def nearest_turn(yaw: float, period: float, reference: float = 0.0) -> float:
    """`yaw` plus the multiple of `period` that brings it nearest to `reference` [rad]."""
    return float(reference + (yaw - reference + period / 2) % period - period / 2)


def rotated(quat: Array, vector: Array) -> Array:
    """`quat` turned by the world-frame rotation vector `vector` (3,) [rad]."""
    angle = float(np.sqrt(vector @ vector))
    if angle < 1e-12:
        return quat.copy()
    step, result = np.empty(4), np.empty(4)
    mujoco.mju_axisAngle2Quat(step, vector / angle, angle)
    mujoco.mju_mulQuat(result, step, quat)
    return result


def from_axes(x: Array, y: Array) -> Array:
    """Quaternion (4,) of the frame with the given x axis and, as nearly as orthogonality allows, y axis."""
    x = x / np.linalg.norm(x)
    z, quat = np.empty(3), np.empty(4)
    mujoco.mju_cross(z, x, y)
    z /= np.linalg.norm(z)
    across = np.empty(3)
    mujoco.mju_cross(across, z, x)
    mujoco.mju_mat2Quat(quat, np.stack([x, across, z], axis=1).ravel())
    return quat


def rotation_matrix(quat: Array) -> Array:
    """Rotation matrix (3, 3) whose columns are the axes of the frame `quat` in the world."""
    matrix = np.empty(9)
    mujoco.mju_quat2Mat(matrix, quat)
    return matrix.reshape(3, 3)


def plane_rotation(angle: float) -> Array:
    """Rotation matrix (2, 2) by `angle` [rad] in the plane."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


def cross_matrix(a: Array) -> Array:
    """The matrix (3, 3) of a x."""
    x, y, z = a.tolist()
    return np.array(((0.0, -z, y), (z, 0.0, -x), (-y, x, 0.0)))
