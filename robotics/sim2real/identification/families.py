"""Families of physical parameters that can be identified: where each is written in a batch of models, and its bounds.

Every parameter is an absolute value in SI units that is written over the nominal one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from robotics.sim2real.identification.plant import Plant
from robotics.sim2real.identification.subject import Subject

Array = np.ndarray
#: (plant, index of the joint, body or 0, one value per simulation (N,))
Write = Callable[[Plant, int, Array], None]
#: (nominal value, subject, index of the joint, body or 0) -> lowest and highest value
Bounds = Callable[[float, Subject, int], tuple[float, float]]


def parameter_name(family: str, place: str) -> str:
    """`family.place`, or the family alone where there is one for all."""
    return f"{family}.{place}" if place else family


def family_and_place(name: str) -> tuple[str, str]:
    """What `parameter_name` made a name of; names of joints may have dots."""
    family, _, place = name.partition(".")
    return family, place


#: Units of what a hinge has -> of the same of a joint that slides.
SLIDING = {"N m/rad": "N/m", "N m s/rad": "N s/m", "N m": "N", "kg m^2": "kg", "rad": "m"}


@dataclass(frozen=True)
class Family:
    """Parameters of one kind.

    Attributes:
        unit: of a hinge, where there is one per joint; see `SLIDING`.
        of: what there is one of per parameter: "servo", "motor", "joint", "body", "free" (all free bodies) or "all".
        logarithmic: searched on a logarithmic scale.
        nominal: value in the nominal model, of the joint or body with this index.
        bounds: lowest and highest value, from the nominal one, of the joint or body with this index.
    """

    name: str
    unit: str
    of: str
    logarithmic: bool
    summary: str
    nominal: Callable[[Subject, int], float]
    bounds: Bounds
    write: Write
    beyond: tuple[float, float] | None = None
    """Bounds of a second search where the first has stopped at its own, which are narrower since it works better so."""
    native: bool = True
    """Whether the engine has a field for it, and needs nothing done at every step."""


def _dof(subject: Subject, joint: int) -> int:
    return int(subject.model.jnt_dofadr[joint])


def _actuator(subject: Subject, joint: int) -> int:
    return subject.actuators[subject.model.joint(joint).name]


def _damping(subject: Subject, joint: int) -> float:
    """Of the joint and of its servo together: below the servo's torque limit a log can not tell them apart."""
    return sum(subject.damping(joint))


def _largest_torque(subject: Subject, joint: int) -> float:
    """Of its actuator [N m]; 1 without a limit."""
    actuator = subject.actuators.get(subject.model.joint(joint).name)
    if actuator is None or not subject.model.actuator_forcelimited[actuator]:
        return 1.0
    return float(np.abs(subject.model.actuator_forcerange[actuator]).max())


def _armature_bounds(nominal: float, subject: Subject, joint: int) -> tuple[float, float]:
    """Around the nominal value, and what a joint with the inertia of all that this one moves may have."""
    inertia = float(subject.model.dof_M0[_dof(subject, joint)])
    return max(nominal, 0.02 * inertia) / 20, max(20 * nominal, 2 * inertia)


def _between(low: float, high: float) -> Bounds:
    return lambda nominal, subject, index: (low, high)


def _decades(below: float, above: float, floor: float) -> Bounds:
    """Bounds by factors of the nominal value, or from `floor` where that is zero."""
    return lambda nominal, subject, index: (max(nominal, floor) / below, max(nominal, floor) * above)


def _decades_of_torque(below: float, above: float) -> Bounds:
    """Bounds by factors of the nominal value, or of a hundredth of a joint's largest torque where that is zero."""

    def bounds(nominal: float, subject: Subject, joint: int) -> tuple[float, float]:
        around = max(nominal or 0.01 * _largest_torque(subject, joint), 0.02)
        return around / below, around * above

    return bounds


FAMILIES = {
    family.name: family
    for family in (
        Family(
            "stiffness",
            "N m/rad",
            "servo",
            True,
            "of a position servo",
            lambda s, j: float(s.model.actuator_gainprm[_actuator(s, j), 0]),
            _decades(400, 5, 1.0),
            lambda plant, j, v: plant.set_stiffness(j, v),
        ),
        Family(
            "damping",
            "N m s/rad",
            "joint",
            True,
            "viscous, of the joint and of its servo together",
            _damping,
            _decades_of_torque(50, 20),
            lambda plant, j, v: plant.set_damping(j, v),
        ),
        Family(
            "friction",
            "N m",
            "joint",
            True,
            "Coulomb",
            lambda s, j: float(s.model.dof_frictionloss[_dof(s, j)]),
            _decades_of_torque(100, 40),
            lambda plant, j, v: plant.set_friction(j, v),
        ),
        Family(
            "load_friction",
            "1",
            "servo",
            False,
            "Coulomb friction per actuator torque (BAM, model M2)",
            lambda s, j: 0.0,
            _between(0.0, 0.8),
            lambda plant, j, v: plant.set_load_friction(j, v),
            native=False,
        ),
        Family(
            "stribeck",
            "N m",
            "joint",
            False,
            "friction at rest beyond the Coulomb friction",
            lambda s, j: 0.0,
            lambda nominal, s, j: (0.0, 0.5 * _largest_torque(s, j)),
            lambda plant, j, v: plant.set_stribeck(j, v),
            native=False,
        ),
        Family(
            "backlash",
            "rad",
            "servo",
            False,
            "half the play that a servo follows its command with",
            lambda s, j: 0.0,
            _between(0.0, 0.05),
            lambda plant, j, v: plant.set_backlash(j, v),
            native=False,
        ),
        Family(
            "armature",
            "kg m^2",
            "joint",
            True,
            "inertia of the rotor, felt at the joint",
            lambda s, j: float(s.model.dof_armature[_dof(s, j)]),
            _armature_bounds,
            lambda plant, j, v: plant.set_dof("dof_armature", j, v),
        ),
        Family(
            "gain",
            "1",
            "motor",
            True,
            "torque per commanded torque",
            lambda s, j: 1.0,
            _between(0.3, 3.0),
            lambda plant, j, v: plant.set_gain(j, v),
        ),
        Family(
            "offset",
            "rad",
            "joint",
            False,
            "of the encoder",
            lambda s, j: 0.0,
            _between(-0.1, 0.1),
            lambda plant, j, v: plant.set_offset(j, v),
        ),
        Family(
            "mass",
            "kg",
            "body",
            True,
            "of a moving body; its inertia is scaled along",
            lambda s, b: float(s.model.body_mass[b]),
            _decades(4, 4, 1e-3),
            lambda plant, b, v: plant.set_mass(b, v),
        ),
        Family(
            "delay",
            "s",
            "all",
            False,
            "from a command to its effect, beyond the logged times",
            lambda s, _: 0.0,
            _between(-0.05, 0.1),
            lambda plant, _, v: plant.set_delay(v),
            beyond=(-0.05, 0.25),  # all that the registry's factors can be late together
        ),
        Family(
            "contact_friction",
            "1",
            "free",
            True,
            "sliding friction of the free bodies",
            lambda s, _: float(s.model.geom_friction[s.free_geoms(), 0].mean()),
            _between(0.02, 2.0),
            lambda plant, _, v: plant.set_contact("geom_friction", plant.subject.free_geoms(), 0, v),
        ),
        Family(
            "contact_time",
            "s",
            "free",
            True,
            "time constant of contacts (solref)",
            lambda s, _: float(s.model.geom_solref[s.free_geoms(), 0].mean()),
            lambda nominal, s, _: (2 * float(s.model.opt.timestep), 0.1),  # the engine makes none stiffer
            lambda plant, _, v: plant.set_contact("geom_solref", plant.subject.free_geoms(), 0, v),
        ),
        Family(
            "contact_damping",
            "1",
            "free",
            True,
            "damping ratio of contacts (solref)",
            lambda s, _: float(s.model.geom_solref[s.free_geoms(), 1].mean()),
            _between(0.05, 2.0),
            lambda plant, _, v: plant.set_contact("geom_solref", plant.subject.free_geoms(), 1, v),
        ),
        Family(
            "contact_size",
            "1",
            "free",
            True,
            "of free bodies where they touch, by their nominal size; a ground that lies higher looks like more",
            lambda s, _: 1.0,
            _between(0.9, 1.1),
            lambda plant, _, v: plant.set_size(plant.subject.free_geoms(), v),
        ),
    )
}
