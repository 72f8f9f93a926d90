"""The world that an identification found: a calibration written into the robot of a task's scene and before its servos.

The expert and the controllers go on believing in the nominal model.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from robotics.envs.state import Simulation
from robotics.errors import DataError
from robotics.sim2real.identification.families import parameter_name
from robotics.sim2real.roles import Roles, roles_of
from robotics.sim2real.signals import Delays, WorldSignals, turned_by, used_by

Array = np.ndarray

DELAY = "delay"


@dataclass(frozen=True)
class CalibratedWorld:
    """Parameters of a calibration file by name, in SI units (`robotics.envs.worlds.World`)."""

    source: str
    values: tuple[tuple[str, float], ...]

    @property
    def nominal(self) -> bool:
        """Whether it is the environment itself."""
        return not self.values

    @classmethod
    def read(cls, path: Path) -> "tuple[CalibratedWorld, dict[str, Any]]":
        """The world of a calibration, and what reports say about it; DataError for a file that is none."""
        from robotics.sim2real.identification.calibration import read_calibration

        document = read_calibration(path)
        values = tuple((name, float(row["value"])) for name, row in document["parameters"].items())
        return cls(str(path), values), {key: document[key] for key in ("robot", "promoted", "verdict")}

    def alter(
        self, spec: mujoco.MjSpec, nominal: mujoco.MjModel, drawn: Collection[str], control_hz: float, slots: int = 0
    ) -> "CalibratedScene":
        """DataError when the scene has none of the calibrated joints."""
        from robotics.sim2real.identification.calibration import calibrate

        values = dict(self.values)
        left = calibrate(spec, values)
        roles = roles_of(nominal)
        worn = _wear(values, nominal, roles)
        physical = [name for name, _ in self.values if name != DELAY]
        if physical and set(physical) <= set(left) and not worn:
            raise DataError(f"{self.source}: none of its parameters belongs to this robot (first: {physical[0]})")
        delay = max(values.get(DELAY, 0.0), 0.0)
        late = Delays({"command_delay": delay}, 1.0 / control_hz, nominal.opt.timestep)
        remembered = max(late.samples, slots)
        for actuator in spec.actuators if remembered else ():
            actuator.nsample = remembered
        model = spec.compile()
        if late.samples:
            model.actuator_delay[:] = late.native()
        return CalibratedScene(model, roles, remembered, late, worn, 1.0 / control_hz)


def _wear(values: Mapping[str, float], model: mujoco.MjModel, roles: Roles) -> dict[str, Array]:
    """Play and friction of single joints that the engine has no field for, as `WorldSignals` takes them."""
    joints = [model.joint(int(joint)).name for joint in roles.joints]
    driven = [model.joint(int(model.actuator_trnid[actuator, 0])).name for actuator in turned_by(roles)]
    limits = np.where(roles.limits > 0, roles.limits, np.inf)  # without a limit there is nothing to be a part of
    found = {
        "backlash": 2 * _of("backlash", driven, values),
        "stribeck": _of("stribeck", joints, values) / limits,
        "load_friction": _of("load_friction", joints, values),
    }
    return {name: one for name, one in found.items() if one.any()}


def _of(family: str, joints: Sequence[str], values: Mapping[str, float]) -> Array:
    return np.array([values.get(parameter_name(family, joint), 0.0) for joint in joints])


class CalibratedScene:
    """A scene whose model is another one, and whose joints may be `worn` (`robotics.envs.worlds.Altered`)."""

    def __init__(
        self,
        model: mujoco.MjModel,
        roles: Roles,
        slots: int,
        delays: Delays,
        worn: Mapping[str, Array],
        period_s: float,
    ) -> None:
        self.model, self.slots, self._roles = model, slots, roles
        self._delays, self._worn, self._period_s = delays, worn, period_s
        self.fields, self.parameters = used_by(worn)

    def adapt(self, simulation: Simulation, rng: np.random.Generator) -> None:
        """Instances are the task's own."""

    def signals(self, idle: bool = False) -> WorldSignals | None:
        if not self._worn and not idle:
            return None
        return WorldSignals({}, self._roles, self.model, self._period_s, self._delays, self._worn)

    def expose(self, images: np.ndarray) -> np.ndarray:
        return images
