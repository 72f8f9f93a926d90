"""Tasks of robots with legs: near misses of success, commands, experts in closed loop and after a push."""

import numpy as np
import pytest

from robotics.environments import make_env
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
    for miss in ({"off": 0.13}, {"turning_off": 0.21}, {"fallen": True}, {"time": DURATION - 0.02}):
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
    assert not env.unwrapped.fallen(env.unwrapped.state)[0]
    assert not info["success"]


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
