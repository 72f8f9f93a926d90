"""A `RobotSpec` from a model: what its description says without doubt need not be written down again."""

from collections.abc import Mapping, Sequence
from typing import Any

import mujoco
import numpy as np

from robotics.controllers.fields import are_names, are_numbers, is_number
from robotics.controllers.humanoid.feet import humanoid_feet
from robotics.controllers.humanoid.standing import Standing
from robotics.controllers.limbs import Limb, hangs_on, two_limbs
from robotics.controllers.rest import at_rest, box_corners
from robotics.controllers.robot_spec import EndEffector, RobotSpec, position_limits
from robotics.errors import UsageError, unknown_name

Array = np.ndarray

#: Joint speed limit where nobody gave one [rad/s, m/s]: MJCF has no field for it. Legs swing faster, the shorter they
#: are: those of 24 cm need 25 rad/s to walk at 0.2 m/s, and fall where they are held to 20.
DEFAULT_SPEED, SPEED_OF_LEGS = 20.0, 30.0
#: How far beyond its range a joint may rest, as files give few digits, and how far from zero where it has none: solvers
#: lose what is small beside it [rad, m].
ROUNDED, FARTHEST = 1e-2, 1e3
#: How far beyond its range the keyframe of a model may rest, which is then taken back into it [rad, m].
SLOPPY = 0.2

FIELDS = ("name", "base", "joints", "home", "velocity_limits", "end_effectors", "feet")


def complete_spec(
    scene: mujoco.MjSpec, given: Mapping[str, Any], hands: int | None = None, humanoid: bool | None = None
) -> RobotSpec:
    """The `RobotSpec` of the robot in `scene`, from the `given` fields and, for the rest, from the model.

    `hands` is how many end effectors a fixed robot shall have: one, two, or None for as many as the model has.
    `humanoid` says whether one on a base stands on two soles, None that this is to be seen.

    Inferred: the free joint with actuated joints below it as the base; every actuated hinge and slide joint; the
    keyframe `home` (or the only one) as the resting position; on a base with four legs, the lowest colliding geom of
    each last link as its foot; on one that stands on two links at home, the balls under their soles, or such at the
    corners of the soles; on a fixed robot, the only site beyond its last joint as its end effector, or where
    there is none, the frame of its last link; on one with two arms, the same of each, named like its site, and as its
    gripper the joint at its end that another finger follows by an equality. Bodies may stand for feet. What has no name
    and needs one gets one in `scene`. Raises UsageError naming what is ambiguous or missing.
    """
    for field in given:
        if field not in FIELDS:
            raise unknown_name("field of a robot", field, (*FIELDS, "torque_limits"))
    _require_kinds(given)
    model = _compiled(scene)
    name = given.get("name", scene.modelname)
    base = _free_joint(scene, model) if "base" not in given else _named_base(scene, given["base"], name)
    if base is not None and hands is not None:
        raise UsageError(f"robot {name}: its kind is bolted down or drives by joints, but the model has a free base")
    if base is None and "feet" in given:
        raise UsageError(f"robot {name}: its model has no free base, but feet: say which kind it is")
    joints = tuple(given["joints"] if "joints" in given else _actuated(model, base))
    if not joints:
        raise UsageError(f"robot {name}: no joint has an actuator; list its joints")
    there = [joint.name for joint in scene.joints if joint.name]
    for joint in joints:
        if joint not in there:
            raise unknown_name(f"joint of robot {name}", joint, there)
        if joints.count(joint) > 1:
            raise UsageError(f"robot {name}: joints has '{joint}' more than once")
    limits = given.get("velocity_limits", DEFAULT_SPEED if base is None else SPEED_OF_LEGS)
    home = tuple(given["home"]) if "home" in given else _home(model, joints, name)
    _require_in_range(model, joints, home, name)
    if base is None:
        effectors = tuple(EndEffector(**e) for e in given.get("end_effectors", ()))
        effectors = effectors or _hands(scene, model, joints, name, hands)
        feet: tuple[str, ...] = ()
    else:
        effectors = tuple(EndEffector(**e) for e in given.get("end_effectors", ()))
        feet = _feet(scene, model, joints, home, base, name, given.get("feet"), humanoid)
    speeds = tuple(limits) if isinstance(limits, list | tuple) else (float(limits),) * len(joints)
    return RobotSpec(name, joints, tuple(map(float, home)), tuple(map(float, speeds)), effectors, base, feet)


def _require_kinds(given: Mapping[str, Any]) -> None:
    """Raise UsageError for a field that is not what its name says; a file may hold anything."""
    for field in ("joints", "feet"):
        if field in given and not are_names(given[field]):
            raise UsageError(f"{field} is {given[field]!r}: give a list of names")
    if not are_numbers(given.get("home", ())):
        raise UsageError(f"home is {given['home']!r}: give a list of positions, one per joint")
    limits = given.get("velocity_limits", DEFAULT_SPEED)
    if not is_number(limits) and not are_numbers(limits):
        raise UsageError(f"velocity_limits is {limits!r}: give a number, or one per joint")
    if "end_effectors" in given and not _are_effectors(given["end_effectors"]):
        raise UsageError(
            f"end_effectors is {given['end_effectors']!r}: give a list of "
            '{name = "…", site = "…", gripper_joint = "…"}'
        )


def _are_effectors(value: Any) -> bool:
    """Whether it is a list of tables, one at least, of what an `EndEffector` has."""
    if not isinstance(value, list | tuple) or not value or not all(isinstance(each, Mapping) for each in value):
        return False
    need, may = {"name", "site"}, {"name", "site", "gripper_joint"}
    return all(need <= each.keys() <= may and are_names(list(each.values())) for each in value)


def _compiled(scene: mujoco.MjSpec) -> mujoco.MjModel:
    try:
        return scene.compile()
    except ValueError as error:
        raise UsageError(f"robot {scene.modelname}: MuJoCo can not compile it: {error}") from None


def _free_joint(scene: mujoco.MjSpec, model: mujoco.MjModel) -> str | None:
    """The name of the free joint that carries actuated joints; None where there is none."""
    driven = {int(model.jnt_bodyid[j]) for j in _driven(model)}
    found = []
    for joint in scene.joints:
        if joint.type == mujoco.mjtJoint.mjJNT_FREE:
            root = joint.parent
            if any(model.body_rootid[body] == model.body_rootid[root.id] for body in driven):
                found.append(joint)
    if len(found) > 1:
        raise UsageError(f"{len(found)} free joints carry actuated joints: say which is the robot's base")
    if not found:
        return None
    found[0].name = found[0].name or "floating_base"
    return str(found[0].name)


def _named_base(scene: mujoco.MjSpec, base: str, name: str) -> str:
    """A free joint by its own name, or by that of its body."""
    free = [joint for joint in scene.joints if joint.type == mujoco.mjtJoint.mjJNT_FREE]
    for joint in free:
        if base in (joint.name, joint.parent.name):
            joint.name = joint.name or base
            return str(joint.name)
    raise unknown_name(f"base joint of robot {name}", base, [joint.name or joint.parent.name for joint in free])


def _driven(model: mujoco.MjModel) -> list[int]:
    """Joints that an actuator acts on directly, in the order of the model."""
    kinds = (mujoco.mjtTrn.mjTRN_JOINT, mujoco.mjtTrn.mjTRN_JOINTINPARENT)
    return sorted({int(model.actuator_trnid[a, 0]) for a in range(model.nu) if int(model.actuator_trntype[a]) in kinds})


def _actuated(model: mujoco.MjModel, base: str | None) -> list[str]:
    joints = _driven(model)
    if base is not None and mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, base) >= 0:
        root = model.body_rootid[model.jnt_bodyid[model.joint(base).id]]
        joints = [j for j in joints if model.body_rootid[model.jnt_bodyid[j]] == root]
    return [model.joint(j).name for j in joints]


def _home(model: mujoco.MjModel, joints: tuple[str, ...], name: str) -> tuple[float, ...]:
    key = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_KEY, "home")
    if key < 0 and model.nkey == 1:
        key = 0
    if key < 0:
        raise UsageError(
            f"robot {name}: no keyframe 'home' to rest in; give home, one position per joint; a car (kind = \"car\") "
            "needs none"
        )
    rest = np.array([model.key_qpos[key, model.joint(j).qposadr[0]] for j in joints])
    low, high = position_limits(model, joints)
    inside = np.clip(rest, low, high)
    return tuple(map(float, np.where(np.abs(inside - rest) < SLOPPY, inside, rest)))


def _require_in_range(model: mujoco.MjModel, joints: tuple[str, ...], home: tuple[float, ...], name: str) -> None:
    """Raise UsageError for a joint that rests where it can not be."""
    for joint, at, low, high in zip(joints, home, *position_limits(model, joints), strict=False):
        low, high = max(low, -FARTHEST), min(high, FARTHEST)
        if at < low - ROUNDED or at > high + ROUNDED:
            raise UsageError(f"robot {name}: home puts joint '{joint}' at {at:g}, its range is {low:g} … {high:g}")


def _hands(
    scene: mujoco.MjSpec, model: mujoco.MjModel, joints: tuple[str, ...], name: str, hands: int | None
) -> tuple[EndEffector, ...]:
    """One hand, or those of two arms: where that was not said, two if both arms have a site, or neither has."""
    limbs = two_limbs(model, joints) if hands != 1 else None
    if limbs is None:
        if hands == 2:
            raise UsageError(
                f"robot {name}: its joints do not make two arms of three or more each: they end in "
                f"{', '.join(model.body(b).name for b in _last_links(model, joints))}; "
                "give end_effectors, two of them, each a name and a site"
            )
        return _hand(scene, model, joints, name)
    sites = [[s for s in range(model.nsite) if hangs_on(model, int(model.site_bodyid[s]), a.first)] for a in limbs]
    if hands is None and bool(sites[0]) != bool(sites[1]):
        return _hand(scene, model, joints, name)
    return tuple(_hand_of(scene, model, limb, there, name) for limb, there in zip(limbs, sites, strict=True))


def _hand_of(scene: mujoco.MjSpec, model: mujoco.MjModel, limb: Limb, sites: list[int], name: str) -> EndEffector:
    """The one site of an arm, or the one on its hand; where there is none, the frame of its last link gets one."""
    on_hand = [s for s in sites if hangs_on(model, int(model.site_bodyid[s]), limb.wrist)]
    candidates = sites if len(sites) == 1 else on_hand
    if len(candidates) > 1:
        names = ", ".join(model.site(s).name or "an unnamed one" for s in candidates)
        raise UsageError(
            f"robot {name}: {len(candidates)} sites could be the hand of its arm that ends in "
            f"{model.body(limb.wrist).name} ({names}); give end_effectors, two of them, each a name and a site"
        )
    body = _body(scene, model, limb.wrist)
    site = scene.sites[candidates[0]] if candidates else body.add_site(name=f"robotics_{body.name or limb.wrist}")
    site.name = site.name or f"robotics_{body.name or limb.wrist}"
    return EndEffector(site.name, site.name, limb.gripper)


def _hand(scene: mujoco.MjSpec, model: mujoco.MjModel, joints: tuple[str, ...], name: str) -> tuple[EndEffector, ...]:
    """The one site beyond the last joint; where there is none, the frame of the last link gets one."""
    last = _last_links(model, joints)
    beyond = [b for b in range(model.nbody) if any(hangs_on(model, b, link) for link in last)]
    sites = [s for s in range(model.nsite) if model.site_bodyid[s] in beyond]
    if len(sites) == 1:
        site = scene.sites[sites[0]]
        site.name = site.name or "robotics_hand"
        return (EndEffector("hand", site.name),)
    if not sites and len(last) == 1:
        body = _body(scene, model, last[0])
        body.add_site(name="robotics_hand")
        return (EndEffector("hand", "robotics_hand"),)
    names = ", ".join(
        model.site(s).name or f"the unnamed one on {model.body(model.site_bodyid[s]).name}" for s in sites
    )
    raise UsageError(
        f"robot {name}: {len(sites)} sites could be its end effector ({names or 'none'}), and its joints end in "
        f"{len(last)} links ({', '.join(model.body(b).name for b in last)}); give end_effectors, each a name and a site"
    )


def _body(scene: mujoco.MjSpec, model: mujoco.MjModel, index: int) -> mujoco.MjsBody:
    """A body of the model, by its name: of a URDF, links that are fixed to others are in the scene alone."""
    name = model.body(index).name
    return scene.body(name) if name else next(b for b in scene.bodies if b.id == index)


def _last_links(model: mujoco.MjModel, joints: tuple[str, ...]) -> list[int]:
    """Bodies of joints that no other of the joints hangs below."""
    bodies = [int(model.jnt_bodyid[model.joint(j).id]) for j in joints]
    above: set[int] = set()
    for body in bodies:
        while body:
            body = int(model.body_parentid[body])
            above.add(body)
    return [b for b in dict.fromkeys(bodies) if b not in above]


def _feet(
    scene: mujoco.MjSpec,
    model: mujoco.MjModel,
    joints: tuple[str, ...],
    home: tuple[float, ...],
    base: str,
    name: str,
    named: Sequence[str] | None,
    humanoid: bool | None,
) -> tuple[str, ...]:
    """The balls under two soles, or four feet where a robot stands otherwise and is not said to be a humanoid."""
    last = _last_links(model, joints)
    if humanoid is not False:
        RobotSpec(name, joints, home, (1.0,) * len(joints)).require_numbers()
        soles = humanoid_feet(Standing(scene, name, base, joints, home), last, named, humanoid is True)
        if soles:
            return soles
    if named is not None:
        return tuple(_foot(scene, foot, name) for foot in named)
    if len(last) != 4:
        links = ", ".join(model.body(b).name for b in last)
        raise UsageError(f"robot {name}: its joints end in {len(last)} links ({links}), not four legs")
    feet = tuple(_lowest_of(scene, _body(scene, model, link), name) for link in last)
    return _in_order(scene, feet, joints, home, base)


def _foot(scene: mujoco.MjSpec, foot: str, name: str) -> str:
    """The name of a sphere geom: `foot` itself, or the ball at the lowest point of the geom or body `foot`."""
    geom = next((g for g in scene.geoms if g.name == foot), None)
    if geom is not None:
        return _ball(scene.compile(), geom)
    body = scene.body(foot)
    if body is None:
        names = [x.name for x in (*scene.geoms, *scene.bodies) if x.name]
        raise unknown_name(f"foot of robot {name}", foot, names, "a foot is a geom or a body")
    return _lowest_of(scene, body, name)


def _lowest_of(scene: mujoco.MjSpec, body: mujoco.MjsBody, name: str) -> str:
    """The ball at the lowest point of a body and of what hangs on it."""
    model = scene.compile()  # anew for every foot: the ball of one before renumbers all geoms
    geoms = [g for b in _below(body) for g in b.geoms if model.geom_contype[g.id] or model.geom_conaffinity[g.id]]
    if not geoms:
        raise UsageError(f"robot {name}: nothing on foot '{_named(body)}' collides with the ground")
    return _ball(model, min(geoms, key=lambda g: _lowest(model, g.id)[1]))


def _ball(model: mujoco.MjModel, geom: mujoco.MjsGeom) -> str:
    """The name of the geom, a sphere, or of one that marks its lowest point."""
    body = geom.parent
    if geom.type == mujoco.mjtGeom.mjGEOM_SPHERE:
        geom.name = geom.name or f"{_named(body)}_foot"
        return str(geom.name)
    point, _ = _lowest(model, geom.id)
    data = at_rest(model)
    local = data.xmat[body.id].reshape(3, 3).T @ (point - data.xpos[body.id])
    mark = f"{geom.name or _named(body)}_contact"
    ball = body.add_geom(name=mark, type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[1e-3, 0, 0])
    ball.pos, ball.mass, ball.contype, ball.conaffinity = local, 0, 0, 0  # only marks the spot
    return str(ball.name)


def _named(body: mujoco.MjsBody) -> str:
    """Its name; a link may have none."""
    return str(body.name) or f"link{body.id}"


def _below(body: mujoco.MjsBody) -> list[mujoco.MjsBody]:
    """The body and everything that hangs on it."""
    return [body, *(b for child in body.bodies for b in _below(child))]


def _lowest(model: mujoco.MjModel, geom: int) -> tuple[Array, float]:
    """The lowest corner of a geom's box at rest: its middle in the plane (3,), and its height."""
    data = at_rest(model)
    corners = data.geom_xpos[geom] + box_corners(model, geom) @ data.geom_xmat[geom].reshape(3, 3).T
    bottom = corners[corners[:, 2] < corners[:, 2].min() + 1e-3]
    return bottom.mean(axis=0), float(corners[:, 2].min())


def _in_order(
    scene: mujoco.MjSpec, feet: tuple[str, ...], joints: tuple[str, ...], home: tuple[float, ...], base: str
) -> tuple[str, ...]:
    """Feet as front left, front right, rear left, rear right, by where they stand under the base at home."""
    model = scene.compile()
    data = mujoco.MjData(model)
    for joint, position in zip(joints, home, strict=False):
        data.qpos[model.joint(joint).qposadr[0]] = position
    mujoco.mj_kinematics(model, data)
    body = int(model.jnt_bodyid[model.joint(base).id])
    R, origin = data.xmat[body].reshape(3, 3), data.xpos[body]
    at = {foot: (data.geom(foot).xpos - origin) @ R for foot in feet}
    middle = np.mean([p[:2] for p in at.values()], axis=0)
    return tuple(sorted(feet, key=lambda f: (at[f][0] < middle[0], at[f][1] < middle[1])))
