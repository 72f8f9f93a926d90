"""Locomotion: identities of its parts, the problems against their readable definition, and the robot on its feet."""

import dataclasses

import mujoco
import numpy as np
import pytest

from robotics.control.legged import LeggedPlant, LeggedSession
from robotics.control.run import run_trial
from robotics.control.session import beyond_limits
from robotics.control.trial import Conditions, Trial
from robotics.controllers.legged.estimator import LeggedEstimator, LeggedMeasurement
from robotics.controllers.legged.gaits import GAITS, Gait, gait
from robotics.controllers.legged.locomotion import Locomotion, Twist
from robotics.controllers.legged.model import FloatingBaseModel, LeggedState
from robotics.controllers.legged.srbd_mpc import GRAVITY, Body, Horizon, SrbdMPC
from robotics.controllers.legged.swing import swing
from robotics.controllers.legged.terrain import GroundPlane
from robotics.controllers.qp.problem import primal_residual
from robotics.controllers.qp.solvers import solve
from robotics.controllers.rotation import rotated, rotation_matrix
from robotics.envs.robots.quadruped import QUADRUPED, nominal_quadruped
from robotics.errors import UsageError


@pytest.fixture(scope="module")
def model() -> FloatingBaseModel:
    return FloatingBaseModel(nominal_quadruped(), QUADRUPED)


def random_state(model, seed) -> LeggedState:
    rng = np.random.default_rng(seed)
    quat = rotated(np.array([1.0, 0, 0, 0]), 0.3 * rng.normal(size=3))
    joints = np.array(QUADRUPED.home) + 0.2 * rng.normal(size=12)
    return LeggedState(rng.normal(size=3), quat, rng.normal(size=3), rng.normal(size=3), joints, rng.normal(size=12))


def moved(state, nu, step) -> LeggedState:
    """`state` after moving with generalised velocity `nu` for `step` seconds (first order)."""
    quat = rotated(state.quat, rotation_matrix(state.quat) @ nu[3:6] * step)
    return LeggedState(
        state.position + nu[:3] * step, quat, state.velocity, state.angular_velocity, state.q + nu[6:] * step, state.v
    )


# -- gaits and swings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GAITS)
def test_feet_stand_for_their_share_of_the_period(name):
    walk = gait(name)
    times = np.linspace(0, walk.period_s, 2000, endpoint=False)
    assert np.mean([walk.in_stance(t) for t in times], axis=0) == pytest.approx(np.full(4, walk.duty), abs=2e-3)
    for t in times[::50]:
        standing = walk.in_stance(t)
        instant = walk.at(t)
        assert (instant.stance == standing).all()
        landing = np.array(instant.time_to_touchdown)
        assert (np.array(instant.swing_progress)[standing] == 0).all()
        assert (landing[standing] == 0).all()
        assert not landing.any() or walk.in_stance(t + landing.max() + 1e-6)[np.argmax(landing)]


def test_trot_moves_diagonal_pairs():
    trot = gait("trot")
    for t in np.linspace(0, 1, 50):
        front_left, front_right, rear_left, rear_right = trot.in_stance(t)
        assert front_left == rear_right
        assert front_right == rear_left


def test_gaits_that_can_not_be():
    with pytest.raises(UsageError, match="did you mean 'trot'"):
        gait("trott")
    with pytest.raises(UsageError, match="make no gait"):
        Gait("limp", 0.0, 0.5, (0,))


def test_swing_starts_and_ends_at_rest_where_it_should():
    start, end = [0.0, 0.0, 0.0], [0.2, -0.1, 0.05]
    for s, place in ((0.0, start), (1.0, end)):
        position, velocity, acceleration = swing(start, end, s, 0.2, 0.08)
        assert position == pytest.approx(place, abs=1e-12)
        assert velocity == pytest.approx([0, 0, 0], abs=1e-9)
        assert acceleration == pytest.approx([0, 0, 0], abs=1e-9)
    middle, _, _ = swing(start, end, 0.5, 0.2, 0.08)
    assert middle[2] == pytest.approx(0.025 + 0.08)


def test_swing_derivatives_by_finite_differences():
    start, end = [0.1, 0.2, 0.0], [0.3, 0.1, 0.04]
    duration, step = 0.18, 1e-6
    for s in (0.1, 0.37, 0.5, 0.8):
        position, velocity, acceleration = map(np.array, swing(start, end, s, duration, 0.08))
        ahead, faster, _ = map(np.array, swing(start, end, s + step / duration, duration, 0.08))
        assert velocity == pytest.approx((ahead - position) / step, abs=1e-3)
        assert acceleration == pytest.approx((faster - velocity) / step, abs=2e-2)


# -- model ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_foot_jacobians_by_finite_differences(model, seed):
    state = random_state(model, seed)
    model.update(state)
    J, feet, data = model.foot_jacobians.copy(), model.feet.copy(), model.data
    calves = [model.model.body(f"{leg}_calf").id for leg in QUADRUPED.feet]

    def pose(calf):
        return data.xpos[calf].copy(), data.xmat[calf].reshape(3, 3).copy()

    # the same material point of each calf before and after: the lowest point of a ball is another one when it rolls
    inside = [R.T @ (foot - p) for foot, (p, R) in zip(feet, map(pose, calves), strict=True)]
    for column in range(18):
        model.update(moved(state, np.eye(18)[column], 1e-6))
        after = np.array([p + R @ point for point, (p, R) in zip(inside, map(pose, calves), strict=True)])
        assert J[:, :, column] == pytest.approx((after - feet) / 1e-6, abs=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_momentum_and_composite_inertia_against_the_bodies(model, seed):
    """The sums over all bodies that the mass matrix hides."""
    state = random_state(model, seed)
    model.update(state)
    raw, data = model.model, model.data
    mujoco.mj_subtreeVel(raw, data)
    base = raw.joint("base").id
    body = int(raw.jnt_bodyid[base])
    assert model.com_velocity == pytest.approx(data.subtree_linvel[body], abs=1e-9)
    inertia = np.zeros((3, 3))
    for link in range(1, raw.nbody):
        R = data.ximat[link].reshape(3, 3)
        arm = data.xipos[link] - model.com
        inertia += R @ np.diag(raw.body_inertia[link]) @ R.T
        inertia += raw.body_mass[link] * (arm @ arm * np.eye(3) - np.outer(arm, arm))
    assert model.R @ model.composite_inertia() @ model.R.T == pytest.approx(inertia, abs=1e-9)


def test_a_foot_that_rolls_wanders_by_its_radius(model):
    """The lowest point of a ball moves along with its centre, whose velocity MuJoCo knows."""
    state = random_state(model, 0)
    model.update(state)
    for number, leg in enumerate(QUADRUPED.feet):
        velocity = np.empty(6)
        foot = model.model.geom(leg).id
        mujoco.mj_objectVelocity(model.model, model.data, mujoco.mjtObj.mjOBJ_GEOM, foot, velocity, 0)
        material = model.foot_jacobians[number] @ model.nu
        assert model.rolling_velocities()[number, :2] == pytest.approx((velocity[3:] - material)[:2], abs=1e-9)


def test_a_robot_without_what_it_needs_is_told_so():
    for change, message in (
        ({"base": "bsae"}, "did you mean 'base'"),
        ({"base": "FL_hip"}, "no free joint"),
        ({"feet": ("FL", "FR", "RL", "RL_foot")}, "unknown foot"),
    ):
        with pytest.raises(UsageError, match=message):
            FloatingBaseModel(nominal_quadruped(), dataclasses.replace(QUADRUPED, **change))


def test_legs_on_the_moon_are_refused():
    """Half of their numbers take 9.81 m/s^2 for granted: steps, forces, estimates."""
    moon = nominal_quadruped()
    moon.opt.gravity[2] = -1.62
    with pytest.raises(UsageError, match=r"gravity is 0 0 -1\.62"):
        FloatingBaseModel(moon, QUADRUPED)


# -- ground and estimate --------------------------------------------------------------------------------------------


def test_ground_plane_finds_the_slope_it_stands_on():
    corners = np.array([[0.2, 0.15, 0], [0.2, -0.15, 0], [-0.2, 0.15, 0], [-0.2, -0.15, 0]])
    slope = np.array([0.2, -0.1])
    plane = GroundPlane(corners)
    plane.stand([0, 1, 2, 3], corners + np.outer(corners[:, :2] @ slope, [0, 0, 1]))
    for _ in range(60):
        plane.fit()
    assert plane.slope == pytest.approx(slope, abs=5e-3)
    assert plane.height_at(1.0, 1.0) == pytest.approx(0.1, abs=1e-2)
    normal = rotation_matrix(plane.orientation(0.7))[:, 2]
    assert normal == pytest.approx(np.array([-0.2, 0.1, 1.0]) / np.linalg.norm([0.2, 0.1, 1.0]), abs=5e-3)


def test_ground_plane_does_not_believe_feet_in_a_line_or_an_abyss():
    plane = GroundPlane(np.array([[0.2, 0, 0], [0.1, 0, 0], [-0.1, 0, 0], [-0.2, 0, 0]]))
    plane.stand([0], np.array([[0.2, 0, -5.0]] * 4))
    for _ in range(100):
        plane.fit()
    assert np.abs(plane.slope).max() <= GroundPlane.STEEPEST


def test_estimate_of_a_robot_that_stands_and_falls_freely():
    """Standing still it stays; in free fall, feet off, it follows gravity exactly."""
    home = FloatingBaseModel(nominal_quadruped(), QUADRUPED).home()
    estimator = LeggedEstimator(nominal_quadruped(), QUADRUPED, 0.002)
    estimator.reset(home)
    still = LeggedMeasurement(home.quat, np.zeros(3), np.array([0, 0, 9.81]), home.q, home.v)
    for _ in range(500):
        state = estimator.update(still, np.ones(4, bool))
    assert state.velocity == pytest.approx(np.zeros(3), abs=1e-3)
    assert state.position == pytest.approx(home.position, abs=1e-3)
    falling = dataclasses.replace(still, accelerometer=np.zeros(3))
    for _ in range(50):
        state = estimator.update(falling, np.zeros(4, bool))
    assert state.velocity[2] == pytest.approx(-9.81 * 0.1, rel=0.05)


def test_a_measurement_that_is_no_number_leaves_the_filter_alone():
    home = FloatingBaseModel(nominal_quadruped(), QUADRUPED).home()
    estimator = LeggedEstimator(nominal_quadruped(), QUADRUPED, 0.002)
    good = LeggedMeasurement(home.quat, np.zeros(3), np.array([0, 0, 9.81]), home.q, home.v)
    before = estimator.update(good, np.ones(4, bool))
    broken = estimator.update(dataclasses.replace(good, gyro=np.full(3, np.nan)), np.ones(4, bool))
    assert not broken.is_finite()
    after = estimator.update(good, np.ones(4, bool))
    assert after.position == pytest.approx(before.position, abs=1e-4)


def test_estimated_velocity_follows_the_truth_while_trotting():
    document = run_trial(Trial("quadruped", "trot", Twist(vx=0.8, wz=0.5), seconds=3.0))
    assert document["state"] == "estimated"
    assert max(document["estimate_rms"]) < 0.06


# -- convex MPC -----------------------------------------------------------------------------------------------------


def random_problem(seed, standing=None) -> tuple[Body, Horizon]:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(3, 3))
    body = Body(
        mass=15.0,
        inertia=0.2 * np.eye(3) + 0.02 * root @ root.T,
        angles=0.1 * rng.normal(size=3),
        com=np.array([0.3, -0.2, 0.27]),
        angular_velocity=0.3 * rng.normal(size=3),
        velocity=0.3 * rng.normal(size=3),
    )
    N = 10
    stance = np.array([gait("trot").in_stance(0.03 * (k + 0.5)) for k in range(N)]) if standing is None else standing
    feet = body.com + np.array([[0.2, 0.14, -0.27], [0.2, -0.14, -0.27], [-0.2, 0.14, -0.27], [-0.2, -0.14, -0.27]])
    zeros, angles = np.zeros((N, 3)), np.zeros((N, 3))
    if standing is None:
        angles[:, 2] = rng.uniform(-1, 1) + 0.05 * np.arange(N)
    return body, Horizon(angles, np.tile(body.com, (N, 1)), zeros, zeros, np.repeat(feet[None], N, axis=0), stance)


@pytest.mark.parametrize("seed", range(3))
def test_condensed_cost_is_that_of_integrating_step_by_step(seed):
    """Differences of the objective between random force plans against a plain simulation of the model."""
    body, horizon = random_problem(seed)
    mpc = SrbdMPC()
    qp, s = mpc.problem(body, horizon), mpc.settings
    steps, feet = np.nonzero(horizon.stance)
    yaw = horizon.angles[:, 2].mean()
    Rz = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])

    def cost(u):
        forces = u.reshape(-1, 3) * body.mass * GRAVITY
        angles, position = body.angles.copy(), body.com.copy()
        turning, velocity = body.angular_velocity.copy(), body.velocity.copy()
        total = s.force_weight * float(u @ u)
        for k in range(s.horizon):
            path = body.com + (k + 0.5) * s.step_s * horizon.velocities[k]
            torque, force = np.zeros(3), np.zeros(3)
            for f, step, foot in zip(forces, steps, feet, strict=True):
                if step == k:
                    torque += np.cross(horizon.feet[k, foot] - path, f)
                    force += f
            alpha, a = np.linalg.solve(body.inertia, torque), force / body.mass - [0, 0, GRAVITY]
            angles += s.step_s * Rz @ turning + 0.5 * s.step_s**2 * Rz @ alpha
            position += s.step_s * velocity + 0.5 * s.step_s**2 * a
            turning, velocity = turning + s.step_s * alpha, velocity + s.step_s * a
            total += np.array([s.tilt_weight, s.tilt_weight, s.yaw_weight]) @ (angles - horizon.angles[k]) ** 2
            total += np.array(s.position_weight) @ (position - horizon.positions[k]) ** 2
            total += np.array(s.angular_velocity_weight) @ turning**2 + np.array(s.velocity_weight) @ velocity**2
        return total

    rng = np.random.default_rng(seed)
    plans = rng.uniform(0, 0.5, (4, qp.n))
    for u in plans[1:]:
        assert qp.objective(u) - qp.objective(plans[0]) == pytest.approx(cost(u) - cost(plans[0]), rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_mpc_against_the_readable_definition(seed):
    qp = SrbdMPC().problem(*random_problem(seed))
    reference = solve(qp, "cvxpy")
    for name in ("daqp", "piqp"):
        fast = solve(qp, name)
        assert abs(qp.objective(fast.x) - qp.objective(reference.x)) <= 1e-6 * (1 + abs(qp.objective(reference.x)))
        assert primal_residual(qp, fast.x) <= 1e-6


def test_standing_still_takes_the_weight_and_no_more():
    body, horizon = random_problem(0, standing=np.ones((10, 4), bool))
    still = Body(body.mass, body.inertia, np.zeros(3), body.com, np.zeros(3), np.zeros(3))
    forces = SrbdMPC().forces(still, horizon)
    assert forces.sum(axis=0) == pytest.approx([0, 0, body.mass * GRAVITY], rel=0.05, abs=1.0)
    assert np.cross(horizon.feet[0] - body.com, forces).sum(axis=0) == pytest.approx(np.zeros(3), abs=0.5)


@pytest.mark.parametrize("seed", range(5))
def test_planned_forces_stay_in_the_friction_pyramid_and_off_feet_in_the_air(seed):
    body, horizon = random_problem(seed)
    forces, mu = SrbdMPC().forces(body, horizon), SrbdMPC().settings.friction
    assert (forces[~horizon.stance[0]] == 0).all()
    assert (np.abs(forces[:, :2]) <= mu * forces[:, 2:] + 1e-6).all()


def test_nobody_stands_nobody_pushes():
    body, horizon = random_problem(0, standing=np.zeros((10, 4), bool))
    assert not SrbdMPC().forces(body, horizon).any()


# -- closed loop ----------------------------------------------------------------------------------------------------


def test_whole_body_problem_obeys_the_dynamics_and_agrees_with_the_definition(model):
    controller = Locomotion(nominal_quadruped(), QUADRUPED)
    plant = LeggedPlant(Conditions())
    plant.place(controller.model.home(), np.random.default_rng(0))
    controller.reset(plant.state())
    controller.walk("trot", Twist(vx=0.5))
    for tick in range(700):
        plant.step(controller.torque(plant.state()))
        if tick in (50, 300, 690):
            body = controller._body_target(0.3, 0j, 0.0)
            qp = controller.wbc.problem(controller._stance, controller._forces, body, controller._foot_targets())
            fast, reference = solve(qp, "daqp"), solve(qp, "cvxpy")
            assert abs(qp.objective(fast.x) - qp.objective(reference.x)) <= 1e-6 * (1 + abs(qp.objective(reference.x)))
            assert np.abs(qp.A @ fast.x - qp.b).max() < 1e-6


@pytest.mark.parametrize(
    ("task", "twist", "tolerance", "state"),
    [
        ("stand", Twist(), 0.02, "estimated"),
        ("trot", Twist(vx=0.5), 0.05, "truth"),
        ("trot", Twist(vx=1.0), 0.06, "estimated"),
        ("trot", Twist(vx=-0.4), 0.05, "estimated"),
        ("trot", Twist(vy=0.4, wz=1.0), 0.1, "estimated"),
        ("walk", Twist(vx=0.3), 0.06, "estimated"),
        ("walk", Twist(vx=0.8), 0.06, "estimated"),
    ],
)
def test_it_goes_where_it_is_told(task, twist, tolerance, state):
    document = run_trial(Trial("quadruped", task, twist, seconds=3.0, state=state))
    assert not document["fell"]
    assert document["velocity_mean"] == pytest.approx([twist.vx, twist.vy, twist.wz], abs=tolerance)
    assert document["limits_exceeded"] == 0
    assert document["faults"] == {"qp_infeasible": 0, "fallback_ticks": 0, "nan": 0}


@pytest.mark.parametrize(
    ("task", "vx"), [("pace", 0.5), ("pace", 1.0), ("bound", 0.3), ("bound", 1.0), ("gallop", 0.3)]
)
def test_gaits_that_swing_the_body_keep_its_height(task, vx):
    """A body may also hop on straight legs, as fast and far too high: at a shorter period it does."""
    document = run_trial(Trial("quadruped", task, Twist(vx=vx), seconds=4.0))
    assert not document["fell"]
    assert document["velocity_mean"][0] == pytest.approx(vx, abs=0.06 + 0.06 * vx)
    assert abs(document["height_error"]) < 0.04


def test_it_paces_on_when_it_is_pushed():
    document = run_trial(Trial("quadruped", "pace", Twist(vx=1.0), seconds=3.5, conditions=Conditions(push=20.0)))
    assert not document["fell"]


@pytest.mark.parametrize(
    "conditions",
    [{"push": 15.0}, {"payload": 8.0}, {"slope": 0.2}, {"slope": -0.2}, {"delay_s": 0.004}, {"friction": 0.5}],
)
def test_it_stays_on_its_feet_when_the_world_is_not_as_believed(conditions):
    document = run_trial(Trial("quadruped", "trot", Twist(vx=0.4), seconds=3.5, conditions=Conditions(**conditions)))
    assert not document["fell"]
    # A push itself may turn joints faster than their motors can; nothing else does
    assert document["limits_exceeded"] <= (3 if "push" in conditions else 0)


def test_a_push_is_what_was_asked_for():
    plant = LeggedPlant(Conditions(push=12.0, push_at_s=0.1, push_towards=0.0))
    given = 0.0
    for _ in range(200):
        plant.step(np.zeros(12))
        given += plant.data.xfrc_applied[plant._base, 0] * 0.002
    assert given == pytest.approx(12.0)


def test_beyond_its_limits_is_not_only_a_torque():
    model = FloatingBaseModel(nominal_quadruped(), QUADRUPED)
    still = np.zeros(12), np.array(QUADRUPED.home), np.zeros(12)
    assert not beyond_limits(model, *still)
    for number, most in enumerate((model.torque_upper, model.position_upper, model.velocity_limit)):
        over = [part.copy() for part in still]
        over[number][3] = most[3] + 1e-3
        assert beyond_limits(model, *over)


@pytest.mark.parametrize("terrain", ["flat", "boxes"])
def test_height_is_from_where_the_feet_touch(terrain):
    plant = LeggedPlant(Conditions(terrain=terrain))
    model = FloatingBaseModel(nominal_quadruped(), QUADRUPED)
    plant.place(model.home(), np.random.default_rng(0))
    assert plant.height() == pytest.approx(model.home().position[2], abs=0.01)


def test_a_simulation_that_began_anew_has_failed():
    """MuJoCo resets what diverges, and a robot that stands at its start again looks well."""
    session = LeggedSession(Trial("quadruped", "stand", seconds=0.1))
    session.data.qvel[:] = np.nan
    assert run_trial(Trial("quadruped", "stand", seconds=0.1), session=session)["fell"]


def test_an_unknown_payload_is_carried_at_the_height_of_none():
    document = run_trial(Trial("quadruped", "stand", seconds=5.0, conditions=Conditions(payload=8.0)))
    assert document["tracking_rms"]["height"] < 0.02


def test_the_same_trial_twice_gives_the_same_numbers():
    first, second = (run_trial(Trial("quadruped", "trot", Twist(vx=0.3), seconds=1.0)) for _ in range(2))
    assert first["velocity_mean"] == second["velocity_mean"]


def test_a_state_that_is_no_number_gives_a_safe_torque_and_is_counted():
    controller = Locomotion(nominal_quadruped(), QUADRUPED)
    state = controller.model.home()
    controller.reset(state)
    broken = LeggedState(state.position * np.nan, state.quat, state.velocity, state.angular_velocity, state.q, state.v)
    torque = controller.torque(broken)
    assert np.isfinite(torque).all()
    assert controller.faults.nan == 1
    assert np.isfinite(controller.torque(state)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"robot": "quadrupd"}, "did you mean 'quadruped'"),
        ({"task": "gallopp"}, "unknown task of quadruped"),
        ({"seconds": 0.0}, "--seconds 0.0"),
        ({"twist": Twist(vx=float("nan"))}, "--vx nan"),
        ({"task": "stand", "twist": Twist(vx=1.0)}, "takes no velocity"),
        ({"conditions": Conditions(payload=-1.0)}, "must not be negative"),
        ({"state": "guessed"}, "unknown state 'guessed'"),
        ({"conditions": Conditions(terrain="stars")}, "did you mean 'stairs'"),
        ({"conditions": Conditions(terrain="stairs", slope=0.1)}, "--terrain stairs is level: leave out --slope"),
        ({"seconds": 2.0, "conditions": Conditions(push=9.0)}, "--push 9 comes after 2 s: --seconds 2 ends before it"),
    ],
)
def test_trials_that_can_not_be_meant(options, message):
    with pytest.raises(UsageError, match=message):
        Trial(**{"robot": "quadruped", "task": "trot", **options})
