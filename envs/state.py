"""The simulations of a task as arrays with a leading batch dimension: one MjData, or rows of a `mujoco.batch.Batch`.

Tasks read and write these alone, so that one and the same line of a task runs for one simulation and for thousands.
"""

from collections.abc import Callable, Collection
from functools import wraps
from typing import Any, TypeVar

import mujoco
import numpy as np
from mujoco.batch import Batch

from robotics.errors import unknown_name

Array = np.ndarray
Measured = TypeVar("Measured")

#: MjData fields that are state: writable, and current after a step.
STATE_FIELDS = frozenset(
    ("qpos", "qvel", "act", "ctrl", "history", "qfrc_applied", "xfrc_applied", "mocap_pos", "mocap_quat", "userdata")
)


class State:
    """n simulations of one model. Every field is a live array (n, …), by its name in MjData: `state.qpos` (n, nq).

    `STATE_FIELDS` may be written. Derived fields (`xpos`, `sensordata`, …: those that the task declares) are read only
    and describe the moment one substep before the state, as after `mj_step`.
    """

    #: What `measured_once` remembers while a control step is judged; None at all other times.
    judging: dict[str, Any] | None = None

    def __init__(self, model: mujoco.MjModel, size: int, fields: Collection[str], parameters: Collection[str]) -> None:
        self.model, self.size = model, size
        self._fields, self._parameters = frozenset(fields) | STATE_FIELDS, frozenset(parameters)
        self._views: dict[tuple[str, str], Array] = {}

    @property
    def time(self) -> Array:
        """Simulated time since the reset [s] (n,)."""
        raise NotImplementedError

    @property
    def fields(self) -> frozenset[str]:
        """Every MjData field that there is here."""
        return self._fields

    def _bind(self, field: str) -> Array:
        raise NotImplementedError

    def _expand(self, field: str) -> Array:
        raise NotImplementedError

    def __getattr__(self, field: str) -> Array:  # only for what is not there yet
        if field.startswith("_"):
            raise AttributeError(field)
        if field not in self._fields:
            raise AttributeError(str(unknown_name("field", field, self._fields, "a task declares others in FIELDS")))
        value = self._bind(field)
        self.__dict__[field] = value
        return value

    def parameter(self, field: str) -> Array:
        """A model field that may differ between simulations: live, writable during `place` (n, …)."""
        if field not in self._parameters:
            raise AttributeError(
                str(unknown_name("parameter", field, self._parameters, "a task declares them in RANDOMISED"))
            )
        return self._expand(field)

    def joint(self, name: str) -> Array:
        """Position coordinates of a joint (n, 1) or of a free joint (n, 7): position, then orientation wxyz. Live."""
        return self._view("joint", name, self.qpos)

    def velocity(self, name: str) -> Array:
        """Velocity coordinates of a joint (n, 1), or of a free joint (n, 6). Live."""
        return self._view("velocity", name, self.qvel)

    def sensor(self, name: str) -> Array:
        """What a sensor read (n, dim)."""
        return self._view("sensor", name, self.sensordata)

    def body(self, name: str) -> Array:
        """World position of a body's frame [m] (n, 3)."""
        return self._view("body", name, self.xpos)

    def site(self, name: str) -> Array:
        """World position of a site [m] (n, 3)."""
        return self._view("site", name, self.site_xpos)

    def _view(self, kind: str, name: str, whole: Array) -> Array:
        view = self._views.get((kind, name))
        if view is None:
            view = self._views[kind, name] = whole[:, _index(self.model, kind, name)]
        return view


def measured_once(measure: Callable[[Any, State], Measured]) -> Callable[[Any, State], Measured]:
    """For methods of tasks: what success, reward and failure of one control step all look at is measured but once."""

    @wraps(measure)
    def measured(task: Any, state: State) -> Measured:
        known, name = state.judging, measure.__name__
        if known is None:
            return measure(task, state)
        if name not in known:
            known[name] = measure(task, state)
        return known[name]

    return measured


def _index(model: mujoco.MjModel, kind: str, name: str) -> int | slice:
    if kind in ("body", "site"):
        return getattr(model, kind)(name).id
    if kind == "sensor":
        sensor = model.sensor(name).id
        return slice(model.sensor_adr[sensor], model.sensor_adr[sensor] + model.sensor_dim[sensor])
    joint = model.joint(name)
    free = int(joint.type[0]) == int(mujoco.mjtJoint.mjJNT_FREE)
    if kind == "joint":
        return slice(joint.qposadr[0], joint.qposadr[0] + (7 if free else 1))
    return slice(joint.dofadr[0], joint.dofadr[0] + (6 if free else 1))


class SerialState(State):
    """The one simulation in `data`, as a batch of one."""

    def __init__(
        self, model: mujoco.MjModel, data: mujoco.MjData, fields: Collection[str], parameters: Collection[str]
    ) -> None:
        super().__init__(model, 1, fields, parameters)
        self._data = data

    def __getstate__(self) -> dict[str, Any]:
        """What a copy of it begins with: no views, for those would be of arrays that nothing writes any more."""
        return {name: value for name, value in vars(self).items() if name not in self._fields} | {"_views": {}}

    @property
    def time(self) -> Array:
        return np.array([self._data.time])

    def _bind(self, field: str) -> Array:
        view = getattr(self._data, field)[None]
        if field not in STATE_FIELDS:
            view.flags.writeable = False
        return view

    def _expand(self, field: str) -> Array:
        return getattr(self.model, field)[None]


class BatchState(State):
    """All simulations of `batch`."""

    def __init__(self, batch: Batch, fields: Collection[str], parameters: Collection[str]) -> None:
        super().__init__(batch.model, batch.nsim, fields, parameters)
        self._batch = batch
        for field in fields:  # a derived field is zero until the call after it was bound
            getattr(self, field)

    @property
    def time(self) -> Array:
        return self._batch.bind("time").copy()

    def _bind(self, field: str) -> Array:
        return self._batch.bind(field)

    def _expand(self, field: str) -> Array:
        return self._batch.expand(field)


class Simulation:
    """One simulation of a `State`: the same fields without the batch dimension, `simulation.qpos` (nq,). Live."""

    def __init__(self, state: State, index: int) -> None:
        self._state, self._index = state, index

    def __getstate__(self) -> dict[str, Any]:
        """As of `SerialState`: no views."""
        return {"_state": self._state, "_index": self._index}

    @property
    def model(self) -> mujoco.MjModel:
        """The nominal model: names, addresses, limits. Not this simulation's masses and sizes."""
        return self._state.model

    @property
    def time(self) -> float:
        """Simulated time since the reset [s]."""
        return float(self._state.time[self._index])

    def __getattr__(self, field: str) -> Any:  # only for what is not there yet
        if field.startswith("_"):
            raise AttributeError(field)
        value = getattr(self._state, field)[self._index]
        self.__dict__[field] = value
        return value

    def parameter(self, field: str) -> Array:
        """As `State.parameter`, of this simulation: `parameter("body_mass")` (nbody,)."""
        return self._state.parameter(field)[self._index]

    def joint(self, name: str) -> Array:
        return self._state.joint(name)[self._index]

    def velocity(self, name: str) -> Array:
        return self._state.velocity(name)[self._index]

    def sensor(self, name: str) -> Array:
        return self._state.sensor(name)[self._index]
