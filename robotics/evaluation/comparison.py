"""Is one policy better than another? Results of `robotics bench` beside each other, as far as their episodes can say.

Where both ran on the same seeds these are pairs, which tell a difference from half as many episodes or fewer: what made
an episode easy made it easy for both. A method of which there are several trainings is judged over them: the next
training comes out otherwise, which the episodes of one never show. Several comparisons of success at once are corrected
for being several (Holm); intervals are not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from scipy.special import stdtr, stdtrit

from robotics.errors import UsageError
from robotics.evaluation.bench_document import Bench
from robotics.evaluation.hierarchy import mean_over_trainings, rate_over_trainings
from robotics.evaluation.multiple import holm
from robotics.evaluation.paired import Pairs, bootstrap_difference, mcnemar_exact, mcnemar_mid_p, newcombe_paired
from robotics.evaluation.power import episodes_unpaired, seeds_to_show
from robotics.evaluation.sequential import anytime_p
from robotics.evaluation.statistics import Interval, bootstrap_mean
from robotics.evaluation.unpaired import exact_p, newcombe, square_and_add

#: Per training of a method, the results of its episodes.
Episodes: TypeAlias = Sequence[Sequence[float]]

SCHEMA = 1
#: Below this a difference is called one.
ALPHA = 0.05
#: What is None where an environment does not report success, and what more where it can not be.
_OF_SUCCESS = (
    *("difference", "difference_ci95", "first_only", "second_only"),
    *("test", "p", "p_holm", "mid_p", "anytime_p", "needed"),
)


@dataclass(frozen=True)
class Method:
    """What is compared: one result, or those of several trainings of one method."""

    label: str
    benches: tuple[Bench, ...]

    @property
    def document(self) -> dict[str, Any]:
        """Of the first result."""
        return self.benches[0].document

    @property
    def says_success(self) -> bool:
        return all(bench.document["success_rate"] is not None for bench in self.benches)

    def of_each(self, what: str) -> list[list[float]]:
        """Per training, the `success` or `return` of its episodes."""
        return [[float(episode[what] or 0.0) for episode in bench.document["episodes"]] for bench in self.benches]


def compare(methods: Sequence[Method]) -> dict[str, Any]:
    """The document of `robotics compare --json`: every result, and each after the first against the first.

    Raises UsageError for fewer than two, for results of different environments, and for one training beside several.
    """
    if len(methods) < 2:
        raise UsageError(f"{len(methods)} result: give two or more to compare")
    first, *others = methods
    for bench in (bench for method in methods for bench in method.benches):
        if bench.document["env"] != first.document["env"]:
            raise UsageError(
                f"{bench.file} is of {bench.document['env']}, {first.benches[0].file} of {first.document['env']}: "
                "compare policies on one environment"
            )
    comparisons = [_against(first, other) for other in others]
    tested = [one for one in comparisons if one["p"] is not None]
    for one, adjusted in zip(tested, holm([one["p"] for one in tested]), strict=True):
        one["p_holm"] = adjusted
    return {
        "schema": SCHEMA,
        "kind": "compare",
        "env": first.document["env"],
        "results": [_result(method) for method in methods],
        "comparisons": [one | {"verdict": verdict(one)} for one in comparisons],
    }


def _result(method: Method) -> dict[str, Any]:
    successes = method.of_each("success")
    hits, n = int(sum(map(sum, successes))), sum(map(len, successes))
    return {
        "label": method.label,
        "files": [bench.file for bench in method.benches],
        "n": n,
        "successes": hits if method.says_success else None,
        "success_rate": _mean(successes) if method.says_success else None,
        "success_ci95": list(rate_over_trainings(successes)) if method.says_success else None,
        "return_mean": _mean(method.of_each("return")),
    }


def _against(first: Method, second: Method) -> dict[str, Any]:
    """What `second` does better than `first`, positive where it does."""
    document: dict[str, Any] = {"first": first.label, "second": second.label, "differ": _differ(first, second)}
    trainings = [len(first.benches), len(second.benches)]
    if max(trainings) > 1:
        return document | {"trainings": trainings} | _of_trainings(first, second)
    a, b = (_by_seed(method.benches[0]) for method in (first, second))
    shared = [seed for seed in a if seed in b]
    paired = 2 * len(shared) >= min(len(a), len(b))  # a few that happen to be the same are not worth all others
    rows_a, rows_b = ([one[seed] for seed in (shared if paired else one)] for one in (a, b))
    document |= {
        "trainings": trainings,
        "paired": paired,
        "n": [len(rows_a), len(rows_b)],
        "left_out": [len(a) - len(rows_a), len(b) - len(rows_b)],
    }
    says = first.says_success and second.says_success
    document |= _successes(rows_a, rows_b, paired) if says else dict.fromkeys(_OF_SUCCESS)
    returns_b, returns_a = ([row["return"] for row in rows] for rows in (rows_b, rows_a))
    return document | _returns(returns_b, returns_a, paired)


def _of_trainings(first: Method, second: Method) -> dict[str, Any]:
    """As `_against`, over several trainings of each."""
    for method in (first, second):
        if len(method.benches) == 1:
            raise UsageError(
                f"{method.label} is one training, which does not tell how trainings vary: give two or more of it, or "
                "one of each"
            )
    document: dict[str, Any] = dict.fromkeys(_OF_SUCCESS)
    counts = [sum(len(bench.document["episodes"]) for bench in method.benches) for method in (first, second)]
    document |= {"paired": False, "n": counts, "left_out": [0, 0]}
    if first.says_success and second.says_success:
        difference, interval, p = _between(first.of_each("success"), second.of_each("success"), rate_over_trainings)
        document |= {"difference": difference, "difference_ci95": interval}
        document |= {"test": "Welch's t test of the trainings", "p": p}
    difference, interval, _ = _between(first.of_each("return"), second.of_each("return"), mean_over_trainings)
    return document | {"return_difference": difference, "return_difference_ci95": interval}


def _between(
    first: Episodes, second: Episodes, over: Callable[[Episodes], Interval]
) -> tuple[float, list[float], float]:
    """The difference of two methods, second minus first, its interval, with that of each `over` its trainings and no
    narrower than Welch's, and Welch's p-value."""
    a, b = _mean(first), _mean(second)
    p, welch = _welch(first, second)
    low, high = square_and_add(b, over(second), a, over(first))
    return b - a, [min(low, welch[0]), max(high, welch[1])], p


def _welch(first: Episodes, second: Episodes) -> tuple[float, Interval]:
    """p-value that both methods have one mean over trainings, and the interval of their difference, second minus first
    (Welch 1947): from two or three trainings the bootstrap claims one in four to one in ten differences that are none.

    No width, and no evidence, where neither varies.
    """
    means = [[float(np.mean(episodes)) for episodes in method] for method in (first, second)]
    noise = [float(np.var(one, ddof=1)) / len(one) for one in means]
    difference, error = float(np.mean(means[1]) - np.mean(means[0])), float(np.sqrt(sum(noise)))
    if error < 1e-12:
        return float(abs(difference) < 1e-12), (difference, difference)
    freedom = error**4 / sum(one**2 / (len(of) - 1) for one, of in zip(noise, means, strict=True))
    half = error * float(stdtrit(freedom, 0.975))
    return 2 * float(stdtr(freedom, -abs(difference) / error)), (difference - half, difference + half)


def _successes(rows_a: list[dict[str, Any]], rows_b: list[dict[str, Any]], paired: bool) -> dict[str, Any]:
    a, b = ([bool(row["success"]) for row in rows] for rows in (rows_a, rows_b))
    document: dict[str, Any] = dict.fromkeys(_OF_SUCCESS)
    if paired:
        pairs = Pairs.of(b, a)
        return document | {
            "difference": pairs.difference,
            "difference_ci95": list(newcombe_paired(pairs)),
            "first_only": pairs.second_only,
            "second_only": pairs.first_only,
            "test": "McNemar's exact test",
            "p": mcnemar_exact(pairs),
            "mid_p": mcnemar_mid_p(pairs),
            "anytime_p": anytime_p(zip(b, a, strict=True)),
            "needed": seeds_to_show(pairs),
        }
    counts_a, counts_b = ((sum(one), len(one)) for one in (a, b))
    rate_a, rate_b = (hits / n for hits, n in (counts_a, counts_b))
    test, p = exact_p(counts_b, counts_a)
    return document | {
        "difference": rate_b - rate_a,
        "difference_ci95": list(newcombe(counts_b, counts_a)),
        "test": test,
        "p": p,
        "needed": episodes_unpaired(rate_b, rate_a) if rate_a != rate_b else None,
    }


def _returns(second: list[float], first: list[float], paired: bool) -> dict[str, Any]:
    """The difference of the mean returns, second minus first, with its bootstrap interval."""
    rng, b, a = np.random.default_rng(0), float(np.mean(second)), float(np.mean(first))
    bounds: Interval | None = None
    if min(len(first), len(second)) > 1:
        bounds = (
            bootstrap_difference(second, first, rng)
            if paired
            else square_and_add(b, bootstrap_mean(second, rng), a, bootstrap_mean(first, rng))
        )
    return {"return_difference": b - a, "return_difference_ci95": bounds and list(bounds)}


def verdict(one: dict[str, Any]) -> str:
    """A comparison in plain words."""
    name, bounds, unit, scale = "difference", one["difference_ci95"], " points", 100.0
    if bounds is None:
        name, bounds, unit, scale = "return_difference", one["return_difference_ci95"], "", 1.0
    does = "succeeds more often" if scale > 1 else "has the higher return"
    sure = bounds is not None and not bounds[0] <= 0 <= bounds[1]
    if one["p_holm"] is not None:  # of trainings that do not vary the interval says more than the test
        sure = one["p_holm"] <= ALPHA and (sure or one["paired"] or max(one["trainings"]) == 1)
    few = f" (over {min(one['trainings'])} trainings)" if min(one["trainings"]) > 1 else ""
    if sure:
        sign, better = (scale, one["second"]) if one[name] > 0 else (-scale, one["first"])
        low, high = sorted(sign * bound for bound in bounds)
        return f"{better} {does}, by {sign * one[name]:.1f}{unit} [{low:.1f}, {high:.1f}]{few}"
    text = f"not enough evidence that either {does}"
    if bounds is not None:
        text += f": up to {scale * max(map(abs, bounds)):.1f}{unit} can not be excluded{few}"
    if one["needed"] is not None:
        what = "shared seeds" if one["paired"] else "episodes of each"
        text += f"; a difference as large as this one takes about {one['needed']} {what} to show (power 80 %)"
    return text


def _mean(by_training: Episodes) -> float:
    """Every training counts the same."""
    return float(np.mean([np.mean(episodes) for episodes in by_training]))


def _by_seed(bench: Bench) -> dict[Any, dict[str, Any]]:
    """Episode by what tells which it was: its seed, or its number in an exam."""
    exam = bench.document.get("exam")
    found = {(exam, episode["seed"]): episode for episode in bench.document["episodes"]}
    if len(found) < len(bench.document["episodes"]):
        raise UsageError(f"{bench.file} holds a seed twice: an episode counts once")
    return found


def _differ(first: Method, second: Method) -> list[str]:
    """In what else than the policy two results were measured otherwise."""
    a, found = first.document, []
    several = len(first.benches) + len(second.benches) > 2
    for bench in (*first.benches[1:], *second.benches):
        b, of = bench.document, f" of {bench.file}" if several else ""
        measured = ("target", "calibration", "execution", "device", "env_kwargs")
        found += [f"{name}{of}" for name in measured if (a.get(name) or None) != (b.get(name) or None)]
        of_a, of_b = (one.get("versions") or {} for one in (a, b))
        others = sorted(name for name in of_a.keys() & of_b.keys() if of_a[name] != of_b[name])
        found += [f"{name}{of} ({of_a[name]}, {of_b[name]})" for name in others]
    return found
