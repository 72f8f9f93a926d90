"""Tasks: each row is the acceleration that it claims to be."""

import numpy as np
import pytest

from robotics.controllers.model import NominalModel
from robotics.controllers.rotation import rotated
from robotics.controllers.tasks import EndEffectorPoseTask, GripperForceTask, PostureTask, Reference
from robotics.envs.robots.aloha import ALOHA, SIDES, nominal_model
from tests.arm import random_state


@pytest.fixture(scope="module")
def model() -> NominalModel:
    return NominalModel(nominal_model(), ALOHA)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("side", SIDES)
def test_a_reference_on_the_hands_own_path_is_met_exactly(model, side, seed):
    """Position, velocity and acceleration of a reference that moves as the joints do: their acceleration solves it."""
    q, v = random_state(model, seed)
    acceleration = 3 * np.random.default_rng(seed).normal(size=model.n)
    model.update(q, v)
    J = model.jacobian(side)
    reference = Reference(*model.pose(side), J @ v, J @ acceleration + model.jacobian_rate_times_velocity(side))
    A, b = EndEffectorPoseTask(side, reference).rows(model)
    assert A @ acceleration == pytest.approx(b, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_pose_error_changes_against_the_jacobian(model, seed):
    """By finite differences, rotation vector included: moving the joints takes J dq off the error."""
    q, v = random_state(model, seed)
    model.update(q, v)
    task = EndEffectorPoseTask("right", Reference(*model.pose("right")))
    expected = -model.jacobian("right") @ v
    step = 1e-6
    model.update(q + step * v, v)
    ahead = task.error(model)
    model.update(q - step * v, v)
    assert (ahead - task.error(model)) / (2 * step) == pytest.approx(expected, abs=1e-6)


def test_pose_task_asks_for_less_error(model):
    """Along the acceleration that a task asks for, its error shrinks."""
    model.update(np.array(ALOHA.home), np.zeros(model.n))
    position, quat = model.pose("left")
    task = EndEffectorPoseTask(
        "left", Reference(position + [0.05, 0.02, -0.03], rotated(quat, np.array([0.1, 0, 0.2])))
    )
    A, b = task.rows(model)
    before = np.linalg.norm(task.error(model))
    acceleration = np.linalg.lstsq(A, b, rcond=None)[0]
    model.update(model.q + 0.5 * 0.02**2 * acceleration, np.zeros(model.n))
    assert np.linalg.norm(task.error(model)) < 0.95 * before


def test_posture_is_a_damped_spring_on_every_joint(model):
    q, v = random_state(model, 0)
    model.update(q, v)
    A, b = PostureTask(q + 0.1, kp=20.0, kd=10.0).rows(model)
    assert np.array_equal(A, np.eye(model.n))
    assert b == pytest.approx(20.0 * 0.1 - 10.0 * v)


@pytest.mark.parametrize(("opening", "force"), [(0.037, 15.0), (-1.0, -15.0), (None, None)])
def test_gripper_row_is_zero_where_the_motor_gives_its_force(model, opening, force):
    """Far from its opening the motor gives its largest force, near it that of a damped spring."""
    q, v = random_state(model, 1)
    finger = 6
    q[finger], v[finger] = 0.02, 0.01
    model.update(q, v)
    if opening is None:
        opening = q[finger] + 0.004
        force = 2000 * 0.004 - 120 * v[finger]
    A, b = GripperForceTask(finger, opening).rows(model)
    wanted = model.h + np.zeros(model.n)
    wanted[finger] = force
    acceleration = np.linalg.solve(model.M, wanted - model.h)
    assert A @ acceleration == pytest.approx(b)
