"""Measurements that a robot loses: its controller goes on with the last one, and so does its log."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np

from robotics.evaluation.statistics import wilson
from robotics.sim2real.logs import Log

Array = np.ndarray

#: More repeats in a row than this are rest, or an outage, of which nothing tells.
MOST_IN_A_ROW = 10
#: So many steps of an encoder at once are a jump. What has read the same moves by less than one step a sample.
JUMP_STEPS = 2.5


def lost(log: Log) -> Array:
    """Which samples (T,) repeat the one before because no measurement came: everything reads the same, then jumps.

    A robot that rests repeats itself too, but it starts slowly.
    """
    channels = [v for name, group in log.joints.items() if name != "command" for v in group.values()]
    channels += [axis for group in log.bodies.values() for v in group.values() for axis in v.T]
    steps = np.abs(np.diff(np.array(channels), axis=1))
    finest = np.where(steps > 0, steps, np.inf).min(axis=1)
    jumps = (steps > JUMP_STEPS * finest[:, None]).any(axis=0)
    found, at = np.zeros(len(log.time), bool), 0
    for repeats, run in groupby((steps == 0).all(axis=0).tolist()):
        end = at + len(list(run))
        found[at + 1 : end + 1] = repeats and end - at <= MOST_IN_A_ROW and end < len(jumps) and jumps[end]
        at = end
    return found


def without_lost(log: Log) -> Log:
    """The log without them, with all its commands."""
    gone = lost(log)
    return log.where(~gone) if gone.any() else log


def measured_dropout(logs: Sequence[Log]) -> dict[str, Any]:
    """The share of lost measurements in logs, as a parameter of sysid.json is written."""
    gone, seen = sum(int(lost(log).sum()) for log in logs), sum(len(log.time) - 1 for log in logs)
    share = gone / seen if seen else 0.0
    return {"value": share, "ci95": list(wilson(gone, seen)), "nominal": 0.0, "identifiable": seen > 0}
