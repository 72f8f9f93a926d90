"""The tasks of the 7-DoF arm: near misses of success, randomised instances, experts in closed loop."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

from robotics.controllers.rotation import log_between, nearest_turn, plane_rotation
from robotics.environments import make_env
from robotics.envs.instances import set_solid
from robotics.envs.manipulation import lying
from robotics.envs.orientation import yaw_of
from robotics.envs.pick import Grasp, is_held, pick, place, pointing_down, upright_yaw
from robotics.envs.tasks.drawer_open import DrawerState, stowed
from robotics.envs.tasks.lift import LiftState, lifted
from robotics.envs.tasks.palletize import BOXES, FEED, PALLET, SHAPES, PalletState, laid, palletized, pattern
from robotics.envs.tasks.peg_insertion import BLUR, CLEARANCE, HOLE, InsertionState, inserted
from robotics.envs.tasks.pick_place import PlaceState, placed
from robotics.envs.tasks.reach import ReachState, reached, rotation_between
from robotics.envs.tasks.stack import StackState, stacked
from robotics.errors import UsageError
from robotics.sim2real.world import World
from tests.vector import actions, assert_same

TASKS = ("Reach", "Lift", "PickPlace", "Stack", "DrawerOpen", "Palletize", "PegInsertion")


@pytest.mark.parametrize(
    ("succeeds", "good", "misses"),
    [
        (reached, ReachState(0.009, 0.09), [{"distance": 0.011}, {"angle": 0.11}]),
        (lifted, LiftState(0.11, (True, True)), [{"clearance": 0.099}, {"fingers": (True, False)}]),
        (
            placed,
            PlaceState((0.03, -0.04), 0.025, 0.001, False),
            [{"offset": (0.043, 0.0)}, {"offset": (0.0, -0.3)}, {"height": 0.05}, {"speed": 0.03}, {"touched": True}],
        ),
        (
            stowed,
            DrawerState(0.11, (0.05, -0.06), 0.05, 0.001, False),
            [
                {"opening": 0.09},
                {"inside": (0.07, 0.0)},
                {"inside": (0.0, 0.08)},
                {"height": 0.07},
                {"speed": 0.03},
                {"touched": True},
            ],
        ),
        (
            palletized,
            PalletState((0.011,) * 4, (0.1, -0.1, 0.0, 0.0), (0.0,) * 4, (0.999,) * 4, (0.0,) * 4, (False,) * 4),
            [
                {"off": (0.0, 0.0, 0.0, 0.013)},
                {"turned": (0.0, 0.2, 0.0, 0.0)},
                {"gap": (0.05, 0.0, 0.0, 0.0)},
                {"upright": (1.0, 1.0, 0.0, 1.0)},
                {"speed": (0.0, 0.0, 0.1, 0.0)},
                {"touched": (False, False, False, True)},
            ],
        ),
        (
            inserted,
            InsertionState(0.001, 0.0015, 0.04, 0.999, 0.001, False),
            [{"beside": 0.0045}, {"depth": 0.03}, {"upright": 0.97}, {"speed": 0.03}, {"touched": True}],
        ),
        (
            stacked,
            StackState(0.01, 0.0005, 0.001, False),
            [{"beside": 0.016}, {"gap": 0.006}, {"gap": -0.03}, {"speed": 0.05}, {"touched": True}],
        ),
    ],
)
def test_success_and_its_near_misses(succeeds, good, misses):
    assert succeeds(good)
    for miss in misses:
        assert not succeeds(type(good)(**{**vars(good), **miss})), miss
    many = type(good)(**{name: np.stack([np.asarray(value)] * 3) for name, value in vars(good).items()})
    assert succeeds(many).tolist() == [True] * 3


@pytest.mark.parametrize(("name", "mode"), [(name, mode) for name in TASKS for mode in ("joint", "ee")])
def test_the_expert_solves_it(name, mode):
    env = make_env(f"robotics/{name}-v0", action_mode=mode)
    for seed in (1_000_000, 1_000_001):
        observation, _ = env.reset(seed=seed)
        expert = env.unwrapped.expert()
        expert.reset(env)
        done = False
        while not done:
            observation, _, terminated, truncated, info = env.step(expert.act(observation))
            done = terminated or truncated
        assert info["success"], (name, mode, seed)
    assert not any(expert.faults().values())


def test_it_recovers_when_the_object_is_moved_away():
    env = make_env("robotics/Lift-v0")
    observation, _ = env.reset(seed=1_000_000, options={"shape": "cube"})
    expert = env.unwrapped.expert()
    expert.reset(env)
    task = env.unwrapped
    for step in range(250):
        if step == 40:  # the hand is on its way down
            task.state.joint("object")[0, :2] = [0.45, -0.15]
        observation, _, terminated, _, info = env.step(expert.act(observation))
        if terminated:
            break
    assert info["success"]


@pytest.mark.parametrize("shape", ["cube", "cylinder", "capsule"])
def test_of_the_alternatives_one_is_solid_and_seen(shape):
    env = make_env("robotics/Lift-v0")
    env.reset(seed=0, options={"shape": shape})
    model = env.unwrapped.model
    body = model.body("object")
    for name in ("cube", "cylinder", "capsule"):
        geom = model.geom(name)
        assert bool(geom.contype[0]) == bool(geom.rgba[3]) == (name == shape)
    assert 0.03 <= body.mass[0] <= 0.3
    before = env.unwrapped.data.joint("object").qpos[2]
    low = env.action_space.low
    for _ in range(25):
        env.step(np.clip(env.unwrapped.joint_positions(), low, env.action_space.high).astype(np.float32))
    assert env.unwrapped.data.joint("object").qpos[2] == pytest.approx(before, abs=1e-3)  # it lies on the table


def test_lift_instances_differ_and_a_seed_says_all():
    env = make_env("robotics/Lift-v0")
    seen = []
    for seed in (3, 4, 3):
        env.reset(seed=seed)
        model = env.unwrapped.model
        seen.append((model.body("object").mass[0], *model.body("object").inertia, *env.unwrapped.data.userdata))
    assert seen[0] == seen[2] != seen[1]


def test_the_instruction_names_the_bin():
    env = make_env("robotics/PickPlace-v0")
    env.reset(seed=0, options={"colour": "blue"})
    assert env.unwrapped.instruction == "put the yellow cube into the blue bin"
    copies = gym.make_vec("robotics/PickPlace-v0", num_envs=8)
    copies.reset(seed=0)
    told = copies.prototype.instructions(copies.state)
    assert len(told) == 8
    assert len(set(told)) > 1


@pytest.mark.parametrize("name", TASKS)
def test_unknown_reset_options(name):
    with pytest.raises(UsageError, match="unknown reset option 'wind'"):
        make_env(f"robotics/{name}-v0").reset(options={"wind": 3})


def test_rotations_between_many_are_those_between_each():
    rng = np.random.default_rng(0)
    first, second = (q / np.linalg.norm(q, axis=1, keepdims=True) for q in rng.normal(size=(2, 20, 4)))
    each = np.array([log_between(a, b) for a, b in zip(first, second, strict=True)])
    assert rotation_between(first, second) == pytest.approx(each, abs=1e-12)
    assert rotation_between(first, -first) == pytest.approx(np.zeros((20, 3)), abs=1e-7)


# -- picking and placing --------------------------------------------------------------------------------------------

GRASP = Grasp(np.array([0.5, 0.1, 0.02]), pointing_down(0.3), 0.04)


def hand(x=0.5, y=0.1, z=0.02, yaw=0.3):
    return np.array([x, y, z]), pointing_down(yaw)


def test_what_a_hand_does_next():
    assert pick(hand(x=0.3, z=0.4), GRASP, 0.04).position == pytest.approx([0.5, 0.1, 0.12])  # above it
    assert pick(hand(x=0.3, z=0.03), GRASP, 0.04).position == pytest.approx([0.3, 0.1, 0.12])  # up before sideways
    assert pick(hand(z=0.1), GRASP, 0.04).position == pytest.approx(GRASP.position)  # down
    assert pick(hand(z=0.1, yaw=0.6), GRASP, 0.04).position == pytest.approx([0.5, 0.1, 0.12])  # turn
    assert pick(hand(z=0.1), GRASP, 0.04).opening == 0.04
    assert pick(hand(), GRASP, 0.04).opening < 0.02  # closed
    assert is_held(hand(), 0.0205, GRASP)
    assert not is_held(hand(), 0.03, GRASP)
    assert not is_held(hand(z=0.06), 0.0205, GRASP)
    at = hand(x=0.6, z=0.05, yaw=0.0)
    assert place(hand(), at, GRASP, 0.2, 0.04).position == pytest.approx([0.5, 0.1, 0.04])  # gently up
    assert place(hand(z=0.2), at, GRASP, 0.2, 0.04).position == pytest.approx([0.6, 0.1, 0.2])  # across
    assert place(hand(x=0.6, z=0.2, yaw=0.0), at, GRASP, 0.2, 0.04).opening < 0.02  # down, still closed
    assert place(at, at, GRASP, 0.2, 0.04).opening == 0.04  # let go


def test_turns():
    assert nearest_turn(1.0, np.pi / 2) == pytest.approx(1.0 - np.pi / 2)
    assert nearest_turn(1.0, np.pi / 2, reference=3.0) == pytest.approx(1.0 + np.pi / 2)
    assert nearest_turn(upright_yaw(pointing_down(0.3)), np.pi / 2) == pytest.approx(0.3)


def test_a_solid_that_is_not_in_the_middle_of_its_body_stays():
    env = make_env("robotics/PickPlace-v0")
    with pytest.raises(AttributeError, match="RANDOMISED"):
        set_solid(env.unwrapped._simulation, "cube", (1, 1, 1), 1.0)


def test_the_pattern_leaves_room_for_fingers_and_nothing_overlaps():
    rng = np.random.default_rng(0)
    for shapes in SHAPES.values():
        for _ in range(20):
            sizes = np.array([rng.uniform(*shapes[int(rng.integers(len(shapes)))]) for _ in range(4)])
            places = pattern(sizes)
            for i in range(4):
                assert np.all(np.abs(places[i] - PALLET) + sizes[i, :2] <= [0.12, 0.13])
                for j in range(i):
                    room = np.abs(places[i] - places[j]) - sizes[i, :2] - sizes[j, :2]
                    assert room[0] >= 0.01 or room[1] >= 0.035, "apart along one axis at least"


def test_unseen_boxes_are_none_of_the_seen():
    """No unseen box fits the ranges of the seen ones, in either environment that draws them."""
    low, high = np.array(SHAPES["seen"][0])
    for env_id, options in (("PalletizeUnseen-v0", {}), ("Palletize-v0", {"shapes": "unseen"})):
        env = make_env(f"robotics/{env_id}")
        for seed in range(5):
            observation, _ = env.reset(seed=seed, options=options)
            sizes = observation["environment_state"].reshape(4, 12)[:, 7:10]
            assert not np.any(np.all((sizes >= low - 1e-6) & (sizes <= high + 1e-6), axis=1))
    env.reset(seed=0)
    assert laid(env.unwrapped.pallet_state(env.unwrapped.state)).sum() == 0
    assert np.abs(FEED[:, 1]).min() > 0.1
    with pytest.raises(UsageError, match=r"unsen.*did you mean"):
        env.reset(options={"shapes": "unsen"})
    with pytest.raises(UsageError, match="shapes"):
        make_env("robotics/Palletize-v0", shapes="new")
    with pytest.raises(UsageError, match="shapes"):
        make_env("robotics/Palletize-v0", shapes=["seen"])


def test_the_hole_is_seen_beside_its_place_and_wider_than_the_peg():
    env = make_env("robotics/PegInsertion-v0")
    task = env.unwrapped
    for seed in range(5):
        observation, _ = env.reset(seed=seed)
        seen = observation["environment_state"]
        off = seen[8:10] - task.data.mocap_pos[task.model.body("block").mocapid[0], :2]
        assert 0 < np.abs(off).max() <= BLUR + 1e-6
        assert CLEARANCE[0] - 1e-6 <= 2 * (HOLE - seen[7]) <= CLEARANCE[1] + 1e-6
    observation, _ = env.reset(seed=0, options={"clearance": 0.0015})
    assert 2 * (HOLE - observation["environment_state"][7]) == pytest.approx(0.0015, abs=1e-6)


def held_still(env):
    """Whether the arm's standing still is success."""
    for _ in range(15):
        *_, terminated, _, info = env.step(env.unwrapped.data.ctrl.astype(np.float32))
        if terminated:
            break
    return info["success"]


@pytest.mark.parametrize("clearance", [0.001, 0.003, 0.006, 0.014])
def test_a_peg_in_a_corner_of_the_hole_is_inserted_however_thin_it_is(clearance):
    env = make_env("robotics/PegInsertion-v0")
    task = env.unwrapped
    env.reset(seed=1, options={"clearance": clearance})
    yaw = yaw_of(task.data.mocap_quat[task._block])
    aside = 0.98 * clearance / 2
    x, y = task.data.mocap_pos[task._block, :2] + plane_rotation(yaw) @ [aside, -aside]
    task.data.joint("peg").qpos[:] = lying(x, y, 0.05, yaw)
    assert held_still(env)
    assert task.insertion_state(task.state).beside[0] == pytest.approx(np.sqrt(2) * aside, abs=1e-3)


@pytest.mark.parametrize(("size", "clearance"), [(1.25, 0.002), (1.1, 0.001), (1.0, 0.002), (0.75, 0.0095)])
def test_a_larger_peg_has_a_larger_hole_with_the_clearance_of_its_instance(size, clearance):
    """It drops to the table, slides no further than to the walls, and another instance has what that asks for."""
    nominal, env = (make_env("robotics/PegInsertion-v0", world=World.of(object_size=one)) for one in (1.0, size))
    task = env.unwrapped
    for _ in range(2):
        nominal.reset(seed=1, options={"clearance": 0.002})
        env.reset(seed=1, options={"clearance": clearance if size > 1 else 0.002})
        half, length = task.model.geom("peg").size[[0, 2]]
        assert task.data.userdata[4] - half == pytest.approx(clearance / 2)
        yaw = yaw_of(task.data.mocap_quat[task._block])
        turn = plane_rotation(yaw)
        middle = task.data.mocap_pos[task._block, :2].copy()
        task.data.joint("peg").qpos[:] = lying(*middle, length + 0.001, yaw)
        task.data.joint("peg").qvel[:2] = turn @ [0.3, 0.0]
        for _ in range(10):
            env.step(task.data.ctrl.astype(np.float32))
        along = turn.T @ (task.data.joint("peg").qpos[:2] - middle)
        assert np.abs(along).max() < clearance / 2 + 5e-4
        assert task.data.joint("peg").qpos[2] == pytest.approx(length, abs=1e-3)
        assert held_still(env)
    walls, usual = task.model.geom_size[task._walls], nominal.unwrapped.model.geom_size[task._walls]
    assert walls[:, 2].tolist() == usual[:, 2].tolist()
    assert (walls == usual).all() == (size <= 1)


def test_larger_holes_are_the_same_in_the_vector_environment():
    world = World.of(object_size=1.2)
    serial = SyncVectorEnv([lambda: make_env("robotics/PegInsertion-v0", world=world)] * 2)
    vector = gym.make_vec("robotics/PegInsertion-v0", num_envs=2, world=world)
    assert_same(serial.reset(seed=5), vector.reset(seed=5))
    task = vector.prototype
    for index, one in enumerate(serial.envs):
        model = one.unwrapped.model
        for field in task.RANDOMISED:
            assert_same(getattr(model, field), vector.state.parameter(field)[index])
        half = model.geom("peg").size[0]
        for data in (one.unwrapped.data.joint("peg").qpos, vector.state.joint("peg")[index]):
            data[:] = lying(
                *one.unwrapped.data.mocap_pos[task._block, :2] + half, 0.07
            )  # on the rim, and in part over it
    for action in actions(vector.action_space, 0, 6):
        assert_same(serial.step(action), vector.step(action))
    serial.close()
    vector.close()


@pytest.mark.parametrize(("turn", "laid_down"), [([1, 0, 0, 0], True), ([0, 1, 0, 0], True), ([1, 1, 0, 0], False)])
def test_boxes_lie_on_the_pallet_as_they_lay_on_the_feed_or_upside_down(turn, laid_down):
    """On their sides some are as high."""
    env = make_env("robotics/Palletize-v0")
    task = env.unwrapped
    seed = 0
    while True:
        env.reset(seed=seed)
        known = task._known(task.state)[0]
        if np.abs(known[:, 1] - known[:, 2]).max() < 0.004:
            break
        seed += 1
    for name, (_, across, up, x, y) in zip(BOXES, known, strict=True):
        height = 2 * 0.01 + (up if laid_down else across)
        task.data.joint(name).qpos[:] = [x, y, height, *np.array(turn) / np.linalg.norm(turn)]
    assert held_still(env) is laid_down


@pytest.mark.parametrize(
    ("env_id", "options", "message"),
    [
        ("Lift-v0", {"shape": "sphere"}, "unknown shape 'sphere'"),
        ("Lift-v0", {"shape": ["cube"]}, "unknown shape"),
        ("PickPlace-v0", {"colour": ["red"]}, "unknown colour"),
        ("Palletize-v0", {"shapes": ["seen"]}, "unknown shapes"),
        ("PegInsertion-v0", {"clearance": "wide"}, "clearance 'wide': give one number"),
        ("PegInsertion-v0", {"clearance": None}, "clearance None: give one number"),
        ("QuadrupedTerrain-v0", {"lane": np.array([1, 2])}, "lane array.*: give one number"),
        ("QuadrupedTerrain-v0", {"lane": True}, "lane True: give one number"),
        ("PickPlace-v0", {"colour": "bleu"}, "did you mean 'blue'"),
        ("PegInsertion-v0", {"clearance": 1.0}, "clearance 1.0: give one within"),
        ("PegInsertion-v0", {"clearance": float("nan")}, "clearance nan: give one within"),
        ("QuadrupedTerrain-v0", {"lane": 7}, "lane 7: lanes are 0"),
        ("QuadrupedTerrain-v0", {"lane": 1.5}, "lane 1.5: lanes are 0"),
    ],
)
def test_instances_that_there_are_not(env_id, options, message):
    env = make_env(f"robotics/{env_id}")
    with pytest.raises(UsageError, match=message):
        env.reset(seed=0, options=options)
    env.close()
