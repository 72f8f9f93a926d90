"""Whatever `--policy` can name, as something that acts: the expert, baselines, and trained policies."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import gymnasium as gym
import numpy as np

from robotics.environments import control_rate, instruction, observation_dict, taken_by, usual_option
from robotics.errors import UsageError, unknown_name
from robotics.outputs import read_json
from robotics.policies.schedule import Execution, schedule_for
from robotics.training.run_folder import CONFIG, training_seeds
from robotics.vocabulary import camera_of, to_dataset

if TYPE_CHECKING:  # at run time it would load torch
    from robotics.policies.base import PolicyConfig

#: Policies that need no training -> what they do, as `robotics list policies` shows it.
BUILT_IN = {
    "expert": "the environment's own model-based teacher: sees the privileged state, acts through the same interface",
    "random": "uniform in the action space, seeded by the episode",
    "zero": "the action closest to zero",
}


#: Algorithms of `robotics.reinforcement`.
REWARD_LEARNERS = ("ppo", "sac")


class Agent(Protocol):
    """Acts in one environment, one episode after the other."""

    def reset(self, env: gym.Env, seed: int) -> None:
        """A new episode begins: `env` has just been reset with `seed`."""
        ...

    def act(self, observation: Any) -> np.ndarray:
        """The action for this control step."""
        ...


@dataclass(frozen=True)
class AgentSource:
    """A policy by name: picklable, so that every worker process opens its own.

    Attributes:
        env_kwargs: what the policy needs of its environment: cameras and their size, the meaning of actions.
        trained_on: seeds of the demonstrations it learned from.
        execution: how its chunks become actions; None for one that predicts no chunks.
        device: where its network acts.
    """

    policy: str
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    trained_on: tuple[int, ...] = ()
    execution: Execution | None = None
    device: str = "cpu"

    @property
    def label(self) -> str:
        """A short name for tables and captions: the last folder of a path."""
        return self.policy if self.policy in BUILT_IN else Path(self.policy).resolve().name

    @property
    def told(self) -> dict[str, Any]:
        """What was asked of its execution, for documents; empty where nothing was."""
        return {} if self.execution is None else self.execution.told()

    @property
    def device_title(self) -> str:
        """What documents call the device."""
        if self.device == "cpu":
            return self.device
        from robotics.training.optimization import device_title

        return device_title(self.device)

    @property
    def circumstances(self) -> dict[str, Any]:
        """How and where it acts other than usually, for documents; empty where nothing was asked."""
        execution = {"execution": self.told} if self.told else {}
        return execution | ({} if self.device == "cpu" else {"device": self.device_title})

    def options(self, env_id: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
        """What to make environment `env_id` with, what is `given` included. UsageError for other actions."""
        own, asked = self.env_kwargs.get("action_mode"), (given or {}).get("action_mode")
        if own is not None and asked not in (None, own):
            raise UsageError(f"--action-mode {asked} contradicts {self.policy}: its actions mean '{own}'")
        return {**taken_by(env_id, self.env_kwargs), **(given or {})}

    def agent(self, env: gym.Env) -> Agent:
        """A fresh agent for `env`. UsageError when the two do not fit."""
        if self.trained_on and "action_mode" not in self.env_kwargs:  # demonstrated in what was usual
            usual, mode = usual_option(env, "action_mode"), getattr(env.unwrapped, "action_mode", None)
            if mode != usual:
                raise UsageError(f"--action-mode {mode} contradicts {self.policy}: its actions mean '{usual}'")
        if self.policy == "expert":
            return _Expert(env)
        if self.policy == "random":
            return _Random()
        if self.policy == "zero":
            return _Zero(env)
        from robotics.policies.checkpoint import find_pretrained

        if reward_learner(find_pretrained(self.policy)):
            from robotics.reinforcement.agent import LearnedAgent

            return LearnedAgent(self.policy, env)
        return _Trained(self.policy, env, self.execution, self.device)


def open_policy(policy: str, execution: Execution | None = None, device: str = "cpu") -> AgentSource:
    """What `policy` names: expert, random, zero, a run, a checkpoint or a `pretrained_model` folder.

    `device` is where its network acts: auto (the fastest it can act on), cpu, cuda, cuda:N or mps. The same seed gives
    the same episode on one device; on another it may not, since they round differently.

    Cheap: reads configurations, no weights. UsageError for a name that is nothing, for an `execution` or a `device`
    that it has no use for, a device that is not there, and no room in its chunk; DataError for a damaged folder.
    """
    there = "cpu" if device == "cpu" else _on_this_machine(device)
    if policy in BUILT_IN:
        _refuse(execution, policy)
        _refuse_device(device, policy, "it has no network")
        return AgentSource(policy)
    if not Path(policy).exists():
        raise unknown_name("policy", policy, BUILT_IN, "or give a run or checkpoint folder")
    from robotics.policies.checkpoint import find_pretrained, read_policy_config

    folder = find_pretrained(policy)
    if reward_learner(folder):
        _refuse(execution, policy)
        _refuse_device(device, policy, "its network is small")
        return AgentSource(policy, dict(read_json(folder / CONFIG).get("env_kwargs", {})), training_seeds(folder))
    config = read_policy_config(folder)
    schedule_for(execution or Execution(), config, policy)
    options = environment_options(config, policy)
    return AgentSource(policy, options, training_seeds(folder), execution or Execution(), there)


def environment_options(config: "PolicyConfig", policy: str) -> dict[str, Any]:
    """What a trained policy needs of its environment's constructor. UsageError when no environment can give it."""
    kwargs: dict[str, Any] = {}
    if config.image_shapes:
        sizes = {shape[:2] for shape in config.image_shapes.values()}
        if len(sizes) > 1:
            raise UsageError(f"{policy} wants images of different sizes ({sizes}); environments give one size")
        kwargs = {"cameras": tuple(str(camera_of(key)) for key in config.image_shapes), "image_size": sizes.pop()}
    if config.action_mode is not None:
        kwargs["action_mode"] = config.action_mode
    return kwargs


def require_fit(policy: str, config: "PolicyConfig", actions: gym.Space, rate: float | None) -> None:
    """UsageError when a policy was made for other `actions` or another control rate [Hz]."""
    if actions.shape != (config.action_dim,):
        kind = type(actions).__name__
        takes = {"Box": f"{actions.shape}", "Discrete": "choices (Discrete)"}.get(kind, kind)
        raise UsageError(f"{policy} gives actions of shape ({config.action_dim},), the environment takes {takes}")
    if rate and config.fps and abs(rate - config.fps) > 1e-6:
        raise UsageError(f"{policy} was trained at {config.fps:g} Hz, the environment runs at {rate:g} Hz")


def _refuse(execution: Execution | None, policy: str) -> None:
    if execution not in (None, Execution()):
        raise UsageError(
            f"{policy} predicts no chunks: leave out --execution, --delay, --n-action-steps and --unstick, or {policy}"
        )


def _on_this_machine(device: str) -> str:
    from robotics.training.optimization import fastest_device

    return fastest_device(device)


def _refuse_device(device: str, policy: str, why: str) -> None:
    if device not in ("auto", "cpu"):
        raise UsageError(f"--device {device}: {policy} acts on the CPU, {why}; leave it out")


def reward_learner(folder: Path) -> bool:
    """Whether a `pretrained_model` folder holds a policy learned from reward. Cheap."""
    document = read_json(folder / CONFIG)
    return isinstance(document, dict) and document.get("type") in REWARD_LEARNERS


class _Expert:
    def __init__(self, env: gym.Env) -> None:
        if not hasattr(env.unwrapped, "expert"):
            name = env.spec.id if env.spec else type(env.unwrapped).__name__
            raise UsageError(f"environment '{name}' has no expert; give random, zero or a trained policy")
        self._expert = env.unwrapped.expert()

    def reset(self, env: gym.Env, seed: int) -> None:
        self._expert.reset(env)

    def act(self, observation: Any) -> np.ndarray:
        return self._expert.act(observation)

    def faults(self) -> dict[str, int]:
        return self._expert.faults() if hasattr(self._expert, "faults") else {}


class _Random:
    def reset(self, env: gym.Env, seed: int) -> None:
        self._space = copy.deepcopy(env.action_space)  # another agent of this environment draws from its own
        self._space.seed(seed % 2**63)

    def act(self, observation: Any) -> Any:
        return self._space.sample()


class _Zero:
    def __init__(self, env: gym.Env) -> None:
        space = env.action_space
        if isinstance(space, gym.spaces.Box):
            self._action: Any = np.clip(np.zeros(space.shape, space.dtype), space.low, space.high)
        elif isinstance(space, gym.spaces.Discrete):
            self._action = int(space.start)
        else:
            raise UsageError(f"zero acts in Box and Discrete action spaces, not in {type(space).__name__}")

    def reset(self, env: gym.Env, seed: int) -> None:
        pass

    def act(self, observation: Any) -> Any:
        return self._action


class _Trained:
    def __init__(self, path: str, env: gym.Env, execution: Execution | None, device: str) -> None:
        from robotics.policies.checkpoint import load_policy
        from robotics.policies.execution import ChunkExecutor
        from robotics.policies.packing import packed

        policy = packed(load_policy(path, device))
        require_fit(path, policy.config, env.action_space, control_rate(env))
        self._executor, self._words = ChunkExecutor(policy, execution), dict[str, np.ndarray]()

    @property
    def asked(self) -> bool:
        """Whether the last action took an inference."""
        return self._executor.asked

    def reset(self, env: gym.Env, seed: int) -> None:
        from robotics.policies.language import TASK, word_ids

        self._executor.reset(seed)
        self._words = {TASK: word_ids(instruction(env, ""))}

    def act(self, observation: Any) -> np.ndarray:
        return self._executor.act(to_dataset(observation_dict(observation)) | self._words)
