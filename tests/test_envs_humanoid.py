"""The humanoid's balance: near misses of success, what is commanded and what pushes, the expert both ways."""

import numpy as np
import pytest

from robotics.environments import make_env
from robotics.envs.tasks.humanoid_balance import (
    CHANGE_S,
    HEIGHTS,
    PUSH_S,
    STANDING,
    BalanceState,
    balanced,
)
from robotics.errors import UsageError

ID = "robotics/HumanoidBalance-v0"


@pytest.fixture(scope="module")
def env():
    return make_env(ID)


def run(env, seed, act=None):
    """An episode by `act(observation)`, or by the expert, and that expert."""
    observation, _ = env.reset(seed=seed)
    expert = env.unwrapped.expert()
    expert.reset(env)
    ended, info = False, {}
    while not ended:
        observation, _, terminated, truncated, info = env.step((act or expert.act)(observation))
        ended = terminated or truncated
    return info, expert


def test_balance_and_its_near_misses():
    good = {
        "reach": 0.019, "off": -0.014, "off_so_far": 0.019, "tilt": 0.14, "grounded": 1.0, "speed": 0.04,
        "turning": 0.2, "fallen": False, "since": 0.0,
    }  # fmt: skip
    assert balanced(BalanceState(**good))
    for miss in (
        {"reach": 0.021},
        {"off": -0.016},
        {"off": 0.016},
        {"off_so_far": 0.021},
        {"tilt": 0.16},
        {"grounded": 0.875},
        {"speed": 0.06},
        {"turning": 0.31},
        {"fallen": True},
        {"since": -0.02},
    ):
        assert not balanced(BalanceState(**{**good, **miss})), miss
    many = BalanceState(**{**good, "reach": np.array([0.01, 0.03])})
    assert balanced(many).tolist() == [True, False]


@pytest.mark.parametrize(("mode", "seed"), [("joint", 1_000_012), ("ee", 1_000_003)])
def test_the_expert_keeps_its_balance_through_its_actions(mode, seed):
    env = make_env(ID, action_mode=mode)
    info, expert = run(env, seed)
    assert info["success"]
    assert not any({**expert.faults(), **env.unwrapped.faults()}.values())


def test_it_takes_more_than_to_hold_the_joints_where_they_are(env):
    """Servos alone do not follow the command, nor reach, and a push that the expert stands throws them over."""
    env.reset(seed=1_000_012)
    home = env.unwrapped.data.ctrl.astype(np.float32)
    info, _ = run(env, 1_000_012, lambda _: home)
    assert not info["success"]
    assert env.unwrapped.fallen(env.unwrapped.state)[0]


def test_an_arm_alone_does_not_follow_the_command(env):
    """Everything as the expert does it, but for the pelvis, which stays up until the first squat should be over."""
    expert = env.unwrapped.expert()

    def lazy(observation):
        if env.unwrapped.data.time < 2.8:
            observation["state"][-3:-1] = [STANDING, 0.0]
        return expert.act(observation)

    env.reset(seed=1_000_004)
    expert.reset(env)
    info, _ = run(env, 1_000_004, lazy)
    state = env.unwrapped.balance_state(env.unwrapped.state)
    assert not info["success"]
    assert state.reach[0] < 0.02
    assert abs(state.off[0]) < 0.015
    assert state.off_so_far[0] > 0.02


def test_the_command_begins_standing_ends_at_the_last_height_and_tells_its_rate(env):
    env.reset(seed=5)
    task, heights = env.unwrapped, []
    times = np.arange(0.0, 5.0, 1e-3)
    rates = []
    for time in times:
        task.data.time = time
        height, rate, _ = task.command(task.state)[0]
        heights.append(height)
        rates.append(rate)
    first, second, begin, again = task.data.userdata[:4]
    assert heights[0] == pytest.approx(STANDING)
    assert heights[int((begin + CHANGE_S + 0.01) * 1000)] == pytest.approx(first)
    assert heights[int((again + CHANGE_S + 0.01) * 1000)] == pytest.approx(second)
    assert np.gradient(heights, times) == pytest.approx(rates, abs=2e-3)


def test_instances_are_within_their_bounds_and_the_ball_hangs_on_the_side_of_its_hand(env):
    task, hands = env.unwrapped, set()
    for seed in range(20):
        observation, _ = env.reset(seed=seed)
        side = task.data.userdata[4]
        hands.add(side)
        assert ("left" if side > 0 else "right") in task.instruction
        assert observation["state"][-1] == side
        assert observation["environment_state"][-3:] == pytest.approx(task.data.mocap_pos[0])
        assert side * task.data.mocap_pos[0, 1] >= 0
        assert (task.data.userdata[:2] >= HEIGHTS[0]).all() and (task.data.userdata[:2] <= HEIGHTS[1]).all()
        balls = task.data.geom_xpos[task._soles, 2] - task.model.geom_size[task._soles, 0]
        assert balls.min() == pytest.approx(0.0, abs=1e-9)
    assert hands == {-1.0, 1.0}


def test_the_pushes_come_once_each_and_end(env):
    env.reset(seed=4)
    task, given = env.unwrapped, np.zeros(2)
    impulses = task.data.userdata[5:9].reshape(2, 2).copy()
    steps = 0
    for _ in range(400):
        task.disturb(task.state)
        force = task.data.xfrc_applied[task._base, :2].copy()
        given += force / task.control_hz
        steps += force.any()
        task.data.time += 1 / task.control_hz
    assert given == pytest.approx(impulses.sum(axis=0))
    assert steps == 2 * PUSH_S * task.control_hz
    assert not task.data.xfrc_applied.any()


def test_the_other_hand_does_not_count(env):
    env.reset(seed=0)
    task = env.unwrapped
    named, other = ("left_hand", "right_hand") if task.data.userdata[4] > 0 else ("right_hand", "left_hand")
    for hand, near in ((named, True), (other, False)):
        task.data.mocap_pos[0] = task.data.site(hand).xpos
        assert (task.balance_state(task.state).reach[0] < 0.02) == near


@pytest.mark.parametrize(("angle", "fallen"), [(0.3, False), (0.7, False), (0.9, True), (2.0, True)])
def test_a_fall_is_told_from_a_lean(env, angle, fallen):
    env.reset(seed=0)
    task = env.unwrapped
    task.data.qpos[3:7] = [np.cos(angle / 2), np.sin(angle / 2) * 0.6, np.sin(angle / 2) * 0.8, 0]
    assert task.tilt(task.state)[0] == pytest.approx(angle)
    assert task.fallen(task.state)[0] == fallen
    down = task.observe(task.state)["state"][0, :3]
    assert down[2] == pytest.approx(-np.cos(angle))


def test_a_pelvis_near_the_ground_has_fallen(env):
    env.reset(seed=0)
    task = env.unwrapped
    for height, fallen in ((0.45, False), (0.39, True)):
        task.data.qpos[2] = height
        assert task.lost(task.state)[0] == fallen


def test_a_lifted_sole_is_not_on_the_ground(env):
    env.reset(seed=0)
    task = env.unwrapped
    home = task.data.ctrl.astype(np.float32)
    for _ in range(10):
        env.step(home)
    assert task.grounded(task.state)[0].tolist() == [1.0, 1.0]
    task.data.qpos[2] += 0.05
    env.step(home)
    assert task.grounded(task.state)[0].tolist() == [0.0, 0.0]


def test_unknown_options_are_refused(env):
    with pytest.raises(UsageError, match="reset option"):
        env.reset(options={"height": 0.6})
