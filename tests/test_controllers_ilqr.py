"""iLQR: the Riccati solution where the system is linear, limits, swing-ups, and input that can not be meant."""

import mujoco
import numpy as np
import pytest
from scipy.linalg import solve_discrete_are

from robotics.controllers.ilqr import ILQR, ILQRSettings, QuadraticCost
from robotics.errors import UsageError

#: Two coupled masses on rails: linear, and of more than one input.
MASSES = """
<mujoco><option timestep="0.05" gravity="0 0 0"/><worldbody>
<body><joint type="slide" axis="1 0 0" stiffness="3" damping="0.4"/><geom type="sphere" size="0.1" mass="2"/>
<body><joint type="slide" axis="1 0 0"/><geom type="sphere" size="0.1" mass="0.7"/></body></body></worldbody>
</mujoco>"""
PENDULUM = """
<mujoco><option timestep="0.02"/><worldbody><body><joint axis="0 1 0" name="hinge" damping="0.01"/>
<geom type="sphere" size="0.05" pos="0 0 -1" mass="1"/></body></worldbody>
<actuator><motor joint="hinge" ctrlrange="-3 3"/></actuator></mujoco>"""
CART_POLE = """
<mujoco><option timestep="0.02"/><worldbody><body><joint name="rail" type="slide" axis="1 0 0"/>
<geom type="box" size="0.1 0.1 0.1" mass="1"/><body><joint name="pole" axis="0 1 0"/>
<geom type="capsule" fromto="0 0 0 0 0 -0.6" size="0.02" mass="0.2"/></body></body></worldbody>
<actuator><motor joint="rail" ctrlrange="-10 10"/></actuator></mujoco>"""


def masses(limit=None):
    spec = mujoco.MjSpec.from_string(MASSES)
    for number, joint in enumerate(spec.joints):
        joint.name = f"rail_{number}"
        motor = spec.add_actuator(name=f"motor_{number}", target=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        motor.set_to_motor()
        if limit is not None:
            motor.ctrlrange, motor.ctrllimited = [-limit, limit], True
    return spec.compile()


def cost_of(model, goal=0.0, R=0.1, end=10.0):
    n = 2 * model.nv
    Q = np.diag([1.0] * model.nv + [0.1] * model.nv)
    qpos = np.zeros(model.nq)
    qpos[-1] = goal
    return QuadraticCost(Q, R * np.eye(model.nu), end * np.eye(n), qpos, np.zeros(model.nv))


def linear_model(model):
    data, n = mujoco.MjData(model), 2 * model.nv
    A, B = np.zeros((n, n)), np.zeros((n, model.nu))
    mujoco.mjd_transitionFD(model, data, 1e-6, True, A, B, None, None)
    return A, B


# -- linear systems -------------------------------------------------------------------------------------------------


def test_a_linear_system_is_solved_in_one_iteration_by_the_riccati_recursion():
    model = masses()
    cost, (A, B), T = cost_of(model), linear_model(model), 40
    start = np.array([0.7, -0.4, 0.2, 0.5])
    solution = ILQR(model, cost).solve(start[:2], start[2:], np.random.default_rng(0).normal(size=(T, 2)))
    P, gains = cost.Q_end, []
    for _ in range(T):
        K = -np.linalg.solve(cost.R + B.T @ P @ B, B.T @ P @ A)
        P = cost.Q + A.T @ P @ (A + B @ K)
        gains.insert(0, K)
    x = start
    for t in range(T):
        assert solution.gains[t] == pytest.approx(gains[t], abs=1e-6)
        assert solution.controls[t] == pytest.approx(gains[t] @ x, abs=1e-5)
        x = A @ x + B @ (gains[t] @ x)
    assert solution.converged
    assert solution.costs[1] == pytest.approx(0.5 * start @ P @ start, rel=1e-6)  # after one iteration
    assert solution.cost == pytest.approx(solution.costs[1], rel=1e-6)


def test_with_the_riccati_end_the_gain_is_that_of_the_infinite_horizon():
    model = masses()
    A, B = linear_model(model)
    base = cost_of(model)
    P = solve_discrete_are(A, B, base.Q, base.R)
    cost = QuadraticCost(base.Q, base.R, P, base.qpos, base.qvel)
    gain = ILQR(model, cost).solve(np.array([0.3, 0.1]), np.zeros(2), np.zeros((5, 2))).gains[0]
    assert gain == pytest.approx(-np.linalg.solve(base.R + B.T @ P @ B, B.T @ P @ A), abs=1e-6)


def test_limits_on_a_linear_system_give_the_constrained_optimum():
    """The same convex problem as one quadratic program over all controls."""
    from robotics.controllers.qp import QP, solve

    model, T, limit = masses(limit=0.6), 25, 0.6
    cost, (A, B) = cost_of(model, R=0.01), linear_model(model)
    start = np.array([1.0, -0.8, 0.0, 0.0])
    solution = ILQR(model, cost, ILQRSettings(tolerance=1e-12)).solve(start[:2], start[2:], np.zeros((T, 2)))
    Phi, free = np.zeros((T, 4, 2 * T)), np.zeros((T, 4))
    x = start
    for t in range(T):
        Phi[t] = A @ Phi[t - 1] if t else 0.0
        Phi[t][:, 2 * t : 2 * t + 2] = B
        x = A @ x
        free[t] = x
    weights = [cost.Q] * (T - 1) + [cost.Q_end]
    H = sum(Phi[t].T @ weights[t] @ Phi[t] for t in range(T)) + np.kron(np.eye(T), cost.R)
    q = sum(Phi[t].T @ weights[t] @ free[t] for t in range(T))
    exact = solve(QP(H, q, lower=np.full(2 * T, -limit), upper=np.full(2 * T, limit)))
    assert (np.abs(exact.x) > limit - 1e-9).sum() > 5  # or the test would say nothing
    assert np.abs(solution.controls).max() <= limit
    constant = 0.5 * (start @ cost.Q @ start + sum(free[t] @ weights[t] @ free[t] for t in range(T)))
    assert solution.cost == pytest.approx(0.5 * exact.x @ H @ exact.x + q @ exact.x + constant, rel=1e-6)


# -- swing-ups ------------------------------------------------------------------------------------------------------


class Backwards(ILQR):
    """Derivatives of the wrong sign: no step ever helps, and held small enough each is promised next to nothing."""

    def _linearise(self, states, controls):
        A, B = super()._linearise(states, controls)
        return A, -B


def test_where_no_step_helps_it_says_so():
    model = mujoco.MjModel.from_xml_string(PENDULUM)
    cost = QuadraticCost(np.eye(2), np.array([[1e-3]]), np.diag([100.0, 10.0]), np.array([1.0]), np.zeros(1))
    solution = Backwards(model, cost).solve(np.zeros(1), np.zeros(1), np.zeros((60, 1)))
    assert not solution.converged
    assert len(solution.costs) == 1


def test_a_pendulum_swings_up_within_its_torque():
    model = mujoco.MjModel.from_xml_string(PENDULUM)
    cost = QuadraticCost(
        np.diag([0.1, 0.01]), np.diag([0.01]), np.diag([1000.0, 100.0]), np.array([np.pi]), np.zeros(1)
    )
    guess = 0.3 * np.random.default_rng(0).normal(size=(200, 1))
    solution = ILQR(model, cost).solve(np.zeros(1), np.zeros(1), guess)
    assert solution.states[-1] == pytest.approx([np.pi, 0.0], abs=0.05)
    assert np.abs(solution.controls).max() <= 3.0  # a third of what it weighs at arm's length
    assert (np.diff(solution.costs) < 0).all()


def test_a_cart_pole_swings_up_and_its_gains_hold_it_there():
    model = mujoco.MjModel.from_xml_string(CART_POLE)
    cost = QuadraticCost(
        np.diag([0.1, 0.1, 0.01, 0.01]),
        np.diag([0.01]),
        np.diag([100.0, 100.0, 10.0, 10.0]),
        np.array([0.0, np.pi]),
        np.zeros(2),
    )
    guess = np.random.default_rng(0).normal(size=(120, 1))
    solution = ILQR(model, cost).solve(np.zeros(2), np.zeros(2), guess)
    assert solution.states[-1] == pytest.approx([0, np.pi, 0, 0], abs=0.1)
    data = mujoco.MjData(model)  # from a start that is a little off, the gains bring it up all the same
    data.qpos[:] = 0.02, -0.03
    for u, x, K in zip(solution.controls, solution.states, solution.gains, strict=False):
        data.ctrl[:] = np.clip(u + K @ (np.concatenate([data.qpos, data.qvel]) - x), -10, 10)
        mujoco.mj_step(model, data)
    assert data.qpos == pytest.approx([0, np.pi], abs=0.15)


def test_near_the_top_it_is_the_lqr():
    """At the unstable rest, with its Riccati cost at the end, the plan follows u = K x."""
    model = mujoco.MjModel.from_xml_string(PENDULUM)
    data = mujoco.MjData(model)
    data.qpos[:] = np.pi
    A, B = np.zeros((2, 2)), np.zeros((2, 1))
    mujoco.mjd_transitionFD(model, data, 1e-6, True, A, B, None, None)
    Q, R = np.diag([1.0, 0.1]), np.diag([0.1])
    P = solve_discrete_are(A, B, Q, R)
    K = -np.linalg.solve(R + B.T @ P @ B, B.T @ P @ A)
    cost = QuadraticCost(Q, R, P, np.array([np.pi]), np.zeros(1))
    solution = ILQR(model, cost).solve(np.array([np.pi + 0.02]), np.zeros(1), np.zeros((30, 1)))
    assert solution.controls[0] == pytest.approx(K @ [0.02, 0.0], rel=0.01)
    assert solution.gains[0] == pytest.approx(K, rel=0.01)


def test_free_bodies_turn_in_their_tangent_space():
    """A body in space with torques about its axes: a quaternion is no hindrance."""
    spec = mujoco.MjSpec()
    spec.option.gravity, spec.option.timestep = [0, 0, 0], 0.05
    body = spec.worldbody.add_body(name="body")
    body.add_freejoint()
    body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.2, 0.15, 0.1], mass=2.0)
    body.add_site(name="site")
    for axis in range(6):
        motor = spec.add_actuator(target="site", trntype=mujoco.mjtTrn.mjTRN_SITE)
        motor.set_to_motor()
        motor.gear[axis] = 1.0
    model = spec.compile()
    goal = np.array([0.2, 0, 0, np.sqrt(0.5), 0, np.sqrt(0.5), 0])
    cost = QuadraticCost(np.eye(12) * 0.1, np.eye(6) * 0.01, np.eye(12) * 100, goal, np.zeros(6))
    solution = ILQR(model, cost).solve(model.qpos0.copy(), np.zeros(6), np.zeros((30, 6)))
    assert solution.states[-1][:7] == pytest.approx(goal, abs=0.02)


# -- what can not be meant ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Q": np.eye(3)}, r"Q has the shape \(3, 3\); this model needs \(2, 2\)"),
        ({"R": np.zeros((1, 1))}, "R must be symmetric and positive definite"),
        ({"Q_end": np.diag([1.0, -1.0])}, "Q_end must be symmetric"),
        ({"qpos": np.array([np.nan])}, "qpos holds what is no number"),
    ],
)
def test_costs_that_can_not_be_meant(change, message):
    model = mujoco.MjModel.from_xml_string(PENDULUM)
    with pytest.raises(UsageError, match=message):
        ILQR(model, QuadraticCost(**{**vars(cost_of(model)), **change}))


def test_states_and_guesses_that_can_not_be_meant():
    model = mujoco.MjModel.from_xml_string(PENDULUM)
    planner = ILQR(model, cost_of(model))
    with pytest.raises(UsageError, match="no number"):
        planner.solve(np.array([np.nan]), np.zeros(1), np.zeros((10, 1)))
    free = mujoco.MjModel.from_xml_string(PENDULUM.replace(' ctrlrange="-3 3"', ""))
    with pytest.raises(UsageError, match="diverge"):
        ILQR(free, cost_of(free)).solve(np.zeros(1), np.zeros(1), np.full((10, 1), 1e14))
    with pytest.raises(UsageError, match="no actuators"):
        bare = mujoco.MjModel.from_xml_string(PENDULUM.split("<actuator>")[0] + "</mujoco>")
        ILQR(bare, cost_of(bare))
