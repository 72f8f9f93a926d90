"""BimanualInsertion: strict success and its near misses, the parts, the expert."""

import numpy as np
import pytest

from robotics.environments import make_env
from robotics.envs.tasks.bimanual_insertion import (
    BORE_HALF,
    HALF_LENGTH,
    PEG_HALF,
    REGION,
    InsertionState,
    depth,
    mated,
)
from robotics.errors import UsageError

ID = "robotics/BimanualInsertion-v0"


@pytest.fixture(scope="module")
def env():
    env = make_env(ID)
    yield env
    env.close()


def peg_at(deep, across=(0.0, 0.0), from_right=True):
    """The ends of a level peg that is so deep in the socket."""
    sign = 1.0 if from_right else -1.0
    end = np.array([sign * (HALF_LENGTH - deep), *across])
    return np.stack([end, end + [sign * 2 * HALF_LENGTH, 0, 0]])


# -- success --------------------------------------------------------------------------------------------------------

MATED = {"peg_ends": peg_at(0.055), "socket_fingers": (True, True), "peg_fingers": (True, True), "on_table": False}


def test_mated_in_the_air_is_success():
    assert mated(InsertionState(**MATED))
    assert mated(InsertionState(**MATED | {"peg_ends": peg_at(0.0501, (0.003, -0.003))}))
    assert mated(InsertionState(**MATED | {"peg_ends": peg_at(0.055)[::-1]})), "a peg has no right way round"
    assert mated(InsertionState(**MATED | {"peg_ends": peg_at(0.055, from_right=False)}))
    assert mated(InsertionState(**MATED | {"peg_ends": peg_at(0.115)}))


@pytest.mark.parametrize(
    "change",
    [
        {"peg_ends": peg_at(0.0499)},
        {"peg_ends": peg_at(-0.001)},
        {"peg_ends": peg_at(0.055, (0.04, 0.0))},  # beside the socket
        {"peg_ends": peg_at(0.055, (0.0, 0.03))},  # on top of it
        {"socket_fingers": (True, False)},
        {"socket_fingers": (False, False)},
        {"peg_fingers": (False, True)},
        {"peg_fingers": (False, False)},
        {"on_table": True},
    ],
)
def test_near_misses_are_no_success(change):
    assert not mated(InsertionState(**MATED | change))


@pytest.mark.parametrize("shift", np.linspace(-0.13, 0.25, 9))
def test_depth_is_the_overlap_of_the_two(shift):
    overlap = max(0.0, min(2 * HALF_LENGTH, shift, 4 * HALF_LENGTH - shift))
    if shift <= 2 * HALF_LENGTH:
        assert depth(peg_at(shift)) == pytest.approx(overlap)
    else:  # pushed through: measured from the other mouth
        assert depth(peg_at(shift)) == pytest.approx(overlap)


def test_success_of_many_is_that_of_each():
    rng = np.random.default_rng(0)
    ends = np.stack(
        [
            peg_at(deep, across)
            for deep, across in zip(rng.uniform(0, 0.1, 50), rng.normal(0, 0.01, (50, 2)), strict=True)
        ]
    )
    fingers, table = rng.random((2, 50, 2)) < 0.9, rng.random(50) < 0.1
    together = mated(InsertionState(ends, *fingers, table))
    alone = [mated(InsertionState(*one)) for one in zip(ends, *fingers, table, strict=True)]
    assert together.shape == (50,)
    assert together.tolist() == alone
    assert 0 < together.sum() < 50


# -- scene ----------------------------------------------------------------------------------------------------------


def test_parts_lie_apart_on_the_table_within_reach(env):
    for seed in range(20):
        observation, info = env.reset(seed=seed)
        peg, socket, ends = np.split(observation["environment_state"], [7, 14])
        for part, sign in ((peg, 1), (socket, -1)):
            assert (part[:2] * [sign, 1] >= REGION[0] - 1e-6).all()
            assert (part[:2] * [sign, 1] <= REGION[1] + 1e-6).all()
            assert part[3] > 0.9
        state = env.unwrapped.insertion_state(env.unwrapped.state)
        assert ends == pytest.approx(state.peg_ends.ravel(), abs=1e-6)
        assert not (state.socket_fingers.any() or state.peg_fingers.any() or info["mated"])
        assert not env.unwrapped.data.contact.dist[: env.unwrapped.data.ncon].min() < -1e-3
    env.step(env.unwrapped.data.ctrl.copy())
    assert env.unwrapped.insertion_state(env.unwrapped.state).on_table


def test_the_peg_fits_and_the_walls_hold_it(env):
    """Let go inside the socket, the peg stays in the bore and touches it."""
    env.reset(seed=0, options={"socket": (-0.13, 0.0, 0.0), "peg": (-0.09, 0.0, 0.0)})
    data = env.unwrapped.data
    data.joint("peg").qpos[2] = 0.017
    for _ in range(10):
        env.step(data.ctrl.copy())
    state = env.unwrapped.insertion_state(env.unwrapped.state)
    assert depth(state.peg_ends)[0] == pytest.approx(0.08, abs=0.005)
    slack = BORE_HALF - PEG_HALF
    assert -0.001 < data.joint("peg").qpos[2] - (0.017 - slack) < 0.001
    assert not mated(state)


def test_reset_options(env):
    with pytest.raises(UsageError, match="unknown reset option 'pge'; did you mean 'peg'"):
        env.reset(options={"pge": (0, 0, 0)})
    with pytest.raises(UsageError, match=r"reset option socket .*: give x, y and yaw"):
        env.reset(options={"socket": (0, 0, float("nan"))})


def test_a_part_that_fell_ends_the_episode_as_lost(env):
    env.reset(seed=0)
    env.unwrapped.data.joint("peg").qpos[:3] = [1.5, 0, -0.1]
    _, _, terminated, _, info = env.step(env.unwrapped.data.ctrl.copy())
    assert terminated
    assert info["success"] is False


# -- expert ---------------------------------------------------------------------------------------------------------


def solves(env, observation, expert, steps):
    info = {"success": False}
    for _ in range(steps):
        action = expert.act(observation)
        assert env.action_space.contains(action)
        observation, _, terminated, _, info = env.step(action)
        if terminated:
            break
    return info["success"]


@pytest.mark.parametrize("mode", ["joint", "ee"])
def test_expert_succeeds_in_its_own_mode(mode):
    env = make_env(ID, action_mode=mode)
    expert = env.unwrapped.expert()
    observation, _ = env.reset(seed=1_000_001)
    expert.reset(env)
    assert solves(env, observation, expert, 300)
    assert expert.faults() == {"qp_infeasible": 0, "fallback_ticks": 0, "nan": 0}
    env.close()


def test_expert_recovers_when_a_hand_lets_go(env):
    """The left hand is opened in mid-air: the socket falls, is picked up again, and it goes on."""
    expert = env.unwrapped.expert()
    observation, _ = env.reset(seed=1_000_000)
    expert.reset(env)
    left_finger = 6
    while observation["environment_state"][9] < 0.08:
        observation, *_ = env.step(expert.act(observation))
    for _ in range(15):
        action = expert.act(observation)
        action[left_finger] = env.action_space.high[left_finger]
        observation, *_ = env.step(action)
    assert solves(env, observation, expert, 400)
