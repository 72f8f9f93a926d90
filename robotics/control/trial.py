"""What is asked of which robot, for how long, and how its world differs from what its controller believes."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal, get_args

from robotics.control.machine import Machine, load_machine
from robotics.control.robots import ControlledRobot, find_robot, is_file
from robotics.controllers.legged.locomotion import Twist
from robotics.errors import UsageError, unknown_name

StateSource = Literal["truth", "estimated"]
Terrain = Literal["flat", "boxes", "stairs"]

#: Each tick of it is kept; no motor is later.
LONGEST_DELAY_S = 1.0
#: Nothing that is asked is larger, in whatever unit: sums of squares of what is stay numbers.
LARGEST = 1e6


@dataclass(frozen=True)
class Conditions:
    """How the simulated robot and its world differ from what the controller believes.

    `push` is an impulse on the base [N s] over 0.1 s at `push_at_s`, towards `push_towards` (rad, from straight ahead
    to the left); `payload` a mass that it carries [kg]; `friction` that of what touches the ground, None where it stays
    as the robot's model has it; `slope` the rise of the ground ahead [rad]; `delay_s` the age of the torques that the
    motors get, to the nearest period of the controller.
    """

    push: float = 0.0
    push_towards: float = math.pi / 2
    push_at_s: float = 2.0
    payload: float = 0.0
    friction: float | None = None
    slope: float = 0.0
    terrain: Terrain = "flat"
    delay_s: float = 0.0

    #: How long a push lasts [s].
    PUSH_S: ClassVar[float] = 0.1

    def pushing(self, time_s: float) -> bool:
        """Whether the push acts in a tick that begins at this time: times are sums of steps, and a little off."""
        return -1e-9 <= time_s - self.push_at_s < self.PUSH_S - 1e-9

    def late(self, period_s: float) -> int:
        """Ticks of `period_s` that torques are late; half a tick is one."""
        return math.floor(self.delay_s / period_s + 0.5 + 1e-9)

    def changed(self) -> set[str]:
        """Names of the conditions that are not as usual."""
        usual = Conditions()
        return {name for name, value in vars(self).items() if value != getattr(usual, name)}


@dataclass(frozen=True)
class Trial:
    """One run of one controller. Raises UsageError, naming the option, for what can not be meant."""

    robot: str
    task: str
    twist: Twist = field(default_factory=Twist)
    seconds: float = 5.0
    seed: int = 0
    solver: str = "daqp"
    conditions: Conditions = field(default_factory=Conditions)
    state: StateSource = "estimated"

    def __post_init__(self) -> None:
        robot = self.controlled
        if self.task not in robot.tasks:
            raise unknown_name(f"task of {self.robot}", self.task, robot.tasks)
        for name, value, kinds in (
            ("state", self.state, get_args(StateSource)),
            ("terrain", self.conditions.terrain, get_args(Terrain)),
        ):
            if value not in kinds:
                raise unknown_name(name, value, kinds)
        numbers = {**vars(self.twist), "seconds": self.seconds, **vars(self.conditions)}
        del numbers["terrain"]
        if numbers["friction"] is None:
            del numbers["friction"]
        for name, value in numbers.items():
            if not math.isfinite(value):
                raise UsageError(f"--{option(name)} {value} is no number")
            if abs(value) > LARGEST:
                raise UsageError(f"--{option(name)} {value:g}: it is at most {LARGEST:g}")
        for name in ("seconds", "friction"):
            if numbers.get(name, 1) <= 0:
                raise UsageError(f"--{name} {numbers[name]}: it must be positive")
        if self.conditions.payload < 0 or self.conditions.delay_s < 0:
            raise UsageError("--payload and --delay must not be negative")
        if self.conditions.delay_s > LONGEST_DELAY_S:
            given, most = self.conditions.delay_s * 1e3, LONGEST_DELAY_S * 1e3
            raise UsageError(f"--delay {given:g}: torques are at most {most:g} ms late")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: seeds are not negative")
        if self.conditions.push and self.seconds <= self.conditions.push_at_s:
            given, at = self.seconds, self.conditions.push_at_s
            raise UsageError(
                f"--push {self.conditions.push:g} comes after {at:g} s: --seconds {given:g} ends before it"
            )
        if self.conditions.slope and self.conditions.terrain != "flat":
            raise UsageError(f"--terrain {self.conditions.terrain} is level: leave out --slope")
        self._require_known(robot.name, robot.conditions)
        if self.twist != Twist() and self.task not in robot.moving_tasks:
            moving = ", ".join(robot.moving_tasks)
            other = f", or take a task that does ({moving})" if moving else ""
            raise UsageError(
                f"task {self.task} of {self.robot} takes no velocity: leave out --vx, --vy and --wz{other}"
            )

    @cached_property
    def controlled(self) -> ControlledRobot:
        """The robot, read once: a file's is compiled to find its kind."""
        return find_robot(self.robot)

    def machine(self) -> Machine | None:
        """The robot of a file; None for an embedded one."""
        return load_machine(self.robot) if is_file(self.robot) else None

    def _require_known(self, robot: str, known: frozenset[str]) -> None:
        for name in sorted(self.conditions.changed() - known - {"push_towards", "push_at_s"}):
            there = ", ".join(f"--{option(other)}" for other in sorted(known)) or "no conditions"
            raise UsageError(f"robot {robot} has no --{option(name)}; it has: {there}")


def option(field: str) -> str:
    """What the command line calls a field of `Conditions` or `Trial`."""
    return field.removesuffix("_s").replace("_", "-")
