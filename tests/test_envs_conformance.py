"""What every registered task must do. One test for all of them: a new task is covered by being registered."""

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3.common.env_checker import check_env as check_env_sb3

from robotics import ENVIRONMENTS
from robotics.environments import make_env
from robotics.envs.base import MujocoTask
from robotics.errors import UsageError
from tests.vector import actions, assert_same

IDS = [env_id for env_id in ENVIRONMENTS if env_id.startswith("robotics/")]  # not of plugins


def modes(env_id):
    return gym.envs.registration.load_env_creator(ENVIRONMENTS[env_id]).ACTION_MODES


EVERY_MODE = [pytest.param(env_id, mode, id=f"{env_id[9:]}-{mode}") for env_id in IDS for mode in modes(env_id)]
every_task = pytest.mark.parametrize("env_id", IDS)
every_mode = pytest.mark.parametrize(("env_id", "mode"), EVERY_MODE)


def played(env, seed, steps):
    """Everything that a seeded episode returns."""
    seen = [env.reset(seed=seed)]
    for action in actions(env.action_space, seed, steps):
        seen.append(env.step(action))
        if seen[-1][2] or seen[-1][3]:
            break
    return seen


@every_mode
def test_gymnasium_and_stable_baselines_find_nothing_wrong(env_id, mode):
    kind = gym.envs.registration.load_env_creator(ENVIRONMENTS[env_id])
    env = make_env(
        env_id, action_mode=mode, cameras=kind.camera_names[:1], image_size=(32, 48), render_mode="rgb_array"
    )
    check_env(env.unwrapped, skip_render_check=True)
    check_env_sb3(env, warn=False)
    env.close()


@every_task
def test_a_task_says_what_it_is(env_id):
    env = make_env(env_id)
    task = env.unwrapped
    assert isinstance(task, MujocoTask)
    assert len(task.camera_names) >= 2
    assert len({task.task, *task.paraphrases}) >= 3, "a language instruction and two paraphrases"
    assert task.default_camera in task.camera_names
    assert env.spec.max_episode_steps
    assert env.metadata["render_fps"] == task.control_hz
    assert set(task.observation_space.spaces) == {"state", "environment_state"}
    assert all(
        task.model.joint(j).name and task.model.body(task.model.jnt_bodyid[j]).name for j in range(task.model.njnt)
    )
    assert env.spec.to_json()
    env.close()


@every_mode
def test_same_seed_same_bits_also_after_other_episodes(env_id, mode):
    env, fresh = (make_env(env_id, action_mode=mode) for _ in range(2))
    first = played(env, 7, 9)
    other = played(env, 8, 9)
    assert any((first[0][0][key] != other[0][0][key]).any() for key in first[0][0]), "another seed, another instance"
    assert_same(first, played(env, 7, 9))
    assert_same(first, played(fresh, 7, 9))
    env.close()
    fresh.close()


@every_mode
def test_what_comes_out_is_within_what_was_promised(env_id, mode):
    env = make_env(env_id, action_mode=mode)
    for observation, *rest in played(env, 3, 12):
        assert env.observation_space.contains(observation)
        info = rest[-1]
        terms = [value for key, value in info.items() if key != "success"]
        assert info["success"] in (True, False)
        assert all(type(term) is float and 0.0 <= term <= 1.0 for term in terms)
        if len(rest) > 1:
            assert rest[0] == pytest.approx(np.mean(terms))
    env.close()


@pytest.mark.parametrize("threads", [1, 2])
@every_mode
def test_vector_equals_serial_bit_for_bit(env_id, mode, threads):
    """Three copies with images, through two ends of episodes."""
    kind = gym.envs.registration.load_env_creator(ENVIRONMENTS[env_id])
    options = {"action_mode": mode, "cameras": kind.camera_names[:1], "image_size": (24, 32), "max_episode_steps": 5}
    serial = SyncVectorEnv([lambda: gym.make(env_id, disable_env_checker=True, **options)] * 3)
    vector = gym.make_vec(env_id, num_envs=3, threads=threads, **options)
    assert vector.single_action_space == serial.single_action_space
    assert vector.observation_space == serial.observation_space
    assert vector.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert_same(serial.reset(seed=11), vector.reset(seed=11))
    for action in actions(vector.action_space, 0, 13):
        assert_same(serial.step(action), vector.step(action))
    assert_same(serial.reset(), vector.reset())
    serial.close()
    vector.close()


@every_task
def test_an_episode_that_success_does_not_end_goes_on(env_id, monkeypatch):
    kind = gym.envs.registration.load_env_creator(ENVIRONMENTS[env_id])
    hold, limit = kind.HOLD_STEPS, kind.HOLD_STEPS + 3
    monkeypatch.setattr(kind, "succeeds", lambda task, state: np.ones(state.size, bool))
    monkeypatch.setattr(kind, "lost", lambda task, state: np.zeros(state.size, bool))
    options = {"max_episode_steps": limit, "end_on_success": False}
    serial = SyncVectorEnv([lambda: gym.make(env_id, disable_env_checker=True, **options)] * 2)
    vector = gym.make_vec(env_id, num_envs=2, **options)
    assert_same(serial.reset(seed=11), vector.reset(seed=11))
    for step, action in enumerate(actions(vector.action_space, 0, limit), start=1):
        results = vector.step(action)
        assert_same(serial.step(action), results)
        _, _, terminated, truncated, info = results
        assert info["success"].tolist() == [step >= hold] * 2
        assert not terminated.any() and truncated.tolist() == [step == limit] * 2
    serial.close()
    vector.close()


@every_task
def test_a_copy_is_an_environment_of_its_own(env_id):
    """Copied or pickled in the middle of an episode, after it has rendered, it goes on as the original does."""
    kind = gym.envs.registration.load_env_creator(ENVIRONMENTS[env_id])
    env = make_env(env_id, cameras=kind.camera_names[:1], image_size=(24, 32))
    env.reset(seed=3)
    env.step(env.action_space.high)
    twins = [copy.deepcopy(env), pickle.loads(pickle.dumps(env))]
    low, high = env.action_space.low, env.action_space.high
    steps = [lambda one: one.step(high), lambda one: one.step(low), lambda one: one.reset(), lambda one: one.step(high)]
    for step in steps:
        expected = step(env)
        for twin in twins:
            assert_same(expected, step(twin))
    for one in (env, *twins):
        one.close()


@pytest.mark.parametrize(("env_id", "mode"), [("robotics/Lift-v0", "ee"), ("robotics/QuadrupedVelocity-v0", "twist")])
def test_an_environment_with_a_controller_in_its_step_is_not_copied(env_id, mode):
    env = make_env(env_id, action_mode=mode)
    for copied in (copy.deepcopy, pickle.dumps):
        with pytest.raises(UsageError, match=f"can not be copied in action mode '{mode}'.*make another one"):
            copied(env)
    env.close()


@every_task
def test_the_expert_solves_it_through_its_own_actions(env_id):
    env = make_env(env_id)
    expert = env.unwrapped.expert()
    observation, _ = env.reset(seed=1_000_000)
    expert.reset(env)
    ended, to_do = False, env.unwrapped.left_to_do()
    while not ended:
        action = expert.act(observation)
        assert env.action_space.contains(action)
        observation, _, terminated, truncated, info = env.step(action)
        ended = terminated or truncated
    assert info["success"] and env.unwrapped.left_to_do() < to_do
    env.close()


@every_mode
def test_actions_that_can_not_be_meant_move_nothing(env_id, mode):
    env = make_env(env_id, action_mode=mode)
    env.reset(seed=0)
    before = env.unwrapped.data.qpos.copy()
    nan = np.full(env.action_space.shape, np.nan)
    for bad, message in ((nan, "NaN or infinity"), (np.zeros(99), r"shape \(99,\), expected"), ("left", "numbers")):
        with pytest.raises(ValueError, match=f"{env_id}.*{message}"):
            env.step(bad)
    assert np.array_equal(env.unwrapped.data.qpos, before)
    env.close()
