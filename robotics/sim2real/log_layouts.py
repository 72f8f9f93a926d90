"""What a log without a description means: the names of its columns say it, or it has a layout known here."""

from collections.abc import Mapping, Sequence

import numpy as np

from robotics.errors import DataError
from robotics.sim2real.log_tables import Table
from robotics.sim2real.logs import BODY_CHANNELS, CHANNELS

Array = np.ndarray

TIME = ("time", "t", "timestamp", "time[s]", "time_s")
#: Channel -> names of a column with one number per joint of the robot, in the model's order, or of numbered columns
#: (`pos_meas1`, `pos_meas2`, …; `pos_1`, …). The first that is there counts.
COLUMNS = {
    "command": ("q_cmd", "command", "action", "ctrl", "tau_con"),
    "position": ("q", "position", "qpos", "observation.state", "pos_meas", "pos"),
    "velocity": ("qvel", "velocity", "qd", "dq", "vel_meas", "vel"),
    "torque": ("torque", "tau", "effort", "tau_meas"),
}
#: Of a free body; `state` is all of them in this order.
BODY_COLUMNS = {
    "position": ("position", "pos"),
    "orientation": ("orientation", "quaternion", "quat"),
    "velocity": ("velocity", "linear_velocity"),
    "angular_velocity": ("angular_velocity", "omega"),
}
#: The six values that github.com/isaac-sim2real/sage records of an SO-101; the jaw is a part of its way, not an angle.
SAGE_SO101 = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "")


def undescribed_joints(table: Table, joints: Sequence[str]) -> dict[str, dict[str, Array]]:
    """Channel -> {joint: values} of columns `<joint>.<channel>`, or of columns of all joints.

    Raises DataError naming the columns and the description to write when there is neither, and for one of them that
    can not be read: without it the rest would be of another motion.
    """
    named = {
        channel: {joint: table.column(f"{joint}.{channel}") for joint in joints if table.holds(f"{joint}.{channel}")}
        for channel in CHANNELS
    }
    if named["position"]:
        return {channel: group for channel, group in named.items() if group}
    names = _names(table, joints)
    wide = {channel: _wide(table, COLUMNS[channel], len(names)) for channel in CHANNELS}
    if wide["position"] is None:
        raise DataError(_describe(table, joints))
    return {
        channel: {name: values[:, i] for i, name in enumerate(names) if name}
        for channel, values in wide.items()
        if values is not None
    }


def undescribed_body(table: Table, body: str) -> dict[str, Array]:
    """Channel -> (T, 3 or 4) of the only free body. DataError when its position is not there."""
    state = table.column("state") if table.holds("state") else None
    if state is not None and state.ndim == 2 and state.shape[1] == sum(BODY_CHANNELS.values()):
        edges = np.cumsum(list(BODY_CHANNELS.values()))[:-1]
        return dict(zip(BODY_CHANNELS, np.split(state, edges, axis=1), strict=True))
    found = {channel: _wide(table, BODY_COLUMNS[channel], width) for channel, width in BODY_CHANNELS.items()}
    if found["position"] is None:
        raise DataError(
            f"{table.name}: no position of {body} in its columns {_columns(table)}; describe them in a TOML file: "
            f'[body.{body}] position = "…", orientation = "…"'
        )
    return {channel: values for channel, values in found.items() if values is not None}


def undescribed_time(table: Table) -> Array:
    """(T,) [s]. DataError when no column is named after the time."""
    for name in TIME:
        if table.holds(name):
            return table.column(name)
    raise DataError(
        f"{table.name}: no column 'time'; its columns are {_columns(table)}; describe it in a TOML file: "
        'time = "…", or rate_hz = …'
    )


def _names(table: Table, joints: Sequence[str]) -> Sequence[str]:
    q = table.columns.get("q")
    six = q is not None and q.ndim == 2 and q.shape[1] == len(SAGE_SO101)
    sage = six and "q_cmd" in table.columns and set(SAGE_SO101) - {""} <= set(joints)
    return SAGE_SO101 if sage else joints


def _wide(table: Table, names: Sequence[str], width: int) -> Array | None:
    """(T, width) of the first of these columns that is there, whole or numbered from 1 or 0; None for no width."""
    if not width:
        return None
    for name in names:
        values = table.column(name) if table.holds(name) else None
        if values is not None and (values.shape[1:] == (width,) or (width == 1 and values.ndim == 1)):
            return values.reshape(len(values), -1)
        for first in (1, 0):
            for pattern in ("{}{}", "{}_{}"):
                parts = [pattern.format(name, first + i) for i in range(width)]
                if all(table.holds(part) for part in parts):
                    return np.stack([table.column(part) for part in parts], axis=-1)
    return None


def _describe(table: Table, joints: Sequence[str]) -> str:
    return (
        f"{table.name}: no column '{joints[0] if joints else 'joint'}.position' or of another joint of this robot "
        f"({', '.join(joints)}), nor one of all joints; its columns are {_columns(table)}; describe them in a TOML "
        f'file: files = "…", time = "…", joints = ["…"], command = "…", position = "…"'
    )


def _columns(table: Table) -> str:
    def width(values: Array) -> str:
        return f" ({values.shape[1]} numbers)" if values.ndim == 2 else ""

    shown: Mapping[str, Array] = table.columns
    unreadable = [f"{name} (unreadable)" for name in table.unreadable]
    return ", ".join([*(f"{name}{width(values)}" for name, values in shown.items()), *unreadable])
