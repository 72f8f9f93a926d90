"""Strict priorities: what a level has reached, no other changes; and all limits hold on every level."""

import numpy as np
import pytest

from robotics.controllers.hierarchy import HierarchicalController
from robotics.controllers.model import NominalModel
from robotics.controllers.tasks import EndEffectorPoseTask, PostureTask, Reference
from robotics.controllers.wbc import WholeBodyController
from robotics.envs.robots.panda import ARM, nominal_arm
from robotics.errors import UsageError


@pytest.fixture(scope="module")
def model():
    return NominalModel(nominal_arm(), ARM)


def anywhere(model, seed):
    """A random state, and three tasks that can not all be done: hand position, hand orientation, posture."""
    rng = np.random.default_rng(seed)
    q = model.position_lower + (model.position_upper - model.position_lower) * rng.uniform(0.1, 0.9, model.n)
    v = rng.normal(0, 0.3, model.n)
    model.update(q, v)
    position, _ = model.pose("hand")
    turn = rng.normal(size=4)
    reference = Reference(position + rng.normal(0, 0.02, 3), turn / np.linalg.norm(turn))
    where = EndEffectorPoseTask("hand", reference, part="position")
    turned = EndEffectorPoseTask("hand", reference, part="orientation")
    return q, v, where, turned, PostureTask(rng.normal(0, 1, model.n))


@pytest.mark.parametrize("seed", range(20))
def test_lower_levels_change_nothing_above(model, seed):
    q, v, where, turned, posture = anywhere(model, seed)

    def residuals(*levels):
        _, acceleration = HierarchicalController(model, (), levels=levels).solve(q, v)
        return [A @ acceleration - b for A, b in (where.rows(model), turned.rows(model), posture.rows(model))]

    alone, two, three = residuals([where]), residuals([where], [turned]), residuals([where], [turned], [posture])
    scale = 1.0 + np.abs(alone[0]).max()
    assert two[0] == pytest.approx(alone[0], abs=1e-6 * scale)
    assert three[0] == pytest.approx(alone[0], abs=1e-6 * scale)
    assert three[1] == pytest.approx(two[1], abs=1e-6 * (1.0 + np.abs(two[1]).max()))
    assert np.linalg.norm(two[1]) <= np.linalg.norm(alone[1]) + 1e-6  # and each does what it can
    assert np.linalg.norm(three[2]) <= np.linalg.norm(two[2]) + 1e-6


def test_weights_do_change_what_is_above(model):
    """The near miss: the same tasks weighted 1 : 1e-3 disturb each other, or the test above would show nothing."""
    q, v, where, _, posture = anywhere(model, 0)
    posture.kp = 2000.0
    A, b = where.rows(model)
    _, weighted = WholeBodyController(model, [where, posture]).solve(q, v)
    _, strict = HierarchicalController(model, (), levels=[[where], [posture]]).solve(q, v)
    assert np.linalg.norm(A @ weighted - b) > np.linalg.norm(A @ strict - b) + 1e-3


@pytest.mark.parametrize("seed", range(20))
def test_every_level_keeps_the_limits(model, seed):
    q, v, where, turned, posture = anywhere(model, seed)
    posture.kp = 1e5
    controller = HierarchicalController(model, (), levels=[[where], [turned], [posture]])
    torque, acceleration = controller.solve(q, v)
    lower, upper = controller.joint_limits.bounds(model)
    assert (acceleration >= lower - 1e-5).all()
    assert (acceleration <= upper + 1e-5).all()
    assert (torque <= model.torque_upper).all()
    assert (torque >= model.torque_lower).all()
    assert torque == pytest.approx(model.M @ acceleration + model.h, abs=1e-4)  # so the clip changed nothing
    assert controller.solver.faults.fallback_ticks == 0


def test_a_last_level_without_freedom_is_left_out(model):
    q, v, where, turned, posture = anywhere(model, 1)
    posture.weight = 1.0
    _, first = HierarchicalController(model, (), levels=[[posture]]).solve(q, v)
    _, both = HierarchicalController(model, (), levels=[[posture], [where, turned]]).solve(q, v)
    assert both == pytest.approx(first)


@pytest.mark.parametrize("levels", [(), ([],), ([1],) * 5])
def test_hierarchies_that_can_not_be_meant(model, levels):
    with pytest.raises(UsageError, match="one to four levels"):
        HierarchicalController(model, (), levels=levels)
