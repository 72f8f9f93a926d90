"""Empirical Bayes: units that differ by noise alone become one, and what is well known of each remains."""

import numpy as np
import pytest

from robotics.sim2real.shrinkage import shrunk


def measured(truth: np.ndarray, covariance: np.ndarray, seed: int = 0, count: int = 400) -> tuple:
    """Units (J, D) measured once with errors of this covariance, and samples (J, M, D) around what was measured."""
    rng = np.random.default_rng(seed)
    zero = np.zeros(truth.shape[1])
    fitted = truth + rng.multivariate_normal(zero, covariance, len(truth))
    return fitted, fitted[:, None] + rng.multivariate_normal(zero, covariance, (len(truth), count))


def test_one_quantity_is_shrunk_by_its_share_of_the_variance():
    fitted = np.array([0.0, 1.0, 2.0, 3.0])[:, None]
    samples = fitted[:, None] + np.sqrt(0.5) * np.array([-1.0, 1.0] * 50)[None, :, None]
    noise = 0.5 * 100 / 99
    part = 1 - noise / np.var(fitted, ddof=1)
    moved = shrunk(fitted, samples, fitted[:, None])
    assert moved[:, 0, 0] == pytest.approx(1.5 + part * (fitted[:, 0] - 1.5), rel=1e-6)


def test_what_is_known_exactly_remains():
    fitted, samples = measured(np.random.default_rng(1).normal(size=(6, 2)), 1e-10 * np.eye(2))
    assert shrunk(fitted, samples, samples) == pytest.approx(samples, abs=1e-6)


def test_units_that_differ_by_less_than_their_noise_become_one():
    fitted = 3.0 + 0.1 * np.random.default_rng(3).normal(size=(8, 2))
    samples = fitted[:, None] + 0.2 * np.random.default_rng(4).normal(size=(8, 400, 2))
    moved = shrunk(fitted, samples, fitted[:, None])[:, 0]
    assert np.ptp(moved, axis=0) == pytest.approx(0.0, abs=1e-6)
    assert moved[0] == pytest.approx(fitted.mean(axis=0), abs=0.03)


def test_a_ratio_that_is_well_known_is_kept():
    """Of stiffness and damping (logarithms) the difference is known within 0.01, their common size within 0.5: sizes
    become alike, and the differences, which are every unit's own, stay."""
    lag = np.array([-1.0, -0.5, 0.0, 0.5, 1.0, 1.5])
    truth = np.stack([np.zeros(6), lag], axis=1)
    along = np.array([[1.0, 1.0], [1.0, 1.0]])
    fitted, samples = measured(truth, 0.25 * along + 1e-4 * np.eye(2), seed=4)
    moved = shrunk(fitted, samples, fitted[:, None])[:, 0]
    assert moved[:, 1] - moved[:, 0] == pytest.approx(lag, abs=0.06)
    assert np.std(moved[:, 0]) < 0.5 * np.std(fitted[:, 0])


def test_it_comes_closer_to_the_truth():
    covariance = np.array([[0.5, 0.4], [0.4, 0.5]])
    before, after = [], []
    for seed in range(20):
        truth = np.random.default_rng(100 + seed).normal(0.0, 0.4, (10, 2))
        fitted, samples = measured(truth, covariance, seed)
        before.append(np.mean((fitted - truth) ** 2))
        after.append(np.mean((shrunk(fitted, samples, fitted[:, None])[:, 0] - truth) ** 2))
    assert np.mean(after) < 0.6 * np.mean(before)


def test_what_a_unit_did_not_measure_stays_unknown_and_changes_nothing():
    fitted, samples = measured(np.random.default_rng(2).normal(size=(7, 2)), 0.1 * np.eye(2))
    without = fitted.copy()
    without[-1, 1] = np.nan
    samples = np.where(np.isnan(without)[:, None], np.nan, samples)
    moved = shrunk(without, samples, samples)
    assert np.isnan(moved[-1, :, 1]).all() and np.isfinite(np.delete(moved.reshape(7, -1), -1, axis=0)).all()
    shifted = samples.copy()
    shifted[-1, :, 1] = 1e9  # of what was not fitted
    assert shrunk(without, shifted, shifted)[:-1] == pytest.approx(moved[:-1])
    alone = shrunk(without[:-1], samples[:-1], samples[:-1])
    assert moved[:-1, :, 1] == pytest.approx(alone[:, :, 1], abs=0.2)
