r"""Whole-body control on two flat feet: accelerations, corner forces and torques of one instant in one QP.

With :math:`y = (\dot\nu, f)`, f the forces at the corners of the soles in contact, c the centre of mass and
:math:`\hat J_i` the Jacobian of sole i,

.. math::
   \min_y \; & w_c \lVert \tfrac1m \textstyle\sum_k f_k + g - \ddot c^* \rVert^2
   + w_L \lVert \textstyle\sum_k (p_k - c) \times f_k + k_L L \rVert^2
   + \sum_i w_i \lVert \hat J_i \dot\nu + \dot{\hat J}_i \nu - a_i^* \rVert^2 \\
   & + w_R \lVert \dot\omega - \alpha^* \rVert^2 + w_q \lVert \ddot q - \ddot q^* \rVert^2
   + w_f \lVert f - f_0 \rVert^2 \\
   \text{s.t.} \; & M_b \dot\nu + h_b = J_b^\top f,\;
   \tau_{min} \le M_a \dot\nu + h_a - J_a^\top f \le \tau_{max}, \\
   & \lvert f_{x,y} \rvert \le \mu f_z,\; 0 \le f_z \le f_{max},\; l \le \ddot q \le u .

The first two tasks are those on the centre of mass and on the angular momentum L: by the base's rows of the dynamics,
which hold exactly, both depend on the forces alone. Corner forces that only press keep the centre of pressure inside
the sole. Motion tasks are soft; dynamics, friction and torques are hard. Formulation after Herzog et al. 2016 and
Wensing and Orin 2013 (angular momentum); units SI.

The torques of a legged robot are seldom at their limits, and their rows cost a third of the solution: the problem is
solved without them first, and again with them when a torque comes out too large. What satisfies the rows that were left
out is the optimum with them, too.
"""

from dataclasses import dataclass, field

import numpy as np

from robotics.controllers.humanoid.model import BipedModel
from robotics.controllers.legged.srbd_mpc import friction_pyramids, skew
from robotics.controllers.limits import JointLimits
from robotics.controllers.qp import QP, GuardedSolver
from robotics.controllers.qp.problem import OPEN, Rows
from robotics.errors import unknown_name

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
    posture_weight: float = 0.02
    posture_gains: tuple[float, float] = (50.0, 14.0)
    stiff_joints: dict[str, float] = field(default_factory=lambda: {"waist": 50.0})
    """Factor on the posture weight of the joints whose names begin so: the trunk is one with the base."""
    force_weight: float = 1e-5
    friction: float = 0.5
    max_force: float = 1.5  # of one corner [m g]
    fallback_damping: float = 2.0  # [N m s/rad]


@dataclass(frozen=True)
class BodyTarget:
    """Acceleration of the centre of mass [m/s^2], rotation vector from the base to its target [rad] and the angular
    velocity of that target [rad/s], all (3,) in the world; joint positions (n,) of the posture [rad]."""

    com_acceleration: Array
    orientation_error: Array
    angular_velocity: Array
    posture: Array


@dataclass(frozen=True)
class FootTarget:
    """Where the foot in the air shall be: position, velocity, acceleration (3,) of the middle of its sole in the world,
    and the rotation vector (3,) to its target."""

    position: Array
    velocity: Array
    acceleration: Array
    orientation_error: Array


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
        self.posture_weights = _posture_weights(model, self.settings)
        self._workspaces: dict[int, _Workspace] = {}
        #: Forces (2, corners, 3) [N] of the last solution.
        self.forces = np.zeros(model.corners.shape)

    def torque(self, contact: Array, body: BodyTarget, swing: FootTarget | None) -> Array:
        """Torques (n,) [N m] for the feet in `contact` (2,), at the state the model was last updated to.

        `swing` is for the foot that is not. Without a usable solution: the weight through the Jacobians, with damping.
        """
        model = self.model
        y = self.solver.solve(self.problem(contact, body, swing, torque_rows=False))
        if y is not None:
            torque = self._torque_of(y, contact)
            if (torque <= model.torque_upper).all() and (torque >= model.torque_lower).all():
                return torque
            y = self.solver.solve(self.problem(contact, body, swing, torque_rows=True))
        if y is not None:
            torque = self._torque_of(y, contact)
        else:
            self.forces[:] = 0.0
            self.forces[contact, :, 2] = model.mass * GRAVITY / max(1, contact.sum() * self.forces.shape[1])
            torque = self._torque_of_forces() + model.h[6:] - self.settings.fallback_damping * model.v
        return np.minimum(np.maximum(torque, model.torque_lower), model.torque_upper)

    def problem(self, contact: Array, body: BodyTarget, swing: FootTarget | None, torque_rows: bool = True) -> QP:
        """The quadratic program at the state that the model was last updated to; the next call overwrites it."""
        model, s, nv = self.model, self.settings, self.model.nv
        stance = np.flatnonzero(contact)
        space = self._workspace(len(stance))
        P, q, matrix = space.P, space.q, space.rows.matrix

        # Feet: J weighs on the accelerations
        J = model.jacobians.reshape(12, nv)
        weighted = np.where(contact, s.stance_weight, s.swing_weight).repeat(6)[:, None] * J
        P[:nv, :nv] = J.T @ weighted
        P[:nv, :nv].flat[:: nv + 1] += space.cost_of_motion
        q[:nv] = -(self._foot_accelerations(contact, swing) @ weighted)
        stiffness, damping = s.orientation_gains
        wanted = (stiffness * body.orientation_error + damping * body.angular_velocity) @ model.R
        q[3:6] -= s.orientation_weight * (wanted - damping * model.state.angular_velocity)
        stiffness, damping = s.posture_gains
        q[6:nv] -= self.posture_weights * (stiffness * (body.posture - model.q) - damping * model.v)

        # Corner forces: what they do to the centre of mass and to the angular momentum
        arms = model.corner_arms()[stance]
        from_com = (arms + (model.feet[stance] - model.com)[:, None]).reshape(-1, 3)
        turning = skew(from_com).transpose(1, 0, 2).reshape(3, -1)  # L' = turning f
        P[nv:, nv:] = s.momentum_weight * (turning.T @ turning)
        P[nv:, nv:] += space.cost_of_forces
        push = s.com_weight / model.mass * (body.com_acceleration + [0, 0, GRAVITY])
        q[nv:] = space.rest - np.tile(push, len(from_com))
        q[nv:] += s.momentum_weight * s.momentum_damping * (model.angular_momentum @ turning)

        # The base has no motors: its rows are equations. Moments about the base, in its own frame
        lever = skew((model.com - model.state.position)[None])[0]
        matrix[:6, :nv] = model.M[:6]
        matrix[3:6, nv:] = -model.R.T @ (turning + np.tile(lever, len(from_com)))
        box = space.size
        rows = space.rows
        rows.lower[box : box + 6] = rows.upper[box : box + 6] = -model.h[:6]
        rows.lower[6:nv], rows.upper[6:nv] = self.joint_limits.bounds(model)
        if not torque_rows:
            return QP.of_rows(P, q, space.without_torques)
        first = len(space.without_torques.matrix)
        matrix[first:, :nv] = model.M[6:]
        wrench = np.zeros((len(stance), 6, space.corners * 3))
        wrench[:, :3] = np.tile(np.eye(3), space.corners)
        wrench[:, 3:] = (
            skew(arms.reshape(-1, 3))
            .reshape(len(stance), -1, 3, 3)
            .transpose(0, 2, 1, 3)
            .reshape(-1, 3, space.corners * 3)
        )
        for number, foot in enumerate(stance):
            columns = slice(nv + number * space.corners * 3, nv + (number + 1) * space.corners * 3)
            matrix[first:, columns] = -model.jacobians[foot, :, 6:].T @ wrench[number]
        rows.lower[box + first :] = model.torque_lower - model.h[6:]
        rows.upper[box + first :] = model.torque_upper - model.h[6:]
        return QP.of_rows(P, q, rows)

    def _foot_accelerations(self, contact: Array, swing: FootTarget | None) -> Array:
        """What J nu' shall be (12,): a foot on the ground stays where it is, the one in the air follows its swing."""
        model, s = self.model, self.settings
        target = -s.stance_damping * model.foot_velocities
        if swing is not None:
            foot = int(np.argmin(contact))
            velocity = model.foot_velocities[foot]
            stiffness, damping = s.swing_gains
            target[foot, :3] = (
                swing.acceleration
                + stiffness * (swing.position - model.feet[foot])
                + damping * (swing.velocity - velocity[:3])
            )
            stiffness, damping = s.swing_turn_gains
            target[foot, 3:] = stiffness * swing.orientation_error - damping * velocity[3:]
        return (target - model.rates).ravel()

    def _torque_of(self, y: Array, contact: Array) -> Array:
        model, nv = self.model, self.model.nv
        self.forces[:] = 0.0
        self.forces[contact] = y[nv:].reshape(-1, *self.forces.shape[1:])
        return model.M[6:] @ y[:nv] + model.h[6:] + self._torque_of_forces()

    def _torque_of_forces(self) -> Array:
        """- J_a' f: what the joints must give to press with `forces`."""
        model = self.model
        wrenches = np.empty((2, 6))
        wrenches[:, :3] = self.forces.sum(axis=1)
        wrenches[:, 3:] = np.cross(model.corner_arms(), self.forces).sum(axis=1)
        return -(wrenches.ravel() @ model.jacobians.reshape(12, -1)[:, 6:])

    def _workspace(self, count: int) -> "_Workspace":
        if count not in self._workspaces:
            self._workspaces[count] = _Workspace(self.model, self.settings, self.posture_weights, count)
        return self._workspaces[count]


class _Workspace:
    """Everything in the problem with `count` feet in contact that stays as it is, and room for what does not."""

    def __init__(self, model: BipedModel, s: BipedWbcSettings, posture_weights: Array, count: int) -> None:
        nv, self.corners = model.nv, model.corners.shape[1]
        forces = 3 * self.corners * count
        self.size = size = nv + forces
        self.P, self.q = np.zeros((size, size)), np.zeros(size)
        self.cost_of_motion = np.full(nv, 1e-6)  # on the diagonal of P
        self.cost_of_motion[3:6] += s.orientation_weight
        self.cost_of_motion[6:] += posture_weights
        every = np.ones((self.corners * count, self.corners * count))
        self.cost_of_forces = s.com_weight / model.mass**2 * np.kron(every, np.eye(3)) + s.force_weight * np.eye(forces)
        weight = model.mass * GRAVITY
        self.rest = np.tile([0.0, 0.0, -s.force_weight * weight / max(1, self.corners * count)], self.corners * count)
        limit = s.max_force * weight
        side = s.friction * limit
        pyramids = friction_pyramids(s.friction, self.corners * count)
        matrix = np.zeros((6 + len(pyramids) + model.n, size))
        matrix[:3, nv:] = -np.tile(np.eye(3), self.corners * count)
        matrix[6 : 6 + len(pyramids), nv:] = pyramids
        free, box = np.full(nv, OPEN), np.tile([side, side, limit], self.corners * count)
        rest, open_rows = np.zeros(6 + model.n), np.full(len(pyramids), OPEN)
        self.rows = Rows(
            matrix,
            lower=np.concatenate(
                [-free, np.tile([-side, -side, 0.0], self.corners * count), rest[:6], -open_rows, rest[6:]]
            ),
            upper=np.concatenate([free, box, rest[:6], 0 * open_rows, rest[6:]]),
            n_box=size,
            n_equal=6,
        )
        kept = 6 + len(pyramids)
        self.without_torques = Rows(
            matrix[:kept], self.rows.lower[: size + kept], self.rows.upper[: size + kept], n_box=size, n_equal=6
        )


def _posture_weights(model: BipedModel, s: BipedWbcSettings) -> Array:
    """Weight of every joint in the posture (n,)."""
    weights = np.full(model.n, s.posture_weight)
    for prefix, factor in s.stiff_joints.items():
        stiff = [number for number, joint in enumerate(model.spec.joints) if joint.startswith(prefix)]
        if not stiff and prefix != "waist":
            raise unknown_name(f"beginning of a joint of {model.spec.name}", prefix, model.spec.joints)
        weights[stiff] *= factor
    return weights
