r"""Whole-body control of arms on a base that drives in every direction: base and arms in one quadratic program.

The base is three more joints (x, y, yaw) of the robot, so a hand is moved by whatever moves it best. Its tasks are far
weaker than those of the hands: they say where the base goes as far as the hands do not mind. Left to itself it follows
the targets of the hands: with :math:`m` the middle of the targets, :math:`m_0` where the middle of the hands is at
home, seen from a base at :math:`b` with heading :math:`\psi`, and a slack d,

.. math:: e = m - (b + R_\psi m_0),\qquad b^* = b + e \max(0, 1 - d / \lVert e \rVert) ,

so that it stands still while the arms can do it alone, and comes as near as needed when they can not.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import mujoco
import numpy as np

from robotics.controllers.arms import ArmSettings, HandTarget
from robotics.controllers.bimanual import BimanualCerebellum, CarrySettings
from robotics.controllers.cartesian_mpc import CartesianMPC, CartesianMPCSettings, Motion, Plan, resting_at
from robotics.controllers.limbs import require_planar, turning_point
from robotics.controllers.limits import CollisionMargin
from robotics.controllers.model import NominalModel
from robotics.controllers.qp import GuardedSolver
from robotics.controllers.robot_spec import RobotSpec
from robotics.controllers.rotation import log_between, rotation_matrix
from robotics.controllers.tasks import JointTask, PostureTask, Reference, Task
from robotics.controllers.wbc import WholeBodyController
from robotics.errors import UsageError

Array = np.ndarray

#: Hands that are less apart than this on the floor [m] do not say which way the base shall look.
_APART = 0.15


@dataclass(frozen=True)
class BaseSettings:
    """How the base moves."""

    weight: float = 3.0  # of its joints against the posture's 1e-3: it stands still while arms move
    gains: tuple[float, float] = (25.0, 10.0)  # [1/s^2], [1/s]
    slack: tuple[float, float] = (0.1, 0.25)  # how far targets may be off before it follows [m], [rad]
    driving: tuple[float, float] = (0.4, 0.3)  # targets this fast are followed without slack [m/s], [rad/s]
    mpc: CartesianMPCSettings = field(
        default_factory=lambda: CartesianMPCSettings(
            step_s=0.1, max_velocity=(1.0, 1.0), max_acceleration=(0.8, 1.5), acceleration_weight=0.02
        )
    )

    @classmethod
    def within(cls, robot: NominalModel, share: float = 0.7) -> "BaseSettings":
        """The usual ones for a robot at home, no faster than `share` of what its base can do."""
        usual = cls()
        speed = share * robot.velocity_limit[:3]
        push = share * np.minimum(robot.torque_upper, -robot.torque_lower)[:3] / robot.M.diagonal()[:3]

        def least(of_all: tuple[float, float], own: Array) -> tuple[float, float]:
            return min(of_all[0], *map(float, own[:2])), min(of_all[1], float(own[2]))

        limits = replace(
            usual.mpc,
            max_velocity=least(usual.mpc.max_velocity, speed),
            max_acceleration=least(usual.mpc.max_acceleration, push),
        )
        return replace(usual, mpc=limits)


@dataclass(frozen=True)
class BasePose:
    """Where the base shall be on the floor: position [m], heading [rad]."""

    x: float
    y: float
    yaw: float


@dataclass(frozen=True)
class BaseTwist:
    """How the base shall drive, in its own frame: ahead and to the left [m/s], turning left [rad/s]."""

    vx: float
    vy: float
    wz: float


class MobileCerebellum(BimanualCerebellum):
    """Hands go to their targets in the world, on a base that goes where it is told, or where the hands need it.

    The first three joints of `spec` are the base's: along x, along y, and turning. Raises UsageError where they are
    not, or `spec` has not two hands.
    """

    _mpc: dict[str, CartesianMPC]  # of the two below, that which is in use

    def __init__(
        self,
        model: mujoco.MjModel,
        spec: RobotSpec,
        collision: CollisionMargin | None = None,
        settings: ArmSettings | None = None,
        solver: str = "daqp",
        carry: CarrySettings | None = None,
        base: BaseSettings | None = None,
    ) -> None:
        spec.validate(model)
        require_planar(model, spec)
        self._origin = np.append(turning_point(model, spec), 0.0)  # of the base's coordinates, which its joints are
        self.base_settings = base or BaseSettings()
        stiffness, damping = self.base_settings.gains
        self._base = [JointTask(i, 0.0, weight=self.base_settings.weight, kp=stiffness, kd=damping) for i in range(3)]
        super().__init__(model, spec, collision, settings, solver, carry)
        middle = np.mean([self.model.pose(hand)[0] for hand in self._pair], axis=0)
        self._standing_mpc = self._mpc
        self._riding_mpc = self._hands_of_a_driver()
        home = _on_floor(*spec.home[:3])
        self._comfort = (rotation_matrix(home.quat).T @ (middle - self._origin - home.position))[:2]  # of the hands
        across = self._between({hand: Reference(*self.model.pose(hand)) for hand in self._pair})
        self._across = None if across is None else across - spec.home[2]

    def _wbc(self, collision: CollisionMargin | None, solver: GuardedSolver) -> WholeBodyController:
        wbc = super()._wbc(collision, solver)
        wbc.tasks = [*wbc.tasks, *self._base]
        self._posture = next(task for task in wbc.tasks if isinstance(task, PostureTask))
        self._base_mpc = CartesianMPC(self.base_settings.mpc, solver)
        return wbc

    def _body_tasks(self) -> list[Task]:
        return [*self._base]

    def reset(self, q: Array) -> None:
        super().reset(q)
        self._order: BasePose | BaseTwist | None = None
        self._base_plan: Plan | None = None
        self._base_reference = _on_floor(*q[:3])
        self._riders: dict[str, HandTarget] = {}
        self._set_base()

    def moving(self, v: Array) -> None:
        super().moving(v)
        self._base_reference = replace(self._base_reference, velocity=np.array([v[0], v[1], 0.0, 0.0, 0.0, v[2]]))

    def drive(self, order: BasePose | BaseTwist | None) -> None:
        """From the next plan on the base goes to a pose, or drives by a twist; None leaves it to the hands.

        Raises UsageError for numbers that are not finite.
        """
        if order is not None and not np.isfinite([*vars(order).values()]).all():
            raise UsageError(f"the base can not go to {order}")
        self._order = order

    def base_pose(self) -> BasePose:
        """Where the base is by the last measurement."""
        return BasePose(*map(float, self.model.q[:3]))

    def plan(self, targets: dict[str, HandTarget], with_base: bool = False) -> None:
        """As `ArmCerebellum.plan`; `with_base`, targets are given in the frame of the base, and move along with it."""
        self._riders = dict(targets) if with_base else {}
        super().plan(targets)

    def follow(self, motions: Mapping[str, Motion]) -> None:
        riders, self._riders = self._riders, {}
        plan = self._plan_base({} if riders else {hand: motion(0.0) for hand, motion in motions.items()})
        driven = bool(riders) or any(motion(0.0).velocity[:3].any() for motion in motions.values())
        self._mpc = self._riding_mpc if driven else self._standing_mpc
        super().follow({name: _riding(plan, target, self._origin) for name, target in riders.items()} or motions)

    def _hands_of_a_driver(self) -> dict[str, CartesianMPC]:
        """Of hands that move with the base: as fast as they are without it, and what it adds."""
        hand, base = self.settings.mpc, self.base_settings.mpc
        middle = self._origin[:2] + self.model.q[:2]
        reach = max(float(np.linalg.norm(self.model.pose(name)[0][:2] - middle)) for name in self._pair)

        def both(own: tuple[float, float], added: tuple[float, float]) -> tuple[float, float]:
            return own[0] + added[0] + reach * added[1], own[1] + added[1]

        limits = replace(
            hand,
            max_velocity=both(hand.max_velocity, base.max_velocity),
            max_acceleration=both(hand.max_acceleration, base.max_acceleration),
        )
        return {name: CartesianMPC(limits, self.wbc.solver) for name in self._pair}

    def carry(self, motion: Motion) -> None:
        self._plan_base({"object": motion(0.0)})
        super().carry(motion)

    def torque(self, q: Array, v: Array) -> tuple[Array, Array]:
        self._base_reference = self._base_at(self._elapsed)
        self._set_base()
        return super().torque(q, v)

    def _base_at(self, t: float) -> Reference:
        return self._base_reference if self._base_plan is None else self._base_plan.at(t)

    def _set_base(self) -> None:
        """The base's reference as that of its three joints."""
        reference = self._base_reference
        yaw = float(self.model.q[2])
        turn = log_between(_on_floor(0.0, 0.0, yaw).quat, reference.quat)[2]  # the short way round
        positions = (reference.position[0], reference.position[1], yaw + turn)
        for task, position, axis in zip(self._base, positions, (0, 1, 5), strict=True):
            task.position = float(position)
            task.velocity, task.acceleration = float(reference.velocity[axis]), float(reference.acceleration[axis])
        self._posture.posture[:3] = positions

    def _plan_base(self, hands: Mapping[str, Reference]) -> Plan:
        start, here = self._base_at(self._elapsed), self.model.q
        lost = math.hypot(start.position[0] - here[0], start.position[1] - here[1]) > 0.3
        if lost:  # something holds it back
            start = _on_floor(*here[:3])
        order = self._order
        if isinstance(order, BasePose):
            goal = resting_at(*_pose_of(order))
        elif isinstance(order, BaseTwist):
            goal = _driving(start, order)
        else:
            goal = self._needed(start, hands)
        self._base_plan = self._base_mpc.follow(start, goal)
        return self._base_plan

    def _needed(self, start: Reference, hands: Mapping[str, Reference]) -> Motion:
        """Where the base must go for the targets of the hands; where it is, while the arms can do it alone."""
        if not hands:
            return resting_at(start.position, start.quat)
        reach, turn = self.base_settings.slack
        fast, quick = self.base_settings.driving
        middle = np.mean([hand.position for hand in hands.values()], axis=0)
        moving = np.mean([hand.velocity for hand in hands.values()], axis=0)
        yaw, rate = _heading(start.quat), 0.0
        across = self._between(hands)
        if across is not None and self._across is not None:
            rate = self._turning(hands)
            turn *= max(0.0, 1.0 - abs(rate) / quick)
            off = math.remainder(across - self._across - yaw, math.tau)
            yaw += off * max(0.0, 1.0 - turn / max(abs(off), 1e-9))
            rate = rate if abs(off) > turn else 0.0
        c, s = math.cos(yaw), math.sin(yaw)
        x, y = self._comfort
        comfort = np.array([c * x - s * y, s * x + c * y])
        drive = moving[:2] - rate * np.array([-comfort[1], comfort[0]])
        reach *= max(0.0, 1.0 - math.hypot(*moving[:2]) / fast)
        e = middle[:2] - self._origin[:2] - start.position[:2] - comfort
        far = float(np.linalg.norm(e))
        velocity = np.zeros(6)
        if far > reach:
            velocity[:2] = drive
        velocity[5] = rate
        goal = start.position[:2] + e * max(0.0, 1.0 - reach / max(far, 1e-9))

        def motion(t: float) -> Reference:
            rest = _on_floor(goal[0], goal[1], yaw + t * rate)
            return Reference(rest.position + t * velocity[:3], rest.quat, velocity)

        return motion

    def _turning(self, hands: Mapping[str, Reference]) -> float:
        """How fast the line of both hands turns [rad/s]."""
        first, second = (hands[hand] for hand in self._pair)
        (x, y), (vx, vy) = (first.position - second.position)[:2], (first.velocity - second.velocity)[:2]
        return float((x * vy - y * vx) / (x * x + y * y))

    def _between(self, hands: Mapping[str, Reference]) -> float | None:
        """The direction across the line of both hands [rad], 0 where the first one is to the left of the other; None
        where they are not both there, or above each other."""
        if set(hands) != set(self._pair):
            return None
        across = hands[self._pair[0]].position - hands[self._pair[1]].position
        return math.atan2(-across[0], across[1]) if math.hypot(across[0], across[1]) > _APART else None


def _on_floor(x: float, y: float, yaw: float) -> Reference:
    return Reference(np.array([x, y, 0.0]), np.array([math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)]))


def _pose_of(pose: BasePose) -> tuple[Array, Array]:
    reference = _on_floor(pose.x, pose.y, pose.yaw)
    return reference.position, reference.quat


def _heading(quat: Array) -> float:
    return 2 * math.atan2(quat[3], quat[0])


def _driving(start: Reference, twist: BaseTwist) -> Motion:
    """The motion of a base that drives by a constant twist from where `start` is."""
    yaw = _heading(start.quat)

    def motion(t: float) -> Reference:
        # Along an arc: the integral of the turned velocity, by its mean heading and the sine of half the turn
        half = 0.5 * twist.wz * t
        length = t * (math.sin(half) / half if abs(half) > 1e-9 else 1.0)
        step = length * _turned(yaw + half, twist.vx, twist.vy)
        here = _on_floor(start.position[0] + step[0], start.position[1] + step[1], yaw + 2 * half)
        vx, vy = _turned(yaw + 2 * half, twist.vx, twist.vy)
        velocity = np.array([vx, vy, 0, 0, 0, twist.wz])
        return Reference(here.position, here.quat, velocity, twist.wz * np.array([-vy, vx, 0, 0, 0, 0]))

    return motion


def _turned(angle: float, x: float, y: float) -> Array:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([c * x - s * y, s * x + c * y])


def _moved(base: Reference, target: HandTarget) -> tuple[Array, Array]:
    """A pose in the frame of the base, in the world."""
    quat = np.empty(4)
    mujoco.mju_mulQuat(quat, base.quat, target.quat)
    return base.position + rotation_matrix(base.quat) @ target.position, quat


def _riding(plan: Plan, target: HandTarget, origin: Array | float = 0.0) -> Motion:
    """The motion of a point that moves with the base along its plan, whose coordinates begin at `origin` (3,) [m]."""

    def motion(t: float) -> Reference:
        base = plan.at(t)
        position, quat = _moved(base, target)
        r, (wz, change) = position - base.position, (base.velocity[5], base.acceleration[5])
        across = np.array([-r[1], r[0], 0.0])
        velocity, acceleration = base.velocity.copy(), base.acceleration.copy()
        velocity[:3] += wz * across
        acceleration[:3] += change * across - wz**2 * np.array([r[0], r[1], 0.0])
        return Reference(origin + position, quat, velocity, acceleration)

    return motion
