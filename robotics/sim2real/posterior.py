"""Worlds around what was identified: intervals of parameters, as ranges that training draws from.

What a joint told of itself is drawn for that joint. Of one that could not tell, what the others agree on; how much they
disagree widens the range. Of what no single joint has a field for in the model, one value goes for all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
#: (origin, unit): a parameter is origin + unit · what the factor says.
Scale = tuple[float, float]

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
#: Families that every joint has a value of its own of.
BY_JOINT = ("stiffness", "damping", "armature", "friction")
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

    Drawn on a logarithmic scale where the factor is relative. `joints` are ranges of single joints, in SI units, by
    `family.joint`: all of a family are equally high in theirs, as a bias of the model would have it. Ranges are lists,
    as in the JSON of a dataset. All other factors, of which logs tell nothing, are drawn from the registry's ranges up
    to the severity `rest`, if any.
    """

    ranges: dict[str, list[float]]
    rest: str | None = None
    joints: dict[str, list[float]] = field(default_factory=dict)

    def middle(self) -> "Posterior":
        """The one world in the middle of all ranges, the rest nominal."""
        ranges, joints = (
            {name: [_between(_factor_of(name), ends, 0.5)] * 2 for name, ends in found.items()}
            for found in (self.ranges, self.joints)
        )
        return Posterior(ranges, joints=joints)

    def world(self, task: MujocoTask, seed: int) -> World:
        """The world of this seed; the same for every task."""
        rng, values = np.random.default_rng((seed, _STREAM)), self._others(task, seed)
        for family, ends in self.ranges.items():
            drawn = _between(_factor_of(family), ends, rng.random())
            values.update(dict.fromkeys(FACTORS_OF[family], drawn))
        high = {family: rng.random() for family in BY_JOINT}
        joints = ((name, _between(_factor_of(name), ends, high[_family(name)])) for name, ends in self.joints.items())
        return replace(World.of(values), joints=tuple(joints))

    def _others(self, task: MujocoTask, seed: int) -> dict[str, float]:
        """Values of the factors that logs do not tell."""
        if self.rest is None:
            return {}
        families = {*self.ranges, *map(_family, self.joints)}
        known = {name for family in families for name in (*FACTORS_OF[family], *ALIKE.get(family, ()))}
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

    A joint that could not tell gets what the others agree on, where that is a ratio to its own nominal value.
    """
    limits, ranges, joints = _limits(model), dict[str, list[float]](), dict[str, list[float]]()
    for family, names in FACTORS_OF.items():
        one = FACTORS[names[0]]
        rows = {name: row for name, row in parameters.items() if _family(name) == family}
        asked = {name: _scale(family, row, limits.get(_joint(name))) for name, row in rows.items()}
        scales = {name: scale for name, scale in asked.items() if scale is not None}
        triples = {
            name: _triple(one, rows[name], scale) for name, scale in scales.items() if rows[name]["identifiable"]
        }
        told = {name: triple for name, triple in triples.items() if triple is not None}
        if told and family in BY_JOINT:
            joints |= _by_joint(one, told, scales)
        elif told:
            ranges[family] = _common(one, np.array(list(told.values())))
    return Posterior(ranges, joints=joints)


def _family(name: str) -> str:
    return name.partition(".")[0]


def _joint(name: str) -> str:
    return name.partition(".")[2]


def _factor_of(name: str) -> Factor:
    """That of a family, or of a parameter of one."""
    return FACTORS[FACTORS_OF[_family(name)][0]]


def _limits(model: mujoco.MjModel) -> dict[str, float]:
    """Torque limit [N m, N] by joint, of those that have one."""
    roles = roles_of(model)
    pairs = zip(roles.joints, roles.limits, strict=True)
    return {model.joint(int(joint)).name: float(limit) for joint, limit in pairs if limit > 0}


def _scale(family: str, row: Mapping[str, Any], limit: float | None) -> Scale | None:
    """How a parameter is measured in its factor; None where that has no meaning."""
    if _factor_of(family).relative:
        return (0.0, float(row["nominal"])) if row["nominal"] > 0 else None
    if family in _TORQUES:
        return None if limit is None else (float(row["nominal"]), limit)
    return (0.0, 0.5 if family in _HALVES else 1.0)


def _triple(one: Factor, row: Mapping[str, Any], scale: Scale) -> Array | None:
    """Lower end, value and upper end (3,) of one parameter in the factor's coordinate; None where it has none."""
    values = [(float(value) - scale[0]) / scale[1] for value in (row["ci95"][0], row["value"], row["ci95"][1])]
    return None if one.relative and values[0] <= 0 else np.array([_coordinate(one, value) for value in values])


def _by_joint(one: Factor, told: Mapping[str, Array], scales: Mapping[str, Scale]) -> dict[str, list[float]]:
    """[low, high] in SI units, never below zero: a joint's own, or of one that could not tell what the others agree on.

    Of friction nothing: a joint's own, however unsure, is better than a part of the torque limit that others have.
    """
    floor, (mean, agreed) = _floor(one), _pooled(one, np.array(list(told.values())))
    ranges = {}
    for name, (origin, unit) in scales.items():
        if name in told:
            low, middle, high = told[name]
            spread = max(floor, (high - low) / 2)
        elif one.relative:
            middle, spread = mean, agreed
        else:
            continue
        ranges[name] = [max(origin + unit * _value(one, middle + way * spread), 0.0) for way in (-1, 1)]
    return ranges


def _common(one: Factor, triples: Array) -> list[float]:
    """[low, high] in the factor's unit for all joints, from coordinates (n, 3)."""
    middle, spread = _pooled(one, triples)
    ends = [_value(one, middle + way * spread) for way in (-1, 1)]
    return [max(end, one.nominal) for end in ends] if one.one_sided and not one.relative else ends


def _pooled(one: Factor, triples: Array) -> tuple[float, float]:
    """The joints' mean from coordinates (n, 3), sure ones counting more, and how far it may be wrong."""
    floor, half = _floor(one), (triples[:, 2] - triples[:, 0]) / 2
    weight = 1.0 / (half**2 + floor**2)
    weight /= weight.sum()
    middle = float(weight @ triples[:, 1])
    return middle, max(floor, float(np.sqrt(weight @ ((triples[:, 1] - middle) ** 2 + half**2))))


def _floor(one: Factor) -> float:
    return FLOOR * abs(_coordinate(one, one.range[1]) - _coordinate(one, one.range[0]))


def _between(one: Factor, ends: Sequence[float], part: float) -> float:
    """`part` of the way from the lower to the higher end, on the factor's scale; exactly within them."""
    low, high = ends
    mixed = _coordinate(one, low) + part * (_coordinate(one, high) - _coordinate(one, low))
    return float(np.clip(_value(one, mixed), low, high))


def _coordinate(one: Factor, value: float) -> float:
    return float(np.log(value)) if one.relative else float(value)


def _value(one: Factor, coordinate: float) -> float:
    return float(np.exp(coordinate)) if one.relative else float(coordinate)
