"""`robotics data check` finds every broken invariant, and hostile input costs one line, not a traceback."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotics.cli.main import main
from robotics.datasets.check import check
from robotics.datasets.origin import origin_in_words
from robotics.datasets.reader import Dataset
from robotics.datasets.video import write_video
from robotics.datasets.writer import DatasetWriter
from robotics.errors import DataError, UsageError
from tests.datasets_toy import CAMERA, FPS, features, frames, write

DATA = "data/chunk-000/file-001.parquet"
ROW = "meta/episodes/chunk-000/file-001.parquet"
VIDEO = f"videos/{CAMERA}/chunk-000/file-001.mp4"


def edit_column(path: Path, name: str, change) -> None:
    """Replace a column of a Parquet file by what `change` makes of its values."""
    table = pq.read_table(path)
    position = table.column_names.index(name)
    values = pa.array(change(table[name].to_pylist()), type=table.schema.field(name).type)
    pq.write_table(table.set_column(position, table.schema.field(name), values), path)


def edit_json(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _nan_action(values):
    return [*values[:3], [float("nan"), 0.0], *values[4:]]


BROKEN_VALUES = {
    "timestamps late by 2/10 of a millisecond": ("timestamp", lambda v: [x + 2e-4 for x in v], "timestamp of frame 0"),
    "a frame twice": ("frame_index", lambda v: [v[0], *v[:-1]], "frame_index"),
    "index of another frame": ("index", lambda v: [x + 1 for x in v], "index is not 4 … 10"),
    "another episode": ("episode_index", lambda v: [x + 1 for x in v], "episode_index"),
    "a task that does not exist": ("task_index", lambda v: [7, *v[1:]], "task_index 7"),
    "another task": ("task_index", lambda v: [0 for _ in v], "its task is another one"),
    "not a number": ("action", _nan_action, "'action' is NaN or infinite in frame 3"),
    "missing values": ("action", lambda v: [None, *v[1:]], "missing"),
    "other numbers": ("action", lambda v: [[9.0, 9.0] for _ in v], "'max' of 'action' is not that of the data"),
}


@pytest.mark.parametrize("case", BROKEN_VALUES)
def test_broken_values_are_found(tmp_path, case):
    column, change, message = BROKEN_VALUES[case]
    write(tmp_path, None)
    edit_column(tmp_path / DATA, column, change)
    problems = check(tmp_path).problems
    assert any(message in problem for problem in problems), problems


def test_a_tenth_of_the_tolerance_is_no_problem(tmp_path):
    write(tmp_path, None)
    edit_column(tmp_path / DATA, "timestamp", lambda v: [x + 1e-5 for x in v])
    assert not [p for p in check(tmp_path).problems if "timestamp of frame" in p]


@pytest.mark.parametrize("count", [6, 8])
def test_a_video_with_a_frame_too_few_or_too_many_is_found(tmp_path, count):
    write(tmp_path, "video")
    write_video(tmp_path / VIDEO, np.zeros((count, 16, 24, 3), np.uint8), FPS)
    (problem,) = check(tmp_path).problems
    assert VIDEO in problem and str(count) in problem


def test_a_video_of_another_rate_or_size_is_found(tmp_path):
    write(tmp_path, "video")
    write_video(tmp_path / VIDEO, np.zeros((7, 16, 24, 3), np.uint8), FPS + 1)
    assert "on no multiple of 1/30 s" in check(tmp_path).problems[0]
    write_video(tmp_path / VIDEO, np.zeros((7, 24, 16, 3), np.uint8), FPS)
    assert "has shape (24, 16, 3)" in check(tmp_path).problems[0]


def _drop_column(path: Path) -> None:
    pq.write_table(pq.read_table(path).drop_columns(["action"]), path)


def _drop_rows(path: Path) -> None:
    pq.write_table(pq.read_table(path).slice(0, 3), path)


def _repeat_rows(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table]), path)


def _garbage(path: Path) -> None:
    path.write_bytes(b"\x00garbage" * 50)


def _a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


BROKEN_FILES = [
    *[(file, damage) for file in (DATA, ROW, VIDEO) for damage in (truncate, _garbage, Path.unlink, _a_folder)],
    *[(DATA, damage) for damage in (_drop_column, _drop_rows, _repeat_rows)],
    *[(file, damage) for file in ("meta/info.json", "meta/stats.json") for damage in (truncate, _garbage, Path.unlink)],
    ("meta/info.json", lambda p: p.write_text("[1, 2]")),
    ("meta/info.json", lambda p: edit_json(p, codebase_version="v2.1")),
    ("meta/info.json", lambda p: edit_json(p, total_episodes=-1)),
    ("meta/info.json", lambda p: edit_json(p, total_frames="many")),
    ("meta/info.json", lambda p: edit_json(p, total_frames=15)),
    ("meta/info.json", lambda p: edit_json(p, fps=0)),
    ("meta/info.json", lambda p: edit_json(p, fps=1e400)),
    ("meta/info.json", lambda p: edit_json(p, features=None)),
    ("meta/info.json", lambda p: edit_json(p, features={"action": {"dtype": "O", "shape": [1]}})),
    ("meta/info.json", lambda p: edit_json(p, data_path="../{chunk_index}/{file_index}")),
    ("meta/info.json", lambda p: edit_json(p, data_path="{chunk_index.__class__}{nothing}")),
    ("meta/stats.json", lambda p: p.write_text('{"action": {"mean": [[1], 2]}}')),
    ("meta/stats.json", lambda p: p.write_text('{"action": {"mean": "zero"}}')),
    ("meta/robotics.json", truncate),
    ("meta/tasks.parquet", truncate),
    ("meta/tasks.parquet", Path.unlink),
]


@pytest.mark.parametrize(("file", "damage"), BROKEN_FILES)
def test_a_broken_file_is_named_in_one_line(tmp_path, capsys, file, damage):
    write(tmp_path, "video")
    damage(tmp_path / file)
    assert main(["data", "check", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    lines = [line for line in (out + err).splitlines() if line.startswith(("error:", "problem:"))]
    named = "episode 1 belongs" if (file, damage) == (ROW, Path.unlink) else Path(file).name
    assert any(named in line for line in lines), lines
    assert "Traceback" not in err and err.count("error:") == 1


@pytest.mark.parametrize("name", ["missing", "file", "empty", "foreign"])
def test_what_is_no_dataset_is_said_in_one_line(tmp_path, capsys, name):
    path = tmp_path / name
    if name == "file":
        path.write_text("hello")
    elif name != "missing":
        path.mkdir()
    if name == "foreign":
        (path / "meta").mkdir()
        (path / "meta/info.json").write_bytes(b"\xff\xfe\x00")
    for command in ("check", "info", "repair"):
        assert main(["data", command, str(path)]) == 1
        err = capsys.readouterr().err.strip()
        assert err.startswith("error:") and "\n" not in err and name in err


def test_json_is_one_document(tmp_path, capsys):
    write(tmp_path, None)
    for command, code in (("check", 0), ("info", 0), ("repair", 0)):
        assert main(["data", command, str(tmp_path), "--json"]) == code
        assert json.loads(capsys.readouterr().out)["schema"] == 1
    (tmp_path / DATA).unlink()
    assert main(["data", "check", str(tmp_path), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert not document["ok"] and DATA in document["problems"][0]


def test_info_tells_where_episodes_come_from(tmp_path, capsys):
    write(tmp_path, None)
    calibration = {"robot": "panda", "promoted": False, "verdict": "not promoted: …", "parameters": {"delay": 0.01}}
    noted = {"policy": "expert", "noise": 0.05, "hardest_of": 3, "calibration": calibration, "randomisation": None}
    edit_json(tmp_path / "meta/robotics.json", **noted)
    assert main(["data", "info", str(tmp_path)]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["calibration"] == "panda, NOT promoted, 1 parameters" and lines["noise"] == "0.05 of the action range"
    assert (lines["policy"], lines["hardest_of"], lines["randomisation"]) == ("expert", "3", "none")
    assert main(["data", "info", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out).items() >= noted.items()


@pytest.mark.parametrize(
    ("noted", "name", "words"),
    [
        ({"randomisation": {"target": "twin:t.json"}}, "target", "twin:t.json"),
        ({"randomisation": {"severity": "mild", "ranges": "mjlab"}}, "randomisation", "mild, ranges of mjlab"),
        (
            {"randomisation": {"families": {"delay": [0.1] * 9}, "rest": "mild", "joints": {"friction.a": [1.0] * 9}}},
            "randomisation",
            "9 worlds around what was identified (delay, friction), the rest mild",
        ),
        ({"calibration": {"robot": "arm", "parameters": {}}}, "calibration", "arm, promotion not noted, 0 parameters"),
        ({"calibration": "mine", "noise": "much"}, "calibration", "mine"),
        ({"randomisation": {"families": [1]}}, "randomisation", "{'families': [1]}"),
    ],
)
def test_what_is_noted_of_an_origin_in_words(noted, name, words):
    assert origin_in_words(noted)[name] == words


@pytest.mark.parametrize(("shift", "warns"), [(0, "current state"), (1, "next state"), (2, None)])
def test_actions_that_copy_the_state_are_suspicious(tmp_path, shift, warns):
    shape = features(None) | {"action": {"dtype": "float32", "shape": [3], "names": None}}
    states = np.random.default_rng(0).normal(size=(2, 22, 3)).astype(np.float32)
    with DatasetWriter.create(tmp_path, FPS, shape, None) as out:
        for episode in states:
            columns = frames(np.random.default_rng(1), 20, images=False)
            out.append(columns | {"observation.state": episode[:20], "action": episode[shift : shift + 20]}, "t")
    warnings = check(tmp_path).warnings
    assert [warns in warning for warning in warnings] == ([True] if warns else [])


def test_a_dataset_whose_files_hold_several_episodes_is_read_too(tmp_path):
    """LeRobot's own layout: all episodes in one data, one row and one video file."""
    episodes = write(tmp_path, "video")
    chunk = "chunk-000"
    for folder in (tmp_path / "data" / chunk, tmp_path / "meta/episodes" / chunk):
        files = sorted(folder.glob("*.parquet"))
        table = pa.concat_tables([pq.read_table(file) for file in files])
        for file in files:
            file.unlink()
        pq.write_table(table, folder / "file-000.parquet")
    row = tmp_path / "meta/episodes" / chunk / "file-000.parquet"
    edit_column(row, "data/file_index", lambda v: [0] * len(v))
    edit_column(row, f"videos/{CAMERA}/file_index", lambda v: [0] * len(v))
    edit_column(row, f"videos/{CAMERA}/from_timestamp", lambda v: [0.0, 4 / FPS, 11 / FPS])
    shutil.rmtree(tmp_path / "videos" / CAMERA / chunk)
    (tmp_path / "videos" / CAMERA / chunk).mkdir()
    images = np.concatenate([episode[CAMERA] for episode in episodes])
    write_video(tmp_path / "videos" / CAMERA / chunk / "file-000.mp4", images, FPS)
    dataset = Dataset.open(tmp_path)
    np.testing.assert_array_equal(dataset.column("action"), np.concatenate([e["action"] for e in episodes]))
    assert np.abs(dataset.images(CAMERA).astype(float) - images).mean() < 8
    assert not check(tmp_path).problems
    with pytest.raises(DataError, match="another program"):
        DatasetWriter.resume(tmp_path)


@pytest.mark.parametrize("image_dtype", [None, "image", "video"])
def test_a_dataset_without_episodes_has_no_problem(tmp_path, image_dtype):
    """What an interrupted first episode leaves."""
    write(tmp_path, image_dtype, ())
    assert check(tmp_path).problems == []


def test_statistics_that_nobody_needs_may_be_missing(tmp_path):
    """Of times and numbers of frames, as in datasets made by hand; those of the others have to be there."""
    write(tmp_path, None)
    stats = json.loads((tmp_path / "meta/stats.json").read_text())
    needed = {key: stats[key] for key in ("observation.state", "action", "next.done")}
    (tmp_path / "meta/stats.json").write_text(json.dumps(needed))
    report = check(tmp_path)
    assert report.problems == []
    (warning,) = report.warnings
    assert "has no statistics of timestamp, frame_index, episode_index, index, task_index" in warning
    (tmp_path / "meta/stats.json").write_text(json.dumps(needed | {"action": {}}))
    assert any("'mean' of 'action'" in problem for problem in check(tmp_path).problems)


def test_unknown_columns_are_refused_with_what_exists(tmp_path):
    write(tmp_path, "video")
    dataset = Dataset.open(tmp_path)
    with pytest.raises(UsageError, match=r"did you mean 'observation\.state'"):
        dataset.column("observation.stat")
    with pytest.raises(UsageError, match="images"):
        dataset.column(CAMERA)
    with pytest.raises(UsageError, match=CAMERA):
        dataset.images("action")
