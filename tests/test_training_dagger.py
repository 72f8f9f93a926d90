"""DAgger: who acts, what is labelled, which windows follow from it, and that an interrupted round goes on."""

import json
import shutil
from collections import Counter
from dataclasses import asdict

import numpy as np
import pytest
import torch

from robotics.datasets.check import check
from robotics.datasets.collect import collect
from robotics.datasets.demonstration import Source
from robotics.datasets.reader import Dataset
from robotics.environments import make_env
from robotics.errors import DataError, UsageError
from robotics.evaluation.bench import bench
from robotics.policies.checkpoint import load_policy
from robotics.sim2real.drawing import Randomisation
from robotics.sim2real.draws import InCalibration, draw_of
from robotics.sim2real.posterior import Posterior
from robotics.sim2real.targets import InTarget
from robotics.training import dagger
from robotics.training.data import INTERVENTION, TrainingData, choose_inputs
from robotics.training.frames import Frames
from robotics.training.relabel import Relabelling, relabelled
from tests.datasets_toy import contents
from tests.runs import toy_data, toy_run
from tests.toy import TOY_ID, PointExpert

ROUNDS = {"steps": 12, "dagger_rounds": 2, "dagger_episodes": 2, "schedule": "constant", "save_every": 3}


class Wrong:
    """Always drives to the upper right."""

    def reset(self, env, seed):
        pass

    def act(self, observation):
        return np.ones(2, np.float32)


def turns(beta):
    return Relabelling(TOY_ID, {}, "", beta, learner_steps=4, expert_steps=6)


def columns(beta, seed=3):
    env = make_env(TOY_ID)
    try:
        return relabelled(env, Wrong(), turns(beta), seed)
    finally:
        env.close()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return toy_data(tmp_path_factory.mktemp("dagger") / "data", episodes=4)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A run of two rounds. Read only."""
    return toy_run(data, tmp_path_factory.mktemp("dagger") / "run", training_options=ROUNDS)


# -- one episode ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_every_visited_state_has_the_label_of_the_expert(beta):
    frames = columns(beta).frames
    for state, goal, action in zip(
        frames["observation.state"], frames["observation.environment_state"], frames["action"], strict=True
    ):
        assert np.allclose(action, PointExpert().act({"state": state, "environment_state": goal}), atol=1e-6)


def test_the_states_are_those_that_whoever_acted_leads_to():
    frames = columns(0.5).frames
    acted = np.where(frames[INTERVENTION], frames["action"], 1.0)
    reached = np.clip(frames["observation.state"][:-1] + 0.1 * acted[:-1], -2, 2)
    assert np.allclose(frames["observation.state"][1:], reached, atol=1e-6)
    assert 0 < frames[INTERVENTION].mean() < 1


def test_they_take_turns_in_whole_blocks():
    acts = columns(0.5).frames[INTERVENTION][:, 0]
    ends = np.flatnonzero(np.diff(acts.astype(int))) + 1
    blocks = np.split(acts, ends)[:-1]  # the last may be cut by the end of the episode
    assert all(len(block) % (6 if block[0] else 4) == 0 for block in blocks)


def test_alone_they_do_what_they_do():
    assert columns(1.0).success and columns(1.0).frames[INTERVENTION].all()
    assert not columns(0.0).success and not columns(0.0).frames[INTERVENTION].any()


def test_who_samples_begins_no_two_turns_alike():
    """The first one as where it is tested; the others by seeds of their own, the same each time."""

    class Noted(Wrong):
        def __init__(self):
            self.seeds = []

        def reset(self, env, seed):
            self.seeds.append(seed)

    env, learners = make_env(TOY_ID), (Noted(), Noted())
    for learner in learners:
        relabelled(env, learner, turns(0.0), 3)
    env.close()
    first, second = (learner.seeds for learner in learners)
    assert first == second
    assert first[0] == 3
    assert len(set(first)) == len(first) > 3


def test_an_episode_depends_on_its_seed_alone():
    env = make_env(TOY_ID)
    first = relabelled(env, Wrong(), turns(0.5), 3).frames
    relabelled(env, Wrong(), turns(0.5), 4)
    second = relabelled(env, Wrong(), turns(0.5), 3).frames
    env.close()
    assert all(np.array_equal(first[key], second[key]) for key in first)


def test_windows_last_as_long_as_labels_follow_from_each_other(run):
    """Against a plain loop: an action belongs to the window while all before it were executed."""
    dataset = Dataset.open(run / "dagger")
    data = TrainingData.load([dataset], choose_inputs(dataset, None))
    is_pad = data.batch(np.arange(len(data)), horizon=8)["action_is_pad"].numpy()
    acts = dataset.column(INTERVENTION)[:, 0]
    for start, stop in dataset.episode_ranges:
        for frame in range(start, stop):
            for ahead in range(8):
                valid = frame + ahead < stop and acts[frame : frame + ahead].all()
                assert is_pad[frame, ahead] == (not valid)


# -- rounds -----------------------------------------------------------------------------------------------------------


def test_rounds_divide_the_training_and_the_demonstrations_stay_as_they_are(run, data):
    journal = json.loads((run / "dagger" / "meta" / "robotics.json").read_text())
    assert [entry["step"] for entry in journal["rounds"]] == [4, 8]
    assert [entry["beta"] for entry in journal["rounds"]] == [0.5, 0.25]
    assert not check(run / "dagger").problems
    assert contents(data) == contents(toy_data(run.parent / "again", episodes=4))


def test_a_run_with_rounds_is_replaced_by_one_without(tmp_path, data):
    """Data that do not say where they are from are enough for that."""
    anonymous, out = tmp_path / "data", tmp_path / "run"
    shutil.copytree(data, anonymous)
    origin = json.loads((anonymous / "meta" / "robotics.json").read_text())
    (anonymous / "meta" / "robotics.json").write_text(json.dumps({**origin, "env": None}))
    toy_run(anonymous, out, training_options={"steps": 1})
    (out / "dagger").mkdir()
    toy_run(anonymous, out, training_options={"steps": 1}, overwrite=True)
    assert not (out / "dagger").exists()


def test_nothing_may_be_tested_on_the_seeds_of_a_round(run):
    seeds = json.loads((run / "config.json").read_text())["data"]["seeds"]
    assert seeds == [0, 1, 2, 3, *range(500_000, 500_004)]
    with pytest.raises(UsageError, match="trained on 1 of these seeds"):
        bench(TOY_ID, str(run), 1, 500_000)


def test_seeds_of_the_demonstrations_are_left_out(tmp_path, data):
    from robotics.training.config import TrainConfig

    config = TrainConfig(steps=1, batch_size=1, lr=0.1)
    rounds = dagger.Dagger(tmp_path, None, config, [500_000, 500_002])
    rounds._journal = [dagger.Round(0, 3, 0.5)]
    assert rounds._seeds() == [500_001, 500_003, 500_004]


def interrupted_after(count):
    """What `DatasetWriter.commit` does until it is called for the `count`-th time: then it is a kill."""
    commit = dagger.DatasetWriter.commit
    calls = []

    def stops(self, *arguments):
        calls.append(1)
        if len(calls) == count:
            raise KeyboardInterrupt
        commit(self, *arguments)

    return stops


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_round_that_was_interrupted_goes_on_to_the_same_end(run, data, tmp_path, monkeypatch, count):
    other = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(dagger.DatasetWriter, "commit", interrupted_after(count))
        with pytest.raises(KeyboardInterrupt):
            toy_run(data, other, training_options=ROUNDS)
    toy_run(data, other, training_options=ROUNDS, resume=True)
    first, second = load_policy(run).state_dict(), load_policy(other).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert contents(run / "dagger") == contents(other / "dagger")


# -- pictures ---------------------------------------------------------------------------------------------------------

SEEING = {"inputs": "top", "training_options": ROUNDS | {"steps": 3, "batch_size": 4}}


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    root = tmp_path_factory.mktemp("dagger") / "seen"
    collect(TOY_ID, 3, 0, root, env_kwargs={"cameras": ("top",), "image_size": (16, 16)})
    return root


@pytest.fixture(scope="module")
def read_anew(seen, tmp_path_factory):
    """The weights of a training that reads all pictures again in every round."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Frames, "of", lambda *_: [])
        run = toy_run(seen, tmp_path_factory.mktemp("anew") / "run", **SEEING)
    return load_policy(run).state_dict()


def placed(frames):
    return SEEING | {"training_options": SEEING["training_options"] | {"frames": frames}}


def equal(weights, run):
    other = load_policy(run).state_dict()
    return all(torch.equal(weights[name], other[name]) for name in weights)


@pytest.mark.parametrize("frames", ["memory", "disk"])
def test_a_round_decodes_its_own_episodes_alone(seen, read_anew, own_cache, tmp_path, monkeypatch, frames):
    """Each once in the whole training, which learns what it would from pictures that are read again."""
    decoded, decode = Counter(), Dataset.episode_images

    def counted(dataset, episode, key):
        decoded[dataset.root.name, episode.index] += 1
        return decode(dataset, episode, key)

    monkeypatch.setattr(Dataset, "episode_images", counted)
    run = toy_run(seen, tmp_path / "run", **placed(frames))
    assert decoded == {("seen", 0): 1, ("seen", 1): 1, ("seen", 2): 1} | {("dagger", n): 1 for n in range(4)}
    assert equal(read_anew, run)


@pytest.mark.parametrize(("frames", "count"), [("memory", 2), ("disk", 4)])
def test_a_round_with_pictures_that_was_interrupted_goes_on_to_the_same_end(
    seen, read_anew, own_cache, tmp_path, monkeypatch, frames, count
):
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(dagger.DatasetWriter, "commit", interrupted_after(count))
        with pytest.raises(KeyboardInterrupt):
            toy_run(seen, run, **placed(frames))
    toy_run(seen, run, resume=True, **placed(frames))
    assert equal(read_anew, run)


# -- more rounds ------------------------------------------------------------------------------------------------------


def test_a_finished_training_takes_a_round_more(run, data, tmp_path):
    other = tmp_path / "run"
    shutil.copytree(run, other, symlinks=True)
    toy_run(data, other, training_options=ROUNDS | {"dagger_rounds": 3, "steps": 16}, resume=True)
    journal = json.loads((other / "dagger" / "meta" / "robotics.json").read_text())
    assert [entry["step"] for entry in journal["rounds"]] == [4, 8, 12]
    assert len(Dataset.open(other / "dagger").episodes) == 6


def test_it_helps_where_demonstrations_are_few(data, tmp_path):
    """Four demonstrations show little of the toy; the expert's labels of forty rollouts fill the gaps."""
    settings = {"steps": 300, "lr": 3e-3}
    alone = toy_run(data, tmp_path / "alone", training_options=settings)
    rounds = {"dagger_rounds": 2, "dagger_episodes": 20}
    helped = toy_run(data, tmp_path / "helped", training_options=settings | rounds)
    rates = [bench(TOY_ID, str(run), 30, 1_000_000)["success_rate"] for run in (alone, helped)]
    assert rates[1] > rates[0] + 0.3


@pytest.mark.parametrize(
    ("provenance", "message"),
    [({"env": None}, "does not say which environment"), ({"env": "CartPole-v1"}, "no expert|fit|action")],
)
def test_rounds_need_an_environment_with_an_expert(data, tmp_path, provenance, message):
    other = tmp_path / "data"
    shutil.copytree(data, other)
    path = other / "meta" / "robotics.json"
    document = json.loads(path.read_text()) | provenance
    path.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))
    with pytest.raises(UsageError, match=message):
        toy_run(other, tmp_path / "run", training_options=ROUNDS)


# -- worlds -----------------------------------------------------------------------------------------------------------


DRAWS = [Randomisation("medium"), Posterior({"delay": [0.01, 0.02]}), InTarget("factors:mass=1.2"), InCalibration({})]


@pytest.mark.parametrize("draw", DRAWS, ids=lambda draw: type(draw).__name__)
def test_what_a_dataset_notes_of_its_worlds_can_be_drawn_again(draw):
    assert draw_of({"randomisation": json.loads(json.dumps(asdict(draw)))}) == draw


def test_a_calibrated_dataset_gives_its_calibration_and_a_plain_one_nothing():
    assert draw_of({"calibration": {"robot": "arm", "parameters": {"delay": 0.01}}}) == InCalibration({"delay": 0.01})
    assert draw_of({"randomisation": None, "calibration": None}) is None
    assert draw_of({"randomisation": {"families": {"delay": [0.1]}}}) == Posterior({"delay": [0.1]})


def test_a_note_of_another_kind_is_an_error():
    with pytest.raises(DataError, match="not how any are drawn"):
        draw_of({"randomisation": {"colour": "blue"}})
    with pytest.raises(DataError, match="not how any are drawn"):  # an older version's
        draw_of({"randomisation": {"ranges": {"delay": [0, 1]}, "rest": None, "joints": {}}})
    with pytest.raises(DataError, match="not how any are drawn"):
        draw_of({"calibration": "mine"})


def test_the_expert_relabels_in_the_worlds_of_the_demonstrations(tmp_path):
    """An expert that acts all the time in a round does what it did when it demonstrated."""
    env_id, draw = "robotics/Reach-v0", Randomisation("wide")
    with Source(env_id, {}, randomisation=draw).demonstrator() as demonstrator:
        demonstrated = demonstrator.attempt(3).frames
    with Relabelling(env_id, {}, "zero", 1.0, 4, 6, draw).open() as relabel:
        frames = relabel(3).frames
    with Relabelling(env_id, {}, "zero", 1.0, 4, 6).open() as relabel:
        nominal = relabel(3).frames
    assert np.array_equal(frames["action"], demonstrated["action"])
    assert not np.array_equal(frames["observation.state"], nominal["observation.state"])


def test_rounds_are_in_the_worlds_of_all_datasets_or_of_none(data, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(data, other)
    path = other / "meta" / "robotics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"randomisation": {"severity": "mild", "ranges": None}}))
    with pytest.raises(UsageError, match="worlds drawn differently"):
        toy_run([data, other], tmp_path / "run", training_options=ROUNDS)
