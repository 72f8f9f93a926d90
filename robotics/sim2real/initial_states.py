"""How many different situations an evaluation really saw: many seeds are no evidence when they begin alike."""

from collections.abc import Mapping, Sequence
from typing import Any

import mujoco
import numpy as np

from robotics.sim2real.applicability import task_of

#: What an instance of a task differs in, besides the model's parameters: positions, mocap bodies, the task's own data.
_SPEC = int(mujoco.mjtState.mjSTATE_PHYSICS | mujoco.mjtState.mjSTATE_USER)


def distinct_initial_states(env_id: str, env_kwargs: Mapping[str, Any], seeds: Sequence[int]) -> int:
    """Number of different states that `seeds` begin in, counting those as the same that no sensor could tell apart.

    One reset each. UsageError for an environment that is not ours.
    """
    task = task_of(env_id, **env_kwargs)
    try:
        found = set()
        state = np.empty(mujoco.mj_stateSize(task.model, _SPEC))
        for seed in seeds:
            task.reset(seed=seed)
            mujoco.mj_getState(task.model, task.data, state, _SPEC)
            parameters = [np.asarray(getattr(task.model, name)).ravel() for name in task.RANDOMISED]
            found.add(np.round(np.concatenate([state, *parameters]), 9).tobytes())
        return len(found)
    finally:
        task.close()
