"""MobileServe: strict success and its near misses, the base and its servos, the room, the expert."""

import copy
import math

import numpy as np
import pytest

from robotics.controllers.arms import HandTarget
from robotics.controllers.mobile import _moved, _on_floor
from robotics.controllers.motors import servo_gains
from robotics.controllers.rotation import angle, rotation_matrix
from robotics.environments import make_env
from robotics.envs.mobile import in_base, towards
from robotics.envs.robots.mobile_aloha import SPEED
from robotics.envs.tasks.mobile_serve import BEHIND, HALF_HEIGHT, MASS, RADIUS, TOP, ServeState, _Scene, served
from robotics.errors import UsageError

ID = "robotics/MobileServe-v0"
STANDING = np.zeros(3)


@pytest.fixture(scope="module")
def env():
    env = make_env(ID)
    yield env
    env.close()


# -- success --------------------------------------------------------------------------------------------------------

SERVED = {"off": 0.02, "gap": -0.001, "upright": 0.9999, "speed": 0.001, "touched": False, "hand": 0.14}


def test_a_can_on_its_mat_is_served():
    assert served(ServeState(**SERVED))


@pytest.mark.parametrize(
    "miss",
    [
        {"off": 0.031},  # beside the mat's middle
        {"gap": 0.005},  # still in the air
        {"gap": -0.08},  # on something lower
        {"upright": 0.98},  # tilted
        {"upright": 0.0},  # lying
        {"speed": 0.03},
        {"touched": True},
        {"hand": 0.09},  # let go of, but the hand is still there
    ],
)
def test_near_misses_are_not_served(miss):
    assert not served(ServeState(**SERVED | miss))


def test_success_of_many_is_that_of_each():
    rng = np.random.default_rng(0)
    many = {name: np.full(60, value) for name, value in SERVED.items()}
    many |= {"off": rng.uniform(0, 0.05, 60), "touched": rng.random(60) < 0.3, "hand": rng.uniform(0.05, 0.3, 60)}
    together = served(ServeState(**many))
    each = [served(ServeState(**{name: values[k] for name, values in many.items()})) for k in range(60)]
    assert together.tolist() == each
    assert 0 < together.sum() < 60


# -- the base -------------------------------------------------------------------------------------------------------


def standing(env, speed=STANDING):
    """The action that keeps the arms where they are."""
    return np.array([*speed, *env.unwrapped.joint_positions()[3:]], np.float32)


def test_the_base_drives_by_its_own_frame(env):
    env.reset(seed=0)
    data, speed = env.unwrapped.data, np.array([0.3, 0.2, 0.4])
    data.qpos[env.unwrapped._q[:3]] = 0.0, 0.0, -1.5
    action = standing(env, speed)
    for _ in range(50):
        observation, *_ = env.step(action)
    assert observation["state"][17:] == pytest.approx(speed, abs=0.05)
    yaw = data.joint("base_yaw").qpos[0]
    assert -1.5 + 0.3 < yaw < -1.5 + 0.4
    c, s = math.cos(yaw), math.sin(yaw)
    expected = [c * speed[0] - s * speed[1], s * speed[0] + c * speed[1]]
    assert [data.joint("base_x").qvel[0], data.joint("base_y").qvel[0]] == pytest.approx(expected, abs=0.05)


def test_a_heading_is_seen_within_half_a_turn(env):
    env.reset(seed=0)
    env.unwrapped.data.joint("base_yaw").qpos[0] = 7.0
    seen = env.unwrapped.robot_state(env.unwrapped.state)[0]
    assert seen[2] == pytest.approx(7.0 - 2 * math.pi)
    assert env.unwrapped.data.joint("base_yaw").qpos[0] == 7.0


def test_furniture_stops_the_base(env):
    env.reset(seed=1)
    task = env.unwrapped
    counter = task.data.mocap_pos[task._counter]
    way = math.atan2(counter[1], counter[0])
    task.data.qpos[task._q[:3]] = 0.0, 0.0, way
    for _ in range(120):
        env.step(standing(env, [1.0, 0.0, 0.0]))
    left = np.linalg.norm(counter[:2] - task.data.qpos[task._q[:2]])
    assert left == pytest.approx(
        0.24, abs=0.01
    )  # half the chassis is 0.28, and the cupboard 4 cm behind the top's edge
    assert task.data.joint("base_x").qvel[0] < 0.05


@pytest.mark.parametrize("heading", [0.0, 2.0, -3.0])
def test_driving_towards_a_place_arrives_without_overshoot(heading):
    """Of a base that takes on a speed within 0.3 s, as ours."""
    base, velocity, goal = np.array([0.3, -0.2, heading]), np.zeros(3), np.array([-0.6, 0.7, 2.5])
    start = np.linalg.norm(goal[:2] - base[:2])
    for _ in range(500):
        twist = np.array([*vars(towards(base, velocity, goal)).values()])
        velocity = velocity + 0.02 / 0.28 * (np.clip(twist, -np.array(SPEED), SPEED) - velocity)
        c, s = math.cos(base[2]), math.sin(base[2])
        base = base + 0.02 * np.array(
            [c * velocity[0] - s * velocity[1], s * velocity[0] + c * velocity[1], velocity[2]]
        )
        along = (goal[:2] - base[:2]) @ (goal[:2] - [0.3, -0.2]) / start
        assert along > -0.01
    assert base[:2] == pytest.approx(goal[:2], abs=1e-3)
    assert math.remainder(base[2] - goal[2], math.tau) == pytest.approx(0, abs=1e-3)


def test_targets_in_the_frame_of_the_base_are_those_in_the_world():
    rng = np.random.default_rng(0)
    for _ in range(10):
        quat = rng.normal(size=4)
        target = HandTarget(rng.normal(size=3), quat / np.linalg.norm(quat), 0.01)
        base = rng.uniform(-2, 2, 3)
        position, turned = _moved(_on_floor(*base), in_base(base, target))
        assert position == pytest.approx(target.position)
        assert angle(turned, target.quat) == pytest.approx(0, abs=1e-9)


def test_an_expert_that_takes_over_drives_on(env):
    """Where a learner has brought it, at the speed that it has there: no jerk in what it commands."""
    observation, _ = env.reset(seed=2)
    expert = env.unwrapped.expert()
    expert.reset(env)
    for _ in range(40):
        action = expert.act(observation)
        observation, *_ = env.step(action)
    speed = observation["state"][17:]
    assert np.linalg.norm(speed[:2]) > 0.3
    late = env.unwrapped.expert()
    late.reset(env)
    late.resume()
    assert late.act(observation)[:3] == pytest.approx(expert.act(observation)[:3], abs=0.05)


def test_an_expert_tells_servos_past_the_error_of_their_encoders(env):
    """The base's too: those of speed have none."""
    observation, _ = env.reset(seed=2)
    task, nominal = env.unwrapped, env.unwrapped.believed
    zeros = np.concatenate([np.zeros(3), np.linspace(-0.03, 0.03, 14)])
    zeros[[9, 16]] = 0.0  # of the fingers, which close on what there is
    told = []
    for offset in (0.0 * zeros, zeros):
        task.believed = copy.copy(nominal)
        task.believed.actuator_biasprm[:, 0] -= servo_gains(nominal)[0] * offset
        expert = task.expert()
        expert.reset(env)
        told.append(expert.act(observation))
    task.believed = nominal
    assert told[1] - told[0] == pytest.approx(zeros, abs=1e-6)


# -- scene ----------------------------------------------------------------------------------------------------------


def test_the_can_stands_on_the_counter_and_nothing_touches_the_robot(env):
    seen = []
    for seed in range(20):
        observation, info = env.reset(seed=seed)
        can, size, counter, table, mat = np.split(observation["environment_state"], [7, 9, 14, 19])
        for low_high, value in ((RADIUS, size[0]), (HALF_HEIGHT, size[1]), (TOP, counter[2]), (TOP, table[2])):
            assert low_high[0] - 1e-6 <= value <= low_high[1] + 1e-6
        for front, place in ((counter, can[:2]), (table, mat)):
            assert BEHIND[0] - 1e-5 <= (place - front[:2]) @ front[3:] <= BEHIND[1] + 1e-5
        assert MASS[0] <= env.unwrapped.model.body("can").mass[0] <= MASS[1]
        assert not info["served"]
        for _ in range(3):
            observation, *_ = env.step(standing(env))
        assert observation["environment_state"][:3] == pytest.approx(can[:3], abs=1e-3)
        assert not env.unwrapped.state.sensor("touched").any()
        bodies = env.unwrapped.model.geom_bodyid[env.unwrapped.data.contact.geom].ravel()
        assert set(bodies) == {env.unwrapped.model.body("can").id, env.unwrapped.model.body("counter").id}
        seen.append(observation["environment_state"])
    assert (np.ptp(seen, axis=0)[[0, 1, 2, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19, 20]] > 0.005).all()


def test_a_can_put_on_the_mat_by_nobody_is_served_after_ten_steps(env):
    """Success is about the state: it counts the steps, and the tables' heights, as they are."""
    observation, _ = env.reset(seed=3)
    seen = observation["environment_state"]
    env.unwrapped.data.joint("can").qpos[:3] = [*seen[19:], seen[16] + seen[8]]
    ends = [env.step(standing(env)) for _ in range(env.unwrapped.HOLD_STEPS)]
    assert [end[2] for end in ends] == [False] * 9 + [True]
    _, reward, _, _, info = ends[-1]
    assert info["success"]
    assert reward == pytest.approx((info["near"] + info["grasped"] + info["carried"] + info["served"]) / 4)


def test_a_can_on_the_floor_and_a_robot_out_of_the_room_are_lost(env):
    env.reset(seed=0)
    env.unwrapped.data.joint("can").qpos[:3] = 0.0, 1.5, 0.1
    _, _, terminated, _, info = env.step(standing(env))
    assert terminated
    assert not info["success"]
    env.reset(seed=0)
    env.unwrapped.data.joint("base_y").qpos[0] = -4.1
    assert env.step(standing(env))[2]


def test_unknown_reset_options(env):
    with pytest.raises(UsageError, match="unknown reset option 'wind'"):
        env.reset(options={"wind": 3})


# -- expert ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tilt", [0.0, 0.3, np.pi / 2, np.pi - 0.2])
def test_the_expert_knows_the_lowest_point_of_a_can(tilt):
    quat = [np.cos(tilt / 2), np.sin(tilt / 2) * 0.6, np.sin(tilt / 2) * 0.8, 0.0]
    seen = np.array([1.0, 0.0, 1.0, *quat, 0.03, 0.06, *np.zeros(12)])
    turns = np.linspace(0, 2 * np.pi, 721)
    rims = [[0.03 * np.cos(turn), 0.03 * np.sin(turn), end] for turn in turns for end in (-0.06, 0.06)]
    lowest = 1.0 + (np.array(rims) @ rotation_matrix(np.array(quat))[2]).min()
    assert _Scene.seen(seen).bottom == pytest.approx(lowest, abs=1e-5)


def test_the_expert_serves_in_ee_mode():
    env = make_env(ID, action_mode="ee")
    expert = env.unwrapped.expert()
    observation, _ = env.reset(seed=1_000_001)
    expert.reset(env)
    ended = False
    while not ended:
        action = expert.act(observation)
        assert env.action_space.contains(action)
        observation, _, terminated, truncated, info = env.step(action)
        ended = terminated or truncated
    assert info["success"]
    assert not any((expert.faults() | env.unwrapped.faults()).values())
    env.close()


def test_the_expert_recovers_when_the_can_and_the_mat_are_moved(env):
    """The can while a hand reaches for it, the mat while the can is on its way."""
    observation, _ = env.reset(seed=1_000_003)
    expert = env.unwrapped.expert()
    expert.reset(env)
    data, task = env.unwrapped.data, env.unwrapped
    moved = {"can": False, "mat": False}
    into = observation["environment_state"][12:14]
    for _ in range(900):
        if not moved["can"] and task.serve_state(task.state).hand[0] < 0.15:
            data.joint("can").qpos[:2] += 0.06 * np.array([-into[1], into[0]])
            moved["can"] = True
        if not moved["mat"] and data.joint("can").qpos[2] > 1.15:
            into = observation["environment_state"][17:19]
            data.mocap_pos[task._mat, :2] += 0.05 * np.array([-into[1], into[0]])
            moved["mat"] = True
        observation, _, terminated, _, info = env.step(expert.act(observation))
        if terminated:
            break
    assert all(moved.values())
    assert info["success"]
