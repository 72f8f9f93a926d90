"""What a controller must know of a robot by name, so that any MJCF runs the same controllers."""

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from robotics.errors import UsageError, unknown_name


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
        for foot in self.feet:
            _require(model, mujoco.mjtObj.mjOBJ_GEOM, "foot", foot, self.name)
            if model.geom_type[model.geom(foot).id] != mujoco.mjtGeom.mjGEOM_SPHERE:
                raise UsageError(f"robot {self.name}: foot '{foot}' is no sphere geom")
        for field, values in (("home", self.home), ("velocity_limits", self.velocity_limits)):
            if len(values) != len(self.joints):
                raise UsageError(f"robot {self.name}: {field} has {len(values)} entries for {len(self.joints)} joints")
        unlimited = [j for j in self.joints if not model.jnt_actfrclimited[model.joint(j).id]]
        if unlimited:
            raise UsageError(
                f"robot {self.name}: joints without torque limit: {', '.join(unlimited)}; set actuatorfrcrange on them"
            )


def _require(model: mujoco.MjModel, kind: mujoco.mjtObj, label: str, name: str, robot: str) -> None:
    if mujoco.mj_name2id(model, kind, name) < 0:
        raise unknown_name(f"{label} of robot {robot}", name, _names(model, kind))


def _names(model: mujoco.MjModel, kind: mujoco.mjtObj) -> Sequence[str]:
    objects = mujoco.mjtObj
    count = {objects.mjOBJ_JOINT: model.njnt, objects.mjOBJ_SITE: model.nsite, objects.mjOBJ_GEOM: model.ngeom}[kind]
    return [name for i in range(count) if (name := mujoco.mj_id2name(model, kind, i))]


def torque_limits(model: mujoco.MjModel, joints: Sequence[str]) -> np.ndarray:
    """Lower and upper actuator force of each joint, shape (2, n) [N m, N]."""
    return np.array([model.jnt_actfrcrange[model.joint(j).id] for j in joints]).T
