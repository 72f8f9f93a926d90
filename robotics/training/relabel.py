"""One episode in which a learner and its expert take turns, every visited state labelled by the expert.

The mixture of DAgger (Ross et al. 2011, algorithm 3.1), drawn per block of actions and not per action: the learner
speaks in chunks, and what it shall learn is a chunk, too. While the expert acts, its actions follow from each other and
whole windows can be learned from them. While the learner acts, the expert's action is only right for the state it was
asked in; the column `complementary_info.is_intervention` tells which is which.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from robotics.datasets.demonstration import Demonstration, as_columns
from robotics.datasets.features import DONE, REWARD, SUCCESS
from robotics.datasets.seed_worlds import SeedWorlds
from robotics.environments import instruction, observation_dict
from robotics.envs.teacher import Teacher
from robotics.errors import RoboticsError, UsageError
from robotics.evaluation.agents import Agent, open_policy
from robotics.evaluation.one_thread import one_thread
from robotics.sim2real.drawing import Draw
from robotics.training.data import INTERVENTION
from robotics.vocabulary import ACTION, to_dataset

#: Keeps the draw of who acts apart from the environment's, which is seeded with the same number.
TURNS_STREAM = 0xDA66
#: What a learner samples by when it takes over again: by its first noise it would do in every turn what it did then.
TAKING_OVER_STREAM = 0xDA70


@dataclass(frozen=True)
class Relabelling:
    """Who takes turns where: all that a worker process needs to know.

    Attributes:
        beta: chance that the expert acts for the next block.
        learner_steps, expert_steps: lengths of their blocks [control steps].
        randomisation: gives every episode its world.
    """

    env_id: str
    env_kwargs: dict[str, Any]
    policy: str
    beta: float
    learner_steps: int
    expert_steps: int
    randomisation: Draw | None = None

    @contextmanager
    def open(self) -> Iterator[Callable[[int], Demonstration]]:
        with SeedWorlds(self.env_id, self.env_kwargs, self.randomisation) as worlds:
            if not hasattr(worlds.env.unwrapped, "expert"):
                raise UsageError(f"--dagger-rounds: environment '{self.env_id}' has no expert() to ask")
            learner = open_policy(self.policy).agent(worlds.env)
            with one_thread():
                yield lambda seed: relabelled(worlds.enter(seed), learner, self, seed)


def relabelled(env: gym.Env, learner: Agent, turns: Relabelling, seed: int) -> Demonstration:
    """The episode of `seed`, whatever its outcome. Depends on nothing that happened before."""
    observation, _ = env.reset(seed=seed)
    teacher = Teacher(env)
    teacher.reset()
    task = instruction(env, turns.env_id)
    draw, again = (np.random.default_rng((seed, stream)) for stream in (TURNS_STREAM, TAKING_OVER_STREAM))
    learns_by = seed
    columns: dict[str, list[Any]] = defaultdict(list)
    done = success = expert_acts = False
    left = 0
    while not done:
        if left == 0:
            before, expert_acts = expert_acts, bool(draw.random() < turns.beta)
            left = turns.expert_steps if expert_acts else turns.learner_steps
            if expert_acts and not before:
                teacher.take_over()
            if not expert_acts:
                learner.reset(env, learns_by)
                learns_by = int(again.integers(2**62))
        if not expert_acts:
            teacher.watch()
        label = np.asarray(teacher.act(observation))
        action = label if expert_acts else learner.act(observation)
        if not np.isfinite(action).all():
            raise RoboticsError(
                f"the policy's action is not finite in the episode of seed {seed}; train it more gently"
            )
        step = {**to_dataset(observation_dict(observation)), ACTION: label, INTERVENTION: [expert_acts]}
        observation, reward, terminated, truncated, info = env.step(action)
        done, success = terminated or truncated, bool(info.get("success", False))
        for key, value in {**step, REWARD: [reward], DONE: [done], SUCCESS: [success]}.items():
            columns[key].append(np.array(value))
        left -= 1
    return Demonstration(seed, success, task, as_columns(columns))
