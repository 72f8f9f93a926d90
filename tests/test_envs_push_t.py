"""Push-T: the overlap as geometry, near misses of success, and what the planners know and choose."""

import numpy as np
import pytest

from robotics.environments import make_env
from robotics.envs.nudges import ABOVE, CLEAR, choose, nudges, way
from robotics.envs.pushing import overlap, proposals
from robotics.envs.robots.push_t import BAR, BAR_AT, HALF_HEIGHT, STEM, STEM_AT
from robotics.envs.tasks.push_t import GOAL, PushState, in_place
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
    good = {"covered": 0.951, "height": 0.0, "upright": 0.999, "speed": 0.0}
    assert in_place(PushState(**good))
    misses = [{"covered": 0.949}, {"height": 0.02}, {"upright": 0.98}, {"upright": -1.0}, {"speed": 0.05}]
    for miss in (*misses, {"covered": float("nan")}):
        assert not in_place(PushState(**{**good, **miss})), miss


def test_a_t_upside_down_is_not_in_its_place():
    """Its bar is; its stem lies on the other side, which what is seen from above of its bar's angle does not tell."""
    env = make_env("robotics/PushT-v0")
    env.reset(seed=0)
    task = env.unwrapped
    half = GOAL[2] / 2
    task.data.joint("block").qpos[:] = [*GOAL[:2], HALF_HEIGHT, 0, np.cos(half), np.sin(half), 0]
    for _ in range(task.HOLD_STEPS):
        *_, info = env.step(task.SPEC.home)
    assert info["covered"] > 0.99
    assert not info["success"]


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


def test_what_is_seen_does_not_jump_at_half_a_turn_and_tells_how_the_pusher_moves():
    env = make_env("robotics/PushT-v0")
    env.reset(seed=0)
    task, seen = env.unwrapped, []
    for angle in (np.pi - 0.01, 0.01 - np.pi):
        half = angle / 2
        task.data.joint("block").qpos[:] = [0.6, 0.2, HALF_HEIGHT, np.cos(half), 0, 0, np.sin(half)]
        seen.append(task.observe(task.state)["environment_state"][0])
    assert seen[1] == pytest.approx(seen[0], abs=0.021) and seen[0][3:] == pytest.approx([-1, 0], abs=0.011)
    aside = np.array(task.SPEC.home) + 0.2 * (np.arange(8) == 0)
    states = [env.step(aside)[0]["state"] for _ in range(10)]
    velocity, position = np.array(states)[:, -6:-3], np.array(states)[:, -3:]
    measured = np.diff(position, axis=0) * task.control_hz
    assert measured[0, 1] > 0.3
    assert (velocity[1:] + velocity[:-1])[1:] / 2 == pytest.approx(measured[1:], abs=0.02)


# -- nudges ------------------------------------------------------------------------------------------------------------

ROOM, PLACE = np.array([0.3, 0.4]), np.array([0.0, 0.0, 0.5])


def test_nudges_are_those_of_a_t_with_two_like_halves():
    """Its mirror image is in the table, and moves the other way: sideways and in angle."""
    table = nudges()
    mirrored = np.array([-1.0, 1.0])
    for number in range(0, len(table.lasts), 7):
        far = np.abs(table.before - mirrored * table.before[number]) + np.abs(
            table.after - mirrored * table.after[number]
        )
        twin = int(far.sum(axis=1).argmin())
        assert far[twin].sum() < 1e-9
        assert table.change[twin] == pytest.approx(table.change[number] * [-1, 1, -1], abs=2e-3)


def test_a_push_through_the_middle_moves_the_t_as_far_as_it_goes():
    table = nudges()
    ahead = np.flatnonzero((np.abs(table.before[:, 0]) < 0.02) & (np.abs(table.after - table.before)[:, 0] < 1e-9))
    up = [n for n in ahead if table.before[n, 1] < STEM_AT - STEM[1]]
    assert len(up) >= 6
    for number in up:
        depth = np.linalg.norm(table.after[number] - table.before[number]) - CLEAR
        if depth <= 0.05:  # before it turns aside much
            assert table.change[number, 1] == pytest.approx(depth, abs=0.002 + 0.05 * depth)


def test_the_same_t_is_nudged_in_the_same_way_wherever_it_lies():
    finger, pose = np.array([-0.2, 0.05]), np.array([0.02, -0.03, 1.9])
    here = choose(finger, pose, PLACE, 10 * ROOM)
    assert here.hoped < here.away and choose(finger, pose, PLACE, 10 * ROOM).after.tolist() == here.after.tolist()
    c, s = np.cos(0.8), np.sin(0.8)
    R, shift = np.array([[c, -s], [s, c]]), np.array([0.3, 0.1])
    there = choose(
        R @ finger + shift, *(np.array([*(R @ p[:2] + shift), p[2] + 0.8]) for p in (pose, PLACE)), 10 * ROOM
    )
    assert there.after == pytest.approx(R @ here.after + shift) and there.hoped == pytest.approx(here.hoped)


def test_nudges_in_a_row_bring_the_t_to_its_place_from_anywhere():
    rng, table = np.random.default_rng(0), nudges()
    for _ in range(10):
        finger, pose = np.array([-0.25, 0.0]), np.array([*rng.uniform(-0.12, 0.12, 2), rng.uniform(-np.pi, np.pi)])
        for _ in range(12):
            choice = choose(finger, pose, PLACE, ROOM)
            times, places = way(np.array([*finger, ABOVE]), pose, choice)
            assert (np.diff(times) >= 0).all() and places[0, :2].tolist() == finger.tolist()
            c, s = np.cos(pose[2]), np.sin(pose[2])
            walk = np.linspace(0, len(places) - 2, 300)  # all but the nudge
            x, y, height = (np.interp(walk, np.arange(len(places)), axis) for axis in places.T)
            within = inside((np.stack([x, y], axis=-1) - pose[:2]) @ np.array([[c, -s], [s, c]]))
            assert (height[within] >= 2 * HALF_HEIGHT + 0.01).all()  # over it, not through it
            local = (
                (choice.before - pose[:2]) @ np.array([[c, -s], [s, c]]),
                (choice.after - pose[:2]) @ np.array([[c, -s], [s, c]]),
            )
            number = int((np.abs(table.before - local[0]) + np.abs(table.after - local[1])).sum(axis=1).argmin())
            dx, dy, turn = table.change[number]
            pose = pose + [c * dx - s * dy, s * dx + c * dy, turn]
            finger = choice.after
            if choice.hoped < 0.01:
                break
        assert overlap(pose[None], PLACE)[0] > 0.95


def test_the_hand_keeps_within_its_room():
    for number in range(20):
        pose = np.array([0.2, 0.25, number / 3])
        choice = choose(np.array([0.0, 0.0]), pose, PLACE, ROOM)
        assert (np.abs([choice.before, choice.after]) <= ROOM).all()


def begun():
    """An environment, its expert, and what it sees first."""
    env = make_env("robotics/PushT-v0")
    observation, _ = env.reset(seed=4)
    expert = env.unwrapped.expert()
    expert.reset(env)
    return env, expert, observation


def test_the_table_is_true_of_the_arm():
    """A nudge by the arm moves the T as the table says, within a third: the expert may rely on it."""
    env, expert, observation = begun()
    hopes = []
    for _ in range(400):
        before = expert._choice
        observation, *_ = env.step(expert.act(observation))
        if expert._choice is not before and before is not None:
            hopes.append((before.away - expert._choice.away) / (before.away - before.hoped))
    assert hopes[0] == pytest.approx(1.0, abs=0.35) and np.median(hopes[:3]) == pytest.approx(1.0, abs=0.35)


def test_the_t_moves_only_while_the_finger_is_low():
    """The hand does not brush against it on its way, and what is seen tells pushing from travelling."""
    env, expert, observation = begun()
    moved = {True: 0.0, False: 0.0}
    for _ in range(300):
        low = bool(observation["state"][-1] < 2 * HALF_HEIGHT)
        before = observation["environment_state"][:2]
        observation, *_ = env.step(expert.act(observation))
        moved[low] += float(np.linalg.norm(observation["environment_state"][:2] - before))
    assert moved[True] > 0.05 and moved[False] < 0.001


def test_the_finger_comes_down_where_its_nudge_begins():
    """From aside, whoever imitates it a little wrongly would come down on the T, and stay there."""
    env, expert, observation = begun()
    high, aside = True, []
    for _ in range(400):
        observation, *_ = env.step(expert.act(observation))
        *finger, height = observation["state"][-3:]
        low = bool(height < 2 * HALF_HEIGHT)
        if high and low:
            aside.append(float(np.linalg.norm(np.array(finger) - GOAL[:2] * [1, 0] - expert._choice.before)))
        high = not low
    assert len(aside) >= 3
    assert max(aside) < 0.012, aside


def test_an_expert_that_takes_over_solves_it_from_where_the_hand_is():
    env, expert, observation = begun()
    rng = np.random.default_rng(0)
    for step in range(900):
        action = expert.act(observation)
        if step < 120:  # somebody else acts, nearly as well
            action = action + rng.normal(0, 0.02, len(action)).astype(np.float32)
        observation, _, terminated, *_ = env.step(np.clip(action, env.action_space.low, env.action_space.high))
        if step < 120:
            expert.resume()
        if terminated:
            break
    assert terminated and env.unwrapped.push_state(env.unwrapped.state).covered[0] > 0.95


def test_unknown_options_are_refused():
    with pytest.raises(UsageError, match="reset option 'goal'"):
        make_env("robotics/PushT-v0").reset(options={"goal": 3})
