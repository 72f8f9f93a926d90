"""Repair keeps the sound episodes of a dataset, loses nothing silently, and leaves a dataset that `check` accepts."""

import json
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
from tests.datasets_toy import CAMERA, FPS, contents, features, frames, in_one_file, write
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


def spoil(root, *numbers):
    """A number that is none in these episodes of a dataset in one file, of 4, 7, 5 and 6 frames."""
    start = [0, 4, 11, 16]
    data = pq.read_table(root / "data/chunk-000/file-000.parquet")["action"].to_pylist()
    for number in numbers:
        data[start[number]] = [float("nan"), 0.0]
    edit_column(root / "data/chunk-000/file-000.parquet", "action", lambda _: data)


@pytest.mark.parametrize("layout", ["one file each", "one file", "linked"])
def test_a_kill_between_any_two_steps_can_be_repaired(tmp_path, monkeypatch, layout):
    """Until then it reads as it was or not at all."""
    root = tmp_path / "data"
    episodes = write(root, "video", (4, 7, 5, 6))
    if layout == "one file":
        in_one_file(root, episodes)
        spoil(root, 1)
    else:
        edit_column(root / DATA, "action", nan_action)
    if layout == "linked":
        (root / "videos").rename(tmp_path / "elsewhere")
        (root / "videos").symlink_to(tmp_path / "elsewhere")
    states = []

    def watched(step):
        def run(*args, **kwargs):
            states.append(tmp_path / f"state-{len(states)}")
            shutil.copytree(root, states[-1], symlinks=True)
            return step(*args, **kwargs)

        return run

    with monkeypatch.context() as patch:
        for name in ("replace", "rename", "link", "unlink", "rmdir"):
            patch.setattr(os, name, watched(getattr(os, name)))
        repair(root)
    assert len(states) > (15 if layout == "one file" else 40)
    for state in states:
        try:
            dataset = Dataset.open(state)
            assert len(dataset.episodes) == 4 or not check(state).problems
        except DataError as error:
            assert "data repair" in str(error)
        assert repair(state).kept == 3
        assert_holds(state, [episodes[0], *episodes[2:]], [0, 2, 3])
        assert not list(state.glob(".repaired*"))


@pytest.mark.parametrize("image_dtype", [None, "image", "video"])
@pytest.mark.parametrize("bad", [(1,), (0,), (0, 2), (3,), (1, 2, 3)])
def test_of_files_that_hold_several_episodes_the_sound_ones_are_kept(tmp_path, image_dtype, bad):
    episodes = write(tmp_path, image_dtype, (4, 7, 5, 6))
    in_one_file(tmp_path, episodes)
    spoil(tmp_path, *bad)
    if image_dtype == "video":  # of another program, whose films nobody expects to hold one clip each
        (tmp_path / "meta/robotics.json").unlink()
    before = (tmp_path / "data/chunk-000/file-000.parquet").read_bytes()
    kept = [number for number in range(4) if number not in bad]
    assert repair(tmp_path).kept == len(kept)
    if image_dtype == "video":
        assert not check(tmp_path).problems and not check(tmp_path).warnings
        images = np.concatenate([episodes[number][CAMERA] for number in kept])
        assert np.abs(Dataset.open(tmp_path).images(CAMERA).astype(float) - images).mean() < 8
    else:
        assert_holds(tmp_path, [episodes[number] for number in kept], kept)
    assert (tmp_path / REJECTED_FOLDER / "data/chunk-000/file-000.parquet").read_bytes() == before
    assert repair(tmp_path).steps == []


@pytest.mark.parametrize("number", [1, 3])
def test_what_nobody_here_knows_is_carried_along(tmp_path, number):
    """Columns of unknown types, statistics of no column, and what info.json says beyond what is read."""
    episodes = write(tmp_path, None, (4, 7, 5, 6))
    words = pa.array([[{"role": "user", "content": f"{frame}", "calls": None}] * (frame % 3) for frame in range(22)])
    in_one_file(tmp_path, episodes, note=pa.array([f"{frame}" for frame in range(22)]), said=words)
    new = {"note": {"dtype": "string", "shape": [1]}, "said": {"dtype": "language", "shape": [1], "names": None}}
    own = {"splits": {"train": "0:3", "val": "3:4"}, "chunks_size": 100, "tools": [{"type": "function"}]}
    info = json.loads((tmp_path / "meta/info.json").read_text())
    edit_json(tmp_path / "meta/info.json", features=info["features"] | new, **own)
    edit_json(tmp_path / "meta/stats.json", relative={"mean": [0.5]})
    spoil(tmp_path, number)
    before = contents(tmp_path)
    assert repair(tmp_path).kept == 3
    assert_holds(tmp_path, [one for i, one in enumerate(episodes) if i != number], [i for i in range(4) if i != number])
    table = pq.read_table(tmp_path / "data/chunk-000/file-000.parquet")
    frames_kept = [*range(4), *range(11, 22)] if number == 1 else [*range(16)]
    assert table["said"].to_pylist() == [words[frame].as_py() for frame in frames_kept]
    assert table["note"].to_pylist() == [f"{frame}" for frame in frames_kept]
    after = json.loads((tmp_path / "meta/info.json").read_text())
    splits = {"train": "0:2", "val": "2:3"} if number == 1 else {"train": "0:3", "val": "3:3"}
    assert {name: after[name] for name in own} == own | {"splits": splits}
    assert json.loads((tmp_path / "meta/stats.json").read_text())["relative"] == {"mean": [0.5]}
    for name in ("meta/info.json", "meta/stats.json", "meta/robotics.json"):
        assert (tmp_path / REJECTED_FOLDER / name).read_bytes() == before[name]


def test_statistics_of_a_sound_dataset_are_made_those_of_its_data(tmp_path):
    write(tmp_path, "image")
    path = tmp_path / "meta/stats.json"
    right = json.loads(path.read_text())
    edit_json(path, **{CAMERA: {"mean": [[[0.0]]] * 3}, "index": {}, "action": right["action"] | {"std": [0.0, 0.0]}})
    before = contents(tmp_path)
    done = repair(tmp_path)
    assert done.kept == 3 and "computed the statistics of action, index, " in done.steps[-1]
    assert json.loads(path.read_text()) == right
    assert not check(tmp_path).warnings
    after = contents(tmp_path)
    assert after.pop(f"{REJECTED_FOLDER}/meta/stats.json") == before.pop("meta/stats.json")
    assert {name: content for name, content in after.items() if name != "meta/stats.json"} == before


def test_statistics_of_images_that_a_row_lacks_are_computed(tmp_path):
    write(tmp_path, "image")
    for row in (tmp_path / "meta/episodes/chunk-000").glob("*.parquet"):
        table = pq.read_table(row)
        pq.write_table(table.drop_columns([name for name in table.column_names if name.startswith("stats/obs")]), row)
    right = json.loads((tmp_path / "meta/stats.json").read_text())
    (tmp_path / "meta/stats.json").unlink()
    edit_json(tmp_path / "meta/info.json", total_frames=99)
    repair(tmp_path)
    rebuilt = json.loads((tmp_path / "meta/stats.json").read_text())
    assert rebuilt.keys() == right.keys() and not check(tmp_path).warnings
    np.testing.assert_allclose(rebuilt[CAMERA]["std"], right[CAMERA]["std"])


@pytest.mark.parametrize("linked", ["data", "videos", "meta/episodes", f"videos/{CAMERA}"])
def test_a_linked_folder_is_left_as_it_is(tmp_path, linked):
    root, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    episodes = write(root, "video", (4, 7, 5, 6))
    edit_column(root / DATA, "action", nan_action)
    (root / linked).rename(elsewhere)
    (root / linked).symlink_to(os.path.relpath(elsewhere, (root / linked).parent))
    before = contents(elsewhere)
    assert repair(root).kept == 3
    assert_holds(root, [episodes[0], *episodes[2:]], [0, 2, 3])
    assert contents(elsewhere) == before
    assert (root / REJECTED_FOLDER / linked).resolve() == elsewhere and not (root / linked).is_symlink()


def test_linked_files_are_repaired(tmp_path):
    """As in the cache of the Hugging Face hub: links to files elsewhere, by relative paths."""
    root, blobs = tmp_path / "snapshots/one", tmp_path / "blobs"
    episodes = write(root, "video", (4, 7, 5, 6))
    edit_column(root / DATA, "action", nan_action)
    blobs.mkdir()
    for number, path in enumerate(path for path in sorted(root.rglob("*")) if path.is_file()):
        path.rename(blobs / f"{number}")
        path.symlink_to(os.path.relpath(blobs / f"{number}", path.parent))
    before = contents(blobs)
    assert repair(root).kept == 3
    assert_holds(root, [episodes[0], *episodes[2:]], [0, 2, 3])
    assert contents(blobs) == before
    assert all(path.exists() for path in root.rglob("*"))


def test_what_can_not_be_replaced_is_said_before_anything_is_changed(tmp_path):
    root = tmp_path / "data"
    write(root, None)
    edit_column(root / DATA, "action", nan_action)
    (root / "meta").rename(tmp_path / "elsewhere")
    (root / "meta").symlink_to(tmp_path / "elsewhere")
    before = contents(tmp_path)
    with pytest.raises(DataError, match="meta: is a link"):
        repair(root)
    assert contents(tmp_path) == before


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


def test_columns_of_text_are_rebuilt(tmp_path):
    in_one_file(tmp_path, write(tmp_path, None), note=pa.array(["a"] * 16), said=pa.array([[], [{"role": "user"}]] * 8))
    (tmp_path / "meta/info.json").unlink()
    assert repair(tmp_path).kept == 3
    rebuilt = Dataset.open(tmp_path).features
    assert rebuilt["note"]["dtype"] == "string" and rebuilt["said"]["dtype"] == "language"
    assert not check(tmp_path).problems


@pytest.mark.parametrize("first", [["reach", "grasp"], ["grasp"]])
def test_texts_of_episodes_with_two_come_back(tmp_path, first):
    """LeRobot numbers texts in the order in which it first notes them."""
    write(tmp_path, None)
    texts = ["reach", "grasp"] if len(first) == 2 else ["grasp", "reach"]
    write_tasks(tmp_path, texts)
    for number, noted in enumerate([first, ["grasp", "reach"], ["reach"]]):
        rows = tmp_path / f"meta/episodes/chunk-000/file-00{number}.parquet"
        edit_column(rows, "tasks", lambda _, noted=noted: [noted])
        indices = [texts.index(text) for text in noted]
        data = tmp_path / f"data/chunk-000/file-00{number}.parquet"
        edit_column(data, "task_index", lambda v, i=indices: (i * len(v))[: len(v)])
    assert not check(tmp_path).problems
    (tmp_path / "meta/tasks.parquet").unlink()
    assert repair(tmp_path).kept == 3
    assert Dataset.open(tmp_path).tasks == texts
    assert not check(tmp_path).problems


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
