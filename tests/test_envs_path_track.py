"""The path-tracking task: near misses of success, paths a car can drive, steering no faster than the wheel turns."""

import numpy as np
import pytest

from robotics.environments import make_env
from robotics.envs.robots.car import CAR, steering_angle
from robotics.envs.tasks.path_track import BEND, CRUISE, DURATION, NODES, STEP, TrackState, random_path, tracked
from robotics.errors import UsageError


def test_success_and_its_near_misses():
    good = {"across": 0.29, "slower": 0.9, "time": DURATION}
    assert tracked(TrackState(**good))
    for miss in ({"across": 0.31}, {"slower": 1.1}, {"time": DURATION - 0.05}):
        assert not tracked(TrackState(**{**good, **miss})), miss
    assert tracked(TrackState(np.array([0.1, 0.4]), 0.0, np.array([8.0, 8.0]))).tolist() == [True, False]


def test_paths_are_ones_that_a_car_can_drive():
    for seed in range(20):
        nodes = random_path(np.random.default_rng(seed))
        assert nodes.shape == (NODES, 5)
        position, heading, bend, speed = nodes[:, :2], nodes[:, 2], nodes[:, 3], nodes[:, 4]
        assert np.linalg.norm(np.diff(position, axis=0), axis=1) == pytest.approx(STEP, rel=1e-3)
        assert np.diff(heading) == pytest.approx((bend[1:] + bend[:-1]) / 2 * STEP, abs=1e-3)
        assert np.abs(bend).max() <= BEND and speed.max() <= CRUISE[1]
        assert (np.abs(bend) * speed**2).max() <= 3.6, "well within what tyres hold"
        steering = np.abs(np.diff(np.arctan(CAR.wheelbase * bend))) / STEP * speed[1:]
        assert steering.max() < CAR.max_steer_rate


def test_the_wheel_turns_no_faster_than_it_can():
    env = make_env("robotics/PathTrack-v0")
    env.reset(seed=0)
    for step in range(1, 4):
        env.step(np.array([0.0, CAR.max_steer], np.float32))
        commanded = steering_angle(*env.unwrapped.data.ctrl[env.unwrapped._servos])
        assert commanded == pytest.approx(step * CAR.max_steer_rate / env.unwrapped.control_hz)


@pytest.mark.parametrize(("action", "what"), [([0.0, 0.3], "path"), ([-7.0, 0.0], "speed")])
def test_far_from_path_or_speed_the_drive_is_over(action, what):
    env = make_env("robotics/PathTrack-v0")
    env.reset(seed=1_000_000)
    ended, steps = False, 0
    while not ended:
        _, _, ended, truncated, info = env.step(np.array(action, np.float32))
        steps += 1
    assert not (info["success"] or truncated) and 10 < steps < 100, what


def test_the_expert_comes_back_to_the_path_which_is_no_success():
    """Nor is it an end that the state gives away: only the time is over."""
    env = make_env("robotics/PathTrack-v0")
    observation, _ = env.reset(seed=1_000_001)
    for _ in range(15):
        observation, *_ = env.step(np.array([0.0, 0.15], np.float32))
    assert abs(observation["environment_state"][0]) > 0.3
    expert = env.unwrapped.expert()
    expert.reset(env)
    for _ in range(145):
        observation, _, terminated, truncated, info = env.step(expert.act(observation))
    assert abs(observation["environment_state"][0]) < 0.15
    assert not any(expert.faults().values())
    assert truncated and not terminated and not info["success"]


def test_unknown_options_are_refused():
    with pytest.raises(UsageError, match="reset option"):
        make_env("robotics/PathTrack-v0").reset(options={"speeed": 3})
