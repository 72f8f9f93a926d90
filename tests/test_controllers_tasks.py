"""Tasks: each row is the acceleration that it claims to be."""

import mujoco
import numpy as np
import pytest

from robotics.controllers.model import NominalModel
from robotics.controllers.rotation import rotated, rotation_matrix
from robotics.controllers.tasks import (
    EndEffectorPoseTask,
    GripperForceTask,
    JointTask,
    PostureTask,
    Reference,
    RelativeFrameTask,
)
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


def seen_from(model, end_effector, base):
    """Pose of one hand in the frame of the other: position (3,), orientation (4,)."""
    (position, quat), (origin, turn) = model.pose(end_effector), model.pose(base)
    back, relative = np.empty(4), np.empty(4)
    mujoco.mju_negQuat(back, turn)
    mujoco.mju_mulQuat(relative, back, quat)
    return rotation_matrix(turn).T @ (position - origin), relative


@pytest.mark.parametrize("seed", range(3))
def test_relative_rows_are_the_acceleration_in_the_other_hands_frame(model, seed):
    """Second differences of the pose seen from a base that turns and moves itself, against A a - drift."""
    q, v = random_state(model, seed)
    a = 2 * np.random.default_rng(seed).normal(size=model.n)
    step, positions = 1e-4, []
    for t in (-step, 0.0, step):
        model.update(q + t * v + 0.5 * t**2 * a, v + t * a)
        positions.append(seen_from(model, "left", "right")[0])
    model.update(q, v)
    task = RelativeFrameTask("left", "right", *seen_from(model, "left", "right"), kp=0.0, kd=0.0)
    A, b = task.rows(model)
    turn = rotation_matrix(model.pose("right")[1])
    expected = turn @ ((positions[2] - 2 * positions[1] + positions[0]) / step**2)
    assert (A @ a - b)[:3] == pytest.approx(expected, abs=1e-4)
    speed = turn @ ((positions[2] - positions[0]) / (2 * step))
    damped = RelativeFrameTask("left", "right", task.position, task.quat, kp=0.0, kd=1.0).rows(model)[1] - b
    assert damped[:3] == pytest.approx(-speed, abs=1e-5)


def test_relative_error_vanishes_only_where_it_should(model):
    q, v = random_state(model, 3)
    model.update(q, v)
    position, quat = seen_from(model, "left", "right")
    assert RelativeFrameTask("left", "right", position, quat).error(model) == pytest.approx(np.zeros(6), abs=1e-9)
    error = RelativeFrameTask("left", "right", position + [0, 0.01, 0], quat).error(model)
    assert np.linalg.norm(error[:3]) == pytest.approx(0.01)


def test_a_joint_task_moves_its_joint_alone(model):
    q, v = random_state(model, 0)
    model.update(q, v)
    A, b = JointTask(3, q[3] + 0.1, velocity=v[3], acceleration=0.5).rows(model)
    assert np.flatnonzero(A).tolist() == [3]
    assert b == pytest.approx([0.5 + 400 * 0.1])
