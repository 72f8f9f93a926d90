"""The transformer: dropout by 16 random bits an element, attention with it, encoders that compute what is wanted."""

import pytest
import torch
from torch.nn import functional as F

from robotics.policies.dropout import Dropout, dropout
from robotics.policies.transformer import Attention, Encoder


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_a_share_is_dropped_and_the_mean_stays(p):
    torch.manual_seed(0)
    y = dropout(torch.ones(1001, 999), p)
    assert (y == 0).float().mean() == pytest.approx(p, abs=2e-3)
    assert y.mean() == pytest.approx(1.0, abs=2e-2)
    assert y.unique().numel() == 2


def test_the_seed_decides_and_neighbours_are_independent():
    torch.manual_seed(3)
    first, second = dropout(torch.ones(100_003), 0.5), dropout(torch.ones(100_003), 0.5)
    torch.manual_seed(3)
    assert torch.equal(first, dropout(torch.ones(100_003), 0.5))
    for a, b in ((first, second), (first[1:], first[:-1]), (first[4:], first[:-4])):
        assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < 0.02


def test_gradient_flows_where_the_value_does():
    x = torch.randn(64, 64, requires_grad=True)
    y = dropout(x, 0.3)
    y.sum().backward()
    assert torch.equal(x.grad == 0, y == 0)


def test_no_dropout_and_no_training_change_nothing():
    x = torch.randn(5, 7)
    assert dropout(x, 0.0) is x
    assert Dropout(0.5).eval()(x) is x


def test_attention_with_almost_no_dropout_is_attention():
    """A rate below one level drops nothing, and then the two ways to compute attention must agree, masks included."""
    torch.manual_seed(0)
    attention = Attention(16, 2, dropout=1e-9).train()
    x, is_pad = torch.randn(3, 6, 16), torch.zeros(3, 6, dtype=torch.bool)
    is_pad[0, 4:] = True
    q, k, v = (attention._split(layer(x)) for layer in (attention.query, attention.key, attention.value))
    fused = F.scaled_dot_product_attention(q, k, v, attn_mask=~is_pad[:, None, None, :])
    expected = attention.out(fused.transpose(1, 2).flatten(2))
    assert torch.allclose(attention(x, x, x, is_pad), expected, atol=1e-6)


@pytest.mark.parametrize("pre_norm", [False, True])
def test_an_encoder_asked_for_its_first_tokens_gives_those(pre_norm):
    torch.manual_seed(0)
    encoder = Encoder(3, 16, 2, 32, 0.1, pre_norm).eval()
    x, positions, is_pad = torch.randn(4, 7, 16), torch.randn(7, 16), torch.zeros(4, 7, dtype=torch.bool)
    is_pad[1, 5:] = True
    assert torch.allclose(encoder(x, positions, is_pad, wanted=2), encoder(x, positions, is_pad)[:, :2], atol=1e-6)
