"""Logs of a target: every joint moves as its identification needs; what is commanded and measured is kept."""

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import mujoco
import numpy as np

from robotics.envs.hands import HandTask
from robotics.envs.legged import QuadrupedTask
from robotics.envs.mobile import MobileTask
from robotics.envs.state import Simulation
from robotics.errors import UsageError
from robotics.outputs import write_atomically
from robotics.progress import progress
from robotics.sim2real.applicability import task_of
from robotics.sim2real.identification.excitation import excite
from robotics.sim2real.identification.parameters import SERVO
from robotics.sim2real.logs import Log
from robotics.sim2real.world import World

#: Motions are not shorter than this [s], and there are at least so many: half of eight judge, fewer are no evidence.
MOTION_S, FEWEST, SHORTEST_S = 15.0, 8, 2.0
#: Highest frequency [Hz] and speed [rad/s, m/s] of the motions of arms, and of legs. Those are shaken as fast as they
#: walk: moving like arms, they weigh so little that a log could tell how far they stay behind, but neither whether
#: stiff servos push against much friction or soft ones against little, nor a delay from damping.
OF_ARMS, OF_LEGS = (3.0, 1.5), (8.0, 6.0)
#: The robot holds its home for so long first [s].
SETTLE_S = 0.5
#: Seed of the first motion: where neither demonstrations nor evaluation are.
FIRST_SEED = 900_000
#: A robot on legs is hung up by its base, so high that they swing free [m], as is done in laboratories.
HUNG_AT = 1.0
#: What is identified of arms: as usual, but for the rotors, whose inertia changes none of what their replay tells (the
#: held-out error of a PickPlace twin stays 0.33 mrad) and makes the fit three times as long.
ARM_FAMILIES = tuple(family for family in SERVO if family != "armature")
#: What is identified of legs. Without the friction at rest that falls with the speed, servos that have it seem to damp
#: less, by a third, and to be late; without what the load adds, though nothing loads legs that hang but their own
#: motion, servos seem softer, by 5 %.
LEG_FAMILIES = ("stiffness", "damping", "friction", "stribeck", "load_friction", "backlash", "delay")
#: Tasks of robots whose joints can be logged.
LoggedTask: TypeAlias = HandTask | QuadrupedTask


def require_servo_robot(env_id: str) -> None:
    """UsageError unless `env_id` is a task of a robot that stands fast, or can be hung up, and takes positions of its
    joints, and what it handles can be fixed where it lies."""
    task = task_of(env_id)
    task.close()
    if not isinstance(task, LoggedTask) or isinstance(task, MobileTask):
        raise UsageError(
            f"environment '{env_id}': its robot neither stands fast on position servos nor can be hung up, so its "
            "joints alone do not tell what moves it; log it and use `robotics sysid`"
        )
    if task.model.nflex:
        raise UsageError(f"environment '{env_id}': its cloth does not lie still while the robot is logged")


def families_of(env_id: str) -> tuple[str, ...]:
    """What is identified of the robot of `env_id` unless told otherwise."""
    task = task_of(env_id)
    task.close()
    return LEG_FAMILIES if isinstance(task, QuadrupedTask) else ARM_FAMILIES


def logged_task(env_id: str, world: World | None = None) -> LoggedTask:
    """The task behind `env_id`, with its robot as it is logged: one on legs hangs by its base."""
    changed = {"world": world} if world is not None and not world.nominal else {}
    task = task_of(env_id, action_mode="joint", **changed)
    assert isinstance(task, LoggedTask)
    if isinstance(task, HandTask):
        return task
    task.close()
    return _hung(type(task))(action_mode="joint", **changed)


def _hung(kind: type[QuadrupedTask]) -> type[QuadrupedTask]:
    """The task of a robot that hangs."""

    class Hung(kind):
        def build_scene(self, action_mode: str) -> mujoco.MjSpec:
            spec = super().build_scene(action_mode)
            spec.body("base").pos = [0, 0, HUNG_AT]
            hook = spec.add_equality(name="hook", type=mujoco.mjtEq.mjEQ_WELD, objtype=mujoco.mjtObj.mjOBJ_BODY)
            hook.name1, hook.name2 = "world", "base"
            hook.solref = [2 * spec.option.timestep, 1]
            return spec

        def place(self, simulation: Simulation, rng: np.random.Generator, options: Mapping[str, Any]) -> None:
            super().place(simulation, rng, options)
            simulation.qpos[:7] = [0, 0, HUNG_AT, 1, 0, 0, 0]

    return Hung


def nominal_model(task: LoggedTask) -> str:
    """What the simulation believes, as MJCF, with objects where `task` has them now and the robot at its home.

    What is identified starts from it. Nothing touches the objects, so that here they are fixed where they lie, as is
    the base of a robot that hangs.
    """
    spec, qpos = task.build_scene("joint"), task.data.qpos
    for weld in [one for one in spec.equalities if one.type == mujoco.mjtEq.mjEQ_WELD]:
        spec.delete(weld)
    for joint in [one for one in spec.joints if one.type == mujoco.mjtJoint.mjJNT_FREE]:
        pose = qpos[task.model.joint(joint.name).qposadr[0] :][:7]
        joint.parent.pos, joint.parent.quat = pose[:3], pose[3:]
        spec.delete(joint)
    model = spec.compile()
    start = model.qpos0.copy()
    for joint in (model.joint(number) for number in range(model.njnt)):
        here, there = joint.qposadr[0], task.model.joint(joint.name).qposadr[0]
        start[here] = qpos[there]  # a hinge or slide: there are no others left
    for name, home in zip(task.SPEC.joints, task.SPEC.home, strict=True):
        start[model.joint(name).qposadr[0]] = home
    spec.add_key(name="home", qpos=start.tolist(), ctrl=task.data.ctrl.tolist())
    return spec.to_xml()


def motions_in(seconds: float) -> int:
    """How many motions so much time is divided into; UsageError for too short a time."""
    count = max(FEWEST, round(seconds / MOTION_S)) if math.isfinite(seconds) else 0
    if not count or seconds / count < SHORTEST_S:
        raise UsageError(f"--log-seconds {seconds:g}: give at least {FEWEST * SHORTEST_S:g}, for {FEWEST} motions")
    return count


def log_motions(env_id: str, world: World, seconds: float, seed: int, folder: Path) -> list[Log]:
    """About `seconds` of motion of the robot in `world`, as logs that are also files of `folder`.

    Commands are designed on the nominal model so that nothing is touched there. Positions are those that the task's
    policies see: late, quantised and noisy if its sensors are. Raises UsageError for too short a time.
    """
    count = motions_in(seconds)
    nominal, target = logged_task(env_id), logged_task(env_id, world)
    logs = []
    try:
        with progress("log the target", count, "motions") as bar:
            for number in range(count):
                logs.append(
                    _motion(nominal, target, seconds / count, FIRST_SEED + seed + number, f"motion{number:02d}")
                )
                write_log(logs[-1], folder)
                bar.advance()
    finally:
        nominal.close()
        target.close()
    return logs


def write_log(log: Log, folder: Path) -> Path:
    """A CSV file that `robotics sysid --log` reads."""
    columns = {"time": log.time, **log.columns()}
    rows = np.column_stack(list(columns.values()))
    lines = [",".join(columns), *(",".join(f"{value:.9g}" for value in row) for row in rows)]
    path = folder / f"{log.name}.csv"
    write_atomically(path, "\n".join(lines) + "\n")
    return path


def _settled(task: LoggedTask, seed: int) -> dict[str, Any]:
    """The observation when the objects of this seed have come to rest and the robot has held its home for a while.

    Steps the task itself: neither success nor a time limit ends a motion.
    """
    observation, _ = task.reset(seed=seed)
    home = np.clip(task.SPEC.home, task.action_space.low, task.action_space.high).astype(np.float32)
    for _ in range(round(SETTLE_S * task.control_hz)):
        observation, *_ = task.step(home)
    return observation


def _motion(nominal: LoggedTask, target: LoggedTask, seconds: float, seed: int, name: str) -> Log:
    """One motion from the instance of `seed`, whose objects are in the same place in both."""
    _settled(nominal, seed)
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch) / "model.xml"
        model.write_text(nominal_model(nominal))
        fastest = OF_LEGS if isinstance(nominal, QuadrupedTask) else OF_ARMS
        excitation = excite(str(model), seconds, nominal.control_hz, *fastest, seed)
    joints, space = nominal.SPEC.joints, target.action_space
    order = [excitation.joints.index(joint) for joint in joints]
    commands = np.clip(excitation.command[:, order], space.low, space.high).astype(np.float32)
    measured = []
    observation = _settled(target, seed)
    for command in commands:
        measured.append(target.joints_in(observation).astype(float))
        observation, *_ = target.step(command)
    positions = np.array(measured)
    return Log(
        name,
        excitation.time,
        {
            "command": {joint: commands[:, i].astype(float) for i, joint in enumerate(joints)},
            "position": {joint: positions[:, i] for i, joint in enumerate(joints)},
        },
        {},
    )
