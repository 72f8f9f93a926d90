"""Two hands on wheels: the base stands still, follows, or goes where it is told, and the hands keep to the world."""

import math
from itertools import pairwise

import numpy as np
import pytest

from robotics.cli.control import describe
from robotics.control.hands import SETTINGS
from robotics.control.hands_plant import HandsPlant
from robotics.control.mobile import MobileSession
from robotics.control.run import run_trial
from robotics.control.trial import Conditions, Trial
from robotics.controllers.arms import HandTarget
from robotics.controllers.legged.locomotion import Twist
from robotics.controllers.mobile import BasePose, BaseTwist, MobileCerebellum, _driving, _on_floor, _riding
from robotics.controllers.robot_spec import RobotSpec
from robotics.controllers.rotation import log_between, rotation_matrix
from robotics.envs.robots.aloha import ALOHA, SIDES
from robotics.envs.robots.aloha import nominal_model as nominal_aloha
from robotics.envs.robots.mobile_aloha import MOBILE_ALOHA, collision_margin, mobile_scene, nominal_model
from robotics.errors import UsageError

HOME = np.array(MOBILE_ALOHA.home)


class Robot:
    """The robot in MuJoCo under its controller, with its true state."""

    def __init__(self, solver="daqp"):
        nominal = nominal_model()
        self.controller = MobileCerebellum(nominal, MOBILE_ALOHA, collision_margin(nominal), SETTINGS, solver)
        self.plant = HandsPlant(mobile_scene(), MOBILE_ALOHA, Conditions(), 0.002, "base", 0)
        self.plant.place(HOME)
        self.controller.reset(HOME)
        self.home = {side: self.controller.model.pose(side) for side in SIDES}

    def run(self, targets, seconds, with_base=False):
        model = self.controller.model
        for tick in range(round(seconds / 0.002)):
            if tick % 10 == 0:
                self.controller.plan(targets, with_base)
            torque, _ = self.controller.torque(*self.plant.truth())
            assert (torque <= model.torque_upper + 1e-9).all()
            assert (torque >= model.torque_lower - 1e-9).all()
            self.plant.step(torque)
            assert (np.abs(self.plant.truth()[1]) <= 1.05 * model.velocity_limit).all()

    def targets(self, move, yaw=0.0):
        """Both hands at home, turned about the base and moved on."""
        turn = _on_floor(0, 0, yaw).quat
        R, half = rotation_matrix(turn), 0.5 * yaw
        aims = {}
        for side, (position, quat) in self.home.items():
            w, x, y, z = quat
            c, s = math.cos(half), math.sin(half)
            turned = np.array([c * w - s * z, c * x - s * y, c * y + s * x, c * z + s * w])
            aims[side] = HandTarget(R @ position + move, turned, 0.02)
        return aims

    def errors(self, aims):
        """Of positions [m] and orientations [rad], each the larger one."""
        hands = {side: self.plant.hand(side) for side in aims}
        return (
            max(np.linalg.norm(hands[side][0] - aim.position) for side, aim in aims.items()),
            max(np.linalg.norm(log_between(hands[side][1], aim.quat)) for side, aim in aims.items()),
        )

    @property
    def base(self):
        return self.plant.truth()[0][:3]


def test_what_the_arms_can_do_alone_does_not_move_the_base():
    robot = Robot()
    aims = robot.targets(np.array([0.05, 0.03, -0.05]))
    robot.run(aims, 2.0)
    assert robot.errors(aims) == pytest.approx((0, 0), abs=4e-3)
    assert np.abs(robot.base).max() < 0.03
    assert robot.controller.faults.as_dict() == {"qp_infeasible": 0, "fallback_ticks": 0, "nan": 0}


def test_hands_reach_across_the_room_because_the_base_goes_there():
    robot = Robot()
    aims = robot.targets(np.array([1.2, -0.5, -0.1]), yaw=0.7)
    robot.run(aims, 5.0)
    position, turn = robot.errors(aims)
    assert position < 0.01
    assert turn < 0.02
    assert np.linalg.norm(robot.base[:2]) > 0.8
    assert robot.base[2] > 0.3
    assert robot.controller.faults.fallback_ticks == 0


def test_one_hand_alone_brings_the_base_along():
    robot = Robot()
    aim = {"left": robot.targets(np.array([0.8, 0, 0]))["left"]}
    robot.run(aim, 4.0)
    assert robot.errors(aim)[0] < 0.01


def test_a_base_that_is_sent_away_leaves_the_hands_in_the_world():
    """As far as the arms reach: the hands weigh more."""
    robot = Robot()
    aims = robot.targets(np.zeros(3))
    robot.controller.drive(BasePose(-0.1, 0.08, 0.15))
    robot.run(aims, 3.0)
    assert robot.errors(aims)[0] < 5e-3
    assert robot.base == pytest.approx([-0.1, 0.08, 0.15], abs=0.02)
    pose = robot.controller.base_pose()
    assert [pose.x, pose.y, pose.yaw] == pytest.approx(robot.base, abs=1e-3)


def test_hands_ride_along_with_a_base_that_drives():
    robot = Robot()
    aims = robot.targets(np.array([0, 0, -0.05]))
    robot.controller.drive(BaseTwist(0.5, 0.0, 0.4))
    robot.run(aims, 2.5, with_base=True)
    q, v = robot.plant.truth()
    yaw = q[2]
    ahead = math.cos(yaw) * v[0] + math.sin(yaw) * v[1]
    across = -math.sin(yaw) * v[0] + math.cos(yaw) * v[1]
    assert [ahead, across, v[2]] == pytest.approx([0.5, 0.0, 0.4], abs=0.04)
    frame = _on_floor(*q[:3])
    back = rotation_matrix(frame.quat).T
    for side, aim in aims.items():
        assert back @ (robot.plant.hand(side)[0] - frame.position) == pytest.approx(aim.position, abs=0.015)
    robot.controller.drive(BaseTwist(0, 0, 0))
    robot.run(aims, 2.0, with_base=True)
    assert np.abs(robot.plant.truth()[1]).max() < 0.02


@pytest.mark.parametrize("seed", range(3))
def test_targets_that_make_no_sense_break_nothing(seed):
    """Limits are asserted in every tick; the hands come back afterwards."""
    robot, rng = Robot(), np.random.default_rng(seed)
    for _ in range(5):
        wild = {}
        for side in SIDES:
            quat = rng.normal(size=4)
            wild[side] = HandTarget(rng.uniform(-3, 3, 3), quat / np.linalg.norm(quat), float(rng.uniform(-1, 1)))
        robot.run(wild, 0.3)
    assert np.isfinite(robot.plant.truth()[0]).all()


def test_states_that_are_no_numbers_get_a_safe_torque():
    robot = Robot()
    robot.run(robot.targets(np.zeros(3)), 0.1)
    for bad in (np.nan, np.inf, 1e9):
        torque, _ = robot.controller.torque(np.full(17, bad), np.zeros(17))
        assert np.isfinite(torque).all()
        assert (np.abs(torque) <= robot.controller.model.torque_upper + 1e-9).all()
    aims = robot.targets(np.zeros(3))
    robot.run(aims, 1.0)
    assert robot.errors(aims)[0] < 0.01


@pytest.mark.parametrize("order", [BaseTwist(math.nan, 0, 0), BasePose(0, math.inf, 0)])
def test_orders_that_are_no_numbers_are_refused(order):
    with pytest.raises(UsageError, match="can not go to"):
        Robot().controller.drive(order)


def test_a_robot_without_a_base_is_told_so():
    with pytest.raises(UsageError, match="left/waist"):
        MobileCerebellum(nominal_aloha(), ALOHA)
    swapped = vars(MOBILE_ALOHA) | {"joints": (*MOBILE_ALOHA.joints[1::-1], *MOBILE_ALOHA.joints[2:])}
    with pytest.raises(UsageError, match="slides along x"):
        MobileCerebellum(nominal_model(), RobotSpec(**swapped))


def test_what_became_of_targets_is_told():
    document = run_trial(Trial("mobile", "reach", seconds=0.1))
    assert document["targets"] == {"given": 0, "missed_m": []}  # one is on its way, and was not looked at yet
    assert "targets      " in describe(document)


def rates(motion, t, h=1e-5):
    """Velocity and acceleration (6,) of a motion by differences."""
    before, after = motion(t - h), motion(t + h)
    velocity = np.concatenate([after.position - before.position, log_between(before.quat, after.quat)]) / (2 * h)
    return velocity, (after.velocity - before.velocity) / (2 * h)


def test_a_driving_base_has_the_velocity_and_acceleration_that_it_says():
    motion = _driving(_on_floor(0.3, -0.2, 0.5), BaseTwist(0.4, -0.3, 0.8))
    for t in (0.1, 0.7):
        velocity, acceleration = rates(motion, t)
        assert motion(t).velocity == pytest.approx(velocity, abs=1e-8)
        assert motion(t).acceleration == pytest.approx(acceleration, abs=1e-6)
    assert motion(0.0).velocity[:2] == pytest.approx(rotation_matrix(_on_floor(0, 0, 0.5).quat)[:2, :2] @ [0.4, -0.3])


def test_a_riding_hand_has_the_velocity_and_acceleration_that_it_says():
    robot = Robot()
    robot.controller.drive(BaseTwist(0.5, 0.2, 0.7))
    robot.controller.plan({}, True)
    target = robot.targets(np.array([0.1, 0.2, 0.0]))["left"]
    motion = _riding(robot.controller._base_plan, target)
    for t in (0.13, 0.47):  # within a step of the plan
        velocity, acceleration = rates(motion, t)
        assert motion(t).velocity == pytest.approx(velocity, abs=1e-7)
        assert motion(t).acceleration == pytest.approx(acceleration, abs=1e-5)


def test_hands_draw_circles_in_the_world_while_the_base_drives():
    session = MobileSession(Trial("mobile", "track", Twist(vx=0.3), seconds=4.0))
    while session.now < 4.0:
        session.tick()
    result = session.results()
    assert max(result["tracking_rms"][f"{side}_position"] for side in SIDES) < 3e-3
    assert result["velocity_mean"] == pytest.approx([0.3, 0, 0], abs=0.05)
    assert result["base"][0] > 0.6
    assert session.limits_exceeded == 0
    way = [session.job.way("left", t).position for t in np.linspace(0, 4, 400)]
    assert max(np.linalg.norm(b - a) for a, b in pairwise(way)) < 0.01  # no jumps in what it is asked


@pytest.mark.parametrize("twist", [Twist(vx=-0.4), Twist(vx=0.4, wz=0.4), Twist(vx=0.8), Twist(wz=-0.5)])
def test_hands_draw_circles_whichever_way_the_base_drives(twist):
    """Backwards, along an arc and fast: a base that lags behind pushes the hands into their folded arms."""
    session = MobileSession(Trial("mobile", "track", twist, seconds=6.0))
    while session.now < 6.0:
        session.tick()
    result = session.results()
    assert max(result["tracking_rms"][f"{side}_position"] for side in SIDES) < 3e-3
    assert session.limits_exceeded == 0
