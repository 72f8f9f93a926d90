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

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from robotics.controllers.legged.model import FloatingBaseModel
from robotics.controllers.legged.srbd_mpc import GRAVITY, friction_pyramids
from robotics.controllers.legged.swing import Vector
from robotics.controllers.limits import JointLimits
from robotics.controllers.qp import QP, GuardedSolver
from robotics.controllers.qp.problem import OPEN, Rows

Array = np.ndarray


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


class BodyTarget(NamedTuple):
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


class FootTarget(NamedTuple):
    """Where a foot in the air shall be: position, velocity, acceleration (3,) in the world."""

    position: Vector
    velocity: Vector
    acceleration: Vector


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
        self._inverse_inertia = np.linalg.inv(model.composite_inertia()).tolist()
        self._workspaces: dict[bytes, _Workspace] = {}

    def torque(self, contact: Array, forces: Array, body: BodyTarget, feet: Mapping[int, FootTarget]) -> Array:
        """Torques (n,) [N m] for feet in `contact` (feet,) that shall press with about `forces` (feet, 3) [N]; the
        others follow their targets in `feet`.

        Without a usable solution: gravity and the planned forces through the Jacobians, with damping.
        """
        problem = self.problem(contact, forces, body, feet)
        y = self.solver.solve(problem)
        model = self.model
        if y is None:
            J = model.foot_jacobians[contact].reshape(-1, model.nv)
            wanted = model.h[6:] - J[:, 6:].T @ forces[contact].ravel() - self.settings.fallback_damping * model.v
        else:
            wanted = problem.rows.matrix[6 : model.nv].dot(y) + model.h[6:]
        return np.minimum(np.maximum(wanted, model.torque_lower), model.torque_upper)

    def problem(self, contact: Array, forces: Array, body: BodyTarget, feet: Mapping[int, FootTarget]) -> QP:
        """The quadratic program at the state that the model was last updated to; the next call overwrites it."""
        model, s, nv = self.model, self.settings, self.model.nv
        space = self._workspace(contact)
        J = model.foot_jacobians.reshape(-1, nv)
        standing, pressing = J.take(space.standing, axis=0), forces.ravel().take(space.standing)
        # Feet, base and joints each weigh on blocks of P of their own: no stacked task matrix is ever formed
        weighted = space.foot_weights * J
        linear, angular = self._base_accelerations(pressing, standing, body)
        space.motion_P[:] = J.T.dot(weighted)
        space.motion_diagonal += space.cost_of_motion
        q = space.q
        q[:nv] = self._foot_accelerations(J, feet).dot(weighted)
        q[3:6] += 2 * s.base_weight * angular
        q[6:nv] -= 2 * s.joint_weight * s.joint_damping * model.v
        q[nv:] = space.force_weight * pressing
        space.force_q += 2 * s.base_weight / model.mass * linear
        np.negative(q, out=q)
        space.mass[:] = model.M
        np.negative(standing.T, out=space.press)
        space.joints_lower[:], space.joints_upper[:] = self.joint_limits.bounds(model)
        np.subtract(space.motors_lower, model.h, out=space.torque_lower)
        np.subtract(space.motors_upper, model.h, out=space.torque_upper)
        return space.qp

    def _base_accelerations(self, forces: Array, J: Array, body: BodyTarget) -> tuple[Array, Array]:
        """What the planned forces of the feet in contact (3 feet,), with the Jacobian J of those feet, and feedback
        shall do to the centre of mass, gravity apart (3,), and to the base's rotation, in its own frame (3,).

        Plain floats, as in `swing`: vectors of three are too short for arrays to pay.
        """
        model, s, R = self.model, self.settings, self.model.R.tolist()
        com, position, velocity = model.com.tolist(), model.state.position.tolist(), model.com_velocity.tolist()
        *force, mx, my, mz = forces.dot(J[:, :6]).tolist()  # on the base; its moment in the base's own frame
        x, y, z = _seen_from(R, [c - p for c, p in zip(com, position, strict=True)])
        fx, fy, fz = _seen_from(R, force)
        about_com = [mx - y * fz + z * fy, my - z * fx + x * fz, mz - x * fy + y * fx]
        # With fewer than two feet down errors can not be corrected, only fought over
        corrected = body.corrected and len(forces) >= 6
        share = s.planned_share if corrected else 1.0
        linear = [share / model.mass * f for f in force]
        linear[2] -= (1.0 - share) * (body.lift - GRAVITY)
        angular = [share * a for a in _seen_from(self._inverse_inertia, about_com)]  # symmetric
        if corrected:
            wanted = body.velocity.tolist()
            linear[0] += s.velocity_gain * (wanted[0] - velocity[0])
            linear[1] += s.velocity_gain * (wanted[1] - velocity[1])
            stiffness, damping = s.height_gains
            linear[2] += stiffness * (body.height - com[2]) + damping * (wanted[2] - velocity[2])
            stiffness, damping = s.orientation_gains
            errors = zip(body.orientation_error.tolist(), body.angular_velocity.tolist(), strict=True)
            pull = _seen_from(R, [stiffness * error + damping * rate for error, rate in errors])
            rates = model.state.angular_velocity.tolist()
            angular = [a + p - damping * rate for a, p, rate in zip(angular, pull, rates, strict=True)]
        return np.array(linear), np.array(angular)

    def _foot_accelerations(self, J: Array, feet: Mapping[int, FootTarget]) -> Array:
        """What J nu' shall be (3 feet,): feet on the ground stay where they are, feet in the air follow their swing."""
        model, s = self.model, self.settings
        velocity = J.dot(model.nu).reshape(-1, 3)
        target = -s.stance_damping * velocity
        stiffness, damping = s.swing_gains
        for foot, wanted in feet.items():
            here, moving = model.feet[foot].tolist(), velocity[foot].tolist()
            pull = [
                a + stiffness * (x - x_is) + damping * (v - v_is)
                for x, v, a, x_is, v_is in zip(*wanted, here, moving, strict=True)
            ]
            hardest = max(max(pull), -min(pull), s.swing_pull)
            target[foot] = [s.swing_pull / hardest * a for a in pull]
        target -= model.foot_accelerations_at_rest()
        return target.ravel()

    def _workspace(self, contact: Array) -> "_Workspace":
        key = contact.tobytes()
        if key not in self._workspaces:
            self._workspaces[key] = _Workspace(self.model, self.settings, contact)
        return self._workspaces[key]


def _seen_from(R: list[list[float]], vector: list[float]) -> tuple[float, float, float]:
    """R' times the vector: as it is seen from the frame whose axes are the columns of R."""
    (a, b, c), (d, e, f), (g, h, i) = R
    x, y, z = vector
    return a * x + d * y + g * z, b * x + e * y + h * z, c * x + f * y + i * z


class _Workspace:
    """Everything in the problem with those feet in contact that stays as it is, and room for what does not."""

    def __init__(self, model: FloatingBaseModel, s: LeggedWbcSettings, contact: Array) -> None:
        count = int(np.count_nonzero(contact))
        nv, size = model.nv, model.nv + 3 * count
        self.standing = np.flatnonzero(contact.repeat(3))  # rows of the Jacobian of all feet
        self.foot_weights = np.where(contact, 2 * s.stance_weight, 2 * s.swing_weight).repeat(3)[:, None]
        # A kilogram of error means less on a heavy robot
        self.force_weight = 2 * s.force_weight * (15.0 / model.mass) ** 2
        P, self.q = np.zeros((size, size)), np.zeros(size)
        per_foot = 2 * s.base_weight / model.mass**2 * np.eye(3)
        P[nv:, nv:] = np.kron(np.ones((count, count)), per_foot) + (self.force_weight + 1e-8) * np.eye(3 * count)
        self.cost_of_motion = np.full(nv, 1e-8)  # on the diagonal of P
        self.cost_of_motion[3:6] += 2 * s.base_weight
        self.cost_of_motion[6:] += 2 * s.joint_weight
        limit = s.max_force * model.mass * GRAVITY
        side = s.friction * limit
        matrix = np.zeros((nv + 4 * count, size))
        matrix[nv:, nv:] = friction_pyramids(s.friction, count)
        free, torque = np.full(nv, OPEN), np.zeros(nv)
        rows = Rows(
            matrix,
            lower=np.concatenate([-free, np.tile([-side, -side, 0.0], count), torque, np.full(4 * count, -OPEN)]),
            upper=np.concatenate([free, np.tile([side, side, limit], count), torque, np.zeros(4 * count)]),
            n_box=size,
            n_equal=6,
        )
        self.qp = QP.of_rows(P, self.q, rows)
        # What every tick writes over: views of the above, which cost less to keep than to make
        self.motion_P, self.force_q = P[:nv, :nv], self.q[nv:].reshape(-1, 3)
        self.motion_diagonal = np.einsum("ii->i", self.motion_P)
        self.mass, self.press = matrix[:nv, :nv], matrix[:nv, nv:]
        self.joints_lower, self.joints_upper = rows.lower[6:nv], rows.upper[6:nv]
        self.torque_lower, self.torque_upper = rows.lower[size : size + nv], rows.upper[size : size + nv]
        # The base has no motors: its rows are equations
        self.motors_lower = np.concatenate([np.zeros(6), model.torque_lower])
        self.motors_upper = np.concatenate([np.zeros(6), model.torque_upper])
