"""Bench: the document, its independence of the workers, seeds, agents and faults."""

import json
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

import tests.toy  # noqa: F401  (registers the toy)
from robotics.environments import control_rate, make_env, taken_by
from robotics.errors import DataError, UsageError
from robotics.evaluation.agents import open_policy
from robotics.evaluation.bench import bench, summary
from robotics.evaluation.rollout import Episode, run_episode
from robotics.evaluation.seeds import evaluation_seeds, fingerprint
from tests.toy import TOY_ID

#: What depends on the clock.
TIMED = ("wall_s",)


def measured(document):
    """The part of a document that must not depend on how it was made."""
    episodes = [{k: v for k, v in episode.items() if k not in TIMED} for episode in document["episodes"]]
    return {k: v for k, v in document.items() if k != "policy_ms"} | {"episodes": episodes}


def test_document_has_what_was_promised():
    document = bench(TOY_ID, "expert", 3, 1_000_000)
    assert {"schema", "env", "policy", "seed", "episodes", "success_rate", "success_ci95", "return_mean"} <= set(
        document
    )
    assert {"return_ci95", "control_hz", "policy_ms", "faults", "versions"} <= set(document)
    assert [episode["seed"] for episode in document["episodes"]] == [1_000_000, 1_000_001, 1_000_002]
    assert set(document["episodes"][0]) == {"seed", "success", "return", "length", "wall_s"}
    assert document["success_rate"] == 1.0
    assert document["success_ci95"][0] == pytest.approx(0.4385, abs=1e-4)
    assert document["control_hz"] == 10
    assert set(document["faults"]) == {"qp_infeasible", "fallback_ticks", "nan"}
    json.dumps(document, allow_nan=False)


@pytest.mark.parametrize("policy", ["expert", "random", "trained"])
def test_workers_do_not_change_what_is_measured(policy, toy_policy):
    policy = str(toy_policy) if policy == "trained" else policy
    assert measured(bench(TOY_ID, policy, 5, 1_000_000)) == measured(bench(TOY_ID, policy, 5, 1_000_000, workers=2))


def test_a_trained_policy_beats_chance_on_seeds_it_never_saw(toy_policy):
    assert bench(TOY_ID, str(toy_policy), 10, 1_000_000)["success_rate"] >= 0.5
    assert bench(TOY_ID, "random", 10, 1_000_000)["success_rate"] <= 0.2


def test_an_inference_is_told_from_an_action_that_a_chunk_held(toy_policy):
    """A chunk's other actions cost next to nothing: their median says nothing of the policy."""
    ms = bench(TOY_ID, str(toy_policy), 3, 1_000_000)["policy_ms"]
    assert ms["p50"] < ms["inference_p50"] <= ms["inference_p99"]
    source = open_policy(str(toy_policy))
    env = make_env(TOY_ID)
    steps = source.agent(env)._executor.schedule.steps
    episode = run_episode(env, source.agent(env), 1_000_000)
    env.close()
    assert len(episode.inference_ms) == -(-episode.length // steps)
    assert bench(TOY_ID, "random", 3, 1_000_000)["policy_ms"]["inference_p50"] is None


def test_training_seeds_are_refused_unless_asked_for(toy_policy):
    with pytest.raises(UsageError, match=r"trained on 2 of these seeds \(first: 38\).*--seed 1000000"):
        bench(TOY_ID, str(toy_policy), 5, 38)
    with pytest.raises(UsageError, match="trained on"):
        bench(TOY_ID, str(toy_policy / "checkpoints" / "000200"), 5, 38)
    assert len(bench(TOY_ID, str(toy_policy), 2, 4, allow_training_seeds=True)["episodes"]) == 2


def test_success_that_nobody_reports_is_null():
    document = bench("CartPole-v1", "random", 3, 0)
    assert document["success_rate"] is None
    assert document["success_ci95"] is None
    assert document["return_mean"] > 0


def test_exam_seeds_follow_from_the_key_alone_and_hide_it():
    seeds = evaluation_seeds(5, 0, exam="swordfish")
    assert seeds == evaluation_seeds(5, 123, exam="swordfish")
    assert seeds != evaluation_seeds(5, 0, exam="swordfisH")
    assert len(set(seeds)) == 5
    assert all(2_000_000 <= seed < 2**63 for seed in seeds)
    # printf 0 | openssl dgst -sha256 -hmac key
    assert evaluation_seeds(1, 0, exam="key") == [0x089C386A9149B5CC >> 1]
    document = json.dumps(bench(TOY_ID, "random", 2, 0, exam="swordfish"))
    assert "swordfish" not in document
    assert str(evaluation_seeds(1, 0, exam="swordfish")[0]) not in document
    assert fingerprint("swordfish") in document


@pytest.mark.parametrize(("episodes", "seed", "exam"), [(0, 0, None), (3, -1, None), (3, 0, "")])
def test_seeds_that_can_not_be_meant(episodes, seed, exam):
    with pytest.raises(UsageError):
        evaluation_seeds(episodes, seed, exam)


# -- agents ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "message"),
    [("expart", "did you mean 'expert'"), ("no/such/run", "unknown policy"), ("ws://host:1", "unknown policy")],
)
def test_unknown_policies(policy, message):
    with pytest.raises(UsageError, match=message):
        open_policy(policy)


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(DataError, match="neither a run"):
        open_policy(str(tmp_path))


def test_expert_where_there_is_none():
    with pytest.raises(UsageError, match=r"'CartPole-v1' has no expert"):
        bench("CartPole-v1", "expert", 1, 0)


def test_a_policy_for_other_actions_is_refused(toy_policy):
    with pytest.raises(UsageError, match=r"gives actions of shape \(2,\), the environment takes \(1,\)"):
        bench("Pendulum-v1", str(toy_policy), 1, 1_000_000)
    with pytest.raises(UsageError, match=r"the environment takes choices \(Discrete\)"):
        bench("CartPole-v1", str(toy_policy), 1, 1_000_000)


class NanAgent:
    """Asks for what no robot can do, from the third step on."""

    def reset(self, env, seed):
        self.steps = 0

    def act(self, observation):
        self.steps += 1
        return np.full(2, np.nan if self.steps >= 3 else 0.0)


def test_a_nan_action_fails_the_episode_and_is_counted():
    env = make_env(TOY_ID)
    episode = run_episode(env, NanAgent(), 0)
    assert episode.success is False
    assert episode.faults["nan"] == 1
    assert episode.length == 3
    assert np.isfinite(episode.return_)


def test_an_action_that_is_no_number_fails_its_episode_alone():
    """Where a reset does not speak of success, an episode that ends at its first action never hears of it."""
    said = [Episode(seed, success, 0.0, 1, 0.0, np.ones(1), faults) for seed, success, faults in FIRST_ACTIONS]
    document = summary(said)
    assert document["success_rate"] == pytest.approx(2 / 3)
    assert [row["success"] for row in document["episodes"]] == [True, None, True]
    assert summary(said[1:2])["success_rate"] is None
    assert summary([*said, replace(said[0], success=None)])["success_rate"] is None


FIRST_ACTIONS = ((0, True, {"nan": 0}), (1, None, {"nan": 1}), (2, True, {"nan": 0}))


class Eyed(gym.Env):
    """Another package's environment: it gives its pictures by itself, and says how fast it runs as Gymnasium's do."""

    metadata = {"render_modes": [], "render_fps": 50}  # noqa: RUF012 (Gymnasium's own convention)
    observation_space = gym.spaces.Dict({"image_top": gym.spaces.Box(0, 255, (8, 8, 3), np.uint8)})
    action_space = gym.spaces.Box(-1, 1, (2,))

    def __init__(self, render_mode=None):
        self.render_mode = render_mode


def test_an_environment_that_gives_its_pictures_by_itself():
    gym.register(id="toy/Eyed-v0", entry_point=Eyed)
    asked = {"cameras": ("top",), "image_size": (8, 8), "action_mode": "joint"}
    try:
        assert taken_by("toy/Eyed-v0", asked) == {"action_mode": "joint"}
        assert taken_by(TOY_ID, asked) == asked
        env = make_env("toy/Eyed-v0")
        assert control_rate(env) == 50.0
        assert control_rate(make_env(TOY_ID)) == 10.0
    finally:
        gym.registry.pop("toy/Eyed-v0")


class CountingEnv(gym.Env):
    """Its controller falls back once per step."""

    observation_space = gym.spaces.Box(0, 1, (1,))
    action_space = gym.spaces.Box(-1, 1, (2,))

    def __init__(self):
        self.count = 100

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = 4
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.left, self.count = self.left - 1, self.count + 1
        return np.zeros(1, np.float32), 0.0, self.left == 0, False, {}

    def faults(self):
        return {"fallback_ticks": self.count}


def test_faults_are_those_of_the_episode():
    agent = open_policy("zero").agent(CountingEnv())
    assert run_episode(CountingEnv(), agent, 0).faults["fallback_ticks"] == 4


def test_zero_is_the_closest_action_to_zero():
    env = CountingEnv()
    env.action_space = gym.spaces.Box(np.array([0.5, -1.0]), np.array([1.0, -0.25]), dtype=np.float64)
    assert open_policy("zero").agent(env).act(None) == pytest.approx([0.5, -0.25])
