"""How fast the joints and free bodies of a log were at every sample, from where they were around it.

Replay begins in a measured state, and an error of its speed grows with every step. Logged speeds are too rough for
that: those of a servo are noisy, and many logs hold plain differences, which are half a sample late. A free body hits
things, over which nothing can be smoothed: its logged speeds are believed, once they are in time.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import mujoco
import numpy as np

from robotics.sim2real.logs import Log

Array = np.ndarray

#: The channel that holds them.
SPEED = "speed"
#: A cubic is laid through the positions from this long before a sample to as long after it [s], and through two on
#: either side at least: enough to average an encoder's steps out, short beside what a motor changes.
HALF_S, FEWEST = 0.03, 2
DEGREE, END_DEGREE = 3, 2


def with_speeds(log: Log, timestep: float = 0.0) -> Log:
    """The log with a channel of smoothed speeds [rad/s or m/s] for each joint that has positions, and with velocities
    [m/s, and rad/s in its own frame] of each free body, of which late ones are moved to their samples; to half a
    `timestep` [s] before them, since a simulation that is to begin with them has velocities that are as late as that.

    Towards the ends, where fewer samples are on one side, the window shrinks; the outermost two samples on either side
    have the slope of a parabola through the samples within.
    """
    half = max(FEWEST, round(HALF_S / log.period_s))
    speeds = {joint: _speed(log.time, values, half) for joint, values in log.joints.get("position", {}).items()}
    ahead = max(0.0, 0.5 * (1 - timestep / log.period_s))
    bodies = {body: _with_twist(log.time, channels, ahead) for body, channels in log.bodies.items()}
    return replace(log, joints={**log.joints, SPEED: speeds}, bodies=bodies)


def _with_twist(time: Array, channels: Mapping[str, Array], ahead: float) -> dict[str, Array]:
    found, steps = dict(channels), np.diff(time)[:, None]
    if "position" in channels:
        if "velocity" in channels:
            found["velocity"] = _in_time(channels["velocity"], np.diff(channels["position"], axis=0) / steps, ahead)
        else:
            found["velocity"] = np.stack([_speed(time, axis, FEWEST) for axis in channels["position"].T], axis=-1)
    if "orientation" in channels:
        turning = _turned(channels["orientation"]) / steps
        around = (np.vstack([turning[:1], turning]) + np.vstack([turning, turning[-1:]])) / 2
        logged = channels.get("angular_velocity")
        found["angular_velocity"] = around if logged is None else _in_time(logged, turning, ahead)
    return found


def _in_time(logged: Array, differences: Array, ahead: float) -> Array:
    """Logged speeds (T, 3), or those `ahead` samples later where they are as late as plain differences: nearer to the
    `differences` (T − 1, 3) up to each sample than to those around it.
    """
    inner, before, around = logged[1:-1], differences[:-1], (differences[:-1] + differences[1:]) / 2
    late = ((inner - before) ** 2).sum() < ((inner - around) ** 2).sum()
    return np.vstack([(1 - ahead) * logged[:-1] + ahead * logged[1:], logged[-1:]]) if late else logged


def _turned(orientation: Array) -> Array:
    """Rotation from each sample to the next, in the frame of the body [rad] (T − 1, 3)."""
    turned = np.empty((len(orientation) - 1, 3))
    for row, (before, after) in enumerate(pairwise(orientation)):
        mujoco.mju_subQuat(turned[row], after, before)
    return turned


def _speed(time: Array, position: Array, half: int) -> Array:
    found, count = np.empty(len(time)), len(time)
    inner = np.arange(half, count - half)
    if len(inner):
        found[inner] = _central(time, position, inner, half)
    width = min(max(2 * FEWEST + 1, half + 1), count)
    for k in sorted({*range(count)} - {*inner.tolist()}):
        reach = min(k, count - 1 - k)
        if reach >= FEWEST:
            window, degree = slice(k - reach, k + reach + 1), DEGREE
        else:
            first = 0 if k < count / 2 else count - width
            window, degree = slice(first, first + width), min(END_DEGREE, width - 1)
        found[k] = np.polyfit(time[window] - time[k], position[window], degree)[-2]
    return found


def _central(time: Array, position: Array, at: Array, half: int) -> Array:
    """Slopes of cubics through `half` samples on either side of each of `at`, all together."""
    around = at[:, None] + np.arange(-half, half + 1)
    lag = time[around] - time[at][:, None]
    size = np.abs(lag).max()
    powers = np.stack([(lag / size) ** degree for degree in range(DEGREE + 1)], axis=-1)
    normal = np.einsum("nki,nkj->nij", powers, powers)
    right = np.einsum("nki,nk->ni", powers, position[around] - position[at][:, None])
    return np.linalg.solve(normal, right[..., None])[:, 1, 0] / size
