"""Collects a small dataset and keeps a copy of it as it was before every single rename: DATA STATES.

Files appear by renaming only, so these copies are all the states that a kill can leave behind.
"""

import os
import shutil
import sys
from pathlib import Path
from unittest import mock

from robotics.datasets.collect import collect

ENVIRONMENT = "robotics/TransferCube-v0"
EPISODES = 3


def collect_with_states(data: Path, states: Path) -> None:
    """Collect into `data`; folder `states`/NNN is `data` before the NNN-th rename."""
    replace = os.replace
    taken = 0

    def replace_after_copy(source: str | Path, target: str | Path) -> None:
        nonlocal taken
        shutil.copytree(data, states / f"{taken:03d}")
        taken += 1
        replace(source, target)

    with mock.patch("os.replace", replace_after_copy):
        collect(ENVIRONMENT, EPISODES, 0, data, env_kwargs={"cameras": ("top",)})


if __name__ == "__main__":
    collect_with_states(Path(sys.argv[1]), Path(sys.argv[2]))
