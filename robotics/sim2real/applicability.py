"""Which factors mean anything for a task, found by trying: a relative factor of nothing stays nothing."""

from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any

import mujoco
import numpy as np

from robotics.environments import make_env
from robotics.envs.base import MujocoTask
from robotics.errors import UsageError
from robotics.sim2real.factors import FACTORS, Factor, factor
from robotics.sim2real.fields import Fields
from robotics.sim2real.roles import Roles, roles_of


def task_of(env_id: str, **env_kwargs: Any) -> MujocoTask:
    """The task behind `env_id`; UsageError when it is not one of ours, which alone can be put into another world."""
    env = make_env(env_id, **env_kwargs)
    task = env.unwrapped
    if not isinstance(task, MujocoTask):
        env.close()
        raise UsageError(f"environment '{env_id}' is no task of this project: it has one world only")
    return task


def applicable(task: MujocoTask) -> dict[str, Factor]:
    """Factors that change something here, in the registry's order; those of pictures only where there are any."""
    roles = roles_of(task.believed)
    return {name: one for name, one in FACTORS.items() if _matters(one, task, roles)}


def chosen_factors(names: Iterable[str], task: MujocoTask) -> list[Factor]:
    """The factors of these names; UsageError for one that does not exist, or changes nothing in this task."""
    known = applicable(task)
    for name in names:
        if factor(name).name not in known:
            raise UsageError(
                f"factor '{name}' changes nothing in this environment with these cameras and this action mode; "
                f"those that do: {', '.join(known)}"
            )
    return [known[name] for name in names]


def refuse_idle(names: Iterable[str], env_id: str) -> None:
    """UsageError for a factor that changes nothing in `env_id`, whatever its cameras and action mode.

    Opens the environment once where all do something as it is; otherwise once more per action mode.
    """
    with closing(task_of(env_id)) as task:
        known, modes, cameras = set(applicable(task)), task.ACTION_MODES, task.camera_names[:1]
    if idle := set(names) - known:
        for mode in modes:
            with closing(task_of(env_id, action_mode=mode, cameras=cameras)) as task:
                known |= applicable(task).keys()
        if idle := idle - known:
            does = ", ".join(name for name in FACTORS if name in known)
            raise UsageError(f"factor '{min(idle)}' changes nothing in {env_id}; those that do: {does}")


def _matters(one: Factor, task: MujocoTask, roles: Roles) -> bool:
    if one.group == "visual" and not task.cameras:
        return False
    if one.effect is not None:
        return bool(changed_fields(task.believed, roles, {one.name: one.at(0.5)}))
    commanded = task.make_executor() is None
    objects, joints = len(roles.placed) > 0, len(roles.joints) > 0
    return {
        "stribeck": bool(roles.limits.any()),
        "load_friction": joints,
        "backlash": commanded and len(np.intersect1d(roles.servos, roles.hinged)) > 0,
        "gyro_noise": len(roles.spin) > 0,
        "object_noise": objects,
        "object_delay": objects,
        "object_shift": objects,
    }.get(one.name, True)


def changed_fields(model: mujoco.MjModel, roles: Roles, values: Mapping[str, float]) -> set[str]:
    """The fields of `model` that these factors would change. The model stays as it is."""
    changed = set()
    for name, value in values.items():
        one = FACTORS[name]
        trial = Fields(model, one.fields)
        if one.effect is not None:
            one.effect(trial, roles, value)
        changed |= {field for field in trial if not np.array_equal(trial[field], Fields(model)[field])}
    return changed
