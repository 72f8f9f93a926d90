r"""Whole-body control of a floating base: accelerations, contact forces and torques of one instant in one QP.

With :math:`y = (\dot\nu, f)` over the feet in contact and the torques eliminated by
:math:`\tau = M_a \dot\nu + h_a - J_a^\top f`,

.. math::
   \min_y \sum_i w_i \lVert A_i y - b_i \rVert^2
   \quad\text{s.t.}\quad
   M_b \dot\nu + h_b = J_b^\top f,\;
   \tau_{min} \le \tau \le \tau_{max},\;
   \lvert f_{x,y} \rvert \le \mu f_z,\; 0 \le f_z \le f_{max},\;
   l \le \ddot q \le u .

Motion tasks are soft; the dynamics, torques and friction are hard. The swing gains are those of legged_control.
"""

from dataclasses import dataclass, field

import numpy as np

from robotics.controllers.legged.model import FloatingBaseModel
from robotics.controllers.legged.srbd_mpc import friction_pyramids, skew
from robotics.controllers.limits import JointLimits
from robotics.controllers.qp import QP, GuardedSolver

Array = np.ndarray
GRAVITY = np.array([0, 0, -9.81])


@dataclass(frozen=True)
class LeggedWbcSettings:
    """Weights and gains of the tasks. Gains are accelerations per error, so they fit robots of every mass."""

    base_weight: float = 1.0
    stance_weight: float = 100.0
    swing_weight: float = 10.0
    force_weight: float = 1e-3  # on (f - f_mpc) [N] of a robot of 15 kg
    joint_weight: float = 1e-5  # legs accelerate by hundreds of rad/s^2: more would cost the body its plan
    planned_share: float = 0.5  # how much of the base's acceleration comes from the planned forces
    height_gains: tuple[float, float] = (50.0, 10.0)
    velocity_gain: float = 5.0
    orientation_gains: tuple[float, float] = (70.0, 7.0)
    swing_gains: tuple[float, float] = (350.0, 37.0)
    stance_damping: float = 20.0
    joint_damping: float = 5.0
    friction: float = 0.6
    max_force: float = 2.7  # of one foot [m g]
    fallback_damping: float = 2.0  # [N m s/rad]


@dataclass(frozen=True)
class BodyTarget:
    """How the base shall move: height and velocity of the centre of mass, orientation, all in the world.

    `orientation_error` is the rotation vector from the base to its target [rad]; `lift` as in `srbd_mpc.Body`.
    """

    height: float
    velocity: Array
    orientation_error: Array
    angular_velocity: Array
    lift: float = 0.0


@dataclass(frozen=True)
class FootTarget:
    """Where the feet in the air shall be: positions, velocities, accelerations (feet, 3) in the world."""

    position: Array
    velocity: Array
    acceleration: Array


@dataclass
class LeggedWbc:
    """Joint torques from planned forces, within all limits and never NaN."""

    model: FloatingBaseModel
    settings: LeggedWbcSettings = field(default_factory=LeggedWbcSettings)
    #: Light legs move faster than arms, and may come closer to their limits before they have to brake.
    joint_limits: JointLimits = field(default_factory=lambda: JointLimits(lookahead_s=0.015, max_acceleration=5000.0))
    solver: GuardedSolver = field(default_factory=GuardedSolver)

    def torque(self, contact: Array, forces: Array, body: BodyTarget, feet: FootTarget) -> Array:
        """Torques (n,) [N m] for feet in `contact` (feet,) that shall press with about `forces` (feet, 3) [N].

        Without a usable solution: gravity and the planned forces through the Jacobians, with damping.
        """
        y = self.solver.solve(self.problem(contact, forces, body, feet))
        model = self.model
        J = model.foot_jacobians[contact].reshape(-1, model.nv)
        if y is None:
            wanted = model.h[6:] - J[:, 6:].T @ forces[contact].ravel() - self.settings.fallback_damping * model.v
        else:
            wanted = model.M[6:] @ y[: model.nv] + model.h[6:] - J[:, 6:].T @ y[model.nv :]
        return np.clip(wanted, model.torque_lower, model.torque_upper)

    def problem(self, contact: Array, forces: Array, body: BodyTarget, feet: FootTarget) -> QP:
        """The quadratic program at the state that the model was last updated to."""
        model, nv = self.model, self.model.nv
        J = model.foot_jacobians[contact].reshape(-1, nv)
        size = nv + len(J)
        tasks = [*self._base_tasks(contact, forces, body), *self._foot_tasks(contact, feet)]
        s = self.settings
        A = np.zeros((sum(len(rows) for _, rows, _ in tasks) + model.n, size))
        b = np.zeros(len(A))
        at = 0
        for weight, rows, target in tasks:
            root = np.sqrt(weight)
            A[at : at + len(rows), : rows.shape[1]] = root * rows
            b[at : at + len(rows)] = root * target
            at += len(rows)
        A[at:, 6:nv] = np.sqrt(s.joint_weight) * np.eye(model.n)
        b[at:] = -np.sqrt(s.joint_weight) * s.joint_damping * model.v
        P = 2 * A.T @ A
        q = -2 * A.T @ b
        force_weight = 2 * s.force_weight * (15.0 / model.mass) ** 2  # a kilogram of error means less on a heavy robot
        P[range(nv, size), range(nv, size)] += force_weight
        q[nv:] -= force_weight * forces[contact].ravel()
        P[np.diag_indices(size)] += 1e-8
        return QP(P=P, q=q, **self._constraints(J))

    def _base_tasks(self, contact: Array, forces: Array, body: BodyTarget) -> list[tuple[float, Array, Array]]:
        """Acceleration of the centre of mass (as a function of the forces) and of the base's rotation."""
        model, s = self.model, self.settings
        held = forces[contact]
        arms = model.feet[contact] - model.com
        outside = GRAVITY + [0, 0, body.lift]
        planned_linear = held.sum(axis=0) / model.mass + outside
        inertia = model.R @ model.composite_inertia() @ model.R.T
        planned_angular = np.linalg.solve(inertia, (skew(arms) @ held[:, :, None]).sum(axis=0)[:, 0])
        linear, angular = s.planned_share * planned_linear, s.planned_share * planned_angular
        if contact.sum() >= 2:  # with fewer feet down the errors can not be corrected, only fought over
            velocity_error = body.velocity - model.com_velocity()
            stiffness, damping = s.height_gains
            linear = linear + s.velocity_gain * velocity_error * [1, 1, 0]
            linear[2] += stiffness * (body.height - model.com[2]) + damping * velocity_error[2]
            turning = model.R @ model.state.angular_velocity
            stiffness, damping = s.orientation_gains
            angular = angular + stiffness * body.orientation_error + damping * (body.angular_velocity - turning)
        count, nv = int(contact.sum()), model.nv
        from_forces = np.zeros((3, nv + 3 * count))
        for axis in range(3):
            from_forces[axis, nv + axis :: 3] = 1.0 / model.mass
        rotation = np.zeros((3, nv))
        rotation[:, 3:6] = model.R
        return [
            (s.base_weight, from_forces, linear - outside),
            (s.base_weight, rotation, angular),
        ]

    def _foot_tasks(self, contact: Array, feet: FootTarget) -> list[tuple[float, Array, Array]]:
        """Feet on the ground stay where they are, feet in the air follow their swing."""
        model, s = self.model, self.settings
        J, rest = model.foot_jacobians, model.foot_accelerations_at_rest()
        velocity = J @ model.nu
        stance = -s.stance_damping * velocity - rest
        stiffness, damping = s.swing_gains
        pull = stiffness * (feet.position - model.feet) + damping * (feet.velocity - velocity)
        swing = feet.acceleration + pull - rest
        tasks = []
        for group, weight, target in ((contact, s.stance_weight, stance), (~contact, s.swing_weight, swing)):
            if group.any():
                tasks.append((weight, J[group].reshape(-1, model.nv), target[group].ravel()))
        return tasks

    def _constraints(self, J: Array) -> dict[str, Array]:
        model, s, nv = self.model, self.settings, self.model.nv
        count = len(J) // 3
        G = np.zeros((model.n + 4 * count, nv + 3 * count))
        G[: model.n, :nv], G[: model.n, nv:] = model.M[6:], -J[:, 6:].T
        G[model.n :, nv:] = friction_pyramids(s.friction, count)
        limit = s.max_force * model.mass * 9.81
        side = s.friction * limit
        low, high = self.joint_limits.bounds(model)
        return {
            "A": np.concatenate([model.M[:6], -J[:, :6].T], axis=1),
            "b": -model.h[:6],
            "G": G,
            "g": np.concatenate([model.torque_lower - model.h[6:], np.full(4 * count, -np.inf)]),
            "h": np.concatenate([model.torque_upper - model.h[6:], np.zeros(4 * count)]),
            "lower": np.concatenate([np.full(6, -np.inf), low, np.tile([-side, -side, 0.0], count)]),
            "upper": np.concatenate([np.full(6, np.inf), high, np.tile([side, side, limit], count)]),
        }
