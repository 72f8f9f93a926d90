r"""Whole-body control on two flat feet: accelerations, corner forces and torques of one instant in one QP.

With :math:`y = (\dot\nu, f)`, f the forces at the corners of the soles in contact, :math:`w = B f` their wrench about
the centre of mass c, :math:`A_G` the momentum matrix and :math:`J_i` the Jacobian of sole i,

.. math::
   \min_y \; & \tfrac{w_c}{m^2} \lVert w_{1:3} - m (\ddot c^* - g) \rVert^2 + w_L \lVert w_{4:6} + k_L L \rVert^2
   + \sum_i w_i \lVert J_i \dot\nu + \dot J_i \nu - a_i^* \rVert^2 \\
   & + \sum_p w_p \lVert J_p \dot\nu + \dot J_p \nu - a_p^* \rVert^2
   + w_R \lVert \dot\omega - \alpha^* \rVert^2 + w_q \lVert \ddot q - \ddot q^* \rVert^2
   + w_f \lVert f - f_0 \rVert^2 \\
   \text{s.t.} \; & A_G \dot\nu + h_G = B f,\;
   \tau_{min} \le M_a \dot\nu + h_a - J_a^\top f \le \tau_{max}, \\
   & \lvert f_{x,y} \rvert \le \mu f_z,\; 0 \le f_z \le f_{max},\; l \le \ddot q \le u .

The first two tasks are those on the centre of mass and on the angular momentum L: by the dynamics of the base, which
hold exactly, both depend on the forces alone. Corner forces that only press keep the centre of pressure inside the
sole. Motion tasks are soft; dynamics, friction, torques and accelerations are hard. After Herzog et al. 2016, Wensing
and Orin 2013 (momentum); units SI.

Torques and accelerations of the joints are seldom at their limits. Without their rows the best motion for given forces
has a closed form: with P and q the cost of motion, :math:`S = A_G P^{-1} A_G^\top` and
:math:`d = A_G P^{-1} q - h_G`, it costs :math:`\tfrac12 (B f + d)^\top S^{-1} (B f + d)`, so that a QP over the forces
alone is left, a fifth of the work. Its solution is taken when it satisfies the rows that were left out, for then it is
the optimum with them, too; otherwise the whole problem is solved.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from robotics.controllers.humanoid.model import BipedModel
from robotics.controllers.legged.srbd_mpc import friction_pyramids
from robotics.controllers.limits import JointLimits
from robotics.controllers.qp import QP, GuardedSolver
from robotics.controllers.qp.problem import OPEN, Rows

Array = np.ndarray
GRAVITY = 9.81


@dataclass(frozen=True)
class BipedWbcSettings:
    """Weights and gains of the tasks. Gains are accelerations per error, so they fit robots of every mass."""

    com_weight: float = 100.0
    momentum_weight: float = 0.05  # of 1 N m, on a robot of 33 kg
    momentum_damping: float = 5.0  # [1/s]
    stance_weight: float = 100.0
    stance_damping: float = 40.0
    swing_weight: float = 20.0
    swing_gains: tuple[float, float] = (400.0, 40.0)
    swing_turn_gains: tuple[float, float] = (300.0, 35.0)
    orientation_weight: float = 5.0
    orientation_gains: tuple[float, float] = (100.0, 20.0)
    point_weight: float = 50.0
    posture_weight: float = 0.02
    posture_gains: tuple[float, float] = (50.0, 14.0)
    trunk: tuple[str, ...] = ("waist_yaw", "waist_roll", "waist_pitch")
    """Joints that hold the trunk to the base; those that the robot has weigh `trunk_weight` in the posture."""
    trunk_weight: float = 1.0
    force_weight: float = 1e-5
    friction: float = 0.5
    max_force: float = 1.5  # of one corner [m g]
    fallback_damping: float = 2.0  # [N m s/rad]


class PointTarget(NamedTuple):
    """A point of the robot that is told where to be, such as a hand: its Jacobian (3, nv) in the world, and what that
    times the acceleration of the robot shall be (3,) [m/s^2]."""

    jacobian: Array
    acceleration: Array


class BodyTarget(NamedTuple):
    """Acceleration of the centre of mass [m/s^2], rotation vector from the base to its target [rad] and the angular
    velocity of that target [rad/s], all (3,) in the world; joint positions (n,) of the posture [rad]; and points."""

    com_acceleration: Array
    orientation_error: Array
    angular_velocity: Array
    posture: Array
    points: Sequence[PointTarget] = ()


class FootTarget(NamedTuple):
    """Where the foot in the air shall be: position, velocity, acceleration (3,) of the middle of its sole in the world,
    and the rotation vector (3,) to its target."""

    position: Sequence[float]
    velocity: Sequence[float]
    acceleration: Sequence[float]
    orientation_error: Array


class Solution(NamedTuple):
    """Accelerations (nv,), forces at the corners of the feet in contact (3 corners,) [N], and joint torques (n,)."""

    acceleration: Array
    forces: Array
    torque: Array


class BipedWbc:
    """Joint torques within all limits and never NaN."""

    def __init__(
        self,
        model: BipedModel,
        settings: BipedWbcSettings | None = None,
        joint_limits: JointLimits | None = None,
        solver: GuardedSolver | None = None,
    ) -> None:
        self.model, self.settings = model, settings or BipedWbcSettings()
        self.joint_limits = joint_limits or JointLimits(lookahead_s=0.02, max_acceleration=2000.0)
        self.solver = solver or GuardedSolver()
        self._workspaces: dict[tuple[bool, ...], _Workspace] = {}
        #: How many ticks needed the whole problem.
        self.whole_problems = 0

    def torque(self, contact: Array, body: BodyTarget, swing: FootTarget | None) -> Array:
        """Torques (n,) [N m] for the feet in `contact` (2,), at the state the model was last updated to.

        `swing` is for the foot that is not. Without a usable solution: the weight through the Jacobians, with damping.
        """
        model = self.model
        solution = self.solve(contact, body, swing)
        if solution is None:
            space = self._workspace(contact)
            torque = self._torque(space, np.zeros(model.nv), space.rest) - self.settings.fallback_damping * model.v
        else:
            torque = solution.torque
        return np.minimum(np.maximum(torque, model.torque_lower), model.torque_upper)

    def solve(self, contact: Array, body: BodyTarget, swing: FootTarget | None) -> Solution | None:
        """The optimum of `problem`, or None where there is none that the solver can be trusted with."""
        nv = self.model.nv
        space = self._assemble(contact, body, swing)
        solution = self._without_joint_limits(space)
        if solution is not None and self._within_joint_limits(solution):
            return solution
        self.whole_problems += 1
        y = self.solver.solve(self._whole(space))
        return None if y is None else Solution(y[:nv], y[nv:], self._torque(space, y[:nv], y[nv:]))

    def problem(self, contact: Array, body: BodyTarget, swing: FootTarget | None) -> QP:
        """The whole quadratic program at the state that the model was last updated to; the next call overwrites it."""
        return self._whole(self._assemble(contact, body, swing))

    # -- the whole problem ---------------------------------------------------------------------------------------

    def _assemble(self, contact: Array, body: BodyTarget, swing: FootTarget | None) -> "_Workspace":
        """Costs of motion (P, q) and what the forces do to the centre of mass (B), and shall do."""
        model, s = self.model, self.settings
        space = self._workspace(contact)
        J = model.jacobians.reshape(12, model.nv)
        weighted = space.foot_weights * J
        np.matmul(J.T, weighted, out=space.P)
        space.P.flat[:: model.nv + 1] += space.cost_of_motion
        q = space.q
        np.matmul(self._foot_accelerations(space, swing), weighted, out=q)
        stiffness, damping = s.orientation_gains
        wanted = (stiffness * body.orientation_error + damping * body.angular_velocity).dot(model.R)
        q[3:6] += s.orientation_weight * (wanted - damping * model.state.angular_velocity)
        stiffness, damping = s.posture_gains
        q[6:] += space.posture_weights * (stiffness * (body.posture - model.q) - damping * model.v)
        for point in body.points:
            weighted = s.point_weight * point.jacobian
            space.P += point.jacobian.T.dot(weighted)
            q += point.acceleration.dot(weighted)
        np.negative(q, out=q)

        corners = model.arms + (model.feet - model.com)[:, None]
        x, y, z = corners[space.stance].reshape(-1, 3).T
        B = space.B  # moments: rows of the cross products with the corners
        B[3, 1::3], B[3, 2::3] = -z, y
        B[4, 0::3], B[4, 2::3] = z, -x
        B[5, 0::3], B[5, 1::3] = -y, x
        space.wrench[:3] = model.mass * body.com_acceleration
        space.wrench[2] += model.mass * GRAVITY
        space.wrench[3:] = -s.momentum_damping * model.momentum[3:]
        return space

    def _whole(self, space: "_Workspace") -> QP:
        model, nv, rows = self.model, self.model.nv, space.rows
        P, q, B, weight = space.whole_P, space.whole_q, space.B, space.wrench_weights
        P[:nv, :nv], q[:nv] = space.P, space.q
        P[nv:, nv:] = B.T @ (weight[:, None] * B)
        P[nv:, nv:].flat[:: len(q) - nv + 1] += self.settings.force_weight
        q[nv:] = -(weight * space.wrench) @ B - self.settings.force_weight * space.rest
        first, equal = -model.n, len(q) + 6
        rows.matrix[:6, :nv], rows.matrix[:6, nv:] = model.momentum_matrix, -B
        rows.matrix[first:, :nv] = model.M[6:]
        rows.matrix[first:, nv:] = -self._press(space)
        rows.lower[len(q) : equal] = rows.upper[len(q) : equal] = -model.momentum_bias
        rows.lower[6:nv], rows.upper[6:nv] = self.joint_limits.bounds(model)
        rows.lower[first:] = model.torque_lower - model.h[6:]
        rows.upper[first:] = model.torque_upper - model.h[6:]
        return QP.of_rows(P, q, rows)

    def _press(self, space: "_Workspace") -> Array:
        """J_a' (n, forces): what the corner forces do to the joints."""
        model, blocks = self.model, []
        for foot in space.stance:
            linear, angular = model.jacobians[foot, :3, 6:], model.jacobians[foot, 3:, 6:]
            # a force at a corner moves the joints as its point does: linear + angular x arm
            points = linear + np.cross(angular.T[None], model.arms[foot][:, None]).transpose(0, 2, 1)
            blocks.append(points.reshape(-1, model.n))
        return np.concatenate(blocks).T if blocks else np.zeros((model.n, 0))

    # -- forces first, motion after ------------------------------------------------------------------------------

    def _without_joint_limits(self, space: "_Workspace") -> Solution | None:
        model, B = self.model, space.B
        A = model.momentum_matrix
        space.right[:, :6], space.right[:, 6] = A.T, space.q
        try:
            solved = np.linalg.solve(space.P, space.right)  # P^-1 (A', q)
            through = A.dot(solved)
            S, d = np.linalg.inv(through[:, :6]), through[:, 6] - model.momentum_bias
        except np.linalg.LinAlgError:  # numbers beyond what a double can hold
            return None
        weights = S.copy()
        weights.flat[::7] += space.wrench_weights
        B.T.dot(weights.dot(B), space.force_P)
        space.force_P.flat[:: len(space.rest) + 1] += self.settings.force_weight
        (S.dot(d) - space.wrench_weights * space.wrench).dot(B, space.force_q)
        space.force_q -= self.settings.force_weight * space.rest
        forces = self.solver.solve(QP.of_rows(space.force_P, space.force_q, space.force_rows))
        if forces is None:
            return None
        acceleration = solved[:, :6].dot(S.dot(B.dot(forces) + d)) - solved[:, 6]
        return Solution(acceleration, forces, self._torque(space, acceleration, forces))

    def _within_joint_limits(self, solution: Solution) -> bool:
        model = self.model
        lower, upper = self.joint_limits.bounds(model)
        joints, torque = solution.acceleration[6:], solution.torque
        room = np.minimum(
            np.minimum(joints - lower, upper - joints),
            np.minimum(torque - model.torque_lower, model.torque_upper - torque),
        )
        return bool(room.min() >= 0.0)

    def _torque(self, space: "_Workspace", acceleration: Array, forces: Array) -> Array:
        """What the joints must give (n,) [N m] for the accelerations, pressing with the forces."""
        model = self.model
        torque = model.M[6:].dot(acceleration) + model.h[6:]
        per_foot = 3 * model.arms.shape[1]
        for number, foot in enumerate(space.stance):
            part = slice(number * per_foot, (number + 1) * per_foot)
            fx, fy, fz, mx, my, mz = (space.B[:, part] @ forces[part]).tolist()
            x, y, z = (model.com - model.feet[foot]).tolist()
            # moments from about the centre of mass to about the middle of the sole
            wrench = np.array((fx, fy, fz, mx + y * fz - z * fy, my + z * fx - x * fz, mz + x * fy - y * fx))
            torque -= wrench @ model.jacobians[foot, :, 6:]
        return torque

    def _foot_accelerations(self, space: "_Workspace", swing: FootTarget | None) -> Array:
        """What J nu' shall be (12,): a foot on the ground stays where it is, the one in the air follows its swing."""
        model, s = self.model, self.settings
        target = -s.stance_damping * model.foot_velocities
        if swing is not None and space.flying is not None:
            foot = space.flying
            here, moving = model.feet[foot].tolist(), model.foot_velocities[foot].tolist()
            stiffness, damping = s.swing_gains
            target[foot, :3] = [
                swing.acceleration[i]
                + stiffness * (swing.position[i] - here[i])
                + damping * (swing.velocity[i] - moving[i])
                for i in range(3)
            ]
            stiffness, damping = s.swing_turn_gains
            target[foot, 3:] = stiffness * swing.orientation_error - damping * model.foot_velocities[foot, 3:]
        target -= model.rates
        return target.ravel()

    def _workspace(self, contact: Array) -> "_Workspace":
        key = tuple(contact.tolist())
        if key not in self._workspaces:
            self._workspaces[key] = _Workspace(self.model, self.settings, key)
        return self._workspaces[key]


class _Workspace:
    """Everything in the problem for one set of feet in contact that stays as it is, and room for what does not."""

    def __init__(self, model: BipedModel, s: BipedWbcSettings, contact: tuple[bool, ...]) -> None:
        nv, self.stance = model.nv, [foot for foot, down in enumerate(contact) if down]
        self.flying = contact.index(False) if False in contact else None
        corners = model.arms.shape[1] * len(self.stance)
        forces = 3 * corners
        self.foot_weights = np.where(contact, s.stance_weight, s.swing_weight).repeat(6)[:, None]
        self.posture_weights = np.full(model.n, s.posture_weight)
        self.posture_weights[[j in s.trunk for j in model.spec.joints]] = s.trunk_weight
        self.cost_of_motion = np.full(nv, 1e-6)  # on the diagonal of P
        self.cost_of_motion[3:6] += s.orientation_weight
        self.cost_of_motion[6:] += self.posture_weights
        self.wrench_weights = np.repeat([s.com_weight / model.mass**2, s.momentum_weight], 3)
        weight = model.mass * GRAVITY
        #: The weight, shared by all corners.
        self.rest = np.tile([0.0, 0.0, weight / max(1, corners)], corners)

        self.P, self.q, self.right = np.empty((nv, nv)), np.empty(nv), np.empty((nv, 7))
        self.B, self.wrench = np.zeros((6, forces)), np.empty(6)
        self.B[:3] = np.tile(np.eye(3), corners)
        self.force_P, self.force_q = np.empty((forces, forces)), np.empty(forces)
        self.whole_P, self.whole_q = np.zeros((nv + forces, nv + forces)), np.empty(nv + forces)
        self.force_rows = self._rows(s, 0, corners, weight)
        self.rows = self._rows(s, nv, corners, weight)

    def _rows(self, s: BipedWbcSettings, nv: int, corners: int, weight: float) -> Rows:
        """Bounds and friction of the forces; before them, where there are `nv` accelerations, the dynamics of the base,
        and behind them room for the torques."""
        limit, pyramids = s.max_force * weight, friction_pyramids(s.friction, corners)
        side, equal, torques = s.friction * limit, 6 if nv else 0, max(nv - 6, 0)
        matrix = np.zeros((equal + len(pyramids) + torques, nv + 3 * corners))
        matrix[equal : equal + len(pyramids), nv:] = pyramids
        free, zeros, friction = np.full(nv, OPEN), np.zeros(equal + torques), np.zeros(len(pyramids))
        lowest, highest = np.tile([-side, -side, 0.0], corners), np.tile([side, side, limit], corners)
        return Rows(
            matrix,
            lower=np.concatenate([-free, lowest, zeros[:equal], friction - OPEN, zeros[equal:]]),
            upper=np.concatenate([free, highest, zeros[:equal], friction, zeros[equal:]]),
            n_box=matrix.shape[1],
            n_equal=equal,
        )
