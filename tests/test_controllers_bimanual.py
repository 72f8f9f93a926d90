"""Two hands on one object, and two hands on a base that drives."""

import math

import mujoco
import numpy as np
import pytest

from robotics.control.bimanual import BimanualSession
from robotics.control.mobile import MobileSession
from robotics.control.trial import Conditions, Trial
from robotics.controllers.arms import HandTarget
from robotics.controllers.bimanual import BimanualCerebellum
from robotics.controllers.carrying import Grip
from robotics.controllers.encoders import EncoderFilter
from robotics.controllers.grasp import Held, contact_rows, grasp_matrix, internal, squeeze_of
from robotics.controllers.legged.locomotion import Twist
from robotics.controllers.mobile import BasePose, BaseTwist, MobileCerebellum
from robotics.controllers.rotation import rotation_matrix
from robotics.envs.robots import mobile_aloha
from robotics.envs.robots.aloha import ALOHA, nominal_model
from robotics.envs.robots.mobile_aloha import MOBILE_ALOHA, mobile_scene
from robotics.envs.robots.panda import ARM, arm_scene
from robotics.errors import UsageError

BOX = Held.box(1.0, (0.07, 0.06, 0.05))
LEVEL = np.array([1.0, 0, 0, 0])


# -- grasp ----------------------------------------------------------------------------------------------------------


def test_internal_wrenches_move_nothing_and_are_all_that_squeezes():
    G = grasp_matrix(0.07)
    assert G @ internal(10.0) == pytest.approx(np.zeros(6))
    wrench = np.random.default_rng(0).normal(size=6)
    moving = np.linalg.pinv(G) @ wrench
    assert G @ moving == pytest.approx(wrench)
    assert squeeze_of(moving) == pytest.approx(0.0, abs=1e-12)
    assert squeeze_of(moving + internal(7.0)) == pytest.approx(7.0)


def test_the_grasp_matrix_is_that_of_forces_at_the_contacts():
    rng = np.random.default_rng(1)
    f1, m1, f2, m2 = rng.normal(size=(4, 3))
    p = np.array([0.07, 0, 0])
    moment = np.cross(-p, f1) + m1 + np.cross(p, f2) + m2
    assert grasp_matrix(0.07) @ np.concatenate([f1, m1, f2, m2]) == pytest.approx(np.concatenate([f1 + f2, moment]))


@pytest.mark.parametrize("component", range(1, 6))
def test_a_hand_that_pulls_slips_or_tips_is_ruled_out(component):
    C = contact_rows(BOX)
    assert (C @ internal(10.0) >= 0).all()
    assert (C @ internal(-1.0) < 0).any()
    for first in (0, 6):
        wrenches = internal(10.0)
        wrenches[first + component] = 10.0  # as much as it presses
        assert (C @ wrenches < 0).any()


def test_the_greatest_acceleration_is_where_a_hand_begins_to_slip():
    a = BOX.greatest_acceleration(10.0)
    for scale, holds in ((0.999, True), (1.001, False)):
        wrenches = internal(10.0)
        wrenches[0] += 0.5 * scale * a
        wrenches[6] += 0.5 * scale * a  # the hand in front now presses less
        wrenches[2] = wrenches[8] = 0.5 * (9.81 + scale * a)
        assert (contact_rows(BOX) @ wrenches >= 0).all() == holds
    with pytest.raises(UsageError, match=r"8.0 N does not hold 1.0 kg: it takes more than 8.7 N"):
        BOX.greatest_acceleration(8.0)


@pytest.mark.parametrize("mass", [0.0, -1.0, math.nan])
def test_objects_without_mass_are_refused(mass):
    with pytest.raises(UsageError, match="positive mass"):
        Held(mass, (1.0, 1.0, 1.0), 0.1)


# -- one instant of carrying ----------------------------------------------------------------------------------------


def holding(q: np.ndarray | None = None) -> BimanualCerebellum:
    """A robot that has held a box for long enough, between its hands as they are at home."""
    cerebellum = BimanualCerebellum(nominal_model(), ALOHA)
    model = cerebellum.model
    middle = 0.5 * (model.pose("left")[0] + model.pose("right")[0])
    cerebellum.grasp(Held.box(1.0, (0.1, 0.05, 0.05)), middle, LEVEL)
    home = np.array(ALOHA.home) if q is None else q
    for _ in range(400):
        cerebellum.torque(home, np.zeros(14))
    return cerebellum


def test_an_object_at_rest_is_held_by_its_weight_and_the_squeeze_alone():
    wrenches = holding()._carrier.wrenches
    least = np.linalg.pinv(grasp_matrix(0.1)) @ np.array([0, 0, 9.81, 0, 0, 0]) + internal(10.0)
    assert wrenches == pytest.approx(least, abs=0.05)


def test_torques_are_those_of_the_free_robot_and_of_what_presses_on_it():
    cerebellum = holding()
    q, v = np.array(ALOHA.home), 0.05 * np.random.default_rng(0).normal(size=14)
    torque, acceleration = cerebellum.torque(q, v)
    carrier, model = cerebellum._carrier, cerebellum.model
    contacts = carrier.grip.kinematics(model).contacts
    assert torque == pytest.approx(model.M @ acceleration + model.h + contacts.T @ carrier.wrenches, abs=1e-9)


def test_the_jacobian_of_the_held_object_is_its_derivative():
    model = BimanualCerebellum(nominal_model(), ALOHA).model
    q, v = np.array(ALOHA.home), np.random.default_rng(2).normal(size=14)
    grip = Grip(model, ("left", "right"), BOX, 0.5 * (model.pose("left")[0] + model.pose("right")[0]), LEVEL)
    model.update(q, v)
    here = grip.kinematics(model)
    assert here.position == pytest.approx(0.5 * (model.pose("left")[0] + model.pose("right")[0]))
    eps = 1e-6
    model.update(q + eps * v, v)
    there = grip.kinematics(model)
    assert (there.position - here.position) / eps == pytest.approx((here.jacobian @ v)[:3], abs=1e-5)
    rate = (there.jacobian @ v - here.jacobian @ v) / eps
    assert rate == pytest.approx(here.drift, abs=1e-3)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e9])
def test_broken_measurements_give_a_safe_torque(bad):
    cerebellum = holding()
    q = np.array(ALOHA.home)
    q[1] = bad
    torque, _ = cerebellum.torque(q, np.zeros(14))
    assert np.isfinite(torque).all()
    assert (np.abs(torque) <= cerebellum.model.torque_upper + 1e-9).all()
    assert cerebellum.faults.as_dict()["nan"] >= 1


def test_one_hand_can_not_carry():
    with pytest.raises(UsageError, match="two hands hold an object"):
        BimanualCerebellum(arm_scene().compile(), ARM)


# -- encoders -------------------------------------------------------------------------------------------------------


def test_velocities_come_through_few_counts():
    step, dt = 2 * math.pi / 4096, 0.002
    encoder = EncoderFilter(np.array([step]), np.array([3.0]), dt)
    errors, naive, last = [], [], 0.0
    for tick in range(2000):
        t = tick * dt
        q, v, a = math.sin(t), math.cos(t), -math.sin(t)
        count = round(q / step) * step
        _, estimate = encoder.update(np.array([count]), np.array([a]))
        errors.append(estimate[0] - v)
        naive.append((count - last) / dt - v)
        last = count
    assert np.std(errors[500:]) < 0.01
    assert np.std(naive[500:]) > 0.2
    _, v = encoder.update(np.array([np.nan]), np.array([np.inf]))
    assert np.isfinite(v).all()


# -- closed loops ---------------------------------------------------------------------------------------------------


def run(session, seconds: float):
    while session.now < seconds:
        session.tick()
        assert not session.fell()
    return session.results()


def test_a_box_is_squeezed_lifted_and_stays_on_its_path():
    session = BimanualSession(Trial("bimanual", "carry", seconds=6.2))
    results = run(session, 6.2)
    assert session.plant.box()[0][2] > 0.15
    assert results["position_max"] < 3e-3
    assert results["squeeze"]["within_2N"] > 0.98
    assert results["squeeze"]["felt_rms_error"] < 1.5
    assert session.limits_exceeded == 0
    assert set(session.faults().values()) == {0}


def test_a_trial_that_is_too_short_to_lift_the_box_says_so():
    with pytest.raises(UsageError, match="carry takes 5 s"):
        BimanualSession(Trial("bimanual", "carry", seconds=2.0))


def test_a_box_that_is_knocked_out_of_the_hands_is_a_failure():
    session = BimanualSession(Trial("bimanual", "carry", seconds=5.0, conditions=Conditions(push=20.0, push_at_s=3.4)))
    while session.now < 5.0 and not session.fell():
        session.tick()
    assert session.fell()


@pytest.fixture(scope="module")
def driven() -> MobileSession:
    session = MobileSession(Trial("mobile", "track", Twist(0.4, 0.0, 0.2), seconds=5.0))
    run(session, 5.0)
    return session


def test_hands_keep_to_their_world_paths_while_the_base_drives(driven):
    tracking = driven.results()["tracking_rms"]
    assert max(tracking["left_position"], tracking["right_position"]) < 5e-3
    assert driven.results()["base"][0] > 1.0
    assert driven.limits_exceeded == 0


def test_the_base_stands_while_the_arms_can_do_it_alone():
    session = MobileSession(Trial("mobile", "track", seconds=3.0))
    run(session, 3.0)
    assert np.abs(session.plant.truth()[0][:3]).max() < 0.02


class DrivenRobot:
    """The mobile robot in a simulator, by true state."""

    def __init__(self) -> None:
        self.model = mobile_scene().compile()
        self.data = mujoco.MjData(self.model)
        self.cerebellum = MobileCerebellum(mobile_aloha.nominal_model(), MOBILE_ALOHA)
        self._q = np.array([self.model.joint(j).qposadr[0] for j in MOBILE_ALOHA.joints])
        self._v = np.array([self.model.joint(j).dofadr[0] for j in MOBILE_ALOHA.joints])
        self._motors = [self.model.actuator(j.replace("left_finger", "gripper")).id for j in MOBILE_ALOHA.joints]
        self.data.qpos[self._q] = MOBILE_ALOHA.home
        for side in ("left", "right"):
            self.data.qpos[self.model.joint(f"{side}/right_finger").qposadr[0]] = MOBILE_ALOHA.home[-1]

    def run(self, seconds: float, targets, **options) -> np.ndarray:
        """Where the base is after planning `targets` all the time."""
        for tick in range(round(seconds / 0.002)):
            if tick % 10 == 0:
                self.cerebellum.plan(targets, **options)
            self.data.ctrl[self._motors], _ = self.cerebellum.torque(self.data.qpos[self._q], self.data.qvel[self._v])
            mujoco.mj_step(self.model, self.data)
        return self.data.qpos[self._q[:3]].copy()


def at_home(cerebellum: MobileCerebellum) -> dict[str, HandTarget]:
    poses = {side: cerebellum.model.pose(side) for side in ("left", "right")}
    return {side: HandTarget(position, quat, 0.02) for side, (position, quat) in poses.items()}


def test_the_base_drives_to_a_pose_with_the_hands_kept_before_it():
    robot = DrivenRobot()
    hands = at_home(robot.cerebellum)
    robot.cerebellum.drive(BasePose(0.5, -0.3, 0.6))
    base = robot.run(4.0, hands, with_base=True)
    assert base == pytest.approx([0.5, -0.3, 0.6], abs=0.02)
    R = rotation_matrix(np.array([math.cos(base[2] / 2), 0, 0, math.sin(base[2] / 2)]))
    for side, target in hands.items():
        mujoco.mj_kinematics(robot.model, robot.data)
        seen = R.T @ (robot.data.site(f"{side}/gripper").xpos - [base[0], base[1], 0])
        assert seen == pytest.approx(target.position, abs=5e-3)


def test_the_base_drives_by_a_twist_in_its_own_frame():
    robot = DrivenRobot()
    robot.cerebellum.drive(BaseTwist(0.3, 0.0, 0.5))
    base = robot.run(3.0, at_home(robot.cerebellum), with_base=True)
    assert 0.7 < base[2] < 1.5
    radius = 0.3 / 0.5
    assert base[:2] == pytest.approx(radius * np.array([math.sin(base[2]), 1 - math.cos(base[2])]), abs=0.08)


def test_targets_out_of_reach_bring_the_base():
    robot = DrivenRobot()
    targets = {
        side: HandTarget(t.position + [0.8, 0.2, 0], t.quat, t.opening) for side, t in at_home(robot.cerebellum).items()
    }
    base = robot.run(4.0, targets)
    assert base[0] > 0.6
    for side, target in targets.items():
        assert robot.data.site(f"{side}/gripper").xpos == pytest.approx(target.position, abs=5e-3)


def test_orders_that_can_not_be_meant():
    cerebellum = MobileCerebellum(mobile_aloha.nominal_model(), MOBILE_ALOHA)
    with pytest.raises(UsageError, match="can not go to"):
        cerebellum.drive(BaseTwist(math.nan, 0.0, 0.0))
    with pytest.raises(UsageError, match="joint 'left/waist' is to be one of its base that slides along x"):
        MobileCerebellum(nominal_model(), ALOHA)


def test_hands_in_the_frame_of_a_base_at_rest_are_where_they_would_be_in_the_world():
    cerebellum = MobileCerebellum(mobile_aloha.nominal_model(), MOBILE_ALOHA)
    hands = at_home(cerebellum)
    cerebellum.plan(hands, with_base=True)
    for side, target in hands.items():
        assert cerebellum.planned(side, [0.0, 0.3]) == pytest.approx(np.tile(target.position, (2, 1)), abs=1e-6)
