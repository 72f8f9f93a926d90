"""Tasks of the 7-DoF arm: its scene, its controller, and the objects that lie on its table."""

from collections.abc import Sequence
from dataclasses import replace

import mujoco
import numpy as np

from robotics.controllers.arms import ArmCerebellum, ArmSettings
from robotics.controllers.limits import CollisionMargin
from robotics.envs.base import Array
from robotics.envs.hands import HandTask, as_in
from robotics.envs.robots import Actuation
from robotics.envs.robots.panda import ARM, FINGER_RANGE, TOUCHING, arm_margin, arm_scene, nominal_arm
from robotics.envs.state import State
from robotics.envs.touch import add_touch_sensor

Colour = Sequence[float]
HAND = ARM.end_effectors[0].name
FINGERS = ("finger1", "finger2")
#: In whole-body control of the virtual robot behind the servos and of the real one: what sensors have wrong is little.
SETTINGS = ArmSettings(grip_rate=100.0, grip_force=30.0, position_margin=0.01, velocity_share=0.97)


class ArmTask(HandTask):
    """Seven joints and a finger; one hand, `hand`, whose z axis points out of it and whose fingers close along y."""

    robot_type = "arm"
    camera_names = ("top", "side", "wrist")
    default_camera = "side"
    SPEC = ARM
    WORKSPACE = (np.array([0.15, -0.55, 0.0]), np.array([0.85, 0.55, 0.8]))
    FINGERS = FINGER_RANGE
    #: What the hand, its wrist and its fingers keep clear of the table [m].
    CLEARANCE = 0.004

    def build_robot(self, actuation: Actuation) -> mujoco.MjSpec:
        return arm_scene(actuation)

    @classmethod
    def make_cerebellum(
        cls,
        solver: str = "daqp",
        believed: mujoco.MjModel | None = None,
        period_s: float = ArmSettings.wbc_period_s,
    ) -> ArmCerebellum:
        model = as_in(believed, nominal_arm())
        margin = CollisionMargin(arm_margin(model).pairs, cls.CLEARANCE)
        return ArmCerebellum(model, ARM, margin, replace(SETTINGS, wbc_period_s=period_s), solver)


def add_object(
    spec: mujoco.MjSpec, name: str, kind: mujoco.mjtGeom, size: Sequence[float], mass: float, colour: Colour
) -> mujoco.MjsBody:
    """A free body of one geom, both of that name, that fingers can hold."""
    body = spec.worldbody.add_body(
        name=name, pos=[0.5, 0, size[-1] if kind != mujoco.mjtGeom.mjGEOM_SPHERE else size[0]]
    )
    body.add_freejoint(name=name)
    body.add_geom(
        name=name,
        type=kind,
        size=[*size, 0, 0][:3],
        mass=mass,
        rgba=colour,
        condim=4,
        priority=1,  # its own friction counts, whatever touches it
        friction=[1, 0.005, 1e-4],
        **TOUCHING,
    )
    return body


def add_touch_sensors(spec: mujoco.MjSpec, name: str) -> None:
    """Sensors of whether either finger, and anything of the arm, touches the object."""
    for finger in FINGERS:
        add_touch_sensor(spec, f"{name}/{finger}", finger, name)
    add_touch_sensor(spec, f"{name}/arm", "link0", name, whole_subtree=True)


def touches(state: State, name: str) -> tuple[Array, Array]:
    """Whether each finger (n, 2), and anything of the arm (n,), touches the object."""
    fingers = np.concatenate([state.sensor(f"{name}/{finger}") for finger in FINGERS], axis=1)
    return fingers > 0, state.sensor(f"{name}/arm")[:, 0] > 0


def add_picture(
    spec: mujoco.MjSpec, name: str, kind: mujoco.mjtGeom, size: Sequence[float], colour: Colour, mocap: bool = True
) -> mujoco.MjsBody:
    """A body that is seen and touches nothing; a `mocap` one is placed by `mocap_pos` and `mocap_quat`."""
    body = spec.worldbody.add_body(name=name, mocap=mocap)
    body.add_geom(name=name, type=kind, size=[*size, 0, 0][:3], rgba=colour, contype=0, conaffinity=0, mass=0)
    return body


def lying(x: float, y: float, z: float, yaw: float = 0.0) -> list[float]:
    """The pose (7,) of a free joint: turned by `yaw` about the vertical."""
    return [x, y, z, np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]


def observed_pose(state: State, name: str) -> Array:
    """The pose (n, 7) of a free joint, orientation with w >= 0: q and -q are the same, and only one is seen."""
    pose = state.joint(name).copy()
    pose[pose[:, 3] < 0, 3:] *= -1
    return pose


def speed(state: State, name: str) -> Array:
    """How fast a free body moves (n,) [m/s]."""
    return np.sqrt((state.velocity(name)[:, :3] ** 2).sum(axis=-1))
