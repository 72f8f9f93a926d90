"""Whether a log can be of this robot, in these units: said in one line before anything is fitted."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from robotics.errors import DataError, unknown_name
from robotics.sim2real.identification.subject import Subject
from robotics.sim2real.logs import Log

#: A hinge this far beyond its range [rad] is no measurement of it.
BEYOND = 0.5
#: Positions and commands that span more than this [rad] on a hinge with a range are degrees.
DEGREES = 2 * np.pi


def require_plausible(subject: Subject, logs: Sequence[Log]) -> None:
    """DataError for the first log that is another robot's, in other units, or unlike the others; UsageError for joints
    that are moved by what can not be identified.
    """
    for log in logs:
        for channel, group in log.joints.items():
            for joint in group:
                if joint not in subject.joints:
                    raise DataError(
                        f"{log.name}: {unknown_name(f'joint ({channel}) of {subject.name}', joint, subject.joints)}"
                    )
        for body in log.bodies:
            if body not in subject.bodies:
                raise DataError(f"{log.name}: {unknown_name(f'free body of {subject.name}', body, subject.bodies)}")
        if set(log.joints.get("position", {})) != set(logs[0].joints.get("position", {})):
            raise DataError(f"{log.name}: holds other joints than {logs[0].name}; give logs of one kind at a time")
        if unlike := _commanded(subject, log) ^ _commanded(subject, logs[0]):
            raise DataError(
                f"{log.name}: a command of {', '.join(sorted(unlike))} is in this log or in {logs[0].name}, but not in "
                "both; give logs of one kind at a time"
            )
        subject.require_known(joint for group in log.joints.values() for joint in group)
        _require_range(subject, log, "position")
        _require_range(subject, log, "command")
        _require_measured(subject, log)
        _require_unit_quaternions(log)
        _require_speed(log)


def _require_range(subject: Subject, log: Log, channel: str) -> None:
    """Positions are those of this robot's joints, and so are commands of its servos; those of motors are torques.

    A command may lie where no joint goes, since servos cut it short; only degrees are no commands.
    """
    model = subject.model
    for joint, values in log.joints.get(channel, {}).items():
        index = int(model.joint(joint).id)
        if not model.jnt_limited[index] or (channel == "command" and not subject.is_servo(joint)):
            continue
        low, high = model.jnt_range[index]
        if values.min() < low - BEYOND or values.max() > high + BEYOND:
            degrees = subject.hinge(joint) and np.ptp(values) > DEGREES
            if channel == "command" and not degrees:
                continue
            cure = f'describe the units in a TOML file: units = {{{channel} = "deg"}}'
            guess = f"these look like degrees: {cure}" if degrees else "another robot, or other units?"
            raise DataError(
                f"{log.name}: '{joint}.{channel}' lies within {values.min():.4g} … {values.max():.4g}, the joint of "
                f"{subject.name} within {low:.3g} … {high:.3g} rad or m: {guess}"
            )


def _require_measured(subject: Subject, log: Log) -> None:
    """Positions that repeat the commands, at once or a sample later, were written by the program that commands."""
    copied = [
        joint
        for joint, command in log.joints.get("command", {}).items()
        if subject.is_servo(joint) and _copies(log.joints.get("position", {}).get(joint), command)
    ]
    if copied:
        raise DataError(
            f"{log.name}: the positions of {', '.join(copied)} are copies of their commands, so that nothing was "
            'measured; log what the encoders read, or leave such joints out: "" in the joints of a TOML file'
        )


def _copies(position: np.ndarray | None, command: np.ndarray) -> bool:
    """Bit for bit. A joint that rests may rest just where it is told to."""
    if position is None or np.ptp(position) == 0:
        return False
    return np.array_equal(position, command) or np.array_equal(position[1:], command[:-1])


def _require_unit_quaternions(log: Log) -> None:
    for body, channels in log.bodies.items():
        if "orientation" in channels:
            norms = np.linalg.norm(channels["orientation"], axis=1)
            if np.abs(norms - 1).max() > 0.05:
                raise DataError(
                    f"{log.name}: orientations of {body} are no unit quaternions (norm {norms.min():.3g} …)"
                )


def _require_speed(log: Log) -> None:
    """Logged speeds must be those of the logged positions: another unit shows as a constant factor."""
    for joint, speed in log.joints.get("velocity", {}).items():
        if joint not in log.joints["position"]:
            raise DataError(f"{log.name}: joint {joint} has a velocity but no position")
        from_position = np.gradient(log.joints["position"][joint], log.time)
        there = float(from_position @ from_position)
        if there < 1e-3 * len(speed):
            continue
        factor = float(from_position @ speed) / there
        if not 0.2 < factor < 5:
            raise DataError(
                f"{log.name}: the velocity of {joint} is {factor:.3g} times what its position says; check units or sign"
            )


def driven(subject: Subject, logs: Sequence[Log]) -> list[Log]:
    """The logs with the measured torque as the command of motors for which none was logged: it is what drove them.

    A command acts from its sample on; what was measured at a sample acted until then.
    """
    found = []
    for log in logs:
        command, torque = log.joints.get("command", {}), log.joints.get("torque", {})
        motors = [joint for joint in torque if _is_motor(subject, joint) and joint not in command]
        joints = {**log.joints, "command": {**command, **{joint: _advanced(torque[joint]) for joint in motors}}}
        found.append(replace(log, joints=joints) if motors else log)
    return found


def _is_motor(subject: Subject, joint: str) -> bool:
    return joint in subject.actuators and not subject.is_servo(joint)


def _commanded(subject: Subject, log: Log) -> set[str]:
    """The joints of which the log tells what they were commanded to, or for motors what drove them."""
    motors = {joint for joint in log.joints.get("torque", {}) if _is_motor(subject, joint)}
    return motors | set(log.joints.get("command", {}))


def missing(subject: Subject, log: Log) -> list[str]:
    """What no column of the log holds, in words: positions of joints, and commands of joints that actuators move."""
    position, commanded = log.joints.get("position", {}), _commanded(subject, log)
    unseen = [joint for joint in subject.joints if joint not in position]
    untold = [joint for joint in position if joint in subject.actuators and joint not in commanded]
    return [
        *([f"no column holds the position of {', '.join(unseen)}"] if unseen else []),
        *([f"no column holds the command of {', '.join(untold)}: taken for not commanded"] if untold else []),
    ]


def _advanced(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values[1:], values[-1:]])


def moving(subject: Subject, logs: Sequence[Log]) -> tuple[list[str], bool, bool]:
    """(joints that were logged, whether any was commanded, whether a free body was logged)."""
    joints = list(logs[0].joints.get("position", {}))
    commanded = any(joint in subject.actuators for log in logs for joint in log.joints.get("command", {}))
    return joints, commanded, bool(logs[0].bodies)
