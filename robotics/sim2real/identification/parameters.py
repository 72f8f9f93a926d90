"""The unknowns of an identification: which families of parameters are fitted for which joints and bodies.

The optimiser works on a search coordinate: the logarithm of a positive parameter, or the value in fifths of its range,
so that one step size fits all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import mujoco
import numpy as np

from robotics.errors import UsageError, unknown_name
from robotics.sim2real.identification.families import FAMILIES, SLIDING, Family, parameter_name
from robotics.sim2real.identification.subject import Subject

Array = np.ndarray


@dataclass(frozen=True)
class Parameter:
    """One unknown: `family.of_what`, with its place, nominal value and bounds."""

    name: str
    family: Family
    index: int
    nominal: float
    low: float
    high: float
    slides: bool = False
    """Whether it belongs to a joint that slides."""

    @property
    def unit(self) -> str:
        return SLIDING.get(self.family.unit, self.family.unit) if self.slides else self.family.unit

    def wider(self) -> "Parameter":
        """The same within bounds that its family only seldom needs."""
        low, high = self.family.beyond or (self.low, self.high)
        return replace(self, low=low, high=high)

    @property
    def _fifth(self) -> float:
        return (self.high - self.low) / 5

    def to_search(self, value: Array | float) -> Array:
        """The search coordinate of a value."""
        return np.log(value) if self.family.logarithmic else np.asarray(value) / self._fifth

    def from_search(self, z: Array | float) -> Array:
        return np.exp(z) if self.family.logarithmic else np.asarray(z) * self._fifth

    @property
    def start(self) -> float:
        """The nominal value, off the bounds: an optimiser stalls at them (mujoco#3284).

        On a logarithmic scale nothing is endlessly far away, and next to nothing has no effect to follow: where the
        nominal model has none, it is the middle.
        """
        low, high = float(self.to_search(self.low)), float(self.to_search(self.high))
        if self.family.logarithmic and self.nominal <= 0:
            return (low + high) / 2
        nominal = self.to_search(max(self.nominal, self.low))
        return float(np.clip(nominal, low + 0.02 * (high - low), high - 0.02 * (high - low)))


#: What is fitted unless told otherwise: of a robot with position servos, of one with motors, which are believed to give
#: the torque that was logged (a log can not tell all torques from all inertias), and of free bodies.
SERVO = ("stiffness", "damping", "armature", "friction", "load_friction", "backlash", "delay")
MOTOR = ("mass", "armature", "damping", "friction", "delay")
CONTACT = ("contact_friction", "contact_time", "contact_damping", "contact_size")


def choose(
    subject: Subject, joints: Sequence[str], commanded: bool, free: bool, families: Sequence[str] | None
) -> list[Parameter]:
    """The parameters of these families for the `joints` that the logs hold; the usual ones when None.

    Raises UsageError for a family that does not exist, and for one that this robot has nothing of.
    """
    for name in families or ():
        if name not in FAMILIES:
            raise unknown_name("family of parameters", name, FAMILIES)
    found: list[Parameter] = []
    for name in families or usual(subject, joints):
        places = _places(subject, FAMILIES[name], joints, commanded, free)
        if families and not places:
            raise UsageError(
                f"{subject.name} has nothing with a {name} in these logs; it belongs to a {FAMILIES[name].of}"
            )
        found += [_parameter(subject, FAMILIES[name], label, index) for label, index in places]
    return found


def usual(subject: Subject, joints: Sequence[str]) -> tuple[str, ...]:
    """The families that are fitted unless told otherwise."""
    return (MOTOR if motors_only(subject, joints) else SERVO) + CONTACT


def motors_only(subject: Subject, joints: Sequence[str]) -> bool:
    """Whether nothing holds these joints: there are motors, and no position servo."""
    driven = [joint for joint in joints if joint in subject.actuators]
    return bool(driven) and not any(subject.is_servo(joint) for joint in driven)


def _places(
    subject: Subject, family: Family, joints: Sequence[str], commanded: bool, free: bool
) -> list[tuple[str, int]]:
    model = subject.model
    if family.of == "all":
        return [("", 0)] if commanded else []
    if family.of == "free":
        return [("", 0)] if free and len(subject.free_geoms()) else []
    if family.of == "body":
        return [(model.body(b).name, b) for b in range(1, model.nbody) if _moves(model, b) and model.body_mass[b] > 0]
    wanted = {
        "joint": lambda joint: True,
        "servo": subject.is_servo,
        "motor": lambda joint: joint in subject.actuators and not subject.is_servo(joint),
    }[family.of]
    return [(joint, int(model.joint(joint).id)) for joint in joints if wanted(joint)]


def _parameter(subject: Subject, family: Family, label: str, index: int) -> Parameter:
    nominal = family.nominal(subject, index)
    low, high = family.bounds(nominal, subject, index)
    slides = family.of in ("joint", "servo", "motor") and subject.model.jnt_type[index] == mujoco.mjtJoint.mjJNT_SLIDE
    return Parameter(parameter_name(family.name, label), family, index, nominal, low, high, bool(slides))


def _moves(model: mujoco.MjModel, body: int) -> bool:
    return bool(model.body_weldid[body])
