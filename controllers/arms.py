"""The cerebellum of one or several arms: Cartesian MPC at 50 Hz feeding a whole-body controller at 500 Hz.

Two back ends: `ArmCerebellum.torque` for torque-controlled robots, and `ServoTargets` for arms whose joints are
position servos, as ALOHA's are.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import mujoco
import numpy as np

from robotics.controllers.arm_mpc import ArmMPC, ArmMPCSettings, ArmPlan
from robotics.controllers.cartesian_mpc import CartesianMPC, CartesianMPCSettings, Motion, Plan, resting_at
from robotics.controllers.disturbance import DisturbanceObserver
from robotics.controllers.hierarchy import HierarchicalController
from robotics.controllers.limits import CollisionMargin, JointLimits
from robotics.controllers.model import NominalModel
from robotics.controllers.qp.guard import Faults, GuardedSolver
from robotics.controllers.robot_spec import RobotSpec
from robotics.controllers.tasks import EndEffectorPoseTask, GripperForceTask, PostureTask, Reference
from robotics.controllers.wbc import WholeBodyController
from robotics.errors import UsageError, unknown_name

Array = np.ndarray


@dataclass(frozen=True)
class HandTarget:
    """Where one hand shall go: world position (3,) [m], orientation (4,) wxyz, finger distance from the middle [m].

    The orientation is a unit quaternion. A target out of reach is fine: the hand goes as near as its limits let it.
    """

    position: Array
    quat: Array
    opening: float


@dataclass(frozen=True)
class ArmSettings:
    """Timing and grip of the arms' controller."""

    wbc_period_s: float = 0.002
    plan_period_s: float = 0.02  # references are computed that far ahead, with the plan: a tick then only looks them up
    mpc: CartesianMPCSettings = field(default_factory=CartesianMPCSettings)
    """Of each hand by itself; with `ArmMPCSettings`, of all joints together, with their limits and around obstacles."""
    grip_force: float = 15.0  # motor force at which a closing gripper stops pushing [N]
    grip_rate: float | None = None  # bandwidth of grippers [1/s], whose gains then follow their inertia; None: ALOHA's
    leash: tuple[float, float] = (0.05, 0.4)  # how far the reference may run ahead of the hand [m], [rad]
    strict: bool = False  # hands before posture by a hierarchy, not by weights: 2.5 times the cost of a tick
    observed: bool = False  # learn what pulls at the joints: a payload; for robots whose torques are their own
    hand_weight: float = 1.0  # of a hand's pose; the posture has 1e-3, which shows where hands cost much motion
    position_margin: float = 0.0  # kept free of each joint's range [rad, m]
    velocity_share: float = 1.0  # of each joint's speed that is used


class _Aim(NamedTuple):
    """References at one moment: of the hands, and position, velocity and acceleration of all joints."""

    hands: dict[str, Reference]
    joints: tuple[Array, Array, Array] | None


class ArmCerebellum:
    """Moves every end effector of `spec` to its target, smoothly, within all limits.

    Call `reset` once, `plan` at 50 Hz with new targets, and `torque` every `wbc_period_s`.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        spec: RobotSpec,
        collision: CollisionMargin | None = None,
        settings: ArmSettings | None = None,
        solver: str = "daqp",
    ) -> None:
        self.settings = settings or ArmSettings()
        self.faults = Faults()
        self.model = NominalModel(model, spec)
        guarded = GuardedSolver(solver, faults=self.faults)
        s = self.settings
        self._mpc = {e.name: CartesianMPC(s.mpc, guarded) for e in spec.end_effectors}
        self._arm_mpc: ArmMPC | None = None
        if isinstance(s.mpc, ArmMPCSettings):
            self._arm_mpc = ArmMPC(model, spec, _wider(collision), s.mpc, guarded, s.velocity_share, s.position_margin)
        self._posture = PostureTask(np.array(spec.home))
        self._hands = {
            e.name: EndEffectorPoseTask(e.name, self._here(e.name), self.settings.hand_weight)
            for e in spec.end_effectors
        }
        self._grippers = {
            e.name: GripperForceTask(spec.joints.index(e.gripper_joint), opening=0.0)
            for e in spec.end_effectors
            if e.gripper_joint is not None
        }
        for gripper in self._grippers.values():
            gripper.max_force = min(s.grip_force, float(self.model.torque_upper[gripper.joint]))
            if s.grip_rate is not None:
                inertia = float(self.model.M[gripper.joint, gripper.joint])
                gripper.stiffness, gripper.damping = s.grip_rate**2 * inertia, 2 * s.grip_rate * inertia
        self.wbc = self._wbc(collision, guarded)
        self.reset(np.array(spec.home))

    def _wbc(self, collision: CollisionMargin | None, solver: GuardedSolver) -> WholeBodyController:
        s = self.settings
        limits = JointLimits(
            position_margin=s.position_margin, velocity_share=s.velocity_share, pressing=tuple(self.gripper_joints)
        )
        observer = DisturbanceObserver(self.model, s.wbc_period_s) if s.observed else None
        hands, rest = [*self._hands.values(), *self._grippers.values()], [self._posture]
        if s.strict:
            return HierarchicalController(self.model, (), collision, limits, solver, observer, levels=(hands, rest))
        return WholeBodyController(self.model, [*hands, *rest], collision, limits, solver, observer)

    def reset(self, q: Array) -> None:
        """Forget every plan: references start at rest where the hands are at joint positions q (n,).

        Raises UsageError for positions that are not finite, or of another number.
        """
        if np.shape(q) != (self.model.n,) or not np.isfinite(q).all():
            raise UsageError(f"robot {self.model.spec.name} starts from {self.model.n} finite joint positions, not {q}")
        self.model.update(q, np.zeros(self.model.n))
        self.wbc.reset()
        self._plans: dict[str, Plan] = {}
        self._joints = self._arm_mpc.rest(q) if self._arm_mpc is not None else None
        self._elapsed = 0.0
        self._ahead: deque[_Aim] = deque()
        for name, task in self._hands.items():
            task.reference = self._here(name)
        self._pursue(self._aim(0.0))
        for gripper in self._grippers.values():
            gripper.opening = float(q[gripper.joint])

    def moving(self, v: Array) -> None:
        """Right after `reset`: let the references move as the hands do at joint velocities v (n,)."""
        self.model.update(self.model.q, v)
        for name, task in self._hands.items():
            task.reference = replace(task.reference, velocity=self.model.jacobian(name) @ v)

    @property
    def gripper_joints(self) -> dict[int, str]:
        """Index of each gripper's joint among the actuated ones -> name of its end effector."""
        return {task.joint: name for name, task in self._grippers.items()}

    def plan(self, targets: dict[str, HandTarget]) -> None:
        """Plan every hand from its present reference to its target (the 50 Hz layer).

        Raises UsageError for an end effector that does not exist, and for a target that is not finite, of another
        shape, or whose quaternion is not of length 1.
        """
        self._check(targets)
        self.follow({name: resting_at(target.position, target.quat) for name, target in targets.items()})
        for name, target in targets.items():
            if name in self._grippers:
                joint = self._grippers[name].joint
                lower, upper = self.model.position_lower[joint], self.model.position_upper[joint]
                self._grippers[name].opening = min(max(target.opening, lower), upper)

    def follow(self, motions: Mapping[str, Motion]) -> None:
        """Plan hands onto motions, given as the reference so many seconds from now; grippers stay as they are.

        Raises UsageError for an end effector that does not exist.
        """
        for name in motions:
            if name not in self._hands:
                raise unknown_name("end effector", name, self._hands)
        for name, plan in self._plans.items():
            self._hands[name].reference = plan.at(self._elapsed)
        if self._arm_mpc is not None:
            self._joints = self._arm_mpc.follow(*self._joints_on_leash(self._arm_mpc), self._complete(motions))
            self._plans = dict(self._joints.hands)
        else:
            for name, motion in motions.items():
                start = self._on_leash(name, self._hands[name].reference)
                self._plans[name] = self._mpc[name].follow(start, motion)
        self._elapsed = 0.0
        period = self.settings.wbc_period_s
        self._ahead = deque(self._aim(k * period) for k in range(round(self.settings.plan_period_s / period)))

    def planned(self, name: str, times: Sequence[float]) -> Array:
        """Where a hand is meant to be so many seconds from its last plan on: (times, 3) [m]."""
        plan = self._plans.get(name)
        return np.array([(self._here(name) if plan is None else plan.at(t)).position for t in times])

    def torque(self, q: Array, v: Array) -> tuple[Array, Array]:
        """Torques (n,) for the next `wbc_period_s` at the measured state, and the accelerations they should give."""
        if self._plans:
            self._pursue(self._ahead.popleft() if self._ahead else self._aim(self._elapsed))
        self._elapsed += self.settings.wbc_period_s
        return self.wbc.solve(q, v)

    def _pursue(self, aim: "_Aim") -> None:
        for name, reference in aim.hands.items():
            self._hands[name].reference = reference
        if aim.joints is not None:
            posture = self._posture
            posture.posture, posture.velocity, posture.acceleration = aim.joints

    def _aim(self, t: float) -> "_Aim":
        """What the whole-body controller shall do `t` seconds after the last plan."""
        joints = self._joints.joints(t) if self._joints is not None else None
        return _Aim({name: plan.at(t) for name, plan in self._plans.items()}, joints)

    def _check(self, targets: dict[str, HandTarget]) -> None:
        for name, target in targets.items():
            if name not in self._hands:
                raise unknown_name("end effector", name, self._hands)
            if np.shape(target.position) != (3,) or np.shape(target.quat) != (4,):
                raise UsageError(f"the target of end effector '{name}' is not position (3,) and wxyz (4,): {target}")
            if not np.isfinite([*target.position, *target.quat, target.opening]).all():
                raise UsageError(f"the target of end effector '{name}' is not finite: {target}")
            if abs(np.linalg.norm(target.quat) - 1) > 1e-3:
                raise UsageError(f"the target of end effector '{name}' is turned by no unit quaternion: {target.quat}")

    def _here(self, name: str) -> Reference:
        position, quat = self.model.pose(name)
        return Reference(position, quat)

    def _on_leash(self, name: str, reference: Reference) -> Reference:
        """The reference, or the hand itself at rest where it has been held back too far from it."""
        error = np.abs(self._hands[name].error(self.model))
        reach, turn = self.settings.leash
        near = error[:3].max() <= reach and error[3:].max() <= turn  # a reference that is no number is not near
        return reference if near else self._here(name)

    def _complete(self, motions: Mapping[str, Motion]) -> dict[str, Motion]:
        """The motions, and for hands without one to stay where their reference is."""
        here = {name: task.reference for name, task in self._hands.items()}
        return {name: motions.get(name) or resting_at(r.position, r.quat) for name, r in here.items()}

    def _joints_on_leash(self, mpc: ArmMPC) -> tuple[ArmPlan, float]:
        """The last plan of the joints and its age, or rest where the arm is if it was held back too far from it."""
        plan = self._joints
        if plan is not None and np.abs(plan.joints(self._elapsed)[0] - self.model.q)[mpc.moving].max() <= 0.2:
            return plan, self._elapsed
        return mpc.rest(self.model.q), 0.0


def _wider(collision: CollisionMargin | None) -> CollisionMargin | None:
    """A plan keeps twice the margin that control keeps: it turns in time, and control has nothing to correct."""
    return replace(collision, margin=2 * collision.margin) if collision is not None else None


class ServoTargets:
    """Position targets for joint servos that make them follow the cerebellum, computed on a virtual robot.

    The whole-body controller runs on a nominal robot of its own for one control period; the servo targets are the
    positions it passes, plus what each servo must be offset by to give the torque that the motion, gravity and its own
    damping ask for. A stiff servo that only receives positions would lag by damping / gain (0.1 s on a ViperX).

    `zeros` is what each servo must be told where its joint is at 0: encoders that err are told past their error.
    """

    def __init__(
        self,
        cerebellum: ArmCerebellum,
        gain: Array,
        damping: Array,
        ctrl_lower: Array,
        ctrl_upper: Array,
        zeros: Array | float = 0.0,
    ) -> None:
        self.cerebellum = cerebellum
        self._gain, self._damping, self._zeros = gain, damping, zeros
        self._lower, self._upper = ctrl_lower, ctrl_upper
        self._grippers = cerebellum.gripper_joints
        self.reset(np.array(cerebellum.model.spec.home))

    def reset(self, q: Array) -> None:
        """Start again from measured joint positions q (n,), at rest."""
        self.q, self.v = q.copy(), np.zeros_like(q)
        self.cerebellum.reset(q)

    def resume(self, q: Array, v: Array) -> None:
        """Go on from measured joint positions q (n,) and velocities v (n,), where somebody else has moved the robot."""
        self.reset(q)
        self.v = v.copy()
        self.cerebellum.moving(v)

    def follow(self, targets: dict[str, HandTarget], q_measured: Array, period_s: float) -> Array:
        """Servo targets (n,) to hold for the next `period_s`, moving the hands towards `targets`.

        A measurement that is not finite is counted as a fault, and the virtual robot goes on without it.
        """
        if np.isfinite(q_measured).all():
            self._stay_near(q_measured)
        else:
            self.cerebellum.faults.nan += 1
        self._plan(targets)
        dt = self.cerebellum.settings.wbc_period_s
        ticks = round(period_s / dt)
        total = np.zeros_like(self.q)
        for _ in range(ticks):
            torque, acceleration = self.cerebellum.torque(self.q, self.v)
            total += self._command(torque)
            self.v = self.v + dt * acceleration
            self.q = self.q + dt * self.v
        command = total / ticks + self._zeros
        for joint, name in self._grippers.items():
            command[joint] = targets[name].opening
        return np.clip(command, self._lower, self._upper)

    def _plan(self, targets: dict[str, HandTarget]) -> None:
        self.cerebellum.plan(targets)

    def _command(self, torque: Array) -> Array:
        """What each servo must be told (n,) to give this torque where the virtual robot is."""
        return self.q + (torque + self._damping * self.v) / self._gain

    def _stay_near(self, q_measured: Array, leash: float = 0.3) -> None:
        """Grippers are as measured (an object stops them); an arm that was held back far restarts from where it is."""
        for joint in self._grippers:
            self.q[joint], self.v[joint] = q_measured[joint], 0.0
        arm = np.setdiff1d(np.arange(len(self.q)), list(self._grippers))
        if np.abs(self.q[arm] - q_measured[arm]).max() > leash:
            self.reset(q_measured)
