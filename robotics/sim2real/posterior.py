"""Worlds around what was identified, as training draws them: whole fits to the same logs, resampled.

What a parameter may be depends on what the others are: a softer servo with less damping lags as much. Worlds that drew
every parameter for itself would lag by anything; those of one fit each do not.

What a joint told of itself is that joint's, as far as joints differ by more than they are unsure: legs that differ by
the noise of a fit pull to a side. One that could not tell gets what the others agree on, give or take how much they
disagree. Of what no single joint has a field for in the model, one value goes for all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import mujoco
import numpy as np
from scipy.special import ndtri

from robotics.envs.base import MujocoTask
from robotics.errors import UsageError
from robotics.sim2real.drawing import Randomisation
from robotics.sim2real.factors import FACTORS, Factor
from robotics.sim2real.identification.families import family_and_place
from robotics.sim2real.roles import roles_of
from robotics.sim2real.world import World

Array = np.ndarray
#: (origin, unit): a parameter is origin + unit · what the factor says.
Scale = tuple[float, float]
#: Rows of `robotics sysid` by `family.joint` or `family`.
Parameters = Mapping[str, Mapping[str, Any]]

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
#: Every family is moved by up to this part of the registry's range, all joints alike: no model is better than its form.
FLOOR = 0.05
#: So many joints say how much joints differ.
FEWEST_ALIKE = 4
#: Keeps the stream of what is drawn besides the resampled fits apart.
_STREAM = 0x9057


@dataclass(frozen=True)
class Posterior:
    """Worlds of equal weight, which episodes take in turn by their seeds.

    World i has the value `families[name][i]` of every family, in its factor's unit, and `joints[name][i]` of every
    `family.joint`, in SI units: lists of one length, as in the JSON of a dataset. All other factors, of which logs tell
    nothing, are drawn from the registry's ranges up to the severity `rest`, if any.
    """

    families: dict[str, list[float]]
    rest: str | None = None
    joints: dict[str, list[float]] = field(default_factory=dict)

    def world(self, task: MujocoTask, seed: int) -> World:
        """The world of this seed; the same for every task."""
        values = self._others(task, seed)
        for family, drawn in self.families.items():
            values.update(dict.fromkeys(FACTORS_OF[family], drawn[seed % len(drawn)]))
        joints = tuple((name, drawn[seed % len(drawn)]) for name, drawn in self.joints.items())
        return replace(World.of(values), joints=joints)

    def _others(self, task: MujocoTask, seed: int) -> dict[str, float]:
        """Values of the factors that logs do not tell."""
        if self.rest is None:
            return {}
        families = {*self.families, *map(_family, self.joints)}
        known = {name for family in families for name in (*FACTORS_OF[family], *ALIKE.get(family, ()))}
        drawn = Randomisation(self.rest).world(task, seed).as_dict()
        return {name: value for name, value in drawn.items() if name not in known}


def intervals(drawn: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """[low, high] of 95 % of the worlds, by name."""
    return {name: np.quantile(values, [0.025, 0.975]).tolist() for name, values in drawn.items()}


def require_known(families: Sequence[str] | None) -> None:
    """UsageError for a family that training has no factor for."""
    known = [name for name in FACTORS_OF if name not in MEASURED]
    for name in families or ():
        if name not in known:
            raise UsageError(f"--parameters {name}: training can draw {', '.join(known)}")


def identified_world(parameters: Parameters, model: mujoco.MjModel) -> Posterior:
    """The one world that an identification found which started from `model`, without what it could not tell."""
    return _worlds(parameters, {name: np.array([row["value"]]) for name, row in parameters.items()}, model, None)


def posterior(parameters: Parameters, samples: Mapping[str, Sequence[float]], model: mujoco.MjModel) -> Posterior:
    """The worlds around it: one per row of the identification's `samples`.

    Parameters without samples were measured apart from the others: they lie evenly in their intervals.
    """
    rng, count = np.random.default_rng(_STREAM), len(next(iter(samples.values())))
    drawn = {
        name: np.array(samples[name]) if name in samples else rng.permutation(_evenly(row["ci95"], count))
        for name, row in parameters.items()
    }
    return _worlds(parameters, drawn, model, rng)


def _evenly(ends: Sequence[float], count: int) -> Array:
    return np.linspace(ends[0], ends[1], count)


def _worlds(
    parameters: Parameters, drawn: Mapping[str, Array], model: mujoco.MjModel, rng: np.random.Generator | None
) -> Posterior:
    """World i of what was `drawn` i-th of every parameter (N,) [SI], spread by `rng` for what that leaves out."""
    limits, families, joints = _limits(model), dict[str, list[float]](), dict[str, list[float]]()
    for family, names in FACTORS_OF.items():
        one = FACTORS[names[0]]
        rows = {name: row for name, row in parameters.items() if _family(name) == family}
        asked = {name: _scale(one, family, row, limits.get(family_and_place(name)[1])) for name, row in rows.items()}
        scales = {name: scale for name, scale in asked.items() if scale is not None}
        told = {name: _told(one, rows[name], drawn[name], scale) for name, scale in scales.items()}
        known = {name: found for name, found in told.items() if found is not None}
        if not known:
            continue
        common, apart = _agreed(one, list(known.values()))
        bias = _floor(one) * _anyhow(rng, common)
        if family not in BY_JOINT:
            families[family] = [_allowed(one, value) for value in common + bias + apart * _anyhow(rng, common)]
            continue
        own = dict(zip(known, _shrunk(list(known.values())), strict=True))
        for name, (origin, unit) in scales.items():
            if name in own:
                values = own[name]
            elif one.relative:
                values = common + apart * _anyhow(rng, common)
            else:  # friction: a joint's own, however unsure, is better than a part of the torque limit that others have
                continue
            joints[name] = [max(origin + unit * _value(one, value), 0.0) for value in values + bias]
    return Posterior(families, joints=joints)


@dataclass(frozen=True)
class _Told:
    """What one parameter is in each world (N,), what the fit says and how unsure it is, in the factor's coordinate."""

    values: Array
    fitted: float
    half_width: float


def _family(name: str) -> str:
    return family_and_place(name)[0]


def _limits(model: mujoco.MjModel) -> dict[str, float]:
    """Torque limit [N m, N] by joint, of those that have one."""
    roles = roles_of(model)
    pairs = zip(roles.joints, roles.limits, strict=True)
    return {model.joint(int(joint)).name: float(limit) for joint, limit in pairs if limit > 0}


def _scale(one: Factor, family: str, row: Mapping[str, Any], limit: float | None) -> Scale | None:
    """How a parameter is measured in its factor; None where that has no meaning."""
    if one.relative:
        return (0.0, float(row["nominal"])) if row["nominal"] > 0 else None
    if family in _TORQUES:
        return None if limit is None else (float(row["nominal"]), limit)
    return (0.0, 0.5 if family in _HALVES else 1.0)


def _told(one: Factor, row: Mapping[str, Any], drawn: Array, scale: Scale) -> _Told | None:
    """None of a parameter that could not be identified, or may be none where only ratios count."""
    if not row["identifiable"] or (one.relative and row["ci95"][0] <= 0):
        return None
    origin, unit = scale
    fitted, low, high, *values = (_coordinate(one, (v - origin) / unit) for v in (row["value"], *row["ci95"], *drawn))
    return _Told(np.array(values), fitted, (high - low) / 2)


def _agreed(one: Factor, told: Sequence[_Told]) -> tuple[Array, float]:
    """The joints' mean in each world (N,), sure ones counting more, and how far they are apart."""
    weight = 1.0 / (np.array([found.half_width for found in told]) ** 2 + _floor(one) ** 2)
    weight /= weight.sum()
    values = np.array([found.values for found in told])
    middle = values.mean(axis=1)
    return weight @ values, float(np.sqrt(weight @ (middle - weight @ middle) ** 2))


def _shrunk(told: Sequence[_Told]) -> list[Array]:
    """The values of each joint in each world (N,), drawn to their mean as far as noise alone explains how they differ.

    Empirical Bayes (Efron & Morris 1975): the variance between joints is that of their fits less that of the errors,
    and a joint's own fit counts by its part of the two. Of fewer than `FEWEST_ALIKE` it can not be told.
    """
    if len(told) < FEWEST_ALIKE:
        return [found.values for found in told]
    unsure = np.array([max(found.half_width, 1e-9) / ndtri(0.975) for found in told]) ** 2
    between = max(np.var([found.fitted for found in told], ddof=1) - unsure.mean(), 0.0)
    own, weight = between / (between + unsure), 1.0 / (between + unsure)
    mean = weight @ np.array([found.values for found in told]) / weight.sum()
    return [part * found.values + (1 - part) * mean for part, found in zip(own, told, strict=True)]


def _anyhow(rng: np.random.Generator | None, like: Array) -> Array:
    """Numbers within ±1, of the shape of `like`; zeros without `rng`."""
    return np.zeros_like(like) if rng is None else rng.uniform(-1.0, 1.0, like.shape)


def _allowed(one: Factor, coordinate: float) -> float:
    """In the factor's unit, and on its side of nominal where it has one."""
    value = _value(one, coordinate)
    return max(value, one.nominal) if one.one_sided and not one.relative else value


def _floor(one: Factor) -> float:
    return FLOOR * abs(_coordinate(one, one.range[1]) - _coordinate(one, one.range[0]))


def _coordinate(one: Factor, value: float) -> float:
    return float(np.log(value)) if one.relative else float(value)


def _value(one: Factor, coordinate: float) -> float:
    return float(np.exp(coordinate)) if one.relative else float(coordinate)
