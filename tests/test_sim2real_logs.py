"""Logs of robots: every format comes to the same numbers, and what is wrong with a file is said in one line."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotics.cli.main import main
from robotics.datasets.writer import DatasetWriter
from robotics.errors import DataError, RoboticsError, UsageError
from robotics.sim2real.dropout import lost, without_lost
from robotics.sim2real.identification.plausible import require_plausible
from robotics.sim2real.identification.subject import load_subject
from robotics.sim2real.log_files import _FIELDS, UNITS, read_logs
from robotics.sim2real.logs import Log

JOINTS = ("shoulder", "elbow")
FLAT = {
    "time": np.arange(20) * 0.02,
    "shoulder.position": np.linspace(0.0, 0.4, 20),
    "elbow.position": np.linspace(0.2, -0.2, 20),
    "shoulder.command": np.linspace(0.01, 0.41, 20),
    "elbow.command": np.linspace(0.19, -0.21, 20),
}
WIDE = {
    "t": FLAT["time"],
    "q": np.stack([FLAT["shoulder.position"], FLAT["elbow.position"]], axis=1),
    "q_cmd": np.stack([FLAT["shoulder.command"], FLAT["elbow.command"]], axis=1),
}


def write_csv(path, columns):
    rows = [",".join(columns), *(",".join(repr(float(v)) for v in row) for row in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(rows) + "\n")
    return path


def write_parquet(path, columns):
    pq.write_table(pa.table({name: pa.array(np.asarray(values).tolist()) for name, values in columns.items()}), path)
    return path


def write_npz(path, columns):
    np.savez(path, **columns)
    return path


def write_mcap(path, columns):
    writer_module = pytest.importorskip("mcap.writer", reason="the extra 'mcap' is not installed")
    with open(path, "wb") as file:
        writer = writer_module.Writer(file)
        writer.start()
        schema = writer.register_schema("joints", "jsonschema", b"{}")
        channel = writer.register_channel("arm", "json", schema)
        for i, time in enumerate(columns["t"]):
            message = {name: values[i].tolist() for name, values in columns.items() if name != "t"}
            stamp = round(time * 1e9) + 5_000_000_000
            writer.add_message(channel, stamp, json.dumps(message).encode(), stamp)
        writer.finish()
    return path


def describe(path, text):
    path.write_text(text)
    return path


def assert_same(log, tolerance=1e-12):
    np.testing.assert_allclose(log.time, FLAT["time"], atol=max(tolerance, 1e-9))
    for channel in ("position", "command"):
        for joint in JOINTS:
            np.testing.assert_allclose(log.joints[channel][joint], FLAT[f"{joint}.{channel}"], atol=tolerance)


# -- formats ----


@pytest.mark.parametrize("write, suffix", [(write_csv, "csv"), (write_parquet, "parquet"), (write_npz, "npz")])
def test_columns_named_after_joints(tmp_path, write, suffix):
    (log,) = read_logs(write(tmp_path / f"run.{suffix}", FLAT), JOINTS)
    assert log.name == "run"
    assert_same(log)


@pytest.mark.parametrize("write, suffix", [(write_parquet, "parquet"), (write_npz, "npz")])
def test_columns_of_all_joints(tmp_path, write, suffix):
    (log,) = read_logs(write(tmp_path / f"run.{suffix}", WIDE), JOINTS)
    assert_same(log)


def test_numbered_columns(tmp_path):
    columns = {
        "time": FLAT["time"],
        "pos_meas1": FLAT["shoulder.position"],
        "pos_meas2": FLAT["elbow.position"],
        "tau_con1": FLAT["shoulder.command"],
        "tau_con2": FLAT["elbow.command"],
    }
    (log,) = read_logs(write_csv(tmp_path / "run.csv", columns), JOINTS)
    assert_same(log)


def test_a_description_gives_units_order_and_what_to_skip(tmp_path):
    columns = {
        "stamp": 1e6 * (7.0 + FLAT["time"]),
        "measured": np.degrees(np.column_stack([FLAT["time"], FLAT["elbow.position"], FLAT["shoulder.position"]])),
        "elbow_goal": FLAT["elbow.command"],
        "shoulder_goal": FLAT["shoulder.command"],
    }
    write_npz(tmp_path / "run.npz", columns)
    text = """
        files = "*.npz"
        time = "stamp"
        joints = ["elbow", "shoulder"]
        position = "measured[1:3]"
        command = ["elbow_goal", "shoulder_goal"]
        units = {time = "us", position = "deg"}
    """
    (log,) = read_logs(describe(tmp_path / "log.toml", text), JOINTS)
    np.testing.assert_allclose(log.time - log.time[0], FLAT["time"], atol=1e-9)
    np.testing.assert_allclose(log.joints["position"]["elbow"], FLAT["elbow.position"], atol=1e-12)
    np.testing.assert_allclose(log.joints["command"]["shoulder"], FLAT["shoulder.command"], atol=1e-12)


def test_a_lerobot_dataset(tmp_path):
    features = {
        "observation.state": {"dtype": "float32", "shape": [2], "names": list(JOINTS)},
        "action": {"dtype": "float32", "shape": [2], "names": list(JOINTS)},
    }
    episode = {"observation.state": WIDE["q"].astype(np.float32), "action": WIDE["q_cmd"].astype(np.float32)}
    with DatasetWriter.create(tmp_path / "data", 50, features, "toy") as out:
        out.append(episode, "wave", {})
        out.append(episode, "wave", {})
    logs = read_logs(tmp_path / "data", JOINTS)
    assert [log.name for log in logs] == ["data-000000", "data-000001"]
    for log in logs:
        assert_same(log, tolerance=1e-6)


def test_texts_and_images_of_a_lerobot_dataset_are_passed_over(tmp_path):
    features = {
        "observation.state": {"dtype": "float32", "shape": [2], "names": list(JOINTS)},
        "observation.image": {"dtype": "image", "shape": [4, 6, 3], "names": None},
        "action": {"dtype": "float32", "shape": [2], "names": list(JOINTS)},
    }
    images = np.zeros((20, 4, 6, 3), np.uint8)
    episode = {"observation.state": WIDE["q"].astype(np.float32), "action": WIDE["q_cmd"].astype(np.float32)}
    with DatasetWriter.create(tmp_path / "data", 50, features, "toy") as out:
        out.append(episode | {"observation.image": images}, "wave", {})
    data = tmp_path / "data/data/chunk-000/file-000.parquet"
    table = pq.read_table(data)
    pq.write_table(table.append_column("note", pa.array(["slow"] * 20)), data)
    info = json.loads((tmp_path / "data/meta/info.json").read_text())
    info["features"]["note"] = {"dtype": "string", "shape": [1], "names": None}
    (tmp_path / "data/meta/info.json").write_text(json.dumps(info))
    (log,) = read_logs(tmp_path / "data", JOINTS)
    assert_same(log, tolerance=1e-6)


def test_an_mcap_recording(tmp_path):
    path = write_mcap(tmp_path / "run.mcap", WIDE)
    text = """
        files = "run.mcap"
        time = "time"
        joints = ["shoulder", "elbow"]
        position = "arm.q"
        command = "arm.q_cmd"
    """
    (log,) = read_logs(describe(path.with_suffix(".toml"), text), JOINTS)
    assert_same(log)


def test_an_mcap_recording_that_is_none(tmp_path):
    pytest.importorskip("mcap", reason="the extra 'mcap' is not installed")
    (tmp_path / "run.mcap").write_bytes(b"not a recording")
    with pytest.raises(DataError, match=r"run\.mcap"):
        read_logs(tmp_path / "run.mcap", JOINTS)


def write_messages(path, messages):
    """An MCAP recording of (topic, time [s], message)."""
    writer_module = pytest.importorskip("mcap.writer", reason="the extra 'mcap' is not installed")
    with open(path, "wb") as file:
        writer = writer_module.Writer(file)
        writer.start()
        schema, channels = writer.register_schema("any", "jsonschema", b"{}"), {}
        for topic, time, message in messages:
            if topic not in channels:
                channels[topic] = writer.register_channel(topic, "json", schema)
            stamp = round(time * 1e9) + 5_000_000_000
            writer.add_message(channels[topic], stamp, json.dumps(message).encode(), stamp)
        writer.finish()
    return path


def states(**fields):
    """Messages of joint states as ROS has them, with other fields for some."""
    rows = zip(FLAT["time"], WIDE["q"].tolist(), strict=True)
    return [("/states", t, {"name": list(JOINTS), "position": q, "effort": []} | fields) for t, q in rows]


ARM = 'files = "run.mcap"\ntime = "time"\njoints = ["shoulder", "elbow"]\nposition = "states.position"\n'


def test_an_mcap_recording_of_joint_states_has_names_that_are_no_numbers(tmp_path):
    write_messages(tmp_path / "run.mcap", states())
    (log,) = read_logs(describe(tmp_path / "log.toml", ARM), JOINTS)
    np.testing.assert_array_equal(log.joints["position"]["elbow"], FLAT["elbow.position"])
    with pytest.raises(DataError, match=r"run: column 'states\.name' is bad at message 1: \['shoulder', 'elbow'\]"):
        read_logs(describe(tmp_path / "log.toml", ARM.replace("states.position", "states.name")), JOINTS)


def test_commands_are_not_known_before_the_first_one(tmp_path):
    sent = [("/goal", t + 1e-4, {"q": q}) for t, q in zip(FLAT["time"][8:], WIDE["q_cmd"][8:].tolist(), strict=True)]
    write_messages(tmp_path / "run.mcap", sorted([*states(), *sent], key=lambda message: message[1]))
    (log,) = read_logs(describe(tmp_path / "log.toml", ARM + 'command = "goal.q"\n'), JOINTS)
    np.testing.assert_allclose(log.time, FLAT["time"][:11], atol=1e-6)
    np.testing.assert_array_equal(log.joints["position"]["elbow"], FLAT["elbow.position"][9:])
    np.testing.assert_array_equal(log.joints["command"]["elbow"], FLAT["elbow.command"][8:-1])


@pytest.mark.parametrize(
    "messages, message",
    [
        ([*states()[:3], *states(position=[0.5])[3:]], r"column 'states\.position' is bad at message 4: \[0\.5\]"),
        ([("/states", 0.0, {"position": [1]}), ("/states", 1.0, {"position": [1, 2]})], r"numeric.*bad at message 2"),
        ([("/states", 0.0, [1, 2])], "a message of topic /states is no object with named fields"),
        ([*states(), ("/late", 9.0, {"x": 1})], r"'late\.x' is first heard when the recording ends"),
    ],
)
def test_a_recording_of_something_else_is_named(tmp_path, messages, message):
    write_messages(tmp_path / "run.mcap", messages)
    with pytest.raises(DataError, match=message):
        read_logs(describe(tmp_path / "log.toml", ARM), JOINTS)


def test_files_of_one_stem_have_names_of_their_own(tmp_path):
    write_csv(tmp_path / "run.csv", FLAT)
    write_npz(tmp_path / "run.npz", FLAT)
    write_npz(tmp_path / "other.npz", FLAT)
    assert [log.name for log in read_logs(tmp_path, JOINTS)] == ["other", "run.csv", "run.npz"]


def test_a_suffix_may_be_in_capitals(tmp_path):
    write_csv(tmp_path / "RUN.CSV", FLAT)
    assert_same(read_logs(tmp_path / "RUN.CSV", JOINTS)[0])
    assert [log.name for log in read_logs(tmp_path, JOINTS)] == ["RUN"]


@pytest.mark.parametrize("start", [np.datetime64("2024-01-01T12:00", "us"), np.timedelta64(0, "us")])
@pytest.mark.parametrize("write, suffix", [(write_npz, "npz"), (None, "parquet")])
def test_times_of_a_clock_are_seconds(tmp_path, write, suffix, start):
    stamps = start + (1e6 * FLAT["time"]).round().astype("timedelta64[us]")
    columns = {**FLAT, "time": stamps}
    if write:
        write(tmp_path / f"run.{suffix}", columns)
    else:
        pq.write_table(pa.table(columns), tmp_path / f"run.{suffix}")
    assert_same(read_logs(tmp_path / f"run.{suffix}", JOINTS)[0])


def test_a_folder_is_one_motion_per_file(tmp_path):
    write_csv(tmp_path / "b.csv", FLAT)
    write_npz(tmp_path / "a.npz", FLAT)
    (tmp_path / "notes.txt").write_text("not a log")
    assert [log.name for log in read_logs(tmp_path, JOINTS)] == ["a", "b"]


def test_one_file_of_many_motions_of_a_body(tmp_path):
    rng, lengths = np.random.default_rng(0), np.array([5, 8, 4])
    state = rng.normal(size=(17, 13))
    write_npz(tmp_path / "tosses.npz", {"state": state, "length": lengths})
    text = """
        files = "tosses.npz"
        lengths = "length"
        rate_hz = 100
        units = {position = 0.5}
        [body.cube]
        position = "state[0:3]"
        orientation = "state[3:7]"
        angular_velocity = "state[10:13]"
    """
    logs = read_logs(describe(tmp_path / "log.toml", text), ())
    assert [len(log.time) for log in logs] == lengths.tolist()
    np.testing.assert_allclose(logs[1].bodies["cube"]["position"], 0.5 * state[5:13, :3])
    np.testing.assert_allclose(logs[2].bodies["cube"]["angular_velocity"], state[13:, 10:])
    describe(tmp_path / "log.toml", text.replace('"length"', '"state"', 1))
    with pytest.raises(DataError, match="adds up to"):
        read_logs(tmp_path / "log.toml", ())


# -- what is wrong with a log ----


def damaged(name, **change):
    return pytest.param({**WIDE, **change}, name, id=name)


def changed(values, index, value):
    values = values.copy()
    values[index] = value
    return values


@pytest.mark.parametrize(
    "columns, message",
    [
        damaged("time does not increase at sample 5", t=changed(WIDE["t"], 5, WIDE["t"][4])),
        damaged("a gap of 1.02 s after 0.18 s", t=WIDE["t"] + (np.arange(20) >= 10)),
        damaged("'shoulder.position' is not finite at sample 3", q=changed(WIDE["q"], (3, 0), np.nan)),
        damaged("time is not finite at sample 2", t=changed(WIDE["t"], 2, np.inf)),
        damaged('a sample every 20 s: is its time in ms? Give units = {time = "ms"}', t=1e3 * WIDE["t"]),
        damaged("a sample every 20000 s: is its time in us?", t=1e6 * WIDE["t"]),
        damaged("a sample every 2e+07 s: is its time in ns?", t=1e9 * WIDE["t"]),
        damaged("has 20 samples, time has 19", t=WIDE["t"][:19]),
        damaged("no column 'shoulder.position'", q=WIDE["q"][:, :1]),
    ],
)
def test_damage_is_named(tmp_path, columns, message):
    write_npz(tmp_path / "run.npz", columns)
    with pytest.raises(DataError) as caught:
        read_logs(tmp_path / "run.npz", JOINTS)
    assert message in str(caught.value) and str(caught.value).startswith("run: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["N/A", "ERR", "0,5"])
@pytest.mark.parametrize("column", ["elbow.command", "elbow.position", "time"])
def test_a_cell_that_is_no_number_is_named(tmp_path, column, text):
    """Without its column the log would be one of a joint that nobody commands, or that nobody saw."""
    path = write_csv(tmp_path / "run.csv", FLAT)
    lines = [line.split(",") for line in path.read_text().splitlines()]
    lines[5][list(FLAT).index(column)] = f'"{text}"'
    path.write_text("\n".join(",".join(line) for line in lines))
    with pytest.raises(DataError) as caught:
        read_logs(path, JOINTS)
    assert str(caught.value) == f"run: column '{column}' is bad at line 6: '{text}'"
    with pytest.raises(DataError, match=f"'{column}' is bad at line 6"):
        text = f'files = "run.csv"\nrate_hz = 50\njoints = ["elbow"]\nposition = "{column}"\n'
        read_logs(describe(tmp_path / "log.toml", text), JOINTS)


def test_a_column_of_words_that_nobody_asks_for_is_no_matter(tmp_path):
    path = write_csv(tmp_path / "run.csv", FLAT)
    path.write_text("\n".join(f"{line},note" for line in path.read_text().splitlines()))
    assert_same(read_logs(path, JOINTS)[0])


def test_a_value_that_is_missing_in_a_parquet_file_is_named(tmp_path):
    values = [None if i == 5 else float(v) for i, v in enumerate(FLAT["elbow.command"])]
    pq.write_table(pa.table({**FLAT, "elbow.command": pa.array(values)}), tmp_path / "run.parquet")
    with pytest.raises(DataError, match=r"run: 'elbow\.command' is not finite at sample 5"):
        read_logs(tmp_path / "run.parquet", JOINTS)
    wide = {"t": WIDE["t"], "q": pa.array([row[: 1 + (i != 3)] for i, row in enumerate(WIDE["q"].tolist())])}
    pq.write_table(pa.table(wide), tmp_path / "run.parquet")
    with pytest.raises(DataError, match=r"run: column 'q' is bad at row 4: \[0\.06"):
        read_logs(tmp_path / "run.parquet", JOINTS)


def test_a_known_column_of_words_is_named(tmp_path):
    write_npz(tmp_path / "run.npz", {**WIDE, "q_cmd": np.array(["a"] * 20)})
    with pytest.raises(DataError, match=r"run: column 'q_cmd' is not of numbers"):
        read_logs(tmp_path / "run.npz", JOINTS)


@pytest.mark.parametrize("rate_hz", [1000, 2000, 4000])
def test_milliseconds_of_a_fast_loop_are_no_seconds(tmp_path, rate_hz):
    write_npz(tmp_path / "run.npz", {**WIDE, "t": 1e3 * np.arange(20) / rate_hz})
    with pytest.raises(DataError, match=r'is its time in ms\? Give units = \{time = "ms"\}'):
        read_logs(tmp_path / "run.npz", JOINTS)


def test_time_that_nobody_named_is_asked_for(tmp_path):
    write_npz(tmp_path / "run.npz", {"q": WIDE["q"], "clock": WIDE["t"]})
    with pytest.raises(DataError, match=r"no column 'time'.*clock.*rate_hz"):
        read_logs(tmp_path / "run.npz", JOINTS)


def test_joints_are_a_list(tmp_path):
    path = describe(tmp_path / "log.toml", 'files = "run.npz"\njoints = 3\nposition = "q"\n')
    with pytest.raises(UsageError, match="joints is 3: give a list of names"):
        read_logs(path, JOINTS)


def test_blank_lines_are_no_rows(tmp_path):
    path = write_csv(tmp_path / "run.csv", FLAT)
    (whole,) = read_logs(path, JOINTS)
    path.write_text(path.read_text().replace("\n", "\n\n", 3) + "\n\n")
    (log,) = read_logs(path, JOINTS)
    assert all(np.array_equal(values, whole.columns()[name]) for name, values in log.columns().items())
    path.write_text(path.read_text() + "1,2\n")
    with pytest.raises(DataError, match=rf"line {len(path.read_text().splitlines())}: 2 values"):
        read_logs(path, JOINTS)


def test_a_spreadsheets_mark_is_no_part_of_a_name(tmp_path):
    path = write_csv(tmp_path / "run.csv", FLAT)
    path.write_text("\ufeff" + path.read_text(), encoding="utf8")
    assert len(read_logs(path, JOINTS)[0].time) == 20


def test_a_robot_without_joints_has_no_log_of_them(tmp_path):
    with pytest.raises(DataError, match=r"no column 'joint\.position'"):
        read_logs(write_csv(tmp_path / "run.csv", FLAT), ())


def test_a_short_stutter_is_no_gap(tmp_path):
    time = np.arange(20) * 0.002 + 0.01 * (np.arange(20) >= 10)
    write_npz(tmp_path / "run.npz", {**WIDE, "t": time})
    assert len(read_logs(tmp_path / "run.npz", JOINTS)[0].time) == 20


@pytest.mark.parametrize(
    "text, message",
    [
        ('postion = "q"', "did you mean 'position'"),
        ('position = "qq"', "did you mean 'q'"),
        ('position = "q[1:7]"', "reaches beyond column 'q' of 2 numbers"),
        ('position = "q[0]"', "position has 1 columns, the description names 2 joints"),
        ('command = "q_cmd"', "no position of theirs"),
        ('position = "q"\nunits = {position = "degree"}', "unknown unit of position"),
        ('position = "q"\nunits = {position = "degrees"}', "did you mean 'deg'?; available: deg, m, mm, rad; or a"),
        ('position = "q"\nunits = {velocity = "degrees"}', "did you mean 'deg/s'?"),
        ('position = "q"\nunits = {position = "ms"}', "unknown unit of position"),
        ('position = "q"\nunits = {psition = "deg"}', "did you mean 'position'"),
        ('position = "q"\nunits = {angle = "deg"}', "command, orientation, position, time, torque, velocity"),
        ('position = "q', "is no TOML"),
        ('position = "q"\nunits = 3', "units is 3: give a table"),
        ('position = "q"\nunits = {position = 0}', "unit of position is 0"),
        ('position = "q"\nrate_hz = "fast"', "rate_hz is 'fast': give a positive number"),
        ('position = "q"\nrate_hz = -50', "rate_hz is -50"),
        ('position = "q"\nbody = {cube = 3}', "body.cube is 3: give a table"),
    ],
)
def test_a_wrong_description_is_named(tmp_path, text, message):
    write_npz(tmp_path / "run.npz", WIDE)
    path = describe(tmp_path / "log.toml", f'files = "run.npz"\ntime = "t"\njoints = ["shoulder", "elbow"]\n{text}\n')
    with pytest.raises(RoboticsError) as caught:
        read_logs(path, JOINTS)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("run.csv", "time,shoulder.position\n0,1\n0.1\n", "line 3: 1 values for 2 columns"),
        ("run.csv", "", "holds no samples"),
        ("run.csv", b"\x89PNG\xff\x00", "no CSV file"),
        ("run.csv", "time,shoulder.position\n0," + "1" * 200_000, "no CSV file"),
        ("run.csv", "time;shoulder.position\n0;1\n", "not separated by commas"),
        ("run.csv", "time,shoulder.position,shoulder.position\n0,1,2\n", "'shoulder.position' comes twice"),
        ("run.npz", "text", "no NumPy archive"),
        ("run.parquet", "text", "no Parquet file"),
        ("run.bag", "text", "logs are .csv, .parquet, .npz, .mcap"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as caught:
        read_logs(tmp_path / name, JOINTS)
    assert message in str(caught.value) and name in str(caught.value)


def test_a_pickle_is_never_loaded(tmp_path):
    np.savez(tmp_path / "run.npz", q=np.array([{"a": 1}], dtype=object), t=np.arange(1.0))
    with pytest.raises(DataError, match="plain arrays"):
        read_logs(tmp_path / "run.npz", JOINTS)


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match="no such log"):
        read_logs(tmp_path / "missing", JOINTS)
    with pytest.raises(DataError, match="no log there"):
        read_logs(tmp_path, JOINTS)


# -- whose log it is ----


def so101_log(position, joint="shoulder_pan", **channels):
    time = np.arange(len(position)) * 0.02
    return Log("run", time, {"position": {joint: position}, **{k: {joint: v} for k, v in channels.items()}}, {})


@pytest.fixture(scope="module")
def so101():
    return load_subject("so101")


WAVE = np.sin(np.arange(200) * 0.1)


def without_position(log: Log) -> Log:
    """Of the joint that moves; another one has one."""
    joints = {channel: dict(values) for channel, values in log.joints.items()}
    joints["position"] = {"elbow_flex": next(iter(joints["position"].values()))}
    return replace(log, joints=joints)


def test_a_plausible_log_passes(so101):
    require_plausible(so101, [so101_log(WAVE, velocity=np.gradient(WAVE, 0.02))])


@pytest.mark.parametrize(
    "log, message",
    [
        (so101_log(np.degrees(WAVE)), "look like degrees: describe the units"),
        (so101_log(2.6 + 0.1 * WAVE), "another robot, or other units?"),
        (
            so101_log(WAVE, command=np.degrees(WAVE)),
            "run: 'shoulder_pan.command' lies within -57.3 … 57.27, the joint of so101 within -1.92 … 1.92 rad or m: "
            'these look like degrees: describe the units in a TOML file: units = {command = "deg"}',
        ),
        (so101_log(WAVE, command=WAVE), "the positions of shoulder_pan are copies of their commands, so that nothing"),
        (so101_log(WAVE, command=np.roll(WAVE, -1)), "copies of their commands"),
        (so101_log(WAVE, joint="shoulder_pann"), "did you mean 'shoulder_pan'"),
        (so101_log(WAVE, velocity=np.degrees(np.gradient(WAVE, 0.02))), "57.3 times what its position says"),
        (so101_log(WAVE, velocity=-np.gradient(WAVE, 0.02)), "check units or sign"),
        (without_position(so101_log(WAVE, velocity=np.gradient(WAVE, 0.02))), "a velocity but no position"),
    ],
)
def test_another_robot_or_other_units(so101, log, message):
    with pytest.raises(DataError) as caught:
        require_plausible(so101, [log])
    assert message in str(caught.value)


def test_a_joint_that_rests_where_it_is_told_to_is_no_copy(so101):
    require_plausible(so101, [so101_log(0.3 + 0 * WAVE, command=0.3 + 0 * WAVE)])


def test_the_help_lists_all_keys_and_units_of_a_description(capsys):
    assert main(["sysid", "--help"]) == 0
    text = capsys.readouterr().out
    for word in {*_FIELDS, *UNITS, *(unit for units in UNITS.values() for unit in units)}:
        assert word in text, word


def test_the_recorded_layout_of_the_so101_needs_no_description(tmp_path, so101):
    q = np.random.default_rng(0).uniform(0, 0.1, (20, 6))
    write_npz(tmp_path / "run.npz", {"t": WIDE["t"], "t_cmd": WIDE["t"], "q_cmd": q, "q": q, "tau_est": q})
    (log,) = read_logs(tmp_path, so101.joints)
    assert list(log.joints["position"]) == ["shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll"]
    np.testing.assert_array_equal(log.joints["command"]["wrist_roll"], q[:, 4])


def test_a_bad_log_leaves_nothing_behind(tmp_path, capsys):
    write_npz(tmp_path / "good.npz", {"t": WIDE["t"], "q": np.zeros((20, 6)), "q_cmd": np.zeros((20, 6))})
    write_npz(tmp_path / "worse.npz", {"t": WIDE["t"][::-1], "q": np.zeros((20, 6)), "q_cmd": np.zeros((20, 6))})
    out = tmp_path / "out"
    assert main(["sysid", "--robot", "so101", "--log", str(tmp_path), "--out", str(out)]) == 1
    assert "error: worse: time does not increase at sample 1" in capsys.readouterr().err
    assert not out.exists()


# -- lost measurements ------------------------------------------------------------------------------------------------

STEP = 2 * np.pi / 4096


def moving(noise: float = 0.0, step: float = 0.0, speed: float = 1.0) -> np.ndarray:
    """(T, 2) joints at 50 Hz that swing, one of which rests between 4 and 6 s."""
    time = np.arange(500) / 50
    position = np.stack(
        [np.sin(speed * time), 0.5 * np.sin(speed * np.where(time < 6, np.minimum(time, 4), time - 2))], 1
    )
    position += np.random.default_rng(0).normal(0, noise, position.shape)
    return np.round(position / step) * step if step else position


def log_of(position: np.ndarray) -> Log:
    joints = dict(zip("ab", position.T, strict=True))
    return Log("one", np.arange(len(position)) / 50, {"position": joints, "command": joints}, {})


@pytest.mark.parametrize("how", [{}, {"noise": 1e-3}, {"noise": 1e-3, "step": STEP}, {"step": STEP, "speed": 4.0}])
def test_lost_measurements_are_found(how):
    position, gone = moving(**how), np.random.default_rng(1).random(500) < 0.15
    gone[[0, -1]] = False  # before the first is nothing, and what came after the last is not known
    for sample in np.flatnonzero(gone):
        position[sample] = position[sample - 1]
    found = lost(log_of(position))
    assert (found == gone).mean() > 0.99 and found.sum() == pytest.approx(gone.sum(), abs=3)


@pytest.mark.parametrize("how", [{"step": STEP, "speed": 0.02}, {"step": STEP, "speed": 0.2}, {"step": 0.01}])
def test_slow_joints_that_read_the_same_lost_nothing(how):
    position = moving(**how)
    assert (np.diff(position, axis=0) == 0).all(axis=1).sum() > 40
    assert not lost(log_of(position)).any()


def test_rest_before_a_start_is_not_lost():
    position = np.concatenate([np.zeros((40, 2)), moving()])
    assert not lost(log_of(position)).any()


def test_commands_between_kept_measurements_are_known():
    position = moving()
    position[[100, 101, 102, 103, 104, 105, 106]] = position[99]
    log = log_of(position)
    kept = without_lost(log)
    assert len(kept.time) == len(log.time) - 7  # a gap of 0.16 s, which a log without its commands must not have
    np.testing.assert_array_equal(kept.commands().joints["a"], log.joints["command"]["a"])
    piece = kept.between(90, 110)
    assert piece.commands().time[-1] == piece.time[-1] and len(piece.time) == 20
    assert without_lost(kept) is kept
