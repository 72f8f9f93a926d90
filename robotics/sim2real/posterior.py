"""Worlds around what was identified: intervals of parameters, as ranges of the factors that training draws.

An identification has a value per joint, a world one per factor. What joints agree on becomes the middle, what they
disagree in widens the range, as do their intervals: a bias of the model shows as disagreement, and must be trained for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from robotics.envs.base import MujocoTask
from robotics.errors import UsageError
from robotics.sim2real.drawing import Randomisation
from robotics.sim2real.factors import FACTORS, Factor
from robotics.sim2real.roles import roles_of
from robotics.sim2real.world import World

Array = np.ndarray

#: Families of `robotics sysid` -> the factors that they move together. Ratios where the factors are relative.
FACTORS_OF: Mapping[str, tuple[str, ...]] = {
    "stiffness": ("actuator_gain",),
    "damping": ("joint_damping", "actuator_damping"),
    "armature": ("armature",),
    "mass": ("mass",),
    "friction": ("added_friction",),
    "stribeck": ("stribeck",),
    "load_friction": ("load_friction",),
    "backlash": ("backlash",),
    "delay": ("command_delay",),
    "dropout": ("dropout",),
}
#: Families that are counted in the logs, not fitted to them.
MEASURED = ("dropout",)
#: Other factors that logs of joints can not tell from those of a family: what is known of one is known of all.
ALIKE: Mapping[str, tuple[str, ...]] = {
    "delay": ("policy_latency", "sensing_delay"),
    "friction": ("joint_friction",),
}
#: Families whose parameters are torques, and those that count half of what the factor does.
_TORQUES, _HALVES = ("friction", "stribeck"), ("backlash",)
#: No range is narrower to either side than this part of the registry's: nothing is known better than its model is.
FLOOR = 0.05
#: Keeps the stream of worlds apart from the environment's, which is seeded with the same number.
_STREAM = 0x9057


@dataclass(frozen=True)
class Posterior:
    """One world per episode, drawn from its seed: every family uniform within its range, in its factor's unit.

    Drawn on a logarithmic scale where the factor is relative. `ranges` are lists, as in the JSON of a dataset. All
    other factors, of which logs tell nothing, are drawn from the registry's ranges up to the severity `rest`, if any.
    """

    ranges: dict[str, list[float]]
    rest: str | None = None

    def middle(self) -> "Posterior":
        """The one world in the middle of all ranges, the rest nominal."""
        middles = {}
        for family, (low, high) in self.ranges.items():
            one = FACTORS[FACTORS_OF[family][0]]
            middles[family] = [_value(one, (_coordinate(one, low) + _coordinate(one, high)) / 2)] * 2
        return Posterior(middles)

    def world(self, task: MujocoTask, seed: int) -> World:
        """The world of this seed; the same for every task."""
        rng, values = np.random.default_rng((seed, _STREAM)), self._others(task, seed)
        for family, (low, high) in self.ranges.items():
            names = FACTORS_OF[family]
            one = FACTORS[names[0]]
            drawn = _value(one, rng.uniform(_coordinate(one, low), _coordinate(one, high)))
            values.update(dict.fromkeys(names, float(np.clip(drawn, low, high))))
        return World.of(values)

    def _others(self, task: MujocoTask, seed: int) -> dict[str, float]:
        """Values of the factors that logs do not tell."""
        if self.rest is None:
            return {}
        known = {name for family in self.ranges for name in (*FACTORS_OF[family], *ALIKE.get(family, ()))}
        drawn = Randomisation(self.rest).world(task, seed).as_dict()
        return {name: value for name, value in drawn.items() if name not in known}


def require_known(families: Sequence[str] | None) -> None:
    """UsageError for a family that training has no factor for."""
    known = [name for name in FACTORS_OF if name not in MEASURED]
    for name in families or ():
        if name not in known:
            raise UsageError(f"--parameters {name}: training can draw {', '.join(known)}")


def posterior(parameters: Mapping[str, Mapping[str, Any]], model: mujoco.MjModel) -> Posterior:
    """Ranges from the `parameters` of an identification that started from `model`; without those it could not tell.

    Friction below the nominal one is no factor's: its range begins at none added.
    """
    limits, ranges = _limits(model), dict[str, list[float]]()
    for family, names in FACTORS_OF.items():
        found = {n: row for n, row in parameters.items() if n.partition(".")[0] == family and row["identifiable"]}
        triples = [_triple(family, FACTORS[names[0]], row, limits.get(n.partition(".")[2])) for n, row in found.items()]
        if known := [one for one in triples if one is not None]:
            ranges[family] = _range(FACTORS[names[0]], np.array(known))
    return Posterior(ranges)


def _limits(model: mujoco.MjModel) -> dict[str, float]:
    """Torque limit [N m, N] by joint, of those that have one."""
    roles = roles_of(model)
    pairs = zip(roles.joints, roles.limits, strict=True)
    return {model.joint(int(joint)).name: float(limit) for joint, limit in pairs if limit > 0}


def _triple(family: str, one: Factor, row: Mapping[str, Any], limit: float | None) -> tuple[float, ...] | None:
    """Lower end, value and upper end of one parameter in the factor's coordinate; None where it has no meaning."""
    low, high = row["ci95"]
    values = np.array([low, row["value"], high], float)
    if one.relative:
        if row["nominal"] <= 0 or low <= 0:
            return None
        values = values / row["nominal"]
    elif family in _TORQUES:
        if limit is None:
            return None
        values = (values - row["nominal"]) / limit
    elif family in _HALVES:
        values = 2.0 * values
    return tuple(float(_coordinate(one, value)) for value in values)


def _range(one: Factor, triples: Array) -> list[float]:
    """[low, high] from (n, 3) coordinates: the joints' mean, sure ones counting more, and how far it may be wrong."""
    floor = FLOOR * abs(_coordinate(one, one.range[1]) - _coordinate(one, one.range[0]))
    half = (triples[:, 2] - triples[:, 0]) / 2
    weight = 1.0 / (half**2 + floor**2)
    weight /= weight.sum()
    middle = float(weight @ triples[:, 1])
    spread = max(floor, float(np.sqrt(weight @ ((triples[:, 1] - middle) ** 2 + half**2))))
    ends = [_value(one, middle - spread), _value(one, middle + spread)]
    return [max(end, one.nominal) for end in ends] if one.one_sided and not one.relative else ends


def _coordinate(one: Factor, value: float) -> float:
    return float(np.log(value)) if one.relative else float(value)


def _value(one: Factor, coordinate: float) -> float:
    return float(np.exp(coordinate)) if one.relative else float(coordinate)
