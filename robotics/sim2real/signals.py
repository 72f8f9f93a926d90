"""What lies between a simulation and whoever commands it: gears with play, late commands, sensors that err.

Everything happens once per control step, for one simulation, from one generator: so serial and vector environments get
the same numbers. Delays of commands are MuJoCo's own (`actuator_delay`), exact to the physics timestep; delays of
measurements are interpolated between control steps.
"""

from collections import deque
from collections.abc import Collection, Mapping

import mujoco
import numpy as np

from robotics.envs.state import Simulation
from robotics.sim2real.roles import Roles

Array = np.ndarray

#: Speed at which the additional friction of a joint at rest has gone down to 1/e [rad/s, m/s].
STRIBECK_SPEED = 0.1
#: Factors that change the friction of joints at every step.
RUBBING = ("stribeck", "load_friction")
#: Late commands are cut off here: this many standard deviations of jitter.
JITTER_CUT = 3.0


class Delays:
    """How late commands arrive: whole control steps by a queue of actions, the rest by MuJoCo's actuators."""

    def __init__(self, values: Mapping[str, float], period_s: float, timestep_s: float) -> None:
        latency = values.get("policy_latency", 0.0)
        self.steps = int(latency / period_s + 1e-9)
        self.constant_s = values.get("command_delay", 0.0) + latency - self.steps * period_s
        self.jitter_s = values.get("control_jitter", 0.0)
        self.timestep_s = timestep_s

    @property
    def samples(self) -> int:
        """Slots of the actuators' history that the longest delay needs."""
        longest = self.constant_s + JITTER_CUT * self.jitter_s
        return int(np.ceil(longest / self.timestep_s - 1e-9)) + 1 if longest > 0 else 0

    @property
    def mean_s(self) -> float:
        """How late the actuators get a command on average, beyond the queue [s]: jitter is the size of normal draws."""
        return self.constant_s + self.jitter_s * float(np.sqrt(2 / np.pi))

    def native(self, late_s: float = 0.0) -> float:
        """`actuator_delay` [s] for commands that are `late_s` later than the constant delay, to the timestep.

        MuJoCo takes the newest sample that is at least so old: half a timestep less lets rounding decide nothing.
        """
        ticks = round((self.constant_s + late_s) / self.timestep_s)
        return max(ticks - 0.5, 0.0) * self.timestep_s


class WorldSignals:
    """Signals of one simulation of a model with `roles`, in a world with `values` of signal factors.

    `worn` are those of joints one by one instead, in the same units: `backlash` of `turned_by`, `stribeck` and
    `load_friction` of `roles.joints`, `encoder_offset` of those that turn.
    """

    def __init__(
        self,
        values: Mapping[str, float],
        roles: Roles,
        model: mujoco.MjModel,
        period_s: float,
        delays: Delays,
        worn: Mapping[str, Array] | None = None,
    ) -> None:
        self._values, self._roles, self._period_s, self._delays = dict(values), roles, period_s, delays
        self._history = None if model.nhistory == 0 else _history_slots(model)
        self._base_friction = model.dof_frictionloss[roles.rates].copy()
        wear = {**values, **(worn or {})}
        self._play, self._stribeck, self._load = (
            np.asarray(wear.get(name, 0.0)) for name in ("backlash", "stribeck", "load_friction")
        )
        self._worn = any(name in wear for name in RUBBING)
        self._where = roles.placed.ravel()
        self._turned = turned_by(roles)
        self.misread = np.zeros(model.nu)
        self._offset = np.zeros(model.njnt)
        self._offset[roles.joints[roles.turning]] = wear.get("encoder_offset", 0.0)
        self.misread[self._turned] = self._offset[model.actuator_trnid[self._turned, 0]]
        self.qpos, self.qvel, self.ctrl = np.zeros(model.nq), np.zeros(model.nv), np.zeros(model.nu)

    def reset(self, simulation: Simulation, rng: np.random.Generator) -> None:
        self._rng = rng
        self._actions: deque[Array] = deque()
        self.ctrl = simulation.ctrl.copy()
        self._felt = simulation.ctrl.copy()
        self._past: deque[tuple[Array, Array]] = deque(maxlen=self._depth())
        self._fresh = True
        if self._history is not None:
            simulation.history[self._history] = np.repeat(simulation.ctrl, len(self._history) // len(simulation.ctrl))

    def command(self, action: Array) -> Array:
        if self._delays.steps == 0:
            return action
        while len(self._actions) < self._delays.steps:  # before the first: as if it had been sent for ever
            self._actions.append(action.copy())
        self._actions.append(action.copy())
        return self._actions.popleft()

    def pending(self) -> tuple[list[Array], float]:
        return list(self._actions), self._delays.mean_s

    def drive(self, ctrl: Array) -> Array:
        driven, turned, play = ctrl.copy(), self._turned, self._play
        if play.any():
            self._felt[turned] = np.clip(self._felt[turned], ctrl[turned] - play / 2, ctrl[turned] + play / 2)
            driven[turned] = self._felt[turned]
        return driven - self.misread  # a servo goes where it reads what it is told

    def before(self, simulation: Simulation) -> None:
        if self._delays.jitter_s:
            late = min(abs(self._rng.normal(0.0, self._delays.jitter_s)), JITTER_CUT * self._delays.jitter_s)
            simulation.parameter("actuator_delay")[:] = self._delays.native(late)
        if self._worn:
            rates = self._roles.rates
            resting = np.exp(-np.abs(simulation.qvel[rates]) / STRIBECK_SPEED)
            friction = self._base_friction + self._stribeck * self._roles.limits * resting
            friction += self._load * np.abs(simulation.qfrc_actuator[rates])
            simulation.parameter("dof_frictionloss")[rates] = friction

    def measure(self, simulation: Simulation) -> None:
        self._past.append((simulation.qpos.copy(), simulation.qvel.copy()))
        if not self._fresh and self._rng.random() < self._values.get("dropout", 0.0):
            return  # the last measurement stands
        self._fresh = False
        qpos, qvel = (values.copy() for values in self._past[-1])
        roles = self._roles
        for delay, positions, velocities in (
            (self._values.get("sensing_delay", 0.0), roles.angles, np.concatenate([roles.rates, roles.spin])),
            (self._values.get("object_delay", 0.0), self._where, np.zeros(0, int)),
        ):
            if delay:
                qpos[positions], qvel[velocities] = self._earlier(delay, positions, velocities)
        hinges = roles.angles[roles.turning]
        qpos[hinges] = self._encoders(qpos[hinges])
        for name, values, where in (
            ("velocity_noise", qvel, roles.rates[roles.turning]),
            ("gyro_noise", qvel, roles.spin),
            ("object_noise", qpos, self._where),
        ):
            if name in self._values:
                values[where] += self._rng.normal(0.0, self._values[name], len(where))
        self.qpos, self.qvel = qpos, qvel

    def _encoders(self, angles: Array) -> Array:
        if "encoder_noise" in self._values:
            angles = angles + self._rng.normal(0.0, self._values["encoder_noise"], len(angles))
        angles = angles + self._offset[self._roles.joints[self._roles.turning]]
        step = self._values.get("encoder_step", 0.0)
        return np.round(angles / step) * step if step else angles

    def _depth(self) -> int:
        """Measurements to remember."""
        longest = max(self._values.get("sensing_delay", 0.0), self._values.get("object_delay", 0.0))
        return int(np.ceil(longest / self._period_s - 1e-9)) + 1

    def _earlier(self, delay: float, positions: Array, velocities: Array) -> tuple[Array, Array]:
        """What was so long ago, between the two control steps around then; the first one if the episode is younger."""
        ago = delay / self._period_s
        newer, share = int(ago + 1e-9), max(ago - int(ago + 1e-9), 0.0)
        last = len(self._past) - 1
        (q1, v1), (q2, v2) = self._past[last - min(newer, last)], self._past[last - min(newer + 1, last)]
        mixed = q1[positions] + share * (q2[positions] - q1[positions])
        return mixed, v1[velocities] + share * (v2[velocities] - v1[velocities])


def used_by(factors: Collection[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The fields that signals of these factors read of a simulation, and the parameters that they write."""
    rubs, jitter = any(name in factors for name in RUBBING), "control_jitter" in factors
    parameters = (*(["actuator_delay"] if jitter else []), *(["dof_frictionloss"] if rubs else []))
    return ("qfrc_actuator",) if rubs else (), parameters


def turned_by(roles: Roles) -> Array:
    """The actuators that have play: servos of hinges."""
    return np.intersect1d(roles.servos, roles.hinged)


def _history_slots(model: mujoco.MjModel) -> Array:
    """Where in `history` the actuators' past commands are, all of the first, all of the second, …: of equal length.

    A buffer is a number of the user's, a cursor, times and values (MuJoCo's manual, "Delays").
    """
    slots = []
    for actuator in range(model.nu):
        count, start = int(model.actuator_history[actuator, 0]), int(model.actuator_historyadr[actuator])
        slots.append(start + 2 + count + np.arange(count))
    return np.concatenate(slots)
