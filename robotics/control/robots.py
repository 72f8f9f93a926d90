"""The robots that `robotics control` runs: their tasks, the conditions they can be put under, and their sessions."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from robotics.control.machine import load_machine
from robotics.errors import unknown_name

if TYPE_CHECKING:
    from robotics.control.session import Session
    from robotics.control.trial import Trial


@dataclass(frozen=True)
class ControlledRobot:
    """A robot and what can be asked of its controller."""

    name: str
    tasks: tuple[str, ...]
    moving_tasks: tuple[str, ...]
    """Tasks that take a commanded velocity."""
    conditions: frozenset[str]
    """Fields of `Conditions` that its session knows how to set."""
    session: str
    """module:Class of its `Session`, loaded when it is needed."""
    kind: str | None = None
    """What a robot file calls a robot that this one's controller moves; None if it moves no other."""

    def start(self, trial: "Trial") -> "Session":
        """A session of this robot, ready for its first tick."""
        module, _, name = self.session.partition(":")
        kind: Callable[[Any], Session] = getattr(importlib.import_module(module), name)
        return kind(trial)


ROBOTS = {
    robot.name: robot
    for robot in (
        ControlledRobot(
            "quadruped",
            tasks=("stand", "trot", "walk", "pace", "bound", "gallop"),
            moving_tasks=("trot", "walk", "pace", "bound", "gallop"),
            conditions=frozenset({"push", "payload", "friction", "slope", "terrain", "delay_s"}),
            session="robotics.control.legged:LeggedSession",
            kind="quadruped",
        ),
        ControlledRobot(
            "humanoid",
            tasks=("stand", "squat", "step", "walk"),
            moving_tasks=("walk",),
            conditions=frozenset({"push", "payload", "friction", "slope", "delay_s"}),
            session="robotics.control.humanoid:HumanoidSession",
            kind="humanoid",
        ),
        ControlledRobot(
            "arm",
            tasks=("hold", "track", "reach", "avoid"),
            moving_tasks=(),
            conditions=frozenset({"push", "payload", "delay_s"}),
            session="robotics.control.arm:ArmSession",
            kind="arm",
        ),
        ControlledRobot(
            "bimanual",
            tasks=("carry", "track"),
            moving_tasks=(),
            conditions=frozenset({"payload", "push", "delay_s"}),
            session="robotics.control.bimanual:BimanualSession",
            kind="bimanual",
        ),
        ControlledRobot(
            "mobile",
            tasks=("track", "reach"),
            moving_tasks=("track",),
            conditions=frozenset({"payload", "push", "delay_s"}),
            session="robotics.control.mobile:MobileSession",
            kind="mobile",
        ),
        ControlledRobot(
            "car",
            tasks=("track", "parking", "limit"),
            moving_tasks=(),
            conditions=frozenset({"friction", "push"}),
            session="robotics.control.car:CarSession",
            kind="car",
        ),
        ControlledRobot(
            "pusher",
            tasks=("push_t",),
            moving_tasks=(),
            conditions=frozenset(),
            session="robotics.control.pusher:PusherSession",
        ),
    )
}


def find_robot(name: str) -> ControlledRobot:
    """The robot of that name, or the one whose controller moves the robot of a file or of Menagerie.

    Raises UsageError for a name that is neither.
    """
    if name in ROBOTS:
        return ROBOTS[name]
    if not is_file(name):
        cure = "or a robot file (.toml), or menagerie:NAME"
        raise unknown_name("robot with a controller of its own", name, ROBOTS, cure)
    kind = load_machine(name).kind
    return next(robot for robot in ROBOTS.values() if robot.kind == kind)


def is_file(name: str) -> bool:
    """Whether `name` is that of a robot which is not embedded."""
    return name.endswith(".toml") or name.startswith("menagerie:")
