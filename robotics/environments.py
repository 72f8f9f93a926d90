"""Making an environment by name, so that every command refuses a wrong name, camera or option in the same words."""

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

import robotics  # noqa: F401  (registers our ids)
from robotics.errors import UsageError, unknown_name

OUR_NAMESPACE = "robotics/"


def make_env(env_id: str, **kwargs: Any) -> gym.Env:
    """The environment `env_id` (`module:Id-v0` imports the module first), made with `kwargs`.

    Raises UsageError in one line: unknown id (did you mean), unknown keyword, or a value that the environment refuses.
    Costs what the environment's constructor costs; Gymnasium's passive checker is left out.
    """
    spec = find_spec(env_id)
    _refuse_unknown_options(spec, kwargs)
    try:
        return gym.make(spec, disable_env_checker=True, **kwargs)
    except UsageError as error:
        # Gymnasium appends "was raised from the environment creator for …" to what the constructor said.
        raise UsageError(str(error).split(" was raised from the environment creator")[0]) from None
    except gym.error.Error as error:
        raise UsageError(f"environment '{env_id}' can not be made: {_first_line(error)}") from None


def find_spec(env_id: str) -> gym.envs.registration.EnvSpec:
    """Gymnasium's entry for `env_id`; UsageError with what exists when there is none."""
    module, _, name = env_id.rpartition(":")
    if module:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise UsageError(f"environment '{env_id}': module '{module}' can not be imported ({error})") from None
    spec = gym.registry.get(name)
    if spec is None:
        ours = [known for known in gym.registry if known.startswith(OUR_NAMESPACE)]
        raise unknown_name("environment", name, ours, "another package's are named module:Id-v0")
    return spec


def observation_dict(observation: Any) -> Mapping[str, np.ndarray]:
    """The observation with environment names; one that is no dictionary (CartPole) counts as `state`."""
    return observation if isinstance(observation, Mapping) else {"state": np.asarray(observation)}


def observation_spaces(env: gym.Env) -> dict[str, gym.Space]:
    """The spaces of `observation_dict`, by environment name."""
    space = env.observation_space
    return dict(space.spaces) if isinstance(space, gym.spaces.Dict) else {"state": space}


def _refuse_unknown_options(spec: gym.envs.registration.EnvSpec, kwargs: Mapping[str, Any]) -> None:
    entry = spec.entry_point
    try:
        creator = gym.envs.registration.load_env_creator(entry) if isinstance(entry, str) else entry
    except ImportError as error:
        raise UsageError(f"environment '{spec.id}' needs a package that is missing ({error})") from None
    if creator is None:
        raise UsageError(f"environment '{spec.id}' exists only as a vector environment")
    parameters = inspect.signature(creator).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    known = {parameter.name for parameter in parameters}
    for name in kwargs:
        if name not in known:
            raise unknown_name(f"option of environment '{spec.id}'", name, known)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
