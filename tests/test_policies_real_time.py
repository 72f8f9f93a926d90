"""Real-time chunking: the guidance against finite differences and closed forms, beginnings that are kept exactly."""

import math

import numpy as np
import pytest
import torch

from robotics.errors import UsageError
from robotics.policies.dit import DiT
from robotics.policies.dit_config import DiTConfig
from robotics.policies.execution import ChunkExecutor
from robotics.policies.flow import flow_sample
from robotics.policies.real_time import (
    _pulled,
    continued_sample,
    guidance_gain,
    guided_sample,
    prefix_weights,
)
from robotics.policies.schedule import Execution
from robotics.vocabulary import ACTION, STATE

H, A = 8, 2


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def toy_network(x, time):
    """Nonlinear, and every action depends on all others."""
    mix = draw(H * A, H * A, seed=1) / 4
    return torch.tanh(x.flatten(1) @ mix + time[:, None]).unflatten(1, (H, A)) * 2


def gaussian(x, time):
    """The velocity that is optimal for actions from N(0, 1), each for itself: x₁ = E[a | x] = t·x/(t² + (1 − t)²)."""
    t = time.reshape(len(x), -1, 1)
    return (t * x / (t**2 + (1 - t) ** 2) - x) / (1 - t).clamp(min=0.01)


# -- weights --------------------------------------------------------------------------------------------------------


def test_weights_of_the_example():
    expected = [1, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0, 0]
    assert prefix_weights(10, 3, 2, "linear").tolist() == pytest.approx(expected)
    faded = [w * math.expm1(w) / (math.e - 1) for w in expected]
    assert prefix_weights(10, 3, 2).tolist() == pytest.approx(faded)
    assert prefix_weights(10, 3, 2, "zeros").tolist() == [1] * 3 + [0] * 7
    assert prefix_weights(10, 3, 2, "ones").tolist() == [1] * 8 + [0] * 2


@pytest.mark.parametrize("masking", ["exp", "linear", "ones", "zeros"])
def test_weights_fall_from_one_to_zero(masking):
    for delay in range(5):
        for steps in range(max(1, delay), H - delay + 1):
            weights = prefix_weights(H, delay, steps, masking)
            assert (weights[:delay] == 1).all()
            assert (weights[H - steps :] == 0).all()
            assert (weights.diff() <= 0).all()


def test_gain():
    assert guidance_gain(0.0, 5.0) == 5.0
    assert guidance_gain(0.01, 5.0) == 5.0
    assert guidance_gain(0.5, 5.0) == pytest.approx(2.0)
    for t in (0.3, 0.8):
        formula = ((1 - t) / t) * (t**2 + (1 - t) ** 2) / (1 - t) ** 2
        assert guidance_gain(t, 5.0) == pytest.approx(formula)
    assert guidance_gain(0.99, 5.0) == 5.0


# -- guidance -------------------------------------------------------------------------------------------------------


def finite_differences(network, x, time, promised, weights, step):
    """Jᵀ·W·(promised − x₁), each column of J from two evaluations."""
    at = torch.full((len(x),), time, dtype=x.dtype)

    def in_sight(x):
        return x + (1 - time) * network(x, at)

    missing = weights[..., None] * (promised - in_sight(x))
    pull = torch.zeros_like(x)
    for place in range(x[0].numel()):
        move = torch.zeros_like(x[0]).flatten()
        move[place] = step
        move = move.reshape(x.shape[1:])
        column = (in_sight(x + move) - in_sight(x - move)) / (2 * step)
        pull.flatten(1)[:, place] = (missing * column).sum((1, 2))
    return pull


@pytest.mark.parametrize("time", [0.0, 0.25, 0.75])
def test_pull_against_finite_differences(time):
    x, promised = draw(3, H, A), draw(3, H, A, seed=2)
    weights = prefix_weights(H, 2, 3).double().expand(3, H)
    velocity, pull = _pulled(toy_network, x, time, promised, weights)
    assert torch.equal(velocity, toy_network(x, torch.full((3,), time, dtype=x.dtype)))
    assert pull == pytest.approx(finite_differences(toy_network, x, time, promised, weights, 1e-6), abs=1e-8)
    identity = weights[..., None] * (promised - x - (1 - time) * velocity)
    assert (pull - identity).abs().max() > 0.1  # a Jacobian that forgets the network is something else


class Gaussian(DiT):
    """Has learned that actions are standard normal, whatever is seen."""

    def velocity(self, noisy, time, condition):
        return gaussian(noisy, time)


def flow_policy(max_delay=0, kind=DiT):
    """An untrained DiT whose every part is in use: what starts at zero is drawn at random."""
    config = DiTConfig(
        input_shapes={STATE: (3,)}, action_dim=A, chunk_size=H, n_action_steps=4, dim=16, heads=2, feed_forward=32,
        encoder_layers=1, decoder_layers=2, dropout=0.0, max_delay=max_delay,
    )  # fmt: skip
    torch.manual_seed(0)
    policy = kind(config)
    for parameter in policy.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3)
    rng = np.random.default_rng(0)
    policy.fit_normalizer({STATE: rng.normal(size=(50, 3)), ACTION: rng.normal(5.0, 3.0, (50, A))})
    return policy.eval().requires_grad_(False)


def test_pull_through_the_transformer_against_finite_differences():
    policy = flow_policy().double()
    policy.denoiser.time.layers.register_forward_pre_hook(lambda _, given: given[0].double())  # it counts in float32
    condition = policy.encode({STATE: draw(2, 3)})
    network = lambda x, time: policy.velocity(x, time, condition)  # noqa: E731
    x, promised, weights = draw(2, H, A), draw(2, H, A, seed=2), prefix_weights(H, 2, 3).double().expand(2, H)
    _, pull = _pulled(network, x, 0.25, promised, weights)
    assert pull == pytest.approx(finite_differences(network, x, 0.25, promised, weights, 1e-6), abs=1e-7)


def test_guidance_leads_to_the_promise_and_leaves_what_is_free():
    """Where actions do not depend on each other, only the promised ones may move."""
    noise, promised = draw(50, H, A), draw(50, H, A, seed=2)
    weights = prefix_weights(H, 3, 2, "zeros").double().expand(50, H)
    free = flow_sample(gaussian, noise, 5)
    guided = guided_sample(gaussian, noise, promised, weights, 5, 5.0)
    assert torch.allclose(guided[:, 3:], free[:, 3:])
    missed = (guided - promised)[:, :3].square().mean() / (free - promised)[:, :3].square().mean()
    assert missed < 0.1


def test_no_weight_is_free_sampling():
    noise, promised = draw(4, H, A), draw(4, H, A, seed=2)
    guided = guided_sample(toy_network, noise, promised, torch.zeros(4, H).double(), 5, 5.0)
    assert torch.equal(guided, flow_sample(toy_network, noise, 5))


# -- given beginnings -------------------------------------------------------------------------------------------------


def test_a_given_beginning_is_kept_and_shown_as_clean():
    noise, promised, delay = draw(3, H, A), draw(3, H, A, seed=2), torch.tensor([0, 2, 5])
    seen = []

    def network(x, time):
        seen.append((x.clone(), time.clone()))
        return toy_network(x, time.mean(1))

    chunk = continued_sample(network, noise, promised, delay, 4)
    for row, given in enumerate(delay.tolist()):
        assert torch.equal(chunk[row, :given], promised[row, :given])
        assert not torch.isclose(chunk[row, given:], promised[row, given:]).any()
        for step, (x, time) in enumerate(seen):
            assert torch.equal(x[row, :given], promised[row, :given])
            assert (time[row, :given] == 1).all()
            assert (time[row, given:] == step / 4).all()
    assert len(seen) == 4


def test_nothing_given_is_free_sampling():
    noise = draw(2, H, A)
    network = lambda x, time: toy_network(x, time if time.dim() == 1 else time[:, 0])  # noqa: E731
    chunk = continued_sample(network, noise, draw(2, H, A, seed=2), torch.zeros(2, dtype=torch.long), 5)
    assert torch.equal(chunk, flow_sample(network, noise, 5))


# -- in an episode ----------------------------------------------------------------------------------------------------


def episode(executor, seed, steps=20):
    rng = np.random.default_rng(0)
    executor.reset(seed)
    return np.array([executor.act({STATE: rng.normal(size=3)}) for _ in range(steps)])


class Watched(ChunkExecutor):
    """Keeps every chunk beside what had been promised when it was asked for."""

    def reset(self, seed=0):
        super().reset(seed)
        self.chunks, give = [], self._playback.give

        def keep(chunk):
            self.chunks.append((self._playback.promised(), chunk))
            give(chunk)

        self._playback.give = keep


@pytest.mark.parametrize(
    ("execution", "kept"),
    [
        (Execution("rtc", 3, 3), 0.1),
        (Execution("rtc", 3, 3, masking="zeros"), 0.1),
        (Execution("rtc_training", 3, 3), 1e-6),
        (Execution("naive_async", 3, 3), None),
    ],
    ids=str,
)
def test_the_next_chunk_goes_on_from_the_last(execution, kept):
    """What is executed while a chunk is on its way is the last one's, exactly; the new one agrees as its mode promises,
    relative to one that knows nothing of the last."""
    executor = Watched(flow_policy(3, Gaussian), execution)
    actions = episode(executor, seed=0)
    beginnings = [promised[:3] for promised, _ in executor.chunks[1:]]
    for number, beginning in enumerate(beginnings[:-1]):
        assert np.array_equal(actions[3 * (number + 1) : 3 * (number + 2)], beginning)
    free = Watched(flow_policy(3, Gaussian), Execution("naive_async", 3, 3))
    episode(free, seed=0)
    distance = [
        np.mean([np.square(promised[:3] - chunk[:3]).mean() for promised, chunk in each.chunks[1:]])
        for each in (executor, free)
    ]
    assert distance[0] == distance[1] if kept is None else distance[0] < kept * distance[1]


@pytest.mark.parametrize("mode", [None, "temporal_ensembling", "naive_async", "rtc", "rtc_training"])
def test_the_seed_of_an_episode_decides_all(mode):
    executor = ChunkExecutor(flow_policy(max_delay=2), Execution(mode, delay=2))
    first = episode(executor, seed=7)
    assert not np.array_equal(episode(executor, seed=8), first)
    assert np.array_equal(episode(executor, seed=7), first)


def test_what_a_policy_was_not_trained_for():
    with pytest.raises(UsageError, match="rtc_training with delay 3: the policy was trained with max_delay 2"):
        ChunkExecutor(flow_policy(max_delay=2), Execution("rtc_training", delay=3))
