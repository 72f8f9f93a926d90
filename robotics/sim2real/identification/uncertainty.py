"""How sure fitted parameters are: a bootstrap over blocks of motion, and which of them the logs can not tell at all."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri, stdtrit

from robotics.sim2real.identification.fit import Fit
from robotics.sim2real.identification.parameters import Parameter

Array = np.ndarray

RESAMPLES = 1000
#: So many of them are kept whole: what one parameter may be depends on what the others are.
SAMPLES = 100
NO_EFFECT, AT_BOUND = "has no effect on these logs", "stopped at its bound"
#: So near to a bound, as a part of the range, is at it: a descent begins up to 1 % inside, and may end where it began.
EDGE = 0.011
#: Fewer motions than this are cut into pieces, which then are what is drawn again.
FEWEST_BLOCKS = 12
#: A direction whose curvature is this small a part of the largest can not be told: a change along it moves nothing.
FLAT = 1e-5
#: Part of a flat direction from which on a parameter belongs to it.
SHARE = 0.2
#: Half the interval may be this much of a positive parameter (logarithm), or of the range of another.
WIDEST_LOG, WIDEST_RANGE = 0.7, 0.25


@dataclass(frozen=True)
class Certainty:
    """Of one parameter: its 95 % interval [SI], why it can not be identified, or None, and what it is in resamples.

    Row i of `samples` (SAMPLES,) [SI] belongs to row i of every other parameter.
    """

    interval: tuple[float, float]
    reason: str | None
    samples: Array


def certainty(fit: Fit, parameters: Sequence[Parameter], rng: np.random.Generator) -> list[Certainty]:
    """Intervals by one Gauss-Newton step on resampled blocks: what belongs to one motion stays together."""
    normal, gradient = _blocks(fit)
    count = len(normal)
    total = normal.sum(axis=0)
    scale = np.sqrt(np.maximum(np.diag(total), 1e-30))
    reasons = _flat(total, scale, parameters)
    # Several motions are one sample of what the robot does; residuals within a block are not independent
    draws = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    ridge = 1e-9 * np.diag(scale**2 + scale.max() ** 2 * 1e-9)
    moved = np.stack(
        [
            -np.linalg.solve(np.tensordot(w, normal, 1) + ridge, np.tensordot(w, gradient, 1))
            for w in draws.astype(float)
        ]
    )
    onward = moved.mean(axis=0)
    moved = (moved - onward) * _widened(count)
    low, high = np.quantile(moved, [0.025, 0.975], axis=0)
    # Where a descent was stopped, by a jump of the error or by its tolerance, the way it had left is unsure too
    low, high = low + np.minimum(onward, 0.0), high + np.maximum(onward, 0.0)
    kept = fit.search + moved[:SAMPLES] + np.linspace(0.0, 1.0, SAMPLES)[:, None] * onward
    found = []
    for i, parameter in enumerate(parameters):
        edges = (float(parameter.to_search(parameter.low)), float(parameter.to_search(parameter.high)))
        ends = parameter.from_search(np.clip([fit.search[i] + low[i], fit.search[i] + high[i]], *edges))
        samples = parameter.from_search(np.clip(kept[:, i], *edges))
        # At a bound an interval is wide because the search ended there, and not for want of motion
        stopped = None if reasons[i] == NO_EFFECT else at_bound(parameter, fit.search[i])
        reason = stopped or reasons[i] or _wide(parameter, high[i] - low[i])
        if reason == NO_EFFECT:
            ends, samples = np.array([parameter.low, parameter.high]), np.full(SAMPLES, parameter.nominal)
        found.append(Certainty((float(ends[0]), float(ends[1])), reason, samples))
    return found


def _widened(count: int) -> float:
    """What percentiles of a bootstrap over few blocks are too narrow by: it divides by n where a variance needs n - 1,
    and takes a variance that was estimated for one that is known (Hesterberg, Am. Stat. 69, 2015, section 4.1)."""
    freedom = max(count - 1, 1)
    return float(np.sqrt(count / freedom) * stdtrit(freedom, 0.975) / ndtri(0.975))


def keep_nominal(fit: Fit, parameters: Sequence[Parameter], sure: Sequence[Certainty]) -> Fit:
    """The fit with the nominal value where the logs show no effect of a parameter at all."""
    values = [p.nominal if c.reason == NO_EFFECT else v for p, v, c in zip(parameters, fit.values, sure, strict=True)]
    return replace(fit, values=np.array(values))


def _blocks(fit: Fit) -> tuple[Array, Array]:
    """Normal matrices (B, P, P) and gradients (B, P) of the blocks that are drawn again."""
    pieces = max(1, -(-FEWEST_BLOCKS // len(fit.residuals)))
    normal, gradient = [], []
    for residuals, jacobian in zip(fit.residuals, fit.jacobian, strict=True):
        for r, j in zip(np.array_split(residuals, pieces), np.array_split(jacobian, pieces), strict=True):
            normal.append(j.T @ j)
            gradient.append(j.T @ r)
    return np.array(normal), np.array(gradient)


def _flat(total: Array, scale: Array, parameters: Sequence[Parameter]) -> list[str | None]:
    """For each parameter, why its direction is flat: no effect at all, or one that others undo."""
    reasons: list[str | None] = [None] * len(parameters)
    largest = scale.max() if len(scale) else 0.0
    for i, s in enumerate(scale):
        if s < 1e-6 * largest or s < 1e-9:
            reasons[i] = NO_EFFECT
    alive = [i for i, reason in enumerate(reasons) if reason is None]
    if alive:
        scaled = total[np.ix_(alive, alive)] / np.outer(scale[alive], scale[alive])
        curvature, directions = np.linalg.eigh(scaled)
        for flat in directions[:, curvature < FLAT * curvature[-1]].T:
            members = [alive[i] for i in np.flatnonzero(np.abs(flat) > SHARE)]
            names = [parameters[i].name for i in members]
            for i in members:
                others = ", ".join(name for name in names if name != parameters[i].name) or "nothing else"
                reasons[i] = f"compensated by {others}"
    return reasons


def _wide(parameter: Parameter, width: float) -> str | None:
    widest = WIDEST_LOG if parameter.family.logarithmic else WIDEST_RANGE * 5  # the range is five coordinates
    return "too weakly excited: its interval is too wide to be used" if width / 2 > widest else None


def at_bound(parameter: Parameter, z: float) -> str | None:
    """Why a parameter can not be believed to be where the search ended, at its bound; None elsewhere."""
    low, high = float(parameter.to_search(parameter.low)), float(parameter.to_search(parameter.high))
    if parameter.low == 0.0 and z < low + 0.02 * (high - low):
        return None  # none of it: an answer, not a failure
    if not low + EDGE * (high - low) < z < high - EDGE * (high - low):
        return f"{AT_BOUND} {parameter.low if z < (low + high) / 2 else parameter.high:.4g}"
    return None
