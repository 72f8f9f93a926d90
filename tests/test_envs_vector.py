"""The vector environment where it is not simply many serial ones: seeds, resets, parameters, faults, hostile input."""

import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from robotics.environments import make_vector
from robotics.envs.base import DIVERGED
from robotics.errors import UsageError
from robotics.sim2real.world import World
from tests.vector import actions, assert_same

ID, SLIDE = "robotics/TransferCube-v0", "example/Slide-v0"
EXAMPLES = Path(__file__).parent.parent / "scripts" / "examples"


@pytest.fixture(autouse=True, scope="module")
def example_task():
    """The example of a third party's task, as its package would register it."""
    sys.path.insert(0, str(EXAMPLES))
    import slide_task  # noqa: F401

    yield
    sys.path.remove(str(EXAMPLES))


def serial(env_id, number, mode=AutoresetMode.NEXT_STEP, **options):
    return SyncVectorEnv([lambda: gym.make(env_id, disable_env_checker=True, **options)] * number, autoreset_mode=mode)


# -- equality -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("env_id", [ID, SLIDE])
def test_every_autoreset_mode_is_gymnasiums(env_id, mode):
    ours = make_vector(env_id, 3, autoreset_mode=mode, max_episode_steps=4)
    theirs = serial(env_id, 3, mode, max_episode_steps=4)
    assert_same(theirs.reset(seed=2), ours.reset(seed=2))
    for action in actions(ours.action_space, 1, 12):
        wanted = theirs.step(action)
        assert_same(wanted, ours.step(action))
        ended = wanted[2] | wanted[3]
        if mode is AutoresetMode.DISABLED and ended.any():
            assert_same(theirs.reset(options={"reset_mask": ended.copy()}), ours.reset(options={"reset_mask": ended}))
    ours.close()
    theirs.close()


def test_copies_of_worlds_that_err_end_together():
    """Nobody moves in the step after: all are reset."""
    env = make_vector("robotics/Reach-v0", 2, max_episode_steps=2, world=World.of(backlash=0.01))
    env.reset(seed=0)
    for action in actions(env.action_space, 1, 6):
        truncated = env.step(action)[3]
    assert truncated.tolist() == [False, False]  # the sixth step is the second reset
    env.close()


def test_a_copy_whose_world_does_not_err_is_the_environment_alone():
    """Through every reset, beside one whose sensors err, too."""
    worlds = [World.of(object_shift=0.05), World.of(encoder_noise=0.01)]
    ours = make_vector("robotics/Lift-v0", 2, worlds=worlds, autoreset_mode="Disabled")
    alone = gym.make("robotics/Lift-v0", world=worlds[0], disable_env_checker=True)
    for seed in (0, None, None):
        observation, wanted = ours.reset(seed=seed)[0], alone.reset(seed=seed)[0]
        assert all(np.array_equal(observation[key][0], value) for key, value in wanted.items())
    ours.close()
    alone.close()


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_staggered_ends_of_a_task_that_succeeds(mode):
    """The example's expert ends episodes at different times; masses differ and enter the physics."""
    ours, theirs = make_vector(SLIDE, 5, autoreset_mode=mode), serial(SLIDE, 5, mode)
    observation, _ = ours.reset(seed=3)
    theirs.reset(seed=3)
    ends = set()
    for step in range(90):
        action = observation["environment_state"]
        results = ours.step(action)
        assert_same(theirs.step(action), results)
        observation, _, terminated, truncated, _ = results
        ended = terminated | truncated
        ends |= {(step, k) for k in np.flatnonzero(ended)}
        if mode is AutoresetMode.DISABLED and ended.any():
            observation, _ = ours.reset(options={"reset_mask": ended})
            theirs.reset(options={"reset_mask": ended.copy()})
    assert len({step for step, _ in ends}) >= 3
    assert {copy for _, copy in ends} == set(range(5))
    masses = ours.batch.body("sled").mass
    assert len(np.unique(masses)) == 5
    ours.close()
    theirs.close()


def test_pictures_show_each_copy_by_its_own_parameters(monkeypatch):
    import slide_task

    from robotics.envs import instances

    def place(self, simulation, rng, options):
        simulation.userdata[:] = 0.0
        instances.set_size(simulation, "sled", rng.uniform(0.05, 0.3, 3), 1.0)

    scene = slide_task.SCENE.replace("<geom type", '<geom name="sled" type')
    monkeypatch.setattr(slide_task, "SCENE", scene)
    monkeypatch.setattr(slide_task.Slide, "RANDOMISED", instances.SIZE)
    monkeypatch.setattr(slide_task.Slide, "place", place)
    ours = make_vector(SLIDE, 4, cameras=("side",), threads=2, render_mode="rgb_array", render_size=(48, 64))
    theirs = serial(SLIDE, 4, cameras=("side",))
    pictures = ours.reset(seed=0)[0]["image_side"]
    assert_same(theirs.reset(seed=0)[0]["image_side"], pictures)
    assert len({picture.tobytes() for picture in pictures}) == 4
    action = ours.action_space.sample()
    assert_same(theirs.step(action), ours.step(action))
    frames = ours.render()
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 4
    assert len({frame.tobytes() for frame in frames}) == 4
    ours.close()
    theirs.close()


@pytest.mark.parametrize(("context", "message"), [("fork", 'context": "spawn"'), ("spawn", None)])
def test_processes_that_can_not_render_say_so(tmp_path, context, message):
    """Forked from one that has rendered they would wait for ever for what became of its OpenGL."""
    script = tmp_path / "script.py"
    script.write_text(f"""
import gymnasium, robotics
def main():
    one = gymnasium.make("{ID}", cameras=("top",), image_size=(16, 16))
    one.reset(seed=0)
    env = gymnasium.make_vec("{ID}", num_envs=2, vectorization_mode="async", cameras=("top",), image_size=(16, 16),
                             vector_kwargs={{"context": "{context}"}})
    try:
        print(env.reset(seed=0)[0]["image_top"].shape)
    finally:
        env.close(terminate=True)
if __name__ == "__main__":
    main()
""")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False)
    if message is None:
        assert done.stdout.strip() == "(2, 16, 16, 3)", done.stderr
    else:
        assert done.returncode and message in done.stderr.strip().splitlines()[-1], done.stderr


def test_results_do_not_depend_on_how_many_run_together():
    few, many = make_vector(ID, 2), make_vector(ID, 9)
    few.reset(seed=40)
    many.reset(seed=40)
    for action in actions(many.action_space, 0, 6):
        a, b = few.step(action[:2]), many.step(action)
        assert_same([{k: v[:2] for k, v in b[0].items()}, *[x[:2] for x in b[1:4]]], list(a[:4]))
    few.close()
    many.close()


# -- seeds and resets -----------------------------------------------------------------------------------------------


def test_copy_k_is_seeded_with_seed_plus_k_or_from_a_list():
    env = make_vector(SLIDE, 3)
    first = env.reset(seed=5)[0]["environment_state"]
    assert_same(env.reset(seed=[7, None, 5])[0]["environment_state"][[2, 0]], first[[0, 2]])
    assert len(np.unique(env.reset()[0]["environment_state"])) == 3
    with pytest.raises(ValueError, match="2 seeds for 3"):
        env.reset(seed=[1, 2])
    env.close()


def test_partial_reset_leaves_the_others_alone():
    env = make_vector(ID, 3)
    env.reset(seed=0)
    action = np.tile(env.single_action_space.high, (3, 1))
    env.step(action)
    before = env.batch.state.copy()
    observation, info = env.reset(
        seed=9, options={"reset_mask": np.array([False, True, False]), "cube": (0.1, 0.0, 0.0)}
    )
    assert np.array_equal(env.batch.state[[0, 2]], before[[0, 2]])
    assert observation["environment_state"][1, :2] == pytest.approx([0.1, 0.0])
    assert info["_success"].tolist() == [False, True, False]
    env.close()


@pytest.mark.parametrize("mask", [np.array([True, False]), np.zeros(3, bool), np.ones(3), [True, True, True]], ids=repr)
def test_reset_masks_that_can_not_be_meant(mask):
    env = make_vector(SLIDE, 3)
    with pytest.raises(ValueError, match=r"example/Slide-v0: reset_mask"):
        env.reset(options={"reset_mask": mask})
    env.close()


def test_options_of_the_caller_are_not_touched():
    env = make_vector(SLIDE, 2)
    options = {"reset_mask": np.array([True, False])}
    env.reset(options=options)
    assert set(options) == {"reset_mask"}
    env.close()


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_stepping_before_a_reset_is_refused(mode):
    env = make_vector(SLIDE, 2, autoreset_mode=mode)
    with pytest.raises(gym.error.ResetNeeded, match=r"environments \[0, 1\]"):
        env.step(env.action_space.sample())
    env.close()


def test_an_episode_that_ended_is_not_stepped_without_autoreset():
    env = make_vector(SLIDE, 2, autoreset_mode="Disabled", max_episode_steps=1)
    env.reset(seed=0)
    env.step(env.action_space.sample())
    with pytest.raises(gym.error.ResetNeeded, match=r"environments \[0, 1\]"):
        env.step(env.action_space.sample())
    env.close()


def test_the_seeds_of_copies_are_told_as_gymnasium_tells_them():
    ours, theirs = make_vector(SLIDE, 3), serial(SLIDE, 3)
    assert len(set(ours.np_random_seed)) == 3, "made up, for want of any"
    for seed in (5, [7, None, 9]):
        ours.reset(seed=seed)
        theirs.reset(seed=seed)
        assert ours.np_random_seed == theirs.np_random_seed
    ours.close()
    theirs.close()


def test_an_environment_whose_reset_was_refused_is_not_stepped():
    """It stands somewhere between two episodes."""
    env = gym.make(ID, disable_env_checker=True)
    env.reset(seed=0)
    action = env.unwrapped.data.ctrl.copy()
    with pytest.raises(UsageError, match="reset option"):
        env.reset(options={"cbe": (0, 0, 0)})
    with pytest.raises(gym.error.ResetNeeded, match=f"{ID}: the last reset was refused"):
        env.step(action)
    env.reset(seed=0)
    env.step(action)
    env.close()


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_copies_whose_reset_was_refused_are_not_stepped(mode):
    env = make_vector(ID, 3, autoreset_mode=mode)
    env.reset(seed=0)
    action = env.state.ctrl.copy()
    before = env.batch.state.copy()
    mask = np.array([False, True, False])
    with pytest.raises(UsageError, match="reset option"):
        env.reset(options={"reset_mask": mask, "cbe": (0, 0, 0)})
    assert np.array_equal(env.batch.state[[0, 2]], before[[0, 2]])
    for _ in range(2):
        with pytest.raises(gym.error.ResetNeeded, match=r"environments \[1\] must be reset"):
            env.step(action)
        env.reset(options={"reset_mask": ~mask})  # of the others: that is not it
    env.reset(options={"reset_mask": mask})
    env.step(action)
    env.close()


# -- faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("action_mode", ["joint", "ee"])
def test_one_diverged_copy_fails_and_the_others_run_on(tmp_path, monkeypatch, action_mode, mode):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warnings into the working folder
    env = make_vector(ID, 3, action_mode=action_mode, autoreset_mode=mode)
    well = make_vector(ID, 3, action_mode=action_mode, autoreset_mode=mode)
    lone = gym.make(ID, action_mode=action_mode, disable_env_checker=True)
    env.reset(seed=0)
    well.reset(seed=0)
    lone.reset(seed=1)
    env.state.qvel[1] = 1e14
    lone.unwrapped.data.qvel[:] = 1e14
    action = (env.action_space.low + env.action_space.high) / 2
    observation, reward, terminated, _, info = env.step(action)
    others = well.step(action)
    assert terminated.tolist() == [False, True, False]
    assert reward[1] == 0.0
    fault = info["final_info"] if mode is AutoresetMode.SAME_STEP else info
    assert fault["fault"].tolist() == [None, DIVERGED, None]
    assert fault["_fault"].tolist() == [False, True, False]
    assert not fault["success"].any()
    assert all(np.isfinite(values).all() for values in observation.values())
    assert_same({k: v[[0, 2]] for k, v in others[0].items()}, {k: v[[0, 2]] for k, v in observation.items()})
    last = info["final_obs"][1] if mode is AutoresetMode.SAME_STEP else {k: v[1] for k, v in observation.items()}
    alone = lone.step(action[1])
    assert_same(alone[0], last)
    assert alone[4]["fault"] == DIVERGED
    if mode is AutoresetMode.DISABLED:
        env.reset(options={"reset_mask": terminated})
    info = env.step(action)[4]
    assert "fault" not in info
    for one in (env, well, lone):
        one.close()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_actions_that_are_no_numbers_are_refused_before_anything_moves(bad):
    env = make_vector(ID, 3)
    env.reset(seed=0)
    before = env.batch.state.copy()
    action = env.action_space.sample()
    action[2, 5] = bad
    with pytest.raises(
        ValueError, match=rf"{ID}: action of shape \(3, 14\) holds NaN or infinity in environments \[2\]"
    ):
        env.step(action)
    with pytest.raises(ValueError, match=rf"{ID}: action of shape \(14,\), expected \(3, 14\)"):
        env.step(action[0])
    assert np.array_equal(env.batch.state, before)
    env.close()


# -- what can be asked wrongly --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cameras": ("fornt",)}, "unknown camera 'fornt'"),
        ({"action_mode": "tork"}, "unknown action mode"),
        ({"camera": ("top",)}, "did you mean 'cameras'"),
        ({"thread": 2}, "did you mean 'threads'"),
        ({"autoreset_mode": "SameStpe"}, "did you mean 'SameStep'"),
        ({"num_envs": 0}, "num_envs must be 1 or more"),
        ({"threads": -1}, "threads must be 0"),
        ({"max_episode_steps": 0}, "max_episode_steps 0: an episode has one step or more"),
        ({"image_size": (48.5, 64)}, "image size .48.5, 64.: give .height, width., whole numbers"),
        ({"env_id": "robotics/TransferCub-v0"}, "did you mean 'robotics/TransferCube-v0'"),
    ],
)
def test_one_line_for_each_mistake(options, message):
    with pytest.raises(UsageError, match=message):
        make_vector(**{"env_id": ID, "num_envs": 2, **options})


def test_fields_and_parameters_that_a_task_did_not_declare_are_told():
    state = gym.make(ID).unwrapped.state
    with pytest.raises(AttributeError, match=r"unknown field 'xposs'; did you mean 'xpos'.*FIELDS"):
        _ = state.xposs
    with pytest.raises(AttributeError, match=r"unknown parameter 'body_mass'.*RANDOMISED"):
        state.parameter("body_mass")
    with pytest.raises(ValueError, match="read-only"):
        state.xpos[:] = 0
