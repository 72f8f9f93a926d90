"""Data of a training: images from memory or the disk, several datasets, instructions, and what does not fit."""

import os
import re
import tracemalloc
from collections import Counter

import numpy as np
import pytest
import torch

from robotics.cli.train import data_folders
from robotics.datasets.collect import collect
from robotics.datasets.frame_cache import cache_folder, is_cached, mapped_images
from robotics.datasets.reader import Dataset
from robotics.datasets.writer import DatasetWriter
from robotics.errors import RoboticsError, UsageError
from robotics.outputs import write_json
from robotics.policies.checkpoint import load_policy
from robotics.policies.language import TASK, word_ids
from robotics.training.data import INTERVENTION, TrainingData, choose_inputs
from robotics.training.frames import choose_place
from tests import datasets_toy
from tests.runs import toy_run
from tests.toy import TOY_ID

CPU = torch.device("cpu")
CAMERA = datasets_toy.CAMERA


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Two demonstrations with a camera. Read only."""
    root = tmp_path_factory.mktemp("seen") / "data"
    collect(TOY_ID, 2, 0, root, env_kwargs={"cameras": ("top",)})
    return root


def written(root, task="push", state=3, fps=datasets_toy.FPS, robot="toy", mode=None, **columns):
    """A dataset of random numbers with one episode of ten frames, different in what the arguments say."""
    features = datasets_toy.FEATURES | {"observation.state": {"dtype": "float32", "shape": [state], "names": None}}
    frames = datasets_toy.frames(np.random.default_rng(len(task)), 10, images=False)
    frames["observation.state"] = np.random.default_rng(state).normal(size=(10, state)).astype(np.float32)
    for key, values in columns.items():
        name = {"intervention": INTERVENTION}[key]
        features[name] = {"dtype": "bool", "shape": [1], "names": None}
        frames[name] = np.array(values)[:, None]
    with DatasetWriter.create(root, fps, features, robot) as writer:
        writer.append(frames, task, {"env_kwargs": {"action_mode": mode} if mode else {}})
    return root


def grow(root, lengths):
    """A dataset with a camera and episodes of `lengths`, of which those are added that it lacks."""
    if not root.exists():
        DatasetWriter.create(root, datasets_toy.FPS, datasets_toy.features("image"), "toy")
    with DatasetWriter.resume(root) as writer:
        for length in lengths[writer.info.episodes :]:
            writer.append(datasets_toy.frames(np.random.default_rng(length), length, images=True), "push")
    return root


# -- images -----------------------------------------------------------------------------------------------------------


def test_images_are_the_same_from_memory_and_from_the_disk(seen):
    datasets = [Dataset.open(seen), Dataset.open(seen)]
    inputs = choose_inputs(datasets[0], None)
    memory = TrainingData.load(datasets, inputs, CPU, "memory")
    disk = TrainingData.load(datasets, inputs, CPU, "disk")
    frames = np.random.default_rng(0).permutation(len(memory))
    first, second = memory.batch(frames, 4), disk.batch(frames, 4)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    images = np.concatenate([dataset.images("observation.images.top") for dataset in datasets])
    assert np.array_equal(first["observation.images.top"].numpy(), images[frames])


def test_decoding_happens_once_and_outside_the_dataset(seen, monkeypatch):
    before = datasets_toy.contents(seen)
    dataset, key = Dataset.open(seen), "observation.images.top"
    assert not is_cached(dataset, key)
    images = np.array(mapped_images(dataset, key))
    monkeypatch.setattr(Dataset, "episode_images", lambda *_: pytest.fail("decoded again"))
    assert np.array_equal(mapped_images(Dataset.open(seen), key), images)
    assert is_cached(dataset, key)
    assert datasets_toy.contents(seen) == before
    assert len(list(cache_folder().glob("*.npy"))) == 1


def test_writing_to_mapped_images_changes_no_file(seen):
    dataset, key = Dataset.open(seen), "observation.images.top"
    mapped_images(dataset, key)[:] = 7
    assert np.array_equal(mapped_images(dataset, key), dataset.images(key))


def counted(monkeypatch):
    """How often `Dataset.episode_images` decodes, by folder and episode."""
    decoded, decode = Counter(), Dataset.episode_images

    def noted(dataset, episode, key):
        decoded[dataset.root.name, episode.index] += 1
        return decode(dataset, episode, key)

    monkeypatch.setattr(Dataset, "episode_images", noted)
    return decoded


def test_a_dataset_that_grew_is_decoded_where_it_is_new_and_the_old_file_goes(tmp_path, monkeypatch):
    root = tmp_path / "data"
    decoded = counted(monkeypatch)
    for lengths in ((4, 5), (4, 5, 96)):  # frames of one digit, and of three
        grow(root, lengths)
        mapped = mapped_images(Dataset.open(root), CAMERA)
    assert decoded == {("data", 0): 1, ("data", 1): 1, ("data", 2): 1}
    assert np.array_equal(mapped, Dataset.open(root).images(CAMERA))
    assert len(list(cache_folder().glob("*.npy"))) == 1


def test_a_dataset_whose_beginning_changed_is_decoded_anew(tmp_path, monkeypatch):
    root = tmp_path / "data"
    grow(root, (4, 5))
    mapped_images(Dataset.open(root), CAMERA)
    grow(root, (4, 5, 6))
    os.utime(root / Dataset.open(root).episodes[0].data_file, ns=(1, 1))
    decoded = counted(monkeypatch)
    mapped_images(Dataset.open(root), CAMERA)
    assert decoded == {("data", number): 1 for number in range(3)}
    assert len(list(cache_folder().glob("*.npy"))) == 1


def test_an_interrupted_decoding_of_what_is_new_leaves_nothing_that_counts(tmp_path, monkeypatch):
    root = tmp_path / "data"
    grow(root, (4, 5))
    mapped_images(Dataset.open(root), CAMERA)
    grow(root, (4, 5, 6))
    with monkeypatch.context() as patch:
        patch.setattr(Dataset, "episode_images", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            mapped_images(Dataset.open(root), CAMERA)
    grow(root, (4, 5, 6, 7))
    dataset = Dataset.open(root)
    assert np.array_equal(mapped_images(dataset, CAMERA), dataset.images(CAMERA))
    assert len([path for path in cache_folder().iterdir() if path.suffix != ".lock"]) == 1


PLACES = ("device", "memory", "disk")


@pytest.mark.parametrize("later", PLACES)
@pytest.mark.parametrize("place", PLACES)
def test_what_is_held_of_datasets_that_grew_is_not_read_again(tmp_path, monkeypatch, place, later):
    """Also where other room was left for what came later; one of the datasets, and the same twice."""
    roots, inputs = [tmp_path / "a", tmp_path / "b"], ["observation.state", CAMERA]
    for root in roots:
        grow(root, (4, 7, 5))
    decoded, data = counted(monkeypatch), None
    for lengths, where in (((4, 7, 5), place), ((4, 7, 5, 3), later), ((4, 7, 5, 3, 6), later)):
        grow(roots[1], lengths)
        datasets = [Dataset.open(roots[number]) for number in (0, 1, 0)]
        before, data = data, TrainingData.load(datasets, inputs, CPU, where, data)
        if before is not None and later != "disk":  # where they lie
            assert all(data.images[CAMERA].parts[n] is before.images[CAMERA].parts[n] for n in range(2))
    again = later == "disk" != place  # a file holds a dataset from its beginning
    times = [(root, number) for root, count in (("a", 3), ("b", 5)) for number in range(count)]
    first = 1 if place == "disk" else 2  # without a file, for each time that a dataset is named
    assert decoded == {(root, number): (first if root == "a" else 1 + (again and number < 3)) for root, number in times}
    anew = TrainingData.load(datasets, inputs, CPU, "memory")
    order = np.random.default_rng(0).permutation(len(anew))
    kept, read = (one.batch(order, 3) for one in (data, anew))
    assert all(torch.equal(kept[key], read[key]) for key in read)


def test_places_are_chosen_for_what_is_new(tmp_path, monkeypatch):
    sizes, root = [], tmp_path / "data"
    monkeypatch.setattr("robotics.training.data.choose_place", lambda wanted, size, _: sizes.append(size) or "memory")
    data = None
    for lengths in ((4, 7), (4, 7, 5), (4, 7, 5)):
        grow(root, lengths)
        data = TrainingData.load([Dataset.open(root)], [CAMERA], CPU, "auto", data)
    assert sizes == [11 * 16 * 24 * 3, 5 * 16 * 24 * 3, 0]


@pytest.mark.parametrize("cached", [False, True])
def test_images_on_their_way_to_the_device_are_in_memory_an_episode_at_a_time(tmp_path, cached):
    """What numpy holds at most; torch holds what arrived."""
    dataset = Dataset.open(grow(tmp_path / "data", (600,) * 8))
    if cached:
        mapped_images(dataset, CAMERA)
    TrainingData.load([dataset], [CAMERA], CPU, "device")  # what is loaded at first counts not
    tracemalloc.start()
    data = TrainingData.load([dataset], [CAMERA], CPU, "device")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(data.images[CAMERA].parts) == 1
    assert most < 3 * 600 * 16 * 24 * 3 < data.images[CAMERA].parts[0].images.nbytes / 2


def test_a_device_may_hold_more_than_memory(tmp_path, monkeypatch):
    dataset = Dataset.open(grow(tmp_path / "data", (4, 7, 5)))
    memory = {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 10 * 16 * 24 * 3}
    with monkeypatch.context() as patch:
        patch.setattr("robotics.outputs.os.sysconf", memory.__getitem__)
        TrainingData.load([dataset], [CAMERA], CPU, "device")
        with pytest.raises(RoboticsError, match=r"needs 0\.0 GB in memory, this machine has"):
            TrainingData.load([dataset], [CAMERA], CPU, "memory")
        memory["SC_PHYS_PAGES"] = 6 * 16 * 24 * 3  # less than the longest episode, which must pass
        with pytest.raises(RoboticsError, match="in memory"):
            TrainingData.load([dataset], [CAMERA], CPU, "device")


@pytest.mark.parametrize(
    "refusal",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
)
def test_a_place_without_room_is_one_line(tmp_path, monkeypatch, refusal):
    def empty(*_, **__):
        raise refusal

    dataset = Dataset.open(grow(tmp_path / "data", (4, 7, 5)))
    monkeypatch.setattr(torch, "empty", empty)
    with pytest.raises(
        RoboticsError, match=r"--frames device: the images of 'observation\.images\.top' take"
    ) as caught:
        TrainingData.load([dataset], [CAMERA], CPU, "device")
    assert "\n" not in str(caught.value) and "give --frames disk" in str(caught.value)


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_damaged_cache_is_made_again(seen, damage):
    dataset, key = Dataset.open(seen), "observation.images.top"
    mapped_images(dataset, key)
    (path,) = cache_folder().glob("*.npy")
    path.write_bytes(path.read_bytes()[:500] if damage == "cut" else b"something else")
    assert np.array_equal(mapped_images(dataset, key), dataset.images(key))


def test_an_interrupted_decoding_leaves_nothing_that_counts(seen, monkeypatch):
    dataset, key = Dataset.open(seen), "observation.images.top"

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Dataset, "episode_images", interrupted)
        with pytest.raises(KeyboardInterrupt):
            mapped_images(dataset, key)
    assert not is_cached(dataset, key)
    assert np.array_equal(mapped_images(dataset, key), dataset.images(key))


def test_images_go_where_there_is_room(monkeypatch):
    assert choose_place("auto", 1e3, CPU) == "memory"
    assert choose_place("auto", 1e15, CPU) == "disk"
    assert choose_place("memory", 1e15, CPU) == "memory"
    room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 4
    assert choose_place("auto", room / 100, CPU) == "memory"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1000")  # each process holds the images
    assert choose_place("auto", room / 100, CPU) == "disk"


def test_a_training_is_the_same_from_memory_and_from_the_disk(seen, tmp_path):
    runs = [
        toy_run(seen, tmp_path / place, inputs="top", training_options={"steps": 2, "batch_size": 4, "frames": place})
        for place in ("memory", "disk")
    ]
    first, second = (load_policy(run).state_dict() for run in runs)
    assert all(torch.equal(first[name], second[name]) for name in first)


# -- several datasets -------------------------------------------------------------------------------------------------


def test_windows_of_several_datasets_stay_in_their_episode(tmp_path):
    datasets = [Dataset.open(written(tmp_path / name, task=name)) for name in ("push", "pull back")]
    data = TrainingData.load(datasets, ["observation.state"])
    batch = data.batch(np.arange(20), horizon=3)
    assert batch["action_is_pad"].sum(dim=1).tolist() == ([0] * 8 + [1, 2]) * 2
    actions = np.concatenate([dataset.column("action") for dataset in datasets])
    assert np.array_equal(batch["action"][:, 0].numpy(), actions)
    for frame, text in ((0, "push"), (9, "push"), (10, "pull back"), (19, "pull back")):
        assert np.array_equal(batch[TASK][frame].numpy(), word_ids(text))


def test_a_task_that_two_datasets_share_is_one(tmp_path):
    datasets = [Dataset.open(written(tmp_path / str(number), task="push")) for number in range(2)]
    assert len(TrainingData.load(datasets, ["observation.state"]).instructions) == 1


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"state": 4}, r"'observation.state' is of shape \(3,\) in .*a and of shape \(4,\) in .*b"),
        ({"fps": 15}, "control rate is 30 Hz in .*a and 15 Hz in .*b"),
        ({"robot": "crane"}, "robot is toy in .*a and crane in .*b"),
        ({"mode": "ee"}, "action mode is joint in .*a and ee in .*b"),
    ],
)
def test_datasets_that_do_not_fit_together(tmp_path, other, message):
    paths = [written(tmp_path / "a", mode="joint"), written(tmp_path / "b", **{"mode": "joint", **other})]
    with pytest.raises(UsageError, match=message) as caught:
        toy_run(paths, tmp_path / "run")
    assert "\n" not in str(caught.value) and "--inputs" not in str(caught.value)  # no choice of inputs mends it
    assert not (tmp_path / "run").exists()


def test_a_column_that_only_one_dataset_has(toy_dataset, tmp_path):
    """What both have, those may choose."""
    paths = [toy_dataset, written(tmp_path / "b", state=2, fps=10, robot="point")]
    message = r"'observation.environment_state' is of shape \(2,\) in .* and absent in .*b; choose .*: --inputs state$"
    with pytest.raises(UsageError, match=message):
        toy_run(paths, tmp_path / "run")
    toy_run(paths, tmp_path / "run", inputs="state", training_options={"steps": 2})


def test_one_policy_for_two_tasks_reads_the_instruction(tmp_path):
    """The same states and opposite actions: only who reads can tell them apart."""
    paths = []
    for sign, task in ((1.0, "to the left"), (-1.0, "to the right")):
        frames = datasets_toy.frames(np.random.default_rng(0), 40, images=False)
        frames["action"] = np.full((40, 2), sign, np.float32)
        with DatasetWriter.create(tmp_path / task, datasets_toy.FPS, datasets_toy.FEATURES, "toy") as writer:
            writer.append(frames, task)
        paths.append(tmp_path / task)
    settings = {"steps": 150, "lr": 3e-3}
    run = toy_run(paths, tmp_path / "run", policy_options={"language": True}, training_options=settings)
    policy = load_policy(run)
    words = torch.from_numpy(np.stack([word_ids("to the left"), word_ids("to the right")]))
    left, right = policy.predict_chunk({"observation.state": torch.zeros(2, 3), TASK: words}).mean(dim=(1, 2))
    assert left > 0.8 and right < -0.8


def test_several_tasks_and_no_language_are_noted(tmp_path, capsys):
    paths = [written(tmp_path / name, task=name) for name in ("push", "pull")]
    toy_run(paths, tmp_path / "run", training_options={"steps": 1})
    assert "2 different instructions" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ({}, {"noise": 0.05}, r"noise \(none in .*a; 0.05 of the action range in .*b\)"),
        ({}, {"hardest_of": 4}, r"hardest_of \(1 in .*a; 4 in .*b\)"),
        ({}, {"randomisation": {"severity": "mild", "ranges": None}}, r"randomisation \(none in .*a; mild in .*b\)"),
        ({}, {"randomisation": {"target": "twin:t.json"}}, r"target \(none in .*a; twin:t.json in .*b\)"),
        (
            {"calibration": {"robot": "arm", "promoted": True, "parameters": {"delay": 0.1}}},
            {"calibration": None},
            r"calibration \(arm, promoted, 1 parameters in .*a; none in .*b\)",
        ),
        (
            {"randomisation": {"families": {"delay": [0.1, 0.2]}, "rest": None, "joints": {}}},
            {"randomisation": {"families": {"delay": [0.1, 0.3]}, "rest": None, "joints": {}}},
            r"randomisation \(not the same, though each is 2 worlds around what was identified \(delay\)\)",
        ),
        ({}, {"noise": 0.0, "hardest_of": None, "randomisation": None}, None),
        ({"noise": 0.1}, None, None),  # another program's, which says nothing
    ],
)
def test_datasets_of_different_origins_are_noted(tmp_path, capsys, first, second, told):
    paths = [written(tmp_path / "a"), written(tmp_path / "b")]
    for path, noted in zip(paths, (first, second), strict=True):
        document = {} if noted is None else {"env": TOY_ID, "policy": "expert"} | noted
        write_json(path / "meta/robotics.json", document)
    toy_run(paths, tmp_path / "run", training_options={"steps": 1, "batch_size": 4})
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: datasets of different")]
    assert len(notes) == (told is not None) and (told is None or re.search(told, notes[0]))


def test_data_by_commas_and_repeated(tmp_path):
    (tmp_path / "a,b").mkdir()
    assert [str(path) for path in data_folders(["x,y", "z"])] == ["x", "y", "z"]
    assert data_folders([str(tmp_path / "a,b")]) == [tmp_path / "a,b"]
    with pytest.raises(UsageError, match="--data is needed"):
        data_folders([])


# -- what does not fit ------------------------------------------------------------------------------------------------


def test_an_environment_that_does_not_fit_is_said_before_training(toy_dataset, tmp_path):
    with pytest.raises(UsageError, match=r"dataset and environment do not fit: .* in .*data and .* in robotics/Rea"):
        toy_run(toy_dataset, tmp_path / "run", training_options={"eval_env": "robotics/Reach-v0"})
    assert not (tmp_path / "run").exists()


def test_resuming_with_data_of_another_kind_names_both_sides(toy_dataset, tmp_path):
    run = toy_run(toy_dataset, tmp_path / "run", training_options={"steps": 2})
    with pytest.raises(UsageError, match=r"dataset and policy do not fit: .* in .*config.json and .* in .*other"):
        toy_run(written(tmp_path / "other"), run, resume=True)


def test_a_gradient_that_is_not_finite_names_every_window(toy_dataset, tmp_path, monkeypatch):
    from robotics.policies.act import Act

    run = toy_run(toy_dataset, tmp_path / "run", training_options={"steps": 2})
    loss = Act.loss

    def poisoned(self, batch):  # a finite value with an infinite slope, as sqrt at 0
        value, terms = loss(self, batch)
        return value + self.queries.sub(self.queries.detach()).square().sum().sqrt(), terms

    monkeypatch.setattr(Act, "loss", poisoned)
    with pytest.raises(RoboticsError, match=r"the gradient of step 3 is nan \(frames (\d+, ){15}\d+ of the dataset\)"):
        toy_run(toy_dataset, run, training_options={"steps": 4}, resume=True)
    assert load_policy(run)  # the checkpoint from before it, which refuses what is not finite
