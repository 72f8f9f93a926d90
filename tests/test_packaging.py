"""The house: rooms, arrows, packaging, and the speed-relevant laziness of the parent package."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
#: Folders beside robotics/ that are imported as robotics.<folder>.
MAPPED = ("controllers", "envs", "policies")


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def packages_on_disk() -> set[str]:
    found = set()
    for room in ("robotics", *MAPPED):
        for init in (ROOT / room).rglob("__init__.py"):
            parts = init.parent.relative_to(ROOT).parts
            found.add(".".join(parts if room == "robotics" else ("robotics", *parts)))
    return found


def test_every_folder_with_code_is_packaged(project):
    assert set(project["tool"]["setuptools"]["packages"]) == packages_on_disk()


def test_rooms_keep_to_their_arrows(tmp_path):
    """import-linter reads one tree: the folders are put where they are imported from."""
    shutil.copytree(ROOT / "robotics", tmp_path / "robotics", ignore=shutil.ignore_patterns("__pycache__"))
    for room in MAPPED:
        shutil.copytree(ROOT / room, tmp_path / "robotics" / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--no-cache"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 kept, 0 broken" in done.stdout


@pytest.mark.parametrize("room", MAPPED)
def test_a_room_is_not_importable_by_its_bare_name(room, tmp_path):
    done = subprocess.run([sys.executable, "-c", f"import {room}"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0


@pytest.mark.parametrize("heavy", ["torch", "mujoco", "cvxpy", "plotly", "pyarrow"])
def test_importing_the_parent_loads_nothing_heavy(heavy):
    code = f"import robotics, robotics.cli.main, sys; sys.exit('{heavy}' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_controllers_and_envs_load_no_torch():
    code = "import robotics.envs.tasks.transfer_cube, robotics.controllers.arms, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_policies_load_neither_simulator_nor_environments():
    code = (
        "import robotics.policies.registry, robotics.policies.checkpoint, robotics.policies.execution, sys;"
        "sys.exit('mujoco' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
