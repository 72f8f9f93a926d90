"""The world that an identification found: a calibration written into the robot of a task's scene and before its servos.

The expert and the controllers go on believing in the nominal model.
"""

import sys
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mujoco

from robotics.errors import DataError
from robotics.sim2real.identification.calibration import read_calibration
from robotics.sim2real.world import AlteredScene, World

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
        document = read_calibration(path)
        values = tuple((name, float(row["value"])) for name, row in document["parameters"].items())
        return cls(str(path), values), {key: document[key] for key in ("robot", "promoted", "verdict")}

    @classmethod
    def to_learn_in(cls, path: Path) -> "tuple[CalibratedWorld, dict[str, Any]]":
        """As `read`, with a note on stderr where the calibration is not promoted: what learns in it should know."""
        world, about = cls.read(path)
        if not about["promoted"]:
            print(f"note: --calibration {path} is not promoted: {about['verdict']}", file=sys.stderr)
        return world, about

    def alter(
        self, spec: mujoco.MjSpec, nominal: mujoco.MjModel, drawn: Collection[str], control_hz: float, slots: int = 0
    ) -> AlteredScene:
        """DataError when the scene has none of the calibrated joints."""
        joints = tuple((name, value) for name, value in self.values if name != DELAY)
        late = {"command_delay": max(dict(self.values).get(DELAY, 0.0), 0.0)}
        scene = AlteredScene(replace(World.of(late), joints=joints), spec, nominal, drawn, control_hz, slots)
        if joints and len(scene.left) == len(joints):
            raise DataError(f"{self.source}: none of its parameters belongs to this robot (first: {joints[0][0]})")
        return scene
