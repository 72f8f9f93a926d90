"""Logs from files: CSV, Parquet, NumPy archives, LeRobot datasets and MCAP, described by a small TOML where needed.

A log description::

    files = "*.npz"                    # relative to this file; or one file, or the folder of a LeRobot dataset
    time = "t"                         # column with the time; or rate_hz = 50
    joints = ["pan", "lift", "elbow"]  # joints of the robot, in the order of the columns; "" skips a column
    command = "q_cmd"                  # one column of many numbers, or one column per joint: ["pan_cmd", …]
    position = "q"
    velocity = "qvel"                  # optional, as is torque
    units = {time = "us", position = "deg", command = "deg", velocity = 0.01}   # a number: what one is in SI units
    lengths = "length"                 # column with the number of samples of each motion, where a file holds many

    [body.cube]                        # a free body, instead of or beside joints
    position = "xyz"                   # three numbers; orientation four (wxyz), velocity and angular_velocity three

Without a description the columns carry the joints' names: `time` (or `t`), `<joint>.position`, `<joint>.command`,
`<joint>.velocity`, `<joint>.torque`, in SI units; or hold all joints, under one of the names in `log_layouts`.
`column[3]` takes one number of a column of many, `column[0:3]` some.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robotics.errors import DataError, UsageError, unknown_name
from robotics.sim2real.log_layouts import undescribed_body, undescribed_joints, undescribed_time
from robotics.sim2real.log_tables import Table, read_tables
from robotics.sim2real.logs import BODY_CHANNELS, CHANNELS, Log

Array = np.ndarray

_PLACE = {"rad": 1.0, "deg": np.pi / 180, "m": 1.0, "mm": 1e-3}
_SPEED = {"rad/s": 1.0, "deg/s": np.pi / 180, "rpm": 2 * np.pi / 60, "m/s": 1.0}
_EFFORT = {"N m": 1.0, "N mm": 1e-3, "N": 1.0}
#: What has a unit -> its units -> what they are in SI units. Channels of joints and of bodies share a name and a unit.
UNITS: dict[str, dict[str, float]] = {
    "time": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9},
    "command": _PLACE | _EFFORT,
    "position": _PLACE,
    "velocity": _SPEED,
    "torque": _EFFORT,
    "orientation": {},
    "angular_velocity": _SPEED,
}
_FIELDS = ("files", "time", "rate_hz", "lengths", "joints", *CHANNELS, "units", "body")


def read_logs(path: Path | str, joints: Sequence[str], body: str | None = None) -> list[Log]:
    """The motions in `path`: a description (.toml), a log file, or a folder of log files.

    `joints` are the robot's, in the order of its model, and `body` is the free body of something without joints: that
    is what columns without a description are searched for.

    Raises DataError or UsageError naming the file and what is wrong with it; nothing is half imported.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such log")
    if path.suffix == ".toml":
        description, root = _description(path), path.parent
        where = root / str(description.get("files", "."))
    else:
        description, where = {}, path
    tables = read_tables(where)
    if not tables:
        raise DataError(f"{where}: no log there; logs are .csv, .parquet, .npz, .mcap or a LeRobot dataset")
    motions = [motion for table in tables for motion in _split(table, description.get("lengths"))]
    return [_log(motion, description, joints, body) for motion in motions]


def _description(path: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no TOML: {error}") from None
    for field in document:
        if field not in _FIELDS:
            raise unknown_name(f"field of {path}", field, _FIELDS)
    _require_kinds(path, document)
    for name, unit in document.get("units", {}).items():
        if name not in UNITS:
            raise unknown_name(f"channel in units of {path}", name, UNITS)
        if not isinstance(unit, (int, float)) and str(unit) not in UNITS[name]:
            cure = "or a number: what one is in SI units"
            raise unknown_name(f"unit of {name} in {path}", str(unit), UNITS[name], cure)
        if isinstance(unit, (int, float)) and (unit == 0 or not np.isfinite(unit)):
            raise UsageError(f"{path}: unit of {name} is {unit}: give what one is in SI units")
    for body, channels in document.get("body", {}).items():
        for channel in channels:
            if channel not in BODY_CHANNELS:
                raise unknown_name(f"channel of body {body} in {path}", channel, BODY_CHANNELS)
    return document


def _require_kinds(path: Path, document: Mapping[str, Any]) -> None:
    """Raise UsageError for a field that is not of the kind that the head of this file shows."""
    joints, rate = document.get("joints", []), document.get("rate_hz", 1.0)
    if not isinstance(joints, list) or not all(isinstance(name, str) for name in joints):
        raise UsageError(f"{path}: joints is {joints!r}: give a list of names")
    if not isinstance(rate, (int, float)) or not 0 < rate < np.inf:
        raise UsageError(f"{path}: rate_hz is {rate!r}: give a positive number")
    bodies = document.get("body", {})
    tables = {"units": document.get("units", {}), "body": bodies}
    tables |= {f"body.{name}": table for name, table in bodies.items()} if isinstance(bodies, dict) else {}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise UsageError(f"{path}: {name} is {table!r}: give a table")


def _split(table: Table, lengths: Any) -> list[Table]:
    """One table per motion of a file that holds many, one after another."""
    if lengths is None:
        return [table]
    counts = table.column(str(lengths)).astype(int)
    if (counts < 1).any() or counts.sum() != table.length:
        raise DataError(f"{table.name}: '{lengths}' adds up to {counts.sum()} samples, the columns hold {table.length}")
    edges = np.cumsum(counts)
    long = {name: values for name, values in table.columns.items() if len(values) == table.length}
    return [
        Table(
            f"{table.name}-{i:04d}",
            {name: values[stop - count : stop] for name, values in long.items()},
            table.unreadable,
        )
        for i, (count, stop) in enumerate(zip(counts, edges, strict=True))
    ]


def _log(table: Table, description: Mapping[str, Any], joints: Sequence[str], body: str | None) -> Log:
    units = description.get("units", {})
    scale = {channel: float(UNITS[channel].get(unit, unit)) for channel, unit in units.items()}
    named: Mapping[str, Mapping[str, Array]] = {}
    bodies: Mapping[str, Mapping[str, Array]] = {}
    if "joints" in description or "body" in description:
        named, bodies = _described(table, description), _bodies(table, description, scale)
    elif joints or body is None:
        named = undescribed_joints(table, joints)
    else:
        bodies = {body: undescribed_body(table, body)}
    scaled = {
        channel: {joint: values.astype(float) * scale.get(channel, 1.0) for joint, values in group.items()}
        for channel, group in named.items()
    }
    time = _time(table, description, scale.get("time", 1.0))
    return Log(table.name, time[:, 0] if time.shape[1:] == (1,) else time, scaled, bodies)


def _time(table: Table, description: Mapping[str, Any], scale: float) -> Array:
    """Seconds from the first sample, or as logged."""
    if "rate_hz" in description:
        return np.arange(table.length) / float(description["rate_hz"])
    if "time" in description:
        return table.column(str(description["time"])).astype(float) * scale
    return undescribed_time(table).astype(float) * scale


def _described(table: Table, description: Mapping[str, Any]) -> dict[str, dict[str, Array]]:
    names = [str(name) for name in description.get("joints", [])]
    found: dict[str, dict[str, Array]] = {}
    for channel in CHANNELS:
        if channel not in description:
            continue
        values = _select(table, description[channel])
        if values.shape[1] != len(names):
            raise DataError(
                f"{table.name}: {channel} has {values.shape[1]} columns, the description names {len(names)} joints"
            )
        found[channel] = {name: values[:, i].astype(float) for i, name in enumerate(names) if name}
    if names and "position" not in found:
        raise DataError(f"{table.name}: the description names joints, but no position of theirs")
    return found


def _bodies(table: Table, description: Mapping[str, Any], scale: Mapping[str, float]) -> dict[str, dict[str, Array]]:
    found: dict[str, dict[str, Array]] = {}
    for body, channels in description.get("body", {}).items():
        found[body] = {}
        for channel, source in channels.items():
            values = _select(table, source).astype(float)
            if values.shape[1] != BODY_CHANNELS[channel]:
                raise DataError(
                    f"{table.name}: {channel} of {body} takes {BODY_CHANNELS[channel]} numbers, not {values.shape[1]}"
                )
            found[body][channel] = values * scale.get(channel, 1.0)
    return found


def _select(table: Table, source: Any) -> Array:
    """(T, n) from a column, a column[i], a column[i:j], or a list of them."""
    parts = source if isinstance(source, list) else [source]
    return np.concatenate([_one(table, str(part)) for part in parts], axis=1)


def _one(table: Table, text: str) -> Array:
    if table.holds(text):
        values = table.column(text)
    else:
        match = re.fullmatch(r"(.+)\[(\d+)(?::(\d+))?\]", text)
        if not match:
            table.column(text)  # raises, with a did-you-mean
            raise AssertionError
        values, first = table.column(match[1]), int(match[2])
        last = int(match[3]) if match[3] else first + 1
        if values.ndim != 2 or last > values.shape[1]:
            width = values.shape[1] if values.ndim == 2 else 1
            raise DataError(f"{table.name}: '{text}' reaches beyond column '{match[1]}' of {width} numbers")
        values = values[:, first:last]
    return values.reshape(len(values), -1)
