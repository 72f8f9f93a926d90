"""Logged commands, played on a model from the logged initial state, against what was measured."""

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from robotics.errors import DataError
from robotics.sim2real.identification.parameters import Parameter, motors_only
from robotics.sim2real.identification.plant import Plant, neutral
from robotics.sim2real.identification.speeds import SPEED
from robotics.sim2real.identification.subject import Subject
from robotics.sim2real.logs import EARLIER_S, Log

Array = np.ndarray

#: Errors beyond this many scales count as this many: a model that falls over must not drown the rest. A free body that
#: hits a corner the other way, and a pendulum near its upright rest, end up elsewhere whatever their parameters are:
#: what nothing holds saturates much earlier.
LARGEST_ERROR, LARGEST_FREE_ERROR = 20.0, 0.3
#: Simulations side by side: more would not fit in the caches.
MOST_COPIES = 512


@dataclass(frozen=True)
class Observed:
    """A measured signal: where the simulation has it, and how large an error of one is."""

    label: str
    field: str
    index: int
    offset_of: int | None
    """Joint whose encoder offset is added."""
    scale: float
    largest: float


class Replay:
    """Windows of logs, and the error of the model with any parameters on them.

    Args:
        windows: motions with their speeds (see `speeds.py`); each begins in its own measured state.
        observe: channels to compare; position always, velocity and torque where asked for and logged.
    """

    def __init__(self, subject: Subject, windows: Sequence[Log], observe: Sequence[str] = ("position",)) -> None:
        self.subject, self.windows = subject, list(windows)
        physics = float(subject.model.opt.timestep)
        # A torque follows its command at once, so that its steps must not be averaged over as a position's may
        fine = "torque" in observe
        self._substeps = 1 if fine else max(1, round(0.5 * self.windows[0].period_s / physics))
        self._dt = self._substeps * physics  # commands and friction change twice per sample
        self.observed = _observed(subject, self.windows, observe)
        labels = [signal.label for signal in self.observed]
        self.measured = [_logged(log, labels) for log in self.windows]
        starts = [_initial(subject, log) for log in self.windows]
        self._qpos, self._qvel = np.array([s[0] for s in starts]), np.array([s[1] for s in starts])
        self._steps = max(1, int(np.ceil(max(log.duration_s for log in self.windows) / self._dt)))
        self._edges = np.arange(self._steps + 1) * self._dt
        self._before = _before(subject.model)

    def errors(self, parameters: Sequence[Parameter], values: Array) -> list[Array]:
        """Simulated minus measured, per window (S, T, signals) in SI units, for parameter values (S, P)."""
        values = np.atleast_2d(values)
        most = max(1, MOST_COPIES // len(self.windows))
        parts = [self._errors(parameters, values[first : first + most]) for first in range(0, len(values), most)]
        return [np.concatenate([part[w] for part in parts]) for w in range(len(self.windows))]

    def residuals(self, parameters: Sequence[Parameter], values: Array) -> list[Array]:
        """The errors in scales of their signals, per window (S, T · signals), bounded smoothly."""
        scale = np.array([signal.scale for signal in self.observed])
        largest = np.array([signal.largest for signal in self.observed])
        scaled = [errors / scale for errors in self.errors(parameters, values)]
        return [(r / np.sqrt(1 + (r / largest) ** 2)).reshape(len(r), -1) for r in scaled]

    def _errors(self, parameters: Sequence[Parameter], values: Array) -> list[Array]:
        sets, count = len(values), len(self.windows)
        plant = Plant(self.subject, sets * count)
        for parameter, column in zip(parameters, values.T, strict=True):
            parameter.family.write(plant, parameter.index, np.repeat(column, count))
        qpos = np.tile(self._qpos, (sets, 1))
        for joint, offset in plant.offset.items():
            qpos[:, self.subject.model.jnt_qposadr[joint]] -= offset
        control = self._control(plant, sets, self._edges)
        past = None if self._before is None else self._control(plant, sets, self._before)
        states = plant.run(qpos, np.tile(self._qvel, (sets, 1)), control, self._substeps, past)
        states = {
            "qpos": np.concatenate([qpos[:, None], states["qpos"]], axis=1),
            "qvel": np.concatenate([np.tile(self._qvel, (sets, 1))[:, None], states["qvel"]], axis=1),
            "actuator_force": np.concatenate([states["actuator_force"][:, :1], states["actuator_force"]], axis=1),
        }
        return [self._window_errors(plant, states, w, np.arange(sets) * count + w) for w in range(count)]

    def _window_errors(self, plant: Plant, states: dict[str, Array], window: int, rows: Array) -> Array:
        log = self.windows[window]
        place = (log.time - log.time[0]) / self._dt
        before = np.clip(place.astype(int), 0, self._steps - 1)
        part = (place - before)[None, :]
        errors = np.empty((len(rows), len(log.time), len(self.observed)))
        for i, signal in enumerate(self.observed):
            series = states[signal.field][rows, :, signal.index]
            simulated = series[:, before] * (1 - part) + series[:, before + 1] * part
            if signal.offset_of is not None and signal.offset_of in plant.offset:
                simulated = simulated + plant.offset[signal.offset_of][rows][:, None]
            errors[:, :, i] = simulated - self.measured[window][:, i]
            if signal.field == "actuator_force":
                errors[:, 0, i] = 0.0  # what acted until the first sample was not simulated
        return np.nan_to_num(errors, nan=1e3, posinf=1e3, neginf=-1e3)

    def _control(self, plant: Plant, sets: int, edges: Array) -> Array:
        """Commands (N, steps, nu) between these `edges` [s] from the beginning of each window: each step's mean of the
        held command, so that a delay acts smoothly.
        """
        model = self.subject.model
        control = np.zeros((plant.count, len(edges) - 1, model.nu))
        for joint, actuator in self.subject.actuators.items():
            index = int(model.joint(joint).id)
            for w, log in enumerate(self.windows):
                rows = np.arange(sets) * len(self.windows) + w
                commands = log.commands()
                command = commands.joints.get(joint)
                if command is None:  # a servo that nobody commands holds its place
                    if self.subject.is_servo(joint):
                        control[rows, :, actuator] = self._qpos[w, model.jnt_qposadr[index]]
                    continue
                control[rows, :, actuator] = _held(commands.time - log.time[0], command, edges, plant.delay[rows])
            if index in plant.offset and self.subject.is_servo(joint):
                control[:, :, actuator] -= plant.offset[index][:, None]
            if actuator in plant.gain:
                control[:, :, actuator] *= plant.gain[actuator][:, None]
        return control


def _before(model: mujoco.MjModel) -> Array | None:
    """Edges [s] of the physics steps before a window that actuators with a state or a delay of their own remember; None
    where there are none."""
    if not (model.na or model.nhistory):
        return None
    step = float(model.opt.timestep)
    count = max(int(np.ceil((EARLIER_S + model.actuator_delay.max()) / step)), int(model.actuator_history[:, 0].max()))
    return np.arange(-count, 1) * step


def _held(time: Array, command: Array, edges: Array, delays: Array) -> Array:
    """(n, steps) mean within each step of a command that is held until the next, `delays` later."""
    area = np.concatenate([[0.0], np.cumsum(command[:-1] * np.diff(time))])
    step = edges[1] - edges[0]
    out = np.empty((len(delays), len(edges) - 1))
    for row, delay in enumerate(delays):
        at = edges - delay
        total = np.interp(at, time, area)
        total = np.where(at < time[0], command[0] * (at - time[0]), total)  # before the first command: as the first
        total = np.where(at > time[-1], area[-1] + command[-1] * (at - time[-1]), total)
        out[row] = np.diff(total) / step
    return out


def _observed(subject: Subject, windows: Sequence[Log], observe: Sequence[str]) -> list[Observed]:
    model = subject.model
    found: list[tuple[str, str, int, int | None, str]] = []
    for joint in windows[0].joints.get("position", {}):
        index = int(model.joint(joint).id)
        found.append((f"{joint}.position", "qpos", int(model.jnt_qposadr[index]), index, "position"))
        if "velocity" in observe and joint in windows[0].joints.get("velocity", {}):
            found.append((f"{joint}.velocity", "qvel", int(model.jnt_dofadr[index]), None, "velocity"))
        if "torque" in observe and joint in windows[0].joints.get("torque", {}) and joint in subject.actuators:
            found.append((f"{joint}.torque", "actuator_force", subject.actuators[joint], None, "torque"))
    for body, channels in windows[0].bodies.items():
        address = int(model.jnt_qposadr[subject.bodies[body]])
        if "position" in channels:
            found += [(f"{body}.{axis}", "qpos", address + i, None, "body") for i, axis in enumerate("xyz")]
    labels = [label for label, *_ in found]
    columns = {label: np.concatenate([_logged(log, (label,))[:, 0] for log in windows]) for label in labels}
    kinds = {kind for *_, kind in found}
    spread = {k: _spread([columns[label] for label, *_, kind in found if kind == k]) for k in kinds}
    loose = motors_only(subject, list(windows[0].joints.get("position", {})))
    largest = {kind: LARGEST_FREE_ERROR if kind == "body" or loose else LARGEST_ERROR for kind in kinds}
    return [Observed(label, field, i, joint, spread[kind], largest[kind]) for label, field, i, joint, kind in found]


def _spread(columns: Sequence[Array]) -> float:
    """One scale for all signals of a kind, so that a joint that rests does not count more than one that moves."""
    value = float(np.sqrt(np.mean([np.var(column) for column in columns])))
    return value if value > 1e-9 else 1.0  # a signal that is all zero must not become infinite


def _column(log: Log, label: str) -> Array:
    name, _, channel = label.rpartition(".")
    if channel in ("x", "y", "z"):
        return log.bodies[name]["position"][:, "xyz".index(channel)]
    return log.joints[channel][name]


def _logged(log: Log, labels: Sequence[str]) -> Array:
    """(T, k); DataError for a log without one of them."""
    try:
        return np.stack([_column(log, label) for label in labels], axis=-1)
    except KeyError as missing:
        raise DataError(f"{log.name}: has no {missing} that the other logs have") from None


def _initial(subject: Subject, log: Log) -> tuple[Array, Array]:
    """(nq,), (nv,): the first measured state."""
    model = subject.model
    qpos, qvel = neutral(model), np.zeros(model.nv)
    for joint, position in log.joints.get("position", {}).items():
        index = int(model.joint(joint).id)
        qpos[model.jnt_qposadr[index]] = position[0]
        qvel[model.jnt_dofadr[index]] = log.joints[SPEED][joint][0]
    for body, channels in log.bodies.items():
        joint_id = subject.bodies[body]
        place, dof = int(model.jnt_qposadr[joint_id]), int(model.jnt_dofadr[joint_id])
        if "position" in channels:
            qpos[place : place + 3] = channels["position"][0]
        if "orientation" in channels:
            qpos[place + 3 : place + 7] = channels["orientation"][0]
        if "velocity" in channels:
            qvel[dof : dof + 3] = channels["velocity"][0]
        if "angular_velocity" in channels:
            qvel[dof + 3 : dof + 6] = channels["angular_velocity"][0]
    return qpos, qvel
