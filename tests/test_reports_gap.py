"""The page of a gap: whole and self-contained, whatever is missing or hostile in the document."""

import copy
import csv
import json
import re

import numpy as np
import pytest

from robotics.errors import DataError, UsageError
from robotics.evaluation.paired import Pairs, bootstrap_difference, mcnemar_exact, mcnemar_mid_p, newcombe_paired
from robotics.evaluation.statistics import wilson
from robotics.media import side_by_side
from robotics.media.side_by_side import Side, record_side_by_side
from robotics.reports.gap import gap_summary, read_gap, write_gap_page
from robotics.reports.gap_films import telling_places
from robotics.reports.page import write_report
from robotics.sim2real.initial_states import distinct_initial_states
from robotics.sim2real.world import World

N = 40


def arm(success):
    hits = int(success.sum())
    return {
        "n": N,
        "successes": hits,
        "rate": hits / N,
        "ci95": list(wilson(hits, N)),
        "return_mean": 1.0,
        "success": success.tolist(),
    }


def paired(sim, target):
    pairs = Pairs.of(sim, target)
    return {
        "n": N,
        "sim_only": pairs.first_only,
        "target_only": pairs.second_only,
        "drop": pairs.difference,
        "ci95": list(newcombe_paired(pairs)),
        "ci95_bootstrap": list(bootstrap_difference(sim, target, np.random.default_rng(0))),
        "mcnemar_p": mcnemar_exact(pairs),
        "mcnemar_mid_p": mcnemar_mid_p(pairs),
        "correlation": pairs.correlation,
        "seeds_needed": 31,
    }


def curve(factor, unit, values, rates, nominal):
    points = [
        {
            "severity": 0.0,
            "value": v,
            "n": N,
            "successes": round(r * N),
            "rate": r,
            "ci95": list(wilson(round(r * N), N)),
        }
        for v, r in zip(values, rates, strict=True)
    ]
    worst = min(points, key=lambda point: point["rate"])
    return {
        "factor": factor,
        "group": "dynamics",
        "unit": unit,
        "nominal": nominal,
        "range": [values[0], values[-1]],
        "points": points,
        "auc": 0.8,
        "auc_ci95": [0.7, 0.9],
        "severity_halved": None,
        "worst": {"severity": 1.0, "value": worst["value"], "rate": worst["rate"]},
    }


def player(name, part, significant):
    return {
        "name": name,
        "shapley": part,
        "ci95": [part - 0.1, part + 0.1],
        "share": part / 0.4,
        "share_ci95": [part / 0.4 - 0.2, part / 0.4 + 0.2],
        "single": part * 0.8,
        "single_ci95": [part * 0.8 - 0.1, part * 0.8 + 0.1],
        "p": 0.001 if significant else 0.4,
        "significant": significant,
    }


def policy(label, sim_rate, lost, generator):
    sim = generator.random(N) < sim_rate
    target = sim & (generator.random(N) > lost)
    groups = {
        "method": "exact",
        "seeds": N,
        "total": 0.4,
        "total_ci95": [0.25, 0.55],
        "sure": True,
        "interaction": 0.05,
        "interaction_ci95": [-0.05, 0.15],
        "additivity_error": 1e-16,
        "players": [player("actuator", 0.3, True), player("contact", 0.08, False), player("timing", 0.02, False)],
    }
    return {
        "policy": label,
        "label": label,
        "determinism": {"seeds": 2, "worlds": 2, "identical": True},
        "plan": {"seeds": N, "notes": ["the budget did not allow curves"]},
        "sim": arm(sim),
        "target": arm(target),
        "paired": paired(sim, target),
        "curves": [
            curve("command_delay", "s", [0.0, 0.02, 0.04], [0.9, 0.7, 0.3], 0.0),
            curve("contact_friction", "×", [0.3, 1.0, 1.5], [0.8, 0.9, 0.85], 1.0),
        ],
        "robustness": {
            "cells": 4,
            "mean": 0.66,
            "worst": {"factor": "command_delay", "value": 0.04, "rate": 0.3},
            "cvar": 0.3,
            "cvar_ci95": [0.17, 0.45],
            "cvar_share": 0.1,
        },
        "attribution": {"groups": groups, "within": {"group": "actuator", **groups}},
        "shift": {
            "seeds": N,
            "observation": {"accuracy": 0.75, "ci95": [0.6, 0.86], "n": N},
            "action_wasserstein": [0.01, 0.2],
            "counterfactual_action": 0.03,
            "unit": "of the action range",
        },
        "episodes_run": 400,
        "verdict": [f"{label} loses much", "75 % of the drop comes from actuator [25, 100]"],
    }


@pytest.fixture
def document():
    generator = np.random.default_rng(0)
    return {
        "schema": 1,
        "kind": "gap",
        "env": "robotics/PickPlace-v0",
        "env_kwargs": {},
        "seed": 1_000_000,
        "episodes": N,
        "mode": "full",
        "randomisation": "off",
        "target": {
            "kind": "hidden twin",
            "env": "robotics/PickPlace-v0",
            "severity": "medium",
            "seed": 3,
            "commitment": "abc123",
        },
        "factors": ["command_delay", "contact_friction"],
        "versions": {"robotics": "0.1.0"},
        "seconds": 120.0,
        "initial_states": 39,
        "not_modelled": ["pictures have no motion blur"],
        "policies": [policy("careful", 0.95, 0.2, generator), policy("hasty", 0.8, 0.6, generator)],
    }


def page_of(document, folder):
    (folder / "gap.json").write_text(json.dumps(document))
    return write_gap_page(folder).read_text()


def shown(page):
    """The page without the library in its head."""
    return page[page.index("<main>") :]


def test_page_shows_what_was_measured(document, tmp_path):
    page = shown(page_of(document, tmp_path))
    one = document["policies"][0]
    for text in (
        "75 % of the drop comes from actuator [25, 100]",
        f"{one['sim']['successes']}/{N}",
        f"{100 * one['paired']['drop']:+.1f}",
        "command delay",
        "randomisation off",
        "hidden twin",
        "commitment abc123",
        "MMRV",
        "not enough evidence: 2 policies",
        "pictures have no motion blur",
        "the budget did not allow curves",
        "39 different initial states",
        "No films",
    ):
        assert text in page, text
    assert page.count('class="plotly-graph-div"') == 1 + 2 * 3
    assert "It is not one." in page  # a twin is never called a real machine


def test_page_needs_nothing_from_elsewhere(document, tmp_path):
    page = page_of(document, tmp_path)
    assert not re.search(r'<(?:script|link|img|video)[^>]*(?:src|href)="(?!data:)', page)


def test_numbers_are_a_table(document, tmp_path):
    page_of(document, tmp_path)
    rows = list(csv.DictReader((tmp_path / "gap_numbers.csv").read_text().splitlines()))
    drops = {row["policy"]: float(row["value"]) for row in rows if row["part"] == "drop"}
    assert drops == {one["label"]: one["paired"]["drop"] for one in document["policies"]}
    assert sum(row["part"] == "curve" for row in rows) == 12
    assert all(float(row["low"]) <= float(row["value"]) <= float(row["high"]) for row in rows)


def test_parts_that_were_not_measured_are_said_to_be_missing(document, tmp_path):
    bare = copy.deepcopy(document) | {"target": None}
    for one in bare["policies"]:
        one |= {"target": None, "paired": None, "attribution": None, "shift": None, "curves": [], "robustness": None}
    page = shown(page_of(bare, tmp_path))
    assert "no target: single factors only" in page
    assert "there is no target" in page and "No curves in this report" in page
    assert "MMRV" not in page and "None" not in page


def test_policies_that_never_vary(document, tmp_path):
    for one in document["policies"]:
        never = np.zeros(N, bool)
        one |= {"sim": arm(never), "target": arm(never), "paired": paired(never, never)}
        one["paired"]["seeds_needed"] = None
        one["curves"][0] |= {"auc": None, "auc_ci95": None}
        one["shift"]["observation"] = {"accuracy": None, "ci95": None, "n": 0}
        for player in one["attribution"]["groups"]["players"]:
            player |= {"share": None, "share_ci95": None}
        one["attribution"]["groups"]["sure"] = False
    page = shown(page_of(document, tmp_path))
    assert "Not enough evidence of any drop" in page and "nan" not in page.lower().replace("nanosec", "")


def test_a_picture_of_nothing_is_left_out(document, tmp_path):
    """Of two policies one lost nothing: a run's page shows what the other lost, and where."""

    def pictured() -> list[str]:
        (tmp_path / "gap.json").write_text(json.dumps(document))
        return [label for label, _ in gap_summary(tmp_path)["blame"]]

    labels = [one["label"] for one in document["policies"]]
    assert len(labels) > 1 and pictured() == labels
    for player in document["policies"][0]["attribution"]["groups"]["players"]:
        player |= {"shapley": 0.0, "single": 0.0}
    assert pictured() == labels[1:]


def test_names_from_outside_are_escaped(document, tmp_path):
    document["policies"][0]["label"] = "<script>alert(1)</script>"
    document["policies"][0]["verdict"] = ["<b>x</b>"]
    page = page_of(document, tmp_path)
    assert "<script>alert" not in page and "<b>x</b>" not in page


@pytest.mark.parametrize(
    ("damage", "fragment"),
    [
        (lambda d: d.clear(), "no gap report"),
        (lambda d: d.update(kind="bench"), "no gap report"),
        (lambda d: d.update(schema=2), "schema 2"),
        (lambda d: d.update(policies=[]), "lists no policies"),
        (lambda d: d["policies"][0].pop("curves"), "lacks some of"),
    ],
)
def test_damaged_documents_in_one_line(document, tmp_path, damage, fragment):
    damage(document)
    (tmp_path / "gap.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=fragment):
        read_gap(tmp_path)


def test_report_of_a_gap_and_of_a_run_that_holds_one(document, tmp_path):
    folder = tmp_path / "run" / "gap"
    folder.mkdir(parents=True)
    (folder / "gap.json").write_text(json.dumps(document))
    assert write_report([folder], tmp_path / "page.html") == tmp_path / "page.html"
    assert "Gap of careful, hasty" in (tmp_path / "page.html").read_text()
    with pytest.raises(UsageError, match="give it alone"):
        write_report([folder, folder])
    bench = {"env": "x", "policy": "expert", "seed": 1, "success_rate": 1.0, "success_ci95": [0.2, 1.0]}
    bench |= {"return_mean": 1.0, "episodes": [{"seed": 1, "success": True, "return": 1.0, "length": 3}]}
    (folder.parent / "bench-expert-1.json").write_text(json.dumps(bench))
    page = shown(write_report([folder.parent]).read_text())
    assert "<h3>Gap</h3>" in page and "careful loses much" in page
    assert page.count('class="plotly-graph-div"') == 1 + 1 + 2 + 2


def test_no_gap_at_all(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        write_gap_page(tmp_path)


def test_seeds_that_begin_alike_count_once():
    assert distinct_initial_states("robotics/Reach-v0", {}, [5, 6, 5, 7]) == 3
    assert distinct_initial_states("robotics/Lift-v0", {}, [5, 6]) == 2


def test_telling_seeds_come_first():
    sim, target = [True, True, False, True, False], [True, False, True, False, False]
    assert telling_places(sim, target, 3) == [1, 2, 0]
    assert telling_places(sim, target, 9) == [1, 2, 0, 4, 3]
    assert telling_places(sim, target, 0) == []


def test_same_seed_side_by_side_is_in_the_page(document, tmp_path, monkeypatch):
    """The film says what became of both."""
    monkeypatch.setattr(side_by_side, "MAX_FPS", 2.0)  # drawing is what costs time
    sides = (Side("simulation", {}), Side("hidden twin", {"world": World.of(command_delay=0.04)}))
    film = tmp_path / "videos" / "pair.mp4"
    episodes = record_side_by_side("robotics/Reach-v0", "random", 1_000_000, sides, film, size=(48, 64))
    about = json.loads(film.with_suffix(".json").read_text())
    assert [side["length"] for side in about["sides"]] == [episode.length for episode in episodes]
    assert about["outcome"] == "failed | failed"
    page = shown(page_of(document, tmp_path))
    assert "simulation | hidden twin" in page and "data:video/mp4;base64," in page
