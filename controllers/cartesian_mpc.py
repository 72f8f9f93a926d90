r"""Model-predictive control of an end effector: a smooth trajectory to a target pose, 50 times a second.

The end effector is a double integrator in its six world-frame coordinates :math:`x = (p, \theta)`, with
:math:`\theta` the rotation vector from the orientation at the start of the horizon. With accelerations
:math:`u_0 \dots u_{N-1}` held for :math:`\Delta t`,

.. math::
   \min_u \; \sum_{k=1}^{N} w_x \lVert x_k - x^* \rVert^2 + w_v \lVert \dot x_k \rVert^2
          + w_N \lVert \dot x_N \rVert^2 + w_u \lVert u_k \rVert^2 + w_{\Delta} \lVert u_k - u_{k-1} \rVert^2
   \quad\text{s.t.}\quad |\dot x_k| \le v_{max},\; |u_k| \le a_{max} .

States are eliminated (condensed), which leaves 6 N variables and a Hessian that never changes.
"""

from dataclasses import dataclass

import numpy as np

from robotics.controllers.qp import QP, GuardedSolver
from robotics.controllers.rotation import log_between, rotated
from robotics.controllers.tasks import Reference

Array = np.ndarray

AXES = 6


@dataclass(frozen=True)
class CartesianMPCSettings:
    """Limits and weights; linear axes in m, angular in rad."""

    horizon: int = 10  # N
    step_s: float = 0.05
    max_velocity: tuple[float, float] = (0.5, 2.0)  # linear [m/s], angular [rad/s], per axis
    max_acceleration: tuple[float, float] = (2.5, 12.0)  # [m/s^2], [rad/s^2], per axis
    position_weight: float = 1.0
    velocity_weight: float = 1e-3
    terminal_velocity_weight: float = 0.1
    acceleration_weight: float = 1e-4
    smoothness_weight: float = 4e-4


@dataclass(frozen=True)
class Plan:
    """A trajectory that starts now; piecewise quadratic in each axis."""

    position: Array
    quat: Array
    velocity: Array  # (6,) at the start
    accelerations: Array  # (N, 6)
    step_s: float

    def at(self, t: float) -> Reference:
        """The reference `t` seconds after the start of the plan (at rest after its end)."""
        displacement, velocity = np.zeros(AXES), self.velocity.copy()
        acceleration = np.zeros(AXES)
        remaining = t
        for acceleration in self.accelerations:
            span = min(remaining, self.step_s)
            displacement += velocity * span + 0.5 * acceleration * span**2
            velocity = velocity + acceleration * span
            remaining -= span
            if remaining <= 1e-12:
                break
        return Reference(
            self.position + displacement[:3], rotated(self.quat, displacement[3:]), velocity, acceleration.copy()
        )


class CartesianMPC:
    """Plans for one end effector from a reference state to a target pose. About 0.2 ms a plan."""

    def __init__(self, settings: CartesianMPCSettings | None = None, solver: GuardedSolver | None = None) -> None:
        self.settings = settings or CartesianMPCSettings()
        self.solver = solver or GuardedSolver()
        s, N = self.settings, self.settings.horizon
        self._a_max = np.tile(_per_axis(s.max_acceleration), N)
        self._v_max = np.tile(_per_axis(s.max_velocity), N)
        # One axis: velocities v = v0 + Sv u, positions x = x0 + k dt v0 + Sx u
        Sv = np.tril(np.full((N, N), s.step_s))
        Sx = np.array([[(k - j - 0.5) * s.step_s**2 if j < k else 0.0 for j in range(N)] for k in range(1, N + 1)])
        difference = np.eye(N) - np.eye(N, k=-1)
        velocity_weights = np.full(N, s.velocity_weight)
        velocity_weights[-1] += s.terminal_velocity_weight
        P = 2 * (
            s.position_weight * Sx.T @ Sx
            + Sv.T @ (velocity_weights[:, None] * Sv)
            + s.acceleration_weight * np.eye(N)
            + s.smoothness_weight * difference.T @ difference
        )
        self._Sx, self._Sv, self._velocity_weights = Sx, Sv, velocity_weights
        self._P = np.kron(P, np.eye(AXES))
        self._G = np.kron(Sv, np.eye(AXES))
        self._times = s.step_s * np.arange(1, N + 1)

    def plan(self, start: Reference, position: Array, quat: Array) -> Plan:
        """The plan from `start` to a target pose; a braking plan where the problem can not be solved."""
        qp = self.problem(start, position, quat)
        u = self.solver.solve(qp)
        if u is None:
            u = self._brake(start.velocity)
        return Plan(start.position, start.quat, start.velocity, u.reshape(-1, AXES), self.settings.step_s)

    def problem(self, start: Reference, position: Array, quat: Array) -> QP:
        """The condensed quadratic program over the stacked accelerations (6 N,), step by step."""
        s = self.settings
        target = np.concatenate([position - start.position, log_between(start.quat, quat)])
        v0 = np.clip(start.velocity, -_per_axis(s.max_velocity), _per_axis(s.max_velocity))
        offset = self._times[:, None] * v0 - target  # free response minus target, (N, 6)
        linear = 2 * (
            s.position_weight * self._Sx.T @ offset
            + self._Sv.T @ (self._velocity_weights[:, None] * np.tile(v0, (s.horizon, 1)))
        )
        linear[0] -= 2 * s.smoothness_weight * start.acceleration
        drift = np.tile(v0, s.horizon)
        return QP(
            P=self._P,
            q=linear.ravel(),
            G=self._G,
            g=-self._v_max - drift,
            h=self._v_max - drift,
            lower=-self._a_max,
            upper=self._a_max,
        )

    def _brake(self, velocity: Array) -> Array:
        """Accelerations (6 N,) that stop as fast as the limits allow, ignoring the target."""
        plan, v, limit = [], velocity.copy(), _per_axis(self.settings.max_acceleration)
        for _ in range(self.settings.horizon):
            u = np.clip(-v / self.settings.step_s, -limit, limit)
            plan.append(u)
            v = v + u * self.settings.step_s
        return np.concatenate(plan)


def _per_axis(linear_angular: tuple[float, float]) -> Array:
    return np.repeat(np.array(linear_angular), 3)
