"""Tasks of robots with legs: near misses of success, commands, experts in closed loop and after a push."""

import re

import gymnasium as gym
import numpy as np
import pytest

from robotics.environments import make_env
from robotics.envs.legged import PERIOD, QUADRUPED
from robotics.envs.tasks.quadruped_terrain import DURATION as CROSSING
from robotics.envs.tasks.quadruped_terrain import LANE, SCAN, STAIRS, CrossingState, crossed
from robotics.envs.tasks.quadruped_velocity import DURATION, VelocityState, followed
from robotics.errors import UsageError


def run(env, seed, steps=None, push=None):
    """The expert's episode; `push` (3,) [m/s] is added to the velocity of the base after a second and a half."""
    observation, _ = env.reset(seed=seed)
    expert = env.unwrapped.expert()
    expert.reset(env)
    step, ended, info = 0, False, {}
    while not ended and step != steps:
        if push is not None and step == 75:
            env.unwrapped.data.qvel[:3] += push
        observation, _, terminated, truncated, info = env.step(expert.act(observation))
        ended, step = terminated or truncated, step + 1
    return observation, info, expert


def test_following_and_its_near_misses():
    good = {"off": 0.1, "turning_off": 0.15, "fallen": False, "time": DURATION}
    assert followed(VelocityState(**good))
    ends = ({"time": DURATION - 0.02}, {"time": DURATION + 0.02})
    for miss in ({"off": 0.13}, {"turning_off": 0.21}, {"fallen": True}, *ends):
        assert not followed(VelocityState(**{**good, **miss})), miss
    assert followed(VelocityState(np.array([0.1, 0.2]), 0.0, False, DURATION)).tolist() == [True, False]


@pytest.mark.parametrize("mode", ["joint", "twist"])
def test_the_expert_follows_both_commands(mode):
    env = make_env("robotics/QuadrupedVelocity-v0", action_mode=mode)
    _, info, expert = run(env, 1_000_003)
    assert info["success"]
    assert not any(expert.faults().values())
    state = env.unwrapped.velocity_state(env.unwrapped.state)
    assert state.off[0] < 0.1 and state.turning_off[0] < 0.15


def test_standing_still_is_not_following():
    env = make_env("robotics/QuadrupedVelocity-v0")
    env.reset(seed=1_000_000)
    home = env.unwrapped.data.qpos[7:].astype(np.float32)
    ended = False
    while not ended:
        _, _, terminated, truncated, info = env.step(home)
        ended = terminated or truncated
    assert truncated and not terminated, "time is up, which is no failure of the robot"
    assert env.unwrapped.data.time == pytest.approx(DURATION)
    assert not env.unwrapped.fallen(env.unwrapped.state)[0]
    assert not info["success"]


def test_a_crossing_that_time_cuts_short_is_truncated():
    env = gym.make("robotics/QuadrupedTerrain-v0", max_episode_steps=1)
    env.reset(seed=0, options={"lane": 0})
    env.unwrapped.data.time = CROSSING - 0.01
    *_, terminated, truncated, info = env.step(env.unwrapped.data.ctrl.astype(np.float32))
    assert env.unwrapped.data.time == pytest.approx(CROSSING)
    assert (terminated, truncated, info["success"]) == (False, True, False)


def test_a_pushed_quadruped_stays_up():
    env = make_env("robotics/QuadrupedVelocity-v0")
    run(env, 1_000_001, steps=200, push=[0.0, 0.8, 0.0])
    assert not env.unwrapped.fallen(env.unwrapped.state)[0]


def test_down_is_where_gravity_pulls():
    env = make_env("robotics/QuadrupedVelocity-v0")
    env.reset(seed=0)
    task = env.unwrapped
    for angle, axis, down in ((np.pi / 2, 1, [1, 0, 0]), (np.pi / 2, 0, [0, -1, 0]), (0.7, 2, [0, 0, -1])):
        quat = np.array([np.cos(angle / 2), 0, 0, 0])
        quat[1 + axis] = np.sin(angle / 2)
        task.data.qpos[3:7] = quat
        assert task.observe(task.state)["state"][0, :3] == pytest.approx(down, abs=1e-9)


def test_unknown_options_are_refused():
    with pytest.raises(UsageError, match="reset option"):
        make_env("robotics/QuadrupedVelocity-v0").reset(options={"vx": 3})


def test_crossing_and_its_near_misses():
    good = {"share": 0.8, "astray": -0.7, "fallen": False, "time": CROSSING}
    assert crossed(CrossingState(**good))
    ends = ({"time": CROSSING - 0.01}, {"time": CROSSING + 0.01})
    for miss in ({"share": 0.7}, {"astray": -0.9}, {"fallen": True}, *ends):
        assert not crossed(CrossingState(**{**good, **miss})), miss


@pytest.mark.parametrize(("lane", "seed"), [(0, 1_000_000), (4, 1_000_000)])
def test_the_expert_crosses_rough_ground_and_the_highest_stairs(lane, seed):
    env = make_env("robotics/QuadrupedTerrain-v0")
    observation, _ = env.reset(seed=seed, options={"lane": lane})
    expert = env.unwrapped.expert()
    expert.reset(env)
    ended = False
    while not ended:
        observation, _, terminated, truncated, info = env.step(expert.act(observation))
        ended = terminated or truncated
    assert info["success"]


def test_the_ground_ahead_is_seen_as_it_is():
    env = make_env("robotics/QuadrupedTerrain-v0")
    task = env.unwrapped
    for lane, rise in enumerate(STAIRS, start=1):
        env.reset(seed=0, options={"lane": lane})
        task.data.qpos[:7] = [0.85, lane * LANE, 0.3, 1, 0, 0, 0]
        seen = task.observe(task.state)["environment_state"][0, -SCAN.size :]
        assert seen[SCAN <= 0.05] == pytest.approx(0, abs=1e-9)
        assert seen[(SCAN > 0.22) & (SCAN < 0.38)] == pytest.approx(rise)
        assert seen.max() == pytest.approx(3 * rise)


def test_the_words_for_terrain_are_true_of_every_lane():
    task = make_env("robotics/QuadrupedTerrain-v0").unwrapped
    assert not re.search("rough|stair|climb|step", " ".join((task.task, *task.paraphrases)))


def test_the_push_comes_once_and_ends():
    env = make_env("robotics/QuadrupedTerrain-v0")
    env.reset(seed=3, options={"lane": 1})
    task = env.unwrapped
    impulse, given = task.data.userdata[2], 0.0
    expert = task.expert()
    expert.reset(env)
    observation = task._observation()
    for _ in range(700):
        observation, *_ = env.step(expert.act(observation))
        given += task.data.xfrc_applied[task._base, 1] / task.control_hz
    assert given == pytest.approx(impulse, rel=1e-6)
    assert not task.data.xfrc_applied.any()


def test_the_clock_turns_once_a_trot_from_the_beginning_of_every_episode():
    env = make_env("robotics/QuadrupedVelocity-v0")
    steps = round(PERIOD * env.unwrapped.control_hz)
    for seed in (0, 1):
        observation, _ = env.reset(seed=seed)
        clocks = [observation["state"][-5:-3]]
        for _ in range(2 * steps):
            observation = env.step(np.array(QUADRUPED.home, np.float32))[0]
            clocks.append(observation["state"][-5:-3])
        angles = np.unwrap(np.arctan2(*np.array(clocks).T))
        assert np.allclose(angles, 2 * np.pi / steps * np.arange(2 * steps + 1), atol=1e-4)
    env.close()


def test_a_push_does_not_hurry_the_velocity_expert_out_of_time_with_the_clock():
    env = make_env("robotics/QuadrupedVelocity-v0")
    _, _, expert = run(env, 0, steps=125, push=[0.0, 0.5, 0.0])
    assert expert.locomotion._gait_t == pytest.approx(125 / env.unwrapped.control_hz)
    env.close()
