"""The environment of every seed: one for all, or with a draw of worlds another one each."""

from typing import Any

import gymnasium as gym

from robotics.environments import make_env
from robotics.sim2real.applicability import task_of
from robotics.sim2real.drawing import Draw


class SeedWorlds:
    """`env` is made with `env_kwargs`; `enter` puts the world of a seed in its place. As a context manager it closes.

    Another environment for another world: masses, delays and cameras are decided when a scene is compiled.
    """

    def __init__(self, env_id: str, env_kwargs: dict[str, Any], draw: Draw | None) -> None:
        self.env = make_env(env_id, **env_kwargs)
        self._env_id, self._env_kwargs, self._draw = env_id, env_kwargs, draw
        self._nominal = None if draw is None else task_of(env_id, **env_kwargs)

    def enter(self, seed: int) -> gym.Env:
        """The environment of this seed, not reset yet."""
        if self._draw is not None and self._nominal is not None:
            self.env.close()
            self.env = make_env(self._env_id, **self._env_kwargs, world=self._draw.world(self._nominal, seed))
        return self.env

    def __enter__(self) -> "SeedWorlds":
        return self

    def __exit__(self, *_: object) -> None:
        self.env.close()
