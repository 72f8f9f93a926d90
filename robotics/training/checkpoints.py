"""Checkpoints of a training: `checkpoints/<step>/{pretrained_model,training_state}`, each complete or absent.

`pretrained_model` is what gets evaluated and shipped: the averaged weights. `training_state` is what resuming needs
beside it: the raw weights, the optimiser and the counters. Nothing is pickled.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from robotics.errors import DataError
from robotics.outputs import write_json
from robotics.policies.base import Policy
from robotics.policies.checkpoint import CHECKPOINTS, LAST, PRETRAINED, WEIGHTS, save_policy
from robotics.policies.tensor_file import read_tensors, write_tensors
from robotics.training.run_folder import COUNTERS, STATE_FOLDER, read_counters

BEST = "best"
MOMENTS = "optimizer.safetensors"
#: What AdamW keeps per parameter.
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass
class Counters:
    """Where a training stands: optimiser steps done, updates of the average, seconds spent."""

    step: int = 0
    ema_updates: int = 0
    elapsed_s: float = 0.0


def save_checkpoint(
    run: Path, averaged: Policy, policy: Policy, optimizer: torch.optim.Optimizer, counters: Counters
) -> Path:
    """Write the checkpoint of `counters.step` and make it the last one; older ones keep only their policy."""
    folder = run / CHECKPOINTS / f"{counters.step:06d}"
    unfinished = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    save_policy(averaged, unfinished / PRETRAINED)
    state = unfinished / STATE_FOLDER
    write_tensors(state / WEIGHTS, policy.state_dict())
    write_tensors(state / MOMENTS, _moments(policy, optimizer))
    write_json(state / COUNTERS, vars(counters))
    _replace(unfinished, folder)
    point(run, LAST, folder)
    for older in run.glob(f"{CHECKPOINTS}/[0-9]*/{STATE_FOLDER}"):
        if older.parent != folder:
            shutil.rmtree(older)
    return folder


def has_checkpoint(run: Path) -> bool:
    """Whether `run` can be resumed. Mends what a kill between a checkpoint and its becoming the last one left."""
    complete = sorted(run.glob(f"{CHECKPOINTS}/[0-9]*/{STATE_FOLDER}"))
    if complete and not (run / CHECKPOINTS / LAST).is_dir():
        point(run, LAST, complete[-1].parent)
    return bool(complete)


def load_checkpoint(run: Path, averaged: Policy, policy: Policy, optimizer: torch.optim.Optimizer) -> Counters:
    """Bring both policies and the optimiser to where the last checkpoint of `run` left them.

    Raises DataError naming the file that is missing, damaged or of another training.
    """
    folder = run / CHECKPOINTS / LAST
    if not folder.is_dir():
        raise DataError(f"{run}: holds no complete checkpoint to resume from; give --overwrite to start anew")
    state = folder / STATE_FOLDER
    counters = Counters(**read_counters(state / COUNTERS, step=int, ema_updates=int, elapsed_s=float))
    averaged.load_state_dict(read_tensors(folder / PRETRAINED / WEIGHTS, averaged.state_dict()))
    policy.load_state_dict(read_tensors(state / WEIGHTS, policy.state_dict()))
    expected = {
        f"{name}.{moment}": torch.zeros(()) if moment == "step" else parameter
        for name, parameter in policy.named_parameters()
        for moment in _MOMENTS
    }
    moments = read_tensors(state / MOMENTS, expected if counters.step else {})
    for name, parameter in policy.named_parameters():
        if counters.step:
            optimizer.state[parameter] = {
                moment: moments[f"{name}.{moment}"].to(parameter.device) for moment in _MOMENTS
            }
    return counters


def point(run: Path, name: str, folder: Path) -> None:
    """Let `checkpoints/<name>` stand for `folder`, atomically."""
    link = run / CHECKPOINTS / name
    temporary = link.with_name(f".{name}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(folder.name)
    os.replace(temporary, link)


def checkpoint_bytes(policy: Policy) -> int:
    """Size of one whole checkpoint [B]: averaged and raw weights and two moments."""
    return 4 * sum(value.nbytes for value in policy.state_dict().values())


def _moments(policy: Policy, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state
    return {
        f"{name}.{moment}": state[parameter][moment]
        for name, parameter in policy.named_parameters()
        if parameter in state
        for moment in _MOMENTS
    }


def _replace(source: Path, target: Path) -> None:
    """Rename a folder into place. One that is there is from a training that went on after its last checkpoint."""
    if target.exists():
        shutil.rmtree(target)
    os.rename(source, target)
