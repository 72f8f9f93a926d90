"""Fixtures shared by several files."""

import os
import signal

# Before torch is imported: tests run side by side, one to a core, and compare numbers with programs of one thread
os.environ["OMP_NUM_THREADS"] = "1"

import pytest

from tests.runs import toy_data, toy_run

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that starts the tests in the background has them ignore Ctrl-C, and every program that they start and stop
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def toy_dataset(tmp_path_factory):
    """Forty demonstrations of the toy. Read only."""
    return toy_data(tmp_path_factory.mktemp("toy") / "data", episodes=40)


@pytest.fixture(scope="session")
def toy_policy(toy_dataset, tmp_path_factory):
    """A run folder with a trained toy policy. Read only."""
    training = {"steps": 600, "lr": 3e-3, "save_every": 200}
    return toy_run(toy_dataset, tmp_path_factory.mktemp("toy") / "run", training_options=training)
