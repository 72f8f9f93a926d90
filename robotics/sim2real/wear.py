"""Play, friction and offsets of encoders of single joints, for which the engine has no field: as identified, and as
signals take them."""

from collections.abc import Mapping
from dataclasses import dataclass

import mujoco
import numpy as np

from robotics.sim2real.identification.families import parameter_name
from robotics.sim2real.roles import Roles
from robotics.sim2real.signals import turned_by

Array = np.ndarray

#: Families of parameters whose factor has another name.
FAMILIES = {"encoder_offset": "offset"}


@dataclass(frozen=True)
class Wear:
    """Values by factor as `WorldSignals` takes them, and the parameters that say so."""

    by_factor: dict[str, Array]
    parameters: frozenset[str]


def wear_of(values: Mapping[str, float], model: mujoco.MjModel, roles: Roles) -> Wear:
    """What parameters of `robotics sysid`, in SI units, say of the wear of this model's joints.

    Friction at rest is a torque that the factor counts in parts of the joint's limit: where there is none, it is left.
    """
    joints = [model.joint(int(joint)).name for joint in roles.joints]
    hinges = [model.joint(int(joint)).name for joint in roles.joints[roles.turning]]
    driven = [model.joint(int(model.actuator_trnid[actuator, 0])).name for actuator in turned_by(roles)]
    limited = roles.limits > 0
    scales = {
        "backlash": (driven, np.full(len(driven), 2.0)),  # to either side, where the factor counts from end to end
        "stribeck": (joints, np.divide(1.0, roles.limits, out=np.zeros(len(joints)), where=limited)),
        "load_friction": (joints, np.ones(len(joints))),
        "encoder_offset": (hinges, np.ones(len(hinges))),
    }
    by_factor, parameters = dict[str, Array](), set[str]()
    for factor, (places, scale) in scales.items():
        names = [parameter_name(FAMILIES.get(factor, factor), place) for place in places]
        parameters |= {name for name, one in zip(names, scale, strict=True) if name in values and one}
        worn = scale * [values.get(name, 0.0) for name in names]
        if worn.any():
            by_factor[factor] = worn
    return Wear(by_factor, frozenset(parameters))
