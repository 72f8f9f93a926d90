"""The arms under their cerebellum: what the closed loop reaches, and what it may never do."""

import mujoco
import numpy as np
import pytest

from robotics.controllers.arms import ArmCerebellum, ArmSettings, HandTarget
from robotics.envs.bimanual import BimanualTask
from robotics.envs.hands import servo_targets
from robotics.envs.robots.aloha import ALOHA, OPEN, SIDES, aloha_scene, nominal_model
from robotics.errors import UsageError
from tests.arm import DOWN, TorqueRobot, targets


def assert_within_limits(robot):
    model = robot.cerebellum.model
    torques, velocities = np.array(robot.torques), np.array(robot.velocities)
    assert (torques <= model.torque_upper + 1e-9).all()
    assert (torques >= model.torque_lower - 1e-9).all()
    assert (np.abs(velocities) <= 1.05 * model.velocity_limit).all()
    assert (np.array(robot.positions) <= model.position_upper + 0.005).all()
    assert (np.array(robot.positions) >= model.position_lower - 0.005).all()


def closest(robot):
    """Smallest distance of all pairs that shall keep clear, on the nominal model [m]."""
    nominal, pairs = robot.cerebellum.model, robot.cerebellum.wbc.collision.pairs
    return min(mujoco.mj_geomDistance(nominal.model, nominal.data, a, b, 0.1, None) for a, b in pairs)


def test_hands_arrive_at_reachable_targets():
    robot = TorqueRobot()
    goal = targets()
    robot.run(goal, 2.0)
    for side in SIDES:
        assert np.linalg.norm(robot.hand(side) - goal[side].position) < 5e-3
    assert_within_limits(robot)
    assert robot.cerebellum.faults.as_dict() == {"qp_infeasible": 0, "fallback_ticks": 0, "nan": 0}


def test_without_targets_it_holds_still():
    robot = TorqueRobot()
    robot.run({}, 1.0)
    assert robot.positions[-1] == pytest.approx(ALOHA.home, abs=2e-3)
    assert np.abs(robot.velocities[-1]).max() < 1e-2


def test_wild_targets_break_no_limit():
    """Out of reach, behind the base, inside the table, jumping: every torque, speed and position stays in bounds."""
    rng = np.random.default_rng(0)
    robot = TorqueRobot()
    robot.model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT  # what a collision does is not the controller's
    for _ in range(12):
        wild = rng.uniform([-1.5, -1, -0.5], [1.5, 1, 1.5], (2, 3))
        quats = rng.normal(size=(2, 4))
        quats /= np.linalg.norm(quats, axis=1, keepdims=True)
        goal = {s: HandTarget(p, q, rng.uniform(-0.5, 0.5)) for s, p, q in zip(SIDES, wild, quats, strict=True)}
        robot.run(goal, 0.4)
    assert np.isfinite(robot.data.qpos).all()
    assert_within_limits(robot)


def test_hands_sent_through_each_other_do_not_touch():
    robot = TorqueRobot()
    robot.run(targets(), 1.5)
    worst = np.inf
    for _ in range(40):
        robot.run(targets(left=(0.1, 0, 0.25), right=(-0.1, 0, 0.25)), 0.05)
        worst = min(worst, closest(robot))
    assert worst > 0.0
    assert_within_limits(robot)


def test_hands_sent_into_the_table_stop_above_it():
    robot = TorqueRobot()
    goal = {side: HandTarget(np.array([x, 0, -0.1]), DOWN, OPEN) for side, x in (("left", -0.15), ("right", 0.15))}
    worst = np.inf
    for _ in range(30):
        robot.run(goal, 0.05)
        worst = min(worst, closest(robot))
    assert worst > 0.0
    assert robot.hand("right")[2] < 0.1  # it did go there
    assert_within_limits(robot)


def test_a_payload_is_unknown_to_the_controller():
    """It owns its model: half a kilogram in the hand of the simulated robot is felt as an error, not read."""
    spec = aloha_scene("motor")
    spec.body("right/gripper_link").mass += 0.5
    light, heavy = TorqueRobot(), TorqueRobot(spec=spec)
    for robot in (light, heavy):
        robot.run(targets(), 2.0)
    sag = light.hand("right")[2] - heavy.hand("right")[2]
    assert sag > 1e-3
    assert_within_limits(heavy)


@pytest.mark.parametrize("force", [5.0, 15.0])
def test_a_closing_gripper_pushes_with_the_force_that_was_asked_for(force):
    cerebellum = ArmCerebellum(nominal_model(), ALOHA, settings=ArmSettings(grip_force=force))
    cerebellum.plan(targets(opening=0.0))
    blocked = np.array(ALOHA.home)
    for _ in range(50):
        torque, _ = cerebellum.torque(blocked, np.zeros(14))
    assert torque[[6, 13]] == pytest.approx([-force, -force], abs=0.05)


def test_position_servos_keep_up_with_the_virtual_robot():
    """No lag of damping / gain (0.1 s on these servos), also in the middle of a fast motion."""
    model = aloha_scene("servo").compile()
    data = mujoco.MjData(model)
    addresses = [model.joint(j).qposadr[0] for j in ALOHA.joints]
    data.qpos[addresses] = ALOHA.home
    servos = servo_targets(model, BimanualTask.make_cerebellum())
    arm = [i for i in range(14) if i not in servos.cerebellum.gripper_joints]
    speeds = []
    for _ in range(60):
        data.ctrl[:] = servos.follow(targets(), data.qpos[addresses], 0.02)
        mujoco.mj_step(model, data, nstep=10)
        assert data.qpos[addresses][arm] == pytest.approx(servos.q[arm], abs=0.02)
        speeds.append(np.abs(servos.v[arm]).max())
    assert max(speeds) > 0.5
    for side in SIDES:
        assert np.linalg.norm(data.site(f"{side}/gripper").xpos - targets()[side].position) < 5e-3


def test_the_virtual_robot_waits_for_one_that_is_held_back():
    servos = servo_targets(aloha_scene("servo").compile(), BimanualTask.make_cerebellum())
    home = np.array(ALOHA.home)
    for _ in range(100):
        servos.follow(targets(left=(0.2, 0.3, 0.4), right=(-0.2, -0.3, 0.4)), home, 0.02)
        assert np.abs(servos.q - home).max() < 0.4


def test_servo_targets_outlive_a_broken_measurement():
    servos = servo_targets(aloha_scene("servo").compile(), BimanualTask.make_cerebellum())
    home = np.array(ALOHA.home)
    for measured in (home, np.full(14, np.nan), home):
        assert np.isfinite(servos.follow(targets(), measured, 0.02)).all()
    assert servos.cerebellum.faults.as_dict() == {"qp_infeasible": 0, "fallback_ticks": 0, "nan": 1}


def test_servo_targets_stay_within_the_servos_range():
    model = aloha_scene("servo").compile()
    servos = servo_targets(model, BimanualTask.make_cerebellum())
    low, high = model.actuator_ctrlrange.T
    rng = np.random.default_rng(0)
    q = np.array(ALOHA.home)
    for _ in range(40):
        wild = targets(*rng.uniform([-1.5, -1, -0.5], [1.5, 1, 1.5], (2, 3)), opening=rng.uniform(-1, 1))
        command = servos.follow(wild, q, 0.02)
        assert (command >= low).all()
        assert (command <= high).all()
        q = servos.q + 0.05 * rng.normal(size=14)  # a robot that lags and wobbles


UNIT = np.array([1.0, 0, 0, 0])


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (HandTarget(np.array([np.nan, 0, 0]), UNIT, 0.02), "not finite"),
        (HandTarget(np.zeros(3), UNIT, np.inf), "not finite"),
        (HandTarget(np.zeros(2), UNIT, 0.02), r"not position \(3,\)"),
        (HandTarget(np.zeros(3), np.ones(3), 0.02), r"wxyz \(4,\)"),
        (HandTarget(np.zeros(3), np.zeros(4), 0.02), "no unit quaternion"),
        (HandTarget(np.zeros(3), 2 * UNIT, 0.02), "no unit quaternion"),
    ],
)
def test_targets_that_can_not_be_meant(target, message):
    with pytest.raises(UsageError, match=f"end effector 'left' .*{message}"):
        BimanualTask.make_cerebellum().plan({"left": target})


def test_names_that_do_not_exist():
    with pytest.raises(UsageError, match="did you mean 'left'"):
        BimanualTask.make_cerebellum().plan({"letf": targets()["left"]})
    with pytest.raises(UsageError, match="did you mean 'daqp'"):
        BimanualTask.make_cerebellum(solver="dapq")
