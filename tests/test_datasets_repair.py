"""Repair keeps the sound episodes of a dataset, loses nothing silently, and leaves a dataset that `check` accepts."""

import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotics.datasets.check import check
from robotics.datasets.folder_lock import FolderLock
from robotics.datasets.layout import REJECTED_FOLDER
from robotics.datasets.reader import Dataset
from robotics.datasets.rebuild import _feature
from robotics.datasets.repair import repair
from robotics.datasets.tasks import write_tasks
from robotics.datasets.writer import DatasetWriter
from robotics.errors import DataError, UsageError
from tests.datasets_toy import CAMERA, FPS, contents, features, frames, write
from tests.test_datasets_check import DATA, ROW, VIDEO, edit_column, edit_json, truncate


def test_a_sound_dataset_is_left_alone(tmp_path):
    write(tmp_path, "video")
    before = contents(tmp_path)
    done = repair(tmp_path)
    assert (done.kept, done.steps) == (3, []) and contents(tmp_path) == before


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        (DATA, truncate),
        (DATA, Path.unlink),
        (DATA, lambda p: edit_column(p, "timestamp", lambda v: [x + 1 for x in v])),
        (ROW, truncate),
        (VIDEO, truncate),
        (VIDEO, Path.unlink),
    ],
)
def test_episodes_before_and_behind_the_damaged_one_are_kept(tmp_path, file, damage):
    episodes = write(tmp_path, "video")
    damage(tmp_path / file)
    before = contents(tmp_path)
    done = repair(tmp_path)
    assert done.kept == 2 and any("left out episode 1: " in step for step in done.steps)
    assert_holds(tmp_path, [episodes[0], episodes[2]], [0, 2])
    after = contents(tmp_path)
    for name, content in before.items():  # every byte of the data is still there, in its place or put aside
        if name.startswith(("data/", "videos/", "meta/episodes/")):
            assert content in (after.get(name), after.get(f"{REJECTED_FOLDER}/{name}"))


def assert_holds(root, episodes, seeds):
    """The dataset is sound and holds these episodes, which come from these seeds."""
    report, dataset = check(root), Dataset.open(root)
    assert not report.problems and not report.warnings
    for key in ("action", "observation.state"):
        np.testing.assert_array_equal(dataset.column(key), np.concatenate([one[key] for one in episodes]))
    if CAMERA in episodes[0]:
        error = np.abs(dataset.images(CAMERA).astype(float) - np.concatenate([one[CAMERA] for one in episodes]))
        assert error.mean() < 8
    assert dataset.provenance["seeds"] == seeds


def nan_action(values):
    return [*values[:-1], [float("nan"), 0.0]]


@pytest.mark.parametrize("image_dtype", [None, "image", "video"])
def test_one_bad_number_costs_one_episode(tmp_path, image_dtype):
    episodes = write(tmp_path, image_dtype, (4, 7, 5, 6, 3, 8))
    original = contents(tmp_path)
    for number in (0, 3):
        edit_column(tmp_path / f"data/chunk-000/file-00{number}.parquet", "action", nan_action)
    assert repair(tmp_path).kept == 4
    assert_holds(tmp_path, [episodes[number] for number in (1, 2, 4, 5)], [1, 2, 4, 5])
    if image_dtype == "video":  # not encoded again
        video = f"videos/{CAMERA}/chunk-000/file-00{{}}.mp4"
        assert (tmp_path / video.format(2)).read_bytes() == original[video.format(4)]
    with DatasetWriter.resume(tmp_path) as out:
        out.append(frames(np.random.default_rng(5), 3, image_dtype is not None), "task 0")
    assert len(Dataset.open(tmp_path).episodes) == 5 and not check(tmp_path).problems


def test_what_is_renumbered_is_what_would_have_been_written(tmp_path):
    """But for the order of instructions and what was put aside."""
    write(tmp_path / "a", "video")
    edit_column(tmp_path / "a" / DATA, "action", nan_action)
    repair(tmp_path / "a")
    shutil.rmtree(tmp_path / "a" / REJECTED_FOLDER)
    rng = np.random.default_rng(0)
    episodes = [frames(rng, length, True) for length in (4, 7, 5)]
    with DatasetWriter.create(tmp_path / "b", FPS, features("video"), "toy") as out:
        for number in (0, 2):
            out.append(episodes[number], "task 0", {"seeds": [0, 2][: number // 2 + 1]})
    repaired, written = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert repaired.keys() == written.keys()
    assert [name for name in written if repaired[name] != written[name]] == ["meta/info.json", "meta/tasks.parquet"]


def test_a_kill_between_any_two_steps_can_be_repaired(tmp_path, monkeypatch):
    """Until then it reads as it was or not at all."""
    root = tmp_path / "data"
    episodes = write(root, "video", (4, 7, 5, 6))
    edit_column(root / DATA, "action", nan_action)
    states = []

    def watched(step):
        def run(*args, **kwargs):
            states.append(tmp_path / f"state-{len(states)}")
            shutil.copytree(root, states[-1], symlinks=True)
            return step(*args, **kwargs)

        return run

    with monkeypatch.context() as patch:
        for name in ("replace", "link", "unlink", "rmdir"):
            patch.setattr(os, name, watched(getattr(os, name)))
        repair(root)
    assert len(states) > 40
    for state in states:
        try:
            dataset = Dataset.open(state)
            assert len(dataset.episodes) == 4 or not check(state).problems
        except DataError as error:
            assert "data repair" in str(error)
        assert repair(state).kept == 3
        assert_holds(state, [episodes[0], *episodes[2:]], [0, 2, 3])
        assert not list(state.glob(".repaired*"))


def test_of_files_that_hold_several_episodes_the_beginning_is_kept(tmp_path):
    episodes = write(tmp_path, None)
    folder = tmp_path / "data/chunk-000"
    files = sorted(folder.glob("*.parquet"))
    table = pa.concat_tables([pq.read_table(file) for file in files])
    for file in files:
        file.unlink()
    pq.write_table(table, files[0])
    for row in (tmp_path / "meta/episodes/chunk-000").glob("*.parquet"):
        edit_column(row, "data/file_index", lambda values: [0] * len(values))
    edit_column(files[0], "action", lambda values: [*values[:5], [float("nan"), 0.0], *values[6:]])
    assert repair(tmp_path).kept == 1
    assert_holds(tmp_path, episodes[:1], [0])


def test_rounds_of_a_learner_stay_the_first_ones(tmp_path):
    """Their journal counts episodes, and takes those that are there for the first ones."""
    write(tmp_path, None)
    edit_json(tmp_path / "meta/robotics.json", rounds=[{"step": 1, "episodes": 3, "beta": 0.5}])
    edit_column(tmp_path / DATA, "action", nan_action)
    assert repair(tmp_path).kept == 1


@pytest.mark.parametrize("image_dtype", [None, "image", "video"])
def test_a_lost_description_is_rebuilt(tmp_path, image_dtype):
    write(tmp_path, image_dtype)
    original = Dataset.open(tmp_path)
    for name in ("info.json", "stats.json", "tasks.parquet"):
        (tmp_path / "meta" / name).unlink()
    assert repair(tmp_path).kept == 3
    rebuilt = Dataset.open(tmp_path)
    assert (rebuilt.fps, rebuilt.tasks) == (original.fps, original.tasks)
    assert {k: (f["dtype"], f["shape"]) for k, f in rebuilt.features.items()} == {
        k: (f["dtype"], f["shape"]) for k, f in original.features.items()
    }
    np.testing.assert_array_equal(rebuilt.stats["action"]["q90"], original.stats["action"]["q90"])
    assert not check(tmp_path).problems


def test_texts_that_the_table_lost_come_back_from_the_episodes(tmp_path):
    write(tmp_path, None)
    write_tasks(tmp_path, ["task 0"])
    assert repair(tmp_path).kept == 3
    assert Dataset.open(tmp_path).tasks == ["task 0", "task 1"]
    assert not check(tmp_path).problems


def test_columns_of_lists_in_lists_are_rebuilt(tmp_path):
    """As LeRobot writes them: of no fixed size."""
    table = pa.table({"grid": pa.array([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]] * 4, pa.list_(pa.list_(pa.float32())))})
    assert _feature(table["grid"]) == {"dtype": "float32", "shape": [2, 3], "names": None}


def test_wrong_totals_and_statistics_are_rebuilt(tmp_path):
    write(tmp_path, None)
    edit_json(tmp_path / "meta/info.json", total_frames=99)
    edit_json(tmp_path / "meta/stats.json", action={"mean": [5.0, 5.0]})
    assert repair(tmp_path).kept == 3
    assert not check(tmp_path).problems


def test_leftovers_are_put_aside_and_the_dataset_can_be_continued(tmp_path):
    write(tmp_path, "video")
    edit_json(tmp_path / "meta/info.json", total_episodes=2, total_frames=11)  # as if killed before the commit point
    assert check(tmp_path).warnings and not check(tmp_path).problems
    assert repair(tmp_path).kept == 2
    assert not check(tmp_path).warnings
    assert (tmp_path / REJECTED_FOLDER / f"videos/{CAMERA}/chunk-000/file-002.mp4").exists()
    with DatasetWriter.resume(tmp_path) as out:
        out.append(frames(np.random.default_rng(5), 3, True), "task 0")
    assert len(Dataset.open(tmp_path).episodes) == 3 and not check(tmp_path).problems


@pytest.mark.parametrize(
    "damage",
    [
        lambda root: [truncate(file) for file in root.glob("data/chunk-000/*.parquet")],
        # Killed before its first commit: an episode that nothing knows of is not adopted
        lambda root: edit_json(root / "meta/info.json", total_episodes=0, total_frames=0),
    ],
)
def test_nothing_is_touched_when_nothing_can_be_kept(tmp_path, damage):
    write(tmp_path, None)
    damage(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(DataError, match="no episode can be kept"):
        repair(tmp_path)
    assert contents(tmp_path) == before


def test_nothing_is_repaired_under_the_hands_of_a_writer(tmp_path):
    write(tmp_path, None)
    edit_json(tmp_path / "meta/info.json", total_frames=99)
    lock = FolderLock(tmp_path)
    lock.acquire()
    with pytest.raises(UsageError, match="being written by another process"):
        repair(tmp_path)
    lock.release()
    assert repair(tmp_path).kept == 3


def test_a_second_repair_does_not_replace_what_the_first_put_aside(tmp_path):
    write(tmp_path, None)
    first = (tmp_path / DATA).read_bytes()
    truncate(tmp_path / DATA)
    repair(tmp_path)
    with DatasetWriter.resume(tmp_path) as out:
        out.append(frames(np.random.default_rng(5), 3, False), "task 0")
    truncate(tmp_path / DATA)
    repair(tmp_path)
    aside = sorted((tmp_path / REJECTED_FOLDER / "data/chunk-000").glob("file-001*"))
    assert len(aside) == 2 and first[: len(first) // 2] in [path.read_bytes() for path in aside]
