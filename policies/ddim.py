"""Denoising diffusion with a squared-cosine schedule (Ho et al. 2020), sampled deterministically (Song et al. 2021)."""

import math
from itertools import accumulate
from operator import mul
from typing import Literal

import torch
from torch import Tensor

from robotics.policies.flow import Network
from robotics.policies.losses import masked_mse

#: Noise levels of training, and the largest share of noise that one of them adds (Nichol & Dhariwal 2021).
LEVELS, MAX_BETA = 100, 0.999

Prediction = Literal["sample", "epsilon"]


def signal_levels(device: torch.device | None = None) -> Tensor:
    """ᾱ (LEVELS,): the share of the signal's variance at each noise level, falling from nearly 1 to nearly 0."""
    share = [math.cos((level / LEVELS + 0.008) / 1.008 * math.pi / 2) ** 2 for level in range(LEVELS + 1)]
    kept = [1 - min(1 - share[level + 1] / share[level], MAX_BETA) for level in range(LEVELS)]
    # in plain numbers: torch's cumprod has no counterpart in ONNX
    return torch.tensor(list(accumulate(kept, mul)), dtype=torch.float32, device=device)


def ddim_loss(
    network: Network, actions: Tensor, noise: Tensor, level: Tensor, ignored: Tensor, prediction: Prediction
) -> Tensor:
    """Error of what the network predicts of actions (B, H, A) at noise levels int64 (B,): the actions or the noise."""
    noisy = add_noise(actions, noise, level)
    return masked_mse(network(noisy, as_time(level)), actions if prediction == "sample" else noise, ignored)


def add_noise(actions: Tensor, noise: Tensor, level: Tensor) -> Tensor:
    """√ᾱ·a + √(1 − ᾱ)·ε at noise levels int64 (B,)."""
    alpha = signal_levels(actions.device)[level].reshape(-1, 1, 1)
    return alpha.sqrt() * actions + (1 - alpha).sqrt() * noise


def ddim_sample(network: Network, noise: Tensor, steps: int, prediction: Prediction) -> Tensor:
    """Deterministic sampling (η = 0) in `steps` evaluations; the predicted actions are clipped to [−1, 1]."""
    x, alphas = noise, signal_levels(noise.device)
    levels = sampled_levels(steps)
    for level, following in zip(levels, [*levels[1:], None], strict=True):
        alpha = alphas[level]
        predicted = network(x, as_time(torch.full((len(x),), level, device=x.device)))
        actions = denoised(predicted, x, alpha, prediction)
        if following is None:
            return actions
        # the noise that belongs to the clipped actions, so that x stays on the line between the two
        epsilon = (x - alpha.sqrt() * actions) / (1 - alpha).sqrt()
        x = alphas[following].sqrt() * actions + (1 - alphas[following]).sqrt() * epsilon
    return x


def denoised(predicted: Tensor, noisy: Tensor, alpha: Tensor, prediction: Prediction) -> Tensor:
    """The actions that a prediction means, clipped to [−1, 1]."""
    if prediction == "epsilon":
        predicted = (noisy - (1 - alpha).sqrt() * predicted) / alpha.sqrt()
    return predicted.clamp(-1.0, 1.0)


def sampled_levels(steps: int) -> list[int]:
    """`steps` noise levels, falling, from the noisiest one on.

    The usual spacing (`leading` in diffusers) begins below the noisiest level, with a signal in it that training never
    gave pure noise (Lin et al. 2024, arXiv 2305.08891); this is their `trailing` one.
    """
    return [round(LEVELS - LEVELS / steps * step) - 1 for step in range(steps)]


def as_time(level: Tensor) -> Tensor:
    """A noise level as the networks' time in [0, 1]."""
    return level / (LEVELS - 1)
