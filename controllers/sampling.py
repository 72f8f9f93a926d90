r"""Sampling model-predictive control of any MuJoCo model: try many futures, keep what was good.

Controls are splines: the variables are values :math:`\theta \in R^{K \times n_u}` at K knots over the horizon, and
:math:`u_t = \sum_k W_{tk} \theta_k` at its T steps. Around the plan :math:`\bar\theta`, futures
:math:`\theta_i = \mathrm{clip}(\bar\theta + \sigma \epsilon_i)`, :math:`\epsilon_i \sim N(0, I)`, are simulated and
cost :math:`J_i = \tfrac1T \sum_t c(x_{i,t}, u_{i,t})`. The next plan is

* `predictive`: the best of them, :math:`\theta_{\arg\min J}` (Howell et al. 2022, "Predictive Sampling");
* `mppi`: :math:`\sum_i w_i \theta_i`, :math:`w_i \propto e^{-(J_i - \min J) / \lambda}` (Williams et al. 2017);
* `cem`: the mean of the E best, whose standard deviation, not below a floor, is the next :math:`\sigma`
  (Rubinstein and Kroese 2004).

The plan itself is always among the futures, unchanged, so that `predictive` never gets worse. The knots stay where they
are in time while time passes, and the first is dropped when it is over: interpolated anew at every tick, a plan would
be smoothed away. A future that diverges, or whose cost is no number, costs infinity.

MuJoCo's own `mujoco.batch` simulates, on native threads; results do not depend on how many.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import mujoco
import numpy as np
from mujoco.batch import Batch, SimulationError

from robotics.controllers.qp.guard import Faults
from robotics.errors import UsageError, unknown_name

Array = np.ndarray
Method = Literal["predictive", "mppi", "cem"]
Spline = Literal["hold", "linear", "cubic"]

#: What a cost function sees: "qpos", "qvel", "sensordata", "ctrl" -> (samples, T, ·), after each step.
Futures = Mapping[str, Array]
Cost = Callable[[Futures], Array]
#: Knots (m, K, nu) worth a try besides noise, for a state qpos (nq,), the times of the knots from now (K,) [s] (the
#: first is not after now), and a generator.
Proposals = Callable[[Array, Array, np.random.Generator], Array]


@dataclass(frozen=True)
class SamplingSettings:
    """How far to look, how many futures, and how they are mixed."""

    method: Method = "predictive"
    samples: int = 60
    steps: int = 35  # T, of the model's time step
    knots: int = 4  # K
    spline: Spline = "cubic"
    noise: float = 0.1  # sigma, in halves of each control's range
    temperature: float = 0.05  # lambda of mppi, in units of the spread of the costs
    elites: int = 8  # E of cem
    least_noise: float = 0.02  # the floor of cem's sigma
    iterations: int = 1  # per plan
    threads: int = 2

    def __post_init__(self) -> None:
        for name, value, kinds in (
            ("method", self.method, get_args(Method)),
            ("spline", self.spline, get_args(Spline)),
        ):
            if value not in kinds:
                raise unknown_name(f"{name} of sampling", value, kinds)
        for name in ("samples", "steps", "knots", "elites", "iterations", "threads"):
            if getattr(self, name) < 1:
                raise UsageError(f"sampling with {name} {getattr(self, name)}: give at least 1")
        for name in ("noise", "temperature", "least_noise"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise UsageError(f"sampling with {name} {getattr(self, name)}: give a positive number")
        if self.knots < 2 and self.spline != "hold":
            raise UsageError(f"a {self.spline} spline of {self.knots} knot: give at least 2, or the spline 'hold'")
        if self.method == "cem" and self.elites > self.samples:
            raise UsageError(f"{self.elites} elites of {self.samples} samples: give fewer elites or more samples")


class SamplingMPC:
    """Plans controls for its own nominal `model`; the same seed and states give the same plans.

    `cost` maps futures to costs (samples, T), or to (samples,). Raises UsageError for a model without actuators or with
    a control that has no range, and for a cost of another shape.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        cost: Cost,
        settings: SamplingSettings | None = None,
        seed: int = 0,
        proposals: Proposals | None = None,
    ) -> None:
        self.model, self.cost, self.proposals = model, cost, proposals
        self.settings = s = settings or SamplingSettings()
        self._lower, self._upper = _control_ranges(model)
        self._batch = Batch(model, nsim=s.samples, nthread=s.threads)
        self._start = mujoco.MjData(model)
        self._spacing = (s.steps - 1) / max(s.knots - 1, 1)  # of the knots, in steps
        self.faults = Faults()
        self.best_cost = np.inf
        self.reset(seed)

    def reset(self, seed: int = 0, control: Array | None = None) -> None:
        """Forget the plan: hold `control` (nu,), by default zero or what of the range is nearest to it."""
        held = np.clip(np.zeros(self.model.nu) if control is None else control, self._lower, self._upper)
        self.plan_knots = np.tile(held, (self.settings.knots, 1))
        self._sigma = np.full_like(self.plan_knots, self.settings.noise)
        self._rng = np.random.default_rng(seed)
        self._phase = 0.0  # time since the first knot, in knots

    def plan(self, qpos: Array, qvel: Array, elapsed_s: float = 0.0) -> Array:
        """Improve the plan from this state and return the control (nu,) for now, always within its range.

        `elapsed_s` is the time since the last plan. A state that is no number, and a set of futures none of which is
        usable, leave the plan as it is and are counted in `faults`.
        """
        self._move_on(elapsed_s)
        if not (np.isfinite(qpos).all() and np.isfinite(qvel).all()):
            self.faults.nan += 1
            self.faults.fallback_ticks += 1
            return self.control()
        for _ in range(self.settings.iterations):
            knots = self._candidates(qpos)
            costs = self._costs(self.simulate(qpos, qvel, knots))
            if not np.isfinite(costs).any():
                self.faults.fallback_ticks += 1
                return self.control()
            self.best_cost = float(costs.min())
            self._update(knots, costs)
        return self.control()

    def control(self, ahead_s: float = 0.0) -> Array:
        """What the plan does `ahead_s` from now (nu,)."""
        weights = self._weights(np.array([ahead_s / self.model.opt.timestep]))
        return np.clip(weights[0] @ self.plan_knots, self._lower, self._upper)

    def _weights(self, steps: Array) -> Array:
        """The spline at `steps` (m,) of the model from now, as weights of its knots (m, K); held after the last."""
        s = self.settings
        return spline_weights(s.spline, s.knots, self._phase + steps / max(self._spacing, 1e-9))

    def simulate(self, qpos: Array, qvel: Array, knots: Array) -> Futures:
        """What happens under knots (samples, K, nu), from one state."""
        s, data, batch = self.settings, self._start, self._batch
        mujoco.mj_resetData(self.model, data)
        data.qpos[:], data.qvel[:] = qpos, qvel
        mujoco.mj_getState(self.model, data, batch.state[0], mujoco.mjtState.mjSTATE_INTEGRATION)
        batch.state[1:] = batch.state[0]
        batch.warning[:] = 0
        ctrl = np.clip(np.matmul(self._weights(np.arange(s.steps)), knots), self._lower, self._upper)
        self._failed = np.zeros(s.samples, bool)
        futures = {
            name: np.zeros((s.samples, s.steps, width))
            for name, width in (
                ("qpos", self.model.nq),
                ("qvel", self.model.nv),
                ("sensordata", self.model.nsensordata),
            )
        }
        try:
            batch.rollout(s.steps, ctrl, record=tuple(futures), out=futures)
        except SimulationError as error:
            self._failed[error.ids] = True
        self._failed |= batch.warning[..., 1].any(axis=1)  # the batch stops such a future where it is
        return {**futures, "ctrl": ctrl}

    def _costs(self, futures: Futures) -> Array:
        """Mean costs (samples,); infinite where a future is of no use."""
        with np.errstate(all="ignore"):
            costs = np.asarray(self.cost(futures), float)
        if costs.shape not in ((self.settings.samples,), (self.settings.samples, self.settings.steps)):
            raise UsageError(
                f"the cost has the shape {costs.shape}: give one number per future and step, "
                f"({self.settings.samples}, {self.settings.steps}), or one per future"
            )
        costs = costs.mean(axis=1) if costs.ndim == 2 else costs.copy()
        costs[self._failed | ~np.isfinite(costs)] = np.inf
        return costs

    def _candidates(self, qpos: Array) -> Array:
        """The plan itself, proposals, and the plan with noise: (samples, K, nu) within the ranges."""
        half = (self._upper - self._lower) / 2
        noise = self._rng.normal(size=(self.settings.samples, *self.plan_knots.shape))
        knots = self.plan_knots + self._sigma * half * noise
        knots[0] = self.plan_knots
        if self.proposals is not None:
            proposed = self.proposals(qpos, self._knot_times(), self._rng)[: self.settings.samples - 1]
            knots[1 : 1 + len(proposed)] = proposed
        return np.clip(knots, self._lower, self._upper)

    def _update(self, knots: Array, costs: Array) -> None:
        s = self.settings
        if s.method == "predictive":
            self.plan_knots = knots[int(np.argmin(costs))].copy()
        elif s.method == "mppi":
            finite = costs[np.isfinite(costs)]
            scale = s.temperature * max(float(np.ptp(finite)), 1e-12)
            weights = np.exp(-(costs - finite.min()) / scale)
            self.plan_knots = np.tensordot(weights / weights.sum(), knots, axes=1)
        else:
            best = np.argsort(costs, kind="stable")[: s.elites]
            best = best[np.isfinite(costs[best])]
            self.plan_knots = knots[best].mean(axis=0)
            half = (self._upper - self._lower) / 2
            self._sigma = np.clip(knots[best].std(axis=0) / half, s.least_noise, s.noise)

    def _knot_times(self) -> Array:
        return (np.arange(self.settings.knots) - self._phase) * self._spacing * self.model.opt.timestep

    def _move_on(self, elapsed_s: float) -> None:
        """Drop the knots that are over, hold the last in their place; cem's doubts are renewed."""
        self._phase += elapsed_s / self.model.opt.timestep / max(self._spacing, 1e-9)
        over = min(int(self._phase + 1e-9), self.settings.knots)
        self._phase = max(0.0, self._phase - int(self._phase + 1e-9))
        last = self.plan_knots[-1:]
        self.plan_knots = np.concatenate([self.plan_knots[over:], np.repeat(last, over, axis=0)])
        self._sigma = np.full_like(self.plan_knots, self.settings.noise)


def spline_weights(kind: Spline, knots: int, places: Array) -> Array:
    """W (m, K): the spline's value at `places` (m,), counted in knots, from the values at its knots.

    `cubic` is a Hermite spline with the slopes of central differences (Catmull-Rom), one-sided at the ends.
    """
    places = np.clip(places, 0, knots - 1)
    before = np.minimum(places.astype(int), max(knots - 2, 0))
    part = (places - before)[:, None]
    eye = np.eye(knots)
    if kind == "hold" or knots == 1:
        return eye[np.floor(places + 1e-9).astype(int)]
    after = before + 1
    if kind == "linear":
        return (1 - part) * eye[before] + part * eye[after]
    slope = np.gradient(eye, axis=0)
    square, cube = part**2, part**3
    return (
        (2 * cube - 3 * square + 1) * eye[before]
        + (cube - 2 * square + part) * slope[before]
        + (3 * square - 2 * cube) * eye[after]
        + (cube - square) * slope[after]
    )


def _control_ranges(model: mujoco.MjModel) -> tuple[Array, Array]:
    if model.nu == 0:
        raise UsageError("the model has no actuators: sampling needs controls to vary")
    if model.na:
        raise UsageError("the model has actuators with a state of their own, which futures would begin without")
    for number in range(model.nu):
        if not model.actuator_ctrllimited[number]:
            raise UsageError(
                f"actuator '{model.actuator(number).name or number}' has no control range: "
                "set ctrlrange, which scales the noise"
            )
    return model.actuator_ctrlrange[:, 0].copy(), model.actuator_ctrlrange[:, 1].copy()


def coarse_model(spec: mujoco.MjSpec, timestep: float = 0.01) -> mujoco.MjModel:
    """`spec` compiled for planning, two to three times faster to step: `spec` itself stays as it is.

    Without what a plan of half a second can do without: dry friction of joints, torsion and rolling of contacts, hard
    friction (impratio), and accelerations to more than four digits.
    """
    coarse = spec.copy()
    coarse.option.timestep = timestep
    coarse.option.tolerance = 1e-4
    coarse.option.impratio = 1.0
    for joint in coarse.joints:
        joint.frictionloss = 0.0
    for geom in coarse.geoms:
        geom.condim = min(geom.condim, 3)
    return coarse.compile()
