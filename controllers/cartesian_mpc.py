r"""Model-predictive control of an end effector: a smooth trajectory to a target pose, 50 times a second.

The end effector is a double integrator in its six world-frame coordinates :math:`x = (p, \theta)`, with
:math:`\theta` the rotation vector from the orientation at the start of the horizon. With accelerations
:math:`u_0 \dots u_{N-1}` held for :math:`\Delta t`,

.. math::
   \min_u \; \sum_{k=1}^{N} w_x \lVert e_k \rVert^2 + w_v \lVert \dot e_k \rVert^2
          + w_N \lVert \dot e_N \rVert^2 + w_u \lVert \tilde u_k \rVert^2
          + w_{\Delta} \lVert \tilde u_k - \tilde u_{k-1} \rVert^2
   \quad\text{s.t.}\quad |\dot x_k| \le v_{max},\; |u_k| \le a_{max} ,

where :math:`e = x - x^*` and :math:`\tilde u = u - u^*` are taken from the target's own motion over the horizon (zero
velocity and acceleration for a target at rest), so that following one that moves costs nothing and lags by nothing.
States are eliminated (condensed), which leaves 6 N variables and a Hessian that never changes.
"""

from collections.abc import Callable, Sequence
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


class Plan:
    """A trajectory that starts now; piecewise quadratic in each axis, at the end of its N steps as good as at rest."""

    def __init__(self, position: Array, quat: Array, velocity: Array, accelerations: Array, step_s: float) -> None:
        self.position, self.quat, self.velocity = position, quat, velocity  # (3,), (4,), (6,) at the start
        self.accelerations, self.step_s = accelerations, step_s  # (N, 6)
        self._velocities = np.concatenate([velocity[None], velocity + step_s * np.cumsum(accelerations, axis=0)])
        mean = 0.5 * step_s * (self._velocities[:-1] + self._velocities[1:])
        self._displacements = np.concatenate([np.zeros((1, AXES)), np.cumsum(mean, axis=0)])

    def at(self, t: float) -> Reference:
        """The reference `t` seconds after the start of the plan; after its end, where it ended."""
        step = min(int(t / self.step_s), len(self.accelerations) - 1)
        span = min(t - step * self.step_s, self.step_s)
        acceleration, velocity = self.accelerations[step], self._velocities[step]
        displacement = self._displacements[step] + span * velocity + (0.5 * span**2) * acceleration
        return Reference(
            self.position + displacement[:3],
            rotated(self.quat, displacement[3:]),
            velocity + span * acceleration,
            acceleration.copy(),
        )


Motion = Callable[[float], Reference]
"""Where a hand shall be, and how it shall move, so many seconds from now."""


def resting_at(position: Array, quat: Array) -> Motion:
    """The motion of a target that stands still."""
    target = Reference(position, quat)
    return lambda t: target


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
        qp = self.problem(start, target)
        u = self.solver.solve(qp)
        if u is None:
            u = self._brake(start.velocity)
        return Plan(start.position, start.quat, start.velocity, u.reshape(-1, AXES), self.settings.step_s)

    def problem(self, start: Reference, target: Motion) -> QP:
        """The condensed quadratic program over the stacked accelerations (6 N,), step by step."""
        s = self.settings
        now, *knots = (target(k * s.step_s) for k in range(s.horizon + 1))
        x_target = _displacements(start, knots)
        v_target = np.array([knot.velocity for knot in knots])
        u_target = np.diff(v_target, axis=0, prepend=now.velocity[None]) / s.step_s
        v0 = np.clip(start.velocity, -_per_axis(s.max_velocity), _per_axis(s.max_velocity))
        change = self._difference @ u_target
        change[0] += start.acceleration - now.acceleration
        linear = 2 * (
            s.position_weight * self._Sx.T @ (self._times[:, None] * v0 - x_target)  # free response minus target
            + self._Sv.T @ (self._velocity_weights[:, None] * (v0 - v_target))
            - s.acceleration_weight * u_target
            - s.smoothness_weight * self._difference.T @ change
        )
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


def _displacements(start: Reference, knots: Sequence[Reference]) -> Array:
    """From the start to each knot (N, 6): metres, and the rotation vector."""
    if all(knot is knots[0] for knot in knots):  # a target at rest
        return np.tile(
            [*(knots[0].position - start.position), *log_between(start.quat, knots[0].quat)], (len(knots), 1)
        )
    return np.array([[*(knot.position - start.position), *log_between(start.quat, knot.quat)] for knot in knots])


def _per_axis(linear_angular: tuple[float, float]) -> Array:
    return np.repeat(np.array(linear_angular), 3)
