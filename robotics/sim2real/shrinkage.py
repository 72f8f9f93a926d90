"""Empirical Bayes: what many units measured of themselves, drawn to their mean as far as noise alone explains how they
differ (Efron & Morris 1972), for vectors whose errors depend on each other."""

import numpy as np

Array = np.ndarray

#: Variance of what a unit did not measure, in variances between all measurements: it counts for nothing.
_UNKNOWN = 1e6


def shrunk(fitted: Array, samples: Array, values: Array) -> Array:
    """`values` (J, N, D) of J units, drawn to their mean; NaN where a unit has no `fitted` (J, D).

    The errors of a unit's vector are what its `samples` (J, M, D) spread by. The covariance between units is that of
    `fitted` less the mean of those errors, and a unit's own vector counts by its part of the two: a quantity is moved
    together with others as their errors go together, so that what is well known of them jointly remains.
    """
    known = np.isfinite(fitted)
    both = known[:, :, None] & known[:, None, :]
    pairs = both.sum(axis=0)
    centred = np.where(known, fitted - np.nanmean(fitted, axis=0), 0.0)
    unit = np.sqrt((centred**2).sum(axis=0) / np.maximum(known.sum(axis=0) - 1, 1))
    unit = np.where(unit > 0, unit, 1.0)
    errors = np.where(both, [np.atleast_2d(np.cov(one.T)) for one in samples / unit], 0.0)
    total = (centred / unit).T @ (centred / unit) / np.maximum(pairs - 1, 1)
    between = _nearest_covariance(total - errors.sum(axis=0) / np.maximum(pairs, 1))
    noise = errors + np.where(known, 1e-9, _UNKNOWN)[:, :, None] * np.eye(len(unit))
    own = np.linalg.inv(between + noise)
    scaled = np.where(known[:, None], values / unit, 0.0)
    mean = np.linalg.solve(own.sum(axis=0), np.einsum("jde,jne->dn", own, scaled)).T
    moved = mean + np.einsum("jde,jne->jnd", between @ own, scaled - mean)
    return np.where(known[:, None], moved * unit, np.nan)


def _nearest_covariance(matrix: Array) -> Array:
    """The symmetric `matrix` (D, D) without its negative eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.maximum(values, 0.0)) @ vectors.T
