"""Worlds of their own for the copies of a task: one model for all, whose fields differ from copy to copy."""

from collections.abc import Sequence

import mujoco
import numpy as np
from mujoco.batch import Batch

from robotics.envs.base import MujocoTask
from robotics.envs.worlds import Altered, World
from robotics.errors import UsageError

#: Fields that all copies share in MuJoCo: what is painted on things is as in the first copy's world.
_SHARED = ("tex_data",)


def scenes_of(task: MujocoTask, worlds: Sequence[World]) -> list[Altered]:
    """The scene of `task` in each world, all with room for the same number of late commands."""
    scenes = [task.scene_in(world) for world in worlds]
    slots = max(scene.slots for scene in scenes)
    return [
        scene if scene.slots == slots else task.scene_in(world, slots)
        for scene, world in zip(scenes, worlds, strict=True)
    ]


def spread(batch: Batch, scenes: Sequence[Altered]) -> None:
    """Give each copy what the model of its scene has otherwise than those of the others.

    Raises UsageError for worlds with other things in them: those are models of another size.
    """
    models = [scene.model for scene in scenes]
    for name in dir(mujoco.MjModel):
        first = getattr(models[0], name) if not name.startswith("_") else None
        if not isinstance(first, np.ndarray) or name in _SHARED:
            continue
        values = [getattr(model, name) for model in models]
        if any(value.shape != first.shape for value in values):
            raise UsageError("copies can not have worlds with different things in them: leave distractors out")
        if any(not np.array_equal(value, first) for value in values):
            batch.expand(name)[:] = np.stack(values)


def adapt_to_copy(batch: Batch, scenes: Sequence[Altered], index: int, model: mujoco.MjModel) -> None:
    """Make `model` that of one copy for drawing, its headlight too: an option that batches have no field for."""
    batch.get_model(index, model)
    if scenes:
        light, own = model.vis.headlight, scenes[index].model.vis.headlight
        light.diffuse, light.ambient, light.specular = own.diffuse, own.ambient, own.specular
