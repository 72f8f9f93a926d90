"""Settings of a training by reward, and what each algorithm begins with."""

import math
from dataclasses import dataclass, field
from typing import Any

from robotics.errors import UsageError
from robotics.evaluation.seeds import FIRST_EVALUATION_SEED


@dataclass(frozen=True)
class RLConfig:
    """Settings. Those of the second group are PPO's, of the third SAC's."""

    steps: int = 1_000_000  # of all copies together
    time_budget_s: float | None = None  # of training, over all calls
    copies: int = 64
    lr: float = 1e-3
    gamma: float = 0.99  # `NEAR_SIGHTED` for tasks of ours
    layers: tuple[int, ...] = (128, 128)
    batch_size: int = 512
    seed: int = 0
    device: str = "cpu"

    rollout: int = 32  # steps of every copy between updates
    epochs: int = 8
    gae_lambda: float = 0.95
    entropy: float = 0.0
    target_kl: float = 0.03
    log_std: float = -2.0  # of the actions at first, logarithm

    buffer_size: int = 300_000
    learning_starts: int = 5_000
    gradient_steps: int = 8  # per step of all copies

    save_every: int = 200_000
    eval_env: str | None = None
    eval_every: int = 200_000
    eval_episodes: int = 20
    eval_workers: int = 1
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    randomise: str | None = None  # severity of the worlds, one for each copy (`robotics.sim2real.drawing`)
    ranges: str | None = None
    calibration: str | None = None  # file of `robotics sysid`: the world of all

    def __post_init__(self) -> None:
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise UsageError(f"{name.replace('_', '-')} is {getattr(self, name)}: give at least 1")
        if self.seed < 0 or self.seed + self.copies > FIRST_EVALUATION_SEED:
            most = FIRST_EVALUATION_SEED - self.copies
            raise UsageError(f"seed is {self.seed}: give one within 0 … {most}; those above are for evaluation")
        if self.time_budget_s is not None and not self.time_budget_s > 0:
            raise UsageError(f"time-budget is {self.time_budget_s} s: give a positive one")
        for name in ("entropy", "log_std"):
            if not math.isfinite(getattr(self, name)):
                raise UsageError(f"{name.replace('_', '-')} is {getattr(self, name)}: give a number")
        if not (0 < self.gamma <= 1 and 0 < self.lr < float("inf")):
            raise UsageError(f"gamma {self.gamma} and lr {self.lr}: give 0 < gamma <= 1 and lr > 0")

    @property
    def seeds(self) -> list[int]:
        """Of the first episodes of the copies; later ones go on from their generators."""
        return list(range(self.seed, self.seed + self.copies))


_COUNTS: tuple[str, ...] = ("steps", "copies", "batch_size", "rollout", "epochs", "buffer_size", "save_every")
_COUNTS += ("eval_every", "eval_episodes", "eval_workers")

#: Discount for tasks of ours: what a robot does is judged within twenty control steps, and sooner is learned faster.
NEAR_SIGHTED = 0.95

#: Where an algorithm begins differently.
PRESETS: dict[str, dict[str, Any]] = {
    "ppo": {},
    "sac": {"copies": 16, "batch_size": 256, "lr": 3e-4, "layers": (256, 256)},
}
