"""The model of a robot's file as a scene to be controlled in: on a floor, with actuators that have limits."""

import os
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from robotics.controllers.fields import is_number
from robotics.controllers.robot_spec import torque_limits
from robotics.envs.robots.surroundings import add_sky, floor_material
from robotics.errors import UsageError

#: A tick takes 200 steps of this one; shorter ones make no robot better, and no trial ends [s].
_SHORTEST_STEP = 1e-5
#: Diffuse and ambient light of the camera's own lamp: MuJoCo's, which is dark beside a single light, and our robots'.
_USUAL_LAMP, _BRIGHT_LAMP = ([0.4] * 3, [0.1] * 3), ([0.5] * 3, [0.3] * 3)
#: Fields of a compiled model that an MJCF or URDF file gives directly.
_NUMBERS = (
    *("qpos0", "body_pos", "body_quat", "body_mass", "body_inertia", "geom_pos", "geom_size", "geom_friction"),
    *("jnt_axis", "dof_damping", "dof_armature", "site_pos", "actuator_gear", "actuator_ctrlrange"),
)


def load_scene(path: Path, base: str | None, floats: bool, limits: Any, joints: Any) -> mujoco.MjSpec:
    """The model on a floor, with actuators and a time step that fits 500 Hz.

    One that `floats` and has no free joint gets one, called `base` if that is a name. `limits` of torques, where the
    model has none, are one for all driven joints, or one for each, in the order of `joints` where these are named.
    Raises UsageError for what can not be read or meant.
    """
    if not os.path.isfile(path):  # Path's own raises where a name is too long
        what = "is a folder" if os.path.isdir(path) else "does not exist"
        raise UsageError(f"robot model {path} {what}: give an MJCF or URDF file")
    try:
        scene = mujoco.MjSpec.from_file(str(path))
    except ValueError as error:
        raise UsageError(f"robot model {path}: MuJoCo can not read it: {error}") from None
    scene.compiler.discardvisual = False  # URDF's own pictures are gone by now; marks of feet collide with nothing, too
    if floats and not any(j.type == mujoco.mjtJoint.mjJNT_FREE for j in scene.joints):
        _set_free(scene, base or "floating_base")
    if not scene.actuators:
        for joint in scene.joints:
            if joint.type in (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE):
                scene.add_actuator(name=joint.name, target=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT).set_to_motor()
    if limits is not None:
        _limit(scene, limits, joints)
    if not scene.option.timestep >= _SHORTEST_STEP:
        raise UsageError(f"robot model {path}: its timestep is {scene.option.timestep:g} s: give 0.002 or so")
    scene.option.timestep = 0.002 / max(1, round(0.002 / scene.option.timestep))
    scene.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    _surround(scene)
    return scene


def require_numbers_of(scene: mujoco.MjSpec, path: Path) -> None:
    """Raise UsageError for a model with numbers that are none: MuJoCo compiles it, and nothing ever moves."""
    try:
        model = scene.compile()
    except ValueError:
        return  # who completes it says why
    for field in _NUMBERS:
        if not np.isfinite(getattr(model, field)).all():
            raise UsageError(f"robot model {path}: some of its {field.replace('_', ' ')} is no number")


def _set_free(scene: mujoco.MjSpec, name: str) -> None:
    """URDF has no free joints: the first body floats."""
    if not scene.worldbody.bodies:
        raise UsageError(f"robot model {scene.modelname} has no body to float")
    body = scene.worldbody.bodies[0]
    if body.joints:
        joints = ", ".join(f"'{joint.name}'" for joint in body.joints)
        raise UsageError(
            f"robot model {scene.modelname}: its kind has a free base, but body '{body.name}' has other joints "
            f"({joints}): put <freejoint/> in their place"
        )
    body.add_freejoint(name=name)


def _limit(scene: mujoco.MjSpec, limits: Any, named: Any) -> None:
    """Give every driven joint that has none a torque limit: one number for all, or one per joint."""
    driven = {j.name: j for j in scene.joints if any(a.target == j.name for a in scene.actuators)}
    ordered = isinstance(limits, list) and isinstance(named, list) and all(name in driven for name in map(str, named))
    names = [str(name) for name in named] if ordered else list(driven)
    values = limits if isinstance(limits, list) else [limits] * len(names)
    if not all(is_number(value) and value > 0 for value in values):
        raise UsageError(f"torque_limits is {limits!r}: give a positive number, or one per joint")
    if len(values) != len(names):
        raise UsageError(f"torque_limits has {len(values)} entries for {len(names)} joints with actuators")
    try:
        own = np.abs(torque_limits(scene.compile(), names)).min(axis=0)
    except ValueError:
        return  # who completes the model says why
    for name, value, there in zip(names, values, own, strict=True):
        if not np.isfinite(there):
            driven[name].actfrcrange, driven[name].actfrclimited = [-float(value), float(value)], True


def _surround(scene: mujoco.MjSpec) -> None:
    grounds = (mujoco.mjtGeom.mjGEOM_PLANE, mujoco.mjtGeom.mjGEOM_HFIELD)
    skybox = mujoco.mjtTexture.mjTEXTURE_SKYBOX
    if not any(texture.type == skybox or texture.name == "sky" for texture in scene.textures):
        add_sky(scene)
    if not any(geom.type in grounds for geom in scene.worldbody.geoms):
        floor = scene.worldbody.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 0.05])
        floor.material, floor.rgba = floor_material(scene), [1, 1, 1, 1]
        floor.contype = floor.conaffinity = 1  # whatever the model's own geoms are by default
    lamp = scene.visual.headlight
    if len(scene.lights) <= 1 and np.allclose([lamp.diffuse, lamp.ambient], _USUAL_LAMP):  # nobody thought of films
        lamp.diffuse, lamp.ambient = _BRIGHT_LAMP
    if not scene.lights:
        sun = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL  # wherever the robot goes
        scene.worldbody.add_light(type=sun, pos=[0, 0, 4], dir=[0.2, 0.3, -1], diffuse=[0.6] * 3)
        scene.visual.map.shadowclip = 3.0  # the usual 1 leaves speckles at the edge of what its shadows cover
