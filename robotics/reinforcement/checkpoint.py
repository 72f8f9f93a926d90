"""Policies learned from reward on disk: `pretrained_model` to act with, `training_state` to go on with.

The layout is that of every run; Stable-Baselines3's own files hold pickles and are neither written nor read.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor

from robotics.errors import DataError
from robotics.outputs import read_json, write_json
from robotics.policies.checkpoint import CHECKPOINTS, CONFIG, LAST, PRETRAINED, WEIGHTS, find_pretrained
from robotics.policies.tensor_file import read_tensors, write_tensors
from robotics.reinforcement.algorithms import make_policy
from robotics.reinforcement.interface import Interface
from robotics.training.checkpoints import point
from robotics.training.run_folder import COUNTERS, STATE_FOLDER, read_counters

NORMALIZATION = "normalization.safetensors"
OPTIMIZERS, REPLAY = "optimizers.safetensors", "replay.safetensors"
#: What of a replay buffer is stored.
_REPLAYED = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


@dataclass(frozen=True)
class PolicyDocument:
    """The `config.json` of a policy."""

    kind: str
    interface: Interface
    layers: tuple[int, ...]
    env_kwargs: dict[str, Any]


def read_document(folder: Path) -> PolicyDocument:
    """Raises DataError for one that is damaged."""
    document = read_json(folder / CONFIG)
    try:
        interface = Interface.from_document(document["interface"])
        layers = tuple(int(width) for width in document["layers"])
        return PolicyDocument(str(document["type"]), interface, layers, dict(document["env_kwargs"]))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{folder / CONFIG}: does not describe a policy ({error!r})") from None


def load_policy(path: Path | str) -> tuple[PolicyDocument, BasePolicy, RunningMeanStd]:
    """A policy to act with, and the statistics that its observations are normalised by.

    Raises DataError naming the file that is missing, damaged, or does not belong to the others.
    """
    folder = find_pretrained(path)
    document = read_document(folder)
    policy = make_policy(document.kind, document.interface, document.layers)
    policy.load_state_dict(read_tensors(folder / WEIGHTS, policy.state_dict()))
    statistics = RunningMeanStd(shape=document.interface.observation_space.shape)
    _set_statistics(statistics, read_tensors(folder / NORMALIZATION, _statistics(statistics)))
    policy.set_training_mode(False)
    return document, policy, statistics


def save(run: Path, document: PolicyDocument, model: Any, copies: VecNormalize, elapsed_s: float) -> Path:
    """Write the checkpoint of the steps done and make it the last one; older ones keep only their policy."""
    folder = run / CHECKPOINTS / f"{model.num_timesteps:09d}"
    unfinished = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    pretrained, state = unfinished / PRETRAINED, unfinished / STATE_FOLDER
    write_tensors(pretrained / WEIGHTS, model.policy.state_dict())
    write_tensors(pretrained / NORMALIZATION, _statistics(copies.obs_rms))
    write_json(
        pretrained / CONFIG,
        {
            "type": document.kind,
            "interface": document.interface.document(),
            "layers": list(document.layers),
            "env_kwargs": document.env_kwargs,
        },
    )
    write_tensors(
        state / OPTIMIZERS, _moments(model) | {f"return.{k}": v for k, v in _statistics(copies.ret_rms).items()}
    )
    if isinstance(model, SAC):
        assert model.replay_buffer is not None
        write_tensors(state / REPLAY, _replay(model.replay_buffer))
    write_json(state / COUNTERS, {"step": model.num_timesteps, "updates": model._n_updates, "elapsed_s": elapsed_s})
    if folder.exists():
        shutil.rmtree(folder)
    os.rename(unfinished, folder)
    point(run, LAST, folder)
    for older in run.glob(f"{CHECKPOINTS}/[0-9]*/{STATE_FOLDER}"):
        if older.parent != folder:
            shutil.rmtree(older)
    return folder


def restore(run: Path, model: Any, copies: VecNormalize) -> float:
    """Bring model and statistics to where the last checkpoint of `run` left them; returns the seconds spent.

    Episodes begin anew, and so do random numbers: the learning goes on, not bit for bit. Raises DataError naming the
    file that is missing or damaged.
    """
    folder = run / CHECKPOINTS / LAST
    if not folder.is_dir():
        raise DataError(f"{run}: holds no complete checkpoint to resume from; give --overwrite to start anew")
    state = folder / STATE_FOLDER
    model.policy.load_state_dict(read_tensors(folder / PRETRAINED / WEIGHTS, model.policy.state_dict()))
    _set_statistics(copies.obs_rms, read_tensors(folder / PRETRAINED / NORMALIZATION, _statistics(copies.obs_rms)))
    counters = read_counters(state / COUNTERS, step=int, updates=int, elapsed_s=float)
    model.num_timesteps, model._n_updates = counters["step"], counters["updates"]
    tensors = _read_any(state / OPTIMIZERS)
    try:
        _set_statistics(copies.ret_rms, {k[7:]: v for k, v in tensors.items() if k.startswith("return.")})
        for name, optimizer in _optimizers(model).items():
            _set_moments(name, optimizer, tensors)
        if isinstance(model, SAC) and model.log_ent_coef is not None:
            model.log_ent_coef.data.copy_(tensors["log_ent_coef"])
    except (KeyError, ValueError, RuntimeError) as error:
        raise DataError(f"{state / OPTIMIZERS}: is of another training ({error!r})") from None
    if isinstance(model, SAC):
        assert model.replay_buffer is not None
        _set_replay(model.replay_buffer, _read_any(state / REPLAY), state / REPLAY)
    set_random_seed(int(model.num_timesteps) % 2**31)
    return float(counters["elapsed_s"])


def _read_any(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(path.read_bytes())
    except (OSError, SafetensorError, ValueError) as error:
        raise DataError(f"{path}: missing or damaged ({str(error).splitlines()[0]})") from None


def _statistics(statistics: Any) -> dict[str, Tensor]:
    return {
        "mean": torch.as_tensor(np.asarray(statistics.mean)),
        "var": torch.as_tensor(np.asarray(statistics.var)),
        "count": torch.as_tensor(np.asarray(statistics.count, np.float64)),
    }


def _set_statistics(statistics: Any, tensors: dict[str, Tensor]) -> None:
    statistics.mean, statistics.var = tensors["mean"].numpy(), tensors["var"].numpy()
    statistics.count = float(tensors["count"])


def _optimizers(model: Any) -> dict[str, torch.optim.Optimizer]:
    if isinstance(model, SAC):
        found = {"actor": model.actor.optimizer, "critic": model.critic.optimizer}
        return found | ({"entropy": model.ent_coef_optimizer} if model.ent_coef_optimizer is not None else {})
    return {"policy": model.policy.optimizer}


def _moments(model: Any) -> dict[str, Tensor]:
    tensors = {
        f"{name}.{number}.{moment}": torch.as_tensor(value)
        for name, optimizer in _optimizers(model).items()
        for number, values in optimizer.state_dict()["state"].items()
        for moment, value in values.items()
    }
    if isinstance(model, SAC) and model.log_ent_coef is not None:
        tensors["log_ent_coef"] = model.log_ent_coef.data.clone()
    return tensors


def _set_moments(name: str, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith(f"{name}."):
            _, number, moment = key.split(".")
            state.setdefault(int(number), {})[moment] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _replay(buffer: ReplayBuffer) -> dict[str, Tensor]:
    filled = buffer.buffer_size if buffer.full else buffer.pos
    arrays = {name: torch.as_tensor(getattr(buffer, name)[:filled]) for name in _REPLAYED}
    return arrays | {"pos": torch.tensor(buffer.pos)}


def _set_replay(buffer: ReplayBuffer, tensors: dict[str, Tensor], path: Path) -> None:
    try:
        filled = len(tensors["rewards"])
        for name in _REPLAYED:
            getattr(buffer, name)[:filled] = tensors[name].numpy()
        buffer.pos, buffer.full = int(tensors["pos"]), filled == buffer.buffer_size
    except (KeyError, ValueError) as error:
        raise DataError(f"{path}: is of another training ({error!r})") from None
