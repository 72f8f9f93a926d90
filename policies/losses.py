"""The terms of imitation losses, each one pure function."""

import torch
from torch import Tensor


def masked_l1(prediction: Tensor, target: Tensor, is_pad: Tensor) -> Tensor:
    """Mean absolute error over the valid entries of (B, H, A); `is_pad` (B, H) marks the others.

    The public ACT multiplies by the mask and then divides by all entries, padded ones included, so that its error is
    weighted down near the end of an episode (https://github.com/tonyzhaozh/act/blob/main/policy.py, line 31). Dividing
    by the valid count raises the error against the KL term where windows are padded, and is the same everywhere.
    """
    # Filling, not multiplying: a NaN in the padding times zero is still a NaN.
    error = (prediction - target).abs().mean(dim=-1).masked_fill(is_pad, 0.0)
    return error.sum() / (~is_pad).sum().clamp(min=1)


def masked_mse(prediction: Tensor, target: Tensor, is_pad: Tensor) -> Tensor:
    """Mean squared error over the valid entries of (B, H, A); `is_pad` (B, H) marks the others."""
    # Filled before the square: its slope at a NaN is a NaN, whatever it is multiplied by.
    error = (prediction - target).masked_fill(is_pad[..., None], 0.0).square().mean(dim=-1)
    return error.sum() / (~is_pad).sum().clamp(min=1)


def hold_last(actions: Tensor, is_pad: Tensor) -> Tensor:
    """Actions (B, H, A) with the padding at their end replaced by the last valid one, zero where there is none.

    A network that takes actions in must see something there, and whatever the padding holds must not matter.
    """
    last = (~is_pad).sum(dim=1).clamp(min=1) - 1
    held = actions[torch.arange(len(actions), device=actions.device), last][:, None].expand_as(actions)
    return torch.where(is_pad[..., None], held, actions).masked_fill(is_pad.all(dim=1)[:, None, None], 0.0)


def gaussian_kl(mean: Tensor, log_variance: Tensor, is_pad: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) ‖ N(0, 1)) of (B, Z) in nats: summed over Z, averaged over the samples.

    Samples of which every action is padding, `is_pad` (B, H), do not count.
    """
    per_sample = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(dim=-1)
    valid = ~is_pad.all(dim=1)
    return (per_sample * valid).sum() / valid.sum().clamp(min=1)
