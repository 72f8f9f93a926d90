"""Copies of an environment as Stable-Baselines3 wants them: ours step natively, others one after the other."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3.common.vec_env import VecEnv

from robotics.environments import find_spec, make_env, make_vector
from robotics.envs.worlds import World
from robotics.errors import UsageError
from robotics.reinforcement.config import RLConfig
from robotics.reinforcement.interface import Interface
from robotics.sim2real.applicability import task_of
from robotics.sim2real.calibrated import CalibratedWorld
from robotics.sim2real.drawing import randomisation

Array = np.ndarray


class Copies(VecEnv):
    """`num_envs` copies that begin a new episode in the step that ends the last one. No subprocesses.

    What a task of ours ends with success is to the learner as if time had run out: the reward is a sum over steps, and
    whoever succeeds must not lose what is to come. With `worlds` each copy of a task of ours lives in its own.
    """

    def __init__(
        self, env_id: str, num_envs: int, seed: int, env_kwargs: dict[str, Any], worlds: Sequence[World] = ()
    ) -> None:
        if is_ours(env_id):
            self.env = make_vector(
                env_id, num_envs, autoreset_mode=AutoresetMode.SAME_STEP, worlds=worlds, **env_kwargs
            )
        else:
            one = [lambda: make_env(env_id, **env_kwargs)] * num_envs
            self.env = SyncVectorEnv(one, autoreset_mode=AutoresetMode.SAME_STEP)
        spaces = self.env.single_observation_space, self.env.single_action_space
        self.interface = Interface.of(*spaces, env_id)
        self._ours = is_ours(env_id)
        super().__init__(num_envs, self.interface.observation_space, self.interface.action_space)
        self._first_seed: int | None = seed
        self._returns, self._lengths = np.zeros(num_envs), np.zeros(num_envs, np.int64)

    def reset(self) -> Array:
        observation, _ = self.env.reset(seed=self._first_seed)
        self._first_seed = None
        self._returns[:], self._lengths[:] = 0, 0
        return self.interface.flat(observation, (self.num_envs,))

    def step_async(self, actions: Array) -> None:
        self._actions = self.interface.action(actions)

    def step_wait(self) -> tuple[Array, Array, Array, list[dict[str, Any]]]:
        observation, reward, terminated, truncated, info = self.env.step(self._actions)
        done = terminated | truncated
        self._returns += reward
        self._lengths += 1
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        successes = info["final_info"].get("success") if done.any() else None
        for index in np.flatnonzero(done).tolist():
            episode: dict[str, Any] = {"r": float(self._returns[index]), "l": int(self._lengths[index]), "t": 0.0}
            success = None if successes is None else bool(successes[index])
            goes_on = bool(truncated[index] and not terminated[index]) or (self._ours and success is True)
            infos[index] = {
                "episode": episode,
                "terminal_observation": self.interface.flat(info["final_obs"][index]),
                "TimeLimit.truncated": goes_on,
            }
            if success is not None:
                infos[index]["is_success"] = success
        self._returns[done], self._lengths[done] = 0, 0
        flat = self.interface.flat(observation, (self.num_envs,))
        return flat, np.asarray(reward, np.float32), done, infos

    def close(self) -> None:
        self.env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self.env, attr_name)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError("copies share their attributes")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        raise NotImplementedError("copies have no methods of their own")

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: Any = None) -> list[bool]:
        return [False] * self.num_envs


def is_ours(env_id: str) -> bool:
    """Whether it is a task that steps natively."""
    return str(find_spec(env_id).vector_entry_point).startswith("robotics.envs.vector:")


def drawn_worlds(env_id: str, config: RLConfig) -> Sequence[World]:
    """A world for each copy, drawn from the training's seed on, or the calibrated one for all; none without either.

    UsageError for an environment that is no task of ours, and for severities and ranges that do not exist; DataError
    for a calibration that is none.
    """
    drawn = randomisation(config.randomise, config.ranges)
    if drawn is None and config.calibration is None:
        return []
    if drawn is not None and config.calibration is not None:
        raise UsageError(f"--calibration {config.calibration} contradicts --randomise: each is a world of its own")
    task = task_of(env_id, **config.env_kwargs)
    try:
        if drawn is not None:
            return [drawn.world(task, config.seed + index) for index in range(config.copies)]
        calibration = Path(str(config.calibration))
        return [CalibratedWorld.to_learn_in(calibration, env_id, config.env_kwargs)[0]] * config.copies
    finally:
        task.close()
