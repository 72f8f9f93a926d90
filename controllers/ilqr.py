r"""Iterative LQR of any MuJoCo model with smooth enough dynamics, with limits on the controls.

Minimises, over controls :math:`u_0 \dots u_{T-1}` within their ranges, for :math:`x = (q, \dot q)` stepped by MuJoCo,

.. math:: \tfrac12 \sum_{t=0}^{T-1} \left( \lVert x_t \ominus x^* \rVert^2_Q + \lVert u_t \rVert^2_R \right)
          + \tfrac12 \lVert x_T \ominus x^* \rVert^2_{Q_T} ,

where :math:`\ominus` is the difference in the tangent space (`mj_differentiatePos`), so that free bodies are fine.

Backward: with :math:`A_t, B_t` of `mjd_transitionFD` and V the cost to go from t + 1,

.. math:: Q_{xx} = Q + A^\top V_{xx} A,\quad Q_{uu} = R + B^\top (V_{xx} + \mu I) B,\quad
          Q_{ux} = B^\top (V_{xx} + \mu I) A,\quad Q_x = Q x + A^\top V_x,\quad Q_u = R u + B^\top V_x .

The step k solves :math:`\min_k \tfrac12 k^\top Q_{uu} k + Q_u^\top k` within what the range leaves of u (`mju_boxQP`),
and the gain is :math:`K = -Q_{uu}^{-1} Q_{ux}` on the controls that are not at their limits, zero on the others.
Forward: :math:`u_t = \bar u_t + \alpha k_t + K_t (x_t \ominus \bar x_t)` for :math:`\alpha = 1, \tfrac12, \dots` until
the cost falls by a share of what the expansion promised; else :math:`\mu` grows. Sources: Tassa, Erez and Todorov 2012,
"Synthesis and stabilization of complex behaviors"; Tassa, Mansard and Todorov 2014, "Control-limited DDP".
"""

from dataclasses import dataclass, field

import mujoco
import numpy as np

from robotics.errors import UsageError

Array = np.ndarray


@dataclass(frozen=True)
class QuadraticCost:
    """Q, R and Q_T of the problem, and the state (q, dq) that is wanted. Q and Q_T are (2 nv, 2 nv), R (nu, nu)."""

    Q: Array
    R: Array
    Q_end: Array
    qpos: Array  # (nq,)
    qvel: Array  # (nv,)


@dataclass(frozen=True)
class ILQRSettings:
    """When to stop, and how to regularise."""

    iterations: int = 100
    tolerance: float = 1e-7  # relative fall of the cost that counts as none
    regularisation: float = 0.0  # mu at the start
    least_regularisation: float = 1e-6  # the first that is not zero
    most_regularisation: float = 1e8
    growth: float = 4.0  # of mu
    line_search: int = 10  # halvings
    sufficient: float = 1e-4  # share of the promised fall
    epsilon: float = 1e-6  # of the finite differences


@dataclass(frozen=True)
class ILQRSolution:
    """Controls (T, nu), states (T + 1, nq + nv), gains (T, nu, 2 nv), and how it went.

    `costs` is the cost after each iteration that improved it, from the first guess on. `converged` is False when the
    iterations ran out or no regularisation helped; the controls are the best found and within their ranges all the
    same.
    """

    controls: Array
    states: Array
    gains: Array
    costs: list[float] = field(default_factory=list)
    converged: bool = False

    @property
    def cost(self) -> float:
        return self.costs[-1]


class ILQR:
    """Plans for its own nominal `model`, without activations. Raises UsageError for shapes that do not fit."""

    def __init__(self, model: mujoco.MjModel, cost: QuadraticCost, settings: ILQRSettings | None = None) -> None:
        self.model, self.cost, self.settings = model, cost, settings or ILQRSettings()
        self._data = mujoco.MjData(model)
        self._nx = 2 * model.nv
        _check(model, cost)
        limited = model.actuator_ctrllimited.astype(bool)
        self._lower = np.where(limited, model.actuator_ctrlrange[:, 0], -np.inf)
        self._upper = np.where(limited, model.actuator_ctrlrange[:, 1], np.inf)

    def solve(self, qpos: Array, qvel: Array, controls: Array) -> ILQRSolution:
        """The local optimum from the state and the guess `controls` (T, nu), which is clipped to the ranges.

        Raises UsageError for a state or a guess that is no number, or whose future diverges.
        """
        s = self.settings
        start = np.concatenate([qpos, qvel])
        controls = np.clip(controls, self._lower, self._upper)
        if not (np.isfinite(start).all() and np.isfinite(controls).all()):
            raise UsageError("iLQR from a state or a guess that is no number: give finite ones")
        states, cost = self._roll_out(start, controls)
        if not np.isfinite(cost):
            raise UsageError("the guess makes the simulation diverge: give a gentler one")
        costs, mu, gains = [cost], s.regularisation, np.zeros((len(controls), self.model.nu, self._nx))
        for _ in range(s.iterations):
            A, B = self._linearise(states, controls)
            improved, least = False, mu
            while not improved and mu <= s.most_regularisation:
                step = self._backward(states, controls, A, B, mu)
                if step is not None:
                    k, gains, promise = step
                    # A step that is promised little because it is held small tells nothing
                    if mu <= least and -(promise[0] + promise[1]) <= s.tolerance * abs(cost):
                        return ILQRSolution(controls, states, gains, costs, True)
                    improved, states, controls, cost = self._forward(states, controls, k, gains, promise, cost)
                mu = self._regularise(mu, improved)
            if not improved:
                return ILQRSolution(controls, states, gains, costs, False)
            fall = costs[-1] - cost
            costs.append(cost)
            if fall <= s.tolerance * abs(cost):
                return ILQRSolution(controls, states, gains, costs, True)
        return ILQRSolution(controls, states, gains, costs, False)

    def _regularise(self, mu: float, improved: bool) -> float:
        s = self.settings
        if improved:
            return mu / s.growth if mu / s.growth >= s.least_regularisation else 0.0
        return max(mu * s.growth, s.least_regularisation)

    def _roll_out(self, start: Array, controls: Array) -> tuple[Array, float]:
        """States (T + 1, nq + nv) under fixed controls, and the cost."""
        states = np.empty((len(controls) + 1, len(start)))
        states[0] = start
        for t, u in enumerate(controls):
            states[t + 1] = self._step(states[t], u)
            if not np.isfinite(states[t + 1]).all():
                return states, np.inf
        return states, self._total(states, controls)

    def _step(self, state: Array, control: Array) -> Array:
        """The next state; NaN from where the simulation diverged, which MuJoCo itself answers by a reset."""
        self._set(state, control)
        mujoco.mj_step(self.model, self._data)
        if self._data.warning.number.any():
            return np.full_like(state, np.nan)
        return np.concatenate([self._data.qpos, self._data.qvel])

    def _set(self, state: Array, control: Array) -> None:
        # a full reset: warm starts and warnings of the last step are no part of the state
        mujoco.mj_resetData(self.model, self._data)
        self._data.qpos[:], self._data.qvel[:] = state[: self.model.nq], state[self.model.nq :]
        self._data.ctrl[:] = control

    def _difference(self, state: Array, other: Array) -> Array:
        """`state` minus `other` in the tangent space (2 nv,)."""
        nq, difference = self.model.nq, np.empty(self._nx)
        mujoco.mj_differentiatePos(self.model, difference[: self.model.nv], 1.0, other[:nq], state[:nq])
        difference[self.model.nv :] = state[nq:] - other[nq:]
        return difference

    def _error(self, state: Array) -> Array:
        return self._difference(state, np.concatenate([self.cost.qpos, self.cost.qvel]))

    def _total(self, states: Array, controls: Array) -> float:
        """The cost; infinite where the simulation diverged."""
        c = self.cost
        if not np.isfinite(states).all():
            return np.inf
        errors = np.array([self._error(state) for state in states])
        running = np.einsum("ti,ij,tj->", errors[:-1], c.Q, errors[:-1]) + np.einsum(
            "ti,ij,tj->", controls, c.R, controls
        )
        return float(0.5 * (running + errors[-1] @ c.Q_end @ errors[-1]))

    def _linearise(self, states: Array, controls: Array) -> tuple[Array, Array]:
        """A (T, 2 nv, 2 nv) and B (T, 2 nv, nu) along the motion, by central differences."""
        A = np.empty((len(controls), self._nx, self._nx))
        B = np.empty((len(controls), self._nx, self.model.nu))
        for t, u in enumerate(controls):
            self._set(states[t], u)
            mujoco.mjd_transitionFD(self.model, self._data, self.settings.epsilon, True, A[t], B[t], None, None)
        return A, B

    def _backward(
        self, states: Array, controls: Array, A: Array, B: Array, mu: float
    ) -> tuple[Array, Array, tuple[float, float]] | None:
        """Steps k (T, nu), gains K (T, nu, 2 nv), and the promised change of cost: alpha p0 + alpha^2 p1.

        None where Q_uu is not positive definite: mu is too small.
        """
        c, n = self.cost, self.model.nu
        k, K = np.zeros((len(controls), n)), np.zeros((len(controls), n, self._nx))
        Vx, Vxx = c.Q_end @ self._error(states[-1]), c.Q_end
        linear = square = 0.0
        for t in reversed(range(len(controls))):
            At, Bt, u = A[t], B[t], controls[t]
            Qx, Qu = c.Q @ self._error(states[t]) + At.T @ Vx, c.R @ u + Bt.T @ Vx
            stiff = Vxx + mu * np.eye(self._nx)
            Qxx, Qux, Quu = c.Q + At.T @ Vxx @ At, Bt.T @ Vxx @ At, c.R + Bt.T @ Vxx @ Bt
            step = self._box_step(c.R + Bt.T @ stiff @ Bt, Qu, Bt.T @ stiff @ At, u)
            if step is None:
                return None
            k[t], K[t] = step
            linear, square = linear + k[t] @ Qu, square + 0.5 * k[t] @ Quu @ k[t]
            Vx = Qx + K[t].T @ Quu @ k[t] + K[t].T @ Qu + Qux.T @ k[t]
            Vxx = Qxx + K[t].T @ Quu @ K[t] + K[t].T @ Qux + Qux.T @ K[t]
            Vxx = (Vxx + Vxx.T) / 2
        return k, K, (float(linear), float(square))

    def _box_step(self, Quu: Array, Qu: Array, Qux: Array, u: Array) -> tuple[Array, Array] | None:
        """The step within what the ranges leave, and the gain of the controls that are free."""
        n = self.model.nu
        step, factor, index = np.zeros(n), np.zeros((n, n + 7)), np.zeros(n, np.int32)
        bounds = np.maximum(self._lower - u, -1e10), np.minimum(self._upper - u, 1e10)
        try:
            np.linalg.cholesky(Quu)  # mju_boxQP regularises a matrix that is not positive definite in silence
        except np.linalg.LinAlgError:
            return None
        free_count = mujoco.mju_boxQP(step, factor, index, np.ascontiguousarray(Quu), Qu, *bounds)
        if free_count < 0:
            return None
        gain, free = np.zeros((n, self._nx)), index[:free_count]
        if free_count:
            gain[free] = -np.linalg.solve(Quu[np.ix_(free, free)], Qux[free])
        return step, gain

    def _forward(
        self, states: Array, controls: Array, k: Array, K: Array, promise: tuple[float, float], cost: float
    ) -> tuple[bool, Array, Array, float]:
        """The longest step that keeps a share of its promise: (whether there is one, states, controls, cost)."""
        for halving in range(self.settings.line_search):
            alpha = 0.5**halving
            tried_states, tried = states.copy(), controls.copy()
            for t in range(len(controls)):
                if not np.isfinite(tried_states[t]).all():
                    tried_states[t + 1 :] = np.nan
                    break
                change = alpha * k[t] + K[t] @ self._difference(tried_states[t], states[t])
                tried[t] = np.clip(controls[t] + change, self._lower, self._upper)
                tried_states[t + 1] = self._step(tried_states[t], tried[t])
            tried_cost = self._total(tried_states, tried)
            promised = alpha * promise[0] + alpha**2 * promise[1]
            if tried_cost - cost <= self.settings.sufficient * promised:
                return True, tried_states, tried, tried_cost
        return False, states, controls, cost


def _check(model: mujoco.MjModel, cost: QuadraticCost) -> None:
    if model.nu == 0 or model.na:
        what = "no actuators" if model.nu == 0 else "actuators with activations"
        raise UsageError(f"the model has {what}: iLQR needs controls that act at once")
    nx = 2 * model.nv
    wanted = {"Q": (nx, nx), "Q_end": (nx, nx), "R": (model.nu, model.nu), "qpos": (model.nq,), "qvel": (model.nv,)}
    for name, shape in wanted.items():
        value = np.asarray(getattr(cost, name))
        if value.shape != shape:
            raise UsageError(f"the cost's {name} has the shape {value.shape}; this model needs {shape}")
        if not np.isfinite(value).all():
            raise UsageError(f"the cost's {name} holds what is no number")
    for name in ("Q", "Q_end", "R"):
        value = getattr(cost, name)
        kind = "definite" if name == "R" else "semidefinite"
        least = np.linalg.eigvalsh((value + value.T) / 2)[0]
        if not np.allclose(value, value.T) or least < -1e-12 or (name == "R" and least <= 0):
            raise UsageError(f"the cost's {name} must be symmetric and positive {kind}")
