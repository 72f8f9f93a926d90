"""Robots as MJCF or URDF files: what a TOML file or MuJoCo Menagerie says of them, made ready for a controller.

A robot file::

    model = "anymal_c.xml"          # MJCF or URDF, relative to this file
    kind = "quadruped"              # the controller: quadruped, humanoid, arm, bimanual, mobile or car

    [robot]                         # fields of RobotSpec; what the model says without doubt may be left out
    base = "root"
    joints = ["LF_HAA", "LF_HFE", …]
    home = [0.0, 0.4, -0.8, …]
    velocity_limits = 12.0          # one for all, or one per joint [rad/s]; 20 unless given, 30 of legs
    torque_limits = 80.0            # only where the model has none [N m]
    feet = ["LF_FOOT", "RF_FOOT", "LH_FOOT", "RH_FOOT"]   # geoms or bodies, front left to rear right

A humanoid, kind "humanoid", has two feet with soles: each a body, or the box, mesh, capsule or cylinder that it stands
on, or all balls under one sole before those under the other. Left out, they are the two links on the ground at home::

    kind = "humanoid"

    [robot]
    home = [0.0, 0.0, -0.35, 0.7, …]        # upright, feet flat; straight knees are bent
    feet = ["left_foot", "right_foot"]      # the left one first

Its base has x ahead and z up, and its steps, speeds and gains follow from its own size and mass
(`robotics.controllers.humanoid.sizing`).

An arm has no base and no feet, but `end_effectors`, each with a name, a site, and optionally its gripper's joint::

    end_effectors = [{name = "hand", site = "grip", gripper_joint = "finger"}]

Two arms, kind "bimanual", have two end effectors. On a base that drives in every direction, kind "mobile", the first
three of their joints are its own: they slide along x and y of the world, and turn about z, with nothing before them::

    kind = "mobile"

    [robot]
    joints = ["base_x", "base_y", "base_yaw", "left_1", …, "right_1", …]
    velocity_limits = [1.0, 1.0, 1.5, 2.6, …]
    end_effectors = [
        {name = "left", site = "left_grip", gripper_joint = "left_finger"},
        {name = "right", site = "right_grip", gripper_joint = "right_finger"},
    ]

Left out, the end effectors are those of the two branches of three or more joints, and a robot with two of them is taken
for a bimanual one, or where two joints that slide level carry both, for a mobile one. Their circles begin where the
hands are at home, so let wrists be bent there. To carry a box a hand needs a flat side at its site that collides, two
centimetres wide or more; where the box can stand is worked out.

A car, kind "car", has four wheels on a free base; two of them, the front ones, hang on hinges about the vertical (or on
one for both). Which joints those are, on which side and which are driven is seen from where they are, and all lengths
and weights are the model's. What may be given::

    kind = "car"

    [robot]
    wheels = ["front_left_wheel", …]     # joints, in any order, where more than four could be wheels
    steering = ["left_kingpin", …]       # hinges, where more than two could steer
    steering_range = 0.5                 # to either side [rad]; only where the model has none
    steering_rate = 3.0                  # of the steering angle [rad/s]; 0.4 for the size of a passenger car
    top_speed = 12.0                     # [m/s]
    cornering = 20.0                     # side force over friction and load per slip angle [1/rad]; 20.9
    torque_limits = 5.0                  # only where the model has none [N m]
"""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from robotics.control.menagerie import menagerie_scene
from robotics.control.robot_scene import load_scene, require_numbers_of
from robotics.controllers.car.chassis import read_chassis
from robotics.controllers.car.inference import FIELDS as CAR_FIELDS
from robotics.controllers.car.inference import complete_car
from robotics.controllers.car.spec import CarSpec
from robotics.controllers.fields import is_name
from robotics.controllers.humanoid.sole import soles
from robotics.controllers.inference import FIELDS, complete_spec
from robotics.controllers.limbs import joints_above, require_planar, require_two_arms, rides
from robotics.controllers.robot_spec import RobotSpec
from robotics.errors import UsageError, unknown_name

#: Kind of robot -> whether its base floats. Each has a check in `_CHECKS`.
KINDS = {"quadruped": True, "humanoid": True, "arm": False, "bimanual": False, "mobile": False, "car": True}
#: How many end effectors a kind has whose base does not float.
_HANDS = {"arm": 1, "bimanual": 2, "mobile": 2}
_FILE_FIELDS = ("model", "kind", "robot")


@dataclass(frozen=True)
class Machine:
    """A robot that a controller of its kind can move.

    `scene(friction)` builds it on its ground afresh; its feet, where it has any, grip with `friction` (None: as they
    are).
    """

    kind: str
    spec: RobotSpec
    scene: Callable[[float | None], mujoco.MjSpec]

    def nominal(self) -> mujoco.MjModel:
        """What its controller believes in."""
        return self.scene(None).compile()


def load_machine(name: str) -> Machine:
    """The robot of a TOML file, or `menagerie:NAME`. Raises UsageError naming what is missing."""
    if name.startswith("menagerie:"):
        path = menagerie_scene(name.removeprefix("menagerie:"))
        return _machine(path, None, {}, name)
    path = Path(name)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"robot file {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # bytes, numbers, and brackets in brackets without end, too
        raise UsageError(f"robot file {path} is no TOML: {error}") from None
    for field in document:
        if field not in _FILE_FIELDS:
            raise unknown_name(f"field of {path}", field, _FILE_FIELDS)
    if not is_name(document.get("model")):
        found = f"model is {document['model']!r}: " if "model" in document else ""
        raise UsageError(f"robot file {path}: {found}give model, the MJCF or URDF of the robot")
    given = document.get("robot", {})
    if not isinstance(given, dict):
        raise UsageError(f"robot file {path}: robot is {given!r}: give a table, [robot]")
    return _machine(path.parent / document["model"], document.get("kind"), given, str(path))


def _machine(path: Path, kind: Any, given: Mapping[str, Any], source: str) -> Machine:
    if kind is not None and kind not in list(KINDS):  # a list, as it may be something that has no hash
        raise unknown_name(f"kind of robot in {source}", str(kind), KINDS)
    for field in ("name", "base"):
        if field in given and not is_name(given[field]):
            raise UsageError(f"{source}: {field} is {given[field]!r}: give a name")
    of_car = [field for field in given if field in CAR_FIELDS and field not in FIELDS]
    if kind is None and of_car:
        raise UsageError(f'{source}: {of_car[0]} is said of a car: give kind = "car"')
    given = dict(given)
    torque_limits = given.pop("torque_limits", None)
    base, joints = given.get("base"), given.get("joints")
    load = partial(load_scene, path, base, KINDS.get(kind or "", False), torque_limits, joints)
    scene = load()
    require_numbers_of(scene, path)
    hands, humanoid = _HANDS.get(kind or ""), None if kind is None else kind == "humanoid"
    # names what has no name, and so has to see every scene
    complete = complete_car if kind == "car" else partial(complete_spec, hands=hands, humanoid=humanoid)
    spec = complete(scene, given)
    model = scene.compile()
    spec.validate(model)
    _require_grippers(spec, model)
    floats = spec.base is not None
    found = kind or (_floating(spec, model) if floats else _fixed(spec, model))
    if floats != KINDS[found]:
        has = "a free base" if floats else "no free joint to be its base"
        raise UsageError(f"{source}: kind {kind}, but the model has {has}")
    if found in _CHECKS:
        _CHECKS[found](spec, model, source)

    def build(friction: float | None) -> mujoco.MjSpec:
        fresh = load()
        complete(fresh, given)
        if friction is not None:
            touching = _touching(fresh, spec.tyres if isinstance(spec, CarSpec) else spec.feet)
            first = 1 + max(geom.priority for geom in fresh.geoms)
            for geom in touching:
                geom.friction, geom.priority = [friction, *geom.friction[1:]], first
            names = {geom.name for geom in touching if geom.name}
            for pair in fresh.pairs:
                if {pair.geomname1, pair.geomname2} & names:
                    pair.friction = [friction, friction, *pair.friction[2:]]
        return fresh

    return Machine(found, spec, build)


def _touching(scene: mujoco.MjSpec, feet: Sequence[str]) -> list[mujoco.MjsGeom]:
    """What of the feet touches the ground: themselves, or, where they only mark a spot, all that their links have."""
    model = scene.compile()
    touching: list[int] = []
    solid = (model.geom_contype | model.geom_conaffinity) != 0
    links = model.body_weldid[model.geom_bodyid]
    for geom in (model.geom(foot).id for foot in feet):
        touching += [geom] if solid[geom] else np.flatnonzero(solid & (links == links[geom])).tolist()
    return [geom for geom in scene.geoms if geom.id in touching]


def _floating(spec: RobotSpec, model: mujoco.MjModel) -> str:
    """The kind of a robot with a floating base, by its feet: two soles of several points, or four feet."""
    links = {int(model.body_weldid[model.geom_bodyid[model.geom(foot).id]]) for foot in spec.feet}
    return "humanoid" if len(links) == 2 and len(spec.feet) >= 6 else "quadruped"


def _fixed(spec: RobotSpec, model: mujoco.MjModel) -> str:
    """The kind of a robot without a floating base, by its hands."""
    if len(spec.end_effectors) != 2:
        return "arm"
    return "mobile" if len(rides(model, spec)) >= 2 else "bimanual"


def _require_grippers(spec: RobotSpec, model: mujoco.MjModel) -> None:
    """Raise UsageError for a gripper that moves the hand it is to be the gripper of, or another one."""
    moved = {e.name: joints_above(model, int(model.site_bodyid[model.site(e.site).id])) for e in spec.end_effectors}
    grippers = [e.gripper_joint for e in spec.end_effectors if e.gripper_joint is not None]
    for gripper in grippers:
        hands = [name for name, joints in moved.items() if int(model.joint(gripper).id) in joints]
        if hands:
            raise UsageError(
                f"robot {spec.name}: gripper joint '{gripper}' moves the site of end effector '{hands[0]}' itself: "
                "give the joint of a finger, or a site that it does not move"
            )
        if grippers.count(gripper) > 1:
            raise UsageError(f"robot {spec.name}: gripper joint '{gripper}' is that of several end effectors")


def _check_quadruped(spec: RobotSpec, model: mujoco.MjModel, source: str) -> None:
    if len(spec.feet) != 4:
        raise UsageError(f"{source}: a quadruped has four feet, this one has {len(spec.feet)}: {', '.join(spec.feet)}")


def _check_humanoid(spec: RobotSpec, model: mujoco.MjModel, source: str) -> None:
    soles(model, spec)


def _check_arm(spec: RobotSpec, model: mujoco.MjModel, source: str) -> None:
    if len(spec.end_effectors) != 1:
        names = ", ".join(effector.name for effector in spec.end_effectors)
        raise UsageError(f"{source}: an arm has one end effector, this one has {len(spec.end_effectors)}: {names}")


def _check_bimanual(spec: RobotSpec, model: mujoco.MjModel, source: str) -> None:
    require_two_arms(model, spec, "bimanual")
    base = rides(model, spec)
    if len(base) >= 2:
        raise UsageError(f'{source}: {", ".join(base)} move both arms over the floor: that is kind "mobile"')


def _check_mobile(spec: RobotSpec, model: mujoco.MjModel, source: str) -> None:
    require_two_arms(model, spec, "mobile")
    require_planar(model, spec)


def _check_car(spec: RobotSpec, model: mujoco.MjModel, source: str) -> None:
    if isinstance(spec, CarSpec):
        read_chassis(model, spec)


#: Kind of robot -> raises UsageError for a robot that is none, which its source shall be named with.
_CHECKS: dict[str, Callable[[RobotSpec, mujoco.MjModel, str], None]] = {
    "quadruped": _check_quadruped,
    "humanoid": _check_humanoid,
    "arm": _check_arm,
    "bimanual": _check_bimanual,
    "mobile": _check_mobile,
    "car": _check_car,
}


def embedded(kind: str, spec: RobotSpec, scene: Callable[..., mujoco.MjSpec]) -> Machine:
    """A robot of this repository, whose scene builder takes a friction with a default."""
    return Machine(kind, spec, partial(_with_friction, scene))


def _with_friction(scene: Callable[..., mujoco.MjSpec], friction: float | None) -> mujoco.MjSpec:
    return scene() if friction is None else scene(friction)
