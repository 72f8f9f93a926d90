"""The primitive of rewards: its plateau, its margin, and its symmetry."""

from itertools import pairwise

import pytest

from robotics.envs.rewards import tolerance


def test_plateau_margin_and_tail():
    assert tolerance(0.0, 0.1, 0.5) == tolerance(-0.1, 0.1, 0.5) == 1.0
    assert tolerance(0.6, 0.1, 0.5) == pytest.approx(0.1)
    values = [tolerance(0.1 + 0.05 * k, 0.1, 0.5) for k in range(40)]
    assert all(a > b for a, b in pairwise(values))
    assert 0.0 <= values[-1] < 1e-9
    assert tolerance(-0.3, 0.1, 0.5) == tolerance(0.3, 0.1, 0.5)


@pytest.mark.parametrize(("within", "margin"), [(-0.1, 1.0), (0.1, 0.0), (0.1, -1.0)])
def test_shapes_that_can_not_be_meant(within, margin):
    with pytest.raises(ValueError, match="margin > 0"):
        tolerance(0.0, within, margin)
