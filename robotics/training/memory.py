"""What to say when memory runs out: the largest batch that would have fitted, found by trying."""

import gc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from robotics.errors import RoboticsError

#: How torch's allocator for CPUs words a refused allocation (c10/core/impl/alloc_cpu.cpp).
_REFUSED = ("can't allocate memory", "not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that an allocation was refused, on whatever device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _REFUSED)


def largest_fitting(attempt: Callable[[np.ndarray], None], windows: np.ndarray) -> int:
    """The largest of len(windows) / 2, / 4, … windows that `attempt` does not run out of memory with; 0 for none."""
    count = len(windows) // 2
    while count and not _fits(attempt, windows[:count]):
        count //= 2
    return count


def too_large(step: int, batch_size: int, device: torch.device, fits: int, run: Path) -> RoboticsError:
    """What is said when memory ran out in `step` = 0, 1, … and a batch of `fits` windows would have fitted."""
    cure = f"--batch-size {fits} fits" if fits else "not even one window per process fits: try a smaller model"
    return RoboticsError(
        f"out of memory in step {step + 1} with --batch-size {batch_size} on {device}; {cure}; the last checkpoint in "
        f"{run}, if any, is as it was"
    )


def release(model: nn.Module) -> None:
    """Give back what the gradients and the allocator's reserve hold."""
    model.zero_grad(set_to_none=True)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _fits(attempt: Callable[[np.ndarray], None], windows: np.ndarray) -> bool:
    try:
        attempt(windows)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True
