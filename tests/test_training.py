"""Training: exact resume, refusals, and what is left when something goes wrong."""

import json
import shutil
import signal
import subprocess
import sys
import time

import gymnasium as gym
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from robotics.cli.main import main
from robotics.datasets.reader import Dataset
from robotics.errors import DataError, RoboticsError, UsageError
from robotics.policies.checkpoint import load_policy
from robotics.policies.execution import ChunkExecutor
from robotics.training import evaluation as evaluation_module
from robotics.training.config import TrainConfig
from robotics.training.data import Sampler, TrainingData, choose_inputs
from robotics.training.loop import Trainer
from robotics.training.metrics import read_metrics
from robotics.training.optimization import learning_rate
from robotics.training.run_folder import read_run, standing
from robotics.training.time_budget import parse_duration
from robotics.training.train import train
from tests.runs import BRIEF, TINY, toy_data, toy_run
from tests.toy import TOY_ID


def weights(run, step="last", part="pretrained_model"):
    return load_file(run / "checkpoints" / step / part / "model.safetensors")


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


# -- batches --------------------------------------------------------------------------------------------------------


def test_every_frame_is_drawn_once_per_epoch_and_steps_are_stateless():
    sampler = Sampler(count=23, batch_size=5, seed=3)
    drawn = np.concatenate([sampler.frames(step) for step in range(23)])  # five epochs
    assert np.array_equal(np.bincount(drawn), np.full(23, 5))
    assert np.array_equal(sampler.frames(11), Sampler(23, 5, 3).frames(11))
    assert not np.array_equal(sampler.frames(0), Sampler(23, 5, 4).frames(0))


def test_a_batch_larger_than_the_dataset():
    assert np.array_equal(np.bincount(Sampler(4, 10, 0).frames(0), minlength=4).sum(), 10)


def test_windows_against_a_plain_loop(toy_dataset):
    dataset = Dataset.open(toy_dataset)
    data = TrainingData.load([dataset], choose_inputs(dataset, None))
    frames = np.arange(len(data))
    batch = data.batch(frames, horizon=7)
    actions = dataset.column("action")
    for start, stop in dataset.episode_ranges:
        for frame in range(start, stop):
            for ahead in range(7):
                padded = frame + ahead >= stop
                assert bool(batch["action_is_pad"][frame, ahead]) == padded
                expected = actions[min(frame + ahead, stop - 1)]
                assert np.array_equal(batch["action"][frame, ahead].numpy(), expected)


def test_inputs_by_short_and_long_name(toy_dataset):
    dataset = Dataset.open(toy_dataset)
    assert choose_inputs(dataset, "state") == ["observation.state"]
    assert choose_inputs(dataset, "observation.state, environment_state") == choose_inputs(dataset, None)
    with pytest.raises(UsageError, match="did you mean 'state'"):
        choose_inputs(dataset, "stat")
    with pytest.raises(UsageError, match="names nothing"):
        choose_inputs(dataset, " , ")


# -- optimisation ---------------------------------------------------------------------------------------------------


def test_learning_rate_warms_up_and_falls():
    config = TrainConfig(steps=100, batch_size=1, lr=1.0 / 2, warmup_steps=10, schedule="cosine")
    rates = [learning_rate(config, step, 0.0) for step in range(100)]
    assert rates[0] == pytest.approx(0.05, rel=1e-2)
    assert max(rates) == pytest.approx(0.5, rel=0.03)
    assert np.all(np.diff(rates[10:]) < 0)
    assert rates[-1] < 1e-3
    timed = TrainConfig(steps=100, batch_size=1, lr=0.5, schedule="cosine", time_budget_s=10.0)
    assert learning_rate(timed, 1, 10.0) == pytest.approx(0.0)


@pytest.mark.parametrize("latent", [0, 4])
def test_resumed_training_takes_the_same_steps(toy_dataset, tmp_path, latent):
    """Dropout, input noise and the CVAE's samples included."""
    policy = {"latent_dim": latent, "dropout": 0.1, "input_noise": 0.05}
    constant = {"schedule": "constant"}  # a cosine ends at the last step, which differs between the two
    whole = toy_run(toy_dataset, tmp_path / "whole", policy_options=policy, training_options=constant)
    first_part = constant | {"steps": 12}
    parts = toy_run(toy_dataset, tmp_path / "parts", policy_options=policy, training_options=first_part)
    toy_run(toy_dataset, parts, policy_options=policy, training_options=constant, resume=True)
    assert_same(weights(whole), weights(parts))
    assert_same(weights(whole, part="training_state"), weights(parts, part="training_state"))
    first, second = read_metrics(whole / "metrics.jsonl"), read_metrics(parts / "metrics.jsonl")
    assert first[-1]["loss"] == second[-1]["loss"]
    assert [line["step"] for line in second] == sorted({line["step"] for line in second})


def test_another_seed_gives_other_weights(toy_dataset, tmp_path):
    a = toy_run(toy_dataset, tmp_path / "a", training_options={"steps": 3})
    b = toy_run(toy_dataset, tmp_path / "b", training_options={"steps": 3, "seed": 1})
    assert any(not torch.equal(value, weights(b)[name]) for name, value in weights(a).items())


def test_training_learns_and_ships_the_average(toy_policy):
    losses = [line["loss"] for line in read_metrics(toy_policy / "metrics.jsonl")]
    assert losses[-1] < 0.3 * losses[0]
    raw, averaged = weights(toy_policy, part="training_state"), weights(toy_policy)
    assert any(not torch.equal(raw[name], averaged[name]) for name in raw)
    config = json.loads((toy_policy / "config.json").read_text())
    assert config["data"]["seeds"] == list(range(40))


def test_older_checkpoints_keep_their_policy_only(toy_policy):
    assert {path.name for path in (toy_policy / "checkpoints").iterdir()} == {"000200", "000400", "000600", "last"}
    assert load_policy(toy_policy / "checkpoints" / "000200").config.chunk_size == 8
    assert not (toy_policy / "checkpoints" / "000200" / "training_state").exists()


def test_without_averaging_the_raw_weights_are_shipped(toy_dataset, tmp_path):
    run = toy_run(toy_dataset, tmp_path / "run", training_options={"steps": 4, "ema_decay": 0.0})
    assert_same(weights(run), weights(run, part="training_state"))


def test_bf16_trains_fp32_weights(toy_dataset, tmp_path):
    run = toy_run(toy_dataset, tmp_path / "run", training_options={"precision": "bf16", "steps": 40, "lr": 3e-3})
    assert all(value.dtype == torch.float32 for value in weights(run).values())
    losses = [line["loss"] for line in read_metrics(run / "metrics.jsonl")]
    assert losses[-1] < losses[0]


def test_a_policy_learns_from_pictures_too(tmp_path):
    from robotics.datasets.collect import collect
    from tests.toy import TOY_ID

    collect(TOY_ID, 2, 0, tmp_path / "data", env_kwargs={"cameras": ("top",)})
    run = toy_run(tmp_path / "data", tmp_path / "run", inputs="top", training_options={"steps": 2, "batch_size": 4})
    policy = load_policy(run)
    assert policy.config.input_shapes == {"observation.images.top": (32, 32, 3)}
    image = np.zeros((32, 32, 3), np.uint8)
    assert ChunkExecutor(policy).act({"observation.images.top": image}).shape == (2,)


def test_a_compiled_network_learns_the_same(toy_dataset, tmp_path, monkeypatch):
    """Traced and rewritten, but run by torch itself: compiling takes a minute, and has its own tests."""
    traced = []
    compile_ = torch.compile

    def without_kernels(model):
        traced.append(model)
        return compile_(model, backend="eager")

    monkeypatch.setattr(torch, "compile", without_kernels)
    runs = [
        toy_run(toy_dataset, tmp_path / str(on), training_options={"steps": 3, "compile": on}) for on in (False, True)
    ]
    first, second = (weights(run) for run in runs)
    assert len(traced) == 1
    assert all(torch.allclose(first[name], second[name], atol=1e-5) for name in first)


def test_time_budget_ends_a_training(toy_dataset, tmp_path):
    run = toy_run(toy_dataset, tmp_path / "run", training_options={"steps": 10**6, "time_budget_s": 0.5})
    assert 1 <= read_metrics(run / "metrics.jsonl")[-1]["step"] < 10**6
    assert (run / "checkpoints" / "last" / "pretrained_model").is_dir()


# -- when things go wrong -------------------------------------------------------------------------------------------


def test_hours_on_a_cpu_are_said_early(toy_dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("robotics.training.loop.LONG_S", 0.01)  # as if this much were an hour
    toy_run(toy_dataset, tmp_path / "run")
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "hours to go on this CPU" in line]
    assert "fewer --steps, a --time-budget, --preset small or a GPU" in line
    monkeypatch.setattr("robotics.training.loop.LONG_S", 3600.0)
    toy_run(toy_dataset, tmp_path / "again")
    assert "hours to go" not in capsys.readouterr().err


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(toy_dataset, tmp_path):
    run = toy_run(toy_dataset, tmp_path / "run", training_options={"steps": 10})
    before = weights(run)
    dataset = Dataset.open(toy_dataset)
    data = TrainingData.load([dataset], choose_inputs(dataset, None))
    data.observations["observation.state"][:] = torch.nan
    config = TrainConfig(**{"lr": 1e-3, **BRIEF, "steps": 20})
    trainer = Trainer(load_policy(run).requires_grad_(True), data, run, config)
    with pytest.raises(RoboticsError, match=r"the loss of step 1 is nan \(frames \d+"):
        trainer.train()
    assert_same(before, weights(run))


def test_a_column_that_is_not_finite_is_named(toy_dataset, monkeypatch):
    column = Dataset.column

    def with_a_hole(self, key):
        values = column(self, key)
        values[3] = np.inf
        return values

    monkeypatch.setattr(Dataset, "column", with_a_hole)
    with pytest.raises(DataError, match=r"'observation.state' is not finite at frame 3 \(1 frames in all\)"):
        TrainingData.load([Dataset.open(toy_dataset)], ["observation.state"])


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_saves_a_checkpoint_and_leaves_130(toy_dataset, tmp_path, how):
    """By a user, or by a cluster that wants its machine back."""
    run = tmp_path / "run"
    command = [sys.executable, "-m", "robotics.cli.main", "train", "act", "--data", str(toy_dataset), "--out", str(run)]
    process = subprocess.Popen([*command, "--steps", "1000000"], stderr=subprocess.PIPE, text=True)
    metrics = run / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(how)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert load_policy(run).config.type == "act"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"training_options": {"lr": 0.5}}, "lr = 0.001, not 0.5"),
        ({"training_options": {"batch_size": 3}}, "batch_size = 16, not 3"),
        ({"policy_options": {"chunk_size": 4, "n_action_steps": 4}}, "chunk_size = 8, not 4"),
        ({"inputs": "state"}, "inputs = "),
        ({"preset_name": "paper"}, "preset = 'small', not 'paper'"),
    ],
)
def test_resume_refuses_to_become_another_training(toy_dataset, tmp_path, change, message):
    run = toy_run(toy_dataset, tmp_path / "run", training_options={"steps": 2})
    with pytest.raises(UsageError, match=message):
        toy_run(toy_dataset, run, resume=True, **change)


def test_a_resumed_run_says_what_it_became(toy_dataset, tmp_path, capsys):
    """Its data need not be named again; a run that is not there is begun, and says so."""
    run = tmp_path / "run"
    toy_run(toy_dataset, run, training_options={"steps": 2}, resume=True)
    assert f"{run} holds no run, so a new one begins" in capsys.readouterr().err
    assert main(["train", "act", "--out", str(run), "--resume", "--steps", "3"]) == 0
    document = read_run(run)
    assert document["training"]["steps"] == 3 and document["preset"] == "small"
    assert "no run" not in capsys.readouterr().err
    assert main(["train", "act", "--out", str(run), "--resume", "--steps", "9", "--time-budget", "0.001s"]) == 0
    assert "the time budget is used up" in capsys.readouterr().err
    assert main(["train", "act", "--out", str(tmp_path / "none"), "--resume"]) == 2
    assert "--data is needed" in capsys.readouterr().err


def test_fewer_steps_than_were_taken_are_refused(toy_dataset, tmp_path):
    """Nothing is changed by that; what the run was told before may be told again."""
    run = toy_run(toy_dataset, tmp_path / "run", training_options={"steps": 6})
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match=r"--steps 5: .*run has taken 6 steps already; give more, or leave"):
        toy_run(toy_dataset, run, training_options={"steps": 5}, resume=True)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    toy_run(toy_dataset, run, training_options={"steps": 6}, resume=True)
    toy_run(toy_dataset, run, training_options={"steps": 7}, resume=True)
    assert standing(run).step == read_run(run)["training"]["steps"] == 7


EVALUATED = {"eval_env": TOY_ID, "eval_every": 10, "eval_episodes": 2, "save_every": 10}


def evaluations(run):
    """Step and return of every evaluation in the learning curve."""
    return [
        (line["step"], line["eval_return"]) for line in read_metrics(run / "metrics.jsonl") if "eval_return" in line
    ]


@pytest.mark.parametrize("killed", [1, 2, 3])
def test_an_evaluation_that_a_kill_came_before_is_made_up_for(toy_dataset, tmp_path, monkeypatch, killed):
    """After its checkpoint was saved: at 10, at 20, and at the end."""
    whole = toy_run(toy_dataset, tmp_path / "whole", training_options=EVALUATED)
    calls, original = [], evaluation_module.bench

    def interrupted(*args, **kwargs):
        calls.append(args)
        if len(calls) == killed:
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(evaluation_module, "bench", interrupted)
        with pytest.raises(KeyboardInterrupt):
            toy_run(toy_dataset, tmp_path / "run", training_options=EVALUATED)
    run = toy_run(toy_dataset, tmp_path / "run", training_options=EVALUATED, resume=True)
    assert [step for step, _ in evaluations(whole)] == [10, 20, 30]
    assert evaluations(run) == evaluations(whole)
    best = [(folder / "checkpoints" / "best").resolve().name for folder in (run, whole)]
    assert best[0] == best[1]


def test_the_best_checkpoint_is_the_best_of_one_environment(toy_dataset, tmp_path):
    """In `Far` episodes are short and hardly anything is to be had: what was had elsewhere is no match for it."""
    gym.register(id="toy/Far-v0", entry_point="tests.toy:Point", max_episode_steps=2)
    try:
        run = toy_run(toy_dataset, tmp_path / "run", training_options=EVALUATED)
        elsewhere = EVALUATED | {"eval_env": "tests.toy:toy/Far-v0", "steps": 50}
        toy_run(toy_dataset, run, training_options=elsewhere, resume=True)
    finally:
        gym.registry.pop("toy/Far-v0")
    had = dict(evaluations(run))
    assert list(had) == [10, 20, 30, 40, 50] or list(had) == [10, 20, 30, 30, 40, 50]
    best = int((run / "checkpoints" / "best").resolve().name)
    assert best >= 30 and had[best] == max(value for step, value in had.items() if step >= 30) < had[20]


def test_a_run_that_is_done_is_left_as_it_is(toy_dataset, tmp_path):
    """Its only checkpoint is not written again, where a kill could lose it; nor is what was measured of it."""
    told = {"steps": 2, "eval_env": TOY_ID, "eval_every": 2, "eval_episodes": 1}
    run = toy_run(toy_dataset, tmp_path / "run", training_options=told)
    files = [path for path in (run / "checkpoints").rglob("*") if path.is_file()]
    before, lines = [path.stat().st_mtime_ns for path in files], (run / "metrics.jsonl").read_text()
    toy_run(toy_dataset, run, training_options=told, resume=True)
    assert [path.stat().st_mtime_ns for path in files] == before
    assert (run / "metrics.jsonl").read_text() == lines


def test_a_preset_takes_a_chunk_that_is_shorter_than_it_executes(toy_dataset, tmp_path):
    small = {name: value for name, value in TINY.items() if name not in ("n_action_steps", "chunk_size")}
    train(
        "act", toy_dataset, tmp_path, preset_name="paper",
        policy_options={**small, "chunk_size": 4, "actions_per_query": 1}, training_options={**BRIEF, "steps": 1},
    )  # fmt: skip
    assert read_run(tmp_path)["policy"]["n_action_steps"] == 4


@pytest.mark.parametrize("objective", ["regression", "mip", "ddim", "flow"])
def test_a_preset_of_flow_takes_another_objective(toy_dataset, tmp_path, objective):
    tiny = {key: value for key, value in TINY.items() if key != "latent_dim"} | {"decoder_layers": 1}
    options = {"policy_options": tiny | {"objective": objective}, "training_options": BRIEF | {"steps": 1}}
    train("dit", toy_dataset, tmp_path / "run", preset_name="pixels", **options)
    policy = load_policy(tmp_path / "run").config
    assert policy.objective == objective and policy.flow_error == ("action" if objective == "flow" else "velocity")


def test_resume_refuses_other_data(toy_dataset, tmp_path):
    run = toy_run(toy_dataset, tmp_path / "run", training_options={"steps": 2})
    other = toy_data(tmp_path / "other", episodes=2)
    with pytest.raises(UsageError, match="data = "):
        toy_run(other, run, resume=True)


def test_resume_after_a_crash_before_the_first_checkpoint(toy_dataset, tmp_path):
    run = toy_run(toy_dataset, tmp_path / "run", training_options={"steps": 2})
    before = weights(run)
    shutil.rmtree(run / "checkpoints")
    toy_run(toy_dataset, run, training_options={"steps": 2}, resume=True)
    assert_same(before, weights(run))


def test_resume_after_a_crash_while_the_first_file_was_written(toy_dataset, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / ".config.json.123.tmp").write_text("{")
    toy_run(toy_dataset, run, training_options={"steps": 2}, resume=True)
    assert read_run(run)["training"]["steps"] == 2


def test_resume_after_a_crash_before_a_checkpoint_became_the_last(toy_dataset, tmp_path):
    constant = {"schedule": "constant", "steps": 4}
    whole = toy_run(toy_dataset, tmp_path / "whole", training_options=constant)
    run = toy_run(toy_dataset, tmp_path / "run", training_options=constant | {"steps": 2})
    (run / "checkpoints" / "last").unlink()
    toy_run(toy_dataset, run, training_options=constant, resume=True)
    assert_same(weights(whole), weights(run))


@pytest.mark.parametrize("file", ["optimizer.safetensors", "model.safetensors", "state.json"])
def test_damaged_training_state_is_named(toy_dataset, tmp_path, file):
    run = toy_run(toy_dataset, tmp_path / "run", training_options={"steps": 2})
    damaged = run / "checkpoints" / "last" / "training_state" / file
    damaged.write_bytes(damaged.read_bytes()[:20])
    with pytest.raises(DataError, match=file):
        toy_run(toy_dataset, run, resume=True)


def test_existing_run_is_refused(toy_dataset, toy_policy):
    with pytest.raises(UsageError, match="already holds something"):
        toy_run(toy_dataset, toy_policy)


def test_overwrite_refuses_to_empty_a_folder_that_is_no_run(toy_dataset, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="no training run"):
        toy_run(toy_dataset, tmp_path, overwrite=True)
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset_name": "smal"}, "did you mean 'small'"),
        ({"training_options": {"device": "tpu"}}, "--device tpu is not there"),
        ({"training_options": {"steps": 0}}, "--steps is 0"),
        ({"training_options": {"dagger_rounds": -1}}, "--dagger-rounds is -1"),
        ({"training_options": {"dagger_beta": 1.5}}, "--dagger-beta is 1.5"),
        ({"training_options": {"lr": float("nan")}}, "--lr is nan"),
        ({"training_options": {"seed": 2**63}}, "--seed is 9223372036854775808"),
        ({"policy_options": {"input_sparsity": float("nan")}}, "input_sparsity is nan"),
        ({"policy_options": {"chunk_size": 0}}, "chunk_size is 0"),
        ({"policy_options": {"n_action_steps": 1_000_000}}, "n_action_steps 1000000 exceeds chunk_size"),
        ({"policy_options": {"width": 3}}, "no setting width"),
    ],
)
def test_settings_that_can_not_be_meant(toy_dataset, tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        toy_run(toy_dataset, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("45", 45)])
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "-3m", "3 weeks", "m"])
def test_what_is_no_duration(text):
    with pytest.raises(UsageError, match="no duration"):
        parse_duration(text)
