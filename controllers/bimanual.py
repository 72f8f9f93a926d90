"""The cerebellum of two arms that hold one object between their hands: approach, press, carry, put down.

Free hands are those of `ArmCerebellum`. On contact the controller of `robotics.controllers.carrying` takes over: a
trajectory MPC moves the object, and both hands squeeze it with a force.
"""

from dataclasses import dataclass

import mujoco
import numpy as np

from robotics.controllers.arms import ArmCerebellum, ArmSettings
from robotics.controllers.carrying import CarryingController, Grip, HeldPoseTask, PressingTask
from robotics.controllers.cartesian_mpc import CartesianMPC, CartesianMPCSettings, Motion, Plan
from robotics.controllers.disturbance import DisturbanceObserver
from robotics.controllers.grasp import Held, squeeze_of
from robotics.controllers.limits import CollisionMargin
from robotics.controllers.robot_spec import RobotSpec
from robotics.controllers.rotation import rotation_matrix
from robotics.controllers.tasks import PostureTask, Reference, Task
from robotics.errors import UsageError

Array = np.ndarray


@dataclass(frozen=True)
class CarrySettings:
    """How an object is held."""

    squeeze: float = 10.0  # internal force [N]
    ramp_s: float = 0.6  # over which squeeze and weight are taken on
    torque_observer_s: float = 0.03  # time constant of the felt forces
    max_velocity: tuple[float, float] = (0.4, 1.0)  # of the object, per axis [m/s], [rad/s]
    max_turning: float = 3.0  # its angular acceleration [rad/s^2]


class BimanualCerebellum(ArmCerebellum):
    """Two hands that move freely, or hold an object between them after `grasp`.

    Raises UsageError for a robot that has not two end effectors.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        spec: RobotSpec,
        collision: CollisionMargin | None = None,
        settings: ArmSettings | None = None,
        solver: str = "daqp",
        carry: CarrySettings | None = None,
    ) -> None:
        if len(spec.end_effectors) != 2:
            raise UsageError(f"robot {spec.name} has {len(spec.end_effectors)} end effectors; two hands hold an object")
        self.carry_settings = carry or CarrySettings()
        self._pair = spec.end_effectors[0].name, spec.end_effectors[1].name
        self._grip: Grip | None = None
        self._elapsed = 0.0
        super().__init__(model, spec, collision, settings, solver)
        self.model.hold(self.settings.wbc_period_s)

    def reset(self, q: Array) -> None:
        self._grip = None
        self._felt = DisturbanceObserver(self.model, self.settings.wbc_period_s, self.carry_settings.torque_observer_s)
        super().reset(q)

    @property
    def holding(self) -> bool:
        """Whether an object is between the hands."""
        return self._grip is not None

    def grasp(self, held: Held, position: Array, quat: Array) -> None:
        """Take hold of an object at a world pose, between the hands as they are; squeeze and weight come on smoothly.

        Raises UsageError where the squeeze can not hold its weight.
        """
        s = self.carry_settings
        acceleration = held.greatest_acceleration(s.squeeze)
        self._grip = Grip(self.model, self._pair, held, position, quat)
        self._since = 0.0
        limits = CartesianMPCSettings(max_velocity=s.max_velocity, max_acceleration=(acceleration, s.max_turning))
        self._object_mpc = CartesianMPC(limits, self.wbc.solver)
        self._object = HeldPoseTask(Reference(position.copy(), quat.copy()))
        self._object_plan: Plan | None = None
        self._carrier = CarryingController(
            self.model,
            [
                self._object,
                self._together(),
                *self._grippers.values(),
                *self._body_tasks(),
                PostureTask(self.model.q.copy(), kp=0.0),
            ],
            None,
            self.wbc.joint_limits,
            self.wbc.solver,
            grip=self._grip,
        )

    def release(self) -> None:
        """Let go: the hands are free again, at rest where they are."""
        self._grip = None
        for name, task in self._hands.items():
            task.reference = self._here(name)
        self._plans.clear()

    def carry(self, motion: Motion) -> None:
        """Plan the held object onto a motion, given as its pose so many seconds from now (the 50 Hz layer)."""
        task, plan = self._object, self._object_plan
        task.reference = task.reference if plan is None else plan.at(self._elapsed)
        self._object_plan = self._object_mpc.follow(task.reference, motion)
        self._elapsed = 0.0

    def torque(self, q: Array, v: Array) -> tuple[Array, Array]:
        """As `ArmCerebellum.torque`, free or holding."""
        if self._grip is None:
            torque, acceleration = super().torque(q, v)
        else:
            torque, acceleration = self._hold(q, v)
        if self.model.v is v:
            self._felt.update(self.model)
            self._felt.applied(v, torque)
        else:
            self._felt.reset()  # a state that nobody believed says nothing of forces either
        return torque, acceleration

    def static_torque(self) -> Array:
        """Torques (n,) against gravity and what the held object presses, at the state the model was last updated to;
        of a robot at rest, without friction."""
        pressing = self._grip.kinematics(self.model).contacts.T @ self._carrier.wrenches if self._grip else 0.0
        return self.model.h + pressing

    def felt_wrenches(self) -> Array:
        """Forces and moments (12,) that the hands put on what they touch, by the joints alone: at the contacts in the
        axes of the held object, or at free hands in the world. Friction that the model has wrong is among them."""
        if self._grip is not None:
            J = self._grip.kinematics(self.model).contacts
        else:
            J = np.concatenate([self.model.jacobian(hand) for hand in self._pair])
        return np.linalg.lstsq(J.T, -self._felt.estimate, rcond=1e-3)[0]

    def felt_squeeze(self) -> float:
        """Internal force by the joints alone [N]; 0 while nothing is held."""
        return squeeze_of(self.felt_wrenches()) if self._grip is not None else 0.0

    def felt_push(self, hand: str, direction: Array) -> float:
        """Force that a free hand puts on what it touches along a world direction (3,), by the joints alone [N]."""
        column = 6 * self._pair.index(hand)
        return float(direction @ self.felt_wrenches()[column : column + 3])

    def _hold(self, q: Array, v: Array) -> tuple[Array, Array]:
        s, dt = self.carry_settings, self.settings.wbc_period_s
        self._since = min(self._since + dt, s.ramp_s)
        share = self._since / s.ramp_s
        self._carrier.squeeze = share * s.squeeze
        self._carrier.carried = max(share, 1e-3)
        if self._object_plan is not None:
            self._object.reference = self._object_plan.at(self._elapsed)
        self._elapsed += dt
        return self._carrier.solve(q, v)

    def _body_tasks(self) -> list[Task]:
        """What else the robot does while it holds something."""
        return []

    def _together(self) -> PressingTask:
        """The hands as they are to each other now."""
        base, other = self._pair
        (p1, q1), (p2, q2) = self.model.pose(base), self.model.pose(other)
        inverse, turn = np.empty(4), np.empty(4)
        mujoco.mju_negQuat(inverse, q1)
        mujoco.mju_mulQuat(turn, inverse, q2)
        return PressingTask(other, base, rotation_matrix(q1).T @ (p2 - p1), turn)
