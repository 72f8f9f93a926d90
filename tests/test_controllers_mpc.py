"""The Cartesian MPC: its problem is the one in its docstring, its plans keep their limits and arrive."""

import numpy as np
import pytest

from robotics.controllers.cartesian_mpc import CartesianMPC, resting_at
from robotics.controllers.rotation import log_between, rotated
from robotics.controllers.tasks import Reference
from tests.arm import DOWN

UNTURNED = np.array([1.0, 0, 0, 0])


def written_out_cost(mpc, start, goal, u):
    """The objective of the module's docstring, step by step."""
    s = mpc.settings
    x, v, before, cost = np.zeros(6), start.velocity, start.acceleration, 0.0
    for k, a in enumerate(u.reshape(-1, 6)):
        x, v = x + s.step_s * v + 0.5 * s.step_s**2 * a, v + s.step_s * a
        cost += s.position_weight * np.sum((x - goal) ** 2) + s.velocity_weight * np.sum(v**2)
        cost += s.acceleration_weight * np.sum(a**2) + s.smoothness_weight * np.sum((a - before) ** 2)
        if k == s.horizon - 1:
            cost += s.terminal_velocity_weight * np.sum(v**2)
        before = a
    return cost


def test_condensed_problem_is_the_one_written_out():
    """Same differences of cost, and the same velocities in its rows, for random plans from a moving start."""
    rng = np.random.default_rng(0)
    mpc = CartesianMPC()
    start = Reference(rng.normal(size=3), UNTURNED, 0.2 * rng.normal(size=6), rng.normal(size=6))
    position, quat = rng.normal(size=3), rotated(UNTURNED, rng.normal(size=3))
    qp = mpc.problem(start, resting_at(position, quat))
    goal = np.concatenate([position - start.position, log_between(start.quat, quat)])
    first, second = rng.normal(size=(2, qp.n))
    expected = written_out_cost(mpc, start, goal, first) - written_out_cost(mpc, start, goal, second)
    assert qp.objective(first) - qp.objective(second) == pytest.approx(expected, rel=1e-9)
    velocity = start.velocity + mpc.settings.step_s * np.cumsum(first.reshape(-1, 6), axis=0)
    limit = np.repeat(mpc.settings.max_velocity, 3)
    assert (qp.G @ first - qp.h).reshape(-1, 6) == pytest.approx(velocity - limit)
    assert (qp.g - qp.G @ first).reshape(-1, 6) == pytest.approx(-limit - velocity)


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


def test_without_a_solution_the_plan_stops():
    mpc = CartesianMPC()
    velocity = np.array([0.4, -0.5, 0.0, 1.0, 0.0, -2.0])
    start = Reference(np.zeros(3), UNTURNED, velocity)
    plan = mpc.plan(start, np.full(3, np.nan), UNTURNED)
    assert mpc.solver.faults.nan == 1
    assert (np.abs(plan.accelerations) <= np.repeat(mpc.settings.max_acceleration, 3)).all()
    assert plan.at(10.0).velocity == pytest.approx(np.zeros(6), abs=1e-9)
