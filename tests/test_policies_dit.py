"""The diffusion transformer, its backbones and its objectives."""

import math
from itertools import pairwise

import pytest
import torch

from robotics.errors import UsageError
from robotics.policies.base import ACTION_IS_PAD
from robotics.policies.checkpoint import load_policy, save_policy
from robotics.policies.ddim import LEVELS, add_noise, as_time, ddim_loss, ddim_sample, sampled_levels, signal_levels
from robotics.policies.dit import DiT
from robotics.policies.dit_config import DiTConfig
from robotics.policies.flow import flow_loss, flow_sample, given_prefix, velocity
from robotics.policies.language import TASK, word_ids
from robotics.policies.losses import hold_last, masked_mse
from robotics.policies.mip import mip_loss, mip_sample
from robotics.vocabulary import ACTION, ENVIRONMENT_STATE, STATE

TOP, WRIST = "observation.images.top", "observation.images.wrist"
VECTORS = {STATE: (3,), ENVIRONMENT_STATE: (2,)}
EVERYTHING = {**VECTORS, TOP: (32, 48, 3), WRIST: (32, 48, 3)}
OBJECTIVES = ("flow", "ddim", "mip", "regression")
BACKBONES = ("adaln", "in_context")


def config(**changes) -> DiTConfig:
    small = {"input_shapes": VECTORS, "action_dim": 2, "chunk_size": 6, "n_action_steps": 3, "dim": 32, "heads": 2}
    small |= {"feed_forward": 64, "encoder_layers": 1, "decoder_layers": 2, "dropout": 0.0}
    return DiTConfig(**small | changes)


def batch(shapes=VECTORS, size=4, horizon=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    values = {}
    for key, shape in shapes.items():
        if len(shape) == 3:
            values[key] = torch.randint(0, 256, (size, *shape), generator=generator, dtype=torch.uint8)
        else:
            values[key] = torch.randn(size, *shape, generator=generator)
    is_pad = torch.zeros(size, horizon, dtype=torch.bool)
    is_pad[1, 4:] = True
    texts = ("lift the cube", "hand it over", "put red on blue", "put blue on red")
    values[TASK] = torch.stack([torch.from_numpy(word_ids(texts[row % 4])) for row in range(size)])
    actions = 2 * torch.rand(size, horizon, 2, generator=generator) - 1
    return values | {ACTION: actions, ACTION_IS_PAD: is_pad}


def policy(**changes) -> DiT:
    torch.manual_seed(0)
    return DiT(config(**changes))


def stirred(**changes) -> DiT:
    """A policy whose layers that start at zero have learned something."""
    dit = policy(**changes)
    with torch.no_grad():
        for parameter in dit.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return dit


# -- learning -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_it_overfits_one_batch(objective, backbone):
    dit, data = policy(objective=objective, backbone=backbone, decoder_layers=1), batch()
    optimizer = torch.optim.Adam(dit.parameters(), lr=4e-3)
    often = {key: value.repeat(16, *[1] * (value.dim() - 1)) for key, value in data.items()}  # 16 draws of noise each
    for _ in range(150):
        loss, terms = dit(often)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert terms.keys() == {objective}
    dit.eval()
    generator = torch.Generator().manual_seed(5)
    assert masked_mse(dit.predict_chunk(data, generator), data[ACTION], data[ACTION_IS_PAD]) < 0.02


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"shared_backbone": False, "encoder_layers": 0},
        {"actions_per_query": 3},
        {"objective": "mip"},
        {"max_delay": 3},
        {"noise_draws": 3},
        {"flow_error": "action"},
    ],
)
def test_every_parameter_learns(backbone, changes):
    dit = stirred(input_shapes=EVERYTHING, language=True, backbone=backbone, **changes)
    dit(batch(EVERYTHING))[0].backward()
    dead = [name for name, p in dit.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    # a key's bias shifts every score of a query alike, which the softmax removes; the keys' norm undoes that
    assert [name for name in dead if not name.endswith("key.bias")] == []


@pytest.mark.parametrize("backbone", BACKBONES)
def test_an_untrained_network_gives_zero_and_learns_from_there(backbone):
    """Zero weights everywhere would be a saddle that nothing leaves."""
    dit, data = policy(backbone=backbone), batch()
    noise = torch.randn(4, 6, 2)
    condition = dit.encode(data)
    assert not dit.denoiser(noise, torch.rand(4), condition).any()
    assert torch.allclose(dit.sample(condition, noise), torch.zeros(4, 6, 2), atol=1e-6)
    optimizer = torch.optim.SGD(dit.parameters(), lr=1e-3)
    for _ in range(10):
        optimizer.zero_grad()
        dit(data)[0].backward()
        optimizer.step()
    assert dit.denoiser(noise, torch.rand(4), dit.encode(data)).abs().max() > 1e-4


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("objective", ["flow", "ddim", "mip"])
def test_several_noises_are_a_batch_in_which_every_observation_comes_as_often(objective, backbone):
    """The same loss and the same gradients, from one look at each observation."""
    data = batch()
    often = {key: value.repeat_interleave(3, 0) for key, value in data.items()}
    found = []
    for draws, values in ((3, data), (1, often)):
        dit = stirred(objective=objective, backbone=backbone, noise_draws=draws)
        torch.manual_seed(7)
        loss, _ = dit(values)
        loss.backward()
        found.append([loss.detach(), *(p.grad for p in dit.parameters() if p.grad is not None)])
    assert all(torch.allclose(one, other, rtol=1e-3, atol=1e-5) for one, other in zip(*found, strict=True))


# -- what must matter -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backbone", BACKBONES)
def test_time_matters_everywhere(backbone):
    dit, data = stirred(backbone=backbone), batch()
    noisy, condition = torch.randn(4, 6, 2), dit.encode(data)
    times = torch.linspace(0, 1, 11)
    out = torch.stack([dit.denoiser(noisy, time.expand(4), condition) for time in times])
    # unscaled, neighbouring times would look alike to nearly all channels
    assert (out[1:] - out[:-1]).abs().amax(dim=(1, 2, 3)).min() > 1e-3


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_observation_matters(backbone):
    dit, data = stirred(input_shapes=EVERYTHING, language=True, backbone=backbone).eval(), batch(EVERYTHING)
    before = dit.predict_chunk(data)
    for key in (*EVERYTHING, TASK):
        changed = {**data, key: data[key].roll(1, 0)}
        assert not torch.allclose(before, dit.predict_chunk(changed), atol=1e-5), key


@pytest.mark.parametrize("backbone", BACKBONES)
def test_one_time_for_all_is_the_same_time_for_each(backbone):
    dit, data = stirred(backbone=backbone, actions_per_query=2), batch()
    noisy, condition, time = torch.randn(4, 6, 2), dit.encode(data), torch.rand(4)
    shared = dit.velocity(noisy, time, condition)
    assert torch.allclose(shared, dit.velocity(noisy, time[:, None].expand(4, 6), condition), atol=1e-6)
    first_known = time[:, None].repeat(1, 6)
    first_known[:, 0] = 1.0
    assert not torch.allclose(shared, dit.velocity(noisy, first_known, condition), atol=1e-4)


def test_noise_comes_from_the_generator_and_is_zero_without():
    dit, data = stirred().eval(), batch()
    first, again, other = (dit.predict_chunk(data, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    condition = dit.encode(data)
    assert torch.equal(dit.predict_chunk(data), dit.sample(condition, torch.zeros(4, 6, 2)))


# -- what must not matter -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("garbage", [1e6, float("nan"), float("inf")])
def test_what_is_padded_does_not_matter(objective, garbage):
    dit, data = stirred(objective=objective), batch()
    torch.manual_seed(1)
    before, _ = dit(data)
    torch.manual_seed(1)
    after, _ = dit({**data, ACTION: data[ACTION].masked_fill(data[ACTION_IS_PAD][..., None], garbage)})
    assert torch.equal(before, after)
    after.backward()
    assert all(torch.isfinite(p.grad).all() for p in dit.parameters() if p.grad is not None)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_prediction_does_not_depend_on_its_neighbours(backbone):
    shapes = EVERYTHING
    dit, data = stirred(input_shapes=shapes, language=True, backbone=backbone).eval(), batch(shapes)
    alone = dit.predict_chunk({key: value[2:3] for key, value in data.items()})
    assert torch.allclose(dit.predict_chunk(data)[2:3], alone, atol=1e-5)


@pytest.mark.parametrize("shapes", [{STATE: (3,)}, {TOP: (32, 48, 3)}, EVERYTHING])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_any_subset_of_inputs(shapes, backbone):
    dit = policy(input_shapes=shapes, backbone=backbone).eval()
    assert dit.predict_chunk(batch(shapes)).shape == (4, 6, 2)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_checkpoint_gives_the_same_policy(tmp_path, backbone):
    dit, data = stirred(backbone=backbone, language=True, objective="mip").eval(), batch()
    dit.normalizer.fit(STATE, data[STATE].numpy())
    save_policy(dit, tmp_path)
    loaded = load_policy(tmp_path)
    assert loaded.config == dit.config
    for name, tensor in dit.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    # not to the bit: kernels round differently where a tensor begins at another address
    assert torch.allclose(loaded.predict_chunk(data), dit.predict_chunk(data), atol=1e-5)


# -- objectives, against distributions whose answer is known --------------------------------------------------------


def gaussian_velocity(x, time):
    """The exact velocity of actions ~ N(2, 0.5²): E[a − ε | x]."""
    t = time[:, None, None]
    variance = (1 - t) ** 2 + (0.5 * t) ** 2
    return 2.0 + (0.25 * t - (1 - t)) / variance * (x - 2.0 * t)


def gaussian_denoiser(x, time):
    """The exact posterior mean of actions ~ N(0.3, 0.2²) under the diffusion's noise."""
    alpha = signal_levels()[(time * (LEVELS - 1)).round().long()][:, None, None]
    gain = alpha.sqrt() * 0.04 / (alpha * 0.04 + 1 - alpha)
    return 0.3 + gain * (x - alpha.sqrt() * 0.3)


def test_euler_steps_converge_to_the_flow():
    noise = torch.randn(4000, 1, 1, generator=torch.Generator().manual_seed(0))
    exact = 2.0 + 0.5 * noise  # the flow between Gaussians is the affine map between them
    errors = [(flow_sample(gaussian_velocity, noise, steps) - exact).abs().mean() for steps in (1, 4, 16, 64)]
    assert all(later < 0.5 * earlier for earlier, later in pairwise(errors))
    assert errors[-1] < 0.02


def test_the_velocity_of_predicted_actions_is_that_of_the_flow():
    def predicted(x, time):  # E[a | x] of the same actions
        return x + (1 - time[:, None, None]) * gaussian_velocity(x, time)

    x, time = torch.randn(50, 3, 2), 0.95 * torch.rand(50)
    assert torch.allclose(velocity(predicted, x, time), gaussian_velocity(x, time), atol=1e-4)
    assert torch.isfinite(velocity(predicted, x, torch.ones(50))).all()


def test_ddim_steps_converge_to_the_distribution():
    noise = torch.randn(4000, 1, 1, generator=torch.Generator().manual_seed(0))
    spreads = [ddim_sample(gaussian_denoiser, noise, steps, "sample").std().item() for steps in (1, 4, 16, 100)]
    errors = [abs(spread - 0.2) for spread in spreads]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.02
    assert ddim_sample(gaussian_denoiser, noise, 16, "sample").mean() == pytest.approx(0.3, abs=0.02)


def test_predicting_noise_and_predicting_actions_say_the_same():
    def as_noise(x, time):
        alpha = signal_levels()[(time * (LEVELS - 1)).round().long()][:, None, None]
        return (x - alpha.sqrt() * gaussian_denoiser(x, time)) / (1 - alpha).sqrt()

    noise = torch.randn(100, 2, 3, generator=torch.Generator().manual_seed(0))
    by_actions, by_noise = (
        ddim_sample(f, noise, 10, kind) for f, kind in ((gaussian_denoiser, "sample"), (as_noise, "epsilon"))
    )
    assert torch.allclose(by_actions, by_noise, atol=2e-3)


def test_the_noise_schedule():
    levels = signal_levels()
    assert len(levels) == LEVELS and (levels[1:] < levels[:-1]).all()
    assert levels[0] > 0.999 and levels[-1] < 1e-5
    assert sampled_levels(1) == [LEVELS - 1] and sampled_levels(LEVELS) == list(range(LEVELS - 1, -1, -1))
    assert sampled_levels(8)[0] == LEVELS - 1
    actions, noise = torch.full((LEVELS, 1, 1), 3.0), torch.full((LEVELS, 1, 1), 4.0)
    noisy = add_noise(actions, noise, torch.arange(LEVELS)).flatten()
    assert noisy[0] == pytest.approx(3.0, abs=0.1) and noisy[-1] == pytest.approx(4.0, abs=0.01)
    assert as_time(torch.tensor([0, LEVELS - 1])).tolist() == [0.0, 1.0]


def test_losses_are_zero_for_networks_that_know():
    actions = 2 * torch.rand(3, 4, 2) - 1
    noise, nobody = torch.randn_like(actions), torch.zeros(3, 4, dtype=torch.bool)
    time, level = torch.rand(3), torch.tensor([3, 50, 99])
    assert flow_loss(lambda x, t: actions, actions, noise, time, nobody) == 0
    assert ddim_loss(lambda x, t: actions, actions, noise, level, nobody, "sample") == 0
    assert ddim_loss(lambda x, t: noise, actions, noise, level, nobody, "epsilon") == 0
    assert mip_loss(lambda x, t: actions, actions, noise, nobody) == 0
    # an error of the actions that makes an error of one in the velocity
    off = flow_loss(lambda x, t: actions + (1 - t)[:, None, None], actions, noise, 0.8 * time, nobody)
    assert off == pytest.approx(1.0)
    one_off = flow_loss(lambda x, t: actions + 1, actions, noise, time, nobody, "action")
    assert one_off == pytest.approx(1.0)


def test_two_looks_weigh_as_published():
    """t* = 0.9: errors of the first look count 1/0.81, of the second 1/0.01, all a tenth."""
    actions, nobody = torch.zeros(2, 3, 1), torch.zeros(2, 3, dtype=torch.bool)
    first = mip_loss(lambda x, t: (t[:, None, None] == 0).float().expand_as(x), actions, actions, nobody)
    second = mip_loss(lambda x, t: (t[:, None, None] > 0).float().expand_as(x), actions, actions, nobody)
    assert first == pytest.approx(0.1 / 0.81) and second == pytest.approx(0.1 / 0.01)
    looks = []
    mip_sample(lambda x, t: looks.append((x.mean().item(), t[0].item())) or x + 1, actions)
    assert looks == [(0.0, 0.0), (1.0, pytest.approx(0.9))]


def test_flow_runs_straight_from_noise_to_action():
    seen = []
    actions, noise = torch.full((2, 3, 1), 5.0), torch.ones(2, 3, 1)
    nobody = torch.zeros(2, 3, dtype=torch.bool)
    time, given = given_prefix(torch.tensor([0.25, 0.5]), torch.tensor([0, 2]), 3)
    assert time.tolist() == [[0.25] * 3, [1.0, 1.0, 0.5]] and given.sum() == 2
    flow_loss(lambda x, t: seen.append(x) or x, actions, noise, time, nobody | given)
    assert seen[0][..., 0].tolist() == [[2.0] * 3, [5.0, 5.0, 3.0]]


def test_actions_that_are_given_carry_no_loss():
    dit, data = stirred(max_delay=3), batch()
    actions = data[ACTION]

    def network(x, time):
        assert torch.equal(x[time == 1], actions[time == 1])
        return torch.where((time == 1)[..., None], math.inf, 0.0).expand_as(x)

    torch.manual_seed(0)
    assert torch.isfinite(dit._objective(network, actions, data[ACTION_IS_PAD]))


def test_padding_is_held():
    actions = torch.arange(8.0).reshape(2, 4, 1)
    is_pad = torch.tensor([[False, False, True, True], [True] * 4])
    assert hold_last(actions, is_pad)[..., 0].tolist() == [[0, 1, 1, 1], [0] * 4]


# -- settings -------------------------------------------------------------------------------------------------------


def test_only_flow_has_a_velocity():
    dit, data = policy(objective="ddim"), batch()
    with pytest.raises(UsageError, match="trained by ddim has no velocity"):
        dit.velocity(torch.zeros(4, 6, 2), torch.zeros(4), dit.encode(data))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "ddim", "normalization": "mean_std"}, "needs normalization min_max"),
        ({"objective": "mip", "sampling_steps": 3}, "contradicts mip, which takes 2"),
        ({"prediction": "epsilon"}, "belongs to ddim"),
        ({"objective": "mip", "max_delay": 2}, "max_delay 2 belongs to flow"),
        ({"max_delay": 6}, "below chunk_size"),
        ({"sampling_steps": 0}, "at least 1"),
        ({"sampling_steps": 101}, "at most 100"),
        ({"objective": "ddim", "sampling_steps": 250}, "at most 100"),
        ({"noise_draws": 0}, "at least 1"),
        ({"objective": "ddim", "flow_error": "action"}, "flow_error action belongs to flow"),
        ({"objective": "regression", "noise_draws": 2}, "regression draws no noise"),
        ({"actions_per_query": 4}, "multiple of actions_per_query"),
        ({"decoder_layers": 1, "backbone": "in_context", "language": True, "input_shapes": EVERYTHING}, "in turn"),
        ({"colour_jitter": 1.0}, "colour_jitter is 1.0"),
        ({"random_shift": -1}, "must not be negative"),
    ],
)
def test_settings_that_can_not_be(changes, message):
    with pytest.raises(UsageError, match=message):
        config(**changes)
