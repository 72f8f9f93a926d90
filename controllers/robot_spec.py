"""What a controller must know of a robot by name, so that any MJCF runs the same controllers."""

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from robotics.errors import UsageError, unknown_name

STANDARD_GRAVITY = np.array([0.0, 0.0, -9.81])


@dataclass(frozen=True)
class EndEffector:
    """One hand: the site that is steered, and the joint that opens its gripper (None for a bare flange)."""

    name: str
    site: str
    gripper_joint: str | None = None


@dataclass(frozen=True)
class RobotSpec:
    """Names of the joints that are actuated, in the order of commands, and of what they carry.

    `home` is the resting position of `joints` [rad, m]. `velocity_limits` [rad/s, m/s] is per joint: MJCF has no
    field for it. Position and torque limits are the model's own.
    """

    name: str
    joints: tuple[str, ...]
    home: tuple[float, ...]
    velocity_limits: tuple[float, ...]
    end_effectors: tuple[EndEffector, ...] = ()
    base: str | None = None
    """Free joint of a robot that walks or drives; None for one that is bolted down."""
    feet: tuple[str, ...] = ()
    """Sphere geoms that touch the ground: front left, front right, rear left, rear right on four legs."""

    def validate(self, model: mujoco.MjModel) -> None:
        """Raise UsageError naming the first joint, site or limit that the controllers need and `model` lacks."""
        for joint in self.joints:
            _require(model, mujoco.mjtObj.mjOBJ_JOINT, "joint", joint, self.name)
        for effector in self.end_effectors:
            _require(model, mujoco.mjtObj.mjOBJ_SITE, "site", effector.site, self.name)
            if effector.gripper_joint is not None and effector.gripper_joint not in self.joints:
                raise unknown_name(f"gripper joint of {self.name}", effector.gripper_joint, self.joints)
        if self.base is not None:
            _require(model, mujoco.mjtObj.mjOBJ_JOINT, "base joint", self.base, self.name)
            if model.jnt_type[model.joint(self.base).id] != mujoco.mjtJoint.mjJNT_FREE:
                raise UsageError(f"robot {self.name}: base joint '{self.base}' is no free joint")
            if np.abs(model.opt.gravity - STANDARD_GRAVITY).max() > 0.05:
                given = " ".join(f"{g:g}" for g in model.opt.gravity)
                raise UsageError(
                    f"robot {self.name}: the model's gravity is {given}; robots on legs or wheels are controlled under "
                    '0 0 -9.81 m/s^2 alone: set <option gravity="0 0 -9.81"/>'
                )
        for foot in self.feet:
            _require(model, mujoco.mjtObj.mjOBJ_GEOM, "foot", foot, self.name)
            if model.geom_type[model.geom(foot).id] != mujoco.mjtGeom.mjGEOM_SPHERE:
                raise UsageError(f"robot {self.name}: foot '{foot}' is no sphere geom")
        self.require_numbers()
        one_dof = (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE)
        for joint in self.joints:
            if int(model.jnt_type[model.joint(joint).id]) not in one_dof:
                raise UsageError(f"robot {self.name}: joint '{joint}' is neither hinge nor slide")
        limits = torque_limits(model, self.joints)
        unlimited = [j for j, limit in zip(self.joints, limits.T, strict=True) if not np.isfinite(limit).all()]
        if unlimited:
            raise UsageError(
                f"robot {self.name}: joints without torque limit: {', '.join(unlimited)}; set actuatorfrcrange on them"
            )

    def require_numbers(self) -> None:
        """Raise UsageError unless home and speed limits are one number for each of the joints."""
        for field, values in (("home", self.home), ("velocity_limits", self.velocity_limits)):
            if len(values) != len(self.joints):
                raise UsageError(f"robot {self.name}: {field} has {len(values)} entries for {len(self.joints)} joints")
        if not all(limit > 0 for limit in self.velocity_limits):
            raise UsageError(f"robot {self.name}: velocity_limits are {self.velocity_limits}, not all positive")
        if not np.isfinite(self.home).all():
            raise UsageError(f"robot {self.name}: home is {self.home}, not all numbers")


def _require(model: mujoco.MjModel, kind: mujoco.mjtObj, label: str, name: str, robot: str) -> None:
    if mujoco.mj_name2id(model, kind, name) < 0:
        raise unknown_name(f"{label} of robot {robot}", name, _names(model, kind))


def _names(model: mujoco.MjModel, kind: mujoco.mjtObj) -> Sequence[str]:
    objects = mujoco.mjtObj
    count = {objects.mjOBJ_JOINT: model.njnt, objects.mjOBJ_SITE: model.nsite, objects.mjOBJ_GEOM: model.ngeom}[kind]
    return [name for i in range(count) if (name := mujoco.mj_id2name(model, kind, i))]


def torque_limits(model: mujoco.MjModel, joints: Sequence[str]) -> np.ndarray:
    """Lower and upper actuator force of each joint, shape (2, n) [N m, N].

    The joint's own `actuatorfrcrange`, and what its actuators can give by their `forcerange` and, for plain motors,
    their `ctrlrange`. Infinite where the model limits neither.
    """
    lower, upper = np.full(len(joints), -np.inf), np.full(len(joints), np.inf)
    for number, joint in enumerate(joints):
        ranges = [_actuator_range(model, a) for a in joint_actuators(model, joint)]
        if ranges:
            lower[number], upper[number] = np.sum(ranges, axis=0)
        index = model.joint(joint).id
        if model.jnt_actfrclimited[index]:
            low, high = model.jnt_actfrcrange[index]
            lower[number], upper[number] = max(lower[number], low), min(upper[number], high)
    return np.array([lower, upper])


def position_limits(model: mujoco.MjModel, joints: Sequence[str]) -> np.ndarray:
    """Lowest and highest position of each joint, shape (2, n) [rad, m]; infinite where the model limits neither."""
    ids = [model.joint(joint).id for joint in joints]
    limits = model.jnt_range[ids].T.copy()
    limits[:, ~model.jnt_limited[ids].astype(bool)] = [[-np.inf], [np.inf]]
    return limits


def joint_actuators(model: mujoco.MjModel, joint: str) -> list[int]:
    """Actuators that act on the joint directly."""
    kinds, index = (mujoco.mjtTrn.mjTRN_JOINT, mujoco.mjtTrn.mjTRN_JOINTINPARENT), model.joint(joint).id
    on_joints = [a for a in range(model.nu) if int(model.actuator_trntype[a]) in kinds]
    return [a for a in on_joints if model.actuator_trnid[a, 0] == index]


def _actuator_range(model: mujoco.MjModel, actuator: int) -> tuple[float, float]:
    plain = bool(model.actuator_biastype[actuator] == mujoco.mjtBias.mjBIAS_NONE)
    low, high = np.sort(model.actuator_gear[actuator, 0] * force_range(model, actuator, plain))
    return float(low), float(high)


def force_range(model: mujoco.MjModel, actuator: int, plain: bool) -> np.ndarray:
    """Least and greatest force (2,) of an actuator by its `forcerange` and, of a `plain` motor, its `ctrlrange`."""
    force = np.array([-np.inf, np.inf])
    if model.actuator_forcelimited[actuator]:
        force = model.actuator_forcerange[actuator].copy()
    if model.actuator_ctrllimited[actuator] and plain:
        least, most = np.sort(model.actuator_gainprm[actuator, 0] * model.actuator_ctrlrange[actuator])
        force = np.array([max(force[0], least), min(force[1], most)])
    return force


def view_of(indices: list[int]) -> slice | np.ndarray:
    """The indices as a slice where they are in a row, which makes a view of what they pick; most robots' are."""
    first, last = indices[0], indices[-1] + 1
    return slice(first, last) if indices == list(range(first, last)) else np.array(indices)
