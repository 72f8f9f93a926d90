"""TransferCube: the contract of environments, strict success, the expert, and hostile input."""

import subprocess
import sys

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as check_env_sb3

import robotics  # noqa: F401  (registers the environments)
from robotics.environments import make_env
from robotics.envs.robots.aloha import OPEN
from robotics.envs.tasks.transfer_cube import REGION, TransferState, held_by_left
from robotics.errors import UsageError

ID = "robotics/TransferCube-v0"
MODES = ("joint", "ee")


@pytest.fixture(scope="module", params=MODES)
def env(request):
    env = make_env(ID, action_mode=request.param)
    yield env
    env.close()


def episode(env, seed, steps=12):
    """Everything a seeded episode of seeded random actions returns, as bytes."""
    observation, info = env.reset(seed=seed)
    rng = np.random.default_rng(seed)
    box = env.action_space
    seen = [observation, info]
    for _ in range(steps):
        observation, reward, terminated, truncated, info = env.step(rng.uniform(box.low, box.high))
        seen += [observation, reward, terminated, truncated, info]
    return repr([{k: v.tobytes() for k, v in x.items()} if isinstance(x, dict) and "state" in x else x for x in seen])


# -- contract -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_gymnasium_and_stable_baselines_find_nothing_wrong(mode):
    env = make_env(ID, action_mode=mode, cameras=("top",), image_size=(32, 48), render_mode="rgb_array")
    check_env(env.unwrapped, skip_render_check=True)
    check_env_sb3(env, warn=False)
    env.close()


def test_id_alone_is_enough_for_gymnasium():
    code = "import gymnasium; gymnasium.make('robotics:robotics/TransferCube-v0').reset(seed=0)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_observation_has_the_promised_keys_and_bounds(env):
    for seed in range(3):
        observation, info = env.reset(seed=seed)
        assert set(observation) == {"state", "environment_state"}
        assert env.observation_space.contains(observation)
        assert info["success"] is False
        low, high = REGION
        assert (observation["environment_state"][:2] >= low).all()
        assert (observation["environment_state"][:2] <= high).all()


def test_cube_fills_its_region_and_turns_every_way(env):
    poses = np.array([env.reset(seed=seed)[0]["environment_state"] for seed in range(60)])
    low, high = REGION
    assert (poses[:, :2].min(0) < low + 0.03).all()
    assert (poses[:, :2].max(0) > high - 0.03).all()
    yaw = 2 * np.degrees(np.arctan2(poses[:, 6], poses[:, 3]))
    assert yaw.min() < -38
    assert yaw.max() > 38


def test_same_seed_same_bits_also_after_other_episodes(env):
    first = episode(env, 7)
    episode(env, 8)
    assert episode(env, 7) == first
    fresh = make_env(ID, action_mode=env.unwrapped.action_mode)
    assert episode(fresh, 7) == first
    fresh.close()


def test_stable_baselines_just_works(env):
    PPO("MultiInputPolicy", env, n_steps=32, batch_size=32, n_epochs=1, device="cpu").learn(64)


def test_reward_terms_are_within_0_and_1_and_their_mean_is_the_reward(env):
    env.reset(seed=1)
    rng = np.random.default_rng(0)
    for _ in range(10):
        _, reward, _, _, info = env.step(rng.uniform(env.action_space.low, env.action_space.high))
        terms = [value for name, value in info.items() if name != "success"]
        assert all(0.0 <= term <= 1.0 for term in terms)
        assert reward == pytest.approx(np.mean(terms))


def test_images_are_of_the_asked_cameras_and_show_the_cube():
    cameras = ("top", "angle", "left_wrist", "right_wrist")
    env = make_env(ID, cameras=cameras, image_size=(48, 64))
    observation, _ = env.reset(seed=0)
    env.close()
    for camera in cameras:
        image = observation[f"image_{camera}"]
        assert (image.shape, image.dtype) == ((48, 64, 3), np.uint8)
        red = (image[..., 0] > 100) & (image[..., 1] < 70) & (image[..., 2] < 70)
        assert red.sum() >= 3, camera


# -- physics --------------------------------------------------------------------------------------------------------


def test_nothing_holds_the_cube_but_contact(env):
    """No weld, no mocap body, no applied force: only the fingers' couplings are equalities."""
    model, data = env.unwrapped.model, env.unwrapped.data
    assert model.nmocap == 0
    assert set(model.eq_type.tolist()) == {int(mujoco.mjtEq.mjEQ_JOINT)}
    assert model.neq == 2
    env.reset(seed=0)
    assert not data.xfrc_applied.any()
    assert not data.qfrc_applied.any()


def test_dense_and_sparse_jacobians_agree():
    finals = []
    for jacobian in (mujoco.mjtJacobian.mjJAC_DENSE, mujoco.mjtJacobian.mjJAC_SPARSE):
        env = make_env(ID)
        env.unwrapped.model.opt.jacobian = jacobian
        env.reset(seed=3)
        for _ in range(25):
            env.step(env.unwrapped.data.ctrl + 0.01)
        finals.append(env.unwrapped.data.qpos.copy())
        env.close()
    assert finals[0] == pytest.approx(finals[1], abs=1e-6)


def test_torque_mode_never_exceeds_the_motors():
    env = make_env(ID, action_mode="ee")
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(20):
        env.step(rng.uniform(env.action_space.low, env.action_space.high))
        model, data = env.unwrapped.model, env.unwrapped.data
        limit = model.jnt_actfrcrange[model.actuator_trnid[:, 0]]
        assert (data.actuator_force <= limit[:, 1] + 1e-9).all()
        assert (data.actuator_force >= limit[:, 0] - 1e-9).all()
    env.close()


# -- success --------------------------------------------------------------------------------------------------------

HELD = {"clearance": 0.08, "left_fingers": (True, True), "right_fingers": (False, False), "right_arm": False}


def test_held_by_the_left_hand_alone_is_success():
    assert held_by_left(TransferState(**HELD))
    assert held_by_left(TransferState(**HELD | {"clearance": 0.05}))


@pytest.mark.parametrize(
    "change",
    [
        {"clearance": 0.0499},
        {"clearance": 0.0},
        {"left_fingers": (True, False)},
        {"left_fingers": (False, True)},
        {"left_fingers": (False, False)},
        {"right_fingers": (True, False)},
        {"right_fingers": (True, True)},
        {"right_arm": True},
    ],
)
def test_near_misses_are_no_success(change):
    assert not held_by_left(TransferState(**HELD | change))


@pytest.mark.parametrize("link", ["upper_forearm", "lower_forearm", "wrist", "gripper", "left_finger"])
def test_a_cube_that_leans_on_any_part_of_the_right_arm_is_touched_by_it(link):
    env = make_env(ID)
    env.reset(seed=0)
    task = env.unwrapped
    model, data = task.model, task.data
    assert not task.transfer_state(task.state).right_arm[0]
    body = model.body(f"right/{link}_link").id
    solid = np.flatnonzero((model.geom_bodyid == body) & (model.geom_contype > 0))[0]
    data.joint("cube").qpos[:] = [*data.geom_xpos[solid], 1, 0, 0, 0]
    mujoco.mj_forward(model, data)
    assert task.transfer_state(task.state).right_arm[0]
    env.close()


def test_success_must_last(monkeypatch):
    env = make_env(ID)
    env.reset(seed=0)
    held = iter([True] * 9 + [False] + [True] * 10)
    monkeypatch.setattr(env.unwrapped, "succeeds", lambda state: np.array([next(held)]))
    home = env.unwrapped.data.ctrl.copy()
    outcomes = []
    for _ in range(20):
        _, _, terminated, _, info = env.step(home)
        outcomes.append(info["success"])
        assert terminated == info["success"]
    assert outcomes == [False] * 19 + [True]


def test_a_cube_that_fell_ends_the_episode_as_lost():
    env = make_env(ID)
    env.reset(seed=0)
    address = env.unwrapped.model.joint("cube").qposadr[0]
    env.unwrapped.data.qpos[address : address + 3] = [1.5, 0, -0.1]
    _, _, terminated, _, info = env.step(env.unwrapped.data.ctrl.copy())
    assert terminated
    assert info["success"] is False


# -- expert ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1_000_000, 1_000_001, 1_000_002])
def test_expert_succeeds_in_its_own_mode(env, seed):
    expert = env.unwrapped.expert()
    observation, _ = env.reset(seed=seed)
    expert.reset(env)
    for _ in range(400):
        action = expert.act(observation)
        assert env.action_space.contains(action)
        observation, _, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            break
    assert info["success"]
    assert expert.faults() == {"qp_infeasible": 0, "fallback_ticks": 0, "nan": 0}


@pytest.mark.parametrize("cube", [(0.0, -0.1, 0.7), (0.2, 0.1, -0.7), (0.0, 0.1, 0.0), (0.2, -0.1, 0.78)])
def test_expert_reaches_the_corners_of_the_region(cube):
    env = make_env(ID)
    expert = env.unwrapped.expert()
    observation, _ = env.reset(seed=0, options={"cube": cube})
    expert.reset(env)
    info = {"success": False}
    for _ in range(250):
        observation, _, terminated, _, info = env.step(expert.act(observation))
        if terminated:
            break
    assert info["success"]
    env.close()


def test_expert_recovers_from_where_a_learner_may_get(env):
    """Relabelling (DAgger): random actions first, then the expert must have an answer, and a good one."""
    expert = env.unwrapped.expert()
    observation, _ = env.reset(seed=5)
    expert.reset(env)
    home = expert.act(observation)
    rng = np.random.default_rng(0)
    for _ in range(15):
        near = np.clip(home + 0.1 * rng.normal(size=home.shape), env.action_space.low, env.action_space.high)
        observation, *_ = env.step(near)
        assert env.action_space.contains(expert.act(observation))
    info = {"success": False}
    for _ in range(350):
        observation, _, terminated, _, info = env.step(expert.act(observation))
        if terminated:
            break
    assert info["success"]


# -- hostile input --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_actions_that_are_no_numbers_are_refused_and_nothing_moves(env, bad):
    env.reset(seed=0)
    before = env.unwrapped.data.qpos.copy()
    action = np.zeros(env.action_space.shape)
    action[3] = bad
    with pytest.raises(ValueError, match="NaN or infinity"):
        env.step(action)
    assert np.array_equal(env.unwrapped.data.qpos, before)


def test_actions_of_another_shape_are_refused(env):
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"action of shape \(3,\), expected"):
        env.step(np.zeros(3))


def test_actions_out_of_bounds_are_clipped_not_obeyed():
    finals = []
    for beyond in (0.0, 100.0):
        env = make_env(ID)
        env.reset(seed=0)
        box = env.action_space
        env.step(np.where(np.arange(14) % 2, box.high + beyond, box.low - beyond))
        finals.append(env.unwrapped.data.qpos.copy())
        env.close()
    assert np.array_equal(*finals)


def test_a_simulation_that_blows_up_ends_and_says_so(env, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warnings into the working folder
    env.reset(seed=0)
    env.unwrapped.data.qvel[:] = 1e14
    low, high = env.action_space.low, env.action_space.high
    observation, reward, terminated, _, info = env.step((low + high) / 2)
    assert terminated
    assert info["success"] is False
    assert "diverged" in info["fault"]
    assert reward == 0.0
    assert all(np.isfinite(value).all() for value in observation.values())
    observation, info = env.reset(seed=0)
    assert "fault" not in env.step((low + high) / 2)[4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cameras": ("top", "fornt")}, "unknown camera 'fornt'"),
        ({"cameras": (3,)}, "unknown camera '3'"),
        ({"action_mode": "torqe"}, "unknown action mode"),
        ({"render_mode": "rgb"}, "unknown render mode"),
        ({"image_size": (0, 96)}, "image size .*: give"),
        ({"image_size": (96,)}, "image size .*: give"),
        ({"image_size": 96}, "image size .*: give"),
        ({"render_size": (96, 96, 3)}, "render size .*: give"),
        ({"cameras": "top"}, r"cameras=\('top',\)"),
        ({"cameras": None}, "cameras are names"),
        ({"camera": ("top",)}, "did you mean 'cameras'"),
    ],
)
def test_options_that_do_not_exist(options, message):
    with pytest.raises(UsageError, match=message):
        make_env(ID, **options)


def test_cameras_one_by_one_and_whole_numbers_as_floats():
    env = make_env(ID, cameras=(name for name in ("top", "angle")), image_size=(16.0, 24.0))
    observation, _ = env.reset(seed=0)
    assert {key: value.shape for key, value in observation.items() if key.startswith("image")} == {
        "image_top": (16, 24, 3),
        "image_angle": (16, 24, 3),
    }
    assert env.observation_space.contains(observation)
    env.close()


def test_reset_options(env):
    with pytest.raises(UsageError, match="unknown reset option 'cbe'; did you mean 'cube'"):
        env.reset(options={"cbe": (0, 0, 0)})
    for pose in ((0.1, 0.0), (float("nan"), 0, 0), "abc", None, 1.0):
        with pytest.raises(UsageError, match=r"reset option cube .*: give x, y and yaw"):
            env.reset(options={"cube": pose})
    observation, _ = env.reset(options={"cube": (0.05, 0.02, 0.0)})
    assert observation["environment_state"][:2] == pytest.approx([0.05, 0.02], abs=1e-6)
    assert OPEN > 0


def test_time_limit_truncates():
    env = gym.make(ID)
    env.reset(seed=0)
    home = env.unwrapped.data.ctrl.copy()
    for step in range(400):
        *_, terminated, truncated, _ = env.step(home)
        assert truncated == (step == 399)
        assert not terminated
    env.close()
