"""Two policies beside each other: published examples, scipy, identities, and the rate at which claims are false."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from robotics.evaluation.hierarchy import ENOUGH, mean_over_trainings, rate_over_trainings
from robotics.evaluation.multiple import holm
from robotics.evaluation.paired import Pairs, bootstrap_difference, mcnemar_exact, mcnemar_mid_p, newcombe_paired
from robotics.evaluation.power import episodes_for_width, episodes_paired, episodes_unpaired
from robotics.evaluation.prediction_powered import prediction_powered
from robotics.evaluation.sequential import anytime_p, e_value, pairs_until_decided
from robotics.evaluation.statistics import wilson
from robotics.evaluation.unpaired import barnard, boschloo, newcombe

#: Newcombe 1998, Statistics in Medicine 17:873, table II, method 10.
UNPAIRED = [
    ((56, 70), (48, 80), 0.0524, 0.3339),
    ((9, 10), (3, 10), 0.1705, 0.8090),
    ((6, 7), (2, 7), 0.0582, 0.8062),
    ((5, 56), (0, 29), -0.0381, 0.1926),
    ((0, 10), (0, 20), -0.1611, 0.2775),
    ((10, 10), (0, 20), 0.6791, 1.0),
]


@pytest.mark.parametrize(("first", "second", "low", "high"), UNPAIRED)
def test_newcombe_published_examples(first, second, low, high):
    assert newcombe(first, second) == pytest.approx((low, high), abs=5e-5)
    assert newcombe(second, first) == pytest.approx((-high, -low), abs=5e-5)


def test_newcombe_paired_published_example():
    # Altman, Machin, Bryant, Gardner 2000, Statistics with Confidence, table 6.2
    assert newcombe_paired(Pairs(14, 5, 0, 22)) == pytest.approx((0.011, 0.226), abs=6e-4)


def test_newcombe_paired_turns_round_with_its_arguments():
    low, high = newcombe_paired(Pairs(31, 9, 4, 16))
    assert newcombe_paired(Pairs(31, 4, 9, 16)) == pytest.approx((-high, -low))
    assert -1 <= low < 5 / 60 < high <= 1


def test_pairs_without_association_are_as_good_as_different_episodes():
    """Phi = 0: the paired interval falls back on the unpaired one."""
    pairs = Pairs(24, 16, 36, 24)
    assert pairs.correlation == 0
    assert newcombe_paired(pairs) == pytest.approx(newcombe((40, 100), (60, 100)))


def test_mid_p_of_thousands_of_pairs():
    """Half of the observed outcome is left out, whatever the number of pairs."""
    for n in (10, 1000, 5000):
        pairs = Pairs(both=0, first_only=n // 2, second_only=n - n // 2, neither=0)
        assert mcnemar_mid_p(pairs) == pytest.approx(1.0)
    low, n = 2350, 5000
    pairs = Pairs(both=7, first_only=low, second_only=n - low, neither=3)
    expected = stats.binom.cdf(low, n, 0.5) * 2 - stats.binom.pmf(low, n, 0.5)
    assert mcnemar_mid_p(pairs) == pytest.approx(expected, rel=1e-9)


def test_no_pair_that_differs_still_leaves_doubt():
    low, high = newcombe_paired(Pairs(20, 0, 0, 0))
    assert low == -high < -0.1
    assert bootstrap_difference([1] * 20, [1] * 20, np.random.default_rng(0)) == (0, 0)


@pytest.mark.parametrize(
    ("pairs", "exact", "mid"),
    # Fagerland, Lydersen, Laake 2013, BMC Medical Research Methodology 13:91
    [(Pairs(1, 1, 7, 12), 0.070, 0.039), (Pairs(59, 6, 16, 80), 0.053, 0.035)],
)
def test_mcnemar_published_examples(pairs, exact, mid):
    assert mcnemar_exact(pairs) == pytest.approx(exact, abs=6e-4)
    assert mcnemar_mid_p(pairs) == pytest.approx(mid, abs=6e-4)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (7, 7), (12, 3), (3, 12), (200, 150)])
def test_mcnemar_is_a_binomial_test_of_the_discordant_pairs(b, c):
    expected = stats.binomtest(b, b + c).pvalue if b + c else 1.0
    pairs = Pairs(5, b, c, 9)
    assert mcnemar_exact(pairs) == pytest.approx(expected)
    assert mcnemar_mid_p(pairs) <= mcnemar_exact(pairs)
    assert mcnemar_mid_p(Pairs(0, c, b, 1)) == pytest.approx(mcnemar_mid_p(pairs))


def test_pairs_count_by_seed():
    pairs = Pairs.of([True, True, False, False, True], [True, False, True, False, False])
    assert (pairs.both, pairs.first_only, pairs.second_only, pairs.neither) == (1, 2, 1, 1)
    assert pairs.difference == pytest.approx(0.2)
    with pytest.raises(ValueError, match="are not pairs"):
        Pairs.of([True], [True, False])
    with pytest.raises(ValueError, match="no pairs"):
        newcombe_paired(Pairs(0, 0, 0, 0))


def test_paired_bootstrap_profits_from_pairs_and_agrees_with_newcombe():
    generator = np.random.default_rng(0)
    first = generator.random(200) < 0.7
    second = first & (generator.random(200) < 0.85)
    low, high = bootstrap_difference(first, second, np.random.default_rng(1))
    assert (low, high) == pytest.approx(newcombe_paired(Pairs.of(first, second)), abs=0.02)
    unpaired = newcombe((int(first.sum()), 200), (int(second.sum()), 200))
    assert high - low < 0.7 * (unpaired[1] - unpaired[0])


def test_exact_tests_of_different_episodes():
    # scipy's own examples: Barnard (vaccine), Boschloo (job satisfaction)
    assert barnard((7, 15), (12, 15)) == pytest.approx(0.0682, abs=5e-4)
    two_sided = boschloo((74, 105), (43, 75))
    assert two_sided <= stats.fisher_exact([[74, 43], [31, 32]]).pvalue
    assert barnard((5, 10), (5, 10)) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="11 successes of 10"):
        barnard((11, 10), (5, 10))


def test_holm_published_example_and_order():
    # Holm 1979 as in R's p.adjust(c(0.01, 0.02, 0.03, 0.04), "holm")
    assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
    with pytest.raises(ValueError, match="p-values"):
        holm([0.1, float("nan")])


@pytest.mark.parametrize(
    ("rates", "unpaired", "paired"),
    [
        ((0.5, 0.6), 388, 198),
        ((0.7, 0.8), 294, 153),
        ((0.8, 0.9), 199, 108),
        ((0.5, 0.7), 93, 51),
        ((0.3, 0.6), 42, 26),
    ],
)
def test_episodes_that_a_claim_needs(rates, unpaired, paired):
    assert episodes_unpaired(*rates) == unpaired
    assert episodes_paired(*rates, correlation=0.5) == paired
    assert episodes_paired(*reversed(rates), correlation=0.5) == paired


def test_episodes_with_strongly_correlated_outcomes():
    assert episodes_paired(0.5, 0.6, 0.8) == 83
    with pytest.raises(ValueError, match="can not have a correlation"):
        episodes_paired(0.8, 0.9, 0.8)
    with pytest.raises(ValueError, match="two different ones"):
        episodes_unpaired(0.5, 0.5)


def test_episodes_for_a_width_are_the_fewest():
    for rate, half in ((0.5, 0.05), (0.8, 0.1), (1.0, 0.02)):
        n = episodes_for_width(rate, half)
        widths = [np.diff(wilson(round(rate * m), m))[0] for m in (n - 1, n)]
        assert widths[1] <= 2 * half < widths[0]


def test_e_value_is_a_fair_game():
    """Under a fair coin its expectation is 1 after any number of pairs: a martingale."""
    for n in (1, 2, 7, 30):
        expectation = sum(math.comb(n, b) * 0.5**n * e_value(b, n - b) for b in range(n + 1))
        assert expectation == pytest.approx(1.0)
    assert e_value(0, 0) == 1.0
    assert e_value(9, 2) == pytest.approx(e_value(2, 9))
    # Step by step: the bet on the next pair is the KT estimate (b + 1/2) / (n + 1)
    assert e_value(4, 2) / e_value(3, 2) == pytest.approx(2 * 3.5 / 6)
    assert e_value(5000, 0) == math.inf


def test_sequential_test_looks_always_and_seldom_errs():
    generator = np.random.default_rng(0)
    null = [generator.random((300, 2)) < 0.6 for _ in range(400)]
    assert np.mean([pairs_until_decided(pairs) is not None for pairs in null]) <= 0.05 + 2 * math.sqrt(
        0.05 * 0.95 / 400
    )
    better = [generator.random((300, 2)) < (0.8, 0.5) for _ in range(50)]
    assert np.mean([pairs_until_decided(pairs) is not None for pairs in better]) > 0.95


def test_sequential_decision_needs_only_the_discordant_pairs():
    wins = [(True, False)] * 20
    assert e_value(6, 0) < 20 <= e_value(7, 0)
    assert pairs_until_decided(wins) == 7
    assert pairs_until_decided([pair for win in wins for pair in ((True, True), win)]) == 14
    assert anytime_p(wins[:8]) == pytest.approx(1 / e_value(8, 0))
    assert anytime_p(wins[:8] + [(False, True)] * 8) == pytest.approx(1 / e_value(8, 0))  # what was claimed stands
    assert anytime_p([(True, True)]) == 1.0


def test_method_interval_is_that_of_the_trainings():
    generator = np.random.default_rng(0)
    for rates in ((0.9, 0.5, 0.7, 0.4, 0.8), (0.7, 0.4, 0.6)):  # drawn again, and too few for that
        seeds = [generator.random(200) < rate for rate in rates]
        means = [episodes.mean() for episodes in seeds]
        t = stats.t.interval(0.95, len(rates) - 1, np.mean(means), stats.sem(means))
        low, high = mean_over_trainings(seeds)
        assert high - low == pytest.approx(t[1] - t[0], rel=1e-6 if len(rates) < ENOUGH else 0.25)
        assert rate_over_trainings(seeds) == pytest.approx(np.clip((low, high), 0, 1))
        pooled = wilson(int(sum(episodes.sum() for episodes in seeds)), 200 * len(seeds))
        assert t[1] - t[0] > 4 * (pooled[1] - pooled[0])


def test_a_rate_over_trainings_that_agree_is_that_of_the_episodes():
    seeds = [np.resize([1, 0], 100) for _ in range(5)]
    assert rate_over_trainings(seeds) == pytest.approx(wilson(250, 500), abs=0.01)
    assert rate_over_trainings(seeds[:3]) == wilson(150, 300)
    assert rate_over_trainings(seeds[:1]) == wilson(50, 100)
    assert rate_over_trainings([[1.0] * 20, [0.0] * 20]) == (0.0, 1.0)
    with pytest.raises(ValueError, match="at least two"):
        mean_over_trainings(seeds[:1])
    with pytest.raises(ValueError, match="without episodes"):
        mean_over_trainings([[1.0], []])


def _twin_trials(generator, n, agree):
    """Trials on the target, and in simulation, which agrees in `agree` of them."""
    target = generator.random(n) < 0.7
    return target, np.where(generator.random(n) < agree, target, ~target)


def test_simulation_that_predicts_saves_trials_and_one_that_does_not_is_ignored():
    generator = np.random.default_rng(0)
    target, paired = _twin_trials(generator, 100, 0.95)
    _, more = _twin_trials(generator, 2000, 0.95)
    good = prediction_powered(target, paired, more)
    assert good.correlation > 0.7 and good.weight > 0.6 and good.trials_worth > 180
    assert good.interval[0] < 0.7 < good.interval[1]
    blind = prediction_powered(target, generator.random(100) < 0.5, generator.random(2000) < 0.1)
    assert blind.weight < 0.2
    assert blind.value == pytest.approx(blind.target_only, abs=0.05)
    assert blind.trials_worth > 95


def test_biased_simulation_does_not_bias_the_estimate():
    generator = np.random.default_rng(1)
    estimates = []
    for _ in range(300):
        target = generator.random(50) < 0.6
        sim = target & (generator.random(50) < 0.4)
        more = (generator.random(500) < 0.6) & (generator.random(500) < 0.4)
        estimates.append(prediction_powered(target, sim, more).value)
    assert np.mean(estimates) == pytest.approx(0.6, abs=4 * np.std(estimates) / math.sqrt(300))


def test_success_every_time_is_not_certainty():
    estimate = prediction_powered([1] * 10, [1] * 10, [1] * 500)
    assert estimate.value == 1.0
    assert estimate.interval[0] < 0.9
    assert estimate.correlation is None
    with pytest.raises(ValueError, match="3 trials on the target, 2 in simulation"):
        prediction_powered([1, 0, 1], [1, 0], [1, 1])
    with pytest.raises(ValueError, match=r"lie in \[0, 1\]"):
        prediction_powered([1, 2], [1, 0], [1, 1])


def _correlated_outcomes(generator, n):
    while True:
        first, second, correlation = generator.uniform(0.1, 0.9, 2).tolist() + [generator.uniform(0, 0.8)]
        both = first * second + correlation * math.sqrt(first * (1 - first) * second * (1 - second))
        cells = [both, first - both, second - both, 1 - first - second + both]
        if min(cells) >= 0:
            drawn = generator.choice(4, size=n, p=cells)
            return first, second, drawn < 2, (drawn == 0) | (drawn == 2)


def test_intervals_cover():
    """The small version of scripts/benchmarks/calibration.py: three standard errors of 300 experiments."""
    generator, hits = np.random.default_rng(0), np.zeros(3)
    for _ in range(300):
        first, second, a, b = _correlated_outcomes(generator, 60)
        estimate = prediction_powered(a, b, generator.random(600) < second)
        counts = int(generator.binomial(60, first)), int(generator.binomial(60, second))
        intervals = [
            (newcombe_paired(Pairs.of(a, b)), first - second),
            (newcombe((counts[0], 60), (counts[1], 60)), first - second),
            (estimate.interval, first),
        ]
        hits += [low <= truth <= high for (low, high), truth in intervals]
    assert all(abs(hits / 300 - 0.95) <= 3 * math.sqrt(0.95 * 0.05 / 300))


def test_all_of_a_family_of_tests_seldom_errs_once():
    """Holm on ten true hypotheses: one false claim or more in at most 5 % of families."""
    generator = np.random.default_rng(0)
    families = generator.random((2000, 10))
    raw = np.mean([min(p) <= 0.05 for p in families])
    adjusted = np.mean([min(holm(p)) <= 0.05 for p in families])
    assert raw > 0.3 and adjusted <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)
    assert all(np.all(np.array(holm(p)) >= p) for p in itertools.islice(families, 50))
