r"""Model-predictive control of an end effector: a smooth trajectory onto a target and along with it, 50 times a second.

The end effector is a double integrator in its six world-frame coordinates, position and rotation vector. What is
planned is how it deviates from the target's own motion :math:`x^*(t)` (a constant for a target at rest):
:math:`e = x - x^*`, driven by :math:`u_0 \dots u_{N-1}`, each held for :math:`\Delta t`,

.. math::
   \min_u \; \sum_{k=1}^{N} w_x \lVert e_k \rVert^2 + w_v \lVert \dot e_k \rVert^2
          + w_N \lVert \dot e_N \rVert^2 + w_u \lVert u_k \rVert^2 + w_{\Delta} \lVert u_k - u_{k-1} \rVert^2
   \quad\text{s.t.}\quad |\dot x^*_k + \dot e_k| \le v_{max},\; |\bar u^*_k + u_k| \le a_{max} ,

with :math:`\bar u^*_k` the target's mean acceleration over step k. A target that can be met is met exactly, between
the steps too: following it costs nothing and lags by nothing. States are eliminated (condensed), which leaves 6 N
variables and a Hessian that never changes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from robotics.controllers.qp import QP, GuardedSolver
from robotics.controllers.rotation import log_between, rotated
from robotics.controllers.tasks import Reference

Array = np.ndarray

#: Of one end effector: linear, then angular.
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


Motion = Callable[[float], Reference]
"""Where a hand shall be, and how it shall move, so many seconds from now."""


def resting_at(position: Array, quat: Array) -> Motion:
    """The motion of a target that stands still."""
    target = Reference(position, quat)
    return lambda t: target


class Plan:
    """A trajectory that starts now: a deviation (piecewise quadratic in each axis) from a motion. At the end of its N
    steps the deviation is as good as at rest, and stays."""

    def __init__(self, target: Motion, displacement: Array, velocity: Array, accelerations: Array, step_s: float):
        self.target, self.displacement, self.velocity = target, displacement, velocity  # (6,), (6,) at the start
        self.accelerations, self.step_s = accelerations, step_s  # (N, 6)
        self._velocities = np.concatenate([velocity[None], velocity + step_s * np.cumsum(accelerations, axis=0)])
        mean = 0.5 * step_s * (self._velocities[:-1] + self._velocities[1:])
        self._displacements = displacement + np.concatenate([np.zeros((1, AXES)), np.cumsum(mean, axis=0)])

    def at(self, t: float) -> Reference:
        """The reference `t` seconds after the start of the plan."""
        step = min(int(t / self.step_s), len(self.accelerations) - 1)
        span = min(t - step * self.step_s, self.step_s)
        acceleration, velocity = self.accelerations[step], self._velocities[step]
        displacement = self._displacements[step] + span * velocity + (0.5 * span**2) * acceleration
        target = self.target(t)
        return Reference(
            target.position + displacement[:3],
            rotated(target.quat, displacement[3:]),
            target.velocity + velocity + span * acceleration,
            target.acceleration + acceleration,
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
        self._difference = difference = np.eye(N) - np.eye(N, k=-1)
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
        return self.follow(start, resting_at(position, quat))

    def follow(self, start: Reference, target: Motion) -> Plan:
        """The plan from `start` onto a moving target and along with it: one that can be met is met without lag."""
        u = self.solver.solve(self.problem(start, target))
        if u is None:
            target, u = resting_at(start.position, start.quat), self._brake(start.velocity)
        displacement, velocity, _ = _deviation(start, target(0.0))
        return Plan(target, displacement, velocity, u.reshape(-1, AXES), self.settings.step_s)

    def problem(self, start: Reference, target: Motion) -> QP:
        """The condensed quadratic program over the stacked accelerations (6 N,), step by step."""
        s = self.settings
        v_target = np.array([target(k * s.step_s).velocity for k in range(s.horizon + 1)])
        u_target = (v_target[1:] - v_target[:-1]).ravel() / s.step_s
        fastest = _per_axis(s.max_velocity)
        v = np.minimum(np.maximum(start.velocity, -fastest), fastest) - v_target[0]
        e, _, u_before = _deviation(start, target(0.0))
        linear = 2 * (
            s.position_weight * self._Sx.T @ (e + self._times[:, None] * v)  # free response
            + self._Sv.T @ (self._velocity_weights[:, None] * v)
        )
        linear[0] -= 2 * s.smoothness_weight * u_before
        drift = (v + v_target[1:]).ravel()
        return QP(
            P=self._P,
            q=linear.ravel(),
            G=self._G,
            g=-self._v_max - drift,
            h=self._v_max - drift,
            lower=-self._a_max - u_target,
            upper=self._a_max - u_target,
        )

    def _brake(self, velocity: Array) -> Array:
        """Accelerations (6 N,) that stop as fast as the limits allow, ignoring the target."""
        plan, v, limit = [], velocity.copy(), _per_axis(self.settings.max_acceleration)
        for _ in range(self.settings.horizon):
            u = np.clip(-v / self.settings.step_s, -limit, limit)
            plan.append(u)
            v = v + u * self.settings.step_s
        return np.concatenate(plan)


def _deviation(start: Reference, target: Reference) -> tuple[Array, Array, Array]:
    """How far `start` is off the target, and its velocity and acceleration: (6,) each, metres and rotation vector."""
    displacement = np.array([*(start.position - target.position), *log_between(target.quat, start.quat)])
    return displacement, start.velocity - target.velocity, start.acceleration - target.acceleration


def _per_axis(linear_angular: tuple[float, float]) -> Array:
    return np.repeat(np.array(linear_angular), 3)
