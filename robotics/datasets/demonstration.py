"""One attempt of an expert at a task, as columns of a dataset."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

from robotics.datasets.features import DONE, REWARD, SUCCESS
from robotics.datasets.noise import ActionNoise
from robotics.datasets.seed_worlds import SeedWorlds
from robotics.environments import control_rate, instruction, observation_dict
from robotics.envs.teacher import Teacher
from robotics.errors import UsageError
from robotics.sim2real.drawing import Draw
from robotics.vocabulary import ACTION, to_dataset

#: Keeps the stream of the disturbance apart from that of the environment, which is seeded with the same number.
NOISE_STREAM = 0xDA27


@dataclass(frozen=True)
class Demonstration:
    """The outcome of seed `seed`; `frames` hold (T, *shape) by column, and nothing when it failed."""

    seed: int
    success: bool
    task: str
    frames: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """Where demonstrations come from: all that a worker process needs to know.

    With a `randomisation` every attempt is in a world of its own, drawn from its seed. An attempt looks at `hardest_of`
    seeds, from the one it is given on, and takes that with the most left to do.
    """

    env_id: str
    env_kwargs: dict[str, Any]
    noise: float = 0.0
    randomisation: Draw | None = None
    hardest_of: int = 1

    def demonstrator(self) -> "Demonstrator":
        return Demonstrator(self)

    @contextmanager
    def open(self) -> Iterator[Callable[[int], Demonstration]]:
        """What a worker does with a seed."""
        with self.demonstrator() as demonstrator:
            yield demonstrator.attempt


class Demonstrator:
    """An environment and its expert. As a context manager it closes the environment."""

    def __init__(self, source: Source) -> None:
        self._source, self._worlds = source, SeedWorlds(source.env_id, source.env_kwargs, source.randomisation)
        if not hasattr(self.env.unwrapped, "expert"):
            raise UsageError(f"environment '{source.env_id}' has no expert() to demonstrate it")
        if source.hardest_of > 1 and not hasattr(self.env.unwrapped, "left_to_do"):
            raise UsageError(
                f"--hardest-of {source.hardest_of}: environment '{source.env_id}' has no left_to_do() that tells which "
                "of its instances are harder"
            )
        self.robot_type: str | None = getattr(self.env.unwrapped, "robot_type", None)
        self.fps = _control_rate(self.env, source.env_id)

    @property
    def env(self) -> gym.Env:
        """That of the last attempt."""
        return self._worlds.env

    @property
    def frame_limit(self) -> int | None:
        """Longest episode that the time limit allows [frames]."""
        return self.env.spec.max_episode_steps if self.env.spec else None

    def attempt(self, seed: int) -> Demonstration:
        """Let a fresh teacher act from `seed` to the end of the episode. Depends on nothing that happened before."""
        if self._source.hardest_of > 1:
            seed = max(range(seed, seed + self._source.hardest_of), key=self._left_to_do)
        env = self._worlds.enter(seed)
        observation, _ = env.reset(seed=seed)
        teacher = Teacher(env)  # after the reset: it is told what this instance weighs
        teacher.reset()
        task = instruction(env, self._source.env_id)
        space = env.action_space
        assert isinstance(space, gym.spaces.Box)
        noise = ActionNoise(space, self._source.noise, self.fps, np.random.default_rng((seed, NOISE_STREAM)))
        columns: dict[str, list[Any]] = defaultdict(list)
        done = success = False
        while not done:
            action = np.asarray(teacher.act(observation))
            _record(columns, {**to_dataset(observation_dict(observation)), ACTION: action})
            observation, reward, terminated, truncated, info = env.step(noise.disturb(action))
            done, success = terminated or truncated, bool(info.get("success", False))
            _record(columns, {REWARD: [reward], DONE: [done], SUCCESS: [success]})
        return Demonstration(seed, success, task, as_columns(columns) if success else {})

    def _left_to_do(self, seed: int) -> float:
        env = self._worlds.enter(seed)
        env.reset(seed=seed)
        left: float = env.unwrapped.left_to_do()  # type: ignore[attr-defined]
        return left

    def __enter__(self) -> "Demonstrator":
        return self

    def __exit__(self, *_: object) -> None:
        self._worlds.__exit__()


def _record(columns: dict[str, list[Any]], values: dict[str, Any]) -> None:
    for key, value in values.items():
        columns[key].append(np.array(value))  # a copy: environments may reuse their arrays


def as_columns(values: dict[str, list[np.ndarray]]) -> dict[str, np.ndarray]:
    """The values of all frames as columns (T, *shape), floats as float32. Takes them out of `values`: images fill half
    of the memory otherwise."""
    return {key: _as_column(values.pop(key)) for key in list(values)}


def _as_column(values: list[np.ndarray]) -> np.ndarray:
    column = np.stack(values)
    return column.astype(np.float32) if column.dtype.kind == "f" else column


def _control_rate(env: gym.Env, env_id: str) -> int:
    """Control steps per second, which must be whole: a dataset's fps is."""
    rate = control_rate(env)
    if not rate or rate != int(rate):
        raise UsageError(f"environment '{env_id}' runs at {rate} Hz; datasets need a whole number of frames per second")
    return int(rate)
