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
from robotics.controllers.qp.problem import OPEN, Rows
from robotics.controllers.rotation import wrapped

Array = np.ndarray
GRAVITY = 9.81


@dataclass(frozen=True)
class SrbdSettings:
    """Horizon, weights and friction. Weights are on (angles, position) and (angular, linear velocity)."""

    horizon: int = 10
    step_s: float = 0.03
    tilt_weight: float = 25.0  # of roll and pitch alike, so that the weights do not depend on the heading
    yaw_weight: float = 10.0
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
        self._row_blocks: dict[int, Rows] = {}
        self._times = dt * np.arange(1, N + 1)
        self._Qx = np.array([s.tilt_weight, s.tilt_weight, s.yaw_weight, *s.position_weight])
        self._Qv = np.array([*s.angular_velocity_weight, *s.velocity_weight])
        self._cost_of_positions, self._cost_of_velocities = self._Sx.T @ self._Sx, self._Sv.T @ self._Sv

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
        steps, feet = np.nonzero(horizon.stance)
        map_of_forces = self._force_map(body, horizon, steps, feet)
        turn = _yaw_rotation(float(horizon.angles[:, 2].mean()))
        gravity = np.array([0, 0, 0, 0, 0, body.lift - GRAVITY])
        drift = np.concatenate([body.angular_velocity, body.velocity])
        rates = np.concatenate([body.angular_velocity @ turn, body.velocity])
        # free response of velocities and of angles and positions, then how far it is from the reference
        times = self._times[:, None]
        x_error = np.concatenate([body.angles, body.com]) + times * rates + 0.5 * times**2 * gravity
        x_error[:, :3] -= horizon.angles
        x_error[:, 3:] -= horizon.positions
        x_error[:, 2] = wrapped(x_error[:, 2])
        v_error = drift + times * gravity
        v_error[:, :3] -= horizon.angular_velocities
        v_error[:, 3:] -= horizon.velocities
        wanted = self._Sx.T @ (x_error * self._Qx)
        wanted[:, :3] = wanted[:, :3] @ turn.T
        wanted += self._Sv.T @ (v_error * self._Qv)
        # Per pair of force components: how their steps couple, times what both do to the same six accelerations
        per_force = steps.repeat(3)
        coupled = np.ix_(per_force, per_force)
        P = self._cost_of_positions[coupled] * ((map_of_forces * self._Qx) @ map_of_forces.T)
        P += self._cost_of_velocities[coupled] * ((map_of_forces * self._Qv) @ map_of_forces.T)
        P += P
        P.flat[:: len(P) + 1] += 2 * self.settings.force_weight
        q = 2 * (map_of_forces * wanted[per_force]).sum(axis=1)
        return QP.of_rows(P, q, self._rows(len(steps)))

    def _force_map(self, body: Body, horizon: Horizon, steps: Array, feet: Array) -> Array:
        """Accelerations (3 feet in stance, 6) that each force component, in units of m g, causes during its step."""
        inverse = np.linalg.inv(body.inertia) * (body.mass * GRAVITY)
        # From where the body will be at the middle of each step, not from the reference: that may be far ahead
        path = body.com + (self._times[:, None] - 0.5 * self.settings.step_s) * horizon.velocities
        arms = horizon.feet[steps, feet] - path[steps]
        caused = np.zeros((len(steps), 3, 6))
        caused[:, :, :3] = skew(arms).transpose(0, 2, 1) @ inverse
        caused[:, :, 3:] = GRAVITY * np.eye(3)
        return caused.reshape(-1, 6)

    def _rows(self, count: int) -> Rows:
        """Friction pyramid and bounds of the normal force, for `count` feet. Made once, read only."""
        if count not in self._row_blocks:
            s = self.settings
            side = s.friction * s.max_force
            self._row_blocks[count] = Rows(
                friction_pyramids(s.friction, count),
                lower=np.concatenate([np.tile([-side, -side, s.min_force], count), np.full(4 * count, -OPEN)]),
                upper=np.concatenate([np.tile([side, side, s.max_force], count), np.zeros(4 * count)]),
                n_box=3 * count,
                n_equal=0,
            )
        return self._row_blocks[count]


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
