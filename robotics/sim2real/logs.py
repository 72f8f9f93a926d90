"""What was commanded and what was measured on a robot, for one motion: the currency of replay and identification."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from robotics.errors import DataError

Array = np.ndarray

#: What a log may hold per joint, and its unit. `command` is in the unit of the actuator: rad or m for a position servo,
#: N m or N for a motor.
CHANNELS = {"command": "rad | N m", "position": "rad", "velocity": "rad/s", "torque": "N m"}
#: What a log may hold of a free body, with how many numbers: world frame, but for the angular velocity (body frame), as
#: MuJoCo's free joint.
BODY_CHANNELS = {"position": 3, "orientation": 4, "velocity": 3, "angular_velocity": 3}
#: A sample that comes later than this many usual periods is a gap, unless it is shorter than what a busy computer loses
#: now and then [s]; replay uses the logged times, so that does no harm.
LONGEST_PERIODS, SHORTEST_GAP_S = 5.0, 0.05
#: No robot is logged as slowly as this [s]: its time is in another unit, be it milliseconds of a loop at 4 kHz.
SLOWEST_S = 0.25
#: Commands are remembered for this long before a motion that is cut out of a longer one: no robot's are later [s].
EARLIER_S = 0.3


@dataclass(frozen=True)
class Log:
    """One motion.

    Attributes:
        name: of the file, for messages and tables.
        time: (T,) [s], increasing.
        joints: channel -> {joint: values (T,)}, SI units. Every joint has a position.
        bodies: free body -> channel -> (T, 3 or 4), SI units; orientations are wxyz.
        commanded: every command that is known, where there are more than samples: a motion that was cut out of a longer
            one has those from just before it, too, since a late one acts now; and none is lost with a measurement.
    """

    name: str
    time: Array
    joints: Mapping[str, Mapping[str, Array]]
    bodies: Mapping[str, Mapping[str, Array]]
    commanded: "Commands | None" = None

    def __post_init__(self) -> None:
        _require_order(self.name, self.time)
        _require_seconds(self.name, self.time)
        _require_no_gap(self.name, self.commands().time)
        for label, values in self.columns().items():
            if len(values) != len(self.time):
                raise DataError(f"{self.name}: '{label}' has {len(values)} samples, time has {len(self.time)}")
            bad = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
            if len(bad):
                raise DataError(f"{self.name}: '{label}' is not finite at sample {bad[0]} ({len(bad)} in all)")

    @property
    def period_s(self) -> float:
        """The usual time between samples [s]."""
        return float(np.median(np.diff(self.time)))

    @property
    def duration_s(self) -> float:
        return float(self.time[-1] - self.time[0])

    def columns(self) -> dict[str, Array]:
        """Every column by a readable label."""
        found = {f"{joint}.{channel}": v for channel, group in self.joints.items() for joint, v in group.items()}
        return found | {f"{body}.{channel}": v for body, group in self.bodies.items() for channel, v in group.items()}

    def between(self, start: int, stop: int) -> "Log":
        """The samples start … stop − 1, as a log of its own."""
        first, last = self.time[start], self.time[stop - 1]
        commands = self.commands().between(first - EARLIER_S, last)
        return self._taken(slice(start, stop), f"{self.name}[{start}:{stop}]", commands)

    def where(self, kept: Array) -> "Log":
        """The samples that a mask (T,) keeps, and all commands."""
        return self._taken(kept, self.name, self.commands())

    def _taken(self, rows: slice | Array, name: str, commands: "Commands") -> "Log":
        def take(group: Mapping[str, Array]) -> dict[str, Array]:
            return {name: values[rows] for name, values in group.items()}

        joints = {channel: take(group) for channel, group in self.joints.items()}
        bodies = {body: take(group) for body, group in self.bodies.items()}
        return Log(name, self.time[rows], joints, bodies, commands)

    def commands(self) -> "Commands":
        """All that are known."""
        return self.commanded or Commands(self.time, self.joints.get("command", {}))


@dataclass(frozen=True)
class Commands:
    """Commands by joint (n,) at `time` (n,) [s]."""

    time: Array
    joints: Mapping[str, Array]

    def between(self, start: float, stop: float) -> "Commands":
        """Those at start <= time <= stop."""
        rows = slice(np.searchsorted(self.time, start), np.searchsorted(self.time, stop, side="right"))
        return Commands(self.time[rows], {joint: values[rows] for joint, values in self.joints.items()})


def _require_order(name: str, time: Array) -> None:
    """DataError unless these are samples that follow each other in time."""
    if time.ndim != 1:
        raise DataError(f"{name}: the time has {time.shape[1]} numbers per sample; one is needed")
    if len(time) < 2:
        raise DataError(f"{name}: holds {len(time)} samples; at least two are needed")
    if not np.isfinite(time).all():
        raise DataError(f"{name}: time is not finite at sample {int(np.flatnonzero(~np.isfinite(time))[0])}")
    steps = np.diff(time)
    if (steps <= 0).any():
        where = int(np.flatnonzero(steps <= 0)[0]) + 1
        raise DataError(
            f"{name}: time does not increase at sample {where} ({time[where - 1]:.6g} s, then {time[where]:.6g} s)"
        )


def _require_seconds(name: str, time: Array) -> None:
    step = float(np.median(np.diff(time)))
    if step >= SLOWEST_S:
        unit = "ms" if step < 1e3 else "us" if step < 1e6 else "ns"
        raise DataError(
            f'{name}: a sample every {step:.6g} s: is its time in {unit}? Give units = {{time = "{unit}"}} in the TOML '
            "file that describes the log"
        )


def _require_no_gap(name: str, time: Array) -> None:
    steps = np.diff(time)
    usual = float(np.median(steps))
    if steps.max() > max(LONGEST_PERIODS * usual, SHORTEST_GAP_S):
        where = int(steps.argmax())
        raise DataError(
            f"{name}: a gap of {steps[where]:.3g} s after {time[where]:.6g} s, where samples usually come every "
            f"{usual:.3g} s; cut the log there"
        )
