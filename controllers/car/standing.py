"""A car as it comes to rest on its wheels, and whether it does."""

from collections.abc import Sequence

import mujoco
import numpy as np

from robotics.controllers.car.spec import CarSpec
from robotics.controllers.rest import at_rest
from robotics.errors import UsageError

Array = np.ndarray

#: How long its suspension gets [s], and how far a wheel may then be from the ground, in radii of wheels.
SETTLE_S, TOUCHING = 1.5, 0.05
#: How much the car may tip meanwhile [rad].
LEVEL = 0.2


def stand(model: mujoco.MjModel, spec: CarSpec) -> mujoco.MjData:
    """The car standing still on its ground, wheels straight. Raises UsageError naming a wheel that hangs in the air.

    It starts from the keyframe 'home', or from the model's own pose, let down until a wheel touches; wheels and
    steering are held.
    """
    data, ground = at_rest(model), ground_of(model, spec.name)
    joint = model.joint(spec.base)
    body, height = int(model.jnt_bodyid[joint.id]), int(joint.qposadr[0]) + 2
    data.qpos[height] -= min(_clearance(model, data, spec, ground))
    mujoco.mj_forward(model, data)
    upright = data.xmat[body].reshape(3, 3).copy()
    held = [model.joint(name) for name in (*spec.wheels, *spec.steering)]
    q, v = [int(j.qposadr[0]) for j in held], [int(j.dofadr[0]) for j in held]
    positions = data.qpos[q].copy()
    for _ in range(round(SETTLE_S / model.opt.timestep)):
        mujoco.mj_step(model, data)
        data.qpos[q], data.qvel[v] = positions, 0.0
    mujoco.mj_forward(model, data)
    tipped = np.arccos(np.clip((np.trace(upright.T @ data.xmat[body].reshape(3, 3)) - 1) / 2, -1, 1))
    if not np.isfinite(data.qpos).all() or tipped > LEVEL:
        raise UsageError(f"robot {spec.name}: it does not stand on its wheels: let go, it tips over")
    _require_clear(model, data, spec, ground)
    clearance = _clearance(model, data, spec, ground)
    for wheel, above in zip(spec.wheels, clearance, strict=True):
        if above > TOUCHING * _radius(model, data, spec, wheel, ground):
            raise UsageError(
                f"robot {spec.name}: wheel '{wheel}' does not touch the ground: it hangs {above:.3g} m above it when "
                "the car stands"
            )
    return data


def tyres_of(model: mujoco.MjModel, spec: CarSpec, wheel: str) -> list[int]:
    """The geoms on which `wheel` rolls."""
    body = int(model.jnt_bodyid[model.joint(wheel).id])
    rigid = [b for b in range(body, model.nbody) if int(model.body_weldid[b]) == int(model.body_weldid[body])]
    return [g for g in (model.geom(name).id for name in spec.tyres) if int(model.geom_bodyid[g]) in rigid]


def ground_of(model: mujoco.MjModel, name: str) -> int:
    """The plane that it stands on."""
    planes = np.flatnonzero((model.geom_type == int(mujoco.mjtGeom.mjGEOM_PLANE)) & (model.geom_bodyid == 0))
    if not len(planes):
        raise UsageError(f"robot {name}: its model has no plane to drive on; give it one, or no ground at all")
    return int(planes[0])


def _clearance(model: mujoco.MjModel, data: mujoco.MjData, spec: CarSpec, ground: int) -> list[float]:
    """How far the lowest point of each wheel is above the ground [m]."""
    return [
        min(mujoco.mj_geomDistance(model, data, ground, tyre, 100.0, None) for tyre in tyres_of(model, spec, wheel))
        for wheel in spec.wheels
    ]


def _radius(model: mujoco.MjModel, data: mujoco.MjData, spec: CarSpec, wheel: str, ground: int) -> float:
    above = float(data.xanchor[model.joint(wheel).id, 2] - data.geom_xpos[ground, 2])
    return above - _clearance(model, data, spec, ground)[spec.wheels.index(wheel)]


def require_room(model: mujoco.MjModel, data: mujoco.MjData, spec: CarSpec, angles: Sequence[Array]) -> None:
    """Raise UsageError when a wheel rubs on the car with its steering hinges at any of the `angles`."""
    turned = mujoco.MjData(model)
    for positions in angles:
        turned.qpos[:] = data.qpos
        for hinge, position in zip(spec.steering, positions, strict=True):
            turned.qpos[model.joint(hinge).qposadr[0]] = position
        mujoco.mj_forward(model, turned)
        _require_no_rub(model, turned, spec, "its wheels turned: make room, give a smaller steering_range")


def _require_clear(model: mujoco.MjModel, data: mujoco.MjData, spec: CarSpec, ground: int) -> None:
    """Raise UsageError when something else of the car lies on the ground."""
    own, tyres = _own(model, spec), {model.geom(name).id for name in spec.tyres}
    for first, second in data.contact.geom.tolist():
        other = ({first, second} - {ground}).pop()
        if ground in (first, second) and other in own and other not in tyres:
            raise UsageError(f"robot {spec.name}: {_called(model, other)} lies on the ground beside its wheels")
    _require_no_rub(model, data, spec, "all at rest: make room")


def _require_no_rub(model: mujoco.MjModel, data: mujoco.MjData, spec: CarSpec, when: str) -> None:
    own, tyres = _own(model, spec), {model.geom(name).id for name in spec.tyres}
    for pair in map(set, data.contact.geom.tolist()):
        if pair & tyres and pair <= own:
            names = " and ".join(_called(model, geom) for geom in sorted(pair))
            raise UsageError(f"robot {spec.name}: {names} rub on each other, {when}, or exclude the contact")


def _own(model: mujoco.MjModel, spec: CarSpec) -> set[int]:
    """The geoms of the car."""
    root = int(model.jnt_bodyid[model.joint(spec.base).id])
    return set(np.flatnonzero(model.body_rootid[model.geom_bodyid] == root).tolist())


def _called(model: mujoco.MjModel, geom: int) -> str:
    """A geom by its body, which people name more often."""
    return f"a geom of '{model.body(model.geom_bodyid[geom]).name}'"
