"""`robotics data check` finds every broken invariant, and hostile input costs one line, not a traceback."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotics.cli.main import main
from robotics.datasets import reader
from robotics.datasets.check import check
from robotics.datasets.origin import origin_in_words
from robotics.datasets.reader import Dataset
from robotics.datasets.video import write_video
from robotics.datasets.writer import DatasetWriter
from robotics.errors import DataError, UsageError
from tests.datasets_toy import CAMERA, FPS, features, frames, in_one_file, write

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
    *[("meta/info.json", damage) for damage in (truncate, _garbage, Path.unlink)],
    *[("meta/stats.json", damage) for damage in (truncate, _garbage)],
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
    in_one_file(tmp_path, episodes)
    images = np.concatenate([episode[CAMERA] for episode in episodes])
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


STATS = "meta/stats.json"


def edit_stats(root, change) -> None:
    stats = json.loads((root / STATS).read_text())
    change(stats)
    (root / STATS).write_text(json.dumps(stats))


DIFFERENT_STATS = {
    "of a tool that forgot them": (lambda s: s["index"].update(max=[99], mean=[3.0]), "'index' (max, mean)"),
    "rounded": (lambda s: s["action"].update(std=[0.0, 0.0]), "'action' (std)"),
    "of something else": (lambda s: s["action"].update(count=[1200]), "'action' (count)"),
    "quantiles": (lambda s: s["action"].update(q50=[9.0, 9.0]), "'action' (quantiles)"),
    "of other images": (lambda s: s[CAMERA].update(mean=[[[0.0]]] * 3), f"'{CAMERA}' (mean)"),
    "of images of another kind": (lambda s: s[CAMERA].update(mean=[[[0.5]]] * 4), f"'{CAMERA}' (mean)"),
    "of another length": (lambda s: s["action"].update(q50=[0.0] * 3), "'action' (quantiles)"),
    "none of the images": (lambda s: s.pop(CAMERA), f"has no statistics of {CAMERA}"),
    "none of times": (lambda s: [s.pop("timestamp"), s.pop("index")], "has no statistics of timestamp, index"),
    "empty": (lambda s: s.update(action={}), "has no statistics of action"),
}


@pytest.mark.parametrize("case", DIFFERENT_STATS)
def test_other_statistics_are_no_reason_for_distrust(tmp_path, capsys, case):
    """No training here needs them; LeRobot's own tools leave such ones."""
    change, message = DIFFERENT_STATS[case]
    write(tmp_path, "image")
    edit_stats(tmp_path, change)
    assert main(["data", "check", str(tmp_path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (warning,) = document["warnings"]
    assert document["ok"] and not document["problems"]
    assert message in warning and "data repair" in warning


def test_statistics_of_a_matrix_are_those_of_its_last_axis(tmp_path):
    """As LeRobot notes them."""
    episodes = write(tmp_path, None, (2, 3))
    grid = np.arange(30, dtype=np.float32).reshape(5, 2, 3)
    in_one_file(tmp_path, episodes, grid=pa.array(grid.tolist(), pa.list_(pa.list_(pa.float32()))))
    info = json.loads((tmp_path / "meta/info.json").read_text())
    info["features"]["grid"] = {"dtype": "float32", "shape": [2, 3], "names": None}
    edit_json(tmp_path / "meta/info.json", **info)
    rows = grid.reshape(10, 3)
    noted = {"min": rows.min(0), "max": rows.max(0), "mean": rows.mean(0), "std": rows.std(0), "count": [5]}
    edit_stats(tmp_path, lambda s: s.update(grid={name: np.array(value).tolist() for name, value in noted.items()}))
    report = check(tmp_path)
    assert not report.problems and not report.warnings


def test_without_statistics_those_of_the_episodes_are_taken(tmp_path, capsys):
    write(tmp_path, None)
    before = Dataset.open(tmp_path).stats
    (tmp_path / STATS).unlink()
    np.testing.assert_array_equal(Dataset.open(tmp_path).stats["action"]["mean"], before["action"]["mean"])
    assert main(["data", "info", str(tmp_path)]) == 0
    assert main(["data", "check", str(tmp_path)]) == 0
    assert "has no statistics of" in capsys.readouterr().out


def test_columns_of_unknown_types_are_not_read(tmp_path, capsys):
    """Such as those of LeRobot's annotations."""
    episodes = write(tmp_path, None)
    in_one_file(tmp_path, episodes, said=pa.array([[{"role": "user", "content": "go"}]] * 16))
    info = json.loads((tmp_path / "meta/info.json").read_text())
    info["features"]["said"] = {"dtype": "language", "shape": [1], "names": None}
    edit_json(tmp_path / "meta/info.json", **info)
    report = check(tmp_path)
    assert not report.problems and not report.warnings
    assert main(["data", "info", str(tmp_path)]) == 0 and "language" in capsys.readouterr().out
    with pytest.raises(DataError, match="'said' holds language, no numbers"):
        Dataset.open(tmp_path).column("said")


def test_a_file_of_many_episodes_is_read_and_decoded_once(tmp_path, monkeypatch):
    in_one_file(tmp_path, write(tmp_path, "image", (2,) * 12))
    columns, decoded = Counter(), []
    read, decode = reader.read_table, reader.decode_image
    monkeypatch.setattr(reader, "read_table", lambda path, keys: columns.update(keys) or read(path, keys))
    monkeypatch.setattr(reader, "decode_image", lambda content: decoded.append(1) or decode(content))
    reader._columns_read.cache_clear()
    assert not check(tmp_path).problems
    assert set(columns.values()) == {1} and len(columns) == 9 and len(decoded) == 24


def test_unknown_columns_are_refused_with_what_exists(tmp_path):
    write(tmp_path, "video")
    dataset = Dataset.open(tmp_path)
    with pytest.raises(UsageError, match=r"did you mean 'observation\.state'"):
        dataset.column("observation.stat")
    with pytest.raises(UsageError, match="images"):
        dataset.column(CAMERA)
    with pytest.raises(UsageError, match=CAMERA):
        dataset.images("action")
