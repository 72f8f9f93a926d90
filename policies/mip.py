"""Regression, and the minimal iterative policy: regression that looks at its own answer once more.

"Much Ado About Noising" (arXiv 2512.01809) finds two evaluations, trained like this, as good as flow matching.
"""

import torch
from torch import Tensor

from robotics.policies.flow import Network
from robotics.policies.losses import masked_mse

#: Where between noise (0) and action (1) the second look stands, and the factor of the loss (both the public code's).
SECOND_LOOK, LOSS_SCALE = 0.9, 0.1


def regression_loss(network: Network, actions: Tensor, ignored: Tensor) -> Tensor:
    """Squared error of the answer to nothing at time 0."""
    return masked_mse(regression_sample(network, torch.zeros_like(actions)), actions, ignored)


def regression_sample(network: Network, nothing: Tensor) -> Tensor:
    """The network's answer to zeros (B, H, A) at time 0; one evaluation."""
    return network(nothing, torch.zeros(len(nothing), device=nothing.device))


def mip_loss(network: Network, actions: Tensor, noise: Tensor, ignored: Tensor) -> Tensor:
    """‖(a₀ − a)/t*‖² + ‖(a₁ − a)/(1 − t*)‖²; a₀ answers nothing, a₁ answers a + (1 − t*)·ε.

    As the public code: the second term then has 81 times the weight of the first, as its errors are that much smaller.
    """
    first = regression_loss(network, actions, ignored) / SECOND_LOOK**2
    spread = 1 - SECOND_LOOK
    second = masked_mse(_look_again(network, actions + spread * noise), actions, ignored) / spread**2
    return LOSS_SCALE * (first + second)


def mip_sample(network: Network, nothing: Tensor) -> Tensor:
    """The network's answer to its own answer; two evaluations, no randomness."""
    return _look_again(network, regression_sample(network, nothing))


def _look_again(network: Network, answer: Tensor) -> Tensor:
    return network(answer, torch.full((len(answer),), SECOND_LOOK, device=answer.device))
