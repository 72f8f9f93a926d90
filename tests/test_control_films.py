"""What a film says of a run of a controller: it claims success only where there was one."""

from types import SimpleNamespace

import pytest

from robotics.control import run
from robotics.control.trial import Trial


@pytest.mark.parametrize(
    ("fell", "given_up", "words", "success"),
    [
        (False, 0, "went well for 4.0 s", True),
        (False, 50, "went well for 4.0 s", True),  # of 1000 ticks
        (False, 51, "no solution in 5% of 4.0 s", False),
        (False, 980, "no solution in 98% of 4.0 s", False),
        (True, 980, "failed after 4.0 s", False),
    ],
)
def test_a_run_that_the_controller_gave_up_did_not_go_well(fell, given_up, words, success):
    session = SimpleNamespace(faults=lambda: {"fallback_ticks": given_up}, timing_ms={"tick": [0.1] * 1000})
    outcome = run._Outcome(fell=fell, simulated_s=4.0)
    caption = run._caption(Trial("quadruped", "trot"), session, outcome)
    assert (caption.outcome, caption.success) == (words, success)
