r"""Linear time-varying model-predictive control of a car, in six steps.

With the nominal motion :math:`\bar z_k, \bar u_k` (the last plan, moved on by the time that has passed), the problem

.. math::
   \min_{u, s}\; \sum_{k=1}^{N} \lVert T_k (z_k - z_k^{ref}) \rVert^2_{Q_k}
        + \sum_{k=0}^{N-1} \lVert u_k \rVert^2_R + \lVert u_k - u_{k-1} \rVert^2_S
        + w_s \sum_{k=1}^{N} s_k^2

subject to the linearised model, :math:`u_{min} \le u_k \le u_{max}`, :math:`|\delta_k| \le \delta_{max}` and the
softened circle of friction, as a polygon of M sides with its corners on the axes,

.. math:: \cos\theta_i\, p\, a_{k-1} + \sin\theta_i\, a_y(z_k) \le \mu g \cos\tfrac{\pi}{M} + s_k ,

is solved once per tick (the real-time iteration of Diehl et al. 2005); p makes it an ellipse for a car that one axle
pulls, see `robotics.controllers.car.chassis`. :math:`T_k` turns position errors into the frame of the course: along and
across. A slack [m/s^2] is its row's multiplier over :math:`2 w_s`: a few hundredths while the circle can be kept, and
whatever is needed while it can not. It needs no bound below, as no negative slack pays; so none is active while the
circle is not, which spares a dual active-set solver an iteration per step.

1. `reference_ahead`: where the course wants the car to be at each step of the horizon.
2. `linearise`: the model about the nominal motion.
3. `discretise`: exact for inputs held over a step.
4. `predict`: states eliminated, :math:`z = z^{free} + \Phi u`.
5. `build_problem`: the quadratic program over (u, s).
6. `CarMPC.plan`: solve, hand out the first input, keep the plan for the next tick.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from robotics.controllers.car.course import Stretch
from robotics.controllers.car.model import HEADING, SPEED, STEER, KinematicBicycle, SingleTrack
from robotics.controllers.car.scale import Scale
from robotics.controllers.qp import QP, GuardedSolver
from robotics.errors import UsageError

Array = np.ndarray

#: The series of exp(-z) to the fifth power of z is below 1 until here.
SERIES = 3.2


@dataclass(frozen=True)
class CarMPCSettings:
    """Horizon and weights."""

    horizon: int = 20  # N
    step_s: float = 0.1
    along_weight: float = 0.3  # position along the course [1/m^2]
    across_weight: float = 4.0  # and across it
    heading_weight: float = 4.0  # [1/rad^2]
    speed_weight: float = 1.0  # [s^2/m^2]
    steer_weight: float = 0.5  # from the steering angle of the course [1/rad^2]
    terminal_factor: float = 3.0  # of the last step
    input_weight: tuple[float, float] = (0.05, 0.3)  # on acceleration and steering rate
    smoothness_weight: tuple[float, float] = (0.2, 1.0)  # on their changes
    sides: int = 8  # M
    slack_weight: float = 100.0  # w_s [s^4/m^2]

    def __post_init__(self) -> None:
        if self.horizon < 2 or self.step_s <= 0:
            raise UsageError(f"a horizon of {self.horizon} steps of {self.step_s} s: give at least 2 steps > 0 s")
        if self.sides < 4 or self.sides % 4:
            raise UsageError(f"a circle of friction of {self.sides} sides: give a multiple of 4")

    def scaled(self, scale: Scale) -> "CarMPCSettings":
        """The same costs of the same motion, driven by a car of another size."""
        metre, pull, rate = scale.length**2, scale.acceleration**2, scale.time**-2  # squares of what the errors become
        return replace(
            self,
            step_s=self.step_s * scale.time,
            along_weight=self.along_weight / metre,
            across_weight=self.across_weight / metre,
            speed_weight=self.speed_weight / scale.speed**2,
            input_weight=(self.input_weight[0] / pull, self.input_weight[1] / rate),
            smoothness_weight=(self.smoothness_weight[0] / pull, self.smoothness_weight[1] / rate),
            slack_weight=self.slack_weight / pull,
        )


@dataclass(frozen=True)
class Motion:
    """States (N + 1, n) and the inputs (N, 2) between them, `step_s` apart."""

    states: Array
    inputs: Array
    step_s: float
    slack: float = 0.0  # largest violation of the circle of friction [m/s^2]

    def after(self, seconds: float) -> "Motion":
        """The same motion seen from `seconds` later; its end is held."""
        steps = min(seconds / self.step_s, len(self.inputs) - 1.0)
        whole, part = int(steps), steps - int(steps)
        at = np.minimum(np.arange(len(self.states)) + whole, len(self.states) - 1)
        after = np.minimum(at + 1, len(self.states) - 1)
        states = (1 - part) * self.states[at] + part * self.states[after]
        inputs = self.inputs[np.minimum(np.arange(len(self.inputs)) + whole, len(self.inputs) - 1)]
        return Motion(states, inputs, self.step_s, self.slack)


def reference_ahead(stretch: Stretch, way: float, times: Array, wheelbase: float) -> Array:
    """Step 1: reference states (k, 5) that the speed profile reaches from `way` [m] after `times` (k,) [s]."""
    position, heading, curvature, velocity = stretch.at(stretch.ahead(way, times))
    return np.column_stack([position, heading, velocity, np.arctan(wheelbase * curvature)])


def linearise(model: SingleTrack, nominal: Motion) -> tuple[Array, Array]:
    """Step 2: A (N, n, n) and B (N, n, 2) of dz/dt about the nominal motion."""
    return model.jacobians(nominal.states[:-1], nominal.inputs)


def discretise(model: SingleTrack, nominal: Motion, A: Array, B: Array) -> tuple[Array, Array, Array]:
    r"""Step 3: :math:`\delta z_{k+1} = A^d_k \delta z_k + B^d_k \delta u_k + d_k`, for inputs held over a step.

    With :math:`\varphi = \tfrac1h \int_0^h e^{A \tau} d\tau`, by its series to the fourth power of A h, they are
    :math:`A^d = I + h A \varphi`, :math:`B^d = h \varphi B`, and the defect of a nominal motion that need not be one of
    the model, :math:`d_k = \bar z_k + h \varphi f(\bar z_k, \bar u_k) - \bar z_{k+1}`: an exponential Rosenbrock step,
    of second order (Hochbruck and Ostermann 2010, eq. 2.52). Where tyres are so stiff that the series would not decay
    with them, it is that of a part of the step, doubled by :math:`\varphi(2 z) = \varphi(z) (1 + e^z) / 2`.
    """
    h, eye = nominal.step_s, np.eye(A.shape[-1])
    stiffest = h * float(model.stiffness(nominal.states[:-1]).max())
    doublings = int(np.ceil(np.log2(max(stiffest / SERIES, 1.0))))
    part = h / 2**doublings
    phi = eye + A * (part / 5)
    for order in (4, 3, 2):
        phi = eye + (part / order) * (A @ phi)
    for _ in range(doublings):
        phi, part = phi @ (2 * eye + part * (A @ phi)) / 2, 2 * part
    f = model.derivative(nominal.states[:-1], nominal.inputs)
    step = h * (phi @ f[..., None])[..., 0]
    return eye + h * (A @ phi), h * (phi @ B), nominal.states[:-1] + step - nominal.states[1:]


def predict(nominal: Motion, start: Array, Ad: Array, Bd: Array, defect: Array) -> tuple[Array, Array]:
    """Step 4: the states z = free (N, n) + Phi (N, n, 2 N) u of all inputs u (2 N,), from the state `start` (n,)."""
    N, n, _ = Ad.shape
    both = np.zeros((N, n, 2 * N + 1))  # Phi, and what happens without a change of input
    both[0, :, -1] = Ad[0] @ (start - nominal.states[0])
    for k in range(N):
        if k:
            np.matmul(Ad[k], both[k - 1], out=both[k])
        both[k, :, 2 * k : 2 * k + 2] = Bd[k]
        both[k, :, -1] += defect[k]
    Phi = both[:, :, :-1]
    return nominal.states[1:] + both[:, :, -1] - Phi @ nominal.inputs.ravel(), Phi


def build_problem(
    model: SingleTrack,
    settings: CarMPCSettings,
    nominal: Motion,
    reference: Array,
    free: Array,
    Phi: Array,
    last: Array,
) -> QP:
    """Step 5: the problem over x = (u (2 N), s (N)), for the input `last` (2,) that acts now."""
    s, N = settings, settings.horizon
    W = _error_weights(s, reference)
    error = free[:, :5] - reference
    weighted = (W @ Phi[:, :5]).reshape(5 * N, 2 * N)
    P, q = np.zeros((3 * N, 3 * N)), np.zeros(3 * N)
    cost, pull = _input_cost(s)
    P[: 2 * N, : 2 * N] = 2 * (Phi[:, :5].reshape(5 * N, 2 * N).T @ weighted) + cost
    q[: 2 * N] = 2 * (error.ravel() @ weighted)
    q[:2] -= pull * last
    P[range(2 * N, 3 * N), range(2 * N, 3 * N)] = 2 * s.slack_weight
    return QP(P, q, **_constraints(model, s, nominal, free, Phi))


def _error_weights(s: CarMPCSettings, reference: Array) -> Array:
    """T' Q T of every step, (N, 5, 5)."""
    c, sn = np.cos(reference[:, HEADING]), np.sin(reference[:, HEADING])
    W = np.zeros((len(reference), 5, 5))
    along, across = s.along_weight, s.across_weight
    W[:, 0, 0], W[:, 1, 1] = along * c**2 + across * sn**2, along * sn**2 + across * c**2
    W[:, 0, 1] = W[:, 1, 0] = (along - across) * c * sn
    W[:, HEADING, HEADING], W[:, SPEED, SPEED] = s.heading_weight, s.speed_weight
    W[:, STEER, STEER] = s.steer_weight
    W[-1] *= s.terminal_factor
    return W


@lru_cache
def _input_cost(s: CarMPCSettings) -> tuple[Array, Array]:
    """Hessian (2 N, 2 N) of the costs of inputs and of their changes, and what pulls the first to the last input."""
    difference = np.eye(s.horizon) - np.eye(s.horizon, k=-1)
    hessian = np.kron(np.eye(s.horizon), np.diag(s.input_weight))
    hessian += np.kron(difference.T @ difference, np.diag(s.smoothness_weight))
    return 2 * hessian, 2 * np.array(s.smoothness_weight)


def _constraints(model: SingleTrack, s: CarMPCSettings, nominal: Motion, free: Array, Phi: Array) -> dict[str, Array]:
    car, N = model.car, s.horizon
    side, gradient = model.side_acceleration(nominal.states[1:])
    side_free = side + np.einsum("kn,kn->k", gradient, free - nominal.states[1:])
    side_map = (gradient[:, None] @ Phi)[:, 0]  # (N, 2 N)
    template, sines = _circle(s, car.pull)
    G = template.copy()
    G[:N, : 2 * N] = Phi[:, STEER]
    G[N:, : 2 * N] += (sines[:, None, None] * side_map).reshape(-1, 2 * N)
    # a wheel that stands beyond its range already may stay there: a bound that can not be kept has no solution
    most = max(car.max_steer, float(np.abs(free[0, STEER])))
    grip = car.grip * np.cos(np.pi / s.sides)
    backwards = nominal.states[1:, SPEED] < 0
    ahead = np.where(backwards, car.max_braking, car.max_acceleration)
    back = np.where(backwards, car.max_acceleration, car.max_braking)
    rate, none = np.full(N, car.max_steer_rate), np.full(N, np.inf)
    return {
        "G": G,
        "h": np.concatenate([most - free[:, STEER], (grip - sines[:, None] * side_free).ravel()]),
        "g": np.concatenate([-most - free[:, STEER], np.full(s.sides * N, -np.inf)]),
        "lower": np.concatenate([np.column_stack([-back, -rate]).ravel(), -none]),
        "upper": np.concatenate([np.column_stack([ahead, rate]).ravel(), none]),
    }


@lru_cache
def _circle(s: CarMPCSettings, pull: float) -> tuple[Array, Array]:
    """What does not change in the rows ((1 + M) N, 3 N): accelerations and slacks; and the sines of the sides (M,)."""
    N, steps = s.horizon, np.arange(s.horizon)
    angles = (np.arange(s.sides) + 0.5) * 2 * np.pi / s.sides
    G = np.zeros((N + s.sides * N, 3 * N))
    circle = G[N:].reshape(s.sides, N, 3 * N)
    circle[:, steps, 2 * steps] = pull * np.cos(angles)[:, None]
    circle[:, steps, 2 * N + steps] = -1.0
    return G, np.sin(angles)


@dataclass
class CarMPC:
    """Plans the next seconds of a car on a stretch of its course. Well under a millisecond a plan."""

    model: SingleTrack = field(default_factory=KinematicBicycle)
    settings: CarMPCSettings = field(default_factory=CarMPCSettings)
    solver: GuardedSolver = field(default_factory=GuardedSolver)
    clock: Callable[[], float] = time.perf_counter

    def __post_init__(self) -> None:
        self._times = self.settings.step_s * np.arange(self.settings.horizon + 1)
        self.timing_ms: dict[str, float] = {}

    def plan(self, start: Array, stretch: Stretch, way: float, last: Array, nominal: Motion | None) -> Motion | None:
        """Step 6: the optimal motion from the state `start` (n,) at the place `way` [m]; None without a solution.

        `last` (2,) is the input that acts now; `nominal` the last plan as seen from now, or None to begin with the
        reference itself. The heading of `start` must be on the same turn as the course's.
        """
        started = self.clock()
        qp, free, Phi = self.problem(start, stretch, way, last, nominal)
        built = self.clock()
        x = self.solver.solve(qp)
        self.timing_ms = {"build": (built - started) * 1e3, "solve": (self.clock() - built) * 1e3}
        if x is None:
            return None
        N = self.settings.horizon
        states = np.concatenate([start[None], free + Phi @ x[: 2 * N]])
        return Motion(states, x[: 2 * N].reshape(N, 2), self.settings.step_s, max(0.0, float(x[2 * N :].max())))

    def problem(
        self, start: Array, stretch: Stretch, way: float, last: Array, nominal: Motion | None
    ) -> tuple[QP, Array, Array]:
        """Steps 1 to 5: the quadratic program, and the prediction free (N, n) + Phi (N, n, 2 N) u that it is about."""
        model, s = self.model, self.settings
        reference = reference_ahead(stretch, way, self._times, model.car.wheelbase)
        if nominal is None:
            nominal = self._along(reference)
        nominal = Motion(np.concatenate([start[None], nominal.states[1:]]), nominal.inputs, nominal.step_s)
        A, B = linearise(model, nominal)
        Ad, Bd, defect = discretise(model, nominal, A, B)
        free, Phi = predict(nominal, start, Ad, Bd, defect)
        return build_problem(model, s, nominal, reference[1:], free, Phi, last), free, Phi

    def _along(self, reference: Array) -> Motion:
        """The reference as a nominal motion: without side slip, turning as the course does."""
        states = np.zeros((len(reference), self.model.states))
        states[:, :5] = reference
        if self.model.states > 5:
            turn = reference[:, SPEED] * np.tan(reference[:, STEER]) / self.model.car.wheelbase
            states[:, 5], states[:, 6] = self.model.car.rear * turn, turn
        return Motion(states, np.zeros((self.settings.horizon, 2)), self.settings.step_s)
