"""How chunks become actions, as `robotics bench` and `robotics record` are told."""

import json

import pytest

from robotics.cli.bench import describe
from robotics.cli.main import main
from tests.toy import TOY_ID


def test_bench_executes_as_told_and_says_so(toy_policy, tmp_path, capsys):
    arguments = ["bench", "--env", TOY_ID, "--policy", str(toy_policy), "--episodes", "3", "--out", str(tmp_path)]
    late = ["--execution", "naive_async", "--delay", "2", "--n-action-steps", "3", "--unstick", "0.2"]
    assert main(arguments) == 0
    capsys.readouterr()
    assert main([*arguments, *late]) == 0
    assert "execution    naive_async, n_action_steps 3, delay 2, unstick 0.2" in capsys.readouterr().out
    documents = {path.name: json.loads(path.read_text()) for path in tmp_path.iterdir()}
    assert set(documents) == {"bench-run-1000000.json", "bench-run-1000000-naive_async-steps3-delay2-unstick0.2.json"}
    plain, told = (documents[name] for name in sorted(documents, key=len))
    assert "execution" not in plain
    assert told["execution"] == {"mode": "naive_async", "n_action_steps": 3, "delay": 2, "unstick": 0.2}
    assert [e["return"] for e in plain["episodes"]] != [e["return"] for e in told["episodes"]]
    assert "execution" not in describe(plain)


def test_a_film_says_how_it_was_executed(toy_policy, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("robotics.media.record.develop", lambda frames, caption, *rest: drawn.append(caption.detail))
    arguments = ["record", "--env", TOY_ID, "--policy", str(toy_policy), "--seed", "1000000"]
    for name, options in (("plain", []), ("told", ["--unstick", "0.2", "--speed", "2"])):
        assert main([*arguments, "--out", str(tmp_path / f"{name}.mp4"), *options]) == 0
    plain, told = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("plain", "told"))
    assert "execution" not in plain and told["execution"] == {"delay": 0, "unstick": 0.2}
    assert drawn == ["run · seed 1000000", "run · seed 1000000 · receding_horizon, unstick 0.2 · 2x speed"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--execution", "rtc"], "rtc needs a policy trained by flow"),
        (["--execution", "rtx"], "unknown execution mode 'rtx'"),
        (["--execution", "open_loop", "--n-action-steps", "2"], "n_action_steps 2 contradicts open_loop"),
        (["--execution", "naive_async", "--delay", "5"], "delay 5 is more than half of the policy's chunk, 8 actions"),
        (["--delay", "-1"], "delay -1 is negative"),
        (["--unstick", "0"], "unstick 0.0: give noise of more than 0 and at most 1"),
    ],
)
@pytest.mark.parametrize("command", ["bench", "record", "gap", "card"])
def test_contradictions_are_one_line(command, options, message, toy_policy, tmp_path, capsys):
    arguments = [command, "--env", TOY_ID, "--policy", str(toy_policy), "--seed", "1000000"]
    arguments += ["--episodes", "1"] if command == "bench" else ["--out", str(tmp_path / "film.mp4")]
    assert main([*arguments, *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_experts_have_no_chunks_to_execute(capsys):
    assert main(["bench", "--env", TOY_ID, "--policy", "expert", "--episodes", "1", "--delay", "1"]) == 2
    assert "expert predicts no chunks" in capsys.readouterr().err
