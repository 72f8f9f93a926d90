"""Which motions are fitted and which only judge, and the pieces of the fitted ones."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from robotics.errors import UsageError, unknown_name
from robotics.sim2real.logs import Log

#: Part of the motions that judges, and of the samples where there is only one motion.
HELD_OUT = 0.3
#: Motions that judge if as many are left to fit: Student's interval of two is over five times as wide as that of four.
JUDGES = 4
#: Pieces are not made shorter than this [s] to take some of every motion.
SHORTEST_S = 5.0


def split(logs: Sequence[Log], seed: int, held_out: Sequence[str] | None = None) -> tuple[list[Log], list[Log]]:
    """(fitted, held out) motions: the named ones, or three in ten drawn by `seed`, or half up to `JUDGES` if that is
    more; the last part of a single motion.

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
        count = max(min(JUDGES, len(logs) // 2), round(HELD_OUT * len(logs)))
        chosen = {names[i] for i in np.random.default_rng(seed).choice(len(logs), count, replace=False)}
    fitted = [log for log in logs if log.name not in chosen]
    if not fitted or not chosen:
        raise UsageError(f"{len(chosen)} of {len(logs)} motions held out: some must be fitted, and some must judge")
    return fitted, [log for log in logs if log.name in chosen]


def pieces(logs: Sequence[Log], seconds: float) -> list[Log]:
    """The logs in equal pieces of about this length; a shorter one is left whole."""
    found = []
    for log in logs:
        count = min(max(1, round(log.duration_s / seconds)), len(log.time) // 2)
        edges = np.linspace(0, len(log.time) - 1, count + 1).round().astype(int)
        found += [log.between(start, stop + 1) for start, stop in pairwise(edges.tolist())]
    return found


def within_budget(logs: Sequence[Log], length_s: float, seconds: float) -> list[Log]:
    """Pieces of at most this length and together about `seconds`: in turn from every motion, the liveliest first.

    Many motions a little tell more about a robot than a few of them at length.
    """
    count = max(1, int(seconds / min(length_s, SHORTEST_S, *(log.duration_s for log in logs))))
    if len(logs) > count:
        logs = [logs[i] for i in np.linspace(0, len(logs) - 1, count).round().astype(int)]
    length_s = min(length_s, max(SHORTEST_S, seconds / len(logs)))
    queues = [sorted(pieces([log], length_s), key=_liveliness, reverse=True) for log in logs]
    chosen: list[Log] = []
    while any(queues):
        for queue in filter(None, queues):
            chosen.append(queue.pop(0))
            seconds -= chosen[-1].duration_s
            if seconds <= 0:
                return chosen
    return chosen


def _liveliness(log: Log) -> float:
    """How much the joints move; several a little count more than one a lot."""
    moved = np.array([np.abs(np.diff(q)).mean() for q in log.joints.get("position", {}).values()])
    return float(np.sqrt(moved).sum()) if len(moved) else 0.0
