"""One task in one world after the other: masses, delays and cameras are decided when a scene is compiled."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym

from robotics.environments import make_env
from robotics.sim2real.calibrated import CalibratedWorld
from robotics.sim2real.world import World


class WorldStage:
    """One environment at a time, made anew when another world is asked for."""

    def __init__(self, env_id: str, env_kwargs: Mapping[str, Any]) -> None:
        self._env_id, self._env_kwargs = env_id, env_kwargs
        self._world: World | CalibratedWorld | None = None
        self._env: gym.Env | None = None

    def env(self, world: World | CalibratedWorld) -> gym.Env:
        if self._env is None or world != self._world:
            self.close()
            more = {"world": world} if not world.nominal else {}
            self._env, self._world = make_env(self._env_id, **self._env_kwargs, **more), world
        return self._env

    def close(self) -> None:
        if self._env is not None:
            self._env.close()
        self._env = None
