"""What an environment asks of a world other than its own: another model, other signals. `robotics.sim2real` has them.

The environment knows only these protocols. Its controllers and its expert keep believing in the nominal model; who
teaches in such a world is told more (`robotics.envs.teacher`).
"""

from collections.abc import Collection, Sequence
from typing import Protocol

import mujoco
import numpy as np

from robotics.envs.state import Simulation, State

Array = np.ndarray


class Signals(Protocol):
    """What lies between one simulation and whoever commands it: worn gears, late commands, sensors that err.

    Attributes:
        qpos: (nq,) and `qvel` (nv,): as they are seen.
        ctrl: (nu,) what was commanded last, as whoever did it knows it, however late it arrives. The environment
            writes it.
        misread: (nu,) how much more than there is each servo reads of its joint [rad, m]: it goes so much less far.
    """

    qpos: Array
    qvel: Array
    ctrl: Array
    misread: Array

    def reset(self, simulation: Simulation, rng: np.random.Generator) -> None:
        """A new episode begins: `simulation` has just been placed; all randomness of the episode comes from `rng`."""
        ...

    def command(self, action: Array) -> Array:
        """The action to carry out in this control step, given the one that was just sent."""
        ...

    def pending(self) -> tuple[list[Array], float]:
        """Actions that were sent and whose control step is still to come, oldest first; and by how much later than its
        control step an action reaches the actuators, on average [s]."""
        ...

    def drive(self, ctrl: Array) -> Array:
        """Actuator commands (nu,) as they arrive at the joints, in a mode without an executor."""
        ...

    def before(self, simulation: Simulation) -> None:
        """Write what changes from control step to control step into parameters of `simulation`."""
        ...

    def measure(self, simulation: Simulation) -> None:
        """Once after every control step and reset: `qpos` and `qvel` become what is seen now."""
        ...


class Altered(Protocol):
    """One task's scene in a world.

    Attributes:
        model: what is simulated.
        fields: MjData fields that its signals read.
        parameters: MjModel fields that its signals write, besides those that the task draws.
        slots: how many late commands each of its actuators remembers.
        enlarged: how many times as large its free objects are as the task makes them.
    """

    model: mujoco.MjModel
    fields: tuple[str, ...]
    parameters: tuple[str, ...]
    slots: int
    enlarged: float

    def adapt(self, simulation: Simulation, rng: np.random.Generator) -> None:
        """Change an instance that the task has just placed, in those fields that the task draws."""
        ...

    def signals(self, idle: bool = False) -> Signals | None:
        """Those of one simulation; None where they are as they should be, or `idle` ones that change nothing."""
        ...

    def expose(self, images: Array) -> Array:
        """Pictures (…, h, w, 3) as the cameras of this world take them."""
        ...


class World(Protocol):
    """Picklable, so that worker processes can be given it; cheap until it alters a scene."""

    def alter(
        self, spec: mujoco.MjSpec, nominal: mujoco.MjModel, drawn: Collection[str], control_hz: float, slots: int = 0
    ) -> Altered:
        """The scene `spec`, which compiles to `nominal`, in this world; `drawn` are the fields that the task draws.

        Its actuators remember at least `slots` commands.
        """
        ...


class SensedState(State):
    """A `State` as sensors report it: positions, velocities and commands from `signals`, all else as it is."""

    def __init__(self, true: State, signals: Sequence[Signals]) -> None:
        super().__init__(true.model, true.size, true.fields, ())
        self._true = true
        for field in ("qpos", "qvel", "ctrl"):
            self.__dict__[field] = np.stack([getattr(one, field) for one in signals])

    @property
    def time(self) -> Array:
        return self._true.time

    def _bind(self, field: str) -> Array:
        return getattr(self._true, field)

    def parameter(self, field: str) -> Array:
        return self._true.parameter(field)
