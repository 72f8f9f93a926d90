"""Two hands on one object, and two hands on wheels: what the programs promise, and what the closed loop keeps."""

import math

import numpy as np
import pytest

from robotics.control.bimanual import BimanualSession
from robotics.control.trial import Conditions, Trial
from robotics.controllers.arms import HandTarget
from robotics.controllers.bimanual import BimanualCerebellum
from robotics.controllers.carrying import Grip
from robotics.controllers.encoders import EncoderFilter
from robotics.controllers.grasp import GRAVITY, Held, contact_rows, grasp_matrix, internal, squeeze_of
from robotics.controllers.model import NominalModel
from robotics.controllers.qp.solvers import SOLVERS
from robotics.controllers.rotation import log_between, rotation_matrix
from robotics.controllers.tasks import Reference
from robotics.envs.robots.aloha import ALOHA, SIDES, nominal_model
from robotics.envs.robots.panda import ARM, nominal_arm
from robotics.errors import UsageError
from tests.arm import TorqueRobot, random_state, targets

HALF = (0.07, 0.06, 0.05)
BOX = Held.box(1.0, HALF)
CENTRE, UPRIGHT = np.array([0.02, 0.03, 0.2]), np.array([math.cos(0.1), 0, 0, math.sin(0.1)])


def cerebellum(solver="daqp"):
    return BimanualCerebellum(nominal_model(), ALOHA, solver=solver)


def test_grasp_matrix_sums_forces_and_moments_about_the_centre():
    wrenches = np.random.default_rng(0).normal(size=12)
    (f1, m1, f2, m2), x = wrenches.reshape(4, 3), np.array([HALF[0], 0, 0])
    expected = np.concatenate([f1 + f2, m1 + m2 + np.cross(-x, f1) + np.cross(x, f2)])
    assert grasp_matrix(HALF[0]) @ wrenches == pytest.approx(expected, abs=1e-12)


def test_internal_forces_move_nothing_and_are_what_squeezes():
    assert grasp_matrix(HALF[0]) @ internal(10.0) == pytest.approx(np.zeros(6), abs=1e-12)
    moving = np.linalg.pinv(grasp_matrix(HALF[0])) @ np.random.default_rng(1).normal(size=6)
    assert squeeze_of(moving + internal(10.0)) == pytest.approx(10.0)


def test_contact_rows_allow_nothing_outside_the_friction_cone():
    rows, rng, allowed = contact_rows(BOX), np.random.default_rng(2), 0
    for _ in range(3000):
        wrenches = internal(10.0) + rng.normal(size=12) * np.tile([4, 4, 4, 0.05, 0.05, 0.05], 2)
        if (rows @ wrenches >= 0).all():
            allowed += 1
            for normal, tangential in ((wrenches[0], wrenches[1:3]), (-wrenches[6], wrenches[7:9])):
                assert np.linalg.norm(tangential) <= BOX.friction * normal + 1e-9
    assert allowed > 100
    pulling = internal(-1.0)
    assert (rows @ pulling).min() < 0


def test_greatest_acceleration_is_the_last_that_does_not_slip():
    a = BOX.greatest_acceleration(10.0)
    assert a > 0
    for factor, holds in ((0.999, True), (1.001, False)):
        hand_behind = 10.0 - 0.5 * BOX.mass * factor * a
        lifting = 0.5 * BOX.mass * (GRAVITY + factor * a)
        # both hands lift their half; the one that the object is moved away from presses least
        wrenches = np.array([hand_behind, 0, lifting, 0, 0, 0, -hand_behind, 0, lifting, 0, 0, 0])
        assert ((contact_rows(BOX) @ wrenches).min() >= -1e-9) == holds


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BOX.greatest_acceleration(5.0), "it takes more than"),
        (lambda: Held.box(-1.0, HALF), "positive mass"),
        (lambda: Held.box(1.0, HALF, friction=math.nan), "positive friction"),
        (lambda: Held(1.0, (1.0, math.inf, 1.0), 0.1), "moments of inertia"),
        (lambda: BimanualCerebellum(nominal_arm(), ARM), "two hands hold an object"),
        (lambda: Trial("bimanual", "juggle"), "carry"),
        (lambda: BimanualSession(Trial("bimanual", "carry", seconds=2.0)), "--seconds 2"),
    ],
)
def test_what_can_not_be_is_said(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def test_encoder_filter_knows_speeds_better_than_differences_of_counts():
    period, count = 0.002, 2 * np.pi / 4096
    t = np.arange(0, 4, period)
    q, v, a = 0.3 * np.sin(t), 0.3 * np.cos(t), -0.3 * np.sin(t)
    filtered = EncoderFilter(np.array([count]), np.array([3.0]), period)
    measured = np.round(q / count) * count
    speeds = np.array([filtered.update(np.array([m]), np.array([x]))[1][0] for m, x in zip(measured, a, strict=True)])
    late = slice(500, None)
    rms = np.sqrt(np.mean((speeds - v)[late] ** 2))
    assert rms < 0.1 * np.sqrt(np.mean((np.gradient(measured, period) - v)[late] ** 2))
    assert filtered.update(np.array([math.nan]), np.array([math.inf]))[0] == pytest.approx(filtered.q)
    assert np.isfinite(filtered.v).all()


def held_model(seed=3):
    """The robot with both hands level, and its grip on a box between them, moved a little since."""
    controller = cerebellum()
    robot = TorqueRobot(controller)
    robot.run(targets(left=(-0.11, 0, 0.2), right=(0.11, 0, 0.2)), 1.0)
    model, rng = controller.model, np.random.default_rng(seed)
    q = robot.data.qpos[robot.q].copy()
    model.update(q, np.zeros(14))
    grip = Grip(model, SIDES, BOX, CENTRE, UPRIGHT)
    return model, grip, q + 0.02 * rng.normal(size=14), rng


def test_object_jacobian_and_drift_are_derivatives_of_its_pose():
    model, grip, q, rng = held_model()
    # of a motion that both hands share, as an object forces it on them
    model.update(q, np.zeros(14))
    k, h = grip.kinematics(model), 1e-5
    v = np.linalg.lstsq(k.contacts, grasp_matrix(HALF[0]).T @ rng.normal(size=6), rcond=None)[0]
    model.update(q, v)
    k = grip.kinematics(model)

    def moved(t):
        model.update(q + t * v, v)
        return grip.kinematics(model)

    before, after = moved(-h), moved(h)
    rate = np.concatenate([after.position - before.position, log_between(before.quat, after.quat)]) / (2 * h)
    assert k.jacobian @ v == pytest.approx(rate, abs=1e-5)
    drift = (after.jacobian - before.jacobian) @ v / (2 * h)
    assert k.drift == pytest.approx(drift, abs=1e-4 * max(1.0, np.abs(drift).max()))


def test_contacts_of_a_rigid_motion_are_those_of_the_grasp_matrix():
    model, grip, q, rng = held_model()
    model.update(q, rng.normal(size=14))
    k = grip.kinematics(model)
    back = rotation_matrix(k.quat).T
    turned = np.concatenate([back @ k.jacobian[:3], back @ k.jacobian[3:]])
    # mean of what both contacts do, at the centre: true of any motion, for the parts that do not tilt the line
    assert 0.5 * (k.contacts[3:6] + k.contacts[9:]) == pytest.approx(turned[3:], abs=1e-12)


def gripping(solver="daqp"):
    """A controller that holds a box at rest, and the state it is in."""
    controller = cerebellum(solver)
    robot = TorqueRobot(controller)
    robot.run(targets(left=(-0.087, 0, 0.2), right=(0.087, 0, 0.2)), 1.0)
    q = robot.data.qpos[robot.q].copy()
    controller.model.update(q, np.zeros(14))
    controller.grasp(BOX, np.array([0, 0, 0.2]), np.array([1.0, 0, 0, 0]))
    for _ in range(400):  # until squeeze and weight are all there
        controller.torque(q, np.zeros(14))
    return controller, q


def test_at_rest_the_hands_lift_the_weight_and_squeeze_as_told():
    controller, q = gripping()
    torque, acceleration = controller.torque(q, np.zeros(14))
    wrenches, model = controller._carrier.wrenches, controller.model
    assert wrenches[2] + wrenches[8] == pytest.approx(BOX.mass * GRAVITY, rel=1e-2)
    assert squeeze_of(wrenches) == pytest.approx(10.0, abs=0.1)
    assert (contact_rows(BOX) @ wrenches).min() > -1e-6
    assert np.abs(acceleration).max() < 0.5
    J = controller._grip.kinematics(model).contacts
    free = model.M @ acceleration + model.h + J.T @ wrenches
    assert torque == pytest.approx(free, abs=2.5)  # but for the friction that it foresees


def test_the_objects_equation_of_motion_holds_whatever_it_is_told():
    controller, q = gripping()
    rng = np.random.default_rng(5)
    for _ in range(20):
        controller._object.reference = Reference(
            rng.normal([0, 0, 0.2], 0.02), np.array([1.0, 0, 0, 0]), rng.normal(0, 0.1, 6), rng.normal(0, 1.0, 6)
        )
        v = rng.normal(0, 0.1, 14)
        torque, acceleration = controller._carrier.solve(q, v)
        k = controller._carrier._kinematics
        moving = k.jacobian @ acceleration + k.drift
        force = BOX.mass * rotation_matrix(k.quat).T @ (moving[:3] + [0, 0, GRAVITY])
        wrenches = controller._carrier.wrenches
        assert wrenches[:3] + wrenches[6:9] == pytest.approx(force, abs=1e-6)
        assert (contact_rows(BOX) @ wrenches).min() > -1e-6
        assert (np.abs(torque) <= controller.model.torque_upper + 1e-9).all()
    assert controller.faults.as_dict()["fallback_ticks"] == 0


def test_every_solver_finds_the_same_optimum():
    controller, q = gripping()
    controller._object.reference.acceleration[:] = [0.4, -0.3, 0.5, 0.2, -0.1, 0.3]
    controller.torque(q, np.random.default_rng(6).normal(0, 0.05, 14))
    qp = controller._carrier.problem()
    objectives = {}
    for name in SOLVERS:
        other = cerebellum(name)
        y = other.wbc.solver.solve(qp)
        objectives[name] = 0.5 * y @ qp.P @ y + qp.q @ y
    assert max(objectives.values()) - min(objectives.values()) < 1e-6 * abs(objectives["cvxpy"])


def test_states_that_are_no_numbers_get_a_finite_torque_within_limits():
    controller, q = gripping()
    model = controller.model
    for q_bad, v_bad in ((np.full(14, np.nan), np.zeros(14)), (q, np.full(14, np.inf)), (q + 1e7, np.zeros(14))):
        torque, _ = controller.torque(q_bad, v_bad)
        assert np.isfinite(torque).all()
        assert (np.abs(torque) <= model.torque_upper + 1e-9).all()
    assert controller.faults.nan == 3
    after, _ = controller.torque(q, np.zeros(14))
    assert np.isfinite(after).all()


@pytest.fixture(scope="module")
def carried():
    session = BimanualSession(Trial("bimanual", "carry", seconds=6.0, seed=2))
    while session.now < 6.0 and not session.fell():
        session.tick()
    return session


def test_a_box_of_one_kilogram_is_carried_along_its_path(carried):
    result = carried.results()
    assert not carried.fell()
    assert result["position_max"] < 3e-3
    assert result["tracking_rms"]["orientation"] < 0.01
    assert carried.limits_exceeded == 0
    assert carried.faults() == {"qp_infeasible": 0, "fallback_ticks": 0, "nan": 0}
    assert carried.plant.forces()["table"] == pytest.approx(np.zeros(3))  # it is in the air
    assert carried.data.body("box").xpos[2] > 0.15


def test_it_is_squeezed_with_ten_newtons_and_they_are_felt(carried):
    squeeze = carried.results()["squeeze"]
    assert squeeze["min"] > 8.0
    assert squeeze["max"] < 12.0
    assert squeeze["felt_rms_error"] < 1.5


def test_let_go_the_hands_stay_where_they_are(carried):
    controller = carried.controller
    before = {side: carried.plant.hand(side)[0] for side in SIDES}
    controller.release()
    assert not controller.holding
    assert controller.felt_squeeze() == 0.0
    for _ in range(150):
        torque, _ = controller.torque(*carried.plant.truth())
        carried.plant.step(torque)
    for side in SIDES:
        assert carried.plant.hand(side)[0] == pytest.approx(before[side], abs=0.01)
    assert carried.data.body("box").xpos[2] < 0.1  # it fell


def test_a_box_that_is_three_times_as_heavy_slips_and_that_is_seen():
    session = BimanualSession(Trial("bimanual", "carry", seconds=6.0, conditions=Conditions(payload=2.0)))
    while session.now < 6.0 and not session.fell():
        session.tick()
    assert session.fell() or session.results()["position_max"] > 0.05


def test_hands_without_an_object_go_where_they_are_told():
    controller = cerebellum()
    robot = TorqueRobot(controller)
    goal = targets()
    robot.run(goal, 1.5)
    for side in SIDES:
        assert robot.hand(side) == pytest.approx(goal[side].position, abs=5e-3)
    with pytest.raises(UsageError, match="not finite"):
        controller.plan({"left": HandTarget(np.full(3, np.nan), UPRIGHT, 0.01)})


def test_random_states_never_break_a_torque_limit():
    controller, _ = gripping()
    model = controller.model
    for seed in range(30):
        torque, _ = controller._carrier.solve(*random_state(NominalModel(nominal_model(), ALOHA), seed))
        assert np.isfinite(torque).all()
        assert (torque <= model.torque_upper + 1e-9).all()
        assert (torque >= model.torque_lower - 1e-9).all()
