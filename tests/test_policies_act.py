"""ACT and its parts: what must learn learns, what must not matter does not."""

import numpy as np
import pytest
import torch

from robotics.errors import UsageError
from robotics.policies.act import Act
from robotics.policies.act_config import ActConfig
from robotics.policies.base import ACTION_IS_PAD
from robotics.policies.ema import Ema
from robotics.policies.losses import gaussian_kl, masked_l1
from robotics.policies.normalization import Normalizer
from robotics.policies.positions import sine_1d, sine_2d
from robotics.policies.resnet import ResNet18
from robotics.vocabulary import ACTION, ENVIRONMENT_STATE, STATE

TOP, WRIST = "observation.images.top", "observation.images.wrist"
VECTORS = {STATE: (3,), ENVIRONMENT_STATE: (2,)}
EVERYTHING = {**VECTORS, TOP: (32, 48, 3), WRIST: (32, 48, 3)}


def config(**changes) -> ActConfig:
    small = {"input_shapes": VECTORS, "action_dim": 2, "chunk_size": 6, "n_action_steps": 3, "dim": 32, "heads": 2}
    small |= {"feed_forward": 64, "encoder_layers": 1, "latent_dim": 4, "dropout": 0.0}
    return ActConfig(**small | changes)


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
    return values | {ACTION: torch.randn(size, horizon, 2, generator=generator), ACTION_IS_PAD: is_pad}


def policy(**changes) -> Act:
    torch.manual_seed(0)
    return Act(config(**changes))


# -- learning -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("latent", [0, 4])
def test_it_overfits_one_batch(latent):
    act, data = policy(latent_dim=latent, kl_weight=1e-3), batch()
    optimizer = torch.optim.Adam(act.parameters(), lr=3e-3)
    for _ in range(200):
        loss, _ = act(data)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    act.eval()
    assert masked_l1(act.predict_chunk(data), data[ACTION], data[ACTION_IS_PAD]) < 0.1


@pytest.mark.parametrize("changes", [{}, {"decoder_layers": 7}, {"actions_per_query": 3}, {"pre_norm": True}])
def test_every_parameter_learns(changes):
    """The public code leaves six of seven decoder layers without a gradient."""
    act = policy(input_shapes=EVERYTHING, **changes)
    loss, _ = act(batch(EVERYTHING))
    loss.backward()
    dead = [name for name, p in act.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    # a key's bias shifts every score of a query alike, which the softmax removes: its gradient is 0 by construction
    assert [name for name in dead if not name.endswith("key.bias")] == []


@pytest.mark.parametrize("shapes", [{STATE: (3,)}, {ENVIRONMENT_STATE: (2,)}, {TOP: (32, 48, 3)}, EVERYTHING])
def test_any_subset_of_inputs(shapes):
    act = policy(input_shapes=shapes).eval()
    assert act.predict_chunk(batch(shapes)).shape == (4, 6, 2)


# -- what must not matter -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("latent", [0, 4])
@pytest.mark.parametrize("garbage", [1e6, float("nan"), float("inf")])
def test_what_is_padded_does_not_matter(latent, garbage):
    act, data = policy(latent_dim=latent), batch()
    torch.manual_seed(1)
    before, _ = act(data)
    spoiled = {**data, ACTION: data[ACTION].masked_fill(data[ACTION_IS_PAD][..., None], garbage)}
    torch.manual_seed(1)
    after, _ = act(spoiled)
    assert torch.equal(before, after)
    after.backward()
    assert all(torch.isfinite(p.grad).all() for p in act.parameters() if p.grad is not None)


def test_what_is_not_padded_does_matter():
    act, data = policy(latent_dim=0), batch()
    changed = {**data, ACTION: data[ACTION].clone()}
    changed[ACTION][1, 3] += 1.0
    assert not torch.equal(act(data)[0], act(changed)[0])


def test_the_loss_divides_by_what_counts():
    prediction, target = torch.ones(2, 4, 3), torch.zeros(2, 4, 3)
    is_pad = torch.tensor([[False, False, True, True], [False, True, True, True]])
    assert masked_l1(prediction, target, is_pad) == pytest.approx(1.0)
    assert masked_l1(prediction, target, torch.ones(2, 4, dtype=torch.bool)) == 0.0


def test_a_prediction_does_not_depend_on_its_neighbours():
    act, data = policy(input_shapes=EVERYTHING).eval(), batch(EVERYTHING)
    together = act.predict_chunk(data)
    alone = act.predict_chunk({key: value[2:3] for key, value in data.items()})
    assert torch.allclose(together[2:3], alone, atol=1e-5)


def test_the_style_is_not_seen_when_acting():
    act, data = policy().eval(), batch()
    torch.manual_seed(1)
    first = act.predict_chunk(data)
    torch.manual_seed(2)
    assert torch.equal(first, act.predict_chunk({**data, ACTION: torch.randn(4, 6, 2)}))


def test_kl_against_monte_carlo():
    mean, log_variance = torch.tensor([[0.7, -0.3]]), torch.tensor([[0.4, -1.0]])
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    prior = torch.distributions.Normal(torch.zeros(2), torch.ones(2))
    expected = torch.distributions.kl_divergence(posterior, prior).sum()
    assert gaussian_kl(mean, log_variance, torch.zeros(1, 3, dtype=torch.bool)) == pytest.approx(float(expected))


def test_bf16_agrees_loosely():
    act, data = policy(input_shapes=EVERYTHING, latent_dim=0).eval(), batch(EVERYTHING)
    exact = act(data)[0].item()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = act(data)[0].item()
    assert rounded == pytest.approx(exact, rel=0.05)
    assert rounded != exact


# -- parts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["mean_std", "min_max"])
def test_normalisation_is_undone(mode):
    normalizer = Normalizer({STATE: 4}, mode)
    spread = [10, 0.5, 1e-9, 1e-3]
    values = np.random.default_rng(0).normal([5, -3, 0.1, 0], spread, (100, 4)).astype(np.float32)
    normalizer.fit(STATE, values)
    x = torch.from_numpy(values)
    normal = normalizer.normalize(STATE, x)
    assert torch.allclose(normalizer.denormalize(STATE, normal), x, atol=1e-4)
    if mode == "min_max":
        assert normal[:, :2].abs().max() == pytest.approx(1.0, abs=1e-5)
    else:
        assert normal[:, :2].std(0) == pytest.approx([1.0, 1.0], abs=0.02)
    assert normal[:, 2].abs().max() < 1e-3  # a constant dimension is not blown up
    assert normal[:, 3].abs().max() < 0.5  # nor is what trembles


@pytest.mark.parametrize("mode", ["mean_std", "min_max"])
def test_actions_of_millimetres_count_as_much_as_others(mode):
    """Steps of a hand, beside a gripper; what is constant stays so."""
    normalizer = Normalizer({ACTION: 3}, mode)
    steps = np.random.default_rng(0).uniform(-1, 1, (100, 3)) * [0.003, 1.0, 1e-7]
    normalizer.fit(ACTION, steps)
    spread = normalizer.normalize(ACTION, torch.from_numpy(steps).float()).std(0)
    assert float(spread[0]) == pytest.approx(float(spread[1]), rel=0.2)
    assert spread[2] < 1e-3


def test_inputs_that_would_share_their_statistics_are_refused():
    with pytest.raises(UsageError, match=r"'observation.a_b' and 'observation.a.b' differ by dots and underscores"):
        Normalizer({"observation.a_b": 2, "observation.a.b": 3}, "mean_std")


def test_ema_against_its_closed_form():
    act = policy()
    ema = Ema(act, max_decay=0.8)
    shadow = {name: p.clone() for name, p in act.named_parameters()}
    for update in range(12):
        with torch.no_grad():
            for p in act.parameters():
                p.add_(torch.randn_like(p))
        ema.update(act)
        decay = min(1 - (1 + update) ** -0.75, 0.8)
        for name, p in act.named_parameters():
            shadow[name] = decay * shadow[name] + (1 - decay) * p
    for name, p in ema.policy.named_parameters():
        assert torch.allclose(p, shadow[name], atol=1e-5), name


def test_resnet_has_the_names_and_shapes_of_torchvision():
    """So that published ImageNet weights load; batch norm's running statistics have no counterpart."""
    expected = {"conv1.weight": (64, 3, 7, 7), "bn1.weight": (64,), "bn1.bias": (64,)}
    channels = 64
    for stage, width in enumerate((64, 128, 256, 512), 1):
        for block in range(2):
            name = f"layer{stage}.{block}"
            for number, inputs in (("1", channels), ("2", width)):
                expected[f"{name}.conv{number}.weight"] = (width, inputs, 3, 3)
                expected |= {f"{name}.bn{number}.{kind}": (width,) for kind in ("weight", "bias")}
            if channels != width:
                expected[f"{name}.downsample.0.weight"] = (width, channels, 1, 1)
                expected |= {f"{name}.downsample.1.{kind}": (width,) for kind in ("weight", "bias")}
            channels = width
    network = ResNet18()
    assert {name: tuple(p.shape) for name, p in network.named_parameters()} == expected
    assert network(torch.zeros(1, 3, 64, 96)).shape == (1, 512, 2, 3)


def test_positions_tell_places_apart():
    line = sine_1d(50, 32, torch.device("cpu"))
    assert line.norm(dim=1) == pytest.approx(np.full(50, 4.0), abs=1e-4)  # sine² + cosine² over 16 frequencies
    distances = torch.cdist(line, line) + 10 * torch.eye(50)
    assert distances.min() > 0.1
    grid = sine_2d(4, 6, 32, torch.device("cpu"))
    assert (torch.cdist(grid, grid) + 10 * torch.eye(24)).min() > 0.05


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dim": 30, "heads": 4}, "multiple of heads"),
        ({"chunk_size": 5, "actions_per_query": 2}, "multiple of actions_per_query"),
        ({"n_action_steps": 7}, "exceeds chunk_size"),
        ({"input_shapes": {}}, "at least one input"),
        ({"input_shapes": {TOP: (32, 48)}}, "takes \\(h, w, 3\\)"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"kl_weight": -1.0}, "must not be negative"),
    ],
)
def test_architectures_that_can_not_be(changes, message):
    with pytest.raises(UsageError, match=message):
        config(**changes)
