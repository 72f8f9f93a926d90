"""Fixtures shared by several files."""

import pytest

from tests.runs import toy_data, toy_run


@pytest.fixture(scope="session")
def toy_dataset(tmp_path_factory):
    """Forty demonstrations of the toy. Read only."""
    return toy_data(tmp_path_factory.mktemp("toy") / "data", episodes=40)


@pytest.fixture(scope="session")
def toy_policy(toy_dataset, tmp_path_factory):
    """A run folder with a trained toy policy. Read only."""
    training = {"steps": 600, "lr": 3e-3, "save_every": 200}
    return toy_run(toy_dataset, tmp_path_factory.mktemp("toy") / "run", training_options=training)
