"""Sampling MPC: splines against SciPy's, plans that improve, the same numbers again, and futures that diverge."""

import mujoco
import numpy as np
import pytest
from scipy.interpolate import CubicHermiteSpline

from robotics.control import pusher
from robotics.control.run import run_trial
from robotics.control.trial import Conditions, Trial
from robotics.controllers.sampling import SamplingMPC, SamplingSettings, coarse_model, spline_weights
from robotics.envs.robots.push_t import corners, pose_errors, push_t_scene, random_start
from robotics.envs.robots.quadruped import quadruped_scene
from robotics.errors import UsageError

METHODS = ["predictive", "mppi", "cem"]
PENDULUM = """
<mujoco><option timestep="0.02"/><worldbody><body><joint name="hinge" axis="0 1 0" damping="0.005"/>
<geom type="capsule" fromto="0 0 0 0 0 -0.5" size="0.02" mass="0.2"/></body></worldbody>
<actuator><motor name="motor" joint="hinge" ctrlrange="-0.3 0.3"/></actuator>
<sensor><jointpos joint="hinge"/></sensor></mujoco>"""


@pytest.fixture(scope="module")
def pendulum():
    return mujoco.MjModel.from_xml_string(PENDULUM)


def upright(futures):
    return 1 + np.cos(futures["qpos"][..., 0])


def swing_up(planner, seconds=3.5):
    """Runs the loop; returns the angles [rad]."""
    data = mujoco.MjData(planner.model)
    angles = []
    for _ in range(round(seconds / planner.model.opt.timestep)):
        data.ctrl[:] = planner.plan(data.qpos, data.qvel, planner.model.opt.timestep)
        assert np.abs(data.ctrl).max() <= 0.3
        mujoco.mj_step(planner.model, data)
        angles.append(data.qpos[0])
    return np.array(angles)


# -- splines --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["hold", "linear", "cubic"])
def test_splines_go_through_their_knots_and_keep_constants(kind):
    assert spline_weights(kind, 5, np.arange(5.0)) == pytest.approx(np.eye(5))
    assert spline_weights(kind, 5, np.linspace(-1, 6, 40)).sum(axis=1) == pytest.approx(np.ones(40))


def test_cubic_splines_are_those_of_their_slopes():
    rng = np.random.default_rng(0)
    values, places = rng.normal(size=6), np.linspace(0, 5, 50)
    expected = CubicHermiteSpline(np.arange(6), values, np.gradient(values))(places)
    assert spline_weights("cubic", 6, places) @ values == pytest.approx(expected)


# -- plans ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_pendulum_too_weak_to_lift_itself_swings_up(pendulum, method):
    planner = SamplingMPC(pendulum, upright, SamplingSettings(method, 40, 60, 6, noise=0.5))
    angles = swing_up(planner)
    assert np.cos(angles[-25:]).max() < -0.9
    assert planner.faults.as_dict() == {"qp_infeasible": 0, "fallback_ticks": 0, "nan": 0}


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_plans_on_any_number_of_threads(pendulum, method):
    def plans(threads, seed=7):
        planner = SamplingMPC(pendulum, upright, SamplingSettings(method, 20, 30, threads=threads), seed)
        return np.array([planner.plan(np.zeros(1), np.full(1, 0.1 * i), 0.02) for i in range(5)])

    assert (plans(1) == plans(2)).all()
    assert (plans(1) == plans(1)).all()
    assert (plans(1) != plans(1, seed=8)).any()


def test_predictive_sampling_never_gets_worse(pendulum):
    planner = SamplingMPC(pendulum, upright, SamplingSettings("predictive", 20, 50, noise=0.5))
    costs = []
    for _ in range(15):
        planner.plan(np.zeros(1), np.zeros(1))
        costs.append(planner.best_cost)
    assert (np.diff(costs) <= 1e-12).all()
    assert costs[-1] < costs[0]


def test_futures_are_those_of_the_simulator(pendulum):
    """Every future against its own loop of mj_step, sensors included."""
    planner = SamplingMPC(pendulum, upright, SamplingSettings(samples=3, steps=20))
    knots = np.random.default_rng(0).uniform(-0.3, 0.3, (3, 4, 1))
    futures = planner.simulate(np.array([0.4]), np.array([-1.0]), knots)
    for sample in range(3):
        data = mujoco.MjData(pendulum)
        data.qpos[:], data.qvel[:] = 0.4, -1.0
        for t in range(20):
            data.ctrl[:] = futures["ctrl"][sample, t]
            mujoco.mj_step(pendulum, data)
            assert futures["qpos"][sample, t] == data.qpos
            assert futures["sensordata"][sample, t] == data.sensordata


def test_a_plan_moves_on_with_time(pendulum):
    planner = SamplingMPC(pendulum, upright, SamplingSettings(samples=1, steps=31, knots=4, spline="linear"))
    planner.plan_knots = np.array([[0.0], [0.1], [0.2], [0.3]])
    for tick in range(1, 16):  # one knot is ten steps of 0.02 s
        control = planner.plan(np.zeros(1), np.zeros(1), elapsed_s=0.02)
        assert control == pytest.approx([0.01 * tick])
    assert planner.plan_knots[:, 0] == pytest.approx([0.1, 0.2, 0.3, 0.3])
    assert planner.control(0.1) == pytest.approx([0.2])
    planner.plan(np.zeros(1), np.zeros(1), elapsed_s=5.0)
    assert planner.plan_knots[:, 0] == pytest.approx([0.3] * 4)


def test_ways_to_start_from_are_tried(pendulum):
    wanted = np.full((1, 4, 1), 0.3)
    planner = SamplingMPC(
        pendulum,
        lambda futures: np.abs(futures["ctrl"][..., 0] - 0.3),
        SamplingSettings(samples=5, noise=1e-6),
        proposals=lambda qpos, times, rng: wanted,
    )
    assert planner.plan(np.zeros(1), np.zeros(1)) == pytest.approx([0.3])


def test_mppi_is_the_weighted_mean_of_its_futures(pendulum):
    settings = SamplingSettings("mppi", samples=10, temperature=0.5)
    planner = SamplingMPC(pendulum, upright, settings)
    knots, costs = np.random.default_rng(0).normal(size=(10, 4, 1)), np.arange(10.0)
    costs[3] = np.inf
    planner._update(knots, costs)
    weights = np.exp(-costs / (0.5 * 9.0))
    assert planner.plan_knots[:, 0] == pytest.approx(weights @ knots[:, :, 0] / weights.sum())


# -- what goes wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_costs_that_are_no_numbers_are_never_chosen(pendulum, method):
    def cost(futures):
        values = np.abs(futures["ctrl"][..., 0] - 0.1)
        values[1::2] = np.nan
        return values

    planner = SamplingMPC(pendulum, cost, SamplingSettings(method, 20, noise=0.5))
    for _ in range(20):
        control = planner.plan(np.zeros(1), np.zeros(1))
    assert control == pytest.approx([0.1], abs=0.1)
    assert planner.faults.fallback_ticks == 0


def test_without_a_usable_future_the_plan_stays(pendulum):
    planner = SamplingMPC(pendulum, lambda futures: np.full(60, np.nan))
    planner.reset(control=np.array([0.2]))
    assert planner.plan(np.zeros(1), np.zeros(1)) == pytest.approx([0.2])
    assert planner.faults.fallback_ticks == 1


def test_a_state_that_is_no_number_is_counted(pendulum):
    planner = SamplingMPC(pendulum, upright)
    assert np.isfinite(planner.plan(np.array([np.nan]), np.zeros(1))).all()
    assert planner.faults.as_dict() == {"qp_infeasible": 0, "fallback_ticks": 1, "nan": 1}
    assert np.isfinite(planner.plan(np.zeros(1), np.zeros(1))).all()
    assert planner.faults.nan == 1


def test_futures_that_diverge_cost_infinity():
    """A motor strong enough to break the simulation: what is chosen does not."""
    wild = PENDULUM.replace('ctrlrange="-0.3 0.3"', 'ctrlrange="-1e12 1e12"')
    model = mujoco.MjModel.from_xml_string(wild)
    planner = SamplingMPC(model, lambda futures: -np.abs(futures["ctrl"][..., 0]), SamplingSettings(noise=0.5))
    planner.plan(np.zeros(1), np.zeros(1))
    assert planner._failed.sum() > 10
    futures = planner.simulate(np.zeros(1), np.zeros(1), np.tile(planner.plan_knots, (60, 1, 1)))
    assert not planner._failed.any()
    assert np.isfinite(futures["qpos"]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "mpi"}, "did you mean 'mppi'"),
        ({"spline": "cubc"}, "did you mean 'cubic'"),
        ({"samples": 0}, "samples 0"),
        ({"noise": -1.0}, "noise -1.0"),
        ({"knots": 1}, "at least 2"),
        ({"method": "cem", "samples": 4}, "8 elites of 4"),
    ],
)
def test_settings_that_can_not_be_meant(options, message):
    with pytest.raises(UsageError, match=message):
        SamplingSettings(**options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("<actuator>.*</actuator>", ""), "no actuators"),
        ((' ctrlrange="-0.3 0.3"', ""), "'motor' has no control range"),
        (("<motor ", '<general dyntype="integrator" '), "actuators with a state of their own"),
    ],
)
def test_models_that_can_not_be_sampled(change, message):
    import re

    model = mujoco.MjModel.from_xml_string(re.sub(*change, PENDULUM, flags=re.DOTALL))
    with pytest.raises(UsageError, match=message):
        SamplingMPC(model, upright)


def test_a_cost_of_another_shape(pendulum):
    with pytest.raises(UsageError, match="one number per future and step"):
        SamplingMPC(pendulum, lambda futures: np.zeros(3)).plan(np.zeros(1), np.zeros(1))


# -- robots ---------------------------------------------------------------------------------------------------------


def test_a_coarse_quadruped_stands_where_the_fine_one_does():
    spec = quadruped_scene()
    for motor in spec.actuators:
        motor.set_to_position(kp=60.0, kv=2.0)
    fine, coarse = spec.compile(), coarse_model(spec, timestep=0.01)
    assert fine.opt.timestep == 0.002 and (fine.dof_frictionloss > 0).any()
    heights = []
    for model in (fine, coarse):
        data = mujoco.MjData(model)
        data.qpos[2], data.qpos[7:] = 0.29, [0, 0.9, -1.8] * 4
        data.ctrl[:] = data.qpos[7:]
        while data.time < 0.5:
            mujoco.mj_step(model, data)
        heights.append(data.qpos[2])
    assert heights[1] == pytest.approx(heights[0], abs=0.01)


def test_poses_of_the_t():
    assert pose_errors(np.array([0.03, 0.04, 2 * np.pi + 0.1]), np.zeros(3)) == pytest.approx((0.05, 0.1))
    assert pose_errors(np.array([0.0, 0.0, -np.pi + 0.1]), np.array([0, 0, np.pi]))[1] == pytest.approx(0.1)
    turned = corners(np.array([0.1, 0.0, np.pi / 2]))
    assert turned[2] - [0.1, 0] == pytest.approx([0.1321, 0.0], abs=1e-9)


def test_starts_are_free_and_within_reach():
    model = push_t_scene().compile()
    data = mujoco.MjData(model)
    for seed in range(20):
        data.qpos[:] = random_start(np.random.default_rng(seed))
        mujoco.mj_forward(model, data)
        assert data.ncon == 0
        assert np.abs(data.qpos[:2]).max() <= 0.4


def test_the_t_is_pushed_to_its_place():
    session = pusher.PusherSession(Trial("pusher", "push_t", seconds=8.0, seed=1))
    for _ in range(400):
        session.tick()
        if session.in_place():
            break
    assert session.in_place_at is not None
    assert session.limits_exceeded == 0
    assert session.faults() == {"qp_infeasible": 0, "fallback_ticks": 0, "nan": 0}


def test_document_of_a_trial_and_the_same_trial_twice():
    first, second = (run_trial(Trial("pusher", "push_t", seconds=0.3, seed=2)) for _ in range(2))
    assert {"mpc", "tick"} <= set(first["timing_ms"])
    assert first["position_error"] == second["position_error"]
    with pytest.raises(UsageError, match="robot pusher has no --friction"):
        Trial("pusher", "push_t", conditions=Conditions(friction=0.5))
