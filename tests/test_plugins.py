"""Tasks of other packages: found by entry point, left out with a warning when their module fails."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from robotics.environments import make_env
from robotics.errors import UsageError

EXAMPLE = Path(__file__).parent.parent / "scripts" / "examples" / "slide_task.py"


@pytest.fixture
def installed(tmp_path):
    """A function that installs a module as a distribution with an entry point, and returns what runs beside it."""

    def install(name, source):
        (tmp_path / f"{name}.py").write_text(source)
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[robotics.tasks]\n{name} = {name}\n")

    def run(*arguments):
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
        return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment)

    return install, run


def test_the_example_is_a_task_like_ours(installed):
    install, run = installed
    install("slide_task", EXAMPLE.read_text())
    listed = run("-m", "robotics.cli.main", "list", "envs", "--json")
    rows = {row["id"]: row for row in json.loads(listed.stdout)["envs"]}
    assert {"robotics/TransferCube-v0", "example/Slide-v0"} <= set(rows)
    assert (rows["example/Slide-v0"]["robot"], rows["example/Slide-v0"]["horizon"]) == ("sled", 200)
    code = """
import gymnasium, numpy, robotics
from gymnasium.utils.env_checker import check_env
from robotics.evaluation.agents import open_policy
from robotics.evaluation.rollout import run_episode
env = gymnasium.make("example/Slide-v0", disable_env_checker=True)
check_env(env.unwrapped, skip_render_check=True)
agent = open_policy("expert").agent(env)
assert all(run_episode(env, agent, seed).success for seed in range(20))
vector = gymnasium.make_vec("example/Slide-v0", num_envs=20)
observation, _ = vector.reset(seed=0)
solved = numpy.zeros(20, bool)
for _ in range(200):
    observation, _, _, _, info = vector.step(observation["environment_state"])
    solved |= info["success"]
assert solved.all()
"""
    done = run("-W", "error", "-c", code)
    assert done.returncode == 0, done.stderr


def test_the_example_is_short():
    assert len([line for line in EXAMPLE.read_text().splitlines() if line.strip()]) <= 40


@pytest.mark.parametrize("failure", ["import nothing_of_this_name", "raise SystemExit(3)", "1 / 0", "import robotics;"])
def test_a_plugin_that_fails_warns_and_is_left_out(installed, failure):
    install, run = installed
    registration = 'import robotics\nrobotics.register_task("broken/It-v0", "broken:It", 10)\n'
    install("broken", f"{registration}{failure}\nraise RuntimeError('no')\n")
    install("slide_task", EXAMPLE.read_text())
    code = "import gymnasium, robotics; print(*robotics.ENVIRONMENTS); assert 'broken/It-v0' not in gymnasium.registry"
    done = run("-c", code)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) >= {"robotics/TransferCube-v0", "example/Slide-v0"}
    assert "broken/It-v0" not in done.stdout
    assert "plugin 'broken'" in done.stderr
    assert "left out" in done.stderr


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("robotics.register_task('robotics/Reach-v0', 'robotics.envs.tasks.lift:Lift', 7)", "exists already"),
        ("robotics.register_task('other/It-v0', 'other.It', 7)", "task 'other.It' of .*: give \"module:Class\""),
        ("robotics.register_task('other/It-v0', 'other:', 7)", 'give "module:Class"'),
        ("robotics.register_task('other/It-v0', 'other:It:It', 7)", 'give "module:Class"'),
        ("gymnasium.register('robotics/Reach-v0', 'other:It'); 1 / 0", "ZeroDivisionError"),
        ("gymnasium.register('other/It-v0', 'other:It'); raise SystemExit(3)", "SystemExit"),
    ],
)
def test_a_plugin_takes_nothing_over_and_leaves_nothing_behind(installed, code, message):
    install, run = installed
    install("other", f"import gymnasium, robotics\n{code}\n")
    check = """
import gymnasium, robotics
assert gymnasium.spec("robotics/Reach-v0").entry_point == robotics.ENVIRONMENTS["robotics/Reach-v0"]
assert robotics.ENVIRONMENTS["robotics/Reach-v0"] == "robotics.envs.tasks.reach:Reach"
assert not any(name.startswith("other/") for name in (*gymnasium.registry, *robotics.ENVIRONMENTS))
"""
    done = run("-c", check)
    assert done.returncode == 0, done.stderr
    assert re.search(f"plugin 'other'.*left out.*{message}", done.stderr), done.stderr


@pytest.mark.parametrize(
    ("task", "message"),
    [("nothing:Task", "No module named 'nothing'"), ("lazy:Task", "robot_type"), ("leaves:Task", "'lazy/It-v0'")],
)
def test_a_task_that_can_not_be_imported_is_left_out_of_the_list(installed, tmp_path, task, message):
    install, run = installed
    install("lazy", f"import robotics\nrobotics.register_task('lazy/It-v0', '{task}', 7)\nclass Task: pass\n")
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)\n")
    done = run("-m", "robotics.cli.main", "list", "envs", "--json")
    assert done.returncode == 0, done.stderr
    names = {row["id"] for row in json.loads(done.stdout)["envs"]}
    assert "robotics/Reach-v0" in names and "lazy/It-v0" not in names
    (warning,) = done.stderr.strip().splitlines()
    assert re.search(f"warning: environment 'lazy/It-v0' is left out: .*{message}", warning)


@pytest.mark.parametrize("failure", ["raise RuntimeError('no\\nway')", "raise SystemExit(3)", "1 / 0", "def"])
def test_a_module_that_fails_while_it_is_imported_is_told_in_one_line(tmp_path, failure, monkeypatch):
    (tmp_path / "fails_at_once.py").write_text(failure)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match=r"'fails_at_once:It-v0': module 'fails_at_once' can not be imported \(\w+: "):
        make_env("fails_at_once:It-v0")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("-1, 1, (1,))}", "-1, 1, (3,))}"), r"'environment_state' of shape \(1,\), state_spaces says shape \(3,\)"),
        (('"environment_state": state.userdata', '"goal": state.userdata'), "'goal' of shape .* says nothing"),
    ],
)
def test_observations_that_are_not_what_a_task_announces(installed, change, message):
    install, run = installed
    assert change[0] in EXAMPLE.read_text()
    install("slide_task", EXAMPLE.read_text().replace(*change))
    done = run("-m", "robotics.cli.main", "bench", "--env", "example/Slide-v0", "--policy", "random", "--episodes", "1")
    assert done.returncode == 2
    assert re.search(f"error: Slide: observe gives {message}", done.stderr), done.stderr
