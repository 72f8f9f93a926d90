"""`robotics control`: a controller alone, with its timing table."""

import json
from dataclasses import dataclass
from math import radians
from pathlib import Path
from typing import Any, Literal

from robotics.errors import RoboticsError, UsageError
from robotics.outputs import refuse_existing


@dataclass(frozen=True)
class Options:
    """A controller alone: how well it tracks, how fast it is, what went wrong."""

    robot: str
    """Which robot: see `robotics list robots`; or a robot file of your own (.toml), or menagerie:NAME."""
    task: str
    """What it shall do: stand, trot, walk … depending on the robot."""
    vx: float = 0.0
    """Forward velocity [m/s]."""
    vy: float = 0.0
    """Velocity to the left [m/s]."""
    wz: float = 0.0
    """Turning rate, left [rad/s]."""
    seconds: float = 5.0
    """Simulated time [s]."""
    push: float = 0.0
    """Impulse on the base after 2 s, over 0.1 s [N s]."""
    push_towards: float = 90.0
    """Direction of the push, from straight ahead to the left [degrees]."""
    payload: float = 0.0
    """Mass that the robot carries and the controller does not know [kg]."""
    friction: float | None = None
    """Of what touches the ground, in place of the robot's own."""
    slope: float = 0.0
    """Rise of the ground ahead [degrees]."""
    terrain: Literal["flat", "boxes", "stairs"] = "flat"
    """Scattered boxes of up to 3.5 cm, or stairs of 8 cm."""
    delay: float = 0.0
    """Age of the torques that reach the motors [ms], to the nearest 2 ms."""
    state: Literal["estimated", "truth"] = "estimated"
    """What the controller sees: an estimate from the robot's own sensors, or the simulator's truth."""
    seed: int = 0
    """Of the initial joint positions."""
    solver: str = "daqp"
    """daqp, piqp, or cvxpy (the readable reference, slow)."""
    video: Path | None = None
    """Film the trial into this .mp4."""
    overwrite: bool = False
    """Replace --video."""
    json: bool = False
    """Print one JSON document."""


def run(options: Options) -> None:
    from robotics.control.run import run_trial
    from robotics.control.trial import Conditions, Trial
    from robotics.controllers.legged.locomotion import Twist
    from robotics.controllers.qp import SOLVERS
    from robotics.errors import unknown_name

    if options.solver not in SOLVERS:
        raise unknown_name("solver", options.solver, SOLVERS)
    if options.video is not None:
        refuse_existing(options.video, options.overwrite, "--video")
    if not -45 <= options.slope <= 45:
        raise UsageError(f"--slope {options.slope}: give degrees within -45 … 45")
    conditions = Conditions(
        push=options.push,
        push_towards=radians(options.push_towards),
        payload=options.payload,
        friction=options.friction,
        slope=radians(options.slope),
        terrain=options.terrain,
        delay_s=options.delay / 1e3,
    )
    twist = Twist(options.vx, options.vy, options.wz)
    trial = Trial(
        options.robot, options.task, twist, options.seconds, options.seed, options.solver, conditions, options.state
    )
    document = run_trial(trial, options.video)
    told = describe(document, goes=bool(trial.controlled.moving_tasks))
    print(json.dumps(document, indent=2, allow_nan=False) if options.json else told)
    if document["fell"]:
        raise RoboticsError(f"{options.robot} fell after {document['seconds']} s")


#: Of tracking errors that are no lengths.
UNITS = {
    "vx": "m/s",
    "vy": "m/s",
    "wz": "rad/s",
    "speed": "m/s",
    "orientation": "rad",
    "heading": "rad",
    "angle": "rad",
}


def _targets(targets: dict[str, Any] | None) -> list[str]:
    """What became of the targets of a robot that is given some."""
    if targets is None:
        return []
    given, missed = targets["given"], targets["missed_m"]
    if not given:
        return ["targets      the time of none was up"]
    by = f", the others missed by {', '.join(f'{distance:g}' for distance in missed)} m" if missed else ""
    return [f"targets      {given - len(missed)} of {given} met{by}"]


def _circle(circle: dict[str, float] | None) -> list[str]:
    """How well hands kept to their circles, of a task that has some."""
    from robotics.control.circle import FOLLOWED

    if circle is None:
        return []
    kept = "followed" if circle["off"] <= FOLLOWED else f"NOT followed: off by {circle['off']:.0%} of it"
    return [f"circle       of {circle['radius']:.3g} m in radius, {kept}"]


def _error(name: str, value: float) -> str:
    """One tracking error with its unit, which the end of its name tells."""
    return f"{name} {value:.4g} {UNITS.get(name.rpartition('_')[2], 'm')}"


def _velocity(document: dict[str, Any]) -> str:
    (vx, vy, wz), (cx, cy, cz) = document["velocity_mean"], document["command"]
    return f"velocity     {vx:.3f} of {cx:g} m/s forward, {vy:.3f} of {cy:g} m/s left, {wz:.3f} of {cz:g} rad/s"


def describe(document: dict[str, Any], goes: bool = True) -> str:
    """The document as a few lines for people; `goes` where the robot has tasks that take a velocity."""
    moves = goes and any(abs(value) > 5e-4 for value in (*document["velocity_mean"], *document["command"]))
    lines = [
        f"{document['robot']}: {document['task']} for {document['seconds']} s",
        *([_velocity(document)] if moves else []),  # not of an arm that stands fast
        "rms error    " + ", ".join(_error(name, value) for name, value in document["tracking_rms"].items()),
        *_circle(document.get("circle")),
        *_targets(document.get("targets")),
        f"speed        {document['realtime_factor']:.2f} x real time",
        f"limits       exceeded in {document['limits_exceeded']} ticks",
        "faults       " + ", ".join(f"{name} {count}" for name, count in document["faults"].items()),
        "",
        f"{'[ms]':<10}{'p50':>9}{'p99':>9}{'max':>9}",
    ]
    for name, times in document["timing_ms"].items():
        if not times["max"]:
            continue  # this controller has no such part
        lines.append(f"{name:<10}{times['p50']:>9.3f}{times['p99']:>9.3f}{times['max']:>9.3f}")
    lines.append(f"{document['missed_deadlines']} ticks took longer than their period")
    return "\n".join(lines)
