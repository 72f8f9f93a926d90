"""Flow matching on straight lines from noise to actions (Lipman et al. 2023; kinetix' FlowPolicy)."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from robotics.policies.losses import masked_mse

#: (chunk (B, H, A), time (B,) or (B, H)) -> (B, H, A).
Network = Callable[[Tensor, Tensor], Tensor]

#: Whose error is trained on; the network predicts the actions either way.
FlowError = Literal["velocity", "action"]

#: Smallest time to the end that divides an error of training, and a velocity: five and a hundred Euler steps use no
#: smaller one.
_LOSS_REST, _VELOCITY_REST = 0.2, 0.01


def flow_loss(
    network: Network, actions: Tensor, noise: Tensor, time: Tensor, ignored: Tensor, error: FlowError = "velocity"
) -> Tensor:
    """Error of the velocity a − ε at x = (1 − t)·ε + t·a; t = 0 is noise, t = 1 the action.

    The network predicts the actions, and the velocity is (â − x)/(1 − t): its error is that of â over 1 − t. A network
    that predicts the velocity itself must carry every number of the noise through its tokens, which a few wide ones can
    not (Li & He 2025, "Back to Basics: Let Denoising Generative Models Denoise", arXiv 2511.13720).

    That weighs most what is nearly done, where the noisy actions tell more than the observation does. With `error`
    "action" the error of â counts alike at all times, and what must be learned to see gets more of the gradient.

    Time (B,) or (B, H); `ignored` (B, H) marks actions that do not count: padding, and what is given.
    """
    t = _spread(time)
    weight = 1 / (1 - t).clamp(min=_LOSS_REST) if error == "velocity" else torch.ones_like(t)
    return masked_mse(weight * network(torch.lerp(noise, actions, t), time), weight * actions, ignored)


def velocity(network: Network, x: Tensor, time: Tensor) -> Tensor:
    """d(actions)/dt of a network that predicts actions."""
    return (network(x, time) - x) / (1 - _spread(time)).clamp(min=_VELOCITY_REST)


def flow_sample(velocity: Network, noise: Tensor, steps: int) -> Tensor:
    """Euler's method from t = 0 to 1 in `steps` evaluations of a velocity; the last lands on the predicted actions."""
    x = noise
    for step in range(steps):
        x = x + velocity(x, torch.full((len(x),), step / steps, device=x.device)) / steps
    return x


def _spread(time: Tensor) -> Tensor:
    """Time (B,) or (B, H), ready to multiply chunks."""
    return time.reshape(*time.shape, *[1] * (3 - time.dim()))


def given_prefix(time: Tensor, delay: Tensor, horizon: int) -> tuple[Tensor, Tensor]:
    """Time (B, H) that is 1 for the first `delay` (B,) actions and `time` (B,) behind, and which those are (B, H).

    What training-time real-time chunking trains on (Black et al. 2025, arXiv 2512.05964).
    """
    given = torch.arange(horizon, device=time.device) < delay[:, None]
    return torch.where(given, 1.0, time[:, None]), given
