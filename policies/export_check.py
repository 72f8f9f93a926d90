"""Whether an exported policy does what the policy does, and how fast."""

import time
from collections.abc import Mapping

import numpy as np

from robotics.policies.export import PolicyFunction, Runner

#: Largest difference of an action that counts as equal, in the units of `largest_difference`.
PARITY = 1e-4


def largest_difference(function: PolicyFunction, exported: Runner, draws: int = 20, seed: int = 0) -> float:
    """max |exported − original| over all actions for `draws` random inputs; infinite for NaN.

    In the action's unit, or in its spread in the data where that is more: networks compute in float32 and in spreads,
    and one of 150 pixels makes 2e-4 of their rounding.
    """
    rng = np.random.default_rng(seed)
    unit, worst = np.maximum(1.0, function.spread()), 0.0
    for _ in range(draws):
        values = function.draw(rng)
        difference = (np.abs(exported(values) - function.run(values)) / unit).max()
        worst = max(worst, float(difference) if np.isfinite(difference) else np.inf)
    return worst


def latencies(runner: Runner, values: Mapping[str, np.ndarray], repeat: int) -> dict[str, float]:
    """Time of one call [ms]: median and 99th percentile of `repeat` calls, after a tenth as many to warm up."""
    for _ in range(max(3, repeat // 10)):
        runner(values)
    times = []
    for _ in range(repeat):
        started = time.perf_counter()
        runner(values)
        times.append((time.perf_counter() - started) * 1e3)
    return {"p50": round(float(np.percentile(times, 50)), 4), "p99": round(float(np.percentile(times, 99)), 4)}
