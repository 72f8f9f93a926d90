"""What tasks ask of orientations is what rotation matrices say."""

import numpy as np
import pytest

from robotics.controllers.rotation import rotation_matrix
from robotics.envs.orientation import upright, yaw_of


def test_yaw_and_lean_are_those_of_the_axes():
    rng = np.random.default_rng(0)
    quats = rng.normal(size=(5, 4, 4))
    quats /= np.linalg.norm(quats, axis=-1, keepdims=True)
    axes = np.array([[rotation_matrix(quat) for quat in row] for row in quats])
    assert yaw_of(quats) == pytest.approx(np.arctan2(axes[..., 1, 0], axes[..., 0, 0]))
    assert upright(quats) == pytest.approx(axes[..., 2, 2])
    assert yaw_of(quats[1, 2]) == yaw_of(quats)[1, 2]
