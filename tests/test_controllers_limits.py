"""Limits: bounds that never cross and never let through, and collision rows that are the rate of the distance."""

import mujoco
import numpy as np
import pytest

from robotics.controllers.limits import CollisionMargin, JointLimits
from robotics.controllers.model import NominalModel
from robotics.controllers.robot_spec import EndEffector, RobotSpec
from robotics.controllers.tasks import EndEffectorPoseTask, PostureTask, Reference
from robotics.controllers.wbc import WholeBodyController
from robotics.envs.robots.aloha import ALOHA, collision_margin, nominal_model
from tests.arm import random_state


@pytest.fixture(scope="module")
def model() -> NominalModel:
    return NominalModel(nominal_model(), ALOHA)


def test_joint_bounds_never_cross_even_from_hopeless_states(model):
    rng = np.random.default_rng(0)
    for _ in range(200):
        q = rng.uniform(1.5 * model.position_lower - 0.1, 1.5 * model.position_upper + 0.1)
        model.q, model.v = q, 3 * rng.normal(size=model.n) * model.velocity_limit
        lower, upper = JointLimits().bounds(model)
        assert (lower <= upper).all()
        assert np.isfinite(lower).all()
    model.update(np.array(ALOHA.home), np.zeros(model.n))


@pytest.mark.parametrize("direction", [1, -1])
def test_pushing_against_the_bounds_never_passes_a_limit(model, direction):
    """A joint that always takes the most its bound allows reaches its speed limit, then stops at its position limit."""
    dt, limits = 0.002, JointLimits()
    q, v = np.array(ALOHA.home), np.zeros(model.n)
    fastest = np.zeros(model.n)
    for _ in range(2500):
        model.q, model.v = q, v
        lower, upper = limits.bounds(model)
        v = v + dt * (upper if direction > 0 else lower)
        q = q + dt * v
        fastest = np.maximum(fastest, np.abs(v))
        assert (q <= model.position_upper + 1e-9).all()
        assert (q >= model.position_lower - 1e-9).all()
    assert (fastest <= model.velocity_limit + 1e-9).all()
    end = model.position_upper if direction > 0 else model.position_lower
    assert q == pytest.approx(end, abs=1e-3)
    arms = model.velocity_limit > 1.0
    assert (fastest[arms] > 0.9 * model.velocity_limit[arms]).all()


def near_pairs(model, apart, wanted=12):
    """States and single pairs of geoms whose distance is inside the detection range, or negative."""
    found = []
    for seed in range(400):
        q, v = random_state(model, seed)
        q[[0, 7]] *= 0.2  # both arms towards the middle
        model.update(q, v)
        for pair in collision_margin(model.model).pairs:
            distance = mujoco.mj_geomDistance(model.model, model.data, *pair, 0.06, None)
            if (0.005 < distance < 0.055) if apart else (-0.02 < distance < -0.002):
                found.append((q, v, pair))
        if len(found) >= wanted:
            break
    return found


@pytest.mark.parametrize("apart", [True, False], ids=["apart", "overlapping"])
def test_collision_rows_are_the_rate_of_the_distance(model, apart):
    """By finite differences: C v is how fast two bodies part, also once they overlap; d knows what they do unmoved."""
    cases = near_pairs(model, apart)
    assert len(cases) >= 5
    step = 1e-4
    for q, v, pair in cases:
        margin = CollisionMargin((pair,), drift_step_s=2 * step)
        model.update(q, v)
        C, d = margin.rows(model)
        distance = {}
        for shift in (-step, 0.0, step):
            model.update(q + shift * v, v)
            distance[shift] = mujoco.mj_geomDistance(model.model, model.data, *pair, 0.2, None)
        rate = (distance[step] - distance[-step]) / (2 * step)
        assert float(C[0] @ v) == pytest.approx(rate, abs=5e-3)
        drift = (distance[step] - 2 * distance[0.0] + distance[-step]) / step**2
        asked = -30 * float(C[0] @ v) - 225 * (distance[0.0] - margin.margin)
        assert asked - d[0] == pytest.approx(drift, rel=0.05, abs=0.05)


def test_looking_for_the_drift_leaves_every_geom_where_it_is(model):
    (q, v, pair), *_ = near_pairs(model, apart=True, wanted=1)
    model.update(q, v)
    before = model.data.geom_xpos.copy(), model.data.geom_xmat.copy()
    CollisionMargin((pair,)).rows(model)
    np.testing.assert_array_equal(model.data.geom_xpos, before[0])
    np.testing.assert_array_equal(model.data.geom_xmat, before[1])


def test_a_plate_that_turns_through_level_is_not_thrown_up():
    """Which of its edges is the lowest changes at once: that is a kink of the distance, no acceleration."""
    plate = NominalModel(
        mujoco.MjModel.from_xml_string(
            """<mujoco><worldbody><geom type="box" size="1 1 .05" pos="0 0 -.05"/><body pos="0 0 .03">
            <joint name="tilt" axis="0 1 0"/><geom type="box" size=".1 .1 .01" mass="1"/></body></worldbody>
            <actuator><motor joint="tilt" ctrlrange="-1 1"/></actuator></mujoco>"""
        ),
        RobotSpec("plate", ("tilt",), (0.0,), (5.0,), ()),
    )
    for tilt in (-0.003, -0.001, 0.001, 0.003):
        plate.update(np.array([tilt]), np.array([1.0]))
        C, d = CollisionMargin(((0, 1),)).rows(plate)
        room = mujoco.mj_geomDistance(plate.model, plate.data, 0, 1, 1.0, None) - 0.005
        assert abs(-30 * float(C[0, 0]) - 225 * room - d[0]) < 0.1  # the differences over the kink are 50 and more


@pytest.mark.parametrize("speed", [0.3, 1.0, 1.5])
def test_a_hand_that_slides_along_a_wall_keeps_the_margin(speed):
    """The wall is between it and its base: left to itself, a hand that swings in an arc falls towards its base."""
    scene = mujoco.MjModel.from_xml_string(
        """<mujoco><option gravity="0 0 0"/><worldbody><geom name="wall" type="box" size="2 .05 1" pos="0 .4 0"/>
        <body><joint name="a" axis="0 0 1"/><geom type="capsule" fromto="0 0 0 .45 0 0" size=".02" mass="2"/>
        <body pos=".45 0 0"><joint name="b" axis="0 0 1"/><geom type="capsule" fromto="0 0 0 .45 0 0" size=".02"/>
        <geom name="tip" type="sphere" size=".02" pos=".45 0 0"/><site name="hand" pos=".45 0 0"/></body></body>
        </worldbody>
        <actuator><motor joint="a" ctrlrange="-200 200"/><motor joint="b" ctrlrange="-200 200"/></actuator></mujoco>"""
    )
    pair = (scene.geom("tip").id, scene.geom("wall").id)
    planar = NominalModel(
        scene, RobotSpec("planar", ("a", "b"), (0.0, 0.0), (20.0, 20.0), (EndEffector("hand", "hand"),))
    )
    dt, ramp, level = 0.002, 0.15, np.array([1.0, 0.0, 0.0, 0.0])
    elbow = -np.arccos((0.6**2 + 0.5**2) / (2 * 0.45**2) - 1)  # the hand at (-0.6, 0.5), 3 cm off the wall
    q, v, nearest = np.array([np.arctan2(0.5, -0.6) - elbow / 2, elbow]), np.zeros(2), 1.0
    task = EndEffectorPoseTask("hand", Reference(np.zeros(3), level), part="position")
    margin = CollisionMargin((pair,), margin=0.005)
    control = WholeBodyController(planar, [task, PostureTask(q.copy(), weight=1e-6)], margin)
    for t in np.arange(0, 1.2 / speed, dt):
        x = -0.6 + speed * (t * t / (2 * ramp) if t < ramp else t - ramp / 2)
        task.reference = Reference(np.array([x, 0.44, 0.0]), level, np.array([speed * min(t / ramp, 1), 0, 0, 0, 0, 0]))
        _, acceleration = control.solve(q, v)
        v = v + dt * acceleration
        q = q + dt * v
        planar.update(q, v)
        nearest = min(nearest, mujoco.mj_geomDistance(planar.model, planar.data, *pair, 1.0, None))
    assert 0.005 < nearest < 0.006


def test_bodies_far_apart_ask_for_nothing(model):
    model.update(np.array(ALOHA.home), np.zeros(model.n))
    C, d = CollisionMargin(collision_margin(model.model).pairs, detection=0.01).rows(model)
    assert (C.shape, d.shape) == ((0, model.n), (0,))
