"""The program as a user types it: exit codes, one-line errors, one JSON document, and no traceback, ever."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from robotics.cli.bench import Options, document_of
from robotics.cli.main import COMMANDS, main, parse
from tests.toy import TOY_ID

TRANSFER = "robotics/TransferCube-v0"


def run(capsys, *arguments):
    """(exit code, stdout, stderr) of one call."""
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_help_names_every_command(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert all(f"\n  {name} " in out for name in COMMANDS)
    assert "hidden twin" in COMMANDS["demo"]


@pytest.mark.parametrize("command", [*COMMANDS, "train act", "data check", "list envs"])
def test_every_command_explains_itself(capsys, command):
    code, out, _ = run(capsys, *command.split(), "--help")
    assert code == 0
    assert "usage: robotics" in out
    assert "{None}" not in out  # leaving an option out says it


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        ("benhc", ["unknown command 'benhc'", "did you mean 'bench'", "available"]),
        ("list envz", ["unknown subcommand", "did you mean 'envs'"]),
        ("list", ["needs a subcommand"]),
        ("train", ["needs a subcommand"]),
        ("train dti --data x --out y", ["unknown subcommand", "did you mean 'dit'"]),
        ("bench --env robotics/TransferCub-v0 --policy expert", ["unknown environment", "did you mean"]),
        ("bench --env CartPole-v9 --policy random", ["did you mean 'CartPole-v1'"]),
        (f"bench --env {TRANSFER} --policy exprt", ["unknown policy", "did you mean 'expert'"]),
        (f"bench --env {TRANSFER} --policy expert --episods 3", ["--episods", "--episodes"]),
        (f"bench --env {TRANSFER} --policy expert --episodes three", ["three"]),
        (f"bench --env {TRANSFER} --policy", ["error: Missing value for argument '--policy'"]),
        (f"bench --env {TRANSFER} --policy expert --action-mode jiont", ["action mode", "did you mean 'joint'"]),
        (f"bench --env {TRANSFER} --policy expert --episodes 0", ["--episodes 0"]),
        (f"bench --env {TRANSFER} --policy expert --workers 0", ["--workers 0"]),
        ("bench --env nosuchmodule:X-v0 --policy random", ["nosuchmodule"]),
        ("bench --env robotics/TransferCube-v0", ["--policy"]),
        (f"collect --env {TRANSFER} --episodes 1 --seed 0 --out OUT --cameras tpo", ["camera", "did you mean 'top'"]),
        (f"collect --env {TRANSFER} --episodes 1 --seed 999999999 --out OUT", ["--seed 999999999"]),
        ("collect --env CartPole-v1 --episodes 1 --seed 0 --out OUT", ["no expert"]),
        (f"record --env {TRANSFER} --policy expert --seed 0 --out OUT/v.mp4 --size big", ["--size 'big'"]),
        (f"record --env {TRANSFER} --policy expert --seed 0 --out OUT/v.mp4 --camera lft", ["camera"]),
        (f"gap --env {TRANSFER} --policy zero --out OUT --films 2", ["--films 2", "--target"]),
        (f"gap --env {TRANSFER} --policy zero --out OUT --films -1", ["--films -1"]),
        ("sysid foo", ["available: excite"]),
        ("bench --policy zero --env=", ["unknown environment ''; available"]),
        ("collect --env x --out OUT --episdes 2 --seed 0", ["unknown option '--episdes'", "did you mean '--episodes'"]),
        (f"bench --env {TRANSFER} --policy zero --exam k --seed 5", ["--seed 5 contradicts --exam"]),
        (f"card --env {TRANSFER} --policy zero --out OUT --exam k --seed 5", ["--seed 5 contradicts --exam"]),
        (f"bench --env {TRANSFER} --policy zero --target twin.json", ["did you mean twin:twin.json?"]),
        (f"bench --env {TRANSFER} --policy zero --target factors:", ["factors: is not whole; write sim"]),
        (f"gap --env {TRANSFER} --out OUT --policy zero --policy random", ["--policy comes 2 times"]),
        (f"gap --env {TRANSFER} --out OUT --policy zero zero", ["--policy zero comes twice"]),
        (f"gap --env {TRANSFER} --out OUT --policy exprt", ["unknown policy 'exprt'"]),
        ("report OUT/x --out OUT/table.csv", ["the page is an .html file"]),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(capsys, tmp_path, arguments, fragments):
    code, out, err = run(capsys, *arguments.replace("OUT", str(tmp_path / "out")).split())
    assert code == 2
    assert len(err.strip().splitlines()) == 1, err
    assert err.startswith("error: ")
    assert all(fragment in err for fragment in fragments), err
    assert "Traceback" not in out + err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["train act --out OUT --data", "data check", "data info", "report"])
def test_missing_and_foreign_folders_are_one_line_and_exit_1(capsys, tmp_path, command):
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "notes.txt").write_text("hello")
    for folder in ("missing", "foreign"):
        code, _, err = run(capsys, *command.replace("OUT", str(tmp_path / "out")).split(), tmp_path / folder)
        assert code == 1
        assert len(err.strip().splitlines()) == 1, err
        assert folder in err


def test_a_folder_that_is_full_is_offered_only_what_the_command_has(capsys, tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    demonstrate = f"collect --env {TRANSFER} --episodes 1 --seed 0"
    for command, resumes in ((f"gap --env {TRANSFER} --policy zero", False), (demonstrate, True)):
        code, _, err = run(capsys, *command.split(), "--out", tmp_path)
        assert code == 2
        assert ("--resume" in err) == resumes, err


def test_a_terminal_without_unicode_gets_escapes(tmp_path):
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "robotics.cli.main"]
    done = subprocess.run([*command, "list", "factors"], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\xd7" in done.stdout
    done = subprocess.run([*command, "bench"], capture_output=True, text=True, env=environment, check=False)
    assert "----" not in done.stderr  # a frame drawn with what is there


@pytest.mark.parametrize("backend", ["osmesa-which-is-not-there", "nonsense"])
def test_no_opengl_is_one_line_with_the_cure(backend, tmp_path):
    command = [
        sys.executable,
        "-m",
        "robotics.cli.main",
        "record",
        "--env",
        TRANSFER,
        "--policy",
        "zero",
        "--seed",
        "0",
    ]
    environment = os.environ | {"MUJOCO_GL": backend}
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "v.mp4")], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert f"MUJOCO_GL={backend}" in done.stderr


def test_an_out_that_can_not_be_written_is_said_before_the_work(capsys, tmp_path):
    (tmp_path / "file").write_text("in the way")
    nowhere = tmp_path / "file" / "nowhere"
    for arguments in (
        f"bench --env {TOY_ID} --policy expert --episodes 2 --out {nowhere}",
        f"record --env {TOY_ID} --policy expert --seed 0 --out {nowhere}/v.mp4",
        f"collect --env {TOY_ID} --episodes 1 --seed 0 --out {nowhere}",
    ):
        code, _, err = run(capsys, *arguments.split())
        assert code == 2
        assert f"nothing can be written to {nowhere}" in err
        assert len(err.strip().splitlines()) == 1


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="takes a folder that nobody can write to, root neither")
def test_what_can_not_be_written_is_said_by_its_own_name(capsys):
    code, _, err = run(capsys, "collect", "--env", TOY_ID, "--episodes", 1, "--seed", 0, "--out", "/proc/nowhere")
    assert code == 2 and "nothing can be written to /proc/nowhere" in err and "no room" not in err
    twin = ["twin", "make", "--env", "robotics/Reach-v0", "--severity", "mild", "--seed", 1]
    for out in ("/proc/twin.json", "/proc/nowhere/twin.json"):
        code, _, err = run(capsys, *twin, "--out", out)
        assert code == 1 and err.startswith(f"error: {out}: can not be written (") and ".tmp" not in err


@pytest.mark.parametrize("arguments", ["list envs", "list policies", "list controllers", "list robots", "bench"])
def test_json_is_exactly_one_document_on_stdout(capsys, arguments):
    if arguments == "bench":
        arguments = f"bench --env {TOY_ID} --policy expert --episodes 2"
    code, out, _ = run(capsys, *arguments.split(), "--json")
    assert code == 0
    assert json.loads(out)["schema"] == 1


def test_list_knows_what_exists(capsys):
    _, out, _ = run(capsys, "list", "envs", "--json")
    (row,) = [row for row in json.loads(out)["envs"] if row["id"] == TRANSFER]
    assert row["action_modes"] == ["joint", "ee"]
    assert row["horizon"] == 400
    assert row["cameras"] == ["top", "angle", "left_wrist", "right_wrist"]
    _, out, _ = run(capsys, "list", "policies", "--json")
    assert {"expert", "random", "zero", "act"} <= {row["name"] for row in json.loads(out)["policies"]}


def test_every_robot_has_a_line_and_a_controller():
    from robotics.control.robots import ROBOTS as CONTROLLED
    from robotics.envs import ROBOTS

    assert set(ROBOTS) == set(CONTROLLED)


def test_bench_document_is_kept_and_never_silently_replaced(capsys, tmp_path):
    call = ["bench", "--env", TOY_ID, "--policy", "expert", "--episodes", "2", "--out", tmp_path]
    assert run(capsys, *call)[0] == 0
    before = (tmp_path / "bench-expert-1000000.json").read_bytes()
    code, _, err = run(capsys, *call)
    assert code == 2
    assert "--overwrite" in err
    assert (tmp_path / "bench-expert-1000000.json").read_bytes() == before
    assert run(capsys, *call, "--overwrite")[0] == 0


def test_documents_of_other_circumstances_have_other_names(tmp_path):
    def name(*more: str) -> str:
        given = ["--env", TRANSFER, "--policy", "runs/act", "--out", str(tmp_path), *more]
        return document_of(parse(Options, given, "robotics bench")).name

    several = [(), ("--exam", "swordfish"), ("--exam", "b"), ("--calibration", "c.json"), ("--delay", "2")]
    several += [("--target", f"factors:{change}") for change in ("mass=1.1", "mass=1.2", "friction=1.1")]
    several += [("--target", f"twin:runs/{twin}.json") for twin in ("first", "second")]
    names = [name(*more) for more in several]
    assert len(set(names)) == len(several)
    assert names[0] == "bench-act-1000000.json" and names[5] == "bench-act-1000000-on-factors_mass=1.1.json"
    assert "swordfish" not in names[1]


@pytest.mark.parametrize("command", ["gap", "card"])
def test_what_is_refused_costs_no_earlier_report(capsys, tmp_path, command):
    out = tmp_path / "out"
    out.mkdir()
    (out / f"{command}.json").write_text("measured for hours")
    asked = f"{command} --env {TRANSFER} --out {out} --overwrite --policy"
    for refused in ("exprt", "expert --delay 1", "zero --episodes 1 --seed -1"):
        assert run(capsys, *f"{asked} {refused}".split())[0] == 2
    assert [path.read_text() for path in out.iterdir()] == ["measured for hours"]


def test_excitation_and_page_replace_nothing_that_was_not_meant(capsys, tmp_path):
    motion = tmp_path / "motion.csv"
    motion.write_text("mine")
    code, _, err = run(capsys, "sysid", "excite", "--robot", "arm", "--out", motion)
    assert code == 2 and "give --overwrite" in err and motion.read_text() == "mine"


def test_table_for_people_tells_the_interval(capsys):
    _, out, _ = run(capsys, "bench", "--env", TOY_ID, "--policy", "expert", "--episodes", "3")
    assert "100.0%  [43.9%, 100.0%]" in out
    _, out, _ = run(capsys, "bench", "--env", TOY_ID, "--policy", "zero", "--episodes", "2")
    assert "failed seeds 1000000, 1000001" in out


def test_whole_way_on_the_command_line(capsys, tmp_path):
    data, out = tmp_path / "data", tmp_path / "run"
    assert run(capsys, "collect", "--env", TOY_ID, "--episodes", 3, "--seed", 0, "--out", data)[0] == 0
    assert run(capsys, "data", "check", data)[0] == 0
    assert run(capsys, "train", "act", "--data", data, "--out", out, "--steps", 2, "--batch-size", 4)[0] == 0
    assert run(capsys, "train", "act", "--data", data, "--out", out, "--steps", 3, "--resume")[0] == 0
    assert run(capsys, "bench", "--env", TOY_ID, "--policy", out, "--episodes", 1, "--out", out)[0] == 0
    film = out / "videos" / "policy.mp4"
    assert run(capsys, "record", "--env", TOY_ID, "--policy", out, "--seed", 1_000_000, "--out", film)[0] == 0
    assert run(capsys, "report", out)[0] == 0
    assert (out / "report.html").stat().st_size > 1e6
    code, _, err = run(capsys, "train", "act", "--data", data, "--out", out)
    assert (code, "already holds something" in err) == (2, True)


def test_interrupt_is_quiet_and_keeps_what_was_committed(tmp_path):
    out = tmp_path / "data"
    command = [sys.executable, "-m", "robotics.cli.main", "collect", "--env", TOY_ID, "--episodes", "100000"]
    process = subprocess.Popen([*command, "--seed", "0", "--out", str(out)], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(out.glob("data/*/*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert main(["data", "check", str(out)]) == 0
