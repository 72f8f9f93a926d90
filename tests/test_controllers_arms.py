"""The cerebellum: identities of its parts, and what its closed loop may never do."""

import mujoco
import numpy as np
import pytest

from robotics.controllers.arms import HandTarget
from robotics.controllers.cartesian_mpc import CartesianMPC
from robotics.controllers.limits import JointLimits
from robotics.controllers.model import NominalModel
from robotics.controllers.qp.problem import primal_residual, residuals
from robotics.controllers.qp.solvers import solve
from robotics.controllers.robot_spec import EndEffector, RobotSpec
from robotics.controllers.rotation import from_axes, log_between, rotated, rotation_matrix
from robotics.controllers.tasks import EndEffectorPoseTask, Reference
from robotics.envs.bimanual import make_cerebellum, servo_targets
from robotics.envs.robots.aloha import ALOHA, OPEN, SIDES, aloha_scene, nominal_model
from robotics.errors import UsageError
from tests.arm import TorqueRobot

DOWN = from_axes(np.array([0, 0, -1.0]), np.array([0, -1.0, 0]))
LEVEL = from_axes(np.array([1.0, 0, 0]), np.array([0, 1.0, 0]))


@pytest.fixture(scope="module")
def model() -> NominalModel:
    return NominalModel(nominal_model(), ALOHA)


def random_state(model, seed):
    rng = np.random.default_rng(seed)
    middle, half = (model.position_upper + model.position_lower) / 2, (model.position_upper - model.position_lower) / 2
    return middle + 0.8 * half * rng.uniform(-1, 1, model.n), rng.normal(size=model.n) * 0.5


def targets(left=(-0.15, 0.0, 0.25), right=(0.15, 0.0, 0.25), opening=0.02):
    flipped = from_axes(np.array([-1.0, 0, 0]), np.array([0, -1.0, 0]))
    return {
        "left": HandTarget(np.array(left), LEVEL, opening),
        "right": HandTarget(np.array(right), flipped, opening),
    }


# -- rotations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_log_is_the_inverse_of_turning(seed):
    rng = np.random.default_rng(seed)
    quat = rng.normal(size=4)
    quat /= np.linalg.norm(quat)
    vector = rng.normal(size=3)
    assert log_between(quat, rotated(quat, vector)) == pytest.approx(vector, abs=1e-9)
    assert rotation_matrix(quat) @ rotation_matrix(quat).T == pytest.approx(np.eye(3), abs=1e-12)


# -- model ----------------------------------------------------------------------------------------------------------


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


def test_joint_bounds_never_cross_even_from_hopeless_states(model):
    rng = np.random.default_rng(0)
    for _ in range(200):
        q = rng.uniform(1.5 * model.position_lower - 0.1, 1.5 * model.position_upper + 0.1)
        model.q, model.v = q, 3 * rng.normal(size=model.n) * model.velocity_limit
        lower, upper = JointLimits().bounds(model)
        assert (lower <= upper).all()
        assert np.isfinite(lower).all()
    model.update(np.array(ALOHA.home), np.zeros(model.n))


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


# -- planning -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_plans_keep_their_limits_and_arrive(seed):
    rng = np.random.default_rng(seed)
    mpc = CartesianMPC()
    state = Reference(rng.normal(size=3) * 0.2, np.array([1.0, 0, 0, 0]))
    goal, turn = rng.uniform(-0.4, 0.4, 3), rotated(state.quat, rng.normal(size=3) * 0.5)
    v_max = np.repeat(mpc.settings.max_velocity, 3)
    a_max = np.repeat(mpc.settings.max_acceleration, 3)
    accelerations = []
    for _ in range(150):  # three seconds of replanning at 50 Hz
        plan = mpc.plan(state, goal, turn)
        assert (np.abs(plan.accelerations) <= a_max + 1e-6).all()
        velocity = plan.velocity + mpc.settings.step_s * np.cumsum(plan.accelerations, axis=0)
        assert (np.abs(velocity) <= v_max + 1e-6).all()
        state = plan.at(0.02)
        accelerations.append(state.acceleration)
    assert np.linalg.norm(state.position - goal) < 2e-3
    assert np.linalg.norm(log_between(state.quat, turn)) < 1e-2
    jumps = np.abs(np.diff(accelerations, axis=0))
    assert (jumps <= 0.8 * a_max).all()  # replanning does not chatter between the bounds


def test_plan_is_continuous_where_its_steps_meet():
    plan = CartesianMPC().plan(Reference(np.zeros(3), np.array([1.0, 0, 0, 0])), np.array([0.3, -0.1, 0.2]), DOWN)
    for knot in range(1, 10):
        t = knot * plan.step_s
        before, after = plan.at(t - 1e-7), plan.at(t + 1e-7)
        assert after.position == pytest.approx(before.position, abs=1e-6)
        assert after.velocity == pytest.approx(before.velocity, abs=1e-5)


def test_an_impossible_start_brakes():
    """Faster than the limits allow to be corrected: the plan still slows down."""
    mpc = CartesianMPC()
    start = Reference(np.zeros(3), np.array([1.0, 0, 0, 0]), velocity=np.array([5.0, 0, 0, 0, 0, 0]))
    plan = mpc.plan(start, np.zeros(3), np.array([1.0, 0, 0, 0]))
    assert abs(plan.at(0.4).velocity[0]) < 5.0


# -- closed loop ----------------------------------------------------------------------------------------------------


def assert_within_limits(robot):
    model = robot.cerebellum.model
    torques, velocities = np.array(robot.torques), np.array(robot.velocities)
    assert (torques <= model.torque_upper + 1e-9).all()
    assert (torques >= model.torque_lower - 1e-9).all()
    assert (np.abs(velocities) <= 1.1 * model.velocity_limit).all()
    assert (np.array(robot.positions) <= model.position_upper + 0.005).all()
    assert (np.array(robot.positions) >= model.position_lower - 0.005).all()


def test_hands_arrive_at_reachable_targets():
    robot = TorqueRobot()
    goal = targets()
    robot.run(goal, 2.0)
    for side in SIDES:
        assert np.linalg.norm(robot.hand(side) - goal[side].position) < 5e-3
    assert_within_limits(robot)
    assert robot.cerebellum.faults.as_dict() == {"qp_infeasible": 0, "fallback_ticks": 0, "nan": 0}


def test_wild_targets_break_no_limit():
    """Out of reach, behind the base, inside the table, jumping: every torque, speed and position stays in bounds."""
    rng = np.random.default_rng(0)
    robot = TorqueRobot()
    for _ in range(12):
        wild = rng.uniform([-1.5, -1, -0.5], [1.5, 1, 1.5], (2, 3))
        quats = rng.normal(size=(2, 4))
        quats /= np.linalg.norm(quats, axis=1, keepdims=True)
        goal = {s: HandTarget(p, q, rng.uniform(0, OPEN)) for s, p, q in zip(SIDES, wild, quats, strict=True)}
        robot.run(goal, 0.4)
    assert np.isfinite(robot.data.qpos).all()
    assert_within_limits(robot)


def test_hands_sent_through_each_other_do_not_touch():
    robot = TorqueRobot()
    worst = np.inf
    margin = robot.cerebellum.wbc.collision
    robot.run(targets(), 1.5)
    for _ in range(40):
        robot.run(targets(left=(0.1, 0, 0.25), right=(-0.1, 0, 0.25)), 0.05)
        nominal = robot.cerebellum.model
        gaps = [mujoco.mj_geomDistance(nominal.model, nominal.data, a, b, 0.1, None) for a, b in margin.pairs]
        worst = min(worst, min(gaps))
    assert worst > 0.0


def test_a_payload_is_unknown_to_the_controller():
    """It owns its model: half a kilogram in the hand of the simulated robot is felt as an error, not read."""
    spec = aloha_scene("motor")
    spec.body("right/gripper_link").mass += 0.5
    light, heavy = TorqueRobot(), TorqueRobot(spec=spec)
    for robot in (light, heavy):
        robot.run(targets(), 2.0)
    sag = light.hand("right")[2] - heavy.hand("right")[2]
    assert sag > 1e-3
    assert_within_limits(heavy)


@pytest.mark.parametrize("solver", ["daqp", "piqp"])
def test_problems_of_the_loop_agree_with_the_readable_definition(solver):
    robot = TorqueRobot()
    for _ in range(4):
        robot.run(targets(), 0.2)
        wbc = robot.cerebellum.wbc.problem()
        mpc = CartesianMPC().problem(Reference(robot.hand("left"), LEVEL), np.array([0.0, 0.1, 0.3]), DOWN)
        for qp in (wbc, mpc):
            reference, fast = solve(qp, "cvxpy"), solve(qp, solver)
            scale = 1 + abs(qp.objective(reference.x))
            assert abs(qp.objective(fast.x) - qp.objective(reference.x)) <= 1e-6 * scale
            assert primal_residual(qp, fast.x) <= 1e-6
            assert residuals(qp, fast).within(1e-5 * scale)


# -- when something is wrong ----------------------------------------------------------------------------------------


def test_fallback_ladder_last_torque_then_damping():
    wbc = make_cerebellum().wbc
    q, v = np.array(ALOHA.home), np.zeros(14)
    good, _ = wbc.solve(q, v)
    wbc.solver.solver = "daqp"
    broken = np.full(14, np.nan)
    for _ in range(wbc.hold_ticks):
        assert wbc.solve(broken, v)[0] == pytest.approx(good)
    safe, _ = wbc.solve(broken, v)
    assert not np.array_equal(safe, good)
    assert np.isfinite(safe).all()
    assert wbc.solver.faults.nan == wbc.hold_ticks + 1
    assert wbc.solver.faults.fallback_ticks == wbc.hold_ticks + 1
    assert wbc.solve(q, v)[0] == pytest.approx(good, abs=1e-9)  # and back to work


@pytest.mark.parametrize("value", [1e12, 1e200, -1e308, np.inf, np.nan])
@pytest.mark.parametrize("where", ["positions", "velocities"])
def test_a_state_beyond_all_numbers_never_reaches_the_motors(where, value):
    cerebellum = make_cerebellum()
    q, v = np.array(ALOHA.home), np.zeros(14)
    cerebellum.plan(targets())
    wild = np.full(14, value)
    state = (wild, v) if where == "positions" else (q, wild)
    for _ in range(2 * cerebellum.wbc.hold_ticks):
        torque, acceleration = cerebellum.torque(*state)
        assert np.isfinite(acceleration).all()
        assert (torque <= cerebellum.model.torque_upper).all()
        assert (torque >= cerebellum.model.torque_lower).all()
    assert cerebellum.faults.fallback_ticks > 0
    cerebellum.torque(q, v)
    before = cerebellum.faults.fallback_ticks
    cerebellum.plan(targets())
    cerebellum.torque(q, v)
    assert cerebellum.faults.fallback_ticks == before  # and back to work


def test_servo_targets_outlive_a_broken_measurement():
    servos = servo_targets(aloha_scene("servo").compile(), make_cerebellum())
    home = np.array(ALOHA.home)
    for measured in (home, np.full(14, np.nan), home):
        assert np.isfinite(servos.follow(targets(), measured, 0.02)).all()
    assert servos.cerebellum.faults.as_dict() == {"qp_infeasible": 0, "fallback_ticks": 0, "nan": 1}


def test_servo_targets_stay_within_the_servos_range():
    model = aloha_scene("servo").compile()
    servos = servo_targets(model, make_cerebellum())
    low, high = model.actuator_ctrlrange.T
    rng = np.random.default_rng(0)
    q = np.array(ALOHA.home)
    for _ in range(40):
        wild = targets(*rng.uniform([-1.5, -1, -0.5], [1.5, 1, 1.5], (2, 3)), opening=rng.uniform(-1, 1))
        command = servos.follow(wild, q, 0.02)
        assert (command >= low).all()
        assert (command <= high).all()
        q = servos.q + 0.05 * rng.normal(size=14)  # a robot that lags and wobbles


UNIT = np.array([1.0, 0, 0, 0])


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (HandTarget(np.array([np.nan, 0, 0]), UNIT, 0.02), "not finite"),
        (HandTarget(np.zeros(3), UNIT, np.inf), "not finite"),
        (HandTarget(np.zeros(2), UNIT, 0.02), r"not position \(3,\)"),
        (HandTarget(np.zeros(3), np.ones(3), 0.02), r"wxyz \(4,\)"),
        (HandTarget(np.zeros(3), np.zeros(4), 0.02), "no unit quaternion"),
        (HandTarget(np.zeros(3), 2 * UNIT, 0.02), "no unit quaternion"),
    ],
)
def test_targets_that_can_not_be_meant(target, message):
    with pytest.raises(UsageError, match=f"end effector 'left' .*{message}"):
        make_cerebellum().plan({"left": target})


def test_names_that_do_not_exist():
    with pytest.raises(UsageError, match="did you mean 'left'"):
        make_cerebellum().plan({"letf": targets()["left"]})
    with pytest.raises(UsageError, match="did you mean 'daqp'"):
        make_cerebellum(solver="dapq")


def test_states_of_another_robot():
    cerebellum = make_cerebellum()
    with pytest.raises(UsageError, match=r"aloha has 14 actuated joints, but positions have shape \(13,\)"):
        cerebellum.torque(np.zeros(13), np.zeros(14))
    with pytest.raises(UsageError, match=r"velocities \(14, 1\)"):
        cerebellum.torque(np.zeros(14), np.zeros((14, 1)))
    with pytest.raises(UsageError, match="14 finite joint positions"):
        cerebellum.reset(np.full(14, np.nan))
