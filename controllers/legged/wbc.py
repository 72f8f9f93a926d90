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

from dataclasses import dataclass

import numpy as np

from robotics.controllers.legged.model import FloatingBaseModel
from robotics.controllers.legged.srbd_mpc import friction_pyramids
from robotics.controllers.limits import JointLimits
from robotics.controllers.qp import QP, GuardedSolver
from robotics.controllers.qp.problem import OPEN, Rows

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
    velocity_gain: float = 3.0
    orientation_gains: tuple[float, float] = (70.0, 7.0)
    swing_gains: tuple[float, float] = (350.0, 37.0)
    swing_pull: float = 120.0  # largest acceleration that a foot in the air is asked for [m/s^2]: legs throw the body
    stance_damping: float = 20.0
    joint_damping: float = 5.0
    friction: float = 0.6
    max_force: float = 2.7  # of one foot [m g]
    fallback_damping: float = 2.0  # [N m s/rad]


@dataclass(frozen=True)
class BodyTarget:
    """How the base shall move: height and velocity of the centre of mass, orientation, all in the world.

    `orientation_error` is the rotation vector from the base to its target [rad]; `lift` as in `srbd_mpc.Body`. A base
    that is not `corrected` moves as the planned forces move it, and no feedback is added.
    """

    height: float
    velocity: Array
    orientation_error: Array
    angular_velocity: Array
    lift: float = 0.0
    corrected: bool = True


@dataclass(frozen=True)
class FootTarget:
    """Where the feet in the air shall be: positions, velocities, accelerations (feet, 3) in the world."""

    position: Array
    velocity: Array
    acceleration: Array


class LeggedWbc:
    """Joint torques from planned forces, within all limits and never NaN."""

    def __init__(
        self,
        model: FloatingBaseModel,
        settings: LeggedWbcSettings | None = None,
        joint_limits: JointLimits | None = None,
        solver: GuardedSolver | None = None,
    ) -> None:
        self.model, self.settings = model, settings or LeggedWbcSettings()
        # Light legs move faster than arms, and may come closer to their limits before they have to brake
        self.joint_limits = joint_limits or JointLimits(lookahead_s=0.015, max_acceleration=5000.0)
        self.solver = solver or GuardedSolver()
        # For what the planned forces do to the body's rotation its inertia at home is near enough
        self._inverse_inertia = np.linalg.inv(model.composite_inertia())
        self._workspaces: dict[int, _Workspace] = {}

    def torque(self, contact: Array, forces: Array, body: BodyTarget, feet: FootTarget) -> Array:
        """Torques (n,) [N m] for feet in `contact` (feet,) that shall press with about `forces` (feet, 3) [N].

        Without a usable solution: gravity and the planned forces through the Jacobians, with damping.
        """
        problem = self.problem(contact, forces, body, feet)
        y = self.solver.solve(problem)
        model = self.model
        if y is None:
            J = model.foot_jacobians[contact].reshape(-1, model.nv)
            wanted = model.h[6:] - J[:, 6:].T @ forces[contact].ravel() - self.settings.fallback_damping * model.v
        else:
            wanted = problem.rows.matrix[6 : model.nv] @ y + model.h[6:]
        return np.minimum(np.maximum(wanted, model.torque_lower), model.torque_upper)

    def problem(self, contact: Array, forces: Array, body: BodyTarget, feet: FootTarget) -> QP:
        """The quadratic program at the state that the model was last updated to; the next call overwrites it."""
        model, s, nv = self.model, self.settings, self.model.nv
        space = self._workspace(int(np.count_nonzero(contact)))
        J = model.foot_jacobians.reshape(-1, nv)
        # Feet, base and joints each weigh on blocks of P of their own: no stacked task matrix is ever formed
        weighted = np.where(contact, 2 * s.stance_weight, 2 * s.swing_weight).repeat(3)[:, None] * J
        linear, angular = self._base_accelerations(contact, forces, J, body)
        P, q = space.P, space.q
        P[:nv, :nv] = J.T @ weighted
        P[:nv, :nv].flat[:: nv + 1] += space.cost_of_motion
        q[:nv] = -(self._foot_accelerations(contact, feet) @ weighted)
        q[3:6] -= 2 * s.base_weight * angular
        q[6:nv] += 2 * s.joint_weight * s.joint_damping * model.v
        q[nv:] = (-space.force_weight * forces[contact] - 2 * s.base_weight / model.mass * linear).ravel()
        rows, box = space.rows, len(q)
        rows.matrix[:nv, :nv] = model.M
        rows.matrix[:nv, nv:] = -J[contact.repeat(3)].T
        rows.lower[6:nv], rows.upper[6:nv] = self.joint_limits.bounds(model)
        rows.lower[box : box + nv] = space.torque_lower - model.h
        rows.upper[box : box + nv] = space.torque_upper - model.h
        return QP.of_rows(P, q, rows)

    def _base_accelerations(self, contact: Array, forces: Array, J: Array, body: BodyTarget) -> tuple[Array, Array]:
        """What the forces shall do to the centre of mass, gravity apart (3,), and to the base's rotation, in its own
        frame (3,)."""
        model, s = self.model, self.settings
        wrench = forces[contact].ravel() @ J[contact.repeat(3), :6]  # on the base; its moment in the base's own frame
        force = wrench[:3]
        (x, y, z), (fx, fy, fz) = (model.com - model.state.position) @ model.R, force @ model.R
        moment = wrench[3:] - np.array((y * fz - z * fy, z * fx - x * fz, x * fy - y * fx))  # about the centre of mass
        # With fewer than two feet down errors can not be corrected, only fought over
        corrected = body.corrected and np.count_nonzero(contact) >= 2
        outside, share = GRAVITY[2] + body.lift, s.planned_share if corrected else 1.0
        linear = share / model.mass * force
        linear[2] -= (1.0 - share) * outside
        angular = share * (self._inverse_inertia @ moment)
        if corrected:
            velocity_error = body.velocity - model.com_velocity()
            stiffness, damping = s.height_gains
            linear[:2] += s.velocity_gain * velocity_error[:2]
            linear[2] += stiffness * (body.height - model.com[2]) + damping * velocity_error[2]
            stiffness, damping = s.orientation_gains
            wanted = stiffness * body.orientation_error + damping * body.angular_velocity
            angular += wanted @ model.R - damping * model.state.angular_velocity
        return linear, angular

    def _foot_accelerations(self, contact: Array, feet: FootTarget) -> Array:
        """What J nu' shall be (3 feet,): feet on the ground stay where they are, feet in the air follow their swing."""
        model, s = self.model, self.settings
        stiffness, damping = s.swing_gains
        velocity = (model.foot_jacobians @ model.nu).reshape(-1, 3)
        pull = feet.acceleration + stiffness * (feet.position - model.feet) + damping * (feet.velocity - velocity)
        hardest = np.abs(pull).max(axis=1, keepdims=True)
        pull *= s.swing_pull / np.maximum(hardest, s.swing_pull)
        target = np.where(contact[:, None], -s.stance_damping * velocity, pull)
        return (target - model.foot_accelerations_at_rest()).ravel()

    def _workspace(self, count: int) -> "_Workspace":
        if count not in self._workspaces:
            self._workspaces[count] = _Workspace(self.model, self.settings, count)
        return self._workspaces[count]


class _Workspace:
    """Everything in the problem with `count` feet in contact that stays as it is, and room for what does not."""

    def __init__(self, model: FloatingBaseModel, s: LeggedWbcSettings, count: int) -> None:
        nv, size = model.nv, model.nv + 3 * count
        # A kilogram of error means less on a heavy robot
        self.force_weight = 2 * s.force_weight * (15.0 / model.mass) ** 2
        self.P, self.q = np.zeros((size, size)), np.zeros(size)
        per_foot = 2 * s.base_weight / model.mass**2 * np.eye(3)
        self.P[nv:, nv:] = np.kron(np.ones((count, count)), per_foot) + (self.force_weight + 1e-8) * np.eye(3 * count)
        self.cost_of_motion = np.full(nv, 1e-8)  # on the diagonal of P
        self.cost_of_motion[3:6] += 2 * s.base_weight
        self.cost_of_motion[6:] += 2 * s.joint_weight
        limit = s.max_force * model.mass * 9.81
        side = s.friction * limit
        matrix = np.zeros((nv + 4 * count, size))
        matrix[nv:, nv:] = friction_pyramids(s.friction, count)
        free, rows = np.full(nv, OPEN), np.zeros(nv)
        self.rows = Rows(
            matrix,
            lower=np.concatenate([-free, np.tile([-side, -side, 0.0], count), rows, np.full(4 * count, -OPEN)]),
            upper=np.concatenate([free, np.tile([side, side, limit], count), rows, np.zeros(4 * count)]),
            n_box=size,
            n_equal=6,
        )
        # The base has no motors: its rows are equations
        self.torque_lower = np.concatenate([np.zeros(6), model.torque_lower])
        self.torque_upper = np.concatenate([np.zeros(6), model.torque_upper])
