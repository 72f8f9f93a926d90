"""Limits: bounds that never cross and never let through, and collision rows that are the rate of the distance."""

import mujoco
import numpy as np
import pytest

from robotics.controllers.limits import CollisionMargin, JointLimits
from robotics.controllers.model import NominalModel
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
    """By finite differences: C v is how fast two bodies part, also once they overlap."""
    cases = near_pairs(model, apart)
    assert len(cases) >= 5
    step = 1e-4
    for q, v, pair in cases:
        margin = CollisionMargin((pair,))
        model.update(q, v)
        C, d = margin.rows(model)
        distance = {}
        for shift in (-step, 0.0, step):
            model.update(q + shift * v, v)
            distance[shift] = mujoco.mj_geomDistance(model.model, model.data, *pair, 0.2, None)
        rate = (distance[step] - distance[-step]) / (2 * step)
        assert float(C[0] @ v) == pytest.approx(rate, abs=5e-3)
        assert d[0] == pytest.approx(-30 * float(C[0] @ v) - 225 * (distance[0.0] - margin.margin), abs=1e-6)


def test_bodies_far_apart_ask_for_nothing(model):
    model.update(np.array(ALOHA.home), np.zeros(model.n))
    C, d = CollisionMargin(collision_margin(model.model).pairs, detection=0.01).rows(model)
    assert (C.shape, d.shape) == ((0, model.n), (0,))
