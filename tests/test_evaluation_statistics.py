"""Intervals against published values, scipy, and their own coverage."""

import numpy as np
import pytest
from scipy import stats

from robotics.evaluation.statistics import bootstrap_mean, clopper_pearson, expanded_levels, wilson


@pytest.mark.parametrize(("k", "n"), [(0, 10), (1, 10), (5, 10), (10, 10), (81, 263), (98, 100), (1, 1)])
def test_wilson_agrees_with_scipy(k, n):
    expected = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert wilson(k, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_wilson_published_example():
    # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3: 81 of 263
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_wilson_at_the_edges():
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 7)[0] == 0.0
    assert wilson(7, 7)[1] == 1.0
    with pytest.raises(ValueError, match="5 successes of 4"):
        wilson(5, 4)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (1, 10), (5, 10), (10, 10), (81, 263), (1, 1)])
def test_clopper_pearson_agrees_with_scipy(k, n):
    expected = stats.binomtest(k, n).proportion_ci(0.95, method="exact")
    assert clopper_pearson(k, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_clopper_pearson_covers_every_rate_and_wilson_the_average():
    n, rates = 20, np.linspace(0.005, 0.995, 199)
    chances = stats.binom.pmf(np.arange(n + 1), n, rates[:, None])

    def coverage(interval):
        low, high = np.array([interval(k, n) for k in range(n + 1)]).T
        return (chances * ((low <= rates[:, None]) & (rates[:, None] <= high))).sum(axis=1)

    assert coverage(clopper_pearson).min() >= 0.95
    assert 0.94 <= coverage(wilson).mean() <= 0.965
    assert coverage(wilson).min() < 0.95


def test_few_values_look_further_out():
    assert expanded_levels(10**6) == pytest.approx((0.025, 0.975), abs=1e-4)
    low, high = expanded_levels(5)
    assert low < 0.005
    assert low == pytest.approx(1 - high)


def test_bootstrap_covers_the_true_mean_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        low, high = bootstrap_mean(generator.normal(3.0, 2.0, 40), generator)
        hits += low <= 3.0 <= high
    assert 0.90 <= hits / 200 <= 0.99


def test_bootstrap_is_deterministic_and_blocks_do_not_matter():
    values = np.random.default_rng(1).normal(size=3000)  # more than one block of resamples
    first = bootstrap_mean(values, np.random.default_rng(2))
    assert first == bootstrap_mean(values, np.random.default_rng(2))
    standard_error = values.std() / np.sqrt(len(values))
    assert first == pytest.approx(
        (values.mean() - 1.96 * standard_error, values.mean() + 1.96 * standard_error), abs=0.01
    )


def test_bootstrap_of_one_value_and_of_none():
    assert bootstrap_mean([2.5], np.random.default_rng(0)) == (2.5, 2.5)
    with pytest.raises(ValueError, match="no values"):
        bootstrap_mean([], np.random.default_rng(0))
