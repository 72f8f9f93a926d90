"""Learning from reward: what a run leaves behind, how it goes on, and what is refused."""

import json
import os
import shutil
import signal

import gymnasium as gym
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from stable_baselines3.common.vec_env import VecNormalize

from robotics.cli.main import main
from robotics.environments import make_env
from robotics.errors import DataError, UsageError
from robotics.evaluation.agents import open_policy
from robotics.evaluation.bench import bench
from robotics.policies.export import open_exported
from robotics.policies.export_check import PARITY
from robotics.reinforcement.algorithms import make_model
from robotics.reinforcement.checkpoint import NORMALIZATION, OPTIMIZERS, restore
from robotics.reinforcement.config import RLConfig
from robotics.reinforcement.copies import Copies, drawn_worlds
from robotics.reinforcement.export import ActionFunction
from robotics.reinforcement.interface import Interface
from robotics.reinforcement.train import train
from robotics.reports.page import write_report
from robotics.training.metrics import METRICS, read_metrics
from robotics.training.retrain import origin_of
from robotics.training.run_folder import read_run, standing

REACH, CARTPOLE, PENDULUM = "robotics/Reach-v0", "CartPole-v1", "Pendulum-v1"
BRIEF = {"copies": 4, "rollout": 16, "steps": 128, "batch_size": 32, "epochs": 2, "layers": (16,), "eval_episodes": 2}


def brief_run(kind, env_id, out, resume=False, **options):
    train(kind, env_id, out, options=BRIEF | options, resume=resume)
    return out


@pytest.fixture(scope="module")
def cartpole(tmp_path_factory):
    return brief_run("ppo", CARTPOLE, tmp_path_factory.mktemp("rl") / "run")


def pretrained(run):
    return run / "checkpoints" / "last" / "pretrained_model"


# -- what a run is ----------------------------------------------------------------------------------------------------


def test_a_run_is_a_policy_and_holds_no_pickle(cartpole):
    document = bench(CARTPOLE, str(cartpole), 2, 1_000_000)
    assert [episode["length"] == episode["return"] for episode in document["episodes"]] == [True, True]
    kinds = {path.suffix for path in cartpole.rglob("*") if path.is_file()}
    assert kinds <= {".json", ".jsonl", ".safetensors"} | {path.suffix for path in cartpole.rglob("events*")}
    curve = read_metrics(cartpole / METRICS)
    assert curve[-1]["step"] == 128 and "eval_return" in curve[-1]
    assert any("train_value_loss" in line for line in curve)


def test_a_run_has_a_page(cartpole, tmp_path):
    page = write_report([cartpole], tmp_path / "page.html").read_text()
    assert "ppo, 4 copies of CartPole-v1" in page
    assert '"name":"return in rollouts"' in page and "No learning curve" not in page


def test_there_are_no_demonstrations_to_train_anew_on(cartpole):
    with pytest.raises(UsageError, match="learned from reward, by ppo"):
        origin_of(cartpole, CARTPOLE)


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_anew(tmp_path, cartpole):
    run = brief_run("ppo", CARTPOLE, tmp_path / "run")
    shutil.rmtree(run / "checkpoints")
    assert brief_run("ppo", CARTPOLE, run, resume=True) == run
    first, again = (load_file(pretrained(one) / "model.safetensors") for one in (cartpole, run))
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_seeds_that_it_learned_from_are_not_tested_on(cartpole):
    assert open_policy(str(cartpole)).trained_on == (0, 1, 2, 3)
    with pytest.raises(UsageError, match=r"was trained on 2 of these seeds \(first: 2\)"):
        bench(CARTPOLE, str(cartpole), 5, 2)


def test_the_same_seed_learns_the_same(tmp_path, cartpole):
    again = brief_run("ppo", CARTPOLE, tmp_path / "again")
    other = brief_run("ppo", CARTPOLE, tmp_path / "other", seed=1)
    first, second, third = (load_file(pretrained(run) / "model.safetensors") for run in (cartpole, again, other))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], third[name]) for name in first)


def test_a_task_of_ours_and_what_its_action_mode_means(tmp_path):
    run = brief_run("ppo", REACH, tmp_path / "run", env_kwargs={"action_mode": "ee"}, steps=64)
    source = open_policy(str(run))
    assert source.env_kwargs == {"action_mode": "ee"}
    env = make_env(REACH, **source.env_kwargs)
    assert env.action_space.contains(_first_action(source.agent(env), env))
    with pytest.raises(UsageError, match="acts in"):
        source.agent(make_env(REACH, action_mode="joint"))


def _first_action(agent, env):
    observation, _ = env.reset(seed=0)
    agent.reset(env, 0)
    return agent.act(observation)


def test_sac_learns_and_goes_on(tmp_path):
    brief = {"steps": 80, "learning_starts": 20, "buffer_size": 200, "gradient_steps": 1}
    run = brief_run("sac", PENDULUM, tmp_path / "run", **brief)
    before = load_file(pretrained(run) / "model.safetensors")
    brief_run("sac", PENDULUM, run, resume=True, steps=120)
    after = load_file(pretrained(run) / "model.safetensors")
    assert before.keys() == after.keys() and not all(torch.equal(before[name], after[name]) for name in before)
    assert bench(PENDULUM, str(run), 1, 1_000_000)["episodes"][0]["length"] == 200
    with pytest.raises(UsageError, match="continuous actions"):
        brief_run("sac", CARTPOLE, tmp_path / "choices")


def test_ppo_gets_better(tmp_path):
    run = brief_run(
        "ppo",
        CARTPOLE,
        tmp_path / "run",
        copies=16,
        rollout=32,
        steps=10_000,
        batch_size=128,
        layers=(64,),
        epochs=8,
        lr=2e-3,
    )
    random = bench(CARTPOLE, "random", 10, 1_000_000)["return_mean"]
    assert bench(CARTPOLE, str(run), 10, 1_000_000)["return_mean"] > 5 * random


@pytest.mark.parametrize("form", ["onnx", "torchscript"])
@pytest.mark.parametrize("kind", ["ppo", "sac", "choices"])
def test_a_policy_is_exported_with_all_that_belongs_to_it(tmp_path, capsys, cartpole, kind, form):
    """From what the environment observes to what it takes: the agent's own actions, out of the file."""
    if kind == "choices":
        env_id, run = CARTPOLE, cartpole
    else:
        env_id, options = PENDULUM, {"learning_starts": 20, "buffer_size": 200, "gradient_steps": 1, "log_std": 0.0}
        run = brief_run(kind, PENDULUM, tmp_path / "run", **options)
    out = tmp_path / "policy"
    command = ["export", "--policy", str(run), "--format", form, "--out", str(out), "--repeat", "3"]
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["max_difference"] <= PARITY and set(document["action_ms"]) == {"torch", form}
    env, exported, actions = make_env(env_id), open_exported(form, out), []
    agent = open_policy(str(run)).agent(env)
    observation, _ = env.reset(seed=0)
    for _ in range(20):
        (action,) = exported({"state": np.float32(observation)[None]})
        np.testing.assert_allclose(action, agent.act(observation), atol=1e-5)
        actions.append(np.copy(action))
        observation, _, terminated, *_ = env.step(env.action_space.sample())
        if terminated:
            observation, _ = env.reset()
    assert kind == "choices" or np.std(actions) > 1e-4
    assert main([*command, "--overwrite"]) == 0
    assert "ms per action" in capsys.readouterr().out


def test_what_hardly_changes_is_exported_exactly(cartpole):
    """A number that the training saw no change of has the largest scale there is: float32 alone would round by 6e-4."""
    function = ActionFunction(str(cartpole))
    function.mean[0] = mean = torch.tensor(1.2345678)
    offset = 1.2345678 - float(mean)
    function.rest[0], function.scale[0] = offset, 1e4
    function.network = torch.nn.Identity()
    function.choices, function.low, function.range = None, torch.tensor(-1.0), torch.tensor(2.0)
    seen = torch.tensor([[float(mean) + 1e-5, 0.0, 0.0, 0.0]])
    expected = (float(seen[0, 0]) - 1.2345678) * 1e4
    assert float(function(seen)[0, 0]) == pytest.approx(expected, abs=1e-6)


# -- going on ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ppo", "sac"])
def test_an_interrupted_run_keeps_what_it_learned(tmp_path, monkeypatch, kind):
    """By a cluster that wants its machine back, long before the next checkpoint is due."""
    run, step, steps = tmp_path / "run", Copies.step_wait, iter(range(1, 1000))

    def interrupted(copies):
        if next(steps) == 16:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(copies)

    monkeypatch.setattr(Copies, "step_wait", interrupted)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        brief_run(kind, PENDULUM, run)
    assert (standing(run).step, signal.getsignal(signal.SIGTERM)) == (16 * BRIEF["copies"], before)
    assert bench(PENDULUM, str(run), 1, 1_000_000)["episodes"]
    assert train(kind, PENDULUM, run, options=BRIEF, resume=True) == BRIEF["steps"]


def test_a_resumed_run_goes_on_from_where_it_stood(tmp_path):
    run = brief_run("ppo", CARTPOLE, tmp_path / "run")
    copies = Copies(CARTPOLE, 4, 0, {})
    normalized = VecNormalize(copies, gamma=0.99)
    model = make_model("ppo", normalized, RLConfig(**BRIEF))
    restore(run, model, normalized)
    stored = load_file(pretrained(run) / "model.safetensors")
    assert model.num_timesteps == 128 and normalized.obs_rms.count > 100 and normalized.ret_rms.count > 100
    assert all(torch.equal(value, stored[name]) for name, value in model.policy.state_dict().items())
    moments = [state["exp_avg"].abs().max() for state in model.policy.optimizer.state_dict()["state"].values()]
    assert len(moments) > 4 and max(moments) > 0
    copies.close()
    brief_run("ppo", CARTPOLE, run, resume=True, steps=256)
    assert [path.name for path in sorted((run / "checkpoints").glob("0*"))] == ["000000128", "000000256"]
    steps = [line["step"] for line in read_metrics(run / METRICS)]
    assert steps == sorted(steps) and steps[-1] == 256


def test_what_a_resumed_run_became_is_noted(tmp_path):
    run = brief_run("ppo", CARTPOLE, tmp_path / "run")
    brief_run("ppo", CARTPOLE, run, resume=True, steps=256)
    assert read_run(run)["training"]["steps"] == standing(run).step == 256
    assert "256 steps, batch 32" in write_report([run]).read_text()
    before = (run / "config.json").read_bytes()
    with pytest.raises(UsageError, match=r"--steps 128: .*run has taken 256 steps already; give more, or leave"):
        brief_run("ppo", CARTPOLE, run, resume=True, steps=128)
    assert (run / "config.json").read_bytes() == before


def test_what_ppo_took_over_in_its_last_rollout_is_no_reason_to_refuse(tmp_path):
    run = brief_run("ppo", CARTPOLE, tmp_path / "run", steps=100)
    assert standing(run).step == 128
    brief_run("ppo", CARTPOLE, run, resume=True, steps=100)
    assert read_run(run)["training"]["steps"] == 100


@pytest.mark.parametrize("kind", ["ppo", "sac"])
def test_a_time_budget_is_of_all_calls(tmp_path, capsys, kind):
    options = {"sac": {"learning_starts": 20, "buffer_size": 200, "gradient_steps": 1}}.get(kind, {})
    options |= {"steps": 10**7, "time_budget_s": 1.0, "eval_every": 10**7}
    run = brief_run(kind, PENDULUM, tmp_path / "run", **options)
    first = standing(run)
    assert 0 < first.step < 10**7 and 1.0 <= first.elapsed_s < 10.0
    assert "--eval-episodes 2, comes on top" in capsys.readouterr().err
    assert f"{first.step} of 10000000 steps (ended by the time budget of 1 s)" in write_report([run]).read_text()
    capsys.readouterr()
    brief_run(kind, PENDULUM, run, resume=True, **options)
    assert standing(run) == first and "the time budget is used up" in capsys.readouterr().err
    brief_run(kind, PENDULUM, run, resume=True, **options | {"time_budget_s": first.elapsed_s + 0.01})
    assert standing(run).step > first.step


def test_the_learning_rate_falls_to_the_end_of_the_time(tmp_path):
    """Not to a step that is never reached."""
    run = brief_run("ppo", CARTPOLE, tmp_path / "run", steps=10**7, time_budget_s=2.0, eval_every=10**7)
    rates = [line["train_learning_rate"] for line in read_metrics(run / METRICS) if "train_learning_rate" in line]
    assert rates[0] > 0.7e-3 and rates[-1] < 0.3e-3


def test_both_lines_say_the_same_steps(tmp_path, capsys):
    command = ["train", "ppo", "--env", CARTPOLE, "--out", str(tmp_path / "run"), "--copies", "4", "--steps", "100"]
    assert main([*command, "--rollout", "16", "--eval-episodes", "1", "--time-budget", "1h"]) == 0
    err = capsys.readouterr().err
    assert "train ppo: 128 steps in" in err and f"{tmp_path / 'run'}: 128 steps" in err


def test_a_run_is_neither_mixed_nor_lost(tmp_path, cartpole):
    with pytest.raises(UsageError, match=r"gamma = 0\.99, not 0\.5"):
        brief_run("ppo", CARTPOLE, cartpole, resume=True, gamma=0.5)
    with pytest.raises(UsageError, match="env = 'CartPole-v1', not 'Pendulum-v1'"):
        brief_run("ppo", PENDULUM, cartpole, resume=True)
    with pytest.raises(UsageError, match="already holds something"):
        brief_run("ppo", CARTPOLE, cartpole)
    assert (pretrained(cartpole) / "model.safetensors").is_file()


# -- what is refused --------------------------------------------------------------------------------------------------


def copied(run, to):
    shutil.copytree(run, to, symlinks=True)
    return to


def test_normalization_is_part_of_the_policy(tmp_path, cartpole):
    run = copied(cartpole, tmp_path / "run")
    file = pretrained(run) / NORMALIZATION
    tensors = load_file(file)
    file.unlink()
    with pytest.raises(DataError, match=NORMALIZATION):
        open_policy(str(run)).agent(make_env(CARTPOLE))
    save_file({name: value[:2] if value.ndim else value for name, value in tensors.items()}, file)
    with pytest.raises(DataError, match=NORMALIZATION):
        open_policy(str(run)).agent(make_env(CARTPOLE))


def test_a_damaged_document_is_named(tmp_path, cartpole):
    run = copied(cartpole, tmp_path / "run")
    (pretrained(run) / "config.json").write_text('{"type": "ppo"}')
    with pytest.raises(DataError, match=r"config\.json"):
        open_policy(str(run)).agent(make_env(CARTPOLE))


def test_a_training_state_of_another_training_is_named(tmp_path, cartpole):
    run = copied(cartpole, tmp_path / "run")
    save_file({"policy.0.step": torch.zeros(())}, run / "checkpoints" / "last" / "training_state" / OPTIMIZERS)
    with pytest.raises(DataError, match=OPTIMIZERS):
        brief_run("ppo", CARTPOLE, run, resume=True, steps=256)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"copies": 0}, "copies is 0"),
        ({"gamma": 1.5}, "gamma 1.5"),
        ({"lr": float("nan")}, "lr nan"),
        ({"steps": -1}, "steps is"),
        ({"time_budget_s": 0.0}, "time-budget is 0.0 s"),
        ({"device": "gpu"}, "--device gpu is not there"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 999_999}, "seed is 999999: give one within 0 … 999996; those above are for evaluation"),
        ({"entropy": float("nan")}, "entropy is nan"),
        ({"eval_episodes": 0}, "eval-episodes is 0"),
    ],
)
def test_settings_that_can_not_be_meant(tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        brief_run("ppo", CARTPOLE, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("observation", "action", "message"),
    [
        (gym.spaces.Box(0, 255, (8, 8, 3), np.uint8), gym.spaces.Discrete(2), "reads? vectors only"),
        (gym.spaces.Discrete(3), gym.spaces.Discrete(2), "vectors only"),
        (gym.spaces.Box(-1, 1, (2,)), gym.spaces.MultiBinary(3), "takes actions in"),
    ],
)
def test_spaces_that_a_perceptron_can_not_read_or_fill(observation, action, message):
    with pytest.raises(UsageError, match=f"x-v0.*{message}"):
        Interface.of(observation, action, "x-v0")


# -- copies -----------------------------------------------------------------------------------------------------------


def test_actions_reach_the_bounds_and_no_further():
    space = gym.spaces.Box(np.array([0.0, -2.0]), np.array([1.0, 4.0]), dtype=np.float64)
    interface = Interface.of(gym.spaces.Box(-1, 1, (2,)), space, "x")
    chosen = np.array([[-1.0, -1.0], [1.0, 1.0], [0.0, 0.0], [9.0, -9.0]])
    assert interface.action(chosen).tolist() == [[0, -2], [1, 4], [0.5, 1], [1, -2]]
    assert Interface.of(gym.spaces.Box(-1, 1, (2,)), gym.spaces.Discrete(3, start=5), "x").action(
        np.array([0, 2])
    ).tolist() == [5, 7]


def test_copies_see_what_serial_environments_see():
    copies = Copies(REACH, 3, 7, {})
    env = make_env(REACH)
    flat = copies.reset()
    for index in range(3):
        observation, _ = env.reset(seed=7 + index)
        assert np.array_equal(flat[index], copies.interface.flat(observation))
    copies.close()


@pytest.mark.parametrize(("env_id", "gamma"), [(REACH, 0.95), (CARTPOLE, 0.99)])
def test_tasks_of_ours_are_learned_near_sighted(tmp_path, env_id, gamma):
    run = brief_run("ppo", env_id, tmp_path / "run", steps=64)
    assert read_run(run)["training"]["gamma"] == pytest.approx(gamma)


def test_every_copy_learns_in_a_world_of_its_own(tmp_path):
    config = RLConfig(copies=3, randomise="medium", seed=4)
    worlds = drawn_worlds(REACH, config)
    assert len({world.values for world in worlds}) == 3 and worlds == drawn_worlds(REACH, config)
    copies, space = Copies(REACH, 3, 7, {}, worlds), make_env(REACH).action_space
    seen, action = [copies.reset()], np.full(space.shape, 0.2, np.float32)
    seen += [copies.step(np.stack([action] * 3))[0] for _ in range(5)]
    alone = make_env(REACH, world=worlds[1])
    rows = [alone.reset(seed=8)[0]] + [alone.step(copies.interface.action(action))[0] for _ in range(5)]
    for ours, row in zip(seen, rows, strict=True):
        np.testing.assert_array_equal(ours[1], copies.interface.flat(row))
    with pytest.raises(UsageError, match="one world only"):
        train("ppo", CARTPOLE, tmp_path / "run", options={"randomise": "mild", "steps": 64})
    with pytest.raises(UsageError, match="means nothing without --randomise"):
        train("ppo", REACH, tmp_path / "run", options={"ranges": "mjlab", "steps": 64})


@pytest.mark.parametrize("ours", [True, False])
def test_an_end_by_time_or_success_is_not_the_end_of_rewards(monkeypatch, ours):
    """Bootstrapping: the learner gets the last observation, and is told that more would have come. What success ends
    in somebody else's environment, where each step may cost something, ends there."""
    copies = Copies("tests.toy:toy/Point-v0", 2, 0, {})
    monkeypatch.setattr(copies, "_ours", ours)
    assert list(copies.interface.inputs) == ["environment_state", "state"]
    flat, seen = copies.reset(), []
    for _ in range(150):
        missing = flat[:, :2] - flat[:, 2:]
        copies.step_async(np.clip(2 * missing, -1, 1) * np.array([[1.0], [0.0]]))  # the second never moves
        flat, _, done, infos = copies.step_wait()
        seen += [(index, infos[index]) for index in np.flatnonzero(done)]
    assert {index for index, _ in seen} == {0, 1}
    for index, info in seen:
        assert info["TimeLimit.truncated"] == (ours or index == 1) and info["is_success"] == (index == 0)
        last = info["terminal_observation"]
        assert (np.linalg.norm(last[2:] - last[:2]) < 0.05) == (index == 0)
    copies.close()
