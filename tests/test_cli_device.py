"""Where a policy's network acts: `--device` of the commands that run one. Without a GPU at hand, one is pretended."""

import json

import pytest
import torch

from robotics.cli.main import main
from robotics.datasets.collect import collect
from robotics.errors import DataError, UsageError
from robotics.evaluation.agents import AgentSource, open_policy
from robotics.evaluation.bench import bench
from robotics.evaluation.bench_document import Bench, read_bench
from robotics.evaluation.comparison import Method, compare
from robotics.policies import checkpoint
from robotics.reinforcement.train import train as train_by_reward
from robotics.sim2real import loop
from robotics.training.train import train
from tests.runs import BRIEF, TINY
from tests.toy import TOY_ID

REACH = "robotics/Reach-v0"
ON_GPU = "cuda (Pretended 9000)"
COMMANDS = ("bench", "record", "gap", "card", "real2sim2real")


@pytest.fixture
def gpu(monkeypatch):
    """A machine that says it has a GPU; the devices that policies are loaded to, who act on the CPU all the same."""
    devices, load = [], checkpoint.load_policy

    def noted(path, device="cpu"):
        devices.append(str(device))
        return load(path)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Pretended 9000")
    for module in ("robotics.policies.checkpoint", "robotics.evaluation.batched"):
        monkeypatch.setattr(f"{module}.load_policy", noted)
    return devices


@pytest.fixture(scope="module")
def reach_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reach")
    collect(REACH, 1, 0, folder / "data")
    train("act", folder / "data", folder / "run", policy_options=TINY, training_options=BRIEF | {"steps": 2})
    return folder / "run"


def given(command, policy, folder, *more):
    env = TOY_ID if command in ("bench", "record") else REACH
    options = {
        "bench": ["--episodes", "2", "--out", str(folder)],
        "record": ["--seed", "1000000", "--out", str(folder / "film.mp4")],
        "gap": ["--episodes", "2", "--factors", "payload", "--out", str(folder / "gap")],
        "card": ["--episodes", "2", "--out", str(folder / "card")],
        "real2sim2real": ["--target", "factors:payload=0.4", "--out", str(folder / "loop")],
    }
    return [command, "--env", env, "--policy", str(policy), *options[command], *more]


def test_bench_acts_on_the_device_and_says_so(toy_policy, tmp_path, capsys, gpu):
    documents = {}
    for device in (None, "cpu", "cuda:1", "auto"):
        more = [] if device is None else ["--device", device]
        assert main(given("bench", toy_policy, tmp_path, *more, "--json", "--overwrite")) == 0
        documents[device] = json.loads(capsys.readouterr().out)
        assert set(gpu) == {{None: "cpu", "auto": "cuda"}.get(device, device)}
        gpu.clear()
    assert "device" not in documents[None] and "device" not in documents["cpu"]
    assert documents["cuda:1"]["device"] == documents["auto"]["device"] == ON_GPU
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"bench-run-1000000{end}.json" for end in ("", "-cuda_1", "-cuda")}
    assert main(given("bench", toy_policy, tmp_path, "--device", "cuda", "--overwrite")) == 0
    assert f"device       {ON_GPU}" in capsys.readouterr().out


def test_auto_is_the_cpu_where_there_is_nothing_else(toy_policy, tmp_path, capsys):
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("there is something else")
    assert main(given("bench", toy_policy, tmp_path, "--device", "auto", "--json")) == 0
    assert "device" not in json.loads(capsys.readouterr().out)
    assert [path.name for path in tmp_path.iterdir()] == ["bench-run-1000000.json"]


def test_a_film_says_where_the_network_acted(toy_policy, tmp_path, monkeypatch, gpu):
    drawn = []
    monkeypatch.setattr("robotics.media.record.develop", lambda frames, caption, *rest: drawn.append(caption.detail))
    assert main(given("record", toy_policy, tmp_path, "--device", "cuda")) == 0
    assert gpu == ["cuda"]
    assert json.loads((tmp_path / "film.json").read_text())["device"] == ON_GPU
    assert drawn == [f"run · seed 1000000 · network on {ON_GPU}"]


@pytest.mark.parametrize("copies", [1, 2])
def test_gap_acts_on_the_device_in_every_arm_and_film(reach_run, tmp_path, capsys, monkeypatch, gpu, copies):
    filmed = []
    monkeypatch.setattr(
        "robotics.reports.gap_films.record_side_by_side", lambda *_, **how: filmed.append(how["device"])
    )
    more = ["--device", "cuda", "--copies", str(copies), "--target", "factors:payload=0.4", "--films", "1"]
    assert main(given("gap", reach_run, tmp_path, *more)) == 0
    assert set(gpu) == {"cuda"} and len(gpu) > 4 and filmed == ["cuda"]
    assert f"run: network on {ON_GPU}; same seed" in capsys.readouterr().out
    document = json.loads((tmp_path / "gap" / "gap.json").read_text())
    assert [one["device"] for one in document["policies"]] == [ON_GPU]
    assert f"Its network acted on {ON_GPU}" in (tmp_path / "gap" / "report.html").read_text()


def test_card_acts_on_the_device(reach_run, tmp_path, capsys, gpu):
    assert main(given("card", reach_run, tmp_path, "--device", "cuda")) == 0
    assert set(gpu) == {"cuda"} and f"device       {ON_GPU}" in capsys.readouterr().out
    assert json.loads((tmp_path / "card" / "card.json").read_text())["device"] == ON_GPU
    assert f"network on {ON_GPU}" in (tmp_path / "card" / "card.html").read_text()


def test_an_interrupted_loop_goes_on_on_the_device_it_began_on(reach_run, tmp_path, capsys, monkeypatch, gpu):
    monkeypatch.setattr(loop._Loop, "_logs", lambda self: pytest.fail("stopped"))
    asked = given("real2sim2real", reach_run, tmp_path, "--episodes", "1", "--copies", "2")
    with pytest.raises(pytest.fail.Exception, match="stopped"):
        main([*asked, "--device", "cuda"])
    assert set(gpu) == {"cuda"}
    with pytest.raises(pytest.fail.Exception, match="stopped"):
        main([*asked, "--device", "auto", "--resume"])
    assert main([*asked, "--resume"]) == 2
    assert f"begun with device = '{ON_GPU}', not 'cpu'" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_a_device_that_is_not_there_is_what_train_says_of_it(toy_policy, toy_dataset, tmp_path, capsys, command):
    assert main(["train", "act", "--data", str(toy_dataset), "--out", str(tmp_path / "run"), "--device", "tpu"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: --device tpu is not there; this machine has auto, cpu")
    assert main(given(command, toy_policy, tmp_path, "--device", "tpu")) == 2
    assert capsys.readouterr().err == said and said.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("policy", ["expert", "zero"])
def test_who_has_no_network_acts_on_no_device(tmp_path, capsys, gpu, command, policy):
    assert main(given(command, policy, tmp_path, "--device", "cuda")) == 2
    assert f"--device cuda: {policy} acts on the CPU, it has no network; leave it out" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_who_learned_from_reward_acts_on_the_cpu(tmp_path, gpu):
    options = {"copies": 4, "rollout": 16, "steps": 64, "batch_size": 32, "layers": (16,), "eval_episodes": 1}
    train_by_reward("ppo", TOY_ID, tmp_path / "run", options=options)
    with pytest.raises(UsageError, match=r"--device cuda: .*run acts on the CPU, its network is small; leave it out"):
        bench(TOY_ID, str(tmp_path / "run"), 1, 1_000_000, device="cuda")
    assert open_policy(str(tmp_path / "run"), device="auto").circumstances == {}


def test_auto_asks_nobody_for_what_they_have_not(gpu):
    assert open_policy("expert", device="auto") == AgentSource("expert")


def test_results_of_different_devices_are_not_the_same(toy_policy, tmp_path, capsys, gpu):
    for device in ("cpu", "cuda"):
        assert main(given("bench", toy_policy, tmp_path, "--device", device)) == 0
    paths = sorted(tmp_path.iterdir(), key=lambda path: len(path.name))
    first, second = (read_bench(path) for path in paths)
    assert second.label == f"{first.label} · network on {ON_GPU}"
    document = compare([Method(one.label, (one,)) for one in (first, second)])
    assert document["comparisons"][0]["differ"] == ["device"]
    same = compare([Method("a", (first,)), Method("b", (Bench("again.json", first.document),))])
    assert same["comparisons"][0]["differ"] == []
    paths[1].write_text(json.dumps(second.document | {"device": 3}))
    with pytest.raises(DataError, match="device is 3, no name"):
        read_bench(paths[1])
