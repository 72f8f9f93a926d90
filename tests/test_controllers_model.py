"""The nominal model: its derivatives by finite differences, its dynamics against MuJoCo's own."""

import mujoco
import numpy as np
import pytest

from robotics.controllers.humanoid.model import BipedModel
from robotics.controllers.legged.model import FloatingBaseModel
from robotics.controllers.model import NominalModel
from robotics.controllers.robot_spec import EndEffector, RobotSpec
from robotics.controllers.rotation import log_between, rotated, rotation_matrix
from robotics.envs.robots.aloha import ALOHA, SIDES, nominal_model
from robotics.envs.robots.humanoid import HUMANOID, nominal_humanoid
from robotics.envs.robots.quadruped import QUADRUPED, nominal_quadruped
from robotics.errors import UsageError
from tests.arm import random_state


@pytest.fixture(scope="module")
def model() -> NominalModel:
    return NominalModel(nominal_model(), ALOHA)


@pytest.mark.parametrize("seed", range(5))
def test_log_is_the_inverse_of_turning(seed):
    rng = np.random.default_rng(seed)
    quat = rng.normal(size=4)
    quat /= np.linalg.norm(quat)
    vector = rng.normal(size=3)
    assert log_between(quat, rotated(quat, vector)) == pytest.approx(vector, abs=1e-9)
    assert rotation_matrix(quat) @ rotation_matrix(quat).T == pytest.approx(np.eye(3), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("done", [0.25, 0.5, 0.75])
def test_turning_along_the_log_shortens_it(seed, done):
    """The rotation error points the shortest way: after a part of it, the rest is left."""
    rng = np.random.default_rng(seed)
    start, goal = (q / np.linalg.norm(q) for q in rng.normal(size=(2, 4)))
    error = log_between(start, goal)
    assert np.linalg.norm(error) <= np.pi + 1e-12
    assert log_between(rotated(start, done * error), goal) == pytest.approx((1 - done) * error, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("side", SIDES)
def test_jacobian_by_finite_differences(model, side, seed):
    q, v = random_state(model, seed)
    model.update(q, v)
    J, (position, quat) = model.jacobian(side), model.pose(side)
    step = 1e-6
    for joint in range(model.n):
        moved = q.copy()
        moved[joint] += step
        model.update(moved, v)
        there, turned = model.pose(side)
        numeric = np.concatenate([there - position, log_between(quat, turned)]) / step
        assert J[:, joint] == pytest.approx(numeric, abs=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_jacobian_rate_by_finite_differences(model, seed):
    q, v = random_state(model, seed)
    step = 1e-6
    model.update(q, v)
    rate = model.jacobian_rate_times_velocity("left")
    before = model.jacobian("left")
    model.update(q + step * v, v)
    assert rate == pytest.approx((model.jacobian("left") - before) @ v / step, abs=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_equations_of_motion_against_inverse_dynamics(model, seed):
    """M v' + h is what MuJoCo's own inverse dynamics asks of the actuated joints, constraints aside."""
    q, v = random_state(model, seed)
    acceleration = 5 * np.random.default_rng(seed).normal(size=model.n)
    model.update(q, v)
    raw, data = model.model, mujoco.MjData(model.model)
    data.qpos[:], data.qvel[:], data.qacc[:] = model.T @ q, model.T @ v, model.T @ acceleration
    flags, raw.opt.disableflags = raw.opt.disableflags, raw.opt.disableflags | mujoco.mjtDisableBit.mjDSBL_CONSTRAINT
    mujoco.mj_inverse(raw, data)
    raw.opt.disableflags = flags
    friction = model.T.T @ raw.dof_frictionloss * np.tanh(v / model.FRICTION_BLEND)  # a constraint force in MuJoCo
    expected = model.T.T @ data.qfrc_inverse + friction
    assert model.M @ acceleration + model.h == pytest.approx(expected, abs=1e-8)


TWO_LINKS = """<mujoco><worldbody><body><joint name="a" axis="0 1 0"/><geom size=".05" pos=".3 0 0"/>
    <body pos=".4 0 0"><joint name="b" axis="0 1 0"/><geom size=".05" pos=".3 0 0"/></body></body></worldbody>
    <actuator><motor joint="a" ctrlrange="-50 50"/><motor joint="b" ctrlrange="-50 50"/></actuator></mujoco>"""


def two_links() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(TWO_LINKS)


@pytest.mark.parametrize(
    ("kind", "robot", "spec"),
    [
        (NominalModel, two_links, RobotSpec("links", ("a", "b"), (0.3, 0.4), (5.0, 5.0))),
        (FloatingBaseModel, nominal_quadruped, QUADRUPED),
        (BipedModel, nominal_humanoid, HUMANOID),
    ],
    ids=["arm", "quadruped", "humanoid"],
)
@pytest.mark.parametrize("by_motors", [False, True], ids=["passively", "by motors"])
def test_gravity_that_the_engine_compensates_is_counted_once(kind, robot, spec, by_motors):
    """Whoever holds it up: h beside it holds the robot still."""
    raw = robot()
    raw.body_gravcomp[1:], raw.flg_gravcomp, raw.jnt_actgravcomp[:] = 0.7, True, by_motors
    raw.jnt_actgravcomp[raw.jnt_type == mujoco.mjtJoint.mjJNT_FREE] = False
    model, data = kind(raw, spec), mujoco.MjData(raw)
    data.qpos[:], data.qfrc_applied[:] = model.data.qpos, model.h
    raw.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONSTRAINT
    mujoco.mj_forward(raw, data)
    assert abs(data.qfrc_gravcomp).max() > 1.0
    np.testing.assert_allclose(data.qacc, 0, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_followers_move_with_their_leaders(model, seed):
    """Both fingers of a gripper are one actuated joint: the mass matrix gives their kinetic energy."""
    q, v = random_state(model, seed)
    model.update(q, v)
    data = model.data
    energy = 0.5 * v @ model.M @ v
    mujoco.mj_energyVel(model.model, data)
    assert energy == pytest.approx(data.energy[1], rel=1e-9)
    for side in SIDES:
        leader, follower = (data.joint(f"{side}/{finger}_finger").qvel for finger in ("left", "right"))
        assert leader == follower


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joints": (*ALOHA.joints[:-1], "right/left_fingre")}, "did you mean"),
        ({"home": ALOHA.home[:-1]}, "home has 13 entries for 14 joints"),
        ({"end_effectors": (EndEffector("left", "left/griper"),)}, "site"),
        ({"end_effectors": (EndEffector("left", "left/gripper", "left/elbo"),)}, "gripper joint"),
    ],
)
def test_a_spec_that_does_not_fit_says_what_is_missing(change, message):
    fields = {name: getattr(ALOHA, name) for name in ("name", "joints", "home", "velocity_limits", "end_effectors")}
    with pytest.raises(UsageError, match=message):
        NominalModel(nominal_model(), RobotSpec(**{**fields, **change}))
