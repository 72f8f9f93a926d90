"""Demonstrations are the expert's, in the order of their seeds, the same whatever the workers, and survive Ctrl-C."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from robotics.cli.main import main
from robotics.datasets.collect import collect
from robotics.datasets.demonstration import Demonstrator, Source, as_columns
from robotics.datasets.folder_lock import FolderLock
from robotics.datasets.layout import INFO
from robotics.datasets.noise import ActionNoise
from robotics.datasets.reader import Dataset
from robotics.datasets.statistics import image_stats
from robotics.datasets.video import encode_video
from robotics.environments import make_env
from robotics.errors import RoboticsError, UsageError
from robotics.outputs import prepare_folder, require_room, size_of, write_atomically
from robotics.sim2real.posterior import Posterior
from robotics.sim2real.targets import InTarget
from tests.datasets_toy import contents
from tests.toy import TOY_ID, Point

CAMERAS = {"cameras": ("top",), "image_size": (16, 16)}


def test_demonstrations_replay_to_success(tmp_path):
    result = collect(TOY_ID, 4, 100, tmp_path / "d", env_kwargs=CAMERAS)
    dataset = Dataset.open(tmp_path / "d")
    assert (result.episodes, result.frames, result.failed_seeds) == (4, dataset.info.frames, [])
    assert dataset.provenance["seeds"] == [100, 101, 102, 103] and dataset.provenance["env"] == TOY_ID
    assert (dataset.fps, dataset.robot_type, dataset.tasks) == (10, "point", ["move the point to the goal"])
    actions, states = dataset.column("action"), dataset.column("observation.state")
    env = make_env(TOY_ID)
    for seed, (start, stop) in zip(dataset.provenance["seeds"], dataset.episode_ranges, strict=True):
        observation, _ = env.reset(seed=seed)
        for frame in range(start, stop):
            np.testing.assert_array_equal(observation["state"], states[frame])
            observation, _, done, _, info = env.step(actions[frame])
        assert done and info["success"]
    assert dataset.column("next.done").sum() == 4


@pytest.mark.parametrize("images", ["video", "png"])
def test_the_number_of_workers_changes_no_byte(tmp_path, images):
    options = {"env_kwargs": CAMERAS, "images": images, "noise": 0.15}  # some attempts fail
    one = collect(TOY_ID, 4, 0, tmp_path / "one", workers=1, **options)
    two = collect(TOY_ID, 4, 0, tmp_path / "two", workers=3, **options)
    assert one == two and one.failed_seeds
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_resuming_gives_the_bytes_of_one_run(tmp_path):
    collect(TOY_ID, 5, 0, tmp_path / "whole", noise=0.15)
    collect(TOY_ID, 2, 0, tmp_path / "parts", noise=0.15)
    collect(TOY_ID, 5, 0, tmp_path / "parts", noise=0.15, resume=True)
    assert contents(tmp_path / "whole") == contents(tmp_path / "parts")


def test_the_same_images_are_the_same_bytes():
    """However often: x264's look ahead once read what others had left in memory, in one film of a hundred."""
    draws = np.random.default_rng(0)
    images = np.cumsum(draws.integers(0, 3, (12, 48, 64, 3)), axis=0).astype(np.uint8)
    assert len({encode_video(images, 25) for _ in range(150)}) == 1


def test_a_demonstration_knows_nothing_of_the_one_before():
    """Where one world serves all seeds, a teacher was once told the masses of the instance before."""
    source = Source("robotics/Stack-v0", {}, randomisation=InTarget("factors:mass=1.1"))
    with Demonstrator(source) as first:
        first.attempt(4)
        after = first.attempt(5)
    with Demonstrator(source) as second:
        alone = second.attempt(5)
    assert alone.frames.keys() == after.frames.keys() and alone.success
    assert all(np.array_equal(alone.frames[key], after.frames[key]) for key in alone.frames)


def test_the_hardest_of_every_so_many_seeds_is_demonstrated(tmp_path):
    asked = {"noise": 0.15, "hardest_of": 3}  # some attempts fail
    whole = collect(TOY_ID, 5, 7, tmp_path / "whole", **asked)
    tried = sorted([*Dataset.open(tmp_path / "whole").provenance["seeds"], *whole.failed_seeds])
    env = make_env(TOY_ID)

    def left(seed):
        env.reset(seed=seed)
        return env.unwrapped.left_to_do()

    assert whole.failed_seeds
    assert tried == [max(range(first, first + 3), key=left) for first in range(7, 7 + 3 * len(tried), 3)]
    assert collect(TOY_ID, 5, 7, tmp_path / "two", workers=2, **asked) == whole
    collect(TOY_ID, 2, 7, tmp_path / "parts", **asked)
    collect(TOY_ID, 5, 7, tmp_path / "parts", resume=True, **asked)
    assert contents(tmp_path / "whole") == contents(tmp_path / "two") == contents(tmp_path / "parts")


def test_what_can_not_be_the_hardest_is_refused(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="--hardest-of 0: an attempt looks at 1 seed or more"):
        collect(TOY_ID, 1, 0, tmp_path / "d", hardest_of=0)
    with pytest.raises(UsageError, match="--seed 999990 with 5 episodes, each the hardest of 3: demonstrations use"):
        collect(TOY_ID, 5, 999_990, tmp_path / "d", hardest_of=3)
    monkeypatch.delattr("tests.toy.Point.left_to_do")
    with pytest.raises(UsageError, match=r"--hardest-of 2: environment 'tests.toy:toy/Point-v0' has no left_to_do"):
        collect(TOY_ID, 1, 0, tmp_path / "d", hardest_of=2)
    assert not (tmp_path / "d").exists()


def test_resuming_with_other_settings_is_refused(tmp_path):
    collect(TOY_ID, 1, 0, tmp_path)
    for change in ({"noise": 0.1}, {"hardest_of": 2}, {"images": "png"}, {"env_kwargs": CAMERAS}):
        with pytest.raises(UsageError, match="was collected with"):
            collect(TOY_ID, 2, 0, tmp_path, resume=True, **change)
    with pytest.raises(UsageError, match="seed = 0, not 1"):
        collect(TOY_ID, 2, 1, tmp_path, resume=True)


def test_a_difference_of_thousands_of_values_is_said_in_one_line(tmp_path):
    reach, worlds = "robotics/Reach-v0", [Posterior({"mass": np.linspace(1, end, 100).tolist()}) for end in (1.1, 1.2)]
    collect(reach, 1, 0, tmp_path / "data", randomisation=worlds[0])
    with pytest.raises(UsageError, match="was collected with another randomisation;") as error:
        collect(reach, 2, 0, tmp_path / "data", randomisation=worlds[1], resume=True)
    assert len(str(error.value)) < 300


def test_too_many_failures_end_it_and_keep_what_there_is(tmp_path):
    with pytest.raises(RoboticsError, match=r"only 1 of 16 attempts .* with --noise 0.3, of which less .*; the succ"):
        collect(TOY_ID, 3, 0, tmp_path / "d", noise=0.3)
    dataset = Dataset.open(tmp_path / "d")
    assert len(dataset.episodes) + len(dataset.provenance["failed_seeds"]) == 16
    with pytest.raises(
        RoboticsError, match=r"only 0 of 12 attempts .* asked for with --noise 1, of which less may help$"
    ):
        collect(TOY_ID, 1, 0, tmp_path / "none", noise=1.0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--env", "robotics/TransferCub-v0"], "did you mean 'robotics/TransferCube-v0'"),
        (["--env", "no_such_module:Id-v0"], "no_such_module"),
        (["--env", "CartPole-v1"], "has no expert()"),
        (["--env", "CartPole-v1", "--cameras", "top"], "option of environment CartPole-v1 'cameras'"),
        (["--episodes", "0"], "at least 1"),
        (["--workers", "0"], "at least 1"),
        (["--seed", "999998", "--episodes", "3"], "kept for evaluation"),
        (["--seed", "-1"], "0 … 999999"),
        (["--noise", "nan"], "--noise nan"),
        (["--images", "gif"], "gif"),
        (["--cameras", "top", "--image-size", "15"], "even sides"),
        (["--resume", "--overwrite"], "contradict"),
        (["--wokers", "2"], "--workers"),
    ],
)
def test_bad_requests_cost_one_line_and_exit_2(tmp_path, capsys, arguments, words):
    request = {"--env": TOY_ID, "--episodes": "1", "--seed": "0", "--out": str(tmp_path / "d")}
    given = {name for name in arguments if name.startswith("--")}
    defaults = [part for name, value in request.items() if name not in given for part in (name, value)]
    assert main(["collect", *defaults, *arguments]) == 2
    err = capsys.readouterr().err.strip()
    assert err.startswith("error:") and "\n" not in err and words in err
    assert not (tmp_path / "d").exists()


def test_what_is_there_is_not_replaced_unasked(tmp_path):
    collect(TOY_ID, 1, 0, tmp_path / "d")
    with pytest.raises(UsageError, match="already holds something"):
        collect(TOY_ID, 1, 0, tmp_path / "d")
    collect(TOY_ID, 1, 7, tmp_path / "d", overwrite=True)
    assert Dataset.open(tmp_path / "d").provenance["seeds"] == [7]
    (tmp_path / "home").mkdir()
    (tmp_path / "home/thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="no dataset"):
        collect(TOY_ID, 1, 0, tmp_path / "home", overwrite=True)
    assert (tmp_path / "home/thesis.txt").exists()


def test_a_dataset_that_is_being_written_is_not_replaced(tmp_path):
    collect(TOY_ID, 2, 0, tmp_path)
    before = contents(tmp_path)
    with FolderLock(tmp_path):
        for how in ({"overwrite": True}, {"resume": True}):
            with pytest.raises(UsageError, match="is being written by another process"):
                collect(TOY_ID, 3, 0, tmp_path, **how)
    assert contents(tmp_path) == before


def test_a_link_to_a_dataset_is_followed(tmp_path):
    """Overwritten is what it leads to; what its entries lead to is nobody's to remove."""
    (tmp_path / "link").symlink_to(tmp_path / "d")
    (tmp_path / "films").mkdir()
    (tmp_path / "films/mine.mp4").write_text("kept")
    collect(TOY_ID, 2, 0, tmp_path / "d")
    (tmp_path / "d/videos").symlink_to(tmp_path / "films")
    collect(TOY_ID, 1, 7, tmp_path / "link", overwrite=True)
    assert (tmp_path / "link").is_symlink() and (tmp_path / "films/mine.mp4").exists()
    assert Dataset.open(tmp_path / "d").provenance["seeds"] == [7] and not (tmp_path / "d/videos").exists()


def test_no_room_is_said_before_the_work_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(RoboticsError, match="no room on the disk for the dataset"):
        collect(TOY_ID, 1, 0, tmp_path / "d")
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("images", ["video", "png"])
def test_the_room_that_is_asked_for_is_that_of_the_episodes_to_come(tmp_path, monkeypatch, images):
    """That which they take if they last to the limit of time, and little more."""
    asked = []
    monkeypatch.setattr("robotics.datasets.collect.require_room", lambda *given, **how: asked.append((given[1], how)))
    scene = {"cameras": ("track",), "image_size": (160, 160)}
    car, out = "robotics/PathTrack-v0", tmp_path / "d"
    collect(car, 1, 0, out, env_kwargs=scene, images=images)
    there = size_of(out)
    length = Dataset.open(out).info.frames / make_env(car).spec.max_episode_steps
    assert 0.9 * there / length < asked[0][0] < 2.5 * there / length
    collect(car, 2, 0, out, env_kwargs=scene, images=images, resume=True)
    assert abs(asked[1][0] - there) < 0.1 * there  # for the one that is missing
    collect(car, 1, 0, out, env_kwargs=scene, images=images, overwrite=True)
    assert asked[2] == (asked[0][0], {"overwrite": True})


def test_what_is_overwritten_makes_room(tmp_path, monkeypatch):
    (tmp_path / "old").write_bytes(b"0" * 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    require_room(tmp_path, 1500, "it", overwrite=True)
    with pytest.raises(RoboticsError, match="no room"):
        require_room(tmp_path, 1500, "it")
    with pytest.raises(RoboticsError, match="no room"):
        require_room(tmp_path, 2500, "it", overwrite=True)


def test_a_read_only_folder_is_said_by_its_name(tmp_path, monkeypatch):
    """Taking away what was begun fails there too, and once spoke over the file that was asked for."""

    def refused(*given, **_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "file-000.parquet")

    (tmp_path / "meta").mkdir()
    (tmp_path / INFO).write_text("{}")
    monkeypatch.setattr(os, "replace", refused)
    monkeypatch.setattr(Path, "unlink", refused)
    monkeypatch.setattr(shutil, "rmtree", refused)
    with pytest.raises(OSError, match="can not be written") as error:
        write_atomically(tmp_path / "report.html", "")
    assert error.value.filename == str(tmp_path / "report.html")
    with pytest.raises(OSError, match="can not be removed") as error:
        prepare_folder(tmp_path, "dataset", (INFO,), overwrite=True)
    assert str(tmp_path) in error.value.filename


def test_the_only_picture_of_an_environment_is_recorded_and_learned_from(tmp_path, monkeypatch):
    """`observation.image`, as lerobot/pusht calls it: the environment has no option of cameras."""
    make, observe = Point.__init__, Point._observe

    def with_image(self, render_mode=None):
        make(self, render_mode=render_mode)
        spaces = {**self.observation_space.spaces, "image": gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)}
        self.observation_space = gym.spaces.Dict(spaces)

    monkeypatch.setattr(Point, "__init__", with_image)
    monkeypatch.setattr(Point, "_observe", lambda self: {**observe(self), "image": self._draw((64, 64))})
    collect(TOY_ID, 2, 0, tmp_path / "d", images="png")
    assert Dataset.open(tmp_path / "d").image_keys == ["observation.image"]
    learn = ["train", "act", "--data", str(tmp_path / "d"), "--out", str(tmp_path / "run")]
    assert main([*learn, "--steps", "1", "--batch-size", "2", "--device", "cpu"]) == 0
    assert main(["bench", "--env", TOY_ID, "--policy", str(tmp_path / "run"), "--episodes", "1"]) == 0


def test_an_observation_without_numbers_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    make = Point.__init__

    def with_nothing(self, **options):
        make(self, **options)
        spaces = {**self.observation_space.spaces, "extra": gym.spaces.Box(-1, 1, (0,), np.float32)}
        self.observation_space = gym.spaces.Dict(spaces)

    monkeypatch.setattr(Point, "__init__", with_nothing)
    with pytest.raises(UsageError, match=r"'extra' has shape \(0,\): it holds no number"):
        collect(TOY_ID, 1, 0, tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_images_are_held_twice_at_most_and_counted_one_by_one():
    """Statistics of images once took eight times their size, and every image was kept until all were stacked."""
    images = np.random.default_rng(0).integers(0, 256, (60, 64, 64, 3), dtype=np.uint8)
    tracemalloc.start()
    try:
        found = image_stats(images)
        assert tracemalloc.get_traced_memory()[1] < images.nbytes / 2
    finally:
        tracemalloc.stop()
    assert found["count"] == 60 and np.allclose(found["mean"].ravel(), images.mean((0, 1, 2)) / 255)
    columns = {"a": [images[0]], "b": [images[1]]}
    assert as_columns(columns)["b"].shape == (1, 64, 64, 3) and not columns


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
@pytest.mark.parametrize("workers", [1, 2])
def test_stopped_at_any_moment_it_is_readable_and_can_be_continued(tmp_path, stop, code, workers):
    out = tmp_path / "d"
    command = [sys.executable, "-m", "robotics.cli.main", "collect", "--env", TOY_ID, "--seed", "0", "--out", str(out)]
    process = subprocess.Popen(
        [*command, "--episodes", "400", "--workers", str(workers), "--cameras", "top"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=Path(__file__).parents[1],
    )
    _wait_for(out / "data/chunk-000/file-003.parquet", process)
    os.killpg(process.pid, stop) if stop == signal.SIGINT else process.kill()  # Ctrl-C reaches the whole group
    _, err = process.communicate(timeout=30)
    assert process.returncode == code and "Traceback" not in err
    before = len(Dataset.open(out).episodes)
    assert before >= 3
    collect(TOY_ID, before + 1, 0, out, env_kwargs={"cameras": ("top",)}, resume=True)
    assert len(Dataset.open(out).episodes) == before + 1


def _wait_for(path: Path, process: subprocess.Popen) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)


def test_noise_is_smooth_bounded_and_of_the_asked_size():
    space = gym.spaces.Box(-2.0, 2.0, (50,))
    noise = ActionNoise(space, 0.05, 50.0, np.random.default_rng(0))
    steps = np.stack([noise.disturb(np.zeros(50)) for _ in range(400)])
    assert abs(steps.std() - 0.2) < 0.02  # 5 % of the range of 4
    neighbours = np.corrcoef(steps[1:].ravel(), steps[:-1].ravel())[0, 1]
    assert abs(neighbours - np.exp(-0.1)) < 0.02
    assert np.abs(noise.disturb(np.full(50, 2.0))).max() <= 2.0
    with pytest.raises(UsageError, match="bounded"):
        ActionNoise(gym.spaces.Box(-np.inf, np.inf, (1,)), 0.1, 50.0, np.random.default_rng(0))


def test_the_label_is_the_undisturbed_action(tmp_path):
    collect(TOY_ID, 2, 0, tmp_path, noise=0.1)
    dataset = Dataset.open(tmp_path)
    error = dataset.column("observation.environment_state") - dataset.column("observation.state")
    np.testing.assert_allclose(dataset.column("action"), np.clip(2 * error, -1, 1), atol=1e-6)
