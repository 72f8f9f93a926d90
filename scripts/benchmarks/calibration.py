"""Do the intervals cover as often as they say, and do the tests err as seldom as they say? Simulated experiments.

    OMP_NUM_THREADS=1 .venv/bin/python scripts/benchmarks/calibration.py [--experiments 1000] [--only NAME …]

Each experiment draws a truth (success rates uniform in [0.05, 0.95] unless said otherwise), data from it, and looks
whether the 95 % interval holds the truth. `passed` for intervals: 93 to 97 % of the experiments; for those that
are wider by construction (`CAUTIOUS`) at least 95 %, up to the noise of the count; for those that learn from the data
what to draw to what, or which cells are worst, or from few twins how far others may be off (`LEARNED`), at least 90 %,
up to that noise, whatever the truth; for tests: at most 5 % false claims, up to that noise. `standard_error` is that of
the share itself.
"""

import argparse
import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
from provenance import publish, rows_of

from robotics.evaluation import agreement, hierarchy, statistics
from robotics.evaluation.agreement import Scores
from robotics.evaluation.hierarchy import rate_over_trainings
from robotics.evaluation.paired import Pairs, bootstrap_difference, mcnemar_exact, mcnemar_mid_p, newcombe_paired
from robotics.evaluation.power import episodes_paired, episodes_unpaired
from robotics.evaluation.prediction_powered import prediction_powered
from robotics.evaluation.rank_metrics import pearson
from robotics.evaluation.sequential import pairs_until_decided
from robotics.evaluation.statistics import Interval
from robotics.evaluation.unpaired import barnard, newcombe
from robotics.sim2real.closing import closed_over
from robotics.sim2real.risk import worst_share

Generator = np.random.Generator
Trial = Callable[[Generator], bool]


def holds(interval: Interval | list[float], truth: float) -> bool:
    return interval[0] - 1e-12 <= truth <= interval[1] + 1e-12


def rate(generator: Generator) -> float:
    return float(generator.uniform(0.05, 0.95))


def outcomes(generator: Generator, n: int, first: float, second: float, correlation: float) -> np.ndarray | None:
    """(2, n) outcomes on the same seeds; None where such rates can not have the correlation."""
    both = first * second + correlation * math.sqrt(first * (1 - first) * second * (1 - second))
    cells = [both, first - both, second - both, 1 - first - second + both]
    if min(cells) < 0:
        return None
    drawn = generator.choice(4, size=n, p=cells)
    return np.array([drawn < 2, (drawn == 0) | (drawn == 2)])


def pairs_of_rates(generator: Generator, n: int) -> tuple[float, float, np.ndarray]:
    """Two rates, and correlated outcomes on n seeds."""
    while True:
        first, second = rate(generator), rate(generator)
        drawn = outcomes(generator, n, first, second, generator.uniform(0, 0.8))
        if drawn is not None:
            return first, second, drawn


def one_rate(interval: Callable[[int, int], Interval], n: int) -> Trial:
    def trial(generator: Generator) -> bool:
        truth = rate(generator)
        return holds(interval(int(generator.binomial(n, truth)), n), truth)

    return trial


def two_rates(n: int) -> Trial:
    def trial(generator: Generator) -> bool:
        first, second = rate(generator), rate(generator)
        counts = [(int(generator.binomial(n, p)), n) for p in (first, second)]
        return holds(newcombe(*counts), first - second)

    return trial


def paired_rates(interval: Callable[[np.ndarray, np.ndarray, Generator], Interval], n: int) -> Trial:
    def trial(generator: Generator) -> bool:
        first, second, drawn = pairs_of_rates(generator, n)
        return holds(interval(*drawn, generator), first - second)

    return trial


def mean_of_returns(n: int) -> Trial:
    """Skewed, as returns are: a gamma distribution with mean 4."""
    return lambda generator: holds(statistics.bootstrap_mean(generator.gamma(4.0, 1.0, n), generator), 4.0)


def trainings(count: int, episodes: int, mean: float, spread: float) -> Trial:
    """Trainings whose success rates have this mean and standard deviation (beta distribution)."""
    size = mean * (1 - mean) / spread**2 - 1

    def trial(generator: Generator) -> bool:
        rates = generator.beta(mean * size, (1 - mean) * size, count)
        return holds(rate_over_trainings([generator.random(episodes) < p for p in rates]), mean)

    return trial


#: Draws so many twins: rates (3, twins) of `before`, an arm and the oracle.
Twins = Callable[[Generator, int], np.ndarray]


def closed(twins: Twins, truth: float, count: int) -> Trial:
    """What part of a gap was closed, of 100 episodes on each of `count` twins."""

    def trial(generator: Generator) -> bool:
        success = generator.random((100, 3, count)) < twins(generator, count)
        targets = [
            {
                name: {"target": {"success": success[:, row, twin]}}
                for row, name in enumerate(("before", "arm", "oracle"))
            }
            for twin in range(count)
        ]
        interval = closed_over(targets, "arm")["ci95"]
        return interval is None or holds(interval, truth)  # without a number nothing is claimed

    return trial


def closed_as_measured(name: str, arm: str) -> Trial:
    """As many twins as `closed_fraction.py` went through, drawn from those."""
    success = rows_of("closed_fraction")[name]["success"]
    rates = np.array([success[which] for which in ("before", arm, "oracle")])
    won, there = (rates[1:].mean(axis=1) - rates[0].mean()).tolist()
    count = rates.shape[1]
    return closed(lambda generator, n: rates[:, generator.integers(count, size=n)], won / there, count)


def closed_but_for_one_in_ten(share: float) -> Trial:
    """Ten twins that cost 8 to 98 points; an arm closes all of it, but on one twin in ten only a share."""

    def twins(generator: Generator, count: int) -> np.ndarray:
        before, oracle = generator.uniform(0.0, 0.9, count), 0.98
        part = np.where(generator.random(count) < 0.1, share, 1.0)
        return np.array([before, before + part * (oracle - before), np.full(count, oracle)])

    return closed(twins, 0.9 + 0.1 * share, 10)


def few_and_many(n: int, more: int) -> Trial:
    def trial(generator: Generator) -> bool:
        target, sim, drawn = pairs_of_rates(generator, n)
        estimate = prediction_powered(drawn[0], drawn[1], generator.random(more) < sim)
        return holds(estimate.interval, target)

    return trial


def unrelated(generator: Generator, policies: int) -> np.ndarray:
    return generator.random((2, policies))


def followed(generator: Generator, policies: int) -> np.ndarray:
    """Simulation off by 5 points here and there."""
    sim = generator.uniform(0.05, 0.95, policies)
    return np.array([sim, np.clip(sim + generator.normal(0, 0.05, policies), 0, 1)])


def right(generator: Generator, policies: int) -> np.ndarray:
    return np.tile(generator.uniform(0.05, 0.95, policies), (2, 1))


def agreement_of_rates(metric: str, true: Callable[[Generator, int], np.ndarray], policies: int, *trials: int) -> Trial:
    """The interval from the noise of the trials (in simulation and on the target), against the metric of true rates."""

    def trial(generator: Generator) -> bool:
        rates = true(generator, policies)
        truth = float(agreement.METRICS[metric](sim=rates[0], target=rates[1]))
        counts = [np.full(policies, n) for n in trials]
        seen = [generator.binomial(n, side) / n for n, side in zip(counts, rates, strict=True)]
        scores = Scores([str(i) for i in range(policies)], *seen, *counts)
        return holds(resampled_interval(metric, scores, generator), truth)

    return trial


def risk(rates: np.ndarray, seeds: int) -> Trial:
    """The interval of the worst tenth of cells with these rates, whose outcomes on a seed go together (0.5)."""
    truth = float(np.sort(rates)[: max(1, round(0.1 * len(rates)))].mean())
    levels = np.array([NormalDist().inv_cdf(one) for one in rates])

    def trial(generator: Generator) -> bool:
        latent = generator.standard_normal(seeds) + generator.standard_normal((len(rates), seeds))
        interval = worst_share((latent / math.sqrt(2) < levels[:, None]).astype(float), 0.1)[1]
        assert interval is not None
        return holds(interval, truth)

    return trial


def resampled_interval(metric: str, scores: Scores, generator: Generator) -> list[float]:
    drawn = agreement.resample(scores, generator)
    assert drawn is not None
    found = drawn.interval(metric, float(agreement.METRICS[metric](sim=scores.sim, target=scores.target)))
    return [-1.0, 1.0] if found is None else found


def fisher(scores: Scores, _: Generator) -> Interval:
    found = agreement.fisher_interval(float(pearson(sim=scores.sim, target=scores.target)), scores.independent)
    return found or (-1.0, 1.0)  # which it says nothing of


def by_policies(scores: Scores, generator: Generator) -> list[float]:
    return resampled_interval("pearson", scores, generator)


def correlation_of_policies(interval: Callable[[Scores, Generator], Interval | list[float]], policies: int) -> Trial:
    """The interval for other policies, against the correlation they are drawn from (normal, 0.8)."""
    covariance = 0.01 * np.array([[1, 0.8], [0.8, 1]])

    def trial(generator: Generator) -> bool:
        drawn = generator.multivariate_normal([0.5, 0.5], covariance, policies)
        scores = Scores([str(i) for i in range(policies)], drawn[:, 0], drawn[:, 1])
        return holds(interval(scores, generator), 0.8)

    return trial


INTERVALS: dict[str, Trial] = {
    "wilson, 10 episodes": one_rate(statistics.wilson, 10),
    "wilson, 50 episodes": one_rate(statistics.wilson, 50),
    "wilson, 200 episodes": one_rate(statistics.wilson, 200),
    "newcombe, 50 episodes a side": two_rates(50),
    "newcombe, 200 episodes a side": two_rates(200),
    "newcombe paired, 50 seeds": paired_rates(lambda a, b, _: newcombe_paired(Pairs.of(a, b)), 50),
    "newcombe paired, 200 seeds": paired_rates(lambda a, b, _: newcombe_paired(Pairs.of(a, b)), 200),
    "bootstrap of the paired difference, 100 seeds": paired_rates(bootstrap_difference, 100),
    "bootstrap of the paired difference, 200 seeds": paired_rates(bootstrap_difference, 200),
    "bootstrap of a mean return, 20 episodes": mean_of_returns(20),
    "bootstrap of a mean return, 100 episodes": mean_of_returns(100),
    **{f"{n} trainings x 50, rates 0.6 +- 0.1": trainings(n, 50, 0.6, 0.1) for n in (3, 5, 10)},
    **{
        f"3 trainings x 200, rates {mean} +- {spread}": trainings(3, 200, mean, spread)
        for mean, spread in ((0.6, 0.13), (0.3, 0.15), (0.7, 0.06))  # as in objectives.json
    },
    "prediction-powered, 50 target + 500 sim": few_and_many(50, 500),
    "prediction-powered, 100 target + 1000 sim": few_and_many(100, 1000),
    "pearson for other policies (Fisher), 6 policies": correlation_of_policies(fisher, 6),
    "pearson for other policies (Fisher), 20 policies": correlation_of_policies(fisher, 20),
    "pearson by drawing policies, 20 policies": correlation_of_policies(by_policies, 20),
}
#: Intervals that hold the truth more often than they say: one by construction, whatever the truth; one because so few
#: policies repeat; one since it is the wider of two.
CAUTIOUS: dict[str, Trial] = {
    "clopper-pearson, 50 episodes": one_rate(statistics.clopper_pearson, 50),
    "pearson by drawing policies, 6 policies": correlation_of_policies(by_policies, 6),
    "3 trainings x 200, rates 0.8 +- 0.03": trainings(3, 200, 0.8, 0.03),
}
#: Policies, trials in simulation and on the target.
TABLES = ((6, 50, 50), (6, 100, 24), (12, 24, 24), (12, 100, 100))
LEARNED: dict[str, Trial] = {
    **{
        f"{metric}, {true.__name__}, {table[0]} policies, {table[1]} and {table[2]} trials": agreement_of_rates(
            metric, true, *table
        )
        for true in (unrelated, followed, right)
        for table in TABLES
        for metric in ("mmrv", "pearson", "spearman", "kendall", "mae", "bias")
    },
    "risk of 26 cells that are alike, 50 seeds": risk(np.full(26, 0.8), 50),
    "risk of 26 cells that differ, 50 seeds": risk(np.linspace(0.5, 0.95, 26), 50),
    "risk of 20 cells of which one fails, 50 seeds": risk(np.array([0.3] + 19 * [0.9]), 50),
    **{
        f"closed fraction, twins of {name}, {arm}": closed_as_measured(name, arm)
        for name in ("QuadrupedVelocity, medium", "TransferCube, medium")
        for arm in ("identified", "after", "medium", "wide")
    },
    "closed fraction, 10 twins, one in ten half closed": closed_but_for_one_in_ten(0.5),
}
#: Known to cover less; measured so that nobody has to guess. Not judged.
LIMITS: dict[str, Trial] = {
    "bootstrap of the paired difference, 20 seeds": paired_rates(bootstrap_difference, 20),
    "3 trainings x 200, rates 0.9 +- 0.1": trainings(3, 200, 0.9, 0.1),
    "closed fraction, 10 twins, one in ten not closed": closed_but_for_one_in_ten(0.0),
}


def claims_paired(p_value: Callable[[Pairs], float], n: int) -> Trial:
    """A false claim: both succeed at 0.6, with correlated outcomes."""

    def trial(generator: Generator) -> bool:
        drawn = outcomes(generator, n, 0.6, 0.6, 0.5)
        assert drawn is not None
        return p_value(Pairs.of(*drawn)) <= 0.05

    return trial


def claims_barnard(generator: Generator) -> bool:
    first, second = generator.binomial(30, 0.6, size=2)
    return barnard((int(first), 30), (int(second), 30)) <= 0.05


def claims_sequential(generator: Generator) -> bool:
    """Looks after every one of 500 pairs."""
    drawn = outcomes(generator, 500, 0.6, 0.6, 0.5)
    assert drawn is not None
    return pairs_until_decided(zip(*drawn, strict=True)) is not None


def claims_peeking(generator: Generator) -> bool:
    """What the sequential test replaces: McNemar's mid-p after every one of 500 pairs, stopping at 0.05."""
    drawn = outcomes(generator, 500, 0.6, 0.6, 0.5)
    assert drawn is not None
    only = np.cumsum(drawn[0] & ~drawn[1]), np.cumsum(~drawn[0] & drawn[1])
    return any(mcnemar_mid_p(Pairs(0, int(b), int(c), 0)) <= 0.05 for b, c in zip(*only, strict=True))


TESTS: dict[str, Trial] = {
    "mcnemar exact, 100 seeds": claims_paired(mcnemar_exact, 100),
    "mcnemar mid-p, 100 seeds": claims_paired(mcnemar_mid_p, 100),
    "barnard, 30 episodes a side": claims_barnard,
    "betting e-process, a look after every one of 500 pairs": claims_sequential,
}


def sequential_power(first: float, second: float, most: int, experiments: int, generator: Generator) -> dict[str, Any]:
    """How often the sequential test decides within `most` pairs (correlation 0.5), and after how many."""
    needed = []
    for _ in range(experiments):
        drawn = outcomes(generator, most, first, second, 0.5)
        assert drawn is not None
        needed.append(pairs_until_decided(zip(*drawn, strict=True)))
    stopped = [n for n in needed if n is not None]
    mean = sum(stopped + [most] * (experiments - len(stopped))) / experiments
    return {"pairs_at_most": most, "power": round(len(stopped) / experiments, 4), "mean_pairs": round(mean, 1)}


def planned_power(experiments: int, generator: Generator) -> dict[str, Any]:
    """What the plans of `power` for 80 % deliver, tested with McNemar's mid-p and with Barnard's test (0.5 and 0.7)."""
    n_paired, n_unpaired = episodes_paired(0.5, 0.7, 0.5), episodes_unpaired(0.5, 0.7)
    paired = [outcomes(generator, n_paired, 0.5, 0.7, 0.5) for _ in range(experiments)]
    hits = sum(mcnemar_mid_p(Pairs.of(*drawn)) <= 0.05 for drawn in paired if drawn is not None)
    draws = [[(int(generator.binomial(n_unpaired, p)), n_unpaired) for p in (0.5, 0.7)] for _ in range(experiments)]
    p_values = {counts: barnard(*counts) for counts in {tuple(drawn) for drawn in draws}}
    found = sum(p_values[tuple(drawn)] <= 0.05 for drawn in draws)
    return {
        "paired": {"n": n_paired, "power": hits / experiments},
        "unpaired": {"n": n_unpaired, "power": found / experiments},
    }


def share(trial: Trial, experiments: int, generator: Generator) -> tuple[float, float]:
    """How often `trial` says yes, and the standard error of that."""
    found = sum(trial(generator) for _ in range(experiments)) / experiments
    return found, math.sqrt(max(found * (1 - found), 1e-4) / experiments)


def row(found: float, error: float, passed: bool | None = None) -> dict[str, Any]:
    judged = {} if passed is None else {"passed": passed}
    return {"share": round(found, 4), "standard_error": round(error, 4), **judged}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", help="rows whose name begins with one of these; nothing is published")
    options = parser.parse_args()
    # An experiment's own resampling can be coarser than one that is looked at by a person
    statistics.RESAMPLES = hierarchy.RESAMPLES = agreement.RESAMPLES = 1000  # type: ignore[attr-defined]
    n = options.experiments

    def rows(table: dict[str, Trial], judge: Callable[[float, float], bool | None]) -> dict[str, Any]:
        found = {}
        for name, trial in table.items():
            if options.only is None or name.startswith(tuple(options.only)):
                # Named by its row, so that a row does not depend on those before it
                generator = np.random.default_rng([options.seed, *name.encode()])
                measured = share(trial, n, generator)
                found[name] = row(*measured, judge(*measured))
                print(f"{name}: {found[name]}", flush=True)
        return found

    result = {
        "experiments": n,
        "seed": options.seed,
        "coverage": rows(INTERVALS, lambda found, _: 0.93 <= found <= 0.97),
        "cautious": rows(CAUTIOUS, lambda found, error: found >= 0.95 - 2 * error),
        "learned": rows(LEARNED, lambda found, error: found >= 0.90 - 2 * error),
        "limits": rows(LIMITS, lambda *_: None),
        "false_claims": rows(TESTS, lambda found, error: found <= 0.05 + 2 * error),
        "false_claims_of_peeking_at_p": rows({"mcnemar mid-p after every pair": claims_peeking}, lambda *_: None),
    }
    if options.only is not None:
        return
    generator = np.random.default_rng(options.seed)
    result["sequential_power"] = {
        f"{first:g} and {second:g}": sequential_power(first, second, most, n, generator)
        for first, second, most in ((0.5, 0.7, 200), (0.8, 0.9, 400), (0.3, 0.6, 100))
    }
    result["planned_power"] = planned_power(n, generator)
    result["passed"] = all(
        entry["passed"]
        for part in ("coverage", "cautious", "learned", "false_claims")
        for entry in result[part].values()
    )
    publish("calibration", result)


if __name__ == "__main__":
    main()
