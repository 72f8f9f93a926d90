"""What a film says of a run of a controller: it claims success only where there was one."""

from types import SimpleNamespace

import pytest

from robotics.cli.control import _circle
from robotics.control import run
from robotics.control.circle import judged
from robotics.control.trial import Conditions, Trial


@pytest.mark.parametrize(
    ("fell", "given_up", "missed", "words", "success"),
    [
        (False, 0, [], "went well for 4.0 s", True),
        (False, 50, [], "went well for 4.0 s", True),  # of 1000 ticks
        (False, 51, [], "no solution in 5% of 4.0 s", False),
        (False, 980, [], "no solution in 98% of 4.0 s", False),
        (True, 980, [], "failed after 4.0 s", False),
        (False, 0, [0.02], "2 of 3 targets met in 4.0 s", False),
    ],
)
def test_a_run_that_did_not_go_well_is_not_said_to_have(fell, given_up, missed, words, success):
    session = SimpleNamespace(
        faults=lambda: {"fallback_ticks": given_up},
        results=lambda: {"targets": {"given": 3, "missed_m": missed}},
        timing_ms={"tick": [0.1] * 1000},
    )
    outcome = run._Outcome(fell=fell, simulated_s=4.0)
    caption = run._caption(Trial("quadruped", "trot"), session, outcome)
    assert (caption.outcome, caption.success) == (words, success)


@pytest.mark.parametrize(
    ("off", "words"), [(0.1, "went well for 4.0 s"), (0.84, "off its circle by 84% of the radius")]
)
def test_a_circle_that_was_not_followed_did_not_go_well(off, words):
    circle, rms = {"radius": 0.1, "off": off}, {"position": 0.1 * off}
    session = SimpleNamespace(faults=dict, results=lambda: {"circle": circle}, timing_ms={"tick": [0.1]})
    caption = run._caption(Trial("arm", "track"), session, run._Outcome(simulated_s=4.0))
    assert (caption.outcome, caption.success) == (words, off <= 0.1)
    assert judged(0.1, rms | {"orientation": 9.0}) == pytest.approx(circle)
    assert _circle(circle) == [
        f"circle       of 0.1 m in radius, {'followed' if off <= 0.1 else 'NOT followed: off by 84% of it'}"
    ]


def test_a_film_says_under_what_conditions():
    trial = Trial("quadruped", "trot", conditions=Conditions(payload=8.0, delay_s=0.01))
    session = SimpleNamespace(faults=dict, results=dict, timing_ms={"tick": [0.1]})
    caption = run._caption(trial, session, run._Outcome(simulated_s=4.0))
    assert caption.detail.endswith("seed 0 · delay 0.01 s · payload 8.0 kg")
