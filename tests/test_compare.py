"""`robotics compare`: which test fits which seeds, what may be claimed, and what can not be compared."""

import json

import numpy as np
import pytest
from scipy.stats import boschloo_exact, fisher_exact, ttest_ind

from robotics.cli.main import main
from robotics.errors import UsageError
from robotics.evaluation.bench_document import Bench
from robotics.evaluation.comparison import Method, compare
from robotics.evaluation.multiple import holm
from robotics.evaluation.paired import Pairs, mcnemar_exact, newcombe_paired
from robotics.evaluation.statistics import wilson
from robotics.evaluation.unpaired import exact_p, newcombe

EASY, HARD = [True] * 45 + [False] * 5, [True] * 20 + [False] * 30


def result(successes, *, first_seed=1_000_000, policy="act", returns=None, **more):
    """A document of bench with these episodes."""
    n, known = len(successes), successes[0] is not None
    returns = returns or [float(bool(one)) for one in successes]
    rows = zip(range(first_seed, first_seed + n), successes, returns, strict=True)
    return {
        "schema": 1,
        "env": "robotics/Reach-v0",
        "policy": policy,
        "episodes": [{"seed": s, "success": one, "return": r, "length": 9} for s, one, r in rows],
        "success_rate": sum(successes) / n if known else None,
        "success_ci95": list(wilson(sum(successes), n)) if known else None,
        "return_mean": float(np.mean(returns)),
    } | more


def method(*documents, label="m"):
    return Method(label, tuple(Bench(f"{label}{i}.json", document) for i, document in enumerate(documents)))


def one(first, second):
    """The one comparison of two documents."""
    return compare([method(first, label="a"), method(second, label="b")])["comparisons"][0]


def test_the_same_seeds_are_pairs_and_positive_is_the_second():
    found = one(result(HARD), result(EASY))
    pairs = Pairs.of(EASY, HARD)
    assert (found["paired"], found["n"], found["second_only"], found["first_only"]) == (True, [50, 50], 25, 0)
    assert found["difference"] == pytest.approx(0.5)
    assert found["difference_ci95"] == list(newcombe_paired(pairs))
    assert found["p"] == found["p_holm"] == mcnemar_exact(pairs)
    assert found["verdict"].startswith("b succeeds more often, by 50.0 points [")
    assert one(result(EASY), result(HARD))["verdict"].startswith("a succeeds more often, by 50.0 points [")


def test_pairs_go_by_seed_not_by_place():
    """Episodes of one file in another order, and only some of them shared."""
    turned = result(HARD)
    turned["episodes"].reverse()
    assert one(result(EASY), turned) == one(result(EASY), result(HARD))
    later = one(result(EASY), result(HARD, first_seed=1_000_020))
    assert (later["paired"], later["n"], later["left_out"]) == (True, [30, 30], [20, 20])
    assert later["difference"] == pytest.approx(20 / 30 - 25 / 30)


@pytest.mark.parametrize("first_seed", [1_500_000, 1_000_040], ids=["other seeds", "a few shared"])
def test_other_seeds_are_no_pairs(first_seed):
    found = one(result(HARD), result(EASY, first_seed=first_seed))
    assert (found["paired"], found["n"], found["first_only"], found["anytime_p"]) == (False, [50, 50], None, None)
    assert found["p"] == pytest.approx(boschloo_exact([[45, 20], [5, 30]]).pvalue)
    assert found["difference_ci95"] == list(newcombe((45, 50), (20, 50)))


def test_many_trials_are_tested_by_fisher():
    counts = (700, 1000), (640, 1000)
    test, p = exact_p(*counts)
    assert test.startswith("Fisher")
    assert p == fisher_exact([[700, 640], [300, 360]]).pvalue


def test_episodes_of_an_exam_are_pairs_of_the_same_exam_alone():
    exam, other = ({"seed": None, "exam": key} for key in ("ab12", "cd34"))
    assert one(result(HARD, first_seed=0, **exam), result(EASY, first_seed=0, **exam))["paired"]
    assert not one(result(HARD, first_seed=0, **exam), result(EASY, first_seed=0, **other))["paired"]
    assert not one(result(HARD, first_seed=0, **exam), result(EASY, first_seed=0))["paired"]


def test_several_comparisons_pay_for_being_several():
    """p = 0.031 by itself is a claim; beside another one it is none."""
    base, better = [True] * 40 + [False] * 10, [True] * 46 + [False] * 4
    alone = one(result(base), result(better))
    assert alone["p"] == pytest.approx(2 * 0.5**6)
    assert alone["verdict"].startswith("b succeeds")
    both = compare([method(result(base), label="a"), *(method(result(better), label=name) for name in "bc")])
    assert [c["p_holm"] for c in both["comparisons"]] == holm([alone["p"]] * 2)
    assert all(c["verdict"].startswith("not enough evidence") for c in both["comparisons"])
    assert all("shared seeds to show" in c["verdict"] for c in both["comparisons"])


def test_no_difference_seen_is_no_proof_of_none():
    found = one(result(EASY), result(EASY))
    assert found["needed"] is None
    low, high = found["difference_ci95"]
    assert low < -0.05 < 0.05 < high
    assert found["verdict"].startswith("not enough evidence that either succeeds more often: up to ")


def test_without_success_returns_are_compared():
    rng = np.random.default_rng(0)
    low, high = rng.normal(1, 0.3, 50).tolist(), rng.normal(2, 0.3, 50).tolist()
    found = one(result([None] * 50, returns=low), result([None] * 50, returns=high))
    assert found["difference"] is found["p"] is None
    below, above = found["return_difference_ci95"]
    assert 0.8 < below < found["return_difference"] < above < 1.2
    assert found["verdict"].startswith("b has the higher return, by ")
    assert "not enough evidence" in one(result([None], returns=[1.0]), result([None], returns=[5.0]))["verdict"]


def test_methods_are_judged_over_their_trainings():
    """Trainings that differ by 60 points say little of a difference of 10, however many episodes each has."""
    hits = {"a": (100, 400), "b": (150, 450)}
    methods = [
        method(*(result([True] * n + [False] * (500 - n)) for n in both), label=name) for name, both in hits.items()
    ]
    document = compare(methods)
    found = document["comparisons"][0]
    assert found["trainings"] == [2, 2]
    assert found["p"] > 0.5
    assert found["difference"] == pytest.approx(0.1)
    low, high = found["difference_ci95"]
    assert low < -0.3 < 0.5 < high
    assert found["verdict"].startswith("not enough evidence")
    assert found["verdict"].endswith("(over 2 trainings)")
    assert document["results"][0]["n"] == 1000


def test_trainings_are_tested_as_scipy_does():
    rng = np.random.default_rng(1)
    a, b = ([(rng.random(50) < rng.uniform(0.3, 0.7)).tolist() for _ in range(n)] for n in (3, 4))
    found = compare([method(*map(result, a), label="a"), method(*map(result, b), label="b")])["comparisons"][0]
    expected = ttest_ind([np.mean(one) for one in b], [np.mean(one) for one in a], equal_var=False)
    assert found["p"] == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval(0.95)
    assert found["difference_ci95"][0] <= low + 1e-9 and high - 1e-9 <= found["difference_ci95"][1]


@pytest.mark.parametrize("trainings", [2, 3])
def test_few_trainings_seldom_claim_what_is_not(trainings):
    """Both methods are the same, and vary by 20 points from training to training."""
    rng, claimed = np.random.default_rng(0), 0
    for _ in range(50):
        rates = np.clip(rng.normal(0.5, 0.2, (2, trainings)), 0, 1)
        methods = [
            method(*(result((rng.random(100) < rate).tolist()) for rate in of_one), label=name)
            for name, of_one in zip("ab", rates, strict=True)
        ]
        claimed += "succeeds more often, by" in compare(methods)["comparisons"][0]["verdict"]
    assert claimed <= 6  # of 2.5 expected; the bootstrap alone claims 12 with two trainings


def test_trainings_that_were_measured_otherwise_are_named():
    first = method(result(HARD), result(HARD), label="a")
    second = method(result(EASY), result(EASY, target={"kind": "hidden twin"}), label="b")
    assert compare([first, second])["comparisons"][0]["differ"] == ["target of b1.json"]


def test_trainings_that_agree_are_no_surer_than_their_episodes():
    never_fails = method(*(result([True] * 20) for _ in range(3)), label="a")
    rate = compare([never_fails, never_fails])["results"][0]
    assert rate["success_ci95"] == list(wilson(60, 60))


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ([method(result(EASY))], "give two or more"),
        ([method(result(EASY)), method(result(EASY) | {"env": "robotics/Lift-v0"})], "on one environment"),
        ([method(result(EASY)), method(result(EASY), result(HARD))], "is one training"),
        ([method(result(EASY)), method(result(EASY) | {"episodes": 2 * result(EASY)["episodes"]})], "a seed twice"),
    ],
)
def test_what_can_not_be_compared(methods, message):
    with pytest.raises(UsageError, match=message):
        compare(methods)


def write(folder, name, document):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(document))
    return str(folder / name)


def test_the_command_line(tmp_path, capsys):
    easy = write(tmp_path / "a", "bench-act-1.json", result(EASY))
    hard = write(
        tmp_path / "b", "bench-act-1.json", result(HARD, versions={"mujoco": "4.0.0"}, target={"kind": "twin"})
    )
    assert main(["compare", str(tmp_path / "a"), hard, "--json"]) == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert [one["label"] for one in document["results"]] == ["act", "act · on twin"]
    assert "differ in target" in said.err
    other = write(tmp_path, "other.json", result(HARD))
    assert main(["compare", easy, other]) == 0
    assert f"act ({other}) against act ({easy}), 50 shared seeds" in capsys.readouterr().out
    assert main(["compare", f"act={easy},{hard}", f"dit={other},{tmp_path / 'a'}"]) == 2
    assert "comes 2 times" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "nope.json"], "nope.json: no such file"),
        (["a", "b"], "holds 2 documents of bench"),
        (["a", "=x"], "expected NAME=BENCH"),
        (["a", "broken.json"], "no bench document"),
        ([], "give two or more"),
    ],
)
def test_what_is_no_result_is_named(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a", "bench-act-1.json", result(EASY))
    for name in ("bench-x-1.json", "bench-y-1.json"):
        write(tmp_path / "b", name, result(EASY))
    (tmp_path / "broken.json").write_text("[]")
    assert main(["compare", *arguments]) in (1, 2)
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err
