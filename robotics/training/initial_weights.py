"""Where a new training begins: at the weights of a policy that exists, or of an image network that has seen more."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from robotics.errors import DataError, UsageError
from robotics.policies.base import Policy, PolicyConfig
from robotics.policies.checkpoint import WEIGHTS, find_pretrained, read_policy_config
from robotics.policies.resnet import ResNet18
from robotics.policies.tensor_file import read_tensors
from robotics.training.run_folder import training_seeds

#: Of a policy's configuration, what comes from the data.
FROM_DATA = frozenset({"input_shapes", "action_dim", "fps", "robot_type", "action_mode"})


def settings_of(config: PolicyConfig) -> dict[str, Any]:
    """What a policy's configuration says beside what comes from the data."""
    return {field.name: getattr(config, field.name) for field in fields(config) if field.name not in FROM_DATA}


def learned_policy(weights: str | None, family: str) -> PolicyConfig | None:
    """The configuration of the policy of `family` in the run or checkpoint `weights`; None for a file, and for None.

    DataError where there is no such policy, UsageError where it is of another family.
    """
    if weights is None or Path(weights).is_file():
        return None
    config = read_policy_config(find_pretrained(weights))
    if config.type != family:
        raise UsageError(f"--weights {weights} is of the family {config.type}, not {family}")
    return config


def require_elsewhere(weights: str | None, out: Path) -> None:
    """UsageError for weights within `out`, which could be overwritten before they are read."""
    if weights is not None and Path(weights).resolve().is_relative_to(out.resolve()):
        raise UsageError(f"--weights {weights} lies in --out {out}: give another --out")


def seeds_behind(weights: str | None) -> tuple[int, ...]:
    """Those that the policy in `weights` learned from: nothing that begins from it may be tested on them."""
    return () if weights is None or Path(weights).is_file() else training_seeds(Path(weights))


def begin_from(weights: str | None, policy: Policy) -> bool:
    """Give `policy` the weights of a policy of the same architecture, or its image networks those of torchvision's
    ResNet-18 in a safetensors file; whether the normalisation that they learned with has come, too.

    Raises DataError naming the file and what does not fit, UsageError where `policy` has no image network.
    """
    if weights is None:
        return False
    path = Path(weights)
    if path.is_file():
        _see_with(path, policy)
        return False
    try:
        tensors = read_tensors(find_pretrained(path) / WEIGHTS, policy.state_dict())
    except DataError as error:
        raise DataError(f"{error}: leave out options that change the architecture") from None
    policy.load_state_dict(tensors)
    return True


def _see_with(path: Path, policy: Policy) -> None:
    networks = [module for module in policy.modules() if isinstance(module, ResNet18)]
    if not networks:
        raise UsageError(f"--weights {path}: a policy that sees no camera has no image network; give a run")
    try:
        tensors = read_tensors(path, networks[0].state_dict(), besides=True)
    except DataError as error:
        cure = "save torchvision's resnet18 by safetensors.torch.save_file(model.state_dict(), PATH)"
        raise DataError(f"{error}: {cure}") from None
    for network in networks:
        network.load_state_dict(tensors)
