"""Columns of an MCAP recording of JSON messages."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from robotics.errors import DataError, RoboticsError
from robotics.sim2real.log_numbers import Columns


def read_mcap(path: Path) -> Columns:
    """One column per topic and numeric field, `<topic>.<field>`, and the time that messages were logged at as `time`.

    It begins when every one of them has been heard: what was commanded before, nobody knows.

    Raises DataError for messages that are not JSON objects, and for a recording without numbers.
    """
    heard, columns = _messages(path), Columns()
    for name, (_, said) in heard.items():
        columns.add_list(name, said, [f"message {number}" for number in range(1, len(said) + 1)])
    if not columns.numbers:
        bad = "".join(f"; {name} is {reason}" for name, reason in columns.unreadable.items())
        raise DataError(f"{path}: holds no numeric message{bad}")
    times = {name: np.array(heard[name][0]) for name in columns.numbers}
    last = max(times, key=lambda name: times[name][0])
    time = max(times.values(), key=len)
    time = time[time >= times[last][0]]
    if len(time) < 2:
        raise DataError(f"{path}: '{last}' is first heard when the recording ends; leave its topic out")
    for name, values in columns.numbers.items():
        columns.numbers[name] = values[np.searchsorted(times[name], time, side="right") - 1]  # known at that time
    return Columns({"time": time - time[0], **columns.numbers}, columns.unreadable)


def _messages(path: Path) -> dict[str, tuple[list[float], list[Any]]]:
    """`<topic>.<field>` -> when [s] it was heard, and what: numbers or lists; of what is neither, nothing is kept."""
    try:
        from mcap.exceptions import McapError
        from mcap.reader import make_reader
    except ImportError:
        raise RoboticsError(f"{path}: reading MCAP needs the extra 'mcap': pip install 'robotics[mcap]'") from None
    found: dict[str, tuple[list[float], list[Any]]] = {}
    try:
        with open(path, "rb") as file:
            for _, channel, message in make_reader(file).iter_messages():
                if channel.message_encoding != "json":
                    kind = channel.message_encoding
                    raise DataError(f"{path}: topic {channel.topic} is encoded as '{kind}', not json")
                fields = json.loads(message.data)
                if not isinstance(fields, dict):
                    raise DataError(f"{path}: a message of topic {channel.topic} is no object with named fields")
                for name, value in fields.items():
                    if isinstance(value, (int, float, list)):
                        times, values = found.setdefault(f"{channel.topic.strip('/')}.{name}", ([], []))
                        times.append(message.log_time * 1e-9)
                        values.append(value)
    except (McapError, ValueError) as error:
        raise DataError(f"{path}: no MCAP recording of JSON messages ({error})") from None
    return found
