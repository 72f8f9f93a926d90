"""Training in several processes, under `kill -9`, and with too little memory."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from robotics.errors import RoboticsError
from robotics.policies.act import Act
from robotics.policies.checkpoint import load_policy
from robotics.policies.registry import make_policy
from robotics.training.memory import is_out_of_memory
from robotics.training.metrics import read_metrics
from tests.runs import BRIEF, TINY, toy_data, toy_run

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
#: A policy whose loss is the mean over its windows.
PLAIN = {"chunk_size": 1, "n_action_steps": 1, "actions_per_query": 1, "dropout": 0.0, "input_noise": 0.0}
#: One process of a training as `toy_run` makes it, for another interpreter.
SCRIPT = """
import json, sys
import torch._dynamo, torch.utils.tensorboard
from pathlib import Path
from robotics.errors import RoboticsError
from robotics.training.train import train
data, out, policy, training, resume = json.loads(sys.argv[1])
try:
    train("act", Path(data), Path(out), policy_options=policy, training_options=training, resume=resume)
except RoboticsError as error:
    sys.exit(f"error: {error}")
"""


def arguments(data, out, training, policy=None, resume=False):
    return [json.dumps([str(data), str(out), TINY | (policy or {}), BRIEF | training, resume])]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return toy_data(tmp_path_factory.mktemp("scale") / "data", episodes=3)


def weights(run):
    return load_file(run / "checkpoints" / "last" / "pretrained_model" / "model.safetensors")


def untrained(run):
    torch.manual_seed(0)
    return make_policy(load_policy(run).config).eval()


# -- several processes ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(data, tmp_path_factory):
    """A run of two processes over gloo, started by torchrun, with a round of DAgger in it. Read only."""
    folder = tmp_path_factory.mktemp("pair")
    script = folder / "job.py"
    script.write_text(SCRIPT)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    training = {"steps": 6, "dagger_rounds": 1, "dagger_episodes": 1, "log_every": 1}
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={port}", str(script)]
    done = subprocess.run(
        [*launch, *arguments(data, folder / "run", training, PLAIN)], env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder / "run", training


def test_two_processes_learn_what_one_does(pair, data, tmp_path):
    """With nothing random and nothing padded, the mean of two half batches' gradients is the whole batch's."""
    run, training = pair
    alone = toy_run(data, tmp_path / "alone", training_options=training, policy_options=PLAIN)
    # Not the weights: Adam turns a gradient of rounding errors, as that of a key's bias, into steps of full size.
    seen = {f"observation.{name}": torch.randn(50, 2) for name in ("state", "environment_state")}
    first, second = (load_policy(path).predict_chunk(seen) for path in (run, alone))
    assert torch.allclose(first, second, atol=1e-4)
    assert not torch.allclose(first, untrained(run).predict_chunk(seen), atol=1e-2)
    losses = [[line["loss"] for line in read_metrics(path / "metrics.jsonl")] for path in (run, alone)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_one_process_resumes_what_two_began(pair, data, tmp_path):
    run, training = pair
    toy_run(data, run, training_options=training | {"steps": 8}, policy_options=PLAIN, resume=True)
    assert read_metrics(run / "metrics.jsonl")[-1]["step"] == 8


# -- kill -9 ----------------------------------------------------------------------------------------------------------

#: Forks a training, kills it some time after its next checkpoint, and again; says how often it was really killed.
KILLER = """
import os, signal, time

def checkpoints(run):
    return {path.name for path in (run / "checkpoints").glob("0*")}

def killed(run, delay_s, body):
    before = checkpoints(run)
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        body()
        os._exit(0)
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if checkpoints(run) - before:
            time.sleep(delay_s)
            os.kill(child, signal.SIGKILL)
            return os.waitpid(child, 0)[1] == signal.SIGKILL
        time.sleep(0.001)
    return False
"""


def test_killed_again_and_again_it_ends_where_it_would_have_ended(data, tmp_path):
    """A checkpoint after every second step, killed at many instants, DAgger included; then it is let finish."""
    training = {"steps": 40, "save_every": 2, "dagger_rounds": 1, "dagger_episodes": 2, "schedule": "constant"}
    whole, run = toy_run(data, tmp_path / "whole", training_options=training), tmp_path / "run"
    script = tmp_path / "job.py"
    loop = (
        "total = 0\n"
        "for delay_s in (0.0, 0.01, 0.03, 0.1, 0.02, 0.05, 0.005, 0.2):\n"
        "    begun = (Path(out) / 'config.json').exists()\n"
        "    body = lambda: train('act', Path(data), Path(out), policy_options=policy, training_options=training,\n"
        "                         resume=begun)\n"
        "    total += killed(Path(out), delay_s, body)\n"
        "print(total)\n"
    )
    script.write_text(KILLER + SCRIPT.split("try:")[0] + loop)
    command = [sys.executable, str(script), *arguments(data, run, training)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 3
    assert load_policy(run).config.chunk_size == TINY["chunk_size"]
    toy_run(data, run, training_options=training, resume=True)
    first, second = weights(whole), weights(run)
    assert all(torch.equal(first[name], second[name]) for name in first)


# -- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_too_large_a_batch_is_told_which_one_fits(data, tmp_path, monkeypatch, refusal):
    loss = Act.loss

    def limited(self, batch):
        if len(batch["action"]) > 5:
            raise refusal
        return loss(self, batch)

    monkeypatch.setattr(Act, "loss", limited)
    with pytest.raises(
        RoboticsError, match=r"out of memory in step 1 with --batch-size 16 on cpu; --batch-size 4 fits"
    ):
        toy_run(data, tmp_path / "run", training_options={"steps": 2})


def test_a_model_too_large_for_any_batch(data, tmp_path, monkeypatch):
    def refused(self, batch):
        raise MemoryError

    monkeypatch.setattr(Act, "loss", refused)
    with pytest.raises(RoboticsError, match="not even one window"):
        toy_run(data, tmp_path / "run", training_options={"steps": 2})


def test_memory_that_the_system_refuses(data, tmp_path):
    """A real limit of the address space, and torch's own words for it."""
    script = tmp_path / "job.py"
    script.write_text(
        "import resource, torch, robotics.training.train\n"
        + SCRIPT.replace(
            "try:",
            "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
            "resource.setrlimit(resource.RLIMIT_AS, (used + (400 << 20), -1))\ntry:",
            1,
        )
    )
    done = subprocess.run(
        [sys.executable, str(script), *arguments(data, tmp_path / "run", {"steps": 2, "batch_size": 1 << 15})],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    found = re.search(
        r"error: out of memory in step 1 with --batch-size 32768 on cpu; --batch-size (\d+) fits", done.stderr
    )
    assert found, done.stderr
    assert 64 <= int(found[1]) < 1 << 15


def test_other_errors_are_not_taken_for_it():
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."))
