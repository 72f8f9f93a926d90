"""Layers packed for the processor: the same policy within rounding, gradients and names included."""

import pytest
import torch
from torch import nn

from robotics.policies.act import Act
from robotics.policies.act_config import ActConfig
from robotics.policies.packing import LARGE, PackedLinear, packed
from robotics.vocabulary import STATE

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(512, 256), nn.ReLU(), nn.Sequential(nn.Linear(256, 512), nn.Linear(512, 3))).eval()


def test_a_packed_policy_predicts_the_same():
    torch.manual_seed(0)
    config = ActConfig(input_shapes={STATE: (14,)}, action_dim=14, chunk_size=20, n_action_steps=20, encoder_layers=1)
    policy = Act(config).eval().requires_grad_(False)
    observation = {STATE: torch.randn(3, 14)}
    with torch.no_grad():
        expected, names = policy.predict_chunk(observation), list(policy.state_dict())
        assert packed(policy) is policy
        assert any(isinstance(module, PackedLinear) for module in policy.modules())
        assert torch.allclose(policy.predict_chunk(observation), expected, atol=1e-5)
    assert list(policy.state_dict()) == names


def test_small_layers_stay_as_they_are(network):
    packed(network)
    kinds = [type(module) for module in network.modules() if isinstance(module, nn.Linear)]
    assert kinds == [PackedLinear, PackedLinear, nn.Linear]
    assert network[2][0].weight.numel() == LARGE


def test_gradients_go_through_packed_layers(network):
    x = torch.randn(4, 512, requires_grad=True)
    expected = torch.autograd.grad(network(x).square().sum(), x)[0]
    assert torch.equal(torch.autograd.grad(packed(network)(x).square().sum(), x)[0], expected)


@pytest.mark.parametrize("rows", [(0,), (1,), (2, 5)])
def test_any_number_of_rows(network, rows):
    x = torch.randn(*rows, 512)
    with torch.no_grad():
        assert torch.allclose(network(x), packed(network)(x), atol=1e-5)


def test_autocast_decides_the_precision_as_of_any_layer(network):
    x = torch.randn(4, 512)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = network(x)
        found = packed(network)(x)
    assert found.dtype == expected.dtype == torch.bfloat16
    assert torch.equal(found, expected)
