"""How fast the joints of a log were at every sample, from where they were around it.

Replay begins in a measured state, and an error of its speed grows with every step. Logged speeds are too rough for
that: those of a servo are noisy, and many logs hold plain differences, which are half a sample late.
"""

from dataclasses import replace

import numpy as np

from robotics.sim2real.logs import Log

Array = np.ndarray

#: The channel that holds them.
SPEED = "speed"
#: A cubic is laid through the positions from this long before a sample to as long after it [s], and through two on
#: either side at least: enough to average an encoder's steps out, short beside what a motor changes.
HALF_S, FEWEST = 0.03, 2
DEGREE, END_DEGREE = 3, 2


def with_speeds(log: Log) -> Log:
    """The log with a channel of smoothed speeds [rad/s or m/s] for each joint that has positions.

    Towards the ends, where fewer samples are on one side, the window shrinks; the outermost two samples on either side
    have the slope of a parabola through the samples within.
    """
    half = max(FEWEST, round(HALF_S / log.period_s))
    speeds = {joint: _speed(log.time, values, half) for joint, values in log.joints.get("position", {}).items()}
    return replace(log, joints={**log.joints, SPEED: speeds})


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
