"""The robustness card: what is tried and what is not, the same numbers with any number of workers, and its page."""

import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from robotics.cli.main import main
from robotics.evaluation.agents import AgentSource, open_policy
from robotics.evaluation.bench import Rollouts
from robotics.reports.gap_card import card_csv, verdict, write_card
from robotics.reports.radar import Spoke, radar
from robotics.sim2real.applicability import task_of
from robotics.sim2real.card import ConditionTrials, robustness_card
from robotics.sim2real.card_axes import TOGETHER, UNSEEN, WORDS, ToldOtherwise, axes, in_other_words
from robotics.sim2real.factors import FACTORS
from robotics.sim2real.world import World

LIFT = "robotics/Lift-v0"


@pytest.fixture(scope="module")
def card():
    return robustness_card(LIFT, "zero", 2, 1_000_000)


def by_name(found):
    return {axis.name: axis for axis in found}


def test_axes_of_a_policy_with_eyes():
    task = task_of("robotics/Palletize-v0", cameras=("top",), image_size=(32, 32))
    found = by_name(axes("robotics/Palletize-v0", task, 1.0, reads_words=True))
    assert all(axis.missing is None for axis in found.values())
    (_, low), (_, high) = found["object size"].sides
    assert low["world"].as_dict() == {"object_size": FACTORS["object_size"].range[0]}
    assert high["world"].as_dict() == {"object_size": FACTORS["object_size"].range[1]}
    together = found[TOGETHER].sides[1][1]["world"].as_dict()
    alone = [name for axis in found.values() if axis.group in ("object", "scene") for name in axis.shown]
    assert set(together) == set(alone)
    assert found[UNSEEN].sides == (("robotics/PalletizeUnseen-v0", {}),)
    task.close()


def test_what_can_not_be_tried_says_why():
    task = task_of("robotics/Reach-v0")
    found = by_name(axes("robotics/Reach-v0", task, 1.0, reads_words=False))
    assert found["lighting"].missing == "the policy sees no pictures"
    assert found["object size"].missing == "nothing to change"
    assert found[UNSEEN].missing and found[WORDS].missing == "the policy reads no instruction"
    task.close()


def test_severity_scales_both_sides():
    task = task_of(LIFT)
    half = by_name(axes(LIFT, task, 0.5, False))["object mass"]
    assert [side[1]["world"].as_dict()["object_mass"] for side in half.sides] == pytest.approx([2**-0.5, 2**0.5])
    task.close()


def test_other_words_keep_what_the_instance_names():
    task = task_of("robotics/PickPlace-v0")
    said = {in_other_words(f"put the yellow cube into the {colour} bin", task, 0) for colour in ("red", "blue")}
    assert len(said) == 2 and all("put" not in words for words in said)
    assert in_other_words(task.task, task, 0) == task.paraphrases[0]
    assert in_other_words(task.task, task, 1) == task.paraphrases[1]
    task.close()


def test_a_policy_is_told_otherwise(monkeypatch):
    """It hears the paraphrase, and sees the same."""
    heard = []

    class Listener:
        def reset(self, env, seed):
            heard.append(env.unwrapped.instruction)

        def act(self, observation):
            return np.zeros(7)

    monkeypatch.setattr(AgentSource, "agent", lambda self, env: Listener())
    task = task_of(LIFT)
    task.reset(seed=0)
    agent = ToldOtherwise("zero").agent(task)
    agent.reset(task, 3)
    assert heard == [task.paraphrases[3 % len(task.paraphrases)]]
    assert agent.act(None).shape == (7,)
    task.close()


def test_trials_depend_on_nothing_but_their_condition_and_seed():
    """So that any number of workers gives the same card: in any order, each in an environment of its own or not."""
    reach = "robotics/Reach-v0"
    conditions = tuple(
        Rollouts(reach, kwargs, open_policy("random")) for kwargs in ({}, {"world": World.of(command_delay=0.04)})
    )
    job = ConditionTrials(conditions, ((0, 5), (0, 6), (1, 5), (1, 6)))
    results = []
    for order in ([0, 1, 2, 3], [3, 0, 2, 1]):
        with job.open() as work:
            done = {number: work(number) for number in order}
        results.append([done[number].return_ for number in range(4)])
    assert results[0] == results[1]
    assert results[0][0] != results[0][2]


def test_nothing_changes_for_a_policy_that_does_nothing(card):
    rows = {row["name"]: row for row in card["axes"]}
    assert rows["object mass"]["difference"] == 0 and rows["object mass"]["p_holm"] == 1
    assert rows["object mass"]["difference_ci95"][0] < -0.4  # two episodes show nothing
    assert "success_rate" not in rows["lighting"]
    assert not card["enough"] and verdict(card).startswith("Not enough evidence")


def test_card_is_written_whole(card, tmp_path):
    page = write_card(card, tmp_path).read_text()
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "not tried: the policy sees no pictures" in page and "<svg" in page
    assert json.loads((tmp_path / "card.json").read_text()) == json.loads(json.dumps(card))
    lines = card_csv(card).splitlines()
    assert lines[0].startswith("seed,as it is,object size") and len(lines) == 3
    assert lines[1].startswith("1000000,0,0")
    ElementTree.fromstring((tmp_path / "card.svg").read_text())


def test_names_from_outside_are_escaped(card, tmp_path):
    hostile = {**card, "policy_label": '<script>"x"</script>'}
    page = write_card(hostile, tmp_path).read_text()
    assert "<script>" not in page
    ElementTree.fromstring((tmp_path / "card.svg").read_text())


def _row(name, successes, n, p, difference):
    return {
        "name": name,
        "missing": None,
        "success_rate": successes / n,
        "p_holm": p,
        "difference": difference,
        "difference_ci95": [difference - 0.1, difference + 0.1],
    }


def test_verdict_claims_what_is_shown():
    document = {"episodes": 50, "enough": True, "nominal": {"success_rate": 0.9}}
    rows = [_row("lighting", 20, 50, 0.001, -0.5), _row("distractors", 40, 50, 0.2, -0.1)]
    said = verdict({**document, "axes": rows})
    assert "lighting (-50 points)" in said and "distractors" not in said
    assert "a loss of up to 20 points can not be excluded" in verdict({**document, "axes": rows[1:]})
    better = [_row("lighting", 50, 50, 0.001, 0.1)]
    said = verdict({**document, "axes": better})
    assert "No change is shown to cost success" in said and "lighting (+10 points)" in said
    assert "can not be excluded" not in said  # not a loss of -0 points either
    both = verdict({**document, "axes": [*better, _row("exposure", 20, 50, 0.001, -0.5)]})
    assert "costs it: exposure (-50 points)" in both and "gains by: lighting (+10 points)" in both
    assert verdict({**document, "enough": False, "episodes": 1, "axes": []}).startswith(
        "Not enough evidence: 1 episode "
    )


def test_radar_lies_where_it_says():
    picture = radar([Spoke("a", 1.0, (0.9, 1.0)), Spoke("b", 0.5, (0.4, 0.6)), Spoke("c", 0.0, (0, 0.1))], 1.0, "x")
    corners = re.search(r'points="([^"]*)"', picture).group(1).split()
    first, _, last = (np.array(corner.split(","), float) for corner in corners)
    assert first == pytest.approx((330, 70)) and last == pytest.approx((330, 220))
    assert radar([Spoke("a", 1.0, (0.9, 1.0))] * 2, 1.0, "x") == ""


def test_bad_options(capsys, tmp_path):
    for arguments, fragment in [
        (["--env", LIFT, "--policy", "zero", "--severity", "0"], "--severity 0"),
        (["--env", LIFT, "--policy", "zero", "--workers", "0"], "--workers 0"),
        (["--env", LIFT, "--policy", "zro"], "did you mean 'zero'"),
        (["--env", "CartPole-v1", "--policy", "zero"], "no task of this project"),
        (["--env", "robotics/Lft-v0", "--policy", "zero"], "did you mean"),
    ]:
        code = main(["card", *arguments, "--episodes", "1", "--out", str(tmp_path / "card")])
        err = capsys.readouterr().err
        assert code == 2 and err.startswith("error: ") and err.count("\n") == 1 and fragment in err
