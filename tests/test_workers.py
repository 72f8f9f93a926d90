"""Worker processes that end by themselves: the error says what to do."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import pytest

from robotics.errors import RoboticsError
from robotics.workers import in_order

SCRIPT = """
from pathlib import Path
from robotics.datasets.collect import collect
{guard}collect("robotics/Reach-v0", 2, 0, Path("{out}"), workers=2)
"""


@dataclass(frozen=True)
class Ending:
    """Works until it is told the seed at which it dies."""

    at: int
    how: Callable[[], None]

    @contextmanager
    def open(self) -> Iterator[Callable[[int], int]]:
        yield self.work

    def work(self, seed: int) -> int:
        if seed == self.at:
            self.how()
        return seed


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_one_that_is_killed_may_lack_memory():
    with (
        in_order(Ending(3, kill), range(6), 2) as results,
        pytest.raises(RoboticsError, match="want of memory; try fewer --workers"),
    ):
        list(results)


def test_an_error_of_the_work_comes_with_its_trace():
    with (
        in_order(Ending(1, partial(int, "seven")), range(2), 2) as results,
        pytest.raises(RuntimeError, match=r"in a worker process:\n(.|\n)*ValueError: .*'seven'"),
    ):
        list(results)


@pytest.mark.parametrize(
    ("guard", "told"), [("", "under `if __name__ == '__main__':`"), ("if __name__ == '__main__': ", None)]
)
def test_a_script_without_a_guard_is_told_of_it(tmp_path, guard, told):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.format(guard=guard, out=tmp_path / "data"))
    run = subprocess.run([sys.executable, path], capture_output=True, text=True)
    assert (run.returncode == 0) == (told is None)
    assert told is None or told in run.stderr.strip().splitlines()[-1]
