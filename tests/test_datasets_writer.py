"""What is written is what is read, and a kill at any instant loses at most the episode that was being committed."""

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from robotics.datasets import durable, writer
from robotics.datasets.check import check
from robotics.datasets.features import as_read, features_of
from robotics.datasets.joint_names import joint_names
from robotics.datasets.leftovers import leftovers
from robotics.datasets.reader import Dataset
from robotics.datasets.statistics import vector_stats
from robotics.datasets.writer import DatasetWriter
from robotics.environments import make_env, observation_spaces
from robotics.errors import DataError, UsageError
from tests.datasets_toy import CAMERA, FEATURES, FPS, contents, frames, write


@pytest.mark.parametrize("image_dtype", [None, "image", "video"])
def test_what_is_read_is_what_was_written(tmp_path, image_dtype):
    episodes = write(tmp_path, image_dtype)
    dataset = Dataset.open(tmp_path)
    assert (dataset.fps, dataset.robot_type, dataset.tasks) == (FPS, "toy", ["task 0", "task 1"])
    assert dataset.episode_ranges.tolist() == [[0, 4], [4, 11], [11, 16]]
    for key in FEATURES:
        np.testing.assert_array_equal(dataset.column(key), np.concatenate([e[key] for e in episodes]))
    assert dataset.column("task_index").ravel().tolist() == [0] * 4 + [1] * 7 + [0] * 5
    if image_dtype:
        written, read = np.concatenate([e[CAMERA] for e in episodes]), dataset.images(CAMERA)
        assert read.dtype == np.uint8 and read.shape == written.shape
        error = np.abs(read.astype(float) - written)
        assert error.max() == 0 if image_dtype == "image" else error.mean() < 8  # 4:2:0 blurs colour at block edges
    report = check(tmp_path)
    assert not report.problems and not report.warnings


@pytest.mark.parametrize("image_dtype", ["image", "video"])
@pytest.mark.parametrize(
    ("shape", "names"),
    [
        ([3, 16, 24], ["channels", "height", "width"]),
        ([3, 16, 24], None),
        ([16, 24, 1], ["height", "width", "channels"]),
    ],
)
def test_pictures_are_read_alike_however_their_shape_is_noted(tmp_path, image_dtype, shape, names):
    """LeRobot's recorders of simulated robots note channels first, its depth cameras note one."""
    write(tmp_path, image_dtype)
    images = Dataset.open(tmp_path).images(CAMERA)
    path = tmp_path / "meta/info.json"
    document = json.loads(path.read_text())
    document["features"][CAMERA] |= {"shape": shape, "names": names}
    path.write_text(json.dumps(document))
    dataset = Dataset.open(tmp_path)
    assert dataset.features[CAMERA]["shape"] == [16, 24, 3] and dataset.info.features[CAMERA]["shape"] == shape
    np.testing.assert_array_equal(dataset.images(CAMERA), images)
    assert check(tmp_path).problems == [] and check(tmp_path).stats_differences == {}


def test_the_channels_of_a_picture_are_where_they_fit():
    """Some programs name the axes of (h, w, 3) channels first; what is neither is left to be refused."""
    first = ["channels", "height", "width"]
    for shape, names, read in (
        ([32, 48, 3], first, [32, 48, 3]),
        ([3, 48, 3], first, [48, 3, 3]),
        ([3, 48, 3], None, [3, 48, 3]),
        ([4, 32, 48], first, [4, 32, 48]),
    ):
        assert as_read({"dtype": "video", "shape": shape, "names": names})["shape"] == read
    assert as_read({"dtype": "float32", "shape": [3], "names": None})["shape"] == [3]


def test_the_noted_distances_of_a_depth_camera_are_no_shades_of_grey(tmp_path):
    write(tmp_path, "image")
    info, stats = tmp_path / "meta/info.json", tmp_path / "meta/stats.json"
    noted = json.loads(stats.read_text())
    noted[CAMERA]["mean"] = [[[1780.0]]]  # mm
    stats.write_text(json.dumps(noted))
    assert CAMERA in check(tmp_path).stats_differences
    document = json.loads(info.read_text())
    document["features"][CAMERA]["info"] = {"is_depth_map": True}
    info.write_text(json.dumps(document))
    assert check(tmp_path).stats_differences == {}


def test_timestamps_are_those_of_the_grid(tmp_path):
    write(tmp_path, None, (200,))
    times = Dataset.open(tmp_path).column("timestamp").ravel().astype(np.float64)
    np.testing.assert_allclose(times, np.arange(200) / FPS, atol=1e-6)


def test_merged_statistics_are_those_of_all_frames(tmp_path):
    episodes = write(tmp_path, "image")
    stats = Dataset.open(tmp_path).stats
    expected = vector_stats(np.concatenate([episode["action"] for episode in episodes]))
    for name in ("min", "max", "mean", "std", "count"):
        np.testing.assert_allclose(stats["action"][name], expected[name], rtol=1e-12)
    pixels = np.concatenate([episode[CAMERA] for episode in episodes]) / 255
    np.testing.assert_allclose(stats[CAMERA]["mean"], pixels.mean(axis=(0, 1, 2)).reshape(3, 1, 1), rtol=1e-9)
    np.testing.assert_allclose(stats[CAMERA]["std"], pixels.std(axis=(0, 1, 2)).reshape(3, 1, 1), rtol=1e-9)
    assert stats[CAMERA]["q50"].shape == (3, 1, 1)


def test_tasks_are_a_pandas_index(tmp_path):
    write(tmp_path, None)
    pandas = json.loads(pq.read_schema(tmp_path / "meta/tasks.parquet").metadata[b"pandas"])
    assert pandas["index_columns"] == ["task"]


def crash_states(root: Path, at: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Copies of `root` as it is before and after every step of one more commit."""
    states: list[Path] = []

    def snapshot() -> None:
        states.append(at / f"state-{len(states)}")
        shutil.copytree(root, states[-1])

    def watched(step):
        def run(*args, **kwargs):
            snapshot()
            result = step(*args, **kwargs)
            snapshot()
            return result

        return run

    real_replace = durable.os.replace
    monkeypatch.setattr("os.replace", watched(real_replace))  # every file appears by one
    out = DatasetWriter.resume(root)
    out.append(frames(np.random.default_rng(9), 6, True), "a new task", {"seeds": [0, 1, 2, 3]})
    monkeypatch.undo()
    return states


@pytest.mark.parametrize("image_dtype", ["video", "image"])
def test_a_kill_between_any_two_steps_leaves_the_dataset_as_it_was(tmp_path, monkeypatch, image_dtype):
    root = tmp_path / "data"
    before = write(root, image_dtype)
    actions = np.concatenate([episode["action"] for episode in before])
    states = crash_states(root, tmp_path, monkeypatch)
    assert len(states) >= 10
    for state in states[:-1]:
        dataset = Dataset.open(state)
        assert len(dataset.episodes) == 3
        np.testing.assert_array_equal(dataset.column("action"), actions)
        np.testing.assert_allclose(dataset.stats["action"]["mean"], actions.mean(axis=0), rtol=1e-5)
        assert not check(state).problems
        _assert_lerobot_would_read(state)
    assert len(Dataset.open(states[-1]).episodes) == 4 and not leftovers(states[-1], Dataset.open(states[-1]).episodes)


def _assert_lerobot_would_read(root: Path) -> None:
    """LeRobot globs data and rows, counts by info.json, and its trainer samples the frames of every row."""
    frames_seen = sum(pq.read_metadata(path).num_rows for path in root.glob("data/*/*.parquet"))
    info = json.loads((root / "meta/info.json").read_text())
    assert frames_seen >= info["total_frames"]
    tasks = pq.read_table(root / "meta/tasks.parquet").num_rows
    for path in root.glob("meta/episodes/*/*.parquet"):
        (row,) = pq.read_table(path).to_pylist()
        assert row["dataset_to_index"] <= frames_seen
        assert len(row["tasks"]) == 1 and tasks >= 1
        if "videos" in {column.split("/")[0] for column in row}:
            file = row[f"videos/{CAMERA}/file_index"]
            assert (root / f"videos/{CAMERA}/chunk-000/file-{file:03d}.mp4").exists()


def test_resuming_any_crash_state_gives_the_same_files(tmp_path, monkeypatch):
    root = tmp_path / "data"
    write(root, "video")
    states = crash_states(root, tmp_path, monkeypatch)
    last = frames(np.random.default_rng(9), 6, True)
    whole = contents(root)
    for state in states[:-1]:
        with DatasetWriter.resume(state) as out:
            assert not leftovers(state, Dataset.open(state).episodes)
            out.append(last, "a new task", {"seeds": [0, 1, 2, 3]})
        assert contents(state) == whole


def test_an_interrupted_commit_is_taken_away_on_exit(tmp_path, monkeypatch):
    write(tmp_path, "video")
    before = contents(tmp_path)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, "write_episode", interrupt)
    with pytest.raises(KeyboardInterrupt), DatasetWriter.resume(tmp_path) as out:
        out.append(frames(np.random.default_rng(1), 6, True), "task 0")
    assert contents(tmp_path) == before


def test_an_interruption_right_behind_the_commit_keeps_the_episode(tmp_path, monkeypatch):
    write(tmp_path, "video")
    commit = writer.write_info

    def interrupted(*arguments):
        commit(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, "write_info", interrupted)
    with pytest.raises(KeyboardInterrupt), DatasetWriter.resume(tmp_path) as out:
        out.append(frames(np.random.default_rng(1), 6, True), "task 0")
    assert len(Dataset.open(tmp_path).episodes) == 4 and not check(tmp_path).problems


def test_a_first_commit_does_not_import_what_swallows_a_ctrl_c(tmp_path):
    """Arrow looks for types of values without one by importing dateutil, and drops whatever is raised meanwhile."""
    program = f"""
import sys
from pathlib import Path
from tests.datasets_toy import write
write(Path({str(tmp_path)!r}), "image")
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pyarrow" in done.stdout.split() and "dateutil" not in done.stdout.split()


@pytest.mark.parametrize(
    ("noted", "message"),
    [
        ({"env_kwargs": 5}, "env_kwargs is 5, expected an object"),
        ({"seeds": 5}, "seeds is 5, expected a list of whole numbers"),
        ({"failed_seeds": ["a"]}, "failed_seeds is .'a'., expected a list of whole numbers"),
    ],
)
def test_a_damaged_note_of_the_origin_is_named(tmp_path, noted, message):
    write(tmp_path, None)
    (tmp_path / "meta/robotics.json").write_text(json.dumps(noted))
    with pytest.raises(DataError, match=f"robotics.json: {message}"):
        Dataset.open(tmp_path)


def test_a_full_disk_is_said_of_the_file_that_did_not_fit(tmp_path, monkeypatch):
    """pyarrow's error names none."""
    write(tmp_path, None)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "Error writing bytes to file")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(OSError, match="No space left") as error, DatasetWriter.resume(tmp_path) as out:
        out.append(frames(np.random.default_rng(1), 6, False), "task 0")
    assert error.value.filename == str(tmp_path / "data/chunk-000/file-003.parquet")


def test_a_second_writer_is_refused(tmp_path):
    write(tmp_path, None)
    with DatasetWriter.resume(tmp_path), pytest.raises(UsageError, match="another process"):
        DatasetWriter.resume(tmp_path).__enter__()
    with DatasetWriter.resume(tmp_path):
        pass


def _another_in_its_place(root):
    shutil.rmtree(root)
    write(root, None)


def _emptied(root):
    for path in root.iterdir():
        shutil.rmtree(path)


@pytest.mark.parametrize(
    ("happens", "late"),
    [
        (shutil.rmtree, False),
        (shutil.rmtree, True),
        (_emptied, False),
        (_emptied, True),
        (_another_in_its_place, False),
    ],
)
def test_a_writer_notices_that_its_folder_was_taken_away(tmp_path, monkeypatch, happens, late):
    """Also within a commit; what another one wrote there meanwhile stays."""
    root, episode, describe = tmp_path / "d", frames(np.random.default_rng(1), 6, False), writer.write_episode
    write(root, None)

    def interrupted(*arguments):
        happens(root)
        describe(*arguments)

    with pytest.raises(DataError, match="was removed or replaced while"), DatasetWriter.resume(root) as out:
        if late:
            monkeypatch.setattr(writer, "write_episode", interrupted)
        else:
            happens(root)
        out.append(episode, "task 0")
    if happens is _another_in_its_place:
        write(tmp_path / "same", None)
        assert contents(tmp_path / "same") == contents(root)
    else:
        assert not (root / "meta/info.json").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda e: e.pop("action"), "does not fit"),
        (lambda e: e.update(action=e["action"][:, :1]), "'action' has shape"),
        (lambda e: e.update(action=e["action"][:-1]), "'action' has shape"),
        (lambda e: e["action"].__setitem__((2, 0), np.nan), "NaN or infinite in frame 2"),
        (lambda e: e.update({CAMERA: e[CAMERA].astype(np.float32)}), "images are uint8"),
    ],
)
def test_frames_that_do_not_fit_are_refused_before_anything_is_written(tmp_path, spoil, message):
    write(tmp_path, "video")
    before = contents(tmp_path)
    episode = frames(np.random.default_rng(1), 6, True)
    spoil(episode)
    with pytest.raises(DataError, match=message):
        DatasetWriter.resume(tmp_path).append(episode, "task 0")
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("env_id", "options", "named"),
    [
        ("robotics/TransferCube-v0", {}, ["action", "observation.state"]),
        ("robotics/Lift-v0", {"action_mode": "ee"}, ["observation.state"]),
        ("robotics/Reach-v0", {}, ["action"]),  # its state also tells how fast the joints move
        ("robotics/QuadrupedVelocity-v0", {}, ["action"]),
        ("robotics/QuadrupedVelocity-v0", {"action_mode": "twist"}, []),
        ("robotics/MobileServe-v0", {}, []),  # as many numbers as joints, but the first are velocities of the base
        ("robotics/PathTrack-v0", {}, []),
        ("CartPole-v1", {}, []),
    ],
)
def test_numbers_that_are_joints_are_called_so(env_id, options, named):
    """LeRobot's way: a list of one name for each number."""
    env = make_env(env_id, **options)
    names = joint_names(env)
    assert sorted(names) == named
    for key in named:
        assert names[key] == list(env.unwrapped.SPEC.joints)
    if env_id != "CartPole-v1":
        columns = features_of(observation_spaces(env), env.action_space, "video", names)
        assert {key for key, column in columns.items() if column["names"]} == set(named)
        assert all(len(columns[key]["names"]) == columns[key]["shape"][0] for key in named)
    env.close()
