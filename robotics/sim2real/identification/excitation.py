"""`robotics sysid excite`: commands that tell as much as they can about a robot and stay within what it may do.

A sum of sines per joint with frequencies of its own (so that joints can be told apart), a slow sweep through the range
(friction, gravity), and rests (stiction). Positions keep a margin to the ranges, speeds stay below a limit, and the
nominal model rehearses the motion: what touches something there is made smaller until nothing does.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np

from robotics.errors import RoboticsError, UsageError
from robotics.evaluation.seeds import require_seed
from robotics.outputs import write_atomically
from robotics.sim2real.identification.actuators import hold
from robotics.sim2real.identification.plant import neutral
from robotics.sim2real.identification.subject import Subject, load_subject

Array = np.ndarray

SINES = 6
#: A second to get up to speed, and one to come to rest.
SHORTEST_S = 2.0
#: Part of the range of a joint that is used at most, and of a joint without one [rad, m].
MARGIN, UNLIMITED = 0.8, 1.0
#: Attempts, each with motions smaller by a quarter, until nothing is touched.
ATTEMPTS = 12


@dataclass(frozen=True)
class Excitation:
    """Commands (T, joints) at `time` [s]."""

    time: Array
    joints: tuple[str, ...]
    command: Array


def excite(robot: str, seconds: float, rate_hz: float, top_hz: float, speed: float, seed: int) -> Excitation:
    """Commands for all position servos of the robot; torques within half the limits for motors.

    Raises UsageError for a robot without actuated joints, or with one that neither a position servo nor a motor moves;
    RoboticsError when no motion is free of contact.
    """
    for name, value in (("seconds", seconds), ("rate-hz", rate_hz), ("top-hz", top_hz), ("speed", speed)):
        if not 0 < value < float("inf"):
            raise UsageError(f"--{name} is {value}: give a positive number")
    require_seed(seed)
    if seconds < SHORTEST_S:
        raise UsageError(f"--seconds is {seconds:g}: a motion from rest to rest takes {SHORTEST_S:g} s or more")
    if top_hz > rate_hz / 4:
        raise UsageError(f"--top-hz {top_hz}: commands at {rate_hz} Hz carry at most {rate_hz / 4:g} Hz")
    subject = load_subject(robot)
    subject.require_known(subject.joints)
    joints = tuple(joint for joint in subject.joints if joint in subject.actuators)
    if not joints:
        raise UsageError(f"robot {robot}: no actuated joint to excite")
    if subject.bodies:
        free = next(iter(subject.bodies))
        raise UsageError(
            f"robot {robot}: '{free}' is free and would fall; hang the robot up and give a model without it"
        )
    rng, time = np.random.default_rng(seed), np.arange(round(seconds * rate_hz)) / rate_hz
    shape = np.stack([_shape(time, top_hz, rng) for _ in joints], axis=-1)
    size, met = 1.0, Counter[tuple[str, str]]()
    for _ in range(ATTEMPTS):
        command = _scaled(subject, joints, time, shape, size, speed)
        touched = _touched(subject, joints, time, command)
        if not touched:
            return Excitation(time, joints, command)
        met.update(touched)
        size *= 0.75
    first, second = met.most_common(1)[0][0]
    raise RoboticsError(
        f"robot {robot}: every motion around its resting position touches something, most often {first} and {second}; "
        "give a model with another home keyframe, or without that contact (<contact><exclude/>)"
    )


def write_csv(excitation: Excitation, path: Path) -> None:
    """Columns `time` and `<joint>.command`."""
    header = ",".join(["time", *(f"{joint}.command" for joint in excitation.joints)])
    rows = np.column_stack([excitation.time, excitation.command])
    text = "\n".join([header, *(",".join(f"{value:.6f}" for value in row) for row in rows)])
    write_atomically(path, text + "\n")


def _shape(time: Array, top_hz: float, rng: np.random.Generator) -> Array:
    """(T,) within ±1, from and to rest."""
    frequencies = np.exp(rng.uniform(np.log(0.05), np.log(top_hz), SINES))
    amplitudes = 1 / (0.2 + frequencies)
    waves = np.sin(2 * np.pi * frequencies * time[:, None] + rng.uniform(0, 2 * np.pi, SINES)) @ amplitudes
    waves *= np.where((time % 10.0) > 8.5, 0.0, 1.0)  # rests, reached by the fade below
    kernel = np.hanning(max(3, round(0.8 / (time[1] - time[0]))))
    smooth = np.convolve(waves, kernel / kernel.sum(), mode="same")
    fade = np.clip(np.minimum(time, time[-1] - time) / 1.0, 0, 1)
    return fade * smooth / max(np.abs(smooth).max(), 1e-9)


def _scaled(subject: Subject, joints: tuple[str, ...], time: Array, shape: Array, size: float, speed: float) -> Array:
    model, command = subject.model, np.empty_like(shape)
    rest = neutral(model)
    for i, joint in enumerate(joints):
        index, actuator = int(model.joint(joint).id), subject.actuators[joint]
        if not subject.is_servo(joint):
            limit = np.abs(model.actuator_ctrlrange[actuator]).max() if model.actuator_ctrllimited[actuator] else 1.0
            command[:, i] = 0.5 * size * limit * shape[:, i]
            continue
        home = rest[model.jnt_qposadr[index]]
        room = UNLIMITED
        if model.jnt_limited[index]:
            low, high = model.jnt_range[index]
            room = MARGIN * max(0.0, min(home - low, high - home))
        fastest = np.abs(np.diff(shape[:, i])).max() / (time[1] - time[0])
        command[:, i] = home + size * min(room, speed / max(fastest, 1e-9)) * shape[:, i]
        if model.actuator_ctrllimited[actuator]:
            command[:, i] = np.clip(command[:, i], *model.actuator_ctrlrange[actuator])
    return command


def _touched(subject: Subject, joints: tuple[str, ...], time: Array, command: Array) -> set[tuple[str, str]]:
    """The names of what first touches, and does not at rest, where the nominal model follows the commands."""
    model, data = subject.model, mujoco.MjData(subject.model)
    data.qpos[:] = neutral(model)
    if model.nkey:
        data.ctrl[:] = model.key_ctrl[0]  # of what moves no single joint, such as a gripper
    actuators = [subject.actuators[joint] for joint in joints]
    for actuator, start in zip(actuators, command[0], strict=True):
        hold(model, data, actuator, float(start))
    mujoco.mj_forward(model, data)
    before, steps = _contacts(data), max(1, round((time[1] - time[0]) / model.opt.timestep))
    for row in command:
        data.ctrl[actuators] = row
        mujoco.mj_step(model, data, nstep=steps)
        if met := _contacts(data) - before:
            return {(_name(model, first), _name(model, second)) for first, second in met}
    return set()


def _contacts(data: mujoco.MjData) -> set[tuple[int, int]]:
    return {(int(pair[0]), int(pair[1])) for pair in data.contact.geom}


def _name(model: mujoco.MjModel, geom: int) -> str:
    """Of a geom: its body's, and its own if it has one."""
    if geom < 0:
        return "something soft"
    body, own = model.body(model.geom_bodyid[geom]).name, model.geom(geom).name
    return f"body '{body}'" + (f" (geom '{own}')" if own else "")
