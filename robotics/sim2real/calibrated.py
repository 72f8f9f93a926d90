"""The world that an identification found: a calibration written into the robot of a task's scene.

The expert and the controllers go on believing in the nominal model.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from robotics.envs.state import Simulation
from robotics.errors import DataError
from robotics.sim2real.signals import Delays

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

        left = calibrate(spec, dict(self.values))
        physical = [name for name, _ in self.values if name != DELAY]
        if physical and set(physical) <= set(left):
            raise DataError(f"{self.source}: none of its parameters belongs to this robot (first: {physical[0]})")
        delay = max(dict(self.values).get(DELAY, 0.0), 0.0)
        late = Delays({"command_delay": delay}, 1.0 / control_hz, nominal.opt.timestep)
        remembered = max(late.samples, slots)
        for actuator in spec.actuators if remembered else ():
            actuator.nsample = remembered
        model = spec.compile()
        if late.samples:
            model.actuator_delay[:] = late.native()
        return CalibratedScene(model, remembered)


class CalibratedScene:
    """A scene whose model alone is another one (`robotics.envs.worlds.Altered`)."""

    fields: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()

    def __init__(self, model: mujoco.MjModel, slots: int) -> None:
        self.model, self.slots = model, slots

    def adapt(self, simulation: Simulation, rng: np.random.Generator) -> None:
        """Instances are the task's own."""

    def signals(self) -> None:
        return None

    def expose(self, images: np.ndarray) -> np.ndarray:
        return images
