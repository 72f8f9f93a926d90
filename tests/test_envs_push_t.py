"""Push-T: the overlap as geometry, near misses of success, and what the planner is given."""

import numpy as np
import pytest

from robotics.environments import make_env
from robotics.envs.pushing import overlap, proposals
from robotics.envs.robots.push_t import BAR, BAR_AT, STEM, STEM_AT
from robotics.envs.tasks.push_t import GOAL, HALF_HEIGHT, PushState, in_place
from robotics.errors import UsageError

AREA = 4 * (BAR[0] * BAR[1] + STEM[0] * STEM[1])


def inside(points):
    """Whether points (n, 2) in the frame of the T lie within it (n,)."""
    x, y = np.abs(points).T[0], points[:, 1]
    return ((x <= BAR[0]) & (np.abs(y - BAR_AT) <= BAR[1])) | ((x <= STEM[0]) & (np.abs(y - STEM_AT) <= STEM[1]))


def moved(x=0.0, y=0.0, turn=0.0):
    return (GOAL + [x, y, turn])[None]


def test_overlap_of_known_places():
    assert overlap(moved(), GOAL) == pytest.approx(1.0)
    assert overlap(moved(turn=2 * np.pi), GOAL) == pytest.approx(1.0)
    assert overlap(moved(x=0.5), GOAL) == 0.0
    flat = np.zeros(3)
    along = np.array([[0.01, 0, 0], [0, 0.01, 0]])  # a centimetre aside, and up
    assert overlap(along, flat) == pytest.approx(1 - 0.01 * 0.2 / AREA)
    upside_down = overlap(np.array([[0, 0, np.pi]]), flat)
    stem_on_stem = 4 * STEM[0] * (0.075 - 0.0571)  # from where it ends to where the other begins, both about 0
    bar_on_stem = 4 * BAR[1] * STEM[0]
    assert upside_down == pytest.approx((2 * bar_on_stem + stem_on_stem) / AREA, abs=1e-6)


def test_overlap_is_the_area_that_points_measure():
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.2, 0.2, (200_000, 2))
    poses = np.column_stack([rng.uniform(-0.06, 0.06, (12, 2)), rng.uniform(-np.pi, np.pi, 12)])
    for pose, exact in zip(poses, overlap(poses, np.zeros(3)), strict=True):
        c, s = np.cos(pose[2]), np.sin(pose[2])
        seen = (points - pose[:2]) @ np.array([[c, -s], [s, c]])
        share = (inside(points) & inside(seen)).mean() * 0.16 / AREA
        assert exact == pytest.approx(share, abs=0.015)


def test_overlap_does_not_depend_on_the_frame_nor_on_the_company():
    rng = np.random.default_rng(1)
    poses = np.column_stack([rng.uniform(-0.05, 0.05, (50, 2)), rng.uniform(-3, 3, 50)])
    c, s = np.cos(0.7), np.sin(0.7)
    shifted = np.column_stack([poses[:, :2] @ np.array([[c, s], [-s, c]]) + [0.3, -0.2], poses[:, 2] + 0.7])
    ours = overlap(poses, np.zeros(3))
    assert overlap(shifted, np.array([0.3, -0.2, 0.7])) == pytest.approx(ours, abs=1e-9)
    assert np.array_equal(ours, [overlap(pose[None], np.zeros(3))[0] for pose in poses])


def test_success_and_its_near_misses():
    good = {"covered": 0.951, "height": 0.0, "speed": 0.0}
    assert in_place(PushState(**good))
    for miss in ({"covered": 0.949}, {"height": 0.02}, {"speed": 0.05}, {"covered": float("nan")}):
        assert not in_place(PushState(**{**good, **miss})), miss


@pytest.mark.parametrize(("aside", "success"), [(0.0, True), (0.004, True), (0.006, False)])
def test_a_t_put_down_by_hand(aside, success):
    env = make_env("robotics/PushT-v0")
    env.reset(seed=0)
    task = env.unwrapped
    c, s = np.cos(GOAL[2]), np.sin(GOAL[2])
    half = GOAL[2] / 2
    block = task.data.joint("block")
    block.qpos[:] = [GOAL[0] + c * aside, GOAL[1] + s * aside, HALF_HEIGHT, np.cos(half), 0, 0, np.sin(half)]
    for _ in range(task.HOLD_STEPS):
        *_, info = env.step(task.SPEC.home)
    assert info["success"] is success
    assert info["covered"] == pytest.approx(1 - 0.2 * aside / AREA, abs=5e-3)


def test_proposed_ways_begin_at_the_finger_and_go_round_the_t():
    rng = np.random.default_rng(0)
    qpos = np.array([0.0, -0.25, 0.0, 0.0, 0.3])
    ways = proposals(qpos, np.linspace(0, 1.6, 40), rng)
    assert ways.shape == (40, 40, 2) and np.isfinite(ways).all()
    assert np.allclose(ways[:, 0], qpos[:2])
    speeds = np.linalg.norm(np.diff(ways, axis=1), axis=-1) / (1.6 / 39)
    assert speeds.max() <= 0.6 + 1e-9


def test_unknown_options_are_refused():
    with pytest.raises(UsageError, match="reset option 'goal'"):
        make_env("robotics/PushT-v0").reset(options={"goal": 3})
