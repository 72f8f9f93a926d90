"""ClothFold: strict success and its near misses, the cloth, the expert."""

import mujoco
import numpy as np
import pytest

from robotics.environments import make_env
from robotics.envs.robots.aloha import OPEN, SIDES
from robotics.envs.tasks.cloth_fold import BOARD, COLUMNS, COUNT, RADIUS, SIDE, FoldState, folded, off_place
from robotics.errors import UsageError

ID = "robotics/ClothFold-v0"
TOP = 2 * BOARD[2]


@pytest.fixture(scope="module")
def env():
    env = make_env(ID)
    yield env
    env.close()


def cloth(turned):
    """The points of a cloth whose near half is turned so far over the fold."""
    along = np.linspace(-SIDE / 2, SIDE / 2, COUNT[1])
    y = np.where(along < 0, along * np.cos(turned), along)
    z = TOP + RADIUS + np.where(along < 0, -along * np.sin(turned), 0.0)
    points = np.zeros((*COUNT, 3))
    points[..., 0], points[..., 1], points[..., 2] = np.array(COLUMNS)[:, None], y, z
    return points


def moved(points, where, by):
    points = points.copy()
    points[where] += by
    return points


# -- success --------------------------------------------------------------------------------------------------------

FLAT = cloth(np.pi)
FOLD = {
    "points": FLAT,
    "speeds": np.zeros(COUNT),
    "fingers": np.array([[-0.2, 0.1, 0.1], [0.2, 0.1, 0.1]]),
    "board_height": TOP,
}
ONE_FAST = np.zeros(COUNT)
ONE_FAST[2, 3] = 0.06
CRUMPLED = FLAT.copy()
CRUMPLED[..., 0] *= 0.8
BUNCHED = FLAT.copy()
BUNCHED[..., 1] *= 0.8


def test_edge_on_edge_and_let_go_is_success():
    assert folded(FoldState(**FOLD))
    assert folded(FoldState(**FOLD | {"points": moved(FLAT, np.s_[:, 0], [0.015, -0.01, 0.015])}))
    assert folded(FoldState(**FOLD | {"points": FLAT + [0.1, -0.05, 0.0], "fingers": FOLD["fingers"] * 2}))


@pytest.mark.parametrize(
    "change",
    [
        {"points": cloth(0.0)},
        {"points": cloth(np.pi / 2)},
        {"points": moved(FLAT, np.s_[:, 0], [0.0, 0.026, 0.0])},
        {"points": moved(FLAT, np.s_[0, 0], [0.026, 0.0, 0.0])},  # one corner
        {"points": moved(FLAT, np.s_[-1, 0], [0.0, 0.0, 0.03])},  # one corner stands up
        {"points": FLAT + [0.0, 0.0, 0.05]},  # held in the air
        {"points": CRUMPLED},
        {"points": BUNCHED},
        {"speeds": ONE_FAST},
        {"fingers": np.array([[-0.15, 0.12, 0.1], [0.2, 0.1, 0.1]])},  # the left hand still has it
        {"fingers": np.array([[-0.2, 0.1, 0.1], [0.12, 0.12, 0.1]])},
    ],
)
def test_near_misses_are_no_success(change):
    assert not folded(FoldState(**FOLD | change))


def test_success_of_many_is_that_of_each():
    rng = np.random.default_rng(0)
    points = np.stack([cloth(np.pi) + 0.006 * rng.normal(size=(*COUNT, 3)) for _ in range(40)])
    speeds, fingers = rng.uniform(0, 0.0505, (40, *COUNT)), np.tile(FOLD["fingers"], (40, 1, 1))
    together = folded(FoldState(points, speeds, fingers, TOP))
    alone = [bool(folded(FoldState(*one, TOP))) for one in zip(points, speeds, fingers, strict=True)]
    assert together.shape == (40,)
    assert together.tolist() == alone
    assert 0 < together.sum() < 40


# -- scene ----------------------------------------------------------------------------------------------------------


def test_nothing_holds_the_cloth_but_contact(env):
    model = env.unwrapped.model
    assert model.nmocap == 0
    assert model.neq == 2, "the fingers' couplings alone"
    assert model.body("cloth_0").mass[0] * COUNT[0] * COUNT[1] == pytest.approx(0.015)


def test_the_cloth_rests_on_the_board_and_keeps_its_size(env):
    env.reset(seed=0)
    for _ in range(30):
        _, _, terminated, _, info = env.step(env.unwrapped.data.ctrl.copy())
        assert not (terminated or info["success"])
    points = env.unwrapped.points(env.unwrapped.state)[0]
    assert (np.abs(points[1:-1, :, 2] - TOP - RADIUS) < 0.004).all()
    assert off_place(points) == pytest.approx(SIDE, abs=0.003)
    edges = np.linalg.norm(np.diff(points, axis=1), axis=-1)
    assert edges == pytest.approx(SIDE / (COUNT[1] - 1), rel=0.03)


def test_a_cloth_that_fell_ends_the_episode_as_lost(env):
    env.reset(seed=0)
    env.unwrapped.data.qpos[env.unwrapped._cloth_q].reshape(-1, 3)[:, 2] -= 0.2
    _, _, terminated, _, info = env.step(env.unwrapped.data.ctrl.copy())
    assert terminated
    assert info["success"] is False


def test_there_are_no_reset_options(env):
    with pytest.raises(UsageError, match="unknown reset option 'cloth'; available: none"):
        env.reset(options={"cloth": 1})


def risen(env_id, steps):
    """How far the hands have risen after each step of an `ee` action that raises both by 10 cm [m]: (steps, 2)."""
    env = make_env(env_id, action_mode="ee")
    env.reset(seed=0)
    hands, action = [env.unwrapped.data.site(f"{side}/gripper") for side in SIDES], []
    for hand in hands:
        quat = np.empty(4)
        mujoco.mju_mat2Quat(quat, hand.xmat)
        action += [*(hand.xpos + [0, 0, 0.1]), *quat, OPEN]
    before, heights = [hand.xpos[2] for hand in hands], []
    for _ in range(steps):
        env.step(np.array(action, np.float32))
        heights.append([hand.xpos[2] for hand in hands])
    env.close()
    return np.array(heights) - before


def test_hands_are_as_fast_as_over_a_table_whose_physics_steps_are_shorter():
    here, there = risen(ID, 20), risen("robotics/TransferCube-v0", 20)
    assert there[-1] == pytest.approx(0.09, abs=0.01)
    assert np.abs(here - there).max() < 0.005, "35 mm, where the controller believes in another step than it has"


# -- expert ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["joint", "ee"])
def test_expert_succeeds_in_its_own_mode(mode):
    env = make_env(ID, action_mode=mode)
    expert = env.unwrapped.expert()
    observation, _ = env.reset(seed=1_000_000)
    expert.reset(env)
    info = {"success": False}
    for _ in range(230):  # at the first attempt: it takes about 190 steps
        action = expert.act(observation)
        assert env.action_space.contains(action)
        observation, _, terminated, _, info = env.step(action)
        if terminated:
            break
    assert info["success"]
    assert expert.faults() == {"qp_infeasible": 0, "fallback_ticks": 0, "nan": 0}
    env.close()
