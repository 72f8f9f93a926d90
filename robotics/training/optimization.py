"""The optimiser, its learning rate over time, and where the arithmetic runs."""

import math
import os
import shutil
from datetime import timedelta

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import InitProcessGroupKwargs

from robotics.errors import UsageError
from robotics.policies.base import Policy
from robotics.training.config import TrainConfig

_PRECISIONS = {"fp32": "no", "bf16": "bf16"}
#: For how long processes wait for the first one, which alone decodes datasets, asks the expert and measures: NCCL's own
#: ten minutes would end a training amid a round of DAgger.
LONGEST_WAIT = timedelta(days=1)


def make_accelerator(config: TrainConfig) -> Accelerator:
    """One process on CPU up to many GPUs and nodes, as `accelerate launch` or `torchrun` started us.

    Raises UsageError for a device this machine lacks.
    """
    device = require_device(config.device)
    # Accelerate remembers the first precision of a process for all later ones, and refuses to change it.
    AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
    if device is not None and device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    return Accelerator(
        cpu=device is not None and device.type == "cpu",
        mixed_precision=_PRECISIONS[config.precision],
        kwargs_handlers=[InitProcessGroupKwargs(timeout=LONGEST_WAIT)],
    )


def make_optimizer(policy: Policy, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW; the fused kernel where there is one."""
    fused = next(policy.parameters()).device.type in ("cpu", "cuda")
    return torch.optim.AdamW(policy.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=fused)


def learning_rate(config: TrainConfig, step: int, elapsed_s: float) -> float:
    """The rate of step `step` = 0, 1, …: linear warm-up, then constant or a cosine to 0 at the end of the training."""
    rate = config.lr * min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else config.lr
    if config.schedule == "constant":
        return rate
    done = step / config.steps
    if config.time_budget_s is not None:
        done = max(done, elapsed_s / config.time_budget_s)
    return rate * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))


def require_compiler(device: torch.device) -> None:
    """UsageError when torch.compile is to make code for a CPU, and there is no compiler for it."""
    if device.type == "cpu" and not any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++")):
        raise UsageError("--compile needs a C++ compiler on a CPU, and neither g++ nor clang++ is here; leave it out")


def require_device(name: str) -> torch.device | None:
    """The device asked for, None for `auto`. UsageError when this machine lacks it."""
    if name == "auto":
        return None
    available = ["auto", "cpu"]
    if torch.cuda.is_available():
        available += ["cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        available.append("mps")
    if name not in available:
        raise UsageError(f"--device {name} is not there; this machine has {', '.join(available)}")
    return torch.device(name)


def fastest_device(name: str) -> str:
    """The device asked for by its name; for `auto` the fastest that is here. UsageError when this machine lacks it."""
    if require_device(name) is not None:
        return name
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def device_title(name: str) -> str:
    """What documents call a device: its kind, and which one of that kind, whose rounding may be another."""
    device = torch.device(name)
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type
