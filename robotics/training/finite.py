"""A training stops where a number stops being finite, and says what it was looking at."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from robotics.errors import RoboticsError
from robotics.policies.base import Policy
from robotics.training.data import Sampler


def require_finite(values: Sequence[Tensor], begin: int, what: str, sampler: Sampler, run: Path) -> None:
    """RoboticsError naming the first of the steps begin, begin + 1, … whose value is not finite, and its windows."""
    for step, value in enumerate(torch.stack(list(values)).tolist() if values else [], begin):
        if not math.isfinite(value):
            frames = ", ".join(map(str, sampler.frames(step)))
            raise RoboticsError(
                f"the {what} of step {step + 1} is {value} (frames {frames} of the dataset); nothing of it was saved, "
                f"the last checkpoint in {run} is as it was; try a smaller --lr"
            )


def require_finite_weights(policy: Policy, step: int, run: Path) -> None:
    """The gradient of another device than a CPU is not looked at in every step: its traces are, before saving."""
    for name, weight in policy.named_parameters():
        if not torch.isfinite(weight).all():
            raise RoboticsError(
                f"'{name}' is not finite after step {step}; nothing was saved, the last checkpoint in {run} is as it "
                "was; try a smaller --lr"
            )
