"""The robot or object that a log is about: its nominal model, and which joint each actuator moves."""

import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from robotics.errors import UsageError, unknown_name
from robotics.sim2real.identification.actuators import actuators_of, is_servo

#: Robots of this repository that logs can be about -> module, function of their scene and its arguments, and name of
#: the `RobotSpec` with the home position; arms are held by servos, as they are where commands of theirs are logged.
EMBEDDED: dict[str, tuple[str, str, tuple[str, ...], str | None]] = {
    "so101": ("so101", "so101_scene", (), None),
    "arm": ("panda", "arm_scene", ("servo",), "ARM"),
    "bimanual": ("aloha", "aloha_scene", ("servo",), "ALOHA"),
    "quadruped": ("quadruped", "quadruped_scene", (), "QUADRUPED"),
    "humanoid": ("humanoid", "humanoid_scene", (), "HUMANOID"),
}
#: Integrators that take a servo's damping implicitly.
_IMPLICIT = (int(mujoco.mjtIntegrator.mjINT_IMPLICIT), int(mujoco.mjtIntegrator.mjINT_IMPLICITFAST))
_ONE_DOF = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))


@dataclass(frozen=True)
class Subject:
    """A nominal model, never changed.

    Attributes:
        name: as the user wrote it.
        spec: builds the model's specification afresh.
        model: the nominal model.
        joints: hinges and slides, in the order of the model.
        bodies: free body or free joint -> address of its joint in the model.
        actuators: joint -> position servo or motor that moves it directly.
        unknown: joint -> why what moves it directly can not be identified.
    """

    name: str
    spec: Callable[[], mujoco.MjSpec]
    model: mujoco.MjModel
    joints: tuple[str, ...]
    bodies: dict[str, int]
    actuators: dict[str, int]
    unknown: dict[str, str]

    @property
    def only_body(self) -> str | None:
        """The free body of something that has nothing else."""
        places = set(self.bodies.values())
        return next(iter(self.bodies)) if len(places) == 1 and not self.joints else None

    def require_known(self, joints: Iterable[str]) -> None:
        """UsageError for the first of these joints that is moved by neither a position servo nor a motor."""
        for joint in joints:
            if joint in self.unknown:
                raise UsageError(self.unknown[joint])

    def is_servo(self, joint: str) -> bool:
        """Whether the command of this joint is a position."""
        actuator = self.actuators.get(joint)
        return actuator is not None and is_servo(self.model, actuator)

    def damping(self, joint: int) -> tuple[float, float]:
        """Viscous damping [N m s/rad, N s/m] of this joint itself, and of its servo."""
        own = float(np.ravel(self.model.dof_damping[self.model.jnt_dofadr[joint]])[0])
        name = self.model.joint(joint).name
        return own, -float(self.model.actuator_biasprm[self.actuators[name], 2]) if self.is_servo(name) else 0.0

    def servo_share(self, joint: int) -> float:
        return share_of_servo(*self.damping(joint), self.model.opt.integrator)

    def hinge(self, joint: str) -> bool:
        return int(self.model.jnt_type[self.model.joint(joint).id]) == _ONE_DOF[0]

    def free_geoms(self) -> np.ndarray:
        """Indices of the geoms of the free bodies, int (G,)."""
        roots = {int(self.model.jnt_bodyid[joint]) for joint in self.bodies.values()}
        of = self.model.body_rootid[self.model.geom_bodyid]
        return np.flatnonzero(np.isin(of, list(roots)))


def share_of_servo(own: float, held: float, integrator: int) -> float:
    """The part of a joint's damping, `own` and `held` by its servo, that is within the servo's torque limit.

    A fit and the model made of it keep this part as it nominally is: damping outside the limit brakes a joint whose
    servo is at it. Zero where the integrator takes a servo's damping explicitly: much of it would shake there.
    """
    return held / (own + held) if held > 0 and int(integrator) in _IMPLICIT else 0.0


def load_subject(name: str) -> Subject:
    """An embedded robot, an MJCF or URDF file, or a TOML file with `model = "…"`.

    Raises UsageError for a name that is nothing, for a model that MuJoCo can not read, and for servos that logs can not
    be about (`actuators_of`).
    """
    if name in EMBEDDED:
        return _subject(name, lambda: _embedded(name))
    if name.startswith("menagerie:"):
        from robotics.control.machine import load_machine

        machine = load_machine(name)
        return _subject(name, lambda: machine.scene(None))
    path = Path(name)
    if path.suffix not in (".toml", ".xml", ".urdf"):
        cure = "or a robot file (.toml), an MJCF or URDF file (.xml, .urdf), or menagerie:NAME"
        raise unknown_name("robot", name, EMBEDDED, cure)
    model = _model_of(path) if path.suffix == ".toml" else path
    if not model.exists():
        raise UsageError(f"robot model {model} does not exist")
    return _subject(name, lambda: _read(model))


def _embedded(name: str) -> mujoco.MjSpec:
    """The scene of one of our robots, with its home position as a keyframe."""
    module_name, function, arguments, known = EMBEDDED[name]
    module = import_module(f"robotics.envs.robots.{module_name}")
    spec: mujoco.MjSpec = getattr(module, function)(*arguments)
    if known is not None and not spec.keys:
        model, robot = spec.compile(), getattr(module, known)
        qpos, ctrl = model.qpos0.copy(), np.zeros(model.nu)
        for joint, position in zip(robot.joints, robot.home, strict=True):
            qpos[model.joint(joint).qposadr] = position
            for actuator in np.flatnonzero(model.actuator_trnid[:, 0] == model.joint(joint).id):
                ctrl[actuator] = position if is_servo(model, int(actuator)) else 0.0
        spec.add_key(name="home", qpos=qpos, ctrl=ctrl)
    return spec


def _model_of(path: Path) -> Path:
    try:
        document: dict[str, Any] = tomllib.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"robot file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"robot file {path} is no TOML: {error}") from None
    if "model" not in document:
        raise UsageError(f"robot file {path}: give model, the MJCF or URDF of the robot")
    return path.parent / str(document["model"])


def _read(path: Path) -> mujoco.MjSpec:
    try:
        spec = mujoco.MjSpec.from_file(str(path))
    except ValueError as error:
        raise UsageError(f"robot model {path}: MuJoCo can not read it: {error}") from None
    if not spec.actuators:  # a URDF names none
        for joint in spec.joints:
            if int(joint.type) in _ONE_DOF:
                spec.add_actuator(name=joint.name, target=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT).set_to_motor()
    return spec


def _subject(name: str, spec: Callable[[], mujoco.MjSpec]) -> Subject:
    try:
        model = spec().compile()
    except ValueError as error:
        raise UsageError(f"robot {name}: MuJoCo can not compile its model: {error}") from None
    kinds = [int(kind) for kind in model.jnt_type]
    joints = tuple(model.joint(i).name for i, kind in enumerate(kinds) if kind in _ONE_DOF)
    free = [i for i, kind in enumerate(kinds) if kind == int(mujoco.mjtJoint.mjJNT_FREE)]
    bodies = {model.joint(i).name: i for i in free} | {model.body(model.jnt_bodyid[i]).name: i for i in free}
    if "" in joints:
        raise UsageError(f"robot {name}: a joint of its model has no name; logs name joints")
    named = {key: i for key, i in bodies.items() if key}
    return Subject(name, spec, model, joints, named, *actuators_of(name, model))
