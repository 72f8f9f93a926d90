"""Stable-Baselines3's PPO and SAC with settings that suit robots: what is ours is how they are fed and kept."""

from collections.abc import Sequence
from typing import Any

import torch
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv

from robotics.errors import UsageError
from robotics.reinforcement.config import RLConfig
from robotics.reinforcement.interface import Interface

ALGORITHMS: dict[str, type[BaseAlgorithm]] = {"ppo": PPO, "sac": SAC}
_CONSTANT = 3e-4  # a learning rate for policies that only act


def make_policy(kind: str, interface: Interface, layers: Sequence[int]) -> BasePolicy:
    """Untrained weights of the right shape."""
    policy_class = ALGORITHMS[kind].policy_aliases["MlpPolicy"]
    arguments = interface.observation_space, interface.action_space, lambda _: _CONSTANT
    return policy_class(*arguments, **_policy_kwargs(kind, layers, RLConfig()))


def make_model(kind: str, copies: VecEnv, config: RLConfig) -> BaseAlgorithm:
    """The learner of `copies`. UsageError for an algorithm that can not act there."""
    common: dict[str, Any] = {
        "policy": "MlpPolicy",
        "env": copies,
        "gamma": config.gamma,
        "seed": config.seed,
        "device": config.device,
        "policy_kwargs": _policy_kwargs(kind, config.layers, config),
    }
    if kind == "sac":
        if not hasattr(copies.action_space, "low"):
            raise UsageError("sac gives continuous actions, this environment takes choices: train it by ppo")
        return SAC(
            learning_rate=config.lr,
            buffer_size=config.buffer_size,
            batch_size=config.batch_size,
            learning_starts=config.learning_starts,
            train_freq=1,
            gradient_steps=config.gradient_steps,
            **common,
        )
    return PPO(
        learning_rate=_falling(config.lr),
        n_steps=config.rollout,
        batch_size=config.batch_size,
        n_epochs=config.epochs,
        gae_lambda=config.gae_lambda,
        clip_range=0.2,
        ent_coef=config.entropy,
        target_kl=config.target_kl,
        **common,
    )


def _falling(lr: float) -> Any:
    """To a tenth over the training."""
    return lambda left: lr * (0.1 + 0.9 * left)


def _policy_kwargs(kind: str, layers: Sequence[int], config: RLConfig) -> dict[str, Any]:
    if kind == "sac":
        return {"net_arch": list(layers), "activation_fn": torch.nn.ReLU}
    return {"net_arch": list(layers), "activation_fn": torch.nn.Tanh, "log_std_init": config.log_std}
