"""Repair keeps the sound beginning of a dataset, loses nothing silently, and leaves a dataset that `check` accepts."""

from pathlib import Path

import numpy as np
import pyarrow as pa
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
from tests.datasets_toy import CAMERA, contents, frames, write
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
def test_episodes_before_the_damaged_one_are_kept(tmp_path, file, damage):
    episodes = write(tmp_path, "video")
    damage(tmp_path / file)
    before = contents(tmp_path)
    done = repair(tmp_path)
    assert done.kept == 1 and any("kept episodes 0 … 0 because" in step for step in done.steps)
    assert not check(tmp_path).problems and not check(tmp_path).warnings
    np.testing.assert_array_equal(Dataset.open(tmp_path).column("action"), episodes[0]["action"])
    after = contents(tmp_path)
    for name, content in before.items():  # every byte of the data is still there, in its place or put aside
        if name.startswith(("data/", "videos/", "meta/episodes/")):
            assert after.get(name, after.get(f"{REJECTED_FOLDER}/{name}")) == content


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
        lambda root: truncate(root / "data/chunk-000/file-000.parquet"),
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
