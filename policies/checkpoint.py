"""A trained policy on disk: `config.json` and `model.safetensors`, normalisation included."""

from pathlib import Path

import torch

from robotics.errors import DataError
from robotics.outputs import read_json, write_json
from robotics.policies.base import Policy, PolicyConfig
from robotics.policies.documents import from_document, to_document
from robotics.policies.registry import FAMILIES, make_policy
from robotics.policies.tensor_file import read_tensors, write_tensors

CONFIG, WEIGHTS = "config.json", "model.safetensors"
PRETRAINED = "pretrained_model"
CHECKPOINTS, LAST = "checkpoints", "last"


def save_policy(policy: Policy, folder: Path) -> None:
    """Write `policy` into `folder`, each file atomically; the weights first, so that a config never promises more."""
    write_tensors(folder / WEIGHTS, policy.state_dict())
    write_json(folder / CONFIG, {"type": policy.config.type, **to_document(policy.config)})


def load_policy(path: Path | str, device: str | torch.device = "cpu") -> Policy:
    """The policy in a run folder (its last checkpoint), a checkpoint or a `pretrained_model` folder, ready to act.

    Raises DataError naming the file that is missing, damaged, or does not belong to the others.
    """
    folder = find_pretrained(path)
    config = read_policy_config(folder)
    with torch.device("meta"):  # names and shapes are compared before anything is allocated
        policy = make_policy(config)
    policy.load_state_dict(read_tensors(folder / WEIGHTS, policy.state_dict()), assign=True)
    return policy.to(device).eval().requires_grad_(False)


def read_policy_config(folder: Path) -> PolicyConfig:
    """The configuration in a `pretrained_model` folder. Cheap: no weights are read."""
    path = folder / CONFIG
    document = read_json(path)
    kind = document.pop("type", None) if isinstance(document, dict) else None
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise DataError(f"{path}: policy type {kind!r} is unknown; this version knows {', '.join(FAMILIES)}")
    return from_document(FAMILIES[kind][0], document, path)


def find_pretrained(path: Path | str) -> Path:
    """The `pretrained_model` folder that `path` stands for; DataError when there is none."""
    path = Path(path)
    candidates = [path, path / PRETRAINED, path / CHECKPOINTS / LAST / PRETRAINED]
    for folder in candidates:
        if (folder / WEIGHTS).is_file() or (folder.name == PRETRAINED and folder.is_dir()):
            return folder
    if not path.exists():
        raise DataError(f"{path}: no such folder")
    if (path / CHECKPOINTS).is_dir():
        raise DataError(f"{path / CHECKPOINTS}: holds no complete checkpoint yet")
    raise DataError(f"{path}: neither a run, nor a checkpoint, nor a {PRETRAINED} folder ({WEIGHTS} is not in it)")
