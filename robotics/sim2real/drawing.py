"""Worlds at random: for training a mild one per episode, for a hidden twin one that reaches further."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from robotics.envs.base import MujocoTask
from robotics.errors import UsageError, unknown_name
from robotics.sim2real.applicability import applicable
from robotics.sim2real.calibrated import CalibratedWorld
from robotics.sim2real.factors import Factor
from robotics.sim2real.presets import preset, with_ranges
from robotics.sim2real.world import World

#: Randomisation in training: up to this severity, of what identification has parameters for.
TRAINING: Mapping[str, float] = {"mild": 0.25, "medium": 0.5, "wide": 1.0}
#: Hidden twins: further than the training of the same name, and with structure that training does not have.
TWINS: Mapping[str, float] = {"mild": 0.35, "medium": 0.7, "hard": 1.2}
#: A twin differs in each modelled factor with this probability.
SHARE = 0.35

#: Keeps the stream of worlds apart from the environment's, which is seeded with the same number.
_STREAM = 0x3D0A


class Draw(Protocol):
    """Gives every attempt at a demonstration its world: a dataclass of JSON values, which the dataset notes."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def world(self, task: MujocoTask, seed: int) -> World | CalibratedWorld:
        """The world of the attempt with this seed, in the nominal `task`."""
        ...


@dataclass(frozen=True)
class Randomisation:
    """One world per episode, drawn from its seed: `severity` one of `TRAINING`, `ranges` a preset or the registry's."""

    severity: str
    ranges: str | None = None

    def __post_init__(self) -> None:
        if self.severity not in TRAINING:
            raise unknown_name("severity of randomisation", self.severity, TRAINING)
        if self.ranges is not None:
            preset(self.ranges)

    def factors(self, task: MujocoTask) -> list[Factor]:
        """The factors that are drawn for this task; UsageError when there are none."""
        known = [with_ranges(one, self.ranges) for one in applicable(task).values() if one.modelled]
        if self.ranges is not None:
            known = [one for one in known if one.name in preset(self.ranges).ranges]
        if not known:
            raise UsageError(f"--ranges {self.ranges}: none of its factors changes anything in this environment")
        return known

    def world(self, task: MujocoTask, seed: int) -> World:
        """Every factor uniform in severity up to `TRAINING`'s, towards either end of its range."""
        rng = np.random.default_rng((seed, _STREAM))
        most = TRAINING[self.severity]
        return World.of({one.name: one.at(rng.uniform(-most, most)) for one in self.factors(task)})


def randomisation(severity: str | None, ranges: str | None) -> Randomisation | None:
    """What --randomise and --ranges ask for; None for the simulation as it is. UsageError for what does not exist."""
    if severity is not None:
        return Randomisation(severity, ranges)
    if ranges is not None:
        raise UsageError(f"--ranges {ranges} means nothing without --randomise")
    return None


def draw_twin(task: MujocoTask, severity: str, rng: np.random.Generator) -> World:
    """A target for `task`: every other modelled factor, and all unmodelled structure, up to the severity's reach."""
    if severity not in TWINS:
        raise unknown_name("severity of a twin", severity, TWINS)
    most, values = TWINS[severity], dict[str, float]()
    for name, one in applicable(task).items():
        chosen, way = rng.random() < SHARE, rng.uniform(-most, most)
        if chosen or not one.modelled:
            values[name] = one.at(way)
    return World.of(values)
