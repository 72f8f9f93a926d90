"""What progress says of the time that is left."""

from robotics.progress import Progress


def test_there_is_no_less_than_nothing_to_go():
    """What steps in strides may end beyond its total."""
    bar = Progress("train", 100, "steps")
    assert bar.eta_s == float("inf")
    bar.advance(50)
    assert 0 < bar.eta_s < 60
    bar.advance(64)
    assert bar.eta_s == 0
