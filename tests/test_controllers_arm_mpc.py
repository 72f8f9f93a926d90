"""Trajectories of whole arms: met targets cost nothing, constraints hold ahead, and nothing is impossible."""

import numpy as np
import pytest

from robotics.controllers.arm_mpc import ArmMPC
from robotics.controllers.cartesian_mpc import resting_at
from robotics.controllers.limits import CollisionMargin, pairs_between
from robotics.controllers.qp.problem import primal_residual
from robotics.controllers.qp.solvers import solve
from robotics.envs.robots.panda import ARM, arm_scene, nominal_arm

HOME = np.array(ARM.home)


@pytest.fixture(scope="module")
def mpc():
    return ArmMPC(nominal_arm(), ARM)


def home_pose(mpc):
    mpc.model.move(HOME)
    return mpc.model.pose("hand")


def driven(mpc, motion, seconds, start=HOME):
    """The plans of a robot that does exactly as planned, one every 20 ms."""
    plans = [mpc.rest(start)]
    for _ in range(round(seconds / 0.02)):
        plans.append(mpc.follow(plans[-1], 0.02, {"hand": motion}))
    return plans


def hand_at(mpc, plan, t=0.0):
    mpc.model.move(plan.joints(t)[0])
    return mpc.model.pose("hand")[0]


def test_a_hand_at_its_target_stays(mpc):
    plan = driven(mpc, resting_at(*home_pose(mpc)), 0.1)[-1]
    assert plan.u == pytest.approx(np.zeros_like(plan.u), abs=1e-6)
    assert plan.q == pytest.approx(np.tile(HOME, (len(plan.q), 1)), abs=1e-6)


def test_trajectories_are_what_their_accelerations_make_of_them(mpc):
    """Position, velocity and acceleration between the nodes against each other, by finite differences."""
    position, quat = home_pose(mpc)
    plan = driven(mpc, resting_at(position + [0.1, 0.2, 0.1], quat), 0.1)[-1]
    h = 1e-5
    for t in (0.013, 0.049, 0.075, 0.31, 0.449):
        (before, slow, _), (_, v, u), (after, fast, _) = (plan.joints(x) for x in (t - h, t, t + h))
        assert (after - before) / (2 * h) == pytest.approx(v, abs=1e-6)
        assert (fast - slow) / (2 * h) == pytest.approx(u, abs=1e-3)


@pytest.mark.parametrize("away", [(0.2, 0.2, 0.1), (0.1, -0.4, -0.1), (2.0, 0.0, 0.5), (-1.5, 2.0, 3.0)])
def test_plans_keep_speeds_ranges_and_torques(mpc, away):
    """Also for targets that are out of reach; and those in reach are met."""
    position, quat = home_pose(mpc)
    m, s, arm = mpc.model, mpc.settings, mpc.moving
    plans = driven(mpc, resting_at(position + away, quat), 2.0)
    for plan in plans:
        q, v, u = plan.joints(0.0)
        assert (q >= m.position_lower - 1e-3)[arm].all()
        assert (q <= m.position_upper + 1e-3)[arm].all()
        assert (np.abs(v) <= 1.1 * m.velocity_limit)[arm].all()  # soft, and only at the nodes
        assert (np.abs(u) <= s.max_joint_acceleration + 1e-6).all()
        m.update(q, v)
        assert np.abs(m.jacobian("hand") @ v)[:3].max() <= 1.15 * s.max_velocity[0]  # soft, and linearised
        assert (m.M @ u + m.h <= m.torque_upper)[arm].all()
        assert (m.M @ u + m.h >= m.torque_lower)[arm].all()
    assert mpc.solver.faults.as_dict() == {"qp_infeasible": 0, "fallback_ticks": 0, "nan": 0}
    if np.linalg.norm(away) < 0.5:
        assert hand_at(mpc, plans[-1]) == pytest.approx(position + away, abs=2e-3)


@pytest.mark.parametrize("solver", ["daqp", "piqp"])
def test_fast_path_against_the_readable_definition(mpc, solver):
    position, quat = home_pose(mpc)
    motion = resting_at(position + [0.1, 0.4, 0.1], quat)
    for plan in driven(mpc, motion, 0.3)[::4]:
        qp = mpc.problem(plan, 0.02, {"hand": motion})
        fast, reference = solve(qp, solver), solve(qp, "cvxpy")
        scale = 1 + abs(qp.objective(reference.x))
        assert abs(qp.objective(fast.x) - qp.objective(reference.x)) <= 1e-6 * scale
        assert primal_residual(qp, fast.x) <= 1e-6


def round_a_ball(ball):
    """The way of the hand from home to 30 cm to its left, with the ball half way; the distances that it kept."""
    scene = arm_scene()
    mpc = ArmMPC(nominal_arm(), ARM)
    position, quat = home_pose(mpc)
    if ball:
        scene.worldbody.add_geom(name="ball", size=[0.05, 0, 0], pos=position + [0.0, 0.15, 0.01])
    model = scene.compile()
    if ball:
        margin = CollisionMargin(pairs_between(model, ["palm", "link7_0", "finger1", "finger2"], ["ball"]), 0.02)
        mpc = ArmMPC(model, ARM, margin)
    plans = driven(mpc, resting_at(position + [0, 0.3, 0], quat), 3.0)
    hands = np.array([hand_at(mpc, plan) for plan in plans])
    return hands, position, mpc.solver.faults


def test_the_arm_goes_round_a_ball_and_gets_there():
    hands, position, faults = round_a_ball(ball=True)
    assert hands[-1] == pytest.approx(position + [0, 0.3, 0], abs=3e-3)
    assert np.linalg.norm(hands - (position + [0, 0.15, 0.01]), axis=1).min() > 0.05 + 0.005
    assert faults.fallback_ticks == 0


def test_without_a_ball_it_goes_straight_through():
    """The near miss: or the test above would show nothing."""
    hands, position, _ = round_a_ball(ball=False)
    assert np.linalg.norm(hands - (position + [0, 0.15, 0.01]), axis=1).min() < 0.03


def test_without_a_solution_it_brakes(mpc):
    position, quat = home_pose(mpc)
    fast = driven(mpc, resting_at(position + [0, 0.5, 0.2], quat), 0.3)[-1]
    assert np.abs(fast.v[0]).max() > 0.2
    nowhere = resting_at(np.full(3, np.nan), quat)
    plan = mpc.follow(fast, 0.02, {"hand": nowhere})
    assert mpc.solver.faults.nan == 1
    assert np.isfinite(plan.q).all()
    assert np.isfinite(plan.hands["hand"].at(0.1).position).all()
    assert plan.v[-1] == pytest.approx(np.zeros(8), abs=1e-9)
    assert (np.abs(plan.u) <= mpc.settings.max_joint_acceleration).all()
