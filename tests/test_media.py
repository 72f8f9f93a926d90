"""Films: what a browser needs, what the caption says, and refusals."""

import json

import av
import numpy as np
import pytest

from robotics.cli.main import main
from robotics.environments import make_env
from robotics.errors import RoboticsError, UsageError
from robotics.media.caption import Caption
from robotics.media.record import Shot, record
from robotics.media.spool import FrameSpool
from robotics.media.video import film
from tests.toy import TOY_ID, Point


def decoded(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        return stream.codec_context.name, stream.pix_fmt, float(stream.average_rate), frames


def test_film_plays_in_a_browser(tmp_path):
    images = [np.full((32, 48, 3), 10 * number, np.uint8) for number in range(20)]
    with film(tmp_path / "a.mp4", (32, 48), 25) as mp4:
        for image in images:
            mp4.add(image)
    codec, layout, rate, frames = decoded(tmp_path / "a.mp4")
    assert (codec, layout, rate, len(frames)) == ("h264", "yuv420p", 25.0, 20)
    assert np.mean(np.abs(frames[7].astype(int) - images[7])) < 4
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # the index first


def test_an_interrupted_film_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), film(tmp_path / "a.mp4", (32, 48), 25) as mp4:
        mp4.add(np.zeros((32, 48, 3), np.uint8))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_odd_sizes_are_refused(tmp_path):
    with pytest.raises(UsageError, match="even sides"), film(tmp_path / "a.mp4", (33, 48), 25):
        pass


def test_spool_returns_what_was_put_in():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (8, 10, 3), dtype=np.uint8) for _ in range(5)]
    with FrameSpool() as spool:
        for image in images:
            spool.append(image)
        for _ in range(2):
            assert all(np.array_equal(a, b) for a, b in zip(spool, images, strict=True))


@pytest.mark.parametrize("width", [64, 320, 641, 1920])
def test_captions_fit_every_width(width):
    caption = Caption("a task with a very long description " * 20, "policy " * 50, "success in 3.2 s", True)
    strip = caption.strip(width, "1.20 s")
    assert strip.shape[1:] == (width, 3)
    assert strip.shape[0] % 2 == 0


def test_the_outcome_is_seen():
    outcomes = [
        Caption("task", "detail", text, good).strip(640, "") for text, good in (("success", True), ("failed", False))
    ]
    green, red = (strip.reshape(-1, 3).astype(int) for strip in outcomes)
    assert (green[:, 1] - green[:, 0]).max() > 60
    assert (red[:, 0] - red[:, 1]).max() > 60


@pytest.mark.parametrize(("speed", "rate", "count"), [(1.0, 10, 1.0), (0.5, 5, 1.0), (12.0, 60, 0.5)])
def test_speed_changes_the_frame_rate_and_drops_only_what_no_screen_shows(tmp_path, speed, rate, count):
    episode = record(Shot(TOY_ID, "expert", 1_000_000, speed=speed), tmp_path / "v.mp4")
    _, _, measured, frames = decoded(tmp_path / "v.mp4")
    assert measured == pytest.approx(rate)
    shown = episode.length + 1 if count == 1.0 else (episode.length + 1) // 2 + 1
    assert len(frames) - rate == pytest.approx(shown, abs=1)  # the last picture stays for a second
    about = json.loads((tmp_path / "v.json").read_text())
    assert about["success"] is True
    assert about["seed"] == 1_000_000


def test_a_film_shows_the_episode_that_bench_measures(tmp_path, toy_policy):
    from robotics.evaluation.bench import bench

    episode = record(Shot(TOY_ID, str(toy_policy), 1_000_003), tmp_path / "v.mp4")
    row = bench(TOY_ID, str(toy_policy), 1, 1_000_003)["episodes"][0]
    assert (episode.success, episode.length, episode.return_) == (row["success"], row["length"], row["return"])


def test_a_film_of_another_world_says_so(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("robotics.media.record.develop", lambda frames, caption, *rest: drawn.append(caption.detail))
    told = ["record", "--env", "robotics/Reach-v0", "--policy", "zero", "--seed", "1000000", "--size", "64x48"]
    film = tmp_path / "a.mp4"
    assert main([*told, "--target", "factors:payload=0.4", "--out", str(film)]) == 0
    assert json.loads(film.with_suffix(".json").read_text())["target"]["values"] == {"payload": 0.4}
    assert drawn == ["zero · seed 1000000 · on payload 0.4"]


def test_an_existing_film_is_kept(tmp_path):
    (tmp_path / "v.mp4").write_text("precious")
    with pytest.raises(UsageError, match="--overwrite"):
        record(Shot(TOY_ID, "expert", 0), tmp_path / "v.mp4")
    assert (tmp_path / "v.mp4").read_text() == "precious"


@pytest.mark.parametrize(
    ("shot", "name", "message"),
    [
        (Shot(TOY_ID, "expert", 0, camera="top"), "v.mp4", "--camera: environment"),
        (Shot(TOY_ID, "expert", 0, speed=0.0), "v.mp4", "--speed 0.0"),
        (Shot(TOY_ID, "expert", 0, speed=float("nan")), "v.mp4", "--speed nan"),
        (Shot(TOY_ID, "expert", -1), "v.mp4", "--seed -1"),
        (Shot(TOY_ID, "expert", 0), "v.avi", "an .mp4 file"),
        (Shot("robotics/TransferCube-v0", "expert", 0, camera="tpo"), "v.mp4", "did you mean 'top'"),
    ],
)
def test_wishes_that_can_not_be_granted(tmp_path, shot, name, message):
    with pytest.raises(UsageError, match=message):
        record(shot, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_description_replaces_nothing_but_a_films(tmp_path, overwrite):
    (tmp_path / "config.json").write_text("precious")
    with pytest.raises(UsageError, match=r"would replace .*config\.json"):
        record(Shot(TOY_ID, "expert", 0), tmp_path / "config.mp4", overwrite=overwrite)
    assert (tmp_path / "config.json").read_text() == "precious"
    record(Shot(TOY_ID, "expert", 0), tmp_path / "v.mp4")
    record(Shot(TOY_ID, "expert", 1), tmp_path / "v.mp4", overwrite=True)
    assert json.loads((tmp_path / "v.json").read_text())["seed"] == 1


def test_a_folder_is_no_film(tmp_path):
    (tmp_path / "v.mp4").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        record(Shot(TOY_ID, "expert", 0), tmp_path / "v.mp4", overwrite=True)


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        ([None], "gives no picture"),
        ([np.zeros((64, 64), np.uint8)], "gives no picture"),
        ([np.zeros((64, 64, 3))], "gives no picture"),
        ([np.zeros((64, 64, 3), np.uint8), np.zeros((64, 32, 3), np.uint8)], "shape changed"),
    ],
)
def test_environments_without_proper_pictures(tmp_path, monkeypatch, pictures, message):
    rest = iter(pictures)
    monkeypatch.setattr(Point, "render", lambda _: next(rest))
    with pytest.raises(RoboticsError, match=message):
        record(Shot(TOY_ID, "expert", 0), tmp_path / "v.mp4")
    assert list(tmp_path.iterdir()) == []


def test_another_packages_mujoco_is_filmed_without_a_screen(tmp_path):
    episode = record(Shot("InvertedPendulum-v5", "random", 1_000_000), tmp_path / "v.mp4")
    with av.open(tmp_path / "v.mp4") as film:
        assert sum(1 for _ in film.decode(video=0)) > episode.length


def test_our_cameras_at_our_sizes(tmp_path):
    env = make_env("robotics/TransferCube-v0", render_mode="rgb_array", render_camera="top", render_size=(64, 96))
    env.reset(seed=0)
    image = env.render()
    env.close()
    assert image.shape == (64, 96, 3)
    assert image.std() > 10
