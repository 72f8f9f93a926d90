r"""Convex MPC of a legged robot as one rigid body (Di Carlo et al. 2018, "Dynamic Locomotion in the MIT Cheetah 3 …").

State :math:`x = (\Theta, p, \omega, v)`: roll-pitch-yaw, centre of mass, angular and linear velocity, all in the world.
With forces :math:`f_i` at feet :math:`r_i` from the centre of mass, small roll and pitch, and yaw :math:`\psi`,

.. math::
   \dot\Theta = R_z(\psi)^\top \omega,\quad \dot p = v,\quad
   \dot\omega = I_w^{-1} \sum_i r_i \times f_i,\quad \dot v = \tfrac1m \sum_i f_i + g .

Accelerations that are constant over a step integrate exactly: with :math:`a_j` the six accelerations of step j,

.. math:: v_k = v_0 + \Delta t \sum_{j<k} a_j,\qquad
          p_k = p_0 + k \Delta t\, v_0 + \Delta t^2 \sum_{j<k} (k - j - \tfrac12) a_j ,

so the whole prediction is two constant matrices :math:`S_v, S_x` (N, N) and, per step, the map :math:`G_j` from forces
to accelerations. Only feet in stance have variables. Forces are in units of m g, which keeps the problem well scaled.
"""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from robotics.controllers.qp import QP, GuardedSolver

Array = np.ndarray
GRAVITY = 9.81


@dataclass(frozen=True)
class SrbdSettings:
    """Horizon, weights and friction. Weights are on (angles, position) and (angular, linear velocity)."""

    horizon: int = 10
    step_s: float = 0.03
    angle_weight: tuple[float, float, float] = (25.0, 25.0, 10.0)
    position_weight: tuple[float, float, float] = (10.0, 10.0, 50.0)
    angular_velocity_weight: tuple[float, float, float] = (0.1, 0.1, 0.3)
    velocity_weight: tuple[float, float, float] = (5.0, 5.0, 1.0)
    force_weight: float = 0.2  # on (f / m g)^2
    friction: float = 0.6
    min_force: float = 0.01  # of a foot in stance [m g]
    max_force: float = 1.0  # [m g]


@dataclass(frozen=True)
class Body:
    """The single rigid body now: mass [kg], inertia (3, 3) in the world [kg m^2], and its state.

    `angles` are roll, pitch and yaw [rad], `com` the centre of mass [m], the velocities are in the world. `lift` is an
    acceleration that acts beside the planned forces and gravity [m/s^2]: negative under a payload nobody knows.
    """

    mass: float
    inertia: Array
    angles: Array
    com: Array
    angular_velocity: Array
    velocity: Array
    lift: float = 0.0


@dataclass(frozen=True)
class Horizon:
    """What is wanted and what is known over the N steps.

    Attributes:
        angles, positions, angular_velocities, velocities: references (N, 3) at the ends of the steps.
        feet: where each foot is if it stands (N, feet, 3) [m].
        stance: whether it stands during the step, bool (N, feet).
    """

    angles: Array
    positions: Array
    angular_velocities: Array
    velocities: Array
    feet: Array
    stance: Array


@dataclass
class SrbdMPC:
    """Plans ground reaction forces over a horizon."""

    settings: SrbdSettings = field(default_factory=SrbdSettings)
    solver: GuardedSolver = field(default_factory=GuardedSolver)

    def __post_init__(self) -> None:
        s = self.settings
        N, dt = s.horizon, s.step_s
        self._Sv = np.tril(np.full((N, N), dt))
        self._Sx = np.array([[(k - j - 0.5) * dt**2 if j < k else 0.0 for j in range(N)] for k in range(1, N + 1)])
        self._times = dt * np.arange(1, N + 1)
        self._Qx = np.array([*s.angle_weight, *s.position_weight])
        self._Qv = np.array([*s.angular_velocity_weight, *s.velocity_weight])

    def forces(self, body: Body, horizon: Horizon) -> Array | None:
        """Forces (feet, 3) [N] in the world for the step that begins now; None without a usable solution."""
        stance = horizon.stance
        if not stance.any():
            return np.zeros((stance.shape[1], 3))
        u = self.solver.solve(self.problem(body, horizon))
        if u is None:
            return None
        forces = np.zeros((stance.shape[1], 3))
        first = stance[0]
        forces[first] = u[: 3 * first.sum()].reshape(-1, 3) * body.mass * GRAVITY
        return forces

    def problem(self, body: Body, horizon: Horizon) -> QP:
        """The condensed quadratic program over the forces of all feet in stance, step by step, in units of m g."""
        G = self._force_map(body, horizon)
        T = np.eye(6)
        T[:3, :3] = _yaw_rotation(float(horizon.angles[:, 2].mean())).T
        gravity = np.array([0, 0, 0, 0, 0, body.lift - GRAVITY])
        drift = np.concatenate([body.angular_velocity, body.velocity])
        # free response of velocities and of angles and positions, then how far it is from the reference
        v_free = drift + self._times[:, None] * gravity
        x_free = np.concatenate([body.angles, body.com]) + self._times[:, None] * (T @ drift)
        x_free[:, 3:] += 0.5 * self._times[:, None] ** 2 * gravity[3:]
        x_error = x_free - np.concatenate([horizon.angles, horizon.positions], axis=1)
        x_error[:, 2] = (x_error[:, 2] + np.pi) % (2 * np.pi) - np.pi
        v_error = v_free - np.concatenate([horizon.angular_velocities, horizon.velocities], axis=1)
        Qx = T.T @ (self._Qx[:, None] * T)
        H = np.kron(self._Sx.T @ self._Sx, Qx) + np.kron(self._Sv.T @ self._Sv, np.diag(self._Qv))
        gradient = self._Sx.T @ (x_error * self._Qx) @ T + self._Sv.T @ (v_error * self._Qv)
        P = 2 * G.T @ H @ G
        P[np.diag_indices_from(P)] += 2 * self.settings.force_weight
        return QP(P=P, q=2 * G.T @ gradient.ravel(), **self._constraints(int(horizon.stance.sum())))

    def _force_map(self, body: Body, horizon: Horizon) -> Array:
        """Block-diagonal G (6 N, 3 feet in stance): accelerations of each step from its forces in units of m g."""
        inverse = np.linalg.inv(body.inertia) * (body.mass * GRAVITY)
        steps, feet = np.nonzero(horizon.stance)
        # From where the body will be at the middle of each step, not from the reference: that may be far ahead
        path = body.com + (self._times[:, None] - 0.5 * self.settings.step_s) * horizon.velocities
        arms = horizon.feet[steps, feet] - path[steps]
        G = np.zeros((len(horizon.stance), 6, len(steps), 3))
        columns = np.arange(len(steps))
        G[steps, :3, columns] = inverse @ skew(arms)
        G[steps, 3:, columns] = GRAVITY * np.eye(3)
        return G.reshape(6 * len(horizon.stance), 3 * len(steps))

    def _constraints(self, count: int) -> dict[str, Array]:
        """Friction pyramid and bounds of the normal force, for `count` feet."""
        s = self.settings
        mu = s.friction
        side = mu * s.max_force
        return {
            "G": friction_pyramids(mu, count),
            "h": np.zeros(4 * count),
            "lower": np.tile([-side, -side, s.min_force], count),
            "upper": np.tile([side, side, s.max_force], count),
        }


@lru_cache
def friction_pyramids(mu: float, count: int) -> Array:
    """Rows (4 count, 3 count) of C f <= 0: tangential forces of each foot stay within mu times its normal force.

    Do not write into it: it is made once and handed to every problem.
    """
    pyramid = np.array([[1.0, 0, -mu], [-1.0, 0, -mu], [0, 1.0, -mu], [0, -1.0, -mu]])
    return np.kron(np.eye(count), pyramid)


def _yaw_rotation(yaw: float) -> Array:
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def skew(vectors: Array) -> Array:
    """Cross-product matrices (m, 3, 3) of vectors (m, 3)."""
    matrices = np.zeros((len(vectors), 3, 3))
    x, y, z = vectors.T
    matrices[:, 0, 1], matrices[:, 0, 2] = -z, y
    matrices[:, 1, 0], matrices[:, 1, 2] = z, -x
    matrices[:, 2, 0], matrices[:, 2, 1] = -y, x
    return matrices
