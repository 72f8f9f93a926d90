"""The humanoid: identities of its model and problems, their readable definition, and the robot on its feet."""

import dataclasses
import math

import mujoco
import numpy as np
import pytest

from robotics.control.humanoid import HumanoidPlant
from robotics.control.run import run_trial
from robotics.control.trial import Conditions, Trial
from robotics.controllers.humanoid.biped import Biped
from robotics.controllers.humanoid.estimator import BipedEstimator
from robotics.controllers.humanoid.model import BipedModel
from robotics.controllers.humanoid.steps import StepPlanner, StepSettings
from robotics.controllers.humanoid.support import hull, margin, within
from robotics.controllers.humanoid.swing import SwingFoot
from robotics.controllers.humanoid.wbc import GRAVITY, BipedWbc, BodyTarget, FootTarget, PointTarget
from robotics.controllers.legged.locomotion import Twist
from robotics.controllers.legged.model import LeggedState
from robotics.controllers.qp import QP
from robotics.controllers.qp.problem import primal_residual
from robotics.controllers.qp.solvers import solve
from robotics.controllers.rotation import rotated, rotation_matrix
from robotics.envs.robots.humanoid import HUMANOID, nominal_humanoid
from robotics.errors import UsageError

BOTH, LEFT = np.array([True, True]), np.array([True, False])


@pytest.fixture(scope="module")
def model() -> BipedModel:
    return BipedModel(nominal_humanoid(), HUMANOID)


def random_state(seed, spread=1.0) -> LeggedState:
    rng = np.random.default_rng(seed)
    quat = rotated(np.array([1.0, 0, 0, 0]), 0.2 * spread * rng.normal(size=3))
    joints = np.array(HUMANOID.home) + 0.1 * spread * rng.normal(size=29)
    velocities = (spread * rng.normal(size=size) for size in (3, 3, 29))
    velocity, turning, rates = velocities
    return LeggedState(rng.normal(size=3), quat, velocity, turning, joints, rates)


def moved(state, nu, step) -> LeggedState:
    """`state` after moving with generalised velocity `nu` for `step` seconds (first order)."""
    quat = rotated(state.quat, rotation_matrix(state.quat) @ nu[3:6] * step)
    return dataclasses.replace(state, position=state.position + nu[:3] * step, quat=quat, q=state.q + nu[6:] * step)


def targets(model, seed, contact, spread=1.0) -> tuple[BodyTarget, FootTarget | None]:
    rng = np.random.default_rng(seed)
    hand = model.point(model.model.site("left_hand").id)
    hands = [PointTarget(hand.jacobian, spread * rng.normal(size=3) - hand.rate)]
    posture = np.array(HUMANOID.home)
    body = BodyTarget(spread * rng.normal(size=3), 0.1 * rng.normal(size=3), np.zeros(3), posture, hands)
    if contact.all():
        return body, None
    foot = model.feet[int(np.argmin(contact))] + 0.05 * rng.normal(size=3)
    return body, FootTarget(foot, rng.normal(size=3), rng.normal(size=3), 0.1 * rng.normal(size=3))


def optimum(qp, model) -> float:
    """The least objective by the readable definition, with forces in units of m g: newtons are badly scaled."""
    unit = np.ones(qp.n)
    unit[model.nv :] = model.mass * GRAVITY
    scaled = QP(
        P=unit[:, None] * qp.P * unit,
        q=unit * qp.q,
        A=qp.A * unit,
        b=qp.b,
        G=qp.G * unit,
        g=qp.g,
        h=qp.h,
        lower=qp.lower / unit,
        upper=qp.upper / unit,
    )
    reference = solve(scaled, "cvxpy")
    assert reference.solved
    return qp.objective(unit * reference.x)


# -- model ----------------------------------------------------------------------------------------------------------


def test_the_robot_is_the_published_one():
    model = nominal_humanoid()
    assert model.nu == 29
    assert model.body_mass.sum() == pytest.approx(33.34, abs=0.01)
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    for name in ("hip_roll", "ankle_roll", "wrist_yaw"):  # both sides are pictures of each other
        left, right = data.body(f"left_{name}").xpos, data.body(f"right_{name}").xpos
        assert left == pytest.approx(right * [1, -1, 1], abs=1e-12)


@pytest.mark.parametrize("seed", range(2))
def test_sole_jacobians_and_rates_by_finite_differences(model, seed):
    state = random_state(seed)
    model.update(state)
    J, feet, rates, nu = model.jacobians.copy(), model.feet.copy(), model.rates.copy(), model.nu.copy()
    for column in range(0, 35, 3):
        model.update(moved(state, np.eye(35)[column], 1e-6))
        assert J[:, :3, column] == pytest.approx((model.feet - feet) / 1e-6, abs=1e-4)
    before, after = (moved(state, nu, step) for step in (-1e-5, 1e-5))
    model.update(before)
    slower = model.foot_velocities.copy()
    model.update(after)
    assert rates == pytest.approx((model.foot_velocities - slower) / 2e-5, abs=1e-3)


@pytest.mark.parametrize("seed", range(2))
def test_the_motion_of_a_hand_by_finite_differences(model, seed):
    state, site = random_state(seed), model.model.site("right_hand").id
    model.update(state)
    hand, nu = model.point(site), model.nu.copy()
    for column in range(0, 35, 3):
        model.update(moved(state, np.eye(35)[column], 1e-6))
        assert hand.jacobian[:, column] == pytest.approx((model.point(site).position - hand.position) / 1e-6, abs=1e-4)
    before, after = (moved(state, nu, step) for step in (-1e-5, 1e-5))
    model.update(before)
    slower = model.point(site).velocity
    model.update(after)
    assert hand.rate == pytest.approx((model.point(site).velocity - slower) / 2e-5, abs=1e-3)


@pytest.mark.parametrize("seed", range(2))
def test_momentum_against_the_bodies(model, seed):
    model.update(random_state(seed))
    raw, data = model.model, model.data
    mujoco.mj_subtreeVel(raw, data)
    assert model.com_velocity == pytest.approx(data.subtree_linvel[1], abs=1e-9)
    assert model.momentum[3:] == pytest.approx(data.subtree_angmom[1], abs=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base": None}, "no free base"),
        ({"base": "left_knee"}, "no free joint"),
        ({"feet": HUMANOID.feet[:4]}, "needs two feet with at least three balls"),
        ({"feet": (HUMANOID.feet[0], HUMANOID.feet[4])}, "needs two feet with at least three balls"),
        ({"feet": HUMANOID.feet[:7]}, "different numbers of balls"),
        ({"feet": ("left_sole_9", *HUMANOID.feet[1:])}, "did you mean 'left_sole_"),
    ],
)
def test_a_robot_that_is_no_biped_is_told_so(change, message):
    with pytest.raises(UsageError, match=message):
        Biped(nominal_humanoid(), dataclasses.replace(HUMANOID, **change))


# -- whole-body control ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("contact", [BOTH, LEFT], ids=["both", "left"])
@pytest.mark.parametrize("seed", range(3))
def test_the_solution_obeys_the_dynamics(model, contact, seed):
    """M nu' + h = S' tau + J' f, with every corner's Jacobian from MuJoCo itself."""
    model.update(random_state(seed, 0.3))
    wbc = BipedWbc(model)
    solution = wbc.solve(contact, *targets(model, seed, contact))
    assert solution is not None
    ground = np.zeros(35)
    J = np.zeros((3, 35))
    forces = iter(solution.forces.reshape(-1, 3))
    for foot in np.flatnonzero(contact):
        body = model.model.body(("left", "right")[foot] + "_ankle_roll").id
        for arm in model.arms[foot]:
            mujoco.mj_jac(model.model, model.data, J, None, model.feet[foot] + arm, body)
            ground += J.T @ next(forces)
    motors = np.concatenate([np.zeros(6), solution.torque])
    assert model.M @ solution.acceleration + model.h == pytest.approx(motors + ground, abs=1e-6)


@pytest.mark.parametrize("contact", [BOTH, LEFT], ids=["both", "left"])
@pytest.mark.parametrize("seed", range(3))
def test_whole_body_problem_against_the_readable_definition(model, contact, seed):
    """The short cut over the forces alone finds the optimum of the whole problem."""
    model.update(random_state(seed, 0.3))
    wbc = BipedWbc(model)
    aims = targets(model, seed, contact)
    solution = wbc.solve(contact, *aims)
    assert solution is not None
    qp = wbc.problem(contact, *aims)
    y = np.concatenate([solution.acceleration, solution.forces])
    assert qp.objective(y) == pytest.approx(optimum(qp, model), rel=1e-6, abs=1e-6)
    assert primal_residual(qp, y) <= 1e-6


def test_joints_at_their_limits_take_the_whole_problem(model):
    state = random_state(0, 0.1)
    knee = HUMANOID.joints.index("left_knee")
    weak = nominal_humanoid()
    weak.jnt_actfrcrange[weak.joint("left_knee").id] = [-5.0, 5.0]
    limited = BipedModel(weak, HUMANOID)
    limited.update(state)
    wbc = BipedWbc(limited)
    aims = targets(limited, 0, BOTH)
    solution = wbc.solve(BOTH, *aims)
    assert solution is not None
    assert wbc.whole_problems == 1
    assert abs(solution.torque[knee]) <= 5.0 + 1e-6
    qp = wbc.problem(BOTH, *aims)
    y = np.concatenate([solution.acceleration, solution.forces])
    assert qp.objective(y) == pytest.approx(optimum(qp, limited), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("push", [0.0, 3.0, -6.0])
def test_pressure_stays_in_the_soles_and_forces_in_their_cones(model, push):
    """Whatever acceleration is asked for."""
    model.update(model.home())
    wbc = BipedWbc(model)
    body = BodyTarget(np.array([push, push / 2, 0]), np.zeros(3), np.zeros(3), np.array(HUMANOID.home))
    for contact in (BOTH, LEFT):
        solution = wbc.solve(contact, body, targets(model, 0, contact)[1])
        assert solution is not None
        forces = solution.forces.reshape(-1, 3)
        assert (np.abs(forces[:, :2]) <= wbc.settings.friction * forces[:, 2:] + 1e-6).all()
        corners = (model.feet[:, None] + model.arms)[contact].reshape(-1, 3)
        x, y = forces[:, 2] @ corners[:, :2] / forces[:, 2].sum()
        assert margin(hull(map(tuple, corners[:, :2].tolist())), x, y) >= -1e-6


def test_standing_still_presses_with_the_weight(model):
    model.update(model.home())
    body = BodyTarget(np.zeros(3), np.zeros(3), np.zeros(3), np.array(HUMANOID.home))
    solution = BipedWbc(model).solve(BOTH, body, None)
    assert solution is not None
    assert solution.forces.reshape(-1, 3).sum(axis=0) == pytest.approx([0, 0, model.mass * GRAVITY], rel=1e-3, abs=0.05)
    assert np.abs(solution.acceleration).max() < 0.5


def test_no_solution_gives_a_torque_within_limits(model):
    model.update(random_state(0, 0.1))
    wbc = BipedWbc(model)
    body = BodyTarget(np.full(3, np.nan), np.zeros(3), np.zeros(3), np.array(HUMANOID.home))
    torque = wbc.torque(BOTH, body, None)
    assert np.isfinite(torque).all()
    assert ((torque <= model.torque_upper) & (torque >= model.torque_lower)).all()
    assert wbc.solver.faults.nan > 0


# -- support, steps, swing ------------------------------------------------------------------------------------------


def test_margin_and_way_out_of_the_support():
    square = hull([(0, 0), (1, 0), (1, 1), (0, 1), (0.5, 0.5)])
    assert len(square) == 4
    assert margin(square, 0.5, 0.7) == pytest.approx(0.3)
    assert margin(square, 1.2, 0.5) == pytest.approx(-0.2)
    assert within(square, (0.5, 0.5), (3.0, 0.5), 0.0) == pytest.approx((1.0, 0.5))
    assert within(square, (0.5, 0.5), (3.0, 0.5), 0.1) == pytest.approx((1.1, 0.5))
    assert within(square, (0.5, 0.5), (0.6, 0.9), 0.0) == (0.6, 0.9)
    assert within(square, (2.0, 0.5), (3.0, 0.5), 0.1) == pytest.approx((2.0, 0.5))


@pytest.mark.parametrize(("vx", "vy"), [(0.0, 0.0), (0.5, 0.1), (-0.3, -0.1), (0.0, 0.4)])
def test_the_usual_step_repeats_itself(vx, vy):
    """From one nominal offset the pendulum falls exactly into the next one, and the plan is the nominal step."""
    planner = StepPlanner(0.67)
    for side in (1, -1):
        (step, offset), (_, begun) = planner.nominal(vx, vy, side), planner.nominal(vx, vy, -side)
        fallen = begun * math.exp(planner.omega * planner.settings.duration_s)
        assert fallen == pytest.approx(step + offset, abs=1e-12)
        planned = planner.plan(begun, np.zeros(2), (step, offset), side, 0.0, 0.04)
        assert planned.displacement == pytest.approx(step, abs=1e-6)
        assert planned.remaining_s == pytest.approx(planner.settings.duration_s, abs=1e-6)


def test_a_push_is_met_by_another_step_and_an_earlier_one():
    planner = StepPlanner(0.67)
    wanted, (_, begun) = planner.nominal(0.5, 0.0, 1), planner.nominal(0.5, 0.0, -1)
    pushed = planner.plan(begun + [0.1, 0.0], np.zeros(2), wanted, 1, 0.0, 0.04)
    assert pushed.displacement[0] > wanted[0][0] + 0.1
    assert pushed.remaining_s < planner.settings.duration_s


@pytest.mark.parametrize("seed", range(5))
def test_step_problem_against_the_readable_definition_and_its_bounds(seed):
    rng = np.random.default_rng(seed)
    s = StepSettings()
    planner, side = StepPlanner(0.67, s), 1 if seed % 2 else -1
    capture, pressure = rng.normal(scale=0.15, size=2), rng.normal(scale=0.03, size=2)
    wanted = planner.nominal(0.4, 0.1, side)
    qp = planner.problem(capture, pressure, wanted, side, (0.1, 0.3, 0.6))
    fast, reference = solve(qp, "daqp"), solve(qp, "cvxpy")
    assert abs(qp.objective(fast.x) - qp.objective(reference.x)) <= 1e-6 * (1 + abs(qp.objective(reference.x)))
    step = planner.plan(capture, pressure, wanted, side, 0.0, 0.04)
    assert s.narrowest - 1e-9 <= side * step.displacement[1] <= s.widest + 1e-9
    assert s.shortest_s - 1e-9 <= step.remaining_s <= s.longest_s + 1e-9


def test_a_swing_lands_where_it_should_even_when_that_changes():
    foot, dt, left = SwingFoot(np.array([0.0, 0.1, 0.0]), 0.06), 0.002, 0.35
    target, highest, jumps = np.array([0.2, 0.1, 0.0]), 0.0, []
    for tick in range(round(left / dt)):
        if tick == 80:
            target = np.array([0.3, 0.15, 0.0])
        before = np.array(foot.position)
        foot.advance(target, tick * dt, left - tick * dt, 0.05, dt)
        jumps.append(np.abs(foot.position - before).max())
        highest = max(highest, foot.position[2])
    assert foot.position == pytest.approx(target, abs=2e-3)
    assert 0.05 < highest < 0.075
    assert max(jumps) < 3.0 * dt


# -- closed loop ----------------------------------------------------------------------------------------------------


def test_squats_to_a_millimetre():
    document = run_trial(Trial("humanoid", "squat", seconds=4.0, state="truth"))
    assert not document["fell"]
    assert document["tracking_rms"]["com"] < 1e-3
    assert document["limits_exceeded"] == 0
    assert document["faults"] == {"qp_infeasible": 0, "fallback_ticks": 0, "nan": 0}


@pytest.mark.parametrize(("hand", "goal"), [("left_hand", [0.3, 0.3, 0.9]), ("right_hand", [0.35, 0.0, 0.6])])
def test_crouches_and_reaches(hand, goal):
    controller, plant = Biped(nominal_humanoid(), HUMANOID), HumanoidPlant(Conditions())
    plant.place(controller.model.home(), np.random.default_rng(0))
    controller.reset(plant.state())
    controller.hands.reach(hand, goal)
    for _ in range(1250):
        controller.crouch(0.6)
        plant.step(controller.torque(plant.state()))
    assert plant.data.site(hand).xpos == pytest.approx(goal, abs=0.01)
    assert plant.data.qpos[2] == pytest.approx(0.6, abs=0.005)
    assert np.abs(plant.data.qvel).max() < 0.1
    assert not any(controller.faults.as_dict().values())


def test_a_goal_beyond_reach_does_not_pull_the_robot_over():
    controller, plant = Biped(nominal_humanoid(), HUMANOID), HumanoidPlant(Conditions())
    plant.place(controller.model.home(), np.random.default_rng(0))
    controller.reset(plant.state())
    controller.hands.reach("left_hand", [3.0, 1.0, 0.2])
    for _ in range(1500):
        plant.step(controller.torque(plant.state()))
    assert not plant.fell()
    assert controller.steps_taken == 0


@pytest.mark.parametrize("towards", [0, 90, 180, 270])
def test_stands_small_pushes_without_a_step(towards):
    conditions = Conditions(push=12.0, push_towards=math.radians(towards), push_at_s=0.3)
    document = run_trial(Trial("humanoid", "stand", seconds=2.5, conditions=conditions))
    assert not document["fell"]
    assert document["steps"] == 0


@pytest.mark.parametrize("towards", [0, 180])
def test_steps_when_pushed_hard_and_stands_again(towards):
    conditions = Conditions(push=25.0, push_towards=math.radians(towards), push_at_s=0.3)
    document = run_trial(Trial("humanoid", "stand", seconds=4.0, conditions=conditions))
    assert not document["fell"]
    assert 1 <= document["steps"] <= 6
    assert document["limits_exceeded"] == 0
    assert document["tracking_rms"]["vx"] < 0.1


@pytest.mark.parametrize(
    ("twist", "state"), [(Twist(vx=0.5), "estimated"), (Twist(vx=0.2, wz=0.4), "truth"), (Twist(vy=0.2), "truth")]
)
def test_walks_where_it_is_told(twist, state):
    document = run_trial(Trial("humanoid", "walk", twist, seconds=4.5, state=state))
    assert not document["fell"]
    assert document["velocity_mean"] == pytest.approx([twist.vx, twist.vy, twist.wz], abs=0.08)
    assert document["limits_exceeded"] == 0


def test_steps_on_the_spot_and_stops_with_its_feet_side_by_side():
    controller, plant = Biped(nominal_humanoid(), HUMANOID), HumanoidPlant(Conditions())
    plant.place(controller.model.home(), np.random.default_rng(0))
    controller.reset(plant.state())
    controller.walk(Twist())
    for tick in range(1700):
        if tick == 1000:
            controller.stand()
        plant.step(controller.torque(plant.state()))
    assert controller.steps_taken > 2
    assert controller.foothold() is None
    assert plant.data.qpos[:2] == pytest.approx([0, 0], abs=0.1)
    assert np.abs(plant.heading_velocity()).max() < 0.05


def ticks_of_a_step(heel: bool) -> int:
    """How long the step lasts with which the robot catches itself, when its toes stay a centimetre up for good."""
    controller = Biped(nominal_humanoid(), HUMANOID)
    state = falling = dataclasses.replace(controller.model.home(), velocity=np.array([0.8, 0.0, 0.0]))
    for tick in range(400):
        trusted = controller.trusted_feet
        if not trusted.all():
            side = ("left", "right")[int(trusted[0])]
            lifted = falling.q.copy()
            lifted[HUMANOID.joints.index(f"{side}_ankle_pitch")] -= 0.3
            touch = trusted.copy()
            touch[4 * int(trusted[0])] = heel
            state = dataclasses.replace(state, q=lifted, touch=touch)
        controller.torque(state)
        if controller.steps_taken:
            return tick
    pytest.fail("the step never ended")


def test_a_heel_that_feels_the_ground_ends_the_step():
    """A foot that is held up by its heel does not wait for the rest of it: the robot would fall past it."""
    assert ticks_of_a_step(heel=True) + 20 < ticks_of_a_step(heel=False)


@pytest.mark.parametrize(
    ("asked", "walked"),
    [
        (Twist(0.5, 0.0, 0.0), [0.5, 0.0, 0.0]),
        (Twist(5.0, 0.0, 0.0), [0.6, 0.0, 0.0]),
        (Twist(0.0, -2.0, 0.0), [0.0, -0.4, 0.0]),
        (Twist(0.6, 0.0, 1.2), [0.6 / math.sqrt(2), 0.0, 1.2 / math.sqrt(2)]),
    ],
)
def test_faster_than_it_can_walk_is_walked_as_fast_as_it_can(asked, walked):
    controller = Biped(nominal_humanoid(), HUMANOID)
    controller.walk(asked)
    command = controller.command
    assert [command.vx, command.vy, command.wz] == pytest.approx(walked)


# -- estimation -----------------------------------------------------------------------------------------------------


def test_the_estimate_stays_where_flat_feet_stand():
    """Leaning and turning above soles that stay: position to a millimetre or two, velocity to a centimetre per second,
    with the noise of real sensors."""
    plant, controller = HumanoidPlant(Conditions(), seed=1), Biped(nominal_humanoid(), HUMANOID)
    plant.place(controller.model.home(), np.random.default_rng(1))
    controller.reset(plant.state())
    controller.squat(0.1, 0.5)
    estimator, errors = BipedEstimator(nominal_humanoid(), HUMANOID, 0.002), []
    for tick in range(1000):
        state = plant.state()
        if tick < 100:
            estimator.reset(state)
        estimate = estimator.update(plant.measure(), controller.trusted_feet)
        assert estimate.touch is not None
        assert (estimate.touch == state.touch).all()
        errors.append(np.concatenate([estimate.position - state.position, estimate.velocity - state.velocity]))
        plant.step(controller.torque(state))
    position, velocity = np.sqrt(np.square(errors[150:]).mean(axis=0)).reshape(2, 3)
    assert position.max() < 2e-3
    assert velocity.max() < 0.01


def test_a_measurement_that_is_no_number_teaches_the_estimator_nothing():
    plant, estimator = HumanoidPlant(Conditions()), BipedEstimator(nominal_humanoid(), HUMANOID, 0.002)
    plant.place(BipedModel(nominal_humanoid(), HUMANOID).home(), np.random.default_rng(0))
    estimator.reset(plant.state())
    measured = plant.measure()
    estimator.update(dataclasses.replace(measured, accelerometer=np.full(3, np.nan)), np.ones(8, bool))
    assert estimator.update(measured, np.ones(8, bool)).is_finite()


def test_a_robot_is_put_down_on_its_soles():
    plant = HumanoidPlant(Conditions(), seed=3)
    plant.place(BipedModel(nominal_humanoid(), HUMANOID).home(), np.random.default_rng(3))
    radius = plant.model.geom("left_sole_0").size[0]
    assert plant.feet()[:, 2].min() == pytest.approx(radius, abs=1e-9)


# -- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [1.0, 1e3, 1e6, 1e200, np.inf, np.nan])
@pytest.mark.parametrize("walking", [False, True])
def test_whatever_the_state_the_torque_is_finite_and_within_limits(size, walking):
    controller = Biped(nominal_humanoid(), HUMANOID)
    home = controller.model.home()
    if walking:
        controller.walk(Twist(vx=0.5, wz=0.5))
    rng = np.random.default_rng(0)
    for tick in range(60):
        field = ("position", "velocity", "angular_velocity", "q", "v", "quat")[tick % 6]
        rubbish = size * rng.choice([-1.0, 0.3, 1.0], getattr(home, field).shape)
        torque = controller.torque(dataclasses.replace(home, **{field: rubbish}))
        assert np.isfinite(torque).all()
        assert ((torque <= controller.model.torque_upper) & (torque >= controller.model.torque_lower)).all()


def test_a_state_that_is_no_number_gives_a_safe_torque_and_is_counted():
    controller = Biped(nominal_humanoid(), HUMANOID)
    state = controller.model.home()
    controller.reset(state)
    torque = controller.torque(dataclasses.replace(state, velocity=np.full(3, np.nan)))
    assert np.isfinite(torque).all()
    assert controller.faults.nan == 1
    assert np.isfinite(controller.torque(state)).all()


def test_what_the_humanoid_can_not_do_is_said():
    with pytest.raises(UsageError, match="robot humanoid has no --terrain"):
        Trial("humanoid", "walk", conditions=Conditions(terrain="stairs"))
    with pytest.raises(UsageError, match="takes no velocity"):
        Trial("humanoid", "squat", Twist(vx=0.3))
    with pytest.raises(UsageError, match="unknown end effector of humanoid 'left_hnad'; did you mean 'left_hand'"):
        Biped(nominal_humanoid(), HUMANOID).hands.reach("left_hnad", np.zeros(3))
