"""Environments by id: ours, another package's, with one-line errors for everything that can be asked wrongly."""

import importlib
import inspect
import os
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import gymnasium as gym
import numpy as np

from robotics.errors import RoboticsError, UsageError, unknown_name


def make_env(env_id: str, **kwargs: Any) -> gym.Env:
    """The environment `env_id` (`module:Id-v0` imports the module first), wrapped by Gymnasium's TimeLimit.

    `kwargs` go to its constructor: `cameras`, `image_size`, `action_mode`, `render_mode` for ours. Gymnasium's passive
    checker is left off: it costs time at every step, and the conformance tests look at more.

    Raises UsageError for an unknown id, module, option or value, RoboticsError when the environment lacks a dependency.
    """
    spec = find_spec(env_id)
    _refuse_unknown_options(spec, kwargs, _parameters(spec))
    try:
        return gym.make(spec, disable_env_checker=True, **kwargs)
    except (gym.error.Error, ImportError) as error:
        raise RoboticsError(f"environment '{spec.id}' can not be made: {error}") from None


def make_vector(env_id: str, num_envs: int, **kwargs: Any) -> gym.vector.VectorEnv:
    """`num_envs` copies of one of our environments (or a plugin's), stepped natively: `envs.vector.VectorTask`.

    `kwargs` go to its constructor: those of `make_env`, and `autoreset_mode`, `threads`, `max_episode_steps`. Raises as
    `make_env` does; UsageError for an environment that has no native vector environment.
    """
    spec = find_spec(env_id)
    if spec.vector_entry_point is None:
        raise UsageError(f"environment '{spec.id}' has no vector environment of its own; gymnasium.make_vec makes one")
    accepted = _parameters(spec)
    own = {"autoreset_mode", "threads", "max_episode_steps", "worlds"}
    _refuse_unknown_options(spec, kwargs, None if accepted is None else accepted | own)
    try:
        return gym.make_vec(spec, num_envs=num_envs, **kwargs)
    except (gym.error.Error, ImportError) as error:
        raise RoboticsError(f"environment '{spec.id}' can not be made: {error}") from None


def find_spec(env_id: str) -> gym.envs.registration.EnvSpec:
    """What Gymnasium knows about `env_id`; UsageError with a did-you-mean when that is nothing."""
    module, _, name = env_id.rpartition(":")
    if module:
        _import(module, env_id)
    try:
        return gym.spec(name)
    except gym.error.Error:
        ours = [known for known in gym.registry if known.startswith("robotics/")]
        like_it = get_close_matches(name, gym.registry, n=1, cutoff=0.8)  # of the hundreds that Gymnasium knows
        cure = "for another package's environment give module:Id-v0"
        raise unknown_name("environment", env_id, {*ours, *like_it}, cure) from None


def _import(module: str, env_id: str) -> None:
    try:
        importlib.import_module(module)
    except (Exception, SystemExit) as error:  # whatever a foreign module raises while it is imported
        why = f"{type(error).__name__}: {error}"
        raise UsageError(f"environment '{env_id}': module '{module}' can not be imported ({why})") from None


def accepted_options(env_id: str) -> set[str] | None:
    """Names of the keyword arguments that environment `env_id` takes; None when it takes any."""
    return _parameters(find_spec(env_id))


def taken_by(env_id: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """`kwargs` without cameras and their size where environment `env_id` has no such options: one that gives pictures
    gives them by itself."""
    accepted = accepted_options(env_id)
    free = {"cameras", "image_size"} - accepted if accepted is not None else set()
    return {name: value for name, value in kwargs.items() if name not in free}


def control_rate(env: gym.Env) -> float | None:
    """Control steps per simulated second [Hz]; None where the environment says nothing of it."""
    rate = getattr(env.unwrapped, "control_hz", None) or env.metadata.get("render_fps")
    return float(rate) if rate else None


def usual_option(env: gym.Env, name: str) -> Any:
    """The value of keyword argument `name` of the constructor of `env` when it is not given; None when it has none."""
    for creator in (vars(owner)["__init__"] for owner in type(env.unwrapped).__mro__ if "__init__" in vars(owner)):
        if (parameter := inspect.signature(creator).parameters.get(name)) is not None:
            return parameter.default
    return None


def _refuse_unknown_options(
    spec: gym.envs.registration.EnvSpec, kwargs: dict[str, Any], accepted: set[str] | None
) -> None:
    for name in kwargs:
        if accepted is not None and name not in accepted:
            raise unknown_name(f"option of environment {spec.id}", name, accepted)


def _parameters(spec: gym.envs.registration.EnvSpec) -> set[str] | None:
    """Follows **kwargs that a class of ours hands to its base; None when they lead nowhere."""
    made_by = creator(spec)
    names: set[str] = set()
    for owner in inspect.getmro(made_by) if inspect.isclass(made_by) else (made_by,):
        function = vars(owner).get("__init__") if inspect.isclass(owner) else owner
        if function is None:
            continue
        parameters = inspect.signature(function).parameters
        names |= {name for name, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            return names - {"self"}
    return None


def creator(spec: gym.envs.registration.EnvSpec) -> Any:
    """The class or function that makes an environment; RoboticsError when its module can not be imported."""
    if callable(spec.entry_point):
        return spec.entry_point
    try:
        return gym.envs.registration.load_env_creator(str(spec.entry_point))
    except (Exception, SystemExit) as error:  # whatever a foreign module raises while it is imported
        backend = os.environ.get("MUJOCO_GL")
        cure = f"; MUJOCO_GL={backend} may be the cause: unset it, or set it to egl" if backend else ""
        raise RoboticsError(f"environment '{spec.id}' can not be imported: {error}{cure}") from None


def instruction(env: gym.Env, otherwise: str) -> str:
    """What the present episode of `env` is about in words: its instance's, its task's, or `otherwise`."""
    task = env.unwrapped
    return str(getattr(task, "instruction", getattr(task, "task", otherwise)))


def observation_dict(observation: Any) -> Mapping[str, np.ndarray]:
    """The observation by environment name; one that is no dictionary (CartPole's) counts as `state`. Not copied."""
    return observation if isinstance(observation, Mapping) else {"state": np.asarray(observation)}


def observation_spaces(env: gym.Env) -> dict[str, gym.Space]:
    """The spaces of what `observation_dict` returns, by environment name."""
    space = env.observation_space
    return dict(space.spaces) if isinstance(space, gym.spaces.Dict) else {"state": space}
