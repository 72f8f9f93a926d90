"""Flow matching on straight lines from noise to actions (Lipman et al. 2023; kinetix' FlowPolicy)."""

from collections.abc import Callable

import torch
from torch import Tensor

from robotics.policies.losses import masked_mse

#: (chunk (B, H, A), time (B,) or (B, H)) -> (B, H, A).
Network = Callable[[Tensor, Tensor], Tensor]


def flow_loss(network: Network, actions: Tensor, noise: Tensor, time: Tensor, ignored: Tensor) -> Tensor:
    """Error of the velocity a − ε at (1 − t)·ε + t·a; t = 0 is noise, t = 1 the action.

    Time (B,) or (B, H); `ignored` (B, H) marks actions that do not count: padding, and what is given.
    """
    t = time.reshape(*time.shape, *[1] * (3 - time.dim()))
    return masked_mse(network(torch.lerp(noise, actions, t), time), actions - noise, ignored)


def flow_sample(network: Network, noise: Tensor, steps: int) -> Tensor:
    """Euler's method from t = 0 to 1 in `steps` evaluations."""
    x = noise
    for step in range(steps):
        x = x + network(x, torch.full((len(x),), step / steps, device=x.device)) / steps
    return x


def given_prefix(time: Tensor, delay: Tensor, horizon: int) -> tuple[Tensor, Tensor]:
    """Time (B, H) that is 1 for the first `delay` (B,) actions and `time` (B,) behind, and which those are (B, H).

    What training-time real-time chunking trains on (Black et al. 2025, arXiv 2512.05964).
    """
    given = torch.arange(horizon, device=time.device) < delay[:, None]
    return torch.where(given, 1.0, time[:, None]), given
