"""The environment of every seed: one for all, or with a draw of worlds that of the seed's."""

from typing import Any

import gymnasium as gym

from robotics.sim2real.applicability import task_of
from robotics.sim2real.drawing import Draw
from robotics.sim2real.world import World
from robotics.sim2real.world_stage import WorldStage


class SeedWorlds:
    """`env` is that of the last seed entered. As a context manager it closes."""

    def __init__(self, env_id: str, env_kwargs: dict[str, Any], draw: Draw | None) -> None:
        self._stage, self._draw = WorldStage(env_id, env_kwargs), draw
        self.env = self._stage.env(World())
        self._nominal = None if draw is None else task_of(env_id, **env_kwargs)

    def enter(self, seed: int) -> gym.Env:
        """The environment of this seed, not reset yet."""
        if self._draw is not None and self._nominal is not None:
            self.env = self._stage.env(self._draw.world(self._nominal, seed))
        return self.env

    def __enter__(self) -> "SeedWorlds":
        return self

    def __exit__(self, *_: object) -> None:
        self._stage.close()
