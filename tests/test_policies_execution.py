"""From chunks to actions: every mode against a plain reimplementation."""

import numpy as np
import pytest
import torch

from robotics.errors import UsageError
from robotics.policies.act_config import ActConfig
from robotics.policies.base import Policy
from robotics.policies.execution import ChunkExecutor
from robotics.policies.schedule import Execution
from robotics.vocabulary import STATE

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


def test_true_zeros_are_averaged_too():
    class Zero(Clock):
        def predict_chunk(self, observation):
            return torch.zeros(1, H, 1) if float(observation[STATE][0, 0]) % 2 else torch.ones(1, H, 1)

    executor = ChunkExecutor(Zero(), Execution("temporal_ensembling", ensemble_decay=0.0))
    assert actions(executor, 4) == pytest.approx([1.0, 1 / 2, 2 / 3, 1 / 2])


@pytest.mark.parametrize("mode", [None, "open_loop", "temporal_ensembling"])
def test_reset_forgets(mode):
    executor = ChunkExecutor(Clock(), Execution(mode))
    first = actions(executor, 7)
    executor.reset()
    assert actions(executor, 7) == first


@pytest.mark.parametrize(
    ("mode", "options", "message"),
    [
        ("open_lop", {}, "did you mean 'open_loop'"),
        ("open_loop", {"n_action_steps": 2}, "contradicts open_loop"),
        ("temporal_ensembling", {"n_action_steps": 2}, "contradicts temporal_ensembling"),
        ("receding_horizon", {"ensemble_decay": 0.1}, "belongs to temporal_ensembling"),
        ("receding_horizon", {"n_action_steps": 6}, "outside 1 … 5"),
        ("receding_horizon", {"n_action_steps": 0}, "outside 1 … 5"),
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
