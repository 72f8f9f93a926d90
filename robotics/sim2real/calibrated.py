"""The world that an identification found: a calibration written into the robot of a task's scene and before its servos.

The expert and the controllers go on believing in the nominal model.
"""

import sys
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import mujoco

from robotics.errors import DataError
from robotics.sim2real.applicability import task_of
from robotics.sim2real.identification.calibration import read_calibration
from robotics.sim2real.identification.families import family_and_place
from robotics.sim2real.world import AlteredScene, World

DELAY = "delay"
#: Names of robots in calibrations -> robots of environments that they are about. Others, such as files, may be any.
ROBOTS: Mapping[str, tuple[str, ...]] = {
    "so101": ("so101",),
    "arm": ("arm",),
    "bimanual": ("aloha", "mobile_aloha"),
    "quadruped": ("quadruped",),
    "humanoid": ("humanoid",),
}


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
    def read(
        cls, path: Path, env_id: str | None = None, env_kwargs: Mapping[str, Any] | None = None
    ) -> "tuple[CalibratedWorld, dict[str, Any]]":
        """The world of a calibration, and what reports say about it; DataError for a file that is none.

        With `env_id` the environment is opened once: DataError for a calibration of another robot, and `not_applied`
        in what reports say names the parameters, if any, that have no place in it.
        """
        document = read_calibration(path)
        values = tuple((name, float(row["value"])) for name, row in document["parameters"].items())
        world, about = cls(str(path), values), {key: document[key] for key in ("robot", "promoted", "verdict")}
        if env_id is None:
            return world, about
        mode = {key: value for key, value in (env_kwargs or {}).items() if key == "action_mode"}
        with closing(task_of(env_id, **mode, **({} if world.nominal else {"world": world}))) as task:
            fits = ROBOTS.get(str(about["robot"]))
            if fits is not None and task.robot_type not in fits:
                raise DataError(f"{path}: is a calibration of '{about['robot']}'; {env_id} has '{task.robot_type}'")
            left = [] if world.nominal else world.not_applied(task.altered)
        return world, about | ({"not_applied": left} if left else {})

    @classmethod
    def to_learn_in(
        cls, path: Path, env_id: str | None = None, env_kwargs: Mapping[str, Any] | None = None
    ) -> "tuple[CalibratedWorld, dict[str, Any]]":
        """As `read`, with notes on stderr where the calibration is not promoted, or not applied as a whole: what learns
        in it should know."""
        world, about = cls.read(path, env_id, env_kwargs)
        if not about["promoted"]:
            print(f"note: --calibration {path} is not promoted: {about['verdict']}", file=sys.stderr)
        if left := about.get("not_applied"):
            print(f"note: --calibration {path}: {', '.join(left)} can not be applied here", file=sys.stderr)
        return world, about

    def not_applied(self, scene: Any) -> list[str]:
        """The parameters that have no place in a scene that `alter` made; nothing can be early, so a negative delay."""
        early = [DELAY] if dict(self.values).get(DELAY, 0.0) < 0 else []
        return [*scene.left, *early]

    def alter(
        self, spec: mujoco.MjSpec, nominal: mujoco.MjModel, drawn: Collection[str], control_hz: float, slots: int = 0
    ) -> AlteredScene:
        """DataError for parameters of joints or bodies that the scene lacks, and when it has a place for none."""
        joints = tuple((name, value) for name, value in self.values if name != DELAY)
        late = {"command_delay": max(dict(self.values).get(DELAY, 0.0), 0.0)}
        self._require_places(nominal)
        scene = AlteredScene(replace(World.of(late), joints=joints), spec, nominal, drawn, control_hz, slots)
        if joints and len(scene.left) == len(joints):
            raise DataError(f"{self.source}: none of its parameters can be applied here (first: {joints[0][0]})")
        return scene

    def _require_places(self, nominal: mujoco.MjModel) -> None:
        joints = [nominal.joint(i).name for i in range(nominal.njnt)]
        bodies = [nominal.body(i).name for i in range(nominal.nbody)]
        for name, _ in self.values:
            family, place = family_and_place(name)
            known, kind = (bodies, "body") if family == "mass" else (joints, "joint")
            if place and place not in known:
                close = get_close_matches(place, known, n=1)
                meant = f"; did you mean '{close[0]}'?" if close else ""
                raise DataError(f"{self.source}: parameter '{name}': this robot has no {kind} '{place}'{meant}")
