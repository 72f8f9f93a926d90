"""What a robustness and generalisation card tries: the Colosseum's factors, unseen objects, other words.

The Colosseum (Pumacay et al. 2024, arXiv 2402.08191) changes object, scene and camera one at a time, then all at once.
Here each has a worst case on either side: even seeds meet the one, odd seeds the other.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import gymnasium as gym
import numpy as np

from robotics import ENVIRONMENTS
from robotics.envs.base import MujocoTask
from robotics.evaluation.agents import BUILT_IN, Agent, AgentSource, reward_learner
from robotics.sim2real.applicability import applicable
from robotics.sim2real.factors import FACTORS
from robotics.sim2real.world import World

#: Axis -> factors that change together, by group.
AXES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "object": {
        "object colour": ("object_colour",),
        "object size": ("object_size",),
        "object mass": ("object_mass",),
        "object friction": ("contact_friction",),
        "object place": ("object_shift",),
    },
    "scene": {
        "lighting": ("lighting",),
        "background": ("background",),
        "distractors": ("distractors",),
        "camera pose": ("camera_shift", "camera_turn", "field_of_view"),
        "exposure": ("exposure",),
    },
}
TOGETHER, UNSEEN, WORDS = "all together", "unseen objects", "other words"
UNSEEN_MARK = "Unseen-v0"
#: Words for words, where an instruction names its instance and no paraphrase of the task could.
SYNONYMS = {
    "put": "place",
    "pick up": "grasp",
    "into": "in",
    "onto": "on top of",
    "cube": "block",
    "bin": "container",
    "hold": "keep",
    "follow": "track",
    "move": "bring",
}


@dataclass(frozen=True)
class Axis:
    """One thing that is otherwise, and how: its two sides, or why it can not be tried here.

    Attributes:
        sides: per side what the environment is made with besides, and its id; even seeds use the first.
        shown: what is changed, for people and for JSON.
        missing: why it is not tried; None when it is.
        other_words: whether the policy is told its task in other words.
    """

    name: str
    group: str
    sides: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    shown: Mapping[str, Any] | None = None
    missing: str | None = None
    other_words: bool = False


def axes(env_id: str, task: MujocoTask, severity: float, reads_words: bool) -> list[Axis]:
    """Every axis of the card for `env_id`; those that can not be tried say why. `severity` 1 is the factors' range.

    `task` is made as the policy wants it: what no camera sees is no visual change.
    """
    known = applicable(task)
    found, every = list[Axis](), list[str]()
    for group, members in AXES.items():
        for name, factors in members.items():
            used = [factor for factor in factors if factor in known]
            every += used
            found.append(_factors(name, group, env_id, used, severity, bool(task.cameras)))
    alone = Axis(TOGETHER, "together", missing="fewer than two things to change at once")
    found.append(_factors(TOGETHER, "together", env_id, every, severity, True) if len(every) > 1 else alone)
    return [*found, _unseen(env_id), _words(env_id, task, reads_words)]


def _factors(name: str, group: str, env_id: str, used: Sequence[str], severity: float, sees: bool) -> Axis:
    if not used:
        visual = group == "scene" or "colour" in name
        return Axis(name, group, missing="the policy sees no pictures" if visual and not sees else "nothing to change")
    sides = [{factor: FACTORS[factor].at(side * severity) for factor in used} for side in (-1, 1)]
    shown = {factor: _both(sides[0][factor], sides[1][factor]) for factor in used}
    return Axis(name, group, tuple((env_id, {"world": World.of(values)}) for values in sides), shown)


def _both(low: float, high: float) -> list[float] | float:
    return round(low, 4) if low == high else [round(low, 4), round(high, 4)]


def _unseen(env_id: str) -> Axis:
    other = env_id.removesuffix("-v0") + UNSEEN_MARK
    if other not in ENVIRONMENTS:
        return Axis(UNSEEN, "generalisation", missing="the task has no objects kept for testing")
    return Axis(UNSEEN, "generalisation", ((other, {}),), {"env": other})


def _words(env_id: str, task: MujocoTask, reads_words: bool) -> Axis:
    if not reads_words:
        return Axis(WORDS, "generalisation", missing="the policy reads no instruction")
    return Axis(WORDS, "generalisation", ((env_id, {}),), {"paraphrases": list(task.paraphrases)}, other_words=True)


def reads_instructions(source: AgentSource) -> bool:
    """Whether the policy is told its task in words. Cheap: reads its configuration."""
    if source.policy in BUILT_IN:
        return False
    from robotics.policies.checkpoint import find_pretrained, read_policy_config

    folder = find_pretrained(source.policy)
    return not reward_learner(folder) and bool(read_policy_config(folder).language)


def in_other_words(instruction: str, task: MujocoTask, seed: int) -> str:
    """The same said otherwise: a paraphrase of the task, or synonyms where the instruction names its instance."""
    if instruction == task.task and task.paraphrases:
        return task.paraphrases[seed % len(task.paraphrases)]
    for word, other in SYNONYMS.items():
        instruction = re.sub(rf"\b{word}\b", other, instruction)
    return instruction


@dataclass(frozen=True)
class ToldOtherwise(AgentSource):
    """The same policy, told its task in other words."""

    def agent(self, env: gym.Env) -> Agent:
        return _Retold(super().agent(env))


class _Retold:
    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def reset(self, env: gym.Env, seed: int) -> None:
        task = cast(MujocoTask, env.unwrapped)
        said = in_other_words(task.instruction, task, seed)
        self._agent.reset(cast(gym.Env, SimpleNamespace(unwrapped=SimpleNamespace(instruction=said))), seed)

    def act(self, observation: Any) -> np.ndarray:
        return self._agent.act(observation)
