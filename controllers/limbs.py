"""Which joints of a robot move which hand: its two arms, and the base that both of them ride on."""

from typing import NamedTuple

import mujoco
import numpy as np

from robotics.controllers.robot_spec import RobotSpec
from robotics.errors import UsageError

#: A branch of the tree of joints with fewer joints is no arm, but a finger or a head.
_ARM = 3
#: How parallel axes must be to be taken for that of the world: a URDF's angles have few digits.
_PARALLEL = 1e-4
_SLIDE, _HINGE = int(mujoco.mjtJoint.mjJNT_SLIDE), int(mujoco.mjtJoint.mjJNT_HINGE)


class Limb(NamedTuple):
    """One arm: the body that its wrist moves and everything of its hand hangs on, its first body, and its gripper."""

    first: int
    wrist: int
    gripper: str | None
    """Name of the joint at its end that another finger follows; None for a bare flange."""


def two_limbs(model: mujoco.MjModel, joints: tuple[str, ...]) -> tuple[Limb, Limb] | None:
    """The two arms that the named joints make, in the order of the model; None where they make one, or more.

    What carries both (a base, a torso) is no part of them; neither is what has fewer than three joints (a head).
    """
    below = _tree(model, [int(model.joint(joint).id) for joint in joints])
    level = [j for j in below[-1] if _size(below, j) >= _ARM]
    while len(level) == 1:
        level = [j for j in below[level[0]] if _size(below, j) >= _ARM]
    return (_limb(model, below, level[0]), _limb(model, below, level[1])) if len(level) == 2 else None


def _tree(model: mujoco.MjModel, joints: list[int]) -> dict[int, list[int]]:
    """Joint -> those next below it; -1 stands for the world."""
    below: dict[int, list[int]] = {j: [] for j in (-1, *joints)}
    for joint in sorted(joints):
        above = [j for j in joints_above(model, int(model.jnt_bodyid[joint])) if j in below and j < joint]
        below[max(above, default=-1)].append(joint)  # of a tree in its own order the nearest has the greatest number
    return below


def _size(below: dict[int, list[int]], joint: int) -> int:
    return 1 + sum(_size(below, j) for j in below[joint])


def _limb(model: mujoco.MjModel, below: dict[int, list[int]], joint: int) -> Limb:
    first, way = joint, [joint]
    while len(below[way[-1]]) == 1:
        way.append(below[way[-1]][0])
    last = way[-1]
    fingers = below[last] or ([last] if len(way) > 1 else [])
    leaders = [j for j in fingers if _followed(model, j)]
    gripper = model.joint(leaders[0]).name if len(leaders) == 1 else None
    wrist = way[-2] if gripper is not None and leaders == [last] else last
    return Limb(int(model.jnt_bodyid[first]), int(model.jnt_bodyid[wrist]), gripper)


def _followed(model: mujoco.MjModel, joint: int) -> bool:
    """Whether an equality couples another joint to this one."""
    pairs = zip(model.eq_type, model.eq_obj1id, model.eq_obj2id, strict=True)
    coupled = [(int(a), int(b)) for kind, a, b in pairs if kind == int(mujoco.mjtEq.mjEQ_JOINT) and b >= 0]
    return any(joint in pair for pair in coupled)


def joints_above(model: mujoco.MjModel, body: int) -> list[int]:
    """Joints that move a body, from the nearest to the world's."""
    found: list[int] = []
    while body:
        first, count = int(model.body_jntadr[body]), int(model.body_jntnum[body])
        found += reversed(range(first, first + count))
        body = int(model.body_parentid[body])
    return found


def hangs_on(model: mujoco.MjModel, body: int, link: int) -> bool:
    """Whether `body` is `link` or anywhere below it."""
    while body and body != link:
        body = int(model.body_parentid[body])
    return body == link


def bodies_of_hands(model: mujoco.MjModel, spec: RobotSpec) -> dict[str, set[int]]:
    """End effector -> the bodies of its arm and hand: those that share a joint with it which no other one has."""
    above = {
        e.name: set(joints_above(model, int(model.site_bodyid[model.site(e.site).id]))) for e in spec.end_effectors
    }
    bodies = {}
    for name, joints in above.items():
        own = joints.difference(*(others for other, others in above.items() if other != name))
        bodies[name] = {b for b in range(model.nbody) if own.intersection(joints_above(model, b))}
    return bodies


def require_two_arms(model: mujoco.MjModel, spec: RobotSpec, kind: str) -> None:
    """Raise UsageError, naming the `kind` of robot, unless `spec` has two end effectors, each on joints of its own."""
    effectors = spec.end_effectors
    if len(effectors) != 2:
        names = ", ".join(e.name for e in effectors) or "none"
        raise UsageError(
            f"robot {spec.name}: a {kind} robot has two end effectors, this one has {len(effectors)} ({names}); "
            "give end_effectors, two of them, each a name and a site"
        )
    if effectors[0].name == effectors[1].name:
        raise UsageError(f"robot {spec.name}: both end effectors are called '{effectors[0].name}'")
    ids = {int(model.joint(joint).id) for joint in spec.joints}
    first, second = (
        ids.intersection(joints_above(model, int(model.site_bodyid[model.site(e.site).id]))) for e in effectors
    )
    for effector, own in zip(effectors, (first - second, second - first), strict=True):
        if not own:
            where = model.body(model.site_bodyid[model.site(effector.site).id]).name
            raise UsageError(
                f"robot {spec.name}: no joint moves end effector '{effector.name}' that does not move the other one as "
                f"well: its site '{effector.site}' is on body '{where}'; give a site on each of the two arms"
            )


def rides(model: mujoco.MjModel, spec: RobotSpec) -> list[str]:
    """Names of the joints that slide level and carry all hands: two or more are those of a base, in whatever order."""
    axes, _ = _at_zero(model)
    shared = sorted(_carriers(model, spec))
    return [model.joint(j).name for j in shared if int(model.jnt_type[j]) == _SLIDE and abs(axes[j, 2]) < _PARALLEL]


def _carriers(model: mujoco.MjModel, spec: RobotSpec) -> set[int]:
    """Joints that move all hands."""
    above = [set(joints_above(model, int(model.site_bodyid[model.site(e.site).id]))) for e in spec.end_effectors]
    return set.intersection(*above) if above else set()


def require_planar(model: mujoco.MjModel, spec: RobotSpec) -> None:
    """Raise UsageError unless the first three joints slide along x and y of the world and turn about z, in this order,
    carry all hands, and are carried by nothing else."""
    (axes, _), carriers = _at_zero(model), _carriers(model, spec)
    cure = "a mobile robot's joints begin with three that carry both arms: they slide along x and y and turn about z"
    for joint, kind, axis in zip(spec.joints, (_SLIDE, _SLIDE, _HINGE), np.eye(3), strict=False):
        index = int(model.joint(joint).id)
        parallel = np.abs(axes[index] - axis).max() < _PARALLEL
        if int(model.jnt_type[index]) != kind or not parallel or index not in carriers:
            what = "turns about z" if axis[2] else f"slides along {'xy'[int(axis[1])]}"
            raise UsageError(f"robot {spec.name}: joint '{joint}' is to be one of its base that {what}; {cure}")
    base = [int(model.joint(joint).id) for joint in spec.joints[:3]]
    above = joints_above(model, int(model.jnt_bodyid[base[2]]))
    above = above[above.index(base[2]) :]  # without what moves the same body after it
    if set(above) != set(base):
        others = ", ".join(f"'{model.joint(j).name}'" for j in above if j not in base)
        what = f"{others} must not carry it" if others else "it must turn on what slides, not carry that"
        raise UsageError(f"robot {spec.name}: joint '{spec.joints[2]}' turns its base, so {what}; {cure}")


def planar_base(model: mujoco.MjModel, spec: RobotSpec) -> bool:
    """Whether the first three joints of `spec` are those of a base, as `require_planar` has them."""
    try:
        require_planar(model, spec)
    except UsageError:
        return False
    return True


def turning_point(model: mujoco.MjModel, spec: RobotSpec) -> np.ndarray:
    """Where on the floor (2,) [m] the base of a mobile robot turns about while its joints are at zero."""
    _, anchors = _at_zero(model)
    return anchors[model.joint(spec.joints[2]).id, :2].copy()


def _at_zero(model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
    """Axis and anchor of every joint in the world (njnt, 3) where the model starts them."""
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    return data.xaxis.copy(), data.xanchor.copy()
