"""Many episodes at a time give what one at a time gives."""

import numpy as np
import pytest
import torch

from robotics.environments import make_env
from robotics.envs.eyes import EyePool
from robotics.envs.tasks.reach import Reach
from robotics.errors import UsageError
from robotics.evaluation.agents import AgentSource, open_policy
from robotics.evaluation.batched import batched_episodes, evaluate_batched
from robotics.evaluation.bench import bench
from robotics.evaluation.rollout import run_episode
from robotics.evaluation.smoothness import squared_jerk
from robotics.policies.act import Act
from robotics.policies.act_config import ActConfig
from robotics.policies.checkpoint import load_policy, save_policy
from robotics.policies.dit import DiT
from robotics.policies.dit_config import DiTConfig
from robotics.policies.schedule import Execution
from robotics.reinforcement.train import train as train_by_reward
from robotics.vocabulary import ENVIRONMENT_STATE, STATE
from tests.toy import TOY_ID

ENV = "robotics/Reach-v0"
SEEDS = list(range(1_000_000, 1_000_007))


def saved(folder, kind, config_kind, **options):
    """An untrained policy that moves the arm about its home pose: every episode takes another course."""
    env = make_env(ENV, action_mode="joint")
    observation, _ = env.reset(seed=0)
    shapes = {STATE: observation["state"].shape, ENVIRONMENT_STATE: observation["environment_state"].shape}
    size = env.action_space.shape[0]
    config = config_kind(
        input_shapes=shapes, action_dim=size, chunk_size=20, n_action_steps=10, dim=16, heads=2, feed_forward=16,
        encoder_layers=1, decoder_layers=1, action_mode="joint", fps=env.unwrapped.control_hz, **options,
    )  # fmt: skip
    torch.manual_seed(0)
    policy = kind(config)
    for parameter in policy.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3)
    rng = np.random.default_rng(0)
    home = observation["state"][:size]
    columns = {key: rng.normal(0, 0.3, (50, *shape)) for key, shape in shapes.items()}
    policy.fit_normalizer(columns | {"action": home + rng.normal(0, 0.3, (50, size))})
    folder = folder / "pretrained_model"
    folder.mkdir()
    save_policy(policy, folder)
    env.close()
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("act"), Act, ActConfig, latent_dim=0)


@pytest.fixture(scope="module")
def sampling_run(tmp_path_factory):
    """Draws noise and reads the instruction."""
    return saved(tmp_path_factory.mktemp("dit"), DiT, DiTConfig, language=True, max_delay=4, sampling_steps=2)


def columns(document):
    return np.array([[row["seed"], row["success"], row["length"], row["return"]] for row in document["episodes"]])


def test_copies_give_what_serial_episodes_give(run):
    """Seven episodes in three copies: every copy is used again, and the last ones run beside idle copies."""
    serial = bench(ENV, str(run), len(SEEDS), SEEDS[0])
    batched = bench(ENV, str(run), len(SEEDS), SEEDS[0], copies=3)
    assert np.allclose(columns(batched), columns(serial), rtol=1e-5, atol=0)
    assert len(set(columns(serial)[:, 3])) == len(SEEDS)  # different episodes, or nothing was compared
    assert batched["copies"] == 3
    assert set(serial) | {"copies"} == set(batched)
    assert set(batched["episodes"][0]) == set(serial["episodes"][0])


@pytest.mark.parametrize(
    "execution",
    [
        Execution("temporal_ensembling", delay=3),
        Execution("naive_async", n_action_steps=6, delay=4),
        Execution(unstick=0.5),
    ],
    ids=["temporal_ensembling", "naive_async", "unstick"],
)
def test_every_way_of_execution_gives_the_same_in_copies(run, execution):
    serial = bench(ENV, str(run), 2, 1_000_000, execution=execution)
    batched = bench(ENV, str(run), 2, 1_000_000, execution=execution, copies=2)
    assert np.allclose(columns(batched), columns(serial), rtol=1e-5, atol=0)
    assert serial["execution"] == batched["execution"]
    assert not np.allclose(columns(serial), columns(bench(ENV, str(run), 2, 1_000_000)), rtol=1e-5)


@pytest.mark.parametrize("mode", [None, "rtc", "rtc_training"])
def test_policies_that_sample_give_the_same_in_copies(sampling_run, mode):
    """Noise belongs to the episode, whoever else asks at the same time, and so does what the last chunk promised."""
    execution = Execution(mode, 6, 0 if mode is None else 4)
    seeds = [1_000_000, 1_000_001]
    env = make_env(ENV, action_mode="joint")
    agent = open_policy(str(sampling_run), execution).agent(env)
    serial = [run_episode(env, agent, seed) for seed in seeds]
    env.close()
    batched = evaluate_batched(ENV, sampling_run, seeds, copies=2, execution=execution)
    alone = evaluate_batched(ENV, sampling_run, seeds[1:], execution=execution)
    for each in (batched, [serial[0], *alone]):
        assert [e.return_ for e in each] == pytest.approx([e.return_ for e in serial], rel=1e-5)
        assert [e.squared_jerk for e in each] == pytest.approx([e.squared_jerk for e in serial], rel=1e-3)
    assert serial[0].squared_jerk > 0


def test_the_instruction_reaches_the_policy(sampling_run, monkeypatch):
    """In one environment as in copies: other words, other actions."""
    before = [bench(ENV, str(sampling_run), 2, 1_000_000, copies=copies) for copies in (1, 2)]
    monkeypatch.setattr(Reach, "task", "do something else")
    after = [bench(ENV, str(sampling_run), 2, 1_000_000, copies=copies) for copies in (1, 2)]
    for documents in (before, after):
        assert np.allclose(columns(documents[0]), columns(documents[1]), rtol=1e-5, atol=0)
    assert (columns(before[0])[:, 3] != columns(after[0])[:, 3]).all()


class BreaksAt(Act):
    """Asks for what no robot can do in the chunk that it predicts at sight of one particular goal."""

    def predict_chunk(self, observation, generator=None):
        chunk = super().predict_chunk(observation, generator)
        return torch.where((observation[ENVIRONMENT_STATE][:, :1, None] == self.goal), torch.nan, chunk)


def test_an_action_that_is_no_number_ends_its_own_episode_only(run):
    env = make_env(ENV, action_mode="joint")
    observation, _ = env.reset(seed=1_000_001)
    env.close()
    policy = load_policy(run)
    policy.__class__ = BreaksAt
    policy.goal = float(observation["environment_state"][0])
    whole = evaluate_batched(ENV, run, [1_000_000, 1_000_001, 1_000_002], copies=2)
    broken = evaluate_batched(ENV, policy, [1_000_000, 1_000_001, 1_000_002], copies=2)
    assert [episode.length for episode in broken] == [150, 1, 150]
    assert [episode.faults["nan"] for episode in broken] == [0, 1, 0]
    assert [episode.success for episode in broken] == [False] * 3
    assert broken[1].return_ == 0
    assert broken[0].return_ == pytest.approx(whole[0].return_, rel=1e-5)
    assert broken[2].return_ == pytest.approx(whole[2].return_, rel=1e-5)


def test_episodes_come_as_they_end_and_time_is_shared(run):
    done = list(batched_episodes(ENV, run, [1_000_003, 1_000_001, 1_000_002], copies=8))
    assert sorted(number for number, _ in done) == [0, 1, 2]
    assert {number: episode.seed for number, episode in done} == {0: 1_000_003, 1: 1_000_001, 2: 1_000_002}
    assert all(episode.wall_s > 0 and len(episode.policy_ms) == episode.length for _, episode in done)


@pytest.mark.parametrize(
    ("policy", "options", "message"),
    [
        ("zero", {"copies": 2}, "trained policies; give zero --workers"),
        ("run", {"copies": 2, "workers": 2}, "--workers 2 contradicts --copies 2"),
        ("run", {"copies": 0}, "--copies 0: at least one"),
        ("zero", {"execution": Execution(delay=1)}, "zero predicts no chunks"),
        ("run", {"execution": Execution("naive_async", delay=11)}, "more than half of the policy's chunk, 20"),
        ("run", {"env_kwargs": {"action_mode": "ee"}}, "--action-mode ee contradicts .*its actions mean 'joint'"),
    ],
)
def test_what_can_not_be_meant(run, policy, options, message):
    with pytest.raises(UsageError, match=message):
        bench(ENV, str(run) if policy == "run" else policy, 2, 1_000_000, **options)


def test_actions_mean_what_they_did_in_demonstrations_that_asked_for_nothing():
    source, env = AgentSource("run", trained_on=(0,)), make_env(ENV, action_mode="ee")
    with pytest.raises(UsageError, match="--action-mode ee contradicts run: its actions mean 'joint'"):
        source.agent(env)
    env.close()


def test_copies_of_a_policy_learned_from_reward_give_what_serial_episodes_give(tmp_path):
    options = {"copies": 4, "rollout": 16, "steps": 64, "batch_size": 32, "layers": (16,), "eval_episodes": 1}
    train_by_reward("ppo", ENV, tmp_path / "run", options=options | {"env_kwargs": {"action_mode": "ee"}})
    serial = bench(ENV, str(tmp_path / "run"), 5, 1_000_000)
    batched = bench(ENV, str(tmp_path / "run"), 5, 1_000_000, copies=2)
    assert np.allclose(columns(batched), columns(serial), rtol=1e-5, atol=0)
    assert len(set(columns(serial)[:, 3])) == 5
    with pytest.raises(UsageError, match="predicts no chunks"):
        bench(ENV, str(tmp_path / "run"), 2, 1_000_000, copies=2, execution=Execution(delay=1))


def test_an_environment_without_native_copies(toy_policy):
    with pytest.raises(UsageError, match="no vector environment of its own"):
        bench(TOY_ID, str(toy_policy), 2, 1_000_000, copies=2)


def test_jerk_is_the_third_difference():
    steps = np.arange(12.0)[:, None]
    assert squared_jerk(list(steps**2)) == pytest.approx(0.0)
    assert squared_jerk(list(np.hstack([steps**3, steps]))) == pytest.approx((36 + 0) / 2)
    assert squared_jerk([np.zeros(2)] * 3) == 0.0
    assert squared_jerk([]) == 0.0


def test_a_policy_sees_every_picture_it_asks_for(monkeypatch):
    """Rendering only what is looked at changes nothing; and far fewer pictures are made."""
    env = make_env(ENV)
    shapes = {STATE: env.observation_space["state"].shape, "observation.images.top": (16, 16, 3)}
    env.close()
    config = ActConfig(
        input_shapes=shapes, action_dim=8, chunk_size=20, n_action_steps=10, dim=16, heads=2, feed_forward=16,
        encoder_layers=1, decoder_layers=1, latent_dim=0, action_mode="joint", fps=50.0,
    )  # fmt: skip
    torch.manual_seed(0)
    policy, rendered = Act(config), []
    monkeypatch.setattr("robotics.envs.eyes.EyePool._share", counted(EyePool._share, rendered))
    few = evaluate_batched(ENV, policy, SEEDS[:3], copies=2)
    seldom = sum(rendered)
    rendered.clear()
    monkeypatch.setattr("robotics.evaluation.batched._Fleet._asking", lambda fleet: np.ones(2, bool))
    every = evaluate_batched(ENV, policy, SEEDS[:3], copies=2)
    assert [(e.seed, e.return_, e.length) for e in few] == [(e.seed, e.return_, e.length) for e in every]
    assert len({e.return_ for e in few}) == 3
    assert seldom < sum(rendered) / 4


def counted(share, rendered):
    def look(pool, eye, chosen, state, cameras, images):
        rendered.append(len(chosen))
        share(pool, eye, chosen, state, cameras, images)

    return look
