"""Worlds around what was identified, as training draws them: whole fits to the same logs, resampled.

What a parameter may be depends on what the others are: a softer servo with less damping lags as much. Worlds that drew
every parameter for itself would lag by anything; those of one fit each do not.

What a joint told of itself is that joint's, as far as joints differ by more than they are unsure: legs that differ by
the noise of a fit pull to a side. One that told vaguely keeps its own fit, and one that could not tell gets what the
others agree on, give or take how much they disagree. Of what no single joint has a field for in the model, one value
goes for all.
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
from robotics.sim2real.identification.families import family_and_place, parameter_name
from robotics.sim2real.roles import roles_of
from robotics.sim2real.shrinkage import shrunk
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
#: Up to these errors of stiffness, damping and armature (logarithm) the samples' covariance says what compensates what.
#: Beyond, a joint keeps its own fit. A shoulder with an error of 0.2, fitted 1.2 times too stiff, was softened to its
#: true stiffness and kept the friction that had made up for it: a policy from the target itself did 60 of 100 in that
#: world, and 95 in the one of its own fit.
LINEAR = 0.15
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


def identified_world(
    parameters: Parameters, samples: Mapping[str, Sequence[float]], model: mujoco.MjModel
) -> Posterior:
    """The one world that an identification found which started from `model`, without what it could not tell.

    Its `samples` say which joints differ by no more than they are unsure.
    """
    return _worlds(parameters, samples, model, None)


def posterior(parameters: Parameters, samples: Mapping[str, Sequence[float]], model: mujoco.MjModel) -> Posterior:
    """The worlds around it: one per row of the identification's `samples`.

    Parameters without samples were measured apart from the others: they lie evenly in their intervals.
    """
    rng, count = np.random.default_rng(_STREAM), len(next(iter(samples.values())))
    apart = {name: row["ci95"] for name, row in parameters.items() if name not in samples}
    evenly = {name: rng.permutation(np.linspace(low, high, count)).tolist() for name, (low, high) in apart.items()}
    return _worlds(parameters, {**samples, **evenly}, model, rng)


def _worlds(
    parameters: Parameters,
    samples: Mapping[str, Sequence[float]],
    model: mujoco.MjModel,
    rng: np.random.Generator | None,
) -> Posterior:
    """One world per row of `samples`, spread by `rng` for what they leave out; without it, the one of the fit."""
    scales = _scales(parameters, model)
    found = {name: _told(name, parameters[name], samples.get(name, ()), scale) for name, scale in scales.items()}
    told = {name: one for name, one in found.items() if one is not None}
    drawn = {name: np.array([one.fitted]) if rng is None else one.samples for name, one in told.items()}
    own = _alike(told, drawn)
    families, joints = dict[str, list[float]](), dict[str, list[float]]()
    for family in FACTORS_OF:
        one = _factor(family)
        known = [name for name in told if _family(name) == family]
        if not known:
            continue
        common, apart = _agreed(one, [told[name] for name in known], [drawn[name] for name in known])
        bias = _floor(one) * _anyhow(rng, common)
        if family not in BY_JOINT:
            families[family] = [_allowed(one, value) for value in common + bias + apart * _anyhow(rng, common)]
            continue
        for name, (origin, unit) in scales.items():
            if _family(name) != family:
                continue
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
    """What one parameter is by the fit and by its samples (N,), and how unsure, in the factor's coordinate."""

    fitted: float
    samples: Array
    half_width: float


def _family(name: str) -> str:
    return family_and_place(name)[0]


def _is_ratio(name: str) -> bool:
    family = _family(name)
    return family in BY_JOINT and _factor(family).relative


def _factor(family: str) -> Factor:
    """That the parameters of this family are measured in."""
    return FACTORS[FACTORS_OF[family][0]]


def _scales(parameters: Parameters, model: mujoco.MjModel) -> dict[str, Scale]:
    """How each parameter is measured in its factor, of those of which that has a meaning."""
    roles, found = roles_of(model), dict[str, Scale]()
    pairs = zip(roles.joints, roles.limits, strict=True)
    limits = {model.joint(int(joint)).name: float(limit) for joint, limit in pairs if limit > 0}  # torque [N m, N]
    for name, row in parameters.items():
        family, joint = family_and_place(name)
        if family not in FACTORS_OF:
            continue
        if _factor(family).relative:
            if row["nominal"] > 0:
                found[name] = (0.0, float(row["nominal"]))
        elif family not in _TORQUES:
            found[name] = (0.0, 0.5 if family in _HALVES else 1.0)
        elif joint in limits:
            found[name] = (float(row["nominal"]), limits[joint])
    return found


def _told(name: str, row: Mapping[str, Any], samples: Sequence[float], scale: Scale) -> _Told | None:
    """None of a parameter that could not be identified, or may be none where only ratios count."""
    one, (origin, unit) = _factor(_family(name)), scale
    if not row["identifiable"] or (one.relative and row["ci95"][0] <= 0):
        return None
    fitted, low, high, *values = (_coordinate(one, (v - origin) / unit) for v in (row["value"], *row["ci95"], *samples))
    return _Told(fitted, np.array(values), (high - low) / 2)


def _agreed(one: Factor, told: Sequence[_Told], drawn: Sequence[Array]) -> tuple[Array, float]:
    """The mean in each world of what was `drawn` of joints (N,), sure ones counting more; how far they are apart."""
    weight = 1.0 / (np.array([found.half_width for found in told]) ** 2 + _floor(one) ** 2)
    weight /= weight.sum()
    values = np.array(drawn)
    middle = values.mean(axis=1)
    return weight @ values, float(np.sqrt(weight @ (middle - weight @ middle) ** 2))


def _alike(told: Mapping[str, _Told], drawn: Mapping[str, Array]) -> dict[str, Array]:
    """What was `drawn` of each joint (N,), with joints as alike as they may be; see `shrinkage`."""
    vague = {family_and_place(name)[1] for name, one in told.items() if _is_ratio(name) and one.samples.std() > LINEAR}
    clear = [name for name in told if _family(name) in BY_JOINT and family_and_place(name)[1] not in vague]
    families = [family for family in BY_JOINT if sum(_family(name) == family for name in clear) >= FEWEST_ALIKE]
    if not families:
        return dict(drawn)
    places = sorted({family_and_place(name)[1] for name in clear if _family(name) in families})
    names = [[parameter_name(family, place) for family in families] for place in places]

    def by_joint(values: Mapping[str, Array]) -> Array:
        """(J, N, D) of these names, NaN where there is none."""
        none = np.full_like(next(values[name] for row in names for name in row if name in values), np.nan)
        return np.array([[values.get(name, none) for name in row] for row in names]).swapaxes(1, 2)

    fitted = by_joint({name: np.array([one.fitted]) for name, one in told.items()})[:, 0]
    moved = shrunk(fitted, by_joint({name: one.samples for name, one in told.items()}), by_joint(drawn))
    joints = {name: moved[j, :, d] for j, row in enumerate(names) for d, name in enumerate(row) if name in told}
    return {**drawn, **joints}


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
