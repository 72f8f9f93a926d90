"""The car: models against finite differences, its problem against the one written out, courses, and the closed loop."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from robotics.control.car import TASKS, CarPlant, CarSession, lay_out_task
from robotics.control.run import run_trial
from robotics.control.trial import Conditions, Trial
from robotics.controllers.car.course import SPACING, Pace, lay_out
from robotics.controllers.car.driver import CarState, Driver
from robotics.controllers.car.estimator import CarEstimator, CarMeasurement
from robotics.controllers.car.model import HEADING, SPEED, STEER, TURN, DynamicBicycle, KinematicBicycle
from robotics.controllers.car.mpc import CarMPC, CarMPCSettings, Motion, discretise, linearise, predict
from robotics.controllers.qp import solve
from robotics.controllers.qp.problem import primal_residual
from robotics.envs.robots.car import CAR, TRACK, car_scene, steering_angle, wheel_angles, wheel_torques
from robotics.errors import UsageError

MODELS = [KinematicBicycle(), DynamicBicycle()]
NO_FAULTS = {"qp_infeasible": 0, "fallback_ticks": 0, "nan": 0}


def random_motion(model, rng, count=20, step_s=0.05):
    """Any states and inputs: a nominal motion need not be one of the model."""
    states = rng.uniform(-1, 1, (count + 1, model.states)) * [5, 5, 3, 8, 0.5, 1.0, 0.8][: model.states]
    return Motion(states, rng.uniform(-1, 1, (count, 2)) * [3, 0.4], step_s)


def random_problem(seed, task="limit"):
    """A problem that the task's driver meets, off its course and with the nominal motion of a moment ago."""
    rng = np.random.default_rng(seed)
    setup = TASKS[task]
    mpc = CarMPC(setup.model(), setup.mpc)
    stretch = lay_out_task(setup).stretches[0]
    way = rng.uniform(0.3, 0.7) * stretch.length
    position, heading, _, velocity = stretch.at(np.array([way]))
    start = np.zeros(mpc.model.states)
    start[:5] = [*(position[0] + rng.normal(0, 0.5, 2)), heading[0] + rng.normal(0, 0.1), velocity[0] * 1.05, 0.05]
    last = rng.uniform(-1, 1, 2) * [2, 0.3]
    plan = mpc.plan(start, stretch, way, last, None)
    nominal = plan.after(0.02)
    return mpc, start, stretch, way, last, nominal


# -- models ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS, ids=["kinematic", "dynamic"])
def test_derivatives_against_finite_differences(model):
    motion = random_motion(model, np.random.default_rng(0))
    z, u, step = motion.states[:-1], motion.inputs, 1e-6
    A, B = model.jacobians(z, u)
    _, gradient = model.side_acceleration(z)
    for i in range(model.states):
        dz = step * np.eye(model.states)[i]
        assert A[..., i] == pytest.approx(
            (model.derivative(z + dz, u) - model.derivative(z - dz, u)) / (2 * step), abs=1e-6
        )
        after, before = model.side_acceleration(z + dz)[0], model.side_acceleration(z - dz)[0]
        assert gradient[..., i] == pytest.approx((after - before) / (2 * step), abs=1e-6)
    for i in range(2):
        du = step * np.eye(2)[i]
        assert B[..., i] == pytest.approx(
            (model.derivative(z, u + du) - model.derivative(z, u - du)) / (2 * step), abs=1e-6
        )


def test_slow_wheels_do_not_slip():
    """At walking pace the dynamic car goes where the kinematic one does."""
    start = np.array([0, 0, 0, 6.0, 0.02])
    turn = 6.0 * np.tan(0.02) / CAR.wheelbase
    dynamic = np.array([*start, CAR.rear * turn, turn])
    ends = [
        solve_ivp(lambda _, z, m=model: m.derivative(z, np.zeros(2)), (0, 3), z0, rtol=1e-8).y[:3, -1]
        for model, z0 in zip(MODELS, (start, dynamic), strict=True)
    ]
    assert ends[1] == pytest.approx(ends[0], abs=0.35)  # 18 m away


@pytest.mark.parametrize("model", MODELS, ids=["kinematic", "dynamic"])
def test_discrete_steps_are_those_of_the_model(model):
    """Of the second order: half the step, an eighth of the error; and so are their derivatives."""
    z, u, rng = np.zeros(model.states), np.array([-2.0, 0.2]), np.random.default_rng(1)
    z[[HEADING, SPEED, STEER]] = 0.3, 9.0, 0.05
    dz, du = 1e-4 * rng.normal(size=model.states), 1e-4 * rng.normal(size=2)

    def flow(state, inputs, h):
        return solve_ivp(lambda _, x: model.derivative(x, inputs), (0, h), state, rtol=1e-10, atol=1e-12).y[:, -1]

    errors, derivative_errors = [], []
    for h in (0.02, 0.01):
        motion = Motion(np.stack([z, z]), u[None], h)
        Ad, Bd, defect = discretise(model, motion, *linearise(model, motion))
        errors.append(np.abs(z + defect[0] - flow(z, u, h)).max())
        moved = (flow(z + dz, u + du, h) - flow(z - dz, u - du, h)) / 2
        derivative_errors.append(np.abs(Ad[0] @ dz + Bd[0] @ du - moved).max() / 1e-4)
    assert errors[1] < errors[0] / 6 < 1e-3
    assert derivative_errors[1] < derivative_errors[0] / 3 < 0.05


@pytest.mark.parametrize("model", MODELS, ids=["kinematic", "dynamic"])
def test_predictions_are_the_linear_steps_one_after_the_other(model):
    rng = np.random.default_rng(2)
    motion = random_motion(model, rng)
    start = motion.states[0] + 0.1 * rng.normal(size=model.states)
    Ad, Bd, defect = discretise(model, motion, *linearise(model, motion))
    free, Phi = predict(motion, start, Ad, Bd, defect)
    u = rng.normal(size=(20, 2))
    offset = start - motion.states[0]
    for k in range(20):
        offset = Ad[k] @ offset + Bd[k] @ (u[k] - motion.inputs[k]) + defect[k]
        assert free[k] + Phi[k] @ u.ravel() == pytest.approx(motion.states[k + 1] + offset, rel=1e-9, abs=1e-9)


# -- the problem ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["track", "limit"])
def test_condensed_problem_is_the_one_written_out(task):
    """Same differences of cost as the docstring's sum, and rows that mean what they say."""
    mpc, start, stretch, way, last, nominal = random_problem(0, task)
    qp, free, Phi = mpc.problem(start, stretch, way, last, nominal)
    s, N = mpc.settings, mpc.settings.horizon
    places = stretch.ahead(way, s.step_s * np.arange(1, N + 1))
    position, heading, curvature, velocity = stretch.at(places)

    def cost(x):
        u, slack, before, total = x[: 2 * N].reshape(N, 2), x[2 * N :], last, 0.0
        for k in range(N):
            z = free[k] + Phi[k] @ x[: 2 * N]
            along = np.array([np.cos(heading[k]), np.sin(heading[k])])
            off = z[:2] - position[k]
            step = s.along_weight * (off @ along) ** 2 + s.across_weight * (off @ [-along[1], along[0]]) ** 2
            step += s.heading_weight * (z[HEADING] - heading[k]) ** 2 + s.speed_weight * (z[SPEED] - velocity[k]) ** 2
            step += s.steer_weight * (z[STEER] - np.arctan(CAR.wheelbase * curvature[k])) ** 2
            total += step * (s.terminal_factor if k == N - 1 else 1.0)
            total += np.array(s.input_weight) @ u[k] ** 2 + np.array(s.smoothness_weight) @ (u[k] - before) ** 2
            total += s.slack_weight * slack[k] ** 2
            before = u[k]
        return total

    rng = np.random.default_rng(0)
    plans = rng.normal(size=(4, qp.n))
    for x in plans[1:]:
        assert qp.objective(x) - qp.objective(plans[0]) == pytest.approx(cost(x) - cost(plans[0]), rel=1e-8)
    x = plans[0]
    rows = qp.h - qp.G @ x
    z = free + Phi @ x[: 2 * N]
    assert rows[:N] == pytest.approx(CAR.max_steer - z[:, STEER])
    side, gradient = mpc.model.side_acceleration(nominal.states[1:])
    side = side + np.einsum("kn,kn->k", gradient, z - nominal.states[1:])
    for i, row in enumerate(rows[N:].reshape(s.sides, N)):
        angle = (i + 0.5) * 2 * np.pi / s.sides
        asked = np.cos(angle) * x[: 2 * N : 2] + np.sin(angle) * side
        assert row == pytest.approx(CAR.grip * np.cos(np.pi / s.sides) + x[2 * N :] - asked)


@pytest.mark.parametrize("task", ["track", "limit"])
@pytest.mark.parametrize("seed", range(3))
def test_fast_path_agrees_with_the_readable_definition(seed, task):
    mpc, *state = random_problem(seed, task)
    qp, _, _ = mpc.problem(*state)
    reference = solve(qp, "cvxpy")
    for name in ("daqp", "piqp"):
        fast = solve(qp, name)
        assert abs(qp.objective(fast.x) - qp.objective(reference.x)) <= 1e-6 * (1 + abs(qp.objective(reference.x)))
        assert primal_residual(qp, fast.x) <= 1e-6


def test_a_motion_beyond_friction_is_planned_with_slack_and_comes_back():
    """1.3 g at the first moment can not be helped: never infeasible, and within the circle half a second later."""
    mpc, start, stretch, way, last, _ = random_problem(3)
    start[SPEED], start[TURN] = 15.0, 0.85
    start[STEER] = 0.15
    plan = mpc.plan(start, stretch, way, last, None)
    assert mpc.solver.faults.as_dict() == NO_FAULTS
    assert plan.slack > 0.5
    later = plan.states[round(0.6 / plan.step_s) :]
    assert (np.abs(later[:, SPEED] * later[:, TURN]) <= CAR.grip + 0.5).all()


@pytest.mark.parametrize("task", list(TASKS))
def test_plans_keep_the_limits_of_the_car(task):
    for seed in range(4):
        mpc, *state = random_problem(seed, task)
        plan = mpc.plan(*state)
        assert (np.abs(plan.states[1:, STEER]) <= CAR.max_steer + 1e-6).all()
        assert (np.abs(plan.inputs[:, 1]) <= CAR.max_steer_rate + 1e-6).all()
        assert (plan.inputs[:, 0] <= CAR.max_acceleration + 1e-6).all()
        assert (plan.inputs[:, 0] >= -CAR.max_braking - 1e-6).all()


# -- courses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", list(TASKS))
def test_courses_are_whole_and_can_be_driven(task):
    course, pace = lay_out_task(TASKS[task]), TASKS[task].pace
    for before, after in zip(course.stretches, course.stretches[1:], strict=False):
        assert after.position[0] == pytest.approx(before.position[-1])
        assert after.heading[0] == before.heading[-1]
        assert after.gear == -before.gear
        assert before.speed[-1] == after.speed[0] == 0.0
    for stretch in course.stretches:
        moved = np.diff(stretch.position, axis=0) / np.diff(stretch.way)[:, None]
        middle = (stretch.heading[1:] + stretch.heading[:-1]) / 2
        assert moved == pytest.approx(stretch.gear * np.stack([np.cos(middle), np.sin(middle)], axis=-1), abs=1e-9)
        assert (stretch.speed**2 * np.abs(stretch.curvature) <= pace.side_acceleration + 1e-9).all()
        pull = np.diff(stretch.speed**2) / (2 * np.diff(stretch.way))
        assert (np.abs(pull) <= pace.acceleration * 1.01).all()


def test_a_place_is_found_again():
    stretch = lay_out_task(TASKS["track"]).stretches[1]
    rng = np.random.default_rng(0)
    for way in rng.uniform(0.1, stretch.length - 0.1, 20):
        position, heading, _, _ = stretch.at(np.array([way]))
        aside = rng.uniform(-1, 1) * np.array([-np.sin(heading[0]), np.cos(heading[0])])
        assert stretch.project(position[0] + aside, way + rng.uniform(-2, 2)) == pytest.approx(way, abs=SPACING)


@pytest.mark.parametrize(
    ("legs", "message"),
    [
        ([], "at least one leg"),
        ([(0, [(5.0, 0.0)])], "gear 0"),
        ([(1, [(-5.0, 0.0)])], "length -5.0"),
        ([(1, [(5.0, float("nan"))])], "curvature nan"),
        ([(1, [(5.0, 0.5)])], "turns at most"),
        ([(1, [(0.2, 0.0)])], "shorter than"),
    ],
)
def test_courses_that_can_not_be_meant(legs, message):
    with pytest.raises(UsageError, match=message):
        lay_out(legs, Pace(), 0.25)


@pytest.mark.parametrize("wrong", [{"horizon": 1}, {"step_s": 0.0}, {"sides": 6}])
def test_settings_that_can_not_be_meant(wrong):
    with pytest.raises(UsageError):
        CarMPCSettings(**wrong)


# -- the robot ------------------------------------------------------------------------------------------------------


def test_the_embedded_car_has_the_published_masses():
    model = car_scene().compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    M = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, M)
    assert model.body_subtreemass[model.body("car").id] == pytest.approx(CAR.mass, rel=1e-3)
    assert M[5, 5] == pytest.approx(CAR.yaw_inertia, rel=0.01)


def test_front_wheels_turn_about_one_point():
    for steer in (-0.5, -0.1, 0.2, 0.6):
        left, right = wheel_angles(steer)
        centres = [CAR.wheelbase / np.tan(a) + side * TRACK["F"] / 2 for a, side in ((left, 1), (right, -1))]
        assert centres == pytest.approx([CAR.wheelbase / np.tan(steer)] * 2)
        assert steering_angle(left, right) == pytest.approx(steer)


def test_torques_are_those_of_the_acceleration():
    for acceleration, speed in ((2.0, 5.0), (-3.0, 5.0), (-1.0, -2.0), (1.0, 0.0)):
        assert wheel_torques(acceleration, speed).sum() == pytest.approx(CAR.mass * acceleration * 0.344)


# -- closed loop ----------------------------------------------------------------------------------------------------


def drive(task, seconds, conditions=None, **options):
    session = CarSession(Trial("car", task, seconds=seconds, conditions=conditions or Conditions(), **options))
    for _ in range(round(seconds / session.period_s)):
        session.tick()
        if session.fell() or session.driver.finished:
            break
    return session


@pytest.mark.parametrize(("task", "changes"), [("track", 2), ("parking", 4)])
def test_it_drives_the_whole_course_forwards_and_backwards(task, changes):
    session = drive(task, 60.0)
    results = session.results()
    assert session.driver.finished
    assert results["gear_changes"] == changes
    assert results["tracking_rms"]["cross_track"] <= 0.25
    assert session.limits_exceeded == 0
    assert session.faults() == NO_FAULTS


def test_at_the_limit_of_friction_it_slows_down_and_stays_on_course():
    session = drive("limit", 12.0)
    results = session.results()
    assert 0.9 * CAR.grip < results["side_acceleration_max"] < 1.05 * CAR.grip
    assert results["slack_ticks"] > 0
    assert results["cross_track_max"] < 1.0
    assert session.faults() == NO_FAULTS


@pytest.mark.parametrize("conditions", [{"friction": 0.5}, {"push": 2000.0}])
def test_it_stays_on_the_road_when_the_world_is_not_as_believed(conditions):
    session = drive("track", 8.0, Conditions(**conditions))
    assert not session.fell()
    assert session.results()["cross_track_max"] < 1.5
    assert session.faults() == NO_FAULTS


def test_document_of_a_trial_and_the_same_trial_twice():
    first, second = (run_trial(Trial("car", "parking", seconds=1.0, seed=3)) for _ in range(2))
    assert set(first["tracking_rms"]) == {"cross_track", "heading", "speed"}
    assert {"mpc", "tick"} <= {name for name, times in first["timing_ms"].items() if times["p50"] > 0}
    assert first["timing_ms"]["wbc"] == {"p50": 0.0, "p99": 0.0, "max": 0.0}  # there for every robot; a car has none
    assert first["tracking_rms"] == second["tracking_rms"]


def test_a_state_that_is_no_number_brakes_and_is_counted():
    task = TASKS["track"]
    driver = Driver(lay_out_task(task), CarMPC(task.model(), task.mpc))
    rolling = CarState(np.array([4.0, 0.0]), 0.0, 4.0, 0.0, 0.0, 0.0)
    driver.command(rolling)
    broken = CarState(np.array([np.nan, 0.0]), 0.0, 4.0, 0.0, 0.0, 0.0)
    commands = np.array([driver.command(broken) for _ in range(150)])
    assert np.isfinite(commands).all()
    assert commands[-1, 0] < -2.0  # the plan has run out
    assert driver.faults.as_dict() == {"qp_infeasible": 0, "fallback_ticks": 150, "nan": 150}
    assert np.isfinite(driver.command(rolling)).all()
    assert driver.faults.fallback_ticks == 150


def test_the_estimator_finds_the_car_and_leaves_out_what_is_no_number():
    plant = CarPlant(Conditions(), np.random.default_rng(0))
    plant.place(5.0)
    estimator = CarEstimator(0.02)
    estimator.reset(plant.state())
    for _ in range(150):
        plant.drive(0.5, 0.1)
        state = estimator.update(plant.measure())
    assert state.position == pytest.approx(plant.state().position, abs=0.05)
    assert state.speed == pytest.approx(plant.state().speed, abs=0.1)
    broken = CarMeasurement(np.full(4, np.nan), np.nan, 0.0, np.array([np.nan, 0.0]))
    after = estimator.update(broken)
    assert np.isfinite([*after.position, after.heading, after.speed, after.side_speed, after.turn]).all()


def test_the_rear_axle_slips_outwards_whichever_way_the_car_rolls():
    """As its tyres do: they push against the way they slip, and their push is what the car turns by."""
    estimator, turn = CarEstimator(0.02), 0.25
    for speed in (8.0, -8.0):
        yaw_rate = turn * np.sign(speed)
        estimator.reset(replace(CarPlant(Conditions(), np.random.default_rng(0)).state(), speed=speed))
        state = estimator.update(CarMeasurement(np.full(4, np.nan), yaw_rate, 0.0, None))
        rear = state.side_speed - estimator.car.rear * yaw_rate
        wanted = -abs(speed) * speed * yaw_rate / (estimator.car.cornering * estimator.car.grip)
        assert rear == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "parkin"}, "did you mean 'parking'"),
        ({"conditions": Conditions(payload=5.0)}, "robot car has no --payload"),
        ({"conditions": Conditions(friction=-0.1)}, "must be positive"),
    ],
)
def test_trials_that_can_not_be_meant(options, message):
    with pytest.raises(UsageError, match=message):
        Trial(**{"robot": "car", "task": "track", **options})
