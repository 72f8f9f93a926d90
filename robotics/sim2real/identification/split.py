"""Which motions are fitted and which only judge, and the pieces of the fitted ones."""

from collections.abc import Sequence

import numpy as np

from robotics.errors import UsageError, unknown_name
from robotics.sim2real.logs import Log

#: Part of the motions that judges, and of the samples where there is only one motion.
HELD_OUT = 0.3


def split(logs: Sequence[Log], seed: int, held_out: Sequence[str] | None = None) -> tuple[list[Log], list[Log]]:
    """(fitted, held out) motions: the named ones, or three in ten drawn by `seed`; the last part of a single motion.

    Raises UsageError for a name that does not exist, and when nothing would be left to fit.
    """
    names = [log.name for log in logs]
    if held_out is not None:
        for name in held_out:
            if name not in names:
                raise unknown_name("motion to hold out", name, names)
        chosen = set(held_out)
    elif len(logs) == 1:
        cut = round((1 - HELD_OUT) * len(logs[0].time))
        if min(cut, len(logs[0].time) - cut) < 2:
            raise UsageError(f"{names[0]}: {len(logs[0].time)} samples are too few to fit some and judge by the others")
        return [logs[0].between(0, cut)], [logs[0].between(cut, len(logs[0].time))]
    else:
        count = max(1, round(HELD_OUT * len(logs)))
        chosen = {names[i] for i in np.random.default_rng(seed).choice(len(logs), count, replace=False)}
    fitted = [log for log in logs if log.name not in chosen]
    if not fitted or not chosen:
        raise UsageError(f"{len(chosen)} of {len(logs)} motions held out: some must be fitted, and some must judge")
    return fitted, [log for log in logs if log.name in chosen]


def pieces(logs: Sequence[Log], seconds: float) -> list[Log]:
    """The logs in pieces of about this length; a shorter one is left whole, a rest below half a piece is dropped."""
    found = []
    for log in logs:
        size = max(2, round(seconds / log.period_s))
        starts = range(0, max(1, len(log.time) - size // 2), size)
        found += [log.between(start, min(start + size + 1, len(log.time))) for start in starts]
    return found


def within_budget(windows: Sequence[Log], seconds: float) -> list[Log]:
    """Windows of together about `seconds`: in turn for each joint those in which it moves most."""
    total = sum(log.duration_s for log in windows)
    if total <= seconds:
        return list(windows)
    if not windows[0].joints.get("position"):  # free bodies: no joint to be excited
        count = max(1, int(len(windows) * seconds / total))
        return [windows[i] for i in np.linspace(0, len(windows) - 1, count).round().astype(int)]
    joints = list(windows[0].joints["position"])
    moved = np.array([[np.abs(np.diff(log.joints["position"][j])).mean() for j in joints] for log in windows])
    chosen: list[int] = []
    for turn in range(len(windows)):
        if sum(windows[i].duration_s for i in chosen) >= seconds:
            break
        order = np.argsort(-moved[:, turn % len(joints)])
        chosen.append(next(int(i) for i in order if i not in chosen))
    return [windows[i] for i in sorted(chosen)]
