"""`robotics sysid`: which parameters of a model logs tell, what they are, and whether the model got better by them."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robotics.errors import UsageError
from robotics.outputs import refuse_existing


@dataclass(frozen=True)
class Options:
    """Identify a robot's parameters from logs of its motions, and judge them by held-out ones (excite designs some)."""

    robot: str
    """so101, arm, bimanual, quadruped, humanoid; an MJCF or URDF file; a TOML file with model = "…"; menagerie:NAME."""
    log: Path
    """A log (.csv, .parquet, .npz, .mcap), a folder of logs, a LeRobot dataset, or a TOML file that describes them:
    files = "*.csv"  # beside this file
    time = "t"  # a column; or rate_hz = 50
    lengths = "n"  # a column: samples of each of many motions
    joints = ["pan", "", "elbow"]  # in order; "" skips one
    position = "q"  # or "q[0:3]", or ["q1", "q2", "q3"]
    command = "q_cmd"  # velocity and torque likewise
    units = {time = "ms", position = "deg"}  # else in SI units
    [body.cube]  # a free body instead of joints, or beside them
    position = "xyz"  # velocity and angular_velocity likewise
    orientation = "wxyz"
    Units by channel, or a number: what one is in SI units:
    - time s, ms, us, ns
    - position rad, deg, m, mm
    - velocity, angular_velocity rad/s, deg/s, rpm, m/s
    - torque N m, N mm, N
    - command as position; as torque for motors
    """
    out: Path
    """Folder for sysid.json, calibration.json, samples.json (fits to resampled motions) and report.html."""
    parameters: str | None = None
    """Families to fit, by commas: stiffness, damping, friction, load_friction, stribeck, backlash, armature, gain,
    offset, mass, delay, contact_friction, contact_time, contact_damping, contact_size. Not given: for servos stiffness,
    damping, friction, load_friction, backlash, delay; for motors mass, armature, damping, friction, delay; for free
    bodies the contact."""
    heldout: str | None = None
    """Motions that only judge, by commas; when not given three in ten, or up to four of few, drawn by the seed."""
    horizon: float | None = None
    """Replay starts anew from the measured state after this many seconds: for what open-loop replay can not follow.
    Not given: 0.25 s for robots of motors, whole motions otherwise."""
    window: float = 20.0
    """Length of the pieces that are fitted [s]."""
    fit_seconds: float = 160.0
    """At most this much motion is fitted [s]."""
    observe: str = "position"
    """Channels to compare, by commas: position, velocity, torque."""
    attribute: bool = False
    """Fit again without each family, to see what it is worth on the motions that were held out."""
    starts: int = 24
    """Random starts that are looked at, beside the nominal one."""
    seed: int = 0
    """Of the split, the starts and the intervals."""
    overwrite: bool = False
    """Replace the identification in --out."""
    json: bool = False
    """Print the document, and nothing else, on stdout."""


@dataclass(frozen=True)
class ExciteOptions:
    """Commands that make a robot's parameters visible and touch nothing, as a CSV file."""

    robot: str
    """As for sysid."""
    out: Path
    """CSV file: time and <joint>.command."""
    seconds: float = 60.0
    """Length."""
    rate_hz: float = 50.0
    """Commands per second."""
    top_hz: float = 3.0
    """Highest frequency."""
    speed: float = 2.0
    """Largest speed of a joint [rad/s or m/s]."""
    seed: int = 0
    """Of the phases and frequencies."""
    overwrite: bool = False
    """Replace --out."""


def run(options: Options) -> None:
    from robotics.sim2real.identification.identify import Settings, identify

    settings = Settings(
        families=_names(options.parameters),
        held_out=_names(options.heldout),
        horizon_s=options.horizon,
        window_s=options.window,
        fit_s=options.fit_seconds,
        observe=_names(options.observe) or ("position",),
        attribute=options.attribute,
        starts=options.starts,
        seed=options.seed,
    )
    document = identify(
        options.robot,
        options.log,
        options.out,
        settings,
        overwrite=options.overwrite,
        note=lambda text: print(f"sysid: {text}", file=sys.stderr),
    )
    print(json.dumps(document, indent=2, allow_nan=False) if options.json else describe(document))


def excite(options: ExciteOptions) -> None:
    from robotics.sim2real.identification.excitation import excite as design
    from robotics.sim2real.identification.excitation import write_csv

    if options.out.suffix != ".csv":
        raise UsageError(f"--out {options.out}: give a .csv file")
    refuse_existing(options.out, options.overwrite)
    found = design(options.robot, options.seconds, options.rate_hz, options.top_hz, options.speed, options.seed)
    write_csv(found, options.out)
    print(
        f"{options.out}: {len(found.joints)} joints, {len(found.time)} commands, touching nothing in the nominal model"
    )


def describe(document: dict[str, Any]) -> str:
    """The document as a table for people."""
    width = max(len(name) for name in document["parameters"])
    lines = [f"{'parameter':<{width}}  {'nominal':>10}  {'fitted':>10}  95 % interval"]
    for name, row in document["parameters"].items():
        low, high = row["ci95"]
        flag = "" if row["identifiable"] else f"   NOT IDENTIFIABLE: {row['reason']}"
        values = f"{row['nominal']:>10.4g}  {row['value']:>10.4g}  [{low:.4g}, {high:.4g}] {row['unit']}"
        lines.append(f"{name:<{width}}  {values}{flag}")
    for part in ("train", "heldout"):
        error = document["replay_rmse"][part]
        lines.append(f"replay RMSE, {part:<8} nominal {error['nominal']:.5g}   fitted {error['fitted']:.5g}")
    if document["trivial_rmse"] is not None:
        lines.append(f"joint = command       {document['trivial_rmse']:.5g}")
    for family, row in document.get("leave_one_out", {}).items():
        low, high = row["ci95"]
        lines.append(f"without {family:<16} held-out RMSE {row['heldout_increase']:+.5f} [{low:+.5f}, {high:+.5f}]")
    return "\n".join([*lines, document["verdict"], f"written to {document['calibration']}, {document['report']}"])


def _names(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    return tuple(name for part in text.split(",") if (name := part.strip()))


SUBCOMMANDS: dict[str, tuple[type, Callable[[Any], None]]] = {"": (Options, run), "excite": (ExciteOptions, excite)}
