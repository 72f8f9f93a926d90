"""Success over the range of one factor at a time, all on the same seeds, and what such curves say about robustness."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from robotics.evaluation.paired import Pairs, mcnemar_mid_p, newcombe_paired
from robotics.evaluation.statistics import expanded_levels, quantile_interval, wilson
from robotics.sim2real.factors import Factor
from robotics.sim2real.risk import worst_share
from robotics.sim2real.trials import Trials
from robotics.sim2real.world import World

Array = np.ndarray

#: Share of the worst cells whose mean success is the conditional value at risk.
CVAR = 0.1
_STREAM = 0xC1


@dataclass(frozen=True)
class Point:
    """Success (n,) of one value of a factor; severity 0 is the nominal value, ±1 the ends of its range."""

    severity: float
    value: float
    success: Array


@dataclass(frozen=True)
class Curve:
    """Success over one factor, its nominal value among the points, in the order of severity."""

    factor: Factor
    points: tuple[Point, ...]

    @property
    def nominal(self) -> Array:
        return next(point.success for point in self.points if point.severity == 0.0)

    def area(self, rates: Array) -> float:
        """Mean success over severity 0 … 1, both sides alike, over success at 0: 1 is fully robust. NaN for none at 0.

        `rates` belong to the points; trapezoids between them.
        """
        severities = np.array([point.severity for point in self.points])
        base = rates[severities == 0.0][0]
        if base <= 0:
            return float("nan")
        return float(np.trapezoid(rates, severities) / (severities[-1] - severities[0]) / base)

    def halved(self) -> float | None:
        """The smallest severity at which success is half of the nominal, between points; None within the range."""
        found = []
        half = self.nominal.mean() / 2
        for side in (1.0, -1.0):
            way = sorted((p for p in self.points if p.severity * side >= 0), key=lambda p: abs(p.severity))
            for near, far in pairwise(way):
                a, b = near.success.mean(), far.success.mean()
                if a > half >= b:
                    share = (a - half) / (a - b)
                    found.append(abs(near.severity) + share * (abs(far.severity) - abs(near.severity)))
                    break
        return min(found) if found else None


def grid(one: Factor, levels: int) -> list[float]:
    """Severities of a curve besides 0: `levels` up to each end of the range there is."""
    if one.whole:
        levels = min(levels, round(abs(one.range[1] - one.nominal)))
    up = [(level + 1) / levels for level in range(levels)]
    return up if one.one_sided else [-severity for severity in reversed(up)] + up


def curve_of(trials: Trials, one: Factor, seeds: Sequence[int], levels: int) -> Curve:
    """Measure the curve of a factor; the nominal point is the matched arm on the same seeds."""
    severities = sorted([0.0, *grid(one, levels)])
    worlds = [World.of({one.name: one.at(severity)}) for severity in severities]
    outcomes = trials.run([(world, seed) for world in worlds for seed in seeds], f"curve of {one.name}")
    success = np.array([float(outcome.success) for outcome in outcomes]).reshape(len(worlds), len(seeds))
    rows = zip(severities, worlds, success, strict=True)
    return Curve(one, tuple(Point(s, world.as_dict().get(one.name, one.nominal), row) for s, world, row in rows))


def describe_curve(curve: Curve) -> dict[str, Any]:
    """A curve as JSON, with intervals; per point the paired difference to the nominal value.

    The area has no interval where no seed differs from another: that does not tell how sure it is.
    """
    one, nominal = curve.factor, curve.nominal
    rates = np.array([point.success.mean() for point in curve.points])
    area = curve.area(rates)
    table = np.stack([point.success for point in curve.points])
    rng = np.random.default_rng((_STREAM, table.shape[1]))
    counts = rng.multinomial(table.shape[1], np.full(table.shape[1], 1 / table.shape[1]), size=2000)
    areas = np.array([curve.area(row) for row in counts @ table.T / table.shape[1]])
    areas = areas[np.isfinite(areas)]
    known = np.isfinite(area) and len(areas) > 0
    varied = known and np.ptp(areas) > 1e-12
    worst = curve.points[int(np.argmin(rates))]
    return {
        "factor": one.name,
        "group": one.group,
        "unit": one.unit,
        "nominal": one.nominal,
        "range": list(one.range),
        "points": [_point(point, nominal) for point in curve.points],
        "auc": area if known else None,
        "auc_ci95": list(quantile_interval(areas, expanded_levels(table.shape[1]))) if varied else None,
        "severity_halved": curve.halved(),
        "worst": {"severity": worst.severity, "value": worst.value, "rate": float(worst.success.mean())},
    }


def _point(point: Point, nominal: Array) -> dict[str, Any]:
    successes, n = int(point.success.sum()), len(point.success)
    pairs = Pairs.of(nominal.astype(bool).tolist(), point.success.astype(bool).tolist())
    return {
        "severity": point.severity,
        "value": point.value,
        "n": n,
        "successes": successes,
        "rate": successes / n,
        "ci95": list(wilson(successes, n)),
        "drop": float(nominal.mean() - point.success.mean()),
        "drop_ci95": list(newcombe_paired(pairs)),
        "mcnemar_mid_p": mcnemar_mid_p(pairs),
    }


def robustness(curves: Sequence[Curve]) -> dict[str, Any] | None:
    """Worst cell as it was seen, and conditional value at risk (`risk.worst_share`) over all values of all curves; None
    without any."""
    cells = [(curve, point) for curve in curves for point in curve.points if point.severity != 0.0]
    if not cells:
        return None
    rates = np.array([point.success.mean() for _, point in cells])
    curve, point = cells[int(np.argmin(rates))]
    cvar, interval = worst_share(np.stack([point.success for _, point in cells]), CVAR)
    return {
        "cells": len(cells),
        "mean": float(rates.mean()),
        "worst": {"factor": curve.factor.name, "value": point.value, "rate": float(rates.min())},
        "cvar": cvar,
        "cvar_ci95": None if interval is None else list(interval),
        "cvar_share": CVAR,
    }
