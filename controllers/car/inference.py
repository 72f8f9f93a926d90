"""A `CarSpec` from a model: which joints steer and which ones wheels spin on is a matter of geometry.

A wheel is what turns without end about a level axis across the car, with something on it that collides with the ground.
Two of the four are steered: hinges about the vertical carry them. That axle is the front one, so that ahead is from the
other axle to it, whatever the frames and the names of the model are.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import mujoco
import numpy as np

from robotics.controllers.car.chassis import car_axes
from robotics.controllers.car.linkage import drivers
from robotics.controllers.car.spec import CarSpec
from robotics.controllers.fields import are_names, is_number
from robotics.controllers.rest import at_rest
from robotics.controllers.robot_spec import joint_actuators
from robotics.errors import UsageError, unknown_name

Array = np.ndarray

FIELDS = ("name", "base", "wheels", "steering", "steering_range", "steering_rate", "top_speed", "cornering")
_NUMBERS = FIELDS[4:]

#: How far from level the axis of a wheel may be, how far from upright a kingpin, how far from across the car [rad].
LEVEL, UPRIGHT, ACROSS = np.deg2rad(12), np.deg2rad(30), np.deg2rad(6)
_HINGE, _FREE = int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_FREE)

CAR = (
    "a car has four wheels, each on a hinge without range and about a level axis across the car, and a geom on it that "
    "collides with the ground"
)


def complete_car(scene: mujoco.MjSpec, given: Mapping[str, Any]) -> CarSpec:
    """The car in `scene`, from the `given` fields and, for the rest, from the model.

    What has no name gets one in `scene`. Raises UsageError naming what is missing or ambiguous; whether the car stands
    and can be driven is for `read_chassis` to see.
    """
    _require_kinds(given)
    name = given.get("name", scene.modelname)
    try:
        model = scene.compile()
    except ValueError as error:
        raise UsageError(f"robot {name}: MuJoCo can not compile it: {error}") from None
    _name_all(scene)
    model = scene.compile()
    data = at_rest(model)
    base = _base(model, given.get("base"), name)
    root = int(model.jnt_bodyid[base])
    found = [_named(model, wheel, "wheel", name) for wheel in given["wheels"]] if "wheels" in given else []
    wheels = found or _wheels(model, data, root, name)
    _require_four(model, wheels, root, name)
    chosen = [_named(model, hinge, "steering hinge", name) for hinge in given.get("steering", ())]
    hinges = {wheel: _kingpin(model, data, wheel, root, chosen, name) for wheel in wheels}
    ordered = _in_order(model, data, wheels, {w: h for w, h in hinges.items() if h is not None}, name)
    steering = dict.fromkeys(model.joint(hinges[wheel]).name for wheel in ordered[:2])
    names = tuple(model.joint(wheel).name for wheel in ordered)
    driven = [wheel for wheel in names if joint_actuators(model, wheel)]
    joints = (*drivers(model, tuple(steering), name), *driven)
    spec = CarSpec(
        name,
        joints,
        home=tuple(float(data.qpos[model.joint(joint).qposadr[0]]) for joint in joints),
        velocity_limits=(np.inf,) * len(joints),
        base=model.joint(base).name,
        wheels=names,
        steering=tuple(steering),
        tyres=tuple(model.geom(g).name for wheel in ordered for g in _tyres(model, wheel)),
        **{field: float(given[field]) for field in _NUMBERS if field in given},
    )
    spec.validate(model)
    return spec


def _require_kinds(given: Mapping[str, Any]) -> None:
    """Raise UsageError for a field that is none of a car's, or not what its name says."""
    for field, value in given.items():
        if field not in FIELDS:
            raise unknown_name("field of a car", field, (*FIELDS, "torque_limits"))
        if field in ("wheels", "steering") and not are_names(value):
            raise UsageError(f"{field} is {value!r}: give a list of joints")
        if field in _NUMBERS and not (is_number(value) and value > 0):
            raise UsageError(f"{field} is {value!r}: give a positive number")


def _name_all(scene: mujoco.MjSpec) -> None:
    for joint in scene.joints:
        joint.name = joint.name or f"robotics_joint_{joint.id}"
    for geom in scene.geoms:
        geom.name = geom.name or f"robotics_geom_{geom.id}"


def _named(model: mujoco.MjModel, joint: str, what: str, name: str) -> int:
    there = [model.joint(j).name for j in range(model.njnt) if int(model.jnt_type[j]) == _HINGE]
    if joint not in there:
        raise unknown_name(f"{what} of robot {name}", joint, there)
    return int(model.joint(joint).id)


def _base(model: mujoco.MjModel, given: Any, name: str) -> int:
    """The free joint that hinges hang below."""
    free = [j for j in range(model.njnt) if int(model.jnt_type[j]) == _FREE]
    if given is not None:
        for joint in free:
            if given in (model.joint(joint).name, model.body(model.jnt_bodyid[joint]).name):
                return joint
        raise unknown_name(f"base joint of robot {name}", str(given), [model.joint(joint).name for joint in free])
    roots = {int(model.body_rootid[model.jnt_bodyid[j]]) for j in range(model.njnt) if int(model.jnt_type[j]) == _HINGE}
    carrying = [joint for joint in free if int(model.jnt_bodyid[joint]) in roots]
    if not carrying:
        moves = ", ".join(f"'{model.body(root).name}'" for root in sorted(roots)) or "no body"
        raise UsageError(
            f"robot {name}: its hinges hang on {moves}, which has no free joint: a car needs a free base, "
            "so put <freejoint/> into its chassis"
        )
    if len(carrying) > 1:
        raise UsageError(f"robot {name}: {len(carrying)} free joints carry hinges: say which is the car's base")
    return carrying[0]


def _wheels(model: mujoco.MjModel, data: mujoco.MjData, root: int, name: str) -> list[int]:
    """Joints that wheels spin on, in the order of the model."""
    found, nearly = [], []
    for joint in range(model.njnt):
        on_car = model.body_rootid[model.jnt_bodyid[joint]] == root and int(model.jnt_type[joint]) == _HINGE
        if not on_car or abs(data.xaxis[joint, 2]) > np.sin(LEVEL) or not _is_last(model, joint):
            continue
        if model.jnt_limited[joint]:
            nearly.append(f"'{model.joint(joint).name}' has a range")
        elif not _tyres(model, joint):
            nearly.append(f"nothing on '{model.joint(joint).name}' collides")
        else:
            found.append(joint)
    if len(found) != 4:
        names = ", ".join(f"'{model.joint(joint).name}'" for joint in found) or "none"
        but = f"; {'; '.join(nearly)}" if nearly else ""
        raise UsageError(
            f"robot {name}: {len(found)} of its joints could spin a wheel ({names}{but}); {CAR}; "
            "where they are others, give wheels, the four joints"
        )
    return found


def _require_four(model: mujoco.MjModel, wheels: Sequence[int], root: int, name: str) -> None:
    """Raise UsageError for wheels that a file names and that are none."""
    if len(set(wheels)) != 4:
        raise UsageError(f"robot {name}: wheels has {len(set(wheels))} different joints: give four")
    for wheel in wheels:
        if model.body_rootid[model.jnt_bodyid[wheel]] != root:
            raise UsageError(f"robot {name}: wheel '{model.joint(wheel).name}' does not hang on its base")
        if not _tyres(model, wheel):
            raise UsageError(f"robot {name}: nothing on wheel '{model.joint(wheel).name}' collides with the ground")


def _is_last(model: mujoco.MjModel, joint: int) -> bool:
    """Whether no other joint is below."""
    body = int(model.jnt_bodyid[joint])
    last = int(model.body_jntadr[body] + model.body_jntnum[body]) - 1
    below = [b for b in range(body + 1, model.nbody) if _hangs_on(model, b, body)]
    return joint == last and not model.body_jntnum[below].any()


def _hangs_on(model: mujoco.MjModel, body: int, other: int) -> bool:
    while body > other:
        body = int(model.body_parentid[body])
    return body == other


def _tyres(model: mujoco.MjModel, joint: int) -> list[int]:
    """Geoms that move with the joint and collide."""
    weld = model.body_weldid[model.geom_bodyid] == model.body_weldid[model.jnt_bodyid[joint]]
    collide = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
    return np.flatnonzero(weld & collide).tolist()


def _kingpin(
    model: mujoco.MjModel, data: mujoco.MjData, wheel: int, root: int, chosen: Sequence[int], name: str
) -> int | None:
    """The hinge about the vertical that carries the wheel; None for a wheel that is not steered."""
    body, above = int(model.jnt_bodyid[wheel]), []
    while body != root:
        first = int(model.body_jntadr[body])
        above += [j for j in range(first, first + int(model.body_jntnum[body])) if j < wheel]
        body = int(model.body_parentid[body])
    upright = [j for j in above if int(model.jnt_type[j]) == _HINGE and abs(data.xaxis[j, 2]) > np.cos(UPRIGHT)]
    upright = [j for j in upright if j in chosen] if chosen else upright
    if len(upright) > 1:
        names = ", ".join(f"'{model.joint(j).name}'" for j in upright)
        raise UsageError(
            f"robot {name}: {names} all turn wheel '{model.joint(wheel).name}': give steering, one of them"
        )
    return upright[0] if upright else None


def _in_order(
    model: mujoco.MjModel, data: mujoco.MjData, wheels: Sequence[int], steered: Mapping[int, int], name: str
) -> list[int]:
    """Wheels as front left, front right, rear left, rear right; the front ones are steered."""
    if len(steered) != 2:
        which = ", ".join(f"'{model.joint(wheel).name}'" for wheel in steered) or "none"
        raise UsageError(
            f"robot {name}: {len(steered)} of its wheels are steered ({which}): two must hang on a hinge about the "
            "vertical, one each or both on one; give steering where a file has more such hinges"
        )
    rest = [wheel for wheel in wheels if wheel not in steered]
    axes = car_axes(data.xanchor[[*steered, *rest]])
    ordered = [w for axle in (steered, rest) for w in sorted(axle, key=lambda w: -(data.xanchor[w] @ axes[:, 1]))]
    x, y = (data.xanchor[ordered] @ axes[:, :2]).T
    apart = x[:2].mean() - x[2:].mean()
    askew = max(abs(x[0] - x[1]), abs(x[2] - x[3]), abs(y[:2].mean() - y[2:].mean()))
    if min(y[0] - y[1], y[2] - y[3]) <= 0 or askew > 0.1 * apart:
        names = ", ".join(f"'{model.joint(wheel).name}'" for wheel in ordered[:2])
        raise UsageError(
            f"robot {name}: the steered wheels {names} and the others do not make two axles behind each other"
        )
    for wheel in ordered:
        if abs(data.xaxis[wheel] @ axes[:, 1]) < np.cos(ACROSS):
            raise UsageError(
                f"robot {name}: at rest, wheel '{model.joint(wheel).name}' does not roll straight ahead: its "
                "axis is not across the car"
            )
    return ordered
