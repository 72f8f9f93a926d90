"""Least squares by `mujoco.sysid.optimize`, from several starts, over all simulations of a step at once.

What that engine lacks is added around it: absolute values written on a fresh batch each time (its modifiers compound on
a shared specification), search coordinates of one size, several starts (it is a local method), and bounds never started
from (mujoco#3284).
"""

import contextlib
import io
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from mujoco import sysid
from scipy import optimize

from robotics.sim2real.identification.parameters import Parameter
from robotics.sim2real.identification.replay import Replay

Array = np.ndarray
#: What the engine logs of parameters at their bounds is for whoever calls it, and would stand amid a user's progress.
logging.getLogger("absl").addFilter(lambda record: "move_off_bounds" not in record.getMessage())

#: Random starts that are looked at, and how many starts are improved: the nominal one and the best of those.
CANDIDATES, IMPROVED = 24, 3
#: Steps of the optimiser: from each start, on a part of the motion, and then on all of it.
FIRST_ITERATIONS, ITERATIONS = 12, 20
#: Parameters of one family are taken to differ by about an e-fold (a fifth of their range), on the strength of as much
#: evidence as this many seconds of motion hold: it decides where the logs say nothing, and nothing else.
PRIOR_S = 1.0
#: When its weight, given by the errors of the start, has fallen below this part with the errors of the optimum, all is
#: fitted again.
AGAIN = 0.7
#: Where free bodies hit things the error is ragged, and a descent stops at the first rag. From there on a simplex looks
#: for less: its first size, in search coordinates and at most as a part of the range, and how often it may look per
#: parameter.
SIMPLEX, SIMPLEX_PART, LOOKS = 0.2, 0.15, 30
#: Finite differences in search coordinates: 2 % of a positive parameter, 0.4 % of the range of another.
STEP = 0.02
#: A residual whose differences to the two sides differ by more than this jumps.
JUMP = 0.01
#: Of the last descent. Where a joint hits its end, or a torque jumps with its command, coarse differences lead one
#: to where nothing seems to be better, 14 % of a friction and 9 % of a damping off.
FINE_STEP = 0.002
#: Change of the unknowns and of the error, relative, at which a descent ends: the first ones, and the last.
ROUGH, PRECISE = (1e-3, 1e-4), (1e-4, 1e-6)


@dataclass(frozen=True)
class Fit:
    """Values (P,) in SI units, their search coordinates, and the residuals and Jacobian there, per window.

    `initial`, `optimum` and `result` are the engine's, in search coordinates; `starts` has the cost each start came to.
    """

    values: Array
    search: Array
    residuals: list[Array]
    jacobian: list[Array]
    initial: sysid.ParameterDict
    optimum: sysid.ParameterDict
    result: object
    starts: list[float]


def fit(
    replay: Replay,
    parameters: Sequence[Parameter],
    rng: np.random.Generator,
    *,
    few: Replay | None = None,
    candidates: int = CANDIDATES,
    start: Array | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> Fit:
    """The parameters that replay the windows best. With `start` (search coordinates) only from there.

    Starts are compared on the windows `few`, which may be less motion than `replay`'s.
    """
    problem = _Problem(replay, parameters)
    origin, costs = np.array([p.start for p in parameters]), list[float]()
    if start is None:
        start, costs = _explore(few or replay, parameters, origin, candidates, rng, note)
    start = np.clip(start, *problem.inside)
    problem.weigh_prior(start[None])
    note("fitting everything")
    optimum, result = problem.optimize(start, ITERATIONS)
    search = optimum.as_vector()
    if problem.weigh_prior(search[None]) < AGAIN:  # the errors of a poor start gave it too much weight
        optimum, result = problem.optimize(search, ITERATIONS)
        search = optimum.as_vector()
    if replay.windows[0].bodies:
        note("looking around")
        search = _look_around(problem, search)
    else:
        note("polishing")
        optimum, result = problem.optimize(search, ITERATIONS, FINE_STEP, PRECISE)
        search = optimum.as_vector()
    note("intervals")
    residuals, jacobian = problem.linearize(search)
    return Fit(
        problem.values(search)[0], search, residuals, jacobian, problem.dictionary(origin), optimum, result, costs
    )


def _explore(
    replay: Replay,
    parameters: Sequence[Parameter],
    origin: Array,
    candidates: int,
    rng: np.random.Generator,
    note: Callable[[str], None],
) -> tuple[Array, list[float]]:
    """The best of several starts, improved with the parameters that the engine itself simulates, which is faster."""
    native = [i for i, p in enumerate(parameters) if p.family.native]
    if not native:
        return origin, []
    problem = _Problem(replay, [parameters[i] for i in native])
    improved = []
    starts = _starts(problem, origin[native], candidates, rng)
    problem.weigh_prior(np.array(starts))
    for number, point in enumerate(starts, 1):
        note(f"start {number} of {len(starts)}")
        improved.append(problem.optimize(point, FIRST_ITERATIONS)[0].as_vector())
    costs = problem.costs(np.array(improved))
    found = origin.copy()
    found[native] = improved[int(costs.argmin())]
    return found, costs.tolist()


def _look_around(problem: "_Problem", search: Array) -> Array:
    """The best that a simplex (Nelder and Mead) finds around `search`: it needs no derivative, and steps over rags."""
    low, high = problem.inside
    sides = np.minimum(SIMPLEX, SIMPLEX_PART * (problem.high - problem.low))
    corners = np.clip(np.vstack([search, search + np.diag(sides)]), low, high)
    found = optimize.minimize(
        lambda point: float(problem.costs(point[None])[0]),
        search,
        method="Nelder-Mead",
        bounds=list(zip(low, high, strict=True)),
        options={"initial_simplex": corners, "maxfev": LOOKS * len(search)},
    )
    return np.asarray(found.x)


class _Problem:
    def __init__(self, replay: Replay, parameters: Sequence[Parameter]) -> None:
        self.replay, self.parameters = replay, list(parameters)
        self.low = np.array([float(p.to_search(p.low)) for p in parameters])
        self.high = np.array([float(p.to_search(p.high)) for p in parameters])
        margin = 0.01 * (self.high - self.low)
        self.inside = (self.low + margin, self.high - margin)
        self._origin = np.array([p.start for p in parameters])
        self._member = np.array([[p.family.name == q.family.name for q in parameters] for p in parameters], float)
        self._prior = 0.0

    def weigh_prior(self, search: Array) -> float:
        """Make the prior worth `PRIOR_S` seconds of motion with the errors of the best of `search` (S, P).

        Returns how much heavier it became.
        """
        samples, before = PRIOR_S / self.replay.windows[0].period_s, self._prior
        self._prior = float(np.sqrt(self.costs(search).min() * samples))
        return self._prior / before if before else np.inf

    def _unlike(self, search: Array) -> Array:
        """(S, P) how far each parameter's deviation from nominal is from the mean of its family."""
        moved = search - self._origin
        return moved - moved @ self._member / self._member.sum(axis=0)

    def dictionary(self, start: Array) -> sysid.ParameterDict:
        """The parameters in search coordinates, as the engine takes them."""
        found = sysid.ParameterDict()
        for parameter, z, low, high in zip(self.parameters, start, self.low, self.high, strict=True):
            found.add(sysid.Parameter(parameter.name, float(z), float(low), float(high)))
        return found

    def values(self, search: Array) -> Array:
        """(S, P) in SI units."""
        columns = np.atleast_2d(search).T
        return np.stack([p.from_search(z) for p, z in zip(self.parameters, columns, strict=True)], axis=-1)

    def residual_fn(self, x: Array, params: sysid.ParameterDict) -> tuple[list[Array], list, list]:
        """As `mujoco.sysid` calls it: x (P,) or (P, S); residuals per window (R,) or (R, S), and of the prior."""
        search = x.T if x.ndim > 1 else x[None]
        residuals = [r.T for r in self.replay.residuals(self.parameters, self.values(search))]
        residuals.append(self._prior * self._unlike(search).T)
        return [r if x.ndim > 1 else r[:, 0] for r in residuals], [], []

    def optimize(
        self, start: Array, iterations: int, step: float = STEP, ends: tuple[float, float] = ROUGH
    ) -> tuple[sysid.ParameterDict, object]:
        with contextlib.redirect_stdout(io.StringIO()):  # this backend prints, whatever it is told
            return sysid.optimize(
                self.dictionary(start),
                self.residual_fn,
                optimizer="scipy_parallel_fd",  # few single evaluations, and all differences of a step as one batch
                max_iters=iterations,
                diff_step=step,
                xtol=ends[0],
                ftol=ends[1],
                verbose=False,
            )

    def costs(self, search: Array) -> Array:
        """Mean squared residual (S,)."""
        residuals = self.replay.residuals(self.parameters, self.values(search))
        return np.concatenate([r**2 for r in residuals], axis=1).mean(axis=1)

    def linearize(self, search: Array) -> tuple[list[Array], list[Array]]:
        """Residuals (R,) and central-difference Jacobian (R, P) per window.

        Where a residual jumps on one side, such as that of a torque when the command comes just before the sample
        instead of just after it, the other side alone says what a small change does.
        """
        steps = STEP * np.eye(len(search))
        residuals = self.replay.residuals(
            self.parameters, self.values(np.vstack([search, search + steps, search - steps]))
        )
        count, jacobian = len(search), []
        for r in residuals:
            ahead, behind = r[1 : 1 + count] - r[0], r[0] - r[1 + count :]
            smaller = np.where(np.abs(ahead) < np.abs(behind), ahead, behind)
            change = np.where(np.abs(ahead - behind) > JUMP, smaller, (ahead + behind) / 2)
            jacobian.append(change.T / STEP)
        return [r[0] for r in residuals], jacobian


def _starts(problem: _Problem, origin: Array, candidates: int, rng: np.random.Generator) -> list[Array]:
    """The nominal point and the best of many random ones."""
    if not candidates:
        return [origin]
    low, high = problem.inside
    # One draw per family scales all its joints alike: servos of one robot are of one kind
    families = sorted({p.family.name for p in problem.parameters})
    member = np.array([families.index(p.family.name) for p in problem.parameters])
    common, own = rng.random((candidates, len(families)))[:, member], rng.random((candidates, len(low)))
    drawn = low + (high - low) * (0.8 * common + 0.2 * own)
    order = np.argsort(problem.costs(drawn))
    return [origin, *drawn[order[: IMPROVED - 1]]]
