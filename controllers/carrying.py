r"""Whole-body control of two hands on one object: motion, contact wrenches and torques of one instant in one QP.

With :math:`y = (\dot v, \lambda)`, :math:`\lambda` the wrenches (12,) of the hands on the object in its own axes, the
Jacobians :math:`J_i` of the hands at their contacts, and :math:`J_o` that of the object, the mean of what either hand
carries along,

.. math::
   \min_y \; & \sum_i w_i \lVert A_i \dot v - b_i \rVert^2 + \lVert \lambda - N f^* \rVert_W^2 \\
   \text{s.t.} \; & G \lambda = \mathcal{M}_o (J_o \dot v + \dot J_o v) + h_o,\;
   C \lambda \ge 0, \\
   & \tau_{min} \le M \dot v + h + J^\top \lambda \le \tau_{max},\; l \le \dot v \le u .

The object's equation of motion is hard, so the wrench cost decides only what it leaves free: of all
:math:`\lambda = G^+ w + N f` it picks the least motion-inducing wrenches and the squeeze :math:`f^*` (see
`robotics.controllers.grasp`). Where the friction rows do not allow that, the hands press harder.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import mujoco
import numpy as np

from robotics.controllers.grasp import GRAVITY, Held, contact_rows, grasp_matrix, internal
from robotics.controllers.model import NominalModel
from robotics.controllers.qp import QP
from robotics.controllers.qp.problem import OPEN, Rows
from robotics.controllers.rotation import cross_matrix, log_between, rotated, rotation_matrix
from robotics.controllers.tasks import Reference, RelativeFrameTask, Task
from robotics.controllers.wbc import WholeBodyController

Array = np.ndarray

#: Joint speed [rad/s] over which friction changes its sign here, and how much of a tick's reading is believed about how
#: far joints are off the speeds they are meant to have: encoders with few counts know those no better than 0.01 rad/s,
#: and a Coulomb friction of 1 N m with the wrong sign in an elbow is 4 N between the hands.
_FRICTION_BLEND, _TRUST = 0.003, 0.01
#: A moment of 1 N m at a contact costs as much as so many newtons: finger tips hold forces, hardly moments.
_MOMENT = 30.0


class GripKinematics(NamedTuple):
    """A held object at the state of the model: world frame, but for `contacts`."""

    position: Array  # (3,) [m]
    quat: Array  # (4,)
    jacobian: Array  # (6, n) of the object
    drift: Array  # (6,) its acceleration at zero joint acceleration
    contacts: Array  # (12, n) Jacobian of both hands at their contacts, in the axes of the object


class Grip:
    """Where two hands hold an object, fixed at the moment they close on it at `position` and `quat`."""

    def __init__(self, model: NominalModel, hands: tuple[str, str], held: Held, position: Array, quat: Array) -> None:
        self.hands, self.held = hands, held
        self.grasp, self.friction = grasp_matrix(held.half_width), contact_rows(held)
        self._centres, self._turns, self._contacts = [], [], []
        for hand, side in zip(hands, (-held.half_width, held.half_width), strict=True):
            p, q = model.pose(hand)
            back = rotation_matrix(q).T
            self._centres.append(back @ (position - p))
            self._contacts.append(back @ (position + side * rotation_matrix(quat)[:, 0] - p))
            inverse, turn = np.empty(4), np.empty(4)
            mujoco.mju_negQuat(inverse, q)
            mujoco.mju_mulQuat(turn, inverse, quat)
            self._turns.append(turn)

    def kinematics(self, model: NominalModel) -> GripKinematics:
        """The object is where the hands would have it in the mean: neither is trusted more."""
        centres, turns, jacobians, drifts, levers = [], [], [], [], []
        for hand, centre, turn, contact in zip(self.hands, self._centres, self._turns, self._contacts, strict=True):
            p, q = model.pose(hand)
            R, J, drift = rotation_matrix(q), model.jacobian(hand), model.jacobian_rate_times_velocity(hand)
            lever, carried = cross_matrix(R @ centre), np.empty(4)
            mujoco.mju_mulQuat(carried, q, turn)
            centres.append(p + R @ centre)
            turns.append(carried)
            levers.append((J, cross_matrix(R @ contact)))
            spin = cross_matrix(J[3:] @ model.v)
            jacobians.append(np.concatenate([J[:3] - lever @ J[3:], J[3:]]))
            drifts.append(np.concatenate([drift[:3] - lever @ drift[3:] + spin @ (spin @ (R @ centre)), drift[3:]]))
        quat = rotated(turns[0], 0.5 * log_between(*turns))
        back = rotation_matrix(quat).T
        at_contacts = [part for J, lever in levers for part in (back @ (J[:3] - lever @ J[3:]), back @ J[3:])]
        return GripKinematics(
            0.5 * (centres[0] + centres[1]),
            quat,
            0.5 * (jacobians[0] + jacobians[1]),
            0.5 * (drifts[0] + drifts[1]),
            np.concatenate(at_contacts),
        )


@dataclass
class HeldPoseTask(Task):
    r"""The held object on its reference: :math:`J_o \dot v = a^* + k_p e + k_d (V^* - J_o v) - \dot J_o v`."""

    reference: Reference
    weight: float = 1.0
    kp: float = 400.0  # [1/s^2]
    kd: float = 40.0  # [1/s]
    kinematics: GripKinematics | None = None  # of this tick

    def rows(self, model: NominalModel) -> tuple[Array, Array]:
        k, wanted = self.kinematics, self.reference
        assert k is not None
        error = np.concatenate([wanted.position - k.position, log_between(k.quat, wanted.quat)])
        desired = wanted.acceleration + self.kp * error + self.kd * (wanted.velocity - k.jacobian @ model.v) - k.drift
        return k.jacobian, desired


@dataclass
class PressingTask(RelativeFrameTask):
    """The hands keep their pose to each other, but for how far apart they are: there they press with a force, and a
    position that is a little wrong would become one."""

    def error(self, model: NominalModel) -> Array:
        error = super().error(model)
        line = model.pose(self.end_effector)[0] - model.pose(self.base)[0]
        error[:3] -= line * (line @ error[:3]) / (line @ line)
        return error


@dataclass
class CarryingController(WholeBodyController):
    """A `WholeBodyController` whose hands hold an object by `grip`, which presses back on them.

    `tasks` hold one `HeldPoseTask`. `carried` is the share of the object's weight and inertia that is on the hands.
    """

    grip: Grip | None = None
    squeeze: float = 10.0  # [N]
    carried: float = 1.0
    wrench_weight: float = 1e-2  # of 1 N against 1 m/s^2 of a hand
    wrenches: Array = field(default_factory=lambda: np.zeros(12))  # that the last tick planned

    def reset(self) -> None:
        super().reset()
        self._off_plan = np.zeros(self.model.n)  # by how much joints are faster than meant, smoothed

    def solve(self, q: Array, v: Array) -> tuple[Array, Array]:
        self._pressing = np.zeros(self.model.n)
        torque, acceleration = super().solve(q, v)
        self.model.h -= self._pressing  # afterwards the model is that of the free robot again
        return torque, acceleration

    def optimum(self) -> Array | None:
        """The accelerations (n,) and wrenches (12,) to act on; what the object presses back is in the bias forces."""
        assert self.grip is not None
        self._kinematics = self.grip.kinematics(self.model)
        self.model.h += self._friction()
        y = self.solver.solve(self.problem())
        if y is not None:
            self.wrenches = y[self.model.n :]
            self._pressing = self._kinematics.contacts.T @ self.wrenches
            self.model.h += self._pressing
        return y

    def _friction(self) -> Array:
        """What to add to the friction in the model (n,) so that it turns when the joints turn, not when noise does."""
        model, k = self.model, self._kinematics
        assert self.grip is not None
        goal = next(task.reference.velocity for task in self.tasks if isinstance(task, HeldPoseTask))
        back = rotation_matrix(k.quat).T
        twist = np.concatenate([back @ goal[:3], back @ goal[3:]])
        meant = np.linalg.lstsq(k.contacts, self.grip.grasp.T @ twist, rcond=1e-6)[0]
        self._off_plan += _TRUST * (model.v - meant - self._off_plan)
        likely = meant + self._off_plan
        return model.friction(likely, _FRICTION_BLEND) - model.friction(model.v, model.FRICTION_BLEND)

    def problem(self) -> QP:
        """The quadratic program at the state that the model was last updated to, for `_kinematics`."""
        assert self.grip is not None
        model, n = self.model, self.model.n
        k = self._kinematics
        P, q = np.zeros((n + 12, n + 12)), np.zeros(n + 12)
        for task in self.tasks:
            if isinstance(task, HeldPoseTask):
                task.kinematics = k
        A, b = self.stacked(self.tasks)
        q[:n] = -(A.T @ b)
        scale = self.wrench_weight * np.tile([1.0, 1.0, 1.0, _MOMENT**2, _MOMENT**2, _MOMENT**2], 2)
        P[:n, :n] = A.T @ A + self.regularisation * np.eye(n)
        P[range(n, n + 12), range(n, n + 12)] = scale
        q[n:] = -scale * internal(self.squeeze)
        inertia, load = self._object(k)
        friction = self.grip.friction
        lower, upper = self.joint_limits.bounds(model)
        equations = np.concatenate([-inertia @ k.jacobian, self.grip.grasp], axis=1)
        torques = np.concatenate([model.M, k.contacts.T], axis=1)
        free, rest = np.full(12, OPEN), np.zeros(len(friction))
        rows = Rows(
            np.concatenate([equations, torques, np.concatenate([np.zeros((len(friction), n)), friction], axis=1)]),
            np.concatenate([lower, -free, load, model.torque_lower - model.h, rest]),
            np.concatenate([upper, free, load, model.torque_upper - model.h, rest + OPEN]),
            n_box=n + 12,
            n_equal=6,
        )
        return QP.of_rows(P, q, rows)

    def _object(self, k: GripKinematics) -> tuple[Array, Array]:
        """The object's inertia (6, 6) from accelerations in the world to wrenches in its own axes, and the wrench (6,)
        at zero joint acceleration."""
        assert self.grip is not None
        held, back = self.grip.held, rotation_matrix(k.quat).T
        mass, theta = self.carried * held.mass, self.carried * np.array(held.inertia)
        inertia = np.zeros((6, 6))
        inertia[:3, :3], inertia[3:, 3:] = mass * back, theta[:, None] * back
        omega = back @ (k.jacobian[3:] @ self.model.v)
        load = inertia @ (k.drift + np.array([0, 0, GRAVITY, 0, 0, 0]))
        load[3:] += cross_matrix(omega) @ (theta * omega)
        return inertia, load
