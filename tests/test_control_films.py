"""What a film says of a run of a controller: it claims success only where there was one."""

from types import SimpleNamespace

import pytest

from robotics.control import run
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


def test_a_film_says_under_what_conditions():
    trial = Trial("quadruped", "trot", conditions=Conditions(payload=8.0, delay_s=0.01))
    session = SimpleNamespace(faults=dict, results=dict, timing_ms={"tick": [0.1]})
    caption = run._caption(trial, session, run._Outcome(simulated_s=4.0))
    assert caption.detail.endswith("seed 0 · delay 0.01 s · payload 8.0 kg")
