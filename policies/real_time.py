"""Real-time chunking: a new chunk that goes on from the one being executed.

By guidance at inference (Black, Galliker, Levine 2025, "Real-Time Execution of Action Chunking Flow Policies", arXiv
2506.07339), or by a policy trained to continue a given beginning (arXiv 2512.05964). Pure functions over a velocity
field; times run from 0 (noise) to 1 (actions), chunks are normalised.
"""

import math

import torch
from torch import Tensor

from robotics.policies.flow import Network, given_prefix
from robotics.policies.schedule import Masking


def prefix_weights(horizon: int, delay: int, steps: int, masking: Masking = "exp") -> Tensor:
    """How much each action (H,) of the new chunk has to agree with the promised one, 1 to 0.

    For a chunk of ten, delay 3, executed for 2 (linear; the last chunk promises nothing behind horizon − steps = 8):

        action    0    1    2    3    4    5    6    7    8    9
        weight    1    1    1    5/6  4/6  3/6  2/6  1/6  0    0
                  executed |     fading                |  free

    `exp` fades faster at first, `zeros` lets all be free that is not executed, `ones` none that is promised.
    """
    place, end = torch.arange(horizon), horizon - steps
    if masking == "zeros":
        weights = (place < delay).float()
    elif masking == "ones":
        weights = torch.ones(horizon)
    else:
        weights = ((delay - 1 - place) / (end - delay + 1) + 1).clamp(0.0, 1.0)
        if masking == "exp":
            weights = weights * torch.expm1(weights) / (math.e - 1)
    return torch.where(place < end, weights, 0.0)


def guidance_gain(time: float, most: float) -> float:
    """min(most, (1 − t)/t · (t² + (1 − t)²)/(1 − t)²): the paper's weight of the guidance at `time` in [0, 1)."""
    if time == 0:
        return most
    rest = 1 - time
    return min(most, (time * time + rest * rest) / (time * rest))


def guided_sample(
    network: Network, noise: Tensor, promised: Tensor, weights: Tensor, steps: int, max_guidance: float
) -> Tensor:
    """A chunk (B, H, A) from `noise`, by Euler's method in `steps` evaluations, drawn towards the `promised` one.

    At each evaluation the velocity gains k · Jᵀ·W·(promised − x₁), with x₁ = x + (1 − t)·v(x, t) the chunk that is in
    sight, J = ∂x₁/∂x through the network, W = `weights` (B, H). Costs a forward and a backward pass per evaluation.

    LeRobot's code lets no gradient pass through the network, so its J is the identity
    (https://github.com/huggingface/lerobot/blob/v0.6.1/src/lerobot/policies/rtc/modeling_rtc.py).
    """
    x = noise
    for step in range(steps):
        time = step / steps
        velocity, pull = _pulled(network, x, time, promised, weights)
        x = x + (velocity + guidance_gain(time, max_guidance) * pull) / steps
    return x


def _pulled(network: Network, x: Tensor, time: float, promised: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Velocity (B, H, A) at x, and the vector-Jacobian product Jᵀ·W·(promised − x₁)."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        velocity = network(x, torch.full((len(x),), time, device=x.device))
        in_sight = x + (1 - time) * velocity
        missing = (weights[..., None] * (promised - in_sight)).detach()
        (pull,) = torch.autograd.grad(in_sight, x, missing)
    return velocity.detach(), pull


def continued_sample(network: Network, noise: Tensor, promised: Tensor, delay: Tensor, steps: int) -> Tensor:
    """A chunk (B, H, A) whose first `delay` (B,) actions are the `promised` ones, and the rest sampled to go on from
    them, by a policy that was trained with given beginnings. Costs no more than a free sample."""
    x = noise
    for step in range(steps):
        time = torch.full((len(x),), step / steps, device=x.device)
        times, given = given_prefix(time, delay, x.shape[1])
        x = torch.where(given[..., None], promised, x)
        x = x + network(x, times) / steps
    _, given = given_prefix(torch.ones(len(x), device=x.device), delay, x.shape[1])
    return torch.where(given[..., None], promised, x)
