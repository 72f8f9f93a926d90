"""From chunks to actions: every mode against a plain reimplementation."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from robotics.errors import UsageError
from robotics.policies.act_config import ActConfig
from robotics.policies.base import Policy
from robotics.policies.execution import ChunkExecutor
from robotics.policies.normalization import Normalizer
from robotics.policies.schedule import Execution, schedule_for
from robotics.policies.standstill import Standstill
from robotics.vocabulary import ACTION, ENVIRONMENT_STATE, STATE

H = 5


class Clock(Policy):
    """Predicts, for the step it is asked at, the chunk t·10 + 0 … H-1, and counts how often it is asked."""

    def __init__(self, n_action_steps=2):
        config = ActConfig(
            input_shapes={STATE: (1,)}, action_dim=1, chunk_size=H, n_action_steps=n_action_steps, dim=8, heads=1
        )
        super().__init__(config)
        self.unused = torch.nn.Parameter(torch.zeros(1))
        self.asked = 0

    def loss(self, batch):
        raise NotImplementedError

    def predict_chunk(self, observation):
        self.asked += 1
        return (observation[STATE][:, None] * 10 + torch.arange(H)[None, :, None]).float()


def actions(executor, steps=12):
    return [float(executor.act({STATE: np.array([t], np.float32)})[0]) for t in range(steps)]


@pytest.mark.parametrize(
    ("mode", "options", "period"),
    [
        (None, {}, 2),
        ("open_loop", {}, H),
        ("receding_horizon", {"n_action_steps": 3}, 3),
        ("receding_horizon", {"n_action_steps": 1}, 1),
        (None, {"n_action_steps": 4}, 4),
    ],
)
def test_chunks_are_executed_for_as_long_as_said(mode, options, period):
    executor = ChunkExecutor(Clock(), Execution(mode, **options))
    assert actions(executor) == [t // period * period * 10 + t % period for t in range(12)]
    assert executor.policy.asked == -(-12 // period)


@pytest.mark.parametrize("decay", [0.0, 0.01, 1.0])
def test_temporal_ensembling_against_brute_force(decay):
    executor = ChunkExecutor(Clock(), Execution("temporal_ensembling", ensemble_decay=decay))
    for t, action in enumerate(actions(executor, 14)):
        made = range(max(0, t - H + 1), t + 1)  # oldest first
        weights = np.exp(-decay * np.arange(len(made)))
        predictions = np.array([m * 10 + (t - m) for m in made])
        assert action == pytest.approx(float(weights @ predictions / weights.sum()), rel=1e-6)


@pytest.mark.parametrize("delay", [1, 2])
def test_temporal_ensembling_of_late_chunks(delay):
    """One network: the next chunk is asked for when the last one is there."""
    executor = ChunkExecutor(Clock(), Execution("temporal_ensembling", delay=delay, ensemble_decay=0.3))
    for t, action in enumerate(actions(executor, 14)):
        made = [m for m in range(0, t + 1, delay) if m > t - H and (m == 0 or m + delay <= t)]
        weights = np.exp(-0.3 * np.arange(len(made)))
        assert action == pytest.approx(weights @ np.array([m * 10 + (t - m) for m in made]) / weights.sum(), rel=1e-6)


@pytest.mark.parametrize(("steps", "delay"), [(3, 2), (2, 2), (3, 0), (1, 1), (4, 1)])
def test_asynchronous_chunks_are_entered_where_they_arrive(steps, delay):
    executor = ChunkExecutor(Clock(), Execution("naive_async", steps, delay))
    made = [max(m for m in range(0, t + 1, steps) if m == 0 or m + delay <= t) for t in range(14)]
    assert actions(executor, 14) == [m * 10 + (t - m) for t, m in enumerate(made)]
    assert executor.policy.asked == -(-14 // steps)


@pytest.mark.parametrize(("mode", "steps"), [("receding_horizon", 2), ("open_loop", H)])
def test_the_robot_holds_still_until_a_late_chunk_is_there(mode, steps):
    executor = ChunkExecutor(Clock(), Execution(mode, steps if mode == "receding_horizon" else None, delay=3))
    expected, asked = list(range(steps)), steps
    while len(expected) < 20:
        expected += [expected[-1]] * 3 + [asked * 10 + i for i in range(steps)]
        asked += 3 + steps
    assert actions(executor, 20) == expected[:20]


def test_without_a_number_of_steps_a_late_chunk_is_used_as_far_as_it_reaches():
    assert ChunkExecutor(Clock(n_action_steps=5), Execution("naive_async", delay=2)).schedule.steps == 3
    assert ChunkExecutor(Clock(n_action_steps=1), Execution("naive_async", delay=2)).schedule.steps == 2
    assert ChunkExecutor(Clock(n_action_steps=2), Execution("naive_async", delay=1)).schedule.steps == 2


@pytest.mark.parametrize(("delay", "steps"), [(0, 3), (1, 3), (3, 3)])
def test_real_time_chunks_have_something_to_agree_with(delay, steps):
    """Of a policy whose chunks are executed whole: it would be guided by nothing, and be open loop in all but name."""
    config = SimpleNamespace(type="dit", objective="flow", chunk_size=6, n_action_steps=6)
    assert schedule_for(Execution("rtc", delay=delay), config).steps == steps
    assert schedule_for(Execution("rtc", 6, 0), config).steps == 6
    assert schedule_for(Execution("naive_async", delay=delay), config).steps == 6 - delay


def test_true_zeros_are_averaged_too():
    class Zero(Clock):
        def predict_chunk(self, observation):
            return torch.zeros(1, H, 1) if float(observation[STATE][0, 0]) % 2 else torch.ones(1, H, 1)

    executor = ChunkExecutor(Zero(), Execution("temporal_ensembling", ensemble_decay=0.0))
    assert actions(executor, 4) == pytest.approx([1.0, 1 / 2, 2 / 3, 1 / 2])


@pytest.mark.parametrize("mode", [None, "open_loop", "temporal_ensembling", "naive_async"])
def test_reset_forgets(mode):
    executor = ChunkExecutor(Clock(), Execution(mode))
    first = actions(executor, 7)
    executor.reset()
    assert actions(executor, 7) == first


class Between(Clock):
    """Goes to the nearer of two places, at -1 and 1, and stays in the middle between them. Keeps what it was shown."""

    def __init__(self, dims=1):
        super().__init__()
        self.config = replace(self.config, input_shapes={STATE: (dims,)})
        self.shown = []

    def predict_chunk(self, observation):
        self.shown.append(observation[STATE][0])
        return torch.sign(observation[STATE][:, :1, None]).expand(1, H, 1)


def driven(execution, start, seed=0, steps=40):
    """Where a point ends that a policy drives by 0.15 of its action a step, and what the policy was shown."""
    executor = ChunkExecutor(Between(), execution)
    executor.reset(seed)
    x = start
    for _ in range(steps):
        x = float(np.clip(x + 0.15 * executor.act({STATE: np.array([x], np.float32)})[0], -1, 1))
    return x, executor.policy.shown


@pytest.mark.parametrize("mode", [None, "open_loop", "temporal_ensembling", "naive_async"])
def test_what_stands_still_in_the_middle_is_shaken_loose(mode):
    assert driven(Execution(mode), 0.0)[0] == 0.0
    for seed in range(5):
        assert abs(driven(Execution(mode, unstick=0.1), 0.0, seed)[0]) > 0.5


def test_what_moves_is_not_shaken():
    plain, shown = driven(Execution(), 0.05, steps=6)
    shaken, shown_too = driven(Execution(unstick=0.5), 0.05, steps=6)
    assert plain == shaken > 0.9 and torch.equal(torch.stack(shown), torch.stack(shown_too))


def test_noise_grows_while_nothing_moves_and_is_the_episodes_own():
    def noise(seed):
        executor = ChunkExecutor(Between(2000), Execution(unstick=0.1))
        executor.reset(seed)
        for _ in range(18):
            executor.act({STATE: np.full(2000, 0.5, np.float32)})
        return torch.stack(executor.policy.shown) - 0.5

    first = noise(0)
    deviations = first.square().mean(dim=1).sqrt().numpy()
    assert set(deviations[:3]) == {0} and deviations[3:] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0], rel=0.1)
    assert torch.equal(noise(0), first) and not torch.equal(noise(1), first)


def test_noise_does_not_outgrow_its_bound_however_long_nothing_moves():
    standstill, still = Standstill(0.1, 1), torch.zeros(3)
    assert [standstill.noise(now, still) for now in (0, 1, 2, 3, 4, 10**6)] == [0.0, 0.0, 0.0, 0.1, 0.2, 1.0]
    assert standstill.noise(10**6 + 1, still + 0.3) == 0.0


def test_it_is_the_environment_that_is_to_move_where_it_is_seen():
    """A hand that goes round and round without moving anything is shaken, one under which anything moves is not."""
    for moves in (False, True):
        policy = Between(20)
        policy.config = replace(policy.config, input_shapes={STATE: (20,), ENVIRONMENT_STATE: (20,)})
        policy.normalizer = Normalizer({STATE: 20, ENVIRONMENT_STATE: 20, ACTION: 1}, "mean_std")
        executor = ChunkExecutor(policy, Execution(unstick=0.1))
        for step in range(12):
            hand, thing = (np.full(20, x, np.float32) for x in (step, 0.1 * step * moves))
            executor.act({STATE: hand, ENVIRONMENT_STATE: thing})
        shaken = [not torch.equal(seen, seen.round()) for seen in policy.shown]
        assert shaken == [*[False] * 3, *[not moves] * 3]


@pytest.mark.parametrize(("normalization", "deviation"), [("mean_std", 1.0), ("min_max", 1 / 3)])
def test_noise_is_in_deviations_of_the_data(normalization, deviation):
    """Ten times the unit, ten times the noise; a half range is three deviations."""
    policy = Between(2000)
    policy.config = replace(policy.config, normalization=normalization)
    policy.normalizer.get_buffer("observation_state_scale").fill_(10.0)
    executor = ChunkExecutor(policy, Execution(unstick=0.1))
    for _ in range(7):
        executor.act({STATE: np.full(2000, 5.0, np.float32)})
    assert float((policy.shown[3] - 5.0).square().mean().sqrt()) == pytest.approx(10 * 0.1 * deviation, rel=0.1)


def test_noise_is_for_vectors():
    executor = Between()
    executor.config = replace(executor.config, input_shapes={"observation.images.top": (8, 8, 3)})
    with pytest.raises(UsageError, match=r"unstick 0\.1: the policy sees images alone"):
        ChunkExecutor(executor, Execution(unstick=0.1))


@pytest.mark.parametrize(
    ("mode", "options", "message"),
    [
        *((None, {"unstick": noise}, f"unstick {noise}: give noise") for noise in (0.0, -0.1, 1.5, float("nan"))),
        ("open_lop", {}, "did you mean 'open_loop'"),
        ("open_loop", {"n_action_steps": 2}, "contradicts open_loop"),
        ("temporal_ensembling", {"n_action_steps": 2}, "contradicts temporal_ensembling"),
        ("receding_horizon", {"ensemble_decay": 0.1}, "belongs to temporal_ensembling"),
        ("receding_horizon", {"n_action_steps": 6}, "outside 1 … 5"),
        ("receding_horizon", {"n_action_steps": 0}, "outside 1 … 5"),
        ("naive_async", {"delay": 3}, "more than half of the policy's chunk, 5"),
        ("temporal_ensembling", {"delay": 3}, "more than half"),
        ("naive_async", {"delay": 2, "n_action_steps": 4}, r"n_action_steps 4 is outside 2 … 3: with delay 2"),
        ("naive_async", {"delay": 2, "n_action_steps": 1}, "outside 2 … 3"),
        (None, {"delay": -1}, "delay -1 is negative"),
        ("rtc", {}, "rtc needs a policy trained by flow; the policy was trained by act"),
        ("rtc_training", {}, "rtc_training needs a policy trained by flow"),
        ("naive_async", {"max_guidance": 5.0}, "max_guidance 5.0 belongs to rtc, not to naive_async"),
        ("rtc", {"max_guidance": math.inf}, "max_guidance inf: give a number"),
        ("temporal_ensembling", {"ensemble_decay": math.nan}, "ensemble_decay nan is no number"),
        (None, {"masking": "exp"}, "masking exp belongs to rtc, not to receding_horizon"),
        ("rtc", {"masking": "hard"}, "unknown masking 'hard'"),
    ],
)
def test_settings_that_contradict_each_other(mode, options, message):
    with pytest.raises(UsageError, match=message):
        ChunkExecutor(Clock(), Execution(mode, **options))


def test_observations_that_do_not_fit():
    executor = ChunkExecutor(Clock())
    with pytest.raises(UsageError, match=r"needs 'observation.state'; the observation has a, b"):
        executor.act({"a": np.zeros(1), "b": np.zeros(1)})
    with pytest.raises(UsageError, match=r"of shape \(1,\), the observation's is \(2,\)"):
        executor.act({STATE: np.zeros(2)})
