"""A controller alone, without any policy: how well it tracks, how fast it is, what went wrong."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robotics.control.circle import FOLLOWED
from robotics.control.session import Session
from robotics.control.trial import Trial, option
from robotics.envs.base import UNSTABLE
from robotics.envs.rendering import Camera
from robotics.errors import UsageError
from robotics.media.caption import Caption
from robotics.media.develop import develop
from robotics.media.spool import FrameSpool
from robotics.outputs import require_writable
from robotics.progress import progress
from robotics.versions import versions

VIDEO_HZ, VIDEO_SIZE = 50, (480, 640)
#: Parts of a controller whose times every document has.
PARTS = ("mpc", "wbc", "tick")
#: A run whose controller fell back on something safe for more of its ticks than this did not go well.
GIVEN_UP = 0.05


def run_trial(trial: Trial, video: Path | None = None, session: Session | None = None) -> dict[str, Any]:
    """Run `trial` and return the document of `robotics control --json`; with `video`, film it.

    Velocities and tracking errors are measured from two seconds on, when commands have been ramped up, or over the
    second half of a shorter trial. `session` is one for this trial that has been set up otherwise than usual.
    """
    if video is not None:
        require_writable(video.parent)
    session = session or trial.controlled.start(trial)
    if round(trial.seconds / session.period_s) < 1:
        raise UsageError(f"--seconds {trial.seconds:g}: one tick of {trial.robot} takes {session.period_s:g} s")
    with FrameSpool() as frames:
        outcome = _loop(trial, session, frames if video else None)
        if video is not None:
            develop(frames, _caption(trial, session, outcome), VIDEO_HZ, 1.0, video)
    return _document(trial, session, outcome)


@dataclass
class _Outcome:
    fell: bool = False
    simulated_s: float = 0.0
    wall_s: float = 0.0


def _loop(trial: Trial, session: Session, frames: FrameSpool | None) -> _Outcome:
    outcome, period = _Outcome(), session.period_s
    camera = Camera(session.model, VIDEO_SIZE, fast=False) if frames is not None else None
    per_frame = max(1, round(1 / VIDEO_HZ / period))
    with progress("control", trial.seconds, "s") as bar:
        for tick in range(round(trial.seconds / period)):
            started = time.perf_counter()
            session.tick()
            outcome.wall_s += time.perf_counter() - started
            outcome.simulated_s += period
            bar.advance(period)
            if camera is not None and frames is not None and tick % per_frame == 0:
                frames.append(camera.image(session.data, session.camera, session.draw))
            if session.fell() or _diverged(session):
                outcome.fell = True
                bar.finish_early()
                break
    if camera is not None:
        camera.close()
    return outcome


def _diverged(session: Session) -> bool:
    """Whether MuJoCo found numbers that are none, or too large, and began anew from the model's start."""
    return bool(session.data.warning.number[UNSTABLE].any())


def _document(trial: Trial, session: Session, outcome: _Outcome) -> dict[str, Any]:
    twist = trial.twist
    return {
        "schema": 1,
        "robot": trial.robot,
        "task": trial.task,
        "command": [twist.vx, twist.vy, twist.wz],
        "state": trial.state,
        "conditions": vars(trial.conditions),
        "seconds": round(outcome.simulated_s, 3),
        "seed": trial.seed,
        "fell": outcome.fell,
        **session.results(),
        "limits_exceeded": session.limits_exceeded,
        "timing_ms": _timing(session),
        "missed_deadlines": int((np.array(session.timing_ms["tick"]) > session.period_s * 1e3).sum()),
        "realtime_factor": outcome.simulated_s / outcome.wall_s,
        "faults": session.faults(),
        "versions": versions(),
    }


def _timing(session: Session) -> dict[str, dict[str, float]]:
    """By part of the controller; `PARTS` are always there, and a part that a controller has not takes no time."""
    measured = {**{part: [0.0] for part in PARTS}, **session.timing_ms}
    return {name: _percentiles(values) for name, values in sorted(measured.items())}


def _percentiles(values: list[float]) -> dict[str, float]:
    p50, p99 = np.percentile(values, [50, 99])
    return {"p50": round(float(p50), 4), "p99": round(float(p99), 4), "max": round(max(values), 4)}


def _asked(trial: Trial) -> str:
    """The conditions that were asked for, behind what else a caption says."""
    given, units = trial.conditions.changed() - {"push_at_s", "push_towards"}, {"push": "N s", "payload": "kg"}
    units |= {"slope": "rad", "delay_s": "s"}
    said = [(name, getattr(trial.conditions, name)) for name in sorted(given)]
    return "".join(f" · {option(name)} {value} {units.get(name, '')}".rstrip() for name, value in said)


def _caption(trial: Trial, session: Session, outcome: _Outcome) -> Caption:
    title, t = f"{trial.robot}: {trial.task}", trial.twist
    moving = f"vx {t.vx:g} m/s, vy {t.vy:g} m/s, wz {t.wz:g} rad/s · "
    moves = trial.task in trial.controlled.moving_tasks
    detail = f"{moving if moves else ''}seed {trial.seed}{_asked(trial)}"
    if outcome.fell:
        return Caption(title, detail, f"failed after {outcome.simulated_s:.1f} s", False)
    results = session.results()
    circle, targets = results.get("circle", {}), results.get("targets", {})
    if circle.get("off", 0.0) > FOLLOWED:
        return Caption(title, detail, f"off its circle by {circle['off']:.0%} of the radius", False)
    if targets.get("missed_m"):
        met = targets["given"] - len(targets["missed_m"])
        return Caption(title, detail, f"{met} of {targets['given']} targets met in {outcome.simulated_s:.1f} s", False)
    given_up = session.faults().get("fallback_ticks", 0) / len(session.timing_ms["tick"])
    if given_up > GIVEN_UP:
        return Caption(title, detail, f"no solution in {given_up:.0%} of {outcome.simulated_s:.1f} s", False)
    return Caption(title, detail, f"went well for {outcome.simulated_s:.1f} s", True)
