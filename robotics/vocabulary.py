"""The one place where environment names become dataset and policy names, and back.

Environments observe a flat `Dict` without dots (`state`, `environment_state`, `image_<camera>`), because torch's
ModuleDict refuses dots; datasets, policies and checkpoints use LeRobot's names.
"""

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")

ACTION = "action"
STATE = "observation.state"
ENVIRONMENT_STATE = "observation.environment_state"
IMAGE_PREFIX = "observation.images."
#: The one camera of a robot that has no more, as in lerobot/pusht; the environment's `image`.
ONLY_IMAGE = "observation.image"

_ENV_TO_DATASET = {"state": STATE, "environment_state": ENVIRONMENT_STATE}
_ENV_IMAGE_PREFIX = "image_"


def dataset_key(env_key: str) -> str:
    """LeRobot's name of an environment observation: `image_top` -> `observation.images.top`."""
    if env_key.startswith(_ENV_IMAGE_PREFIX):
        return IMAGE_PREFIX + env_key.removeprefix(_ENV_IMAGE_PREFIX)
    return _ENV_TO_DATASET.get(env_key, f"observation.{env_key}")


def camera_of(key: str) -> str | None:
    """The camera that a dataset key stands for, or None when it is no image."""
    if key == ONLY_IMAGE:
        return "image"
    return key.removeprefix(IMAGE_PREFIX) if key.startswith(IMAGE_PREFIX) else None


def to_dataset(observation: Mapping[str, T]) -> dict[str, T]:
    """The same observation under LeRobot's names. Values are passed through, not copied."""
    return {dataset_key(key): value for key, value in observation.items()}
