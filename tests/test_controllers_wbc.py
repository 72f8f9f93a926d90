"""Whole-body control: its problem against the readable definition, and what it does without a solution."""

import numpy as np
import pytest

from robotics.controllers.cartesian_mpc import CartesianMPC, resting_at
from robotics.controllers.qp.problem import primal_residual, residuals
from robotics.controllers.qp.solvers import solve
from robotics.controllers.tasks import Reference
from robotics.envs.bimanual import BimanualTask
from robotics.envs.robots.aloha import ALOHA
from robotics.errors import UsageError
from tests.arm import DOWN, LEFT_LEVEL, TorqueRobot, random_state, targets


@pytest.mark.parametrize("solver", ["daqp", "piqp"])
def test_problems_of_the_loop_agree_with_the_readable_definition(solver):
    robot = TorqueRobot()
    for _ in range(4):
        robot.run(targets(), 0.2)
        wbc = robot.cerebellum.wbc.problem()
        mpc = CartesianMPC().problem(
            Reference(robot.hand("left"), LEFT_LEVEL), resting_at(np.array([0.0, 0.1, 0.3]), DOWN)
        )
        for qp in (wbc, mpc):
            reference, fast = solve(qp, "cvxpy"), solve(qp, solver)
            scale = 1 + abs(qp.objective(reference.x))
            assert abs(qp.objective(fast.x) - qp.objective(reference.x)) <= 1e-6 * scale
            assert primal_residual(qp, fast.x) <= 1e-6
            assert residuals(qp, fast).within(1e-5 * scale)


@pytest.mark.parametrize("seed", range(4))
def test_torque_and_acceleration_fit_the_equations_of_motion(seed):
    """tau = M v' + h of the nominal model, within the limits of both, from random states at speed."""
    wbc = BimanualTask.make_cerebellum().wbc
    q, v = random_state(wbc.model, seed)
    torque, acceleration = wbc.solve(q, v)
    assert wbc.solver.faults.fallback_ticks == 0
    assert wbc.model.M @ acceleration + wbc.model.h == pytest.approx(torque, abs=1e-4)
    lower, upper = wbc.joint_limits.bounds(wbc.model)
    assert (acceleration <= upper + 1e-4).all()
    assert (acceleration >= lower - 1e-4).all()


def test_fallback_ladder_last_torque_then_damping():
    wbc = BimanualTask.make_cerebellum().wbc
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
    cerebellum = BimanualTask.make_cerebellum()
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


def test_states_of_another_robot():
    cerebellum = BimanualTask.make_cerebellum()
    with pytest.raises(UsageError, match=r"aloha has 14 actuated joints, but positions have shape \(13,\)"):
        cerebellum.torque(np.zeros(13), np.zeros(14))
    with pytest.raises(UsageError, match=r"velocities \(14, 1\)"):
        cerebellum.torque(np.zeros(14), np.zeros((14, 1)))
    with pytest.raises(UsageError, match="14 finite joint positions"):
        cerebellum.reset(np.full(14, np.nan))
