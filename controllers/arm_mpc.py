r"""Model-predictive control of a whole arm (or two): joint trajectories that take its hands onto their targets.

Every joint is a double integrator; :math:`u_0 \dots u_N` are its accelerations at the nodes :math:`k \Delta t`, with
straight lines between them (steps would lag by half of one, for only their beginning is ever driven).
Hands deviate from their target's motion by :math:`\delta_k = x(q_k) \ominus x^*_k` (metres and rotation vector) and
:math:`\dot\delta_k = J(\bar q_k)\, \dot q_k - V^*_k`. About the plan before, :math:`\bar q_k`, which one step of
Gauss-Newton every 20 ms improves (Diehl's real-time iteration),

.. math::
   \min_{u, s}\; & \sum_{k=1}^{N} \lVert \delta_k \rVert_{W_x}^2 + \lVert \dot\delta_k \rVert_{W_v}^2
       + \lVert (\dot\delta_k - \dot\delta_{k-1}) / \Delta t \rVert_{W_a}^2
       + \epsilon \lVert N (q_k - q_{home}) \rVert^2 + \epsilon_v \lVert N \dot q_k \rVert^2
       + \epsilon_u \lVert u_k \rVert^2 + w_\Delta \lVert u_{k+1} - 2 u_k + u_{k-1} \rVert^2
       + w_s s^2 \\
   \text{s.t.}\; & \delta_k = \bar\delta_k + J_k (q_k - \bar q_k),\quad |u_k| \le a_{max},\; s \ge 0, \\
       & q_{min} \lesssim q_k \lesssim q_{max},\quad |\dot q_k| \lesssim v_{max},\quad
         |J_k \dot q_k| \lesssim V_{max}, \\
       & \tau_{min} \lesssim M u_k + h \lesssim \tau_{max},\quad
         d_i(\bar q_k) + \nabla d_i^\top (q_k - \bar q_k) \gtrsim d_{min} ,

with N the projection onto what the hands leave free, and :math:`d_i` the distances of pairs of geoms. A target that can
be met costs nothing and is met without lag. :math:`\lesssim` gives way by s times a scale of its own, which keeps the
problem feasible wherever the arm has got to; torques, speeds and ranges are kept for certain by the whole-body
controller below. States are eliminated, which leaves n (N + 1) + 1 variables.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import mujoco
import numpy as np

from robotics.controllers.cartesian_mpc import AXES, CartesianMPCSettings, Motion, Plan, resting_at
from robotics.controllers.limits import CollisionMargin
from robotics.controllers.model import NominalModel
from robotics.controllers.qp import QP, GuardedSolver
from robotics.controllers.qp.problem import OPEN, Rows
from robotics.controllers.robot_spec import RobotSpec
from robotics.controllers.rotation import log_between

Array = np.ndarray

#: By how much a constraint gives way per unit of slack: hand speeds [m/s, rad/s], positions [rad, m], speeds of joints,
#: torques [N m, N], distances [m].
_HAND_SPEED, _POSITION, _SPEED, _TORQUE, _DISTANCE = 0.05, 0.02, 0.05, 5.0, 0.01


@dataclass(frozen=True)
class ArmMPCSettings(CartesianMPCSettings):
    """Limits and weights; of each pair, the first is for metres and the second for radians."""

    orientation_weight: float = 0.02  # of a radian against a metre: where a pose is out of reach, it decides
    minor_orientation_weight: float = 1e-4  # the same for an arm of fewer than six joints, which can not have both
    max_joint_acceleration: float = 20.0  # [rad/s^2, m/s^2]
    posture_weight: float = 1e-4
    damping_weight: float = 1e-4
    effort_weight: float = 1e-7
    bend_weight: float = 1e-6  # of accelerations that go up and down from node to node
    slack_weight: float = 100.0
    pull: tuple[float, float] = (0.3, 0.2)  # targets further off pull no harder: they would tear at the constraints
    torque_share: float = 0.9  # of the torque limits that a plan uses
    projection_damping: float = 0.05  # singular values of J below it count as free


@dataclass(frozen=True)
class ArmPlan:
    """Joint and hand trajectories that start now."""

    hands: Mapping[str, Plan]
    q: Array  # (N + 1, n) at the nodes
    v: Array  # (N + 1, n)
    u: Array  # (N + 1, n), linear from node to node
    step_s: float

    def joints(self, t: float) -> tuple[Array, Array, Array]:
        """Position, velocity and acceleration (n,) after `t` seconds; at rest after the last node."""
        step = int(t / self.step_s)
        if step >= len(self.u) - 1:
            return self.q[-1], np.zeros_like(self.v[-1]), np.zeros_like(self.v[-1])
        span, v, u = t - step * self.step_s, self.v[step], self.u[step]
        jerk = (self.u[step + 1] - u) / self.step_s
        return (
            self.q[step] + span * (v + span * (u / 2 + span / 6 * jerk)),
            v + span * (u + span / 2 * jerk),
            u + span * jerk,
        )


class ArmMPC:
    """Plans for all hands of a robot at once, by the joints in `moving`: all but those of grippers."""

    def __init__(
        self,
        model: mujoco.MjModel,
        spec: RobotSpec,
        collision: CollisionMargin | None = None,
        settings: ArmMPCSettings | None = None,
        solver: GuardedSolver | None = None,
        velocity_share: float = 1.0,
        position_margin: float = 0.0,
    ) -> None:
        self.settings = s = settings or ArmMPCSettings()
        self.solver = solver or GuardedSolver()
        self.model = NominalModel(model, spec)  # of its own: it looks ahead while the other one is at the present
        self.collision = collision
        grippers = {e.gripper_joint for e in spec.end_effectors}
        self.moving = np.array([i for i, joint in enumerate(spec.joints) if joint not in grippers])
        self._home = np.array(spec.home)[self.moving]
        N, n, dt = s.horizon, len(self.moving), s.step_s
        self._Sv = np.array(
            [[dt * (0.5 if j in (0, k) else float(j < k)) for j in range(N + 1)] for k in range(1, N + 1)]
        )
        self._Sx = np.cumsum(np.concatenate([np.zeros((1, N + 1)), dt * self._Sv[:-1]]), axis=0)
        for k in range(N):
            self._Sx[k:, k] += dt**2 / 3
            self._Sx[k:, k + 1] += dt**2 / 6
        bend = np.diff(np.eye(N + 1), n=2, axis=0)
        self._smooth = np.kron(s.effort_weight * np.eye(N + 1) + s.bend_weight * bend.T @ bend, np.eye(n))
        self._times = dt * np.arange(1, N + 1)
        self._kron_x, self._kron_v = (np.kron(S, np.eye(n)) for S in (self._Sx, self._Sv))
        m = self.model
        self._fastest = np.tile(velocity_share * m.velocity_limit[self.moving], N)
        self._lowest = np.tile(m.position_lower[self.moving] + position_margin, N)
        self._highest = np.tile(m.position_upper[self.moving] - position_margin, N)
        turning = s.orientation_weight if n >= AXES * len(spec.end_effectors) else s.minor_orientation_weight
        one = np.repeat([1.0, turning], 3)
        self._root_x, self._root_v, self._root_a = (
            np.sqrt(w * one) for w in (s.position_weight, s.velocity_weight, s.acceleration_weight)
        )
        self._root_end = np.sqrt((s.velocity_weight + s.terminal_velocity_weight) * one)

    def rest(self, q: Array) -> ArmPlan:
        """The plan to stay at joint positions q (n,)."""
        N, n = self.settings.horizon, len(q)
        return ArmPlan({}, np.tile(q, (N + 1, 1)), np.zeros((N + 1, n)), np.zeros((N + 1, n)), self.settings.step_s)

    def follow(self, before: ArmPlan, elapsed: float, motions: Mapping[str, Motion]) -> ArmPlan:
        """The plan that goes on from where `before` is after `elapsed` seconds; one that brakes without a solution."""
        s, moving = self.settings, self.moving
        q0, v0, _ = before.joints(elapsed)
        guess = np.array([before.joints(elapsed + t)[0] for t in self._times])
        hands, near, torque = self._linearised(q0, v0, guess, motions)
        y = self.solver.solve(self._problem(q0[moving], v0[moving], guess[:, moving], hands, near, torque))
        u = np.zeros((s.horizon + 1, len(q0)))
        u[:, moving] = self._brake(v0[moving]) if y is None else y[:-1].reshape(s.horizon + 1, -1)
        v = np.concatenate([v0[None], v0 + self._Sv @ u])
        q = np.concatenate([q0[None], q0 + self._times[:, None] * v0 + self._Sx @ u])
        plans = {}
        for name, hand in hands.items():
            if y is None:  # whatever the target was: it may be no number
                hand.stay()
            velocity = np.einsum("kij,kj->ki", hand.J, v[:, moving]) - hand.V
            plans[name] = Plan(hand.motion, hand.delta[0], velocity[0], np.diff(velocity, axis=0) / s.step_s, s.step_s)
        return ArmPlan(plans, q, v, u, s.step_s)

    def problem(self, before: ArmPlan, elapsed: float, motions: Mapping[str, Motion]) -> QP:
        """The condensed quadratic program over the stacked accelerations of all moving joints, and the slack."""
        q0, v0, _ = before.joints(elapsed)
        guess = np.array([before.joints(elapsed + t)[0] for t in self._times])
        moving = self.moving
        return self._problem(q0[moving], v0[moving], guess[:, moving], *self._linearised(q0, v0, guess, motions))

    def _linearised(
        self, q0: Array, v0: Array, guess: Array, motions: Mapping[str, Motion]
    ) -> tuple[dict[str, "_Hand"], list[tuple[int, Array, float]], tuple[Array, Array, Array]]:
        """Hands and near pairs along the guess (N, n), and torques at the start: M, and the room around h."""
        model, moving, share = self.model, self.moving, self.settings.torque_share
        hands = {name: _Hand(motion, [0.0, *self._times]) for name, motion in motions.items()}
        near: list[tuple[int, Array, float]] = []
        model.update(q0, v0)
        torque = (
            model.M[np.ix_(moving, moving)],
            (share * model.torque_lower - model.h)[moving],
            (share * model.torque_upper - model.h)[moving],
        )
        for k, q in enumerate([q0, *guess]):
            if k:
                model.move(q)
                if self.collision is not None:
                    near += [(k - 1, row[moving], room) for row, room in self.collision.near(model)]
            for name, hand in hands.items():
                position, quat = model.pose(name)
                hand.see(k, position, quat, model.jacobian(name)[:, moving])
        return hands, near, torque

    def _problem(
        self,
        q0: Array,
        v0: Array,
        guess: Array,
        hands: Mapping[str, "_Hand"],
        near: list[tuple[int, Array, float]],
        torque: tuple[Array, Array, Array],
    ) -> QP:
        s, N, n = self.settings, self.settings.horizon, len(q0)
        drift = q0 + self._times[:, None] * v0  # (N, n): positions without any acceleration
        v_max = np.repeat(s.max_velocity, 3)
        cost, target = [], []
        soft: list[_Soft] = []
        for hand in hands.values():
            J = hand.J[1:]
            delta = _shortened(hand.delta[1:], s.pull) + np.einsum("kij,kj->ki", J, drift - guess)
            free = hand.J @ v0 - hand.V  # (N + 1, 6): velocities without any acceleration
            moves, speeds = _along(self._Sx, J), _along(self._Sv, J)  # (N, 6, n (N + 1))
            changes = np.diff(speeds, axis=0, prepend=np.zeros_like(speeds[:1])) / s.step_s
            root_v = np.tile(self._root_v, (N, 1))
            root_v[-1] = self._root_end
            for rows, away, root in (
                (moves, delta, self._root_x),
                (speeds, free[1:], root_v),
                (changes, np.diff(free, axis=0) / s.step_s, self._root_a),
            ):
                cost.append((np.broadcast_to(root, (N, 6))[..., None] * rows).reshape(6 * N, -1))
                target.append(-(root * away).ravel())
            carried = (J @ v0).ravel()
            most = np.tile(v_max, N)
            soft.append(_Soft(speeds.reshape(6 * N, -1), -most - carried, most - carried, _HAND_SPEED))
        A, b = np.concatenate(cost), np.concatenate(target)
        free_of_hands = self._projection([hand.J[0] for hand in hands.values()], n)
        size = n * (N + 1)
        P = np.zeros((size + 1, size + 1))
        P[:-1, :-1] = A.T @ A
        P[:-1, :-1] += np.kron(
            s.posture_weight * self._Sx.T @ self._Sx + s.damping_weight * self._Sv.T @ self._Sv, free_of_hands
        )
        P[:-1, :-1] += self._smooth
        P[-1, -1] = s.slack_weight
        pull = s.posture_weight * self._Sx.T @ (drift - self._home) + s.damping_weight * self._Sv.T @ np.tile(
            v0, (N, 1)
        )
        q = np.append((pull @ free_of_hands).ravel() - A.T @ b, 0.0)
        M, torque_lower, torque_upper = torque
        still, rates, every = drift.ravel(), np.tile(v0, N), np.kron(np.eye(N + 1), M)
        soft += [
            _Soft(self._kron_x, self._lowest - still, self._highest - still, _POSITION),
            _Soft(self._kron_v, -self._fastest - rates, self._fastest - rates, _SPEED),
            _Soft(every, np.tile(torque_lower, N + 1), np.tile(torque_upper, N + 1), _TORQUE),
        ]
        for k, row, room in near:
            least = np.array([-room - float(row @ (drift[k] - guess[k]))])
            soft.append(_Soft(np.kron(self._Sx[k], row)[None], least, np.array([np.inf]), _DISTANCE))
        return QP.of_rows(P, q, _rows(soft, size, s.max_joint_acceleration))

    def _projection(self, jacobians: list[Array], n: int) -> Array:
        """(n, n) onto the joint motions that move no hand: I - J' (J J' + lambda^2 I)^-1 J."""
        J = np.concatenate(jacobians)
        damped = J @ J.T
        damped.reshape(-1)[:: len(J) + 1] += self.settings.projection_damping**2
        return np.eye(n) - J.T @ np.linalg.solve(damped, J)

    def _brake(self, v: Array) -> Array:
        """Accelerations (N + 1, n) that stop as fast as they may, fading out: half of u_0 times m steps is -v."""
        s = self.settings
        steps = np.maximum(np.ceil(2 * np.abs(v) / (s.max_joint_acceleration * s.step_s)), 1.0)
        fading = np.maximum(1.0 - np.arange(s.horizon + 1)[:, None] / steps, 0.0)
        return -2 * v / (steps * s.step_s) * fading


class _Hand:
    """One hand along the guess: Jacobians (N + 1, 6, n), deviations from its target and that one's velocity."""

    def __init__(self, motion: Motion, times: list[float]) -> None:
        self.motion = motion
        self._references = [motion(t) for t in times]
        self.V = np.array([reference.velocity for reference in self._references])
        self.delta = np.empty((len(times), 6))
        self._jacobians: list[Array] = []

    def see(self, k: int, position: Array, quat: Array, jacobian: Array) -> None:
        """The hand at node k; nodes come in order."""
        if k == 0:
            self._start = position, quat
        reference = self._references[k]
        self.delta[k, :3] = position - reference.position
        self.delta[k, 3:] = log_between(reference.quat, quat)
        self._jacobians.append(jacobian)

    def stay(self) -> None:
        """Take where the hand is for its target."""
        self.motion = resting_at(*self._start)
        self.V, self.delta = np.zeros_like(self.V), np.zeros_like(self.delta)

    @property
    def J(self) -> Array:
        return np.array(self._jacobians)


def _along(S: Array, J: Array) -> Array:
    """(N, 6, (N + 1) n): how what S (N, N + 1) makes of the accelerations moves a hand with Jacobians J (N, 6, n)."""
    N, rows, _ = J.shape
    return (S[:, None, :, None] * J[:, :, None, :]).reshape(N, rows, -1)


def _shortened(delta: Array, most: tuple[float, float]) -> Array:
    """Deviations (N, 6) of the same direction, no longer than `most`."""
    parts = delta.reshape(-1, 2, 3)
    lengths = np.linalg.norm(parts, axis=2, keepdims=True)
    return (parts * np.minimum(1.0, np.array(most)[:, None] / np.maximum(lengths, 1e-9))).reshape(-1, 6)


class _Soft(NamedTuple):
    """Rows lower - scale s <= matrix u <= upper + scale s."""

    matrix: Array
    lower: Array
    upper: Array
    scale: float


def _rows(soft: list[_Soft], size: int, a_max: float) -> Rows:
    """|u| <= a_max (`size` of them), s >= 0, and each soft row once for every side that is not open."""
    parts = [np.concatenate([np.full(size, -a_max), [0.0]]), np.concatenate([np.full(size, a_max), [OPEN]])]
    matrices, lowers, uppers = [], [parts[0]], [parts[1]]
    for block in soft:
        for bound, sign in ((block.lower, 1.0), (block.upper, -1.0)):
            kept = np.isfinite(bound)
            matrices.append(np.column_stack([block.matrix[kept], np.full(kept.sum(), sign * block.scale)]))
            lowers.append(bound[kept] if sign > 0 else np.full(kept.sum(), -OPEN))
            uppers.append(bound[kept] if sign < 0 else np.full(kept.sum(), OPEN))
    return Rows(np.concatenate(matrices), np.concatenate(lowers), np.concatenate(uppers), n_box=size + 1, n_equal=0)
