"""Few trials on the target, many in simulation, joined into one estimate that stays unbiased.

The target's trials alone are unbiased but few; the simulation's are many but off. Prediction-powered inference takes
the simulation's mean and corrects it by what the few pairs say it is off by (Angelopoulos et al. 2023, Science
382:669), with the weight that the pairs' correlation deserves (PPI++, Angelopoulos, Duchi and Zrnic 2023, arXiv
2311.01453).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from robotics.evaluation.statistics import Interval


@dataclass(frozen=True)
class Estimate:
    """Mean on the target, from both sources.

    Attributes:
        value: the estimate, in [0, 1].
        interval: of `value`.
        weight: how much the simulation is trusted, 0 … 1. At 0 only the target's trials count.
        correlation: of target and simulation on the same conditions; None where one never varies. Near 0 the simulation
            can not help, and does not.
        target_only: mean of the target's trials alone.
        trials_worth: how many trials on the target alone would be as precise.
    """

    value: float
    interval: Interval
    weight: float
    correlation: float | None
    target_only: float
    trials_worth: float


def prediction_powered(
    target: Sequence[float], sim_paired: Sequence[float], sim_more: Sequence[float], confidence: float = 0.95
) -> Estimate:
    """Mean on the target from n trials there, n in simulation under the same conditions, and N more in simulation.

    `weight` · mean(sim_more) + mean(target − `weight` · sim_paired), results in [0, 1]; `sim_more` holds none of
    `sim_paired`. Variances and the weight come from the pairs with half an imagined pair in each corner of the unit
    square, so that ten successes of ten do not pass for certainty (the idea of Agresti and Coull 1998).
    ValueError for fewer than two pairs, lists that do not fit, or results outside [0, 1].
    """
    y, x, more = (np.asarray(values, dtype=float) for values in (target, sim_paired, sim_more))
    if y.size != x.size or y.size < 2 or more.size < 2:
        raise ValueError(f"{y.size} trials on the target, {x.size} in simulation beside them, {more.size} more")
    if not all(((values >= 0) & (values <= 1)).all() for values in (y, x, more)):
        raise ValueError("results lie in [0, 1]")
    n, moment = y.size, _smoothed_moments(y, x)
    spread_more = float(more.var())
    weight = moment["covariance"] / ((1 + n / more.size) * moment["sim"])
    weight = min(1.0, max(0.0, weight))
    value = float(weight * more.mean() + (y - weight * x).mean())
    residual = moment["target"] - 2 * weight * moment["covariance"] + weight**2 * moment["sim"]
    variance = weight**2 * spread_more / more.size + residual / n
    half = -float(stdtrit(n - 1, (1 - confidence) / 2)) * math.sqrt(variance)
    value = min(1.0, max(0.0, value))
    correlation = float(np.corrcoef(y, x)[0, 1]) if y.std() > 0 and x.std() > 0 else None
    interval = (max(0.0, value - half), min(1.0, value + half))
    return Estimate(value, interval, weight, correlation, float(y.mean()), moment["target"] / variance)


def _smoothed_moments(y: np.ndarray, x: np.ndarray) -> dict[str, float]:
    """Variances and covariance of the pairs and of half a pair in each corner of the unit square."""
    weights = np.concatenate([np.ones(y.size), np.full(4, 0.5)])
    pairs = np.stack([np.append(y, [0, 0, 1, 1]), np.append(x, [0, 1, 0, 1])])
    covariance = np.cov(pairs, aweights=weights, bias=True)
    return {"target": covariance[0, 0], "sim": covariance[1, 1], "covariance": covariance[0, 1]}
