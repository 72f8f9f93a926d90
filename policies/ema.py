"""The exponential moving average of a policy's weights, which is what gets evaluated and shipped."""

import copy

import torch

from robotics.policies.base import Policy


class Ema:
    """A shadow `policy` that follows another: w ← d·w + (1 − d)·w', d growing from 0 to `max_decay`.

    d(n) = min(1 − (1 + n)^−0.75, max_decay) at update n = 0, 1, … (the schedule of Diffusion Policy and of diffusers):
    short memory while the weights move fast, about 1 / (1 − max_decay) updates in the end.
    """

    POWER = 0.75

    def __init__(self, policy: Policy, max_decay: float, updates: int = 0) -> None:
        self.policy = copy.deepcopy(policy).eval().requires_grad_(False)
        self.max_decay, self.updates = max_decay, updates

    @property
    def decay(self) -> float:
        """The decay of the next update."""
        return min(1.0 - (1.0 + self.updates) ** -self.POWER, self.max_decay)

    @torch.no_grad()
    def update(self, policy: Policy) -> None:
        """Move towards the weights of `policy`. Statistics of the normalisation are constants and stay."""
        # All parameters in one call: one by one they cost a GPU more than the whole forward pass of a small policy
        torch._foreach_lerp_(list(self.policy.parameters()), list(policy.parameters()), 1.0 - self.decay)
        self.updates += 1
