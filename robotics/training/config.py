"""How a policy is trained, whatever its family."""

from dataclasses import dataclass, field
from typing import Literal

from robotics.errors import UsageError
from robotics.policies.documents import CAME_LATER

#: Where images lie during training: `auto` takes the first of the others that has room.
Place = Literal["auto", "device", "memory", "disk"]

Precision = Literal["fp32", "bf16"]
Schedule = Literal["constant", "cosine"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Optimisation and bookkeeping of one training. Everything random depends on `seed` and the step alone."""

    steps: int
    batch_size: int
    """Windows per step, over all processes."""
    lr: float
    weight_decay: float = 1e-4
    warmup_steps: int = 0
    """Steps over which the learning rate rises from 0."""
    schedule: Schedule = "constant"
    """`cosine` falls to 0 at the last step, or at the end of the time budget."""
    grad_clip: float = 10.0
    """Largest norm of the gradient; 0 does not clip."""
    ema_decay: float = 0.999
    """Cap of the average's decay; 0 evaluates the raw weights."""
    precision: Precision = "fp32"
    seed: int = 0
    device: str = "auto"
    """auto | cpu | cuda | cuda:N | mps."""
    time_budget_s: float | None = None
    """Stop after this much training time [s], resumed sessions included."""
    compile: bool = False
    """Let torch.compile fuse the network: minutes at first, fewer and larger kernels then."""
    weights: str | None = field(default=None, metadata=CAME_LATER)
    """Begin at those of this run or checkpoint, or with the image network of this safetensors file; None: at random."""
    frames: Place = "auto"
    """Images on the device, in memory, or mapped from decoded files in the user's cache (disk)."""
    log_every: int = 50
    save_every: int = 5000
    eval_env: str | None = None
    """Environment of the rollouts during training; None makes none."""
    eval_every: int = 5000
    eval_episodes: int = 20
    eval_workers: int = 1
    """Processes of rollouts, for evaluation and DAgger; the results do not depend on it."""
    dagger_rounds: int = 0
    """How often the policy acts and its expert relabels what it got into; rounds divide the training evenly."""
    dagger_episodes: int = 20
    """Episodes of each round."""
    dagger_beta: float = 0.5
    """In round k the expert acts for a share of this to the power of k of the time."""

    def __post_init__(self) -> None:
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise UsageError(f"{_option(name)} is {getattr(self, name)}; it must be at least 1")
        for name in ("weight_decay", "warmup_steps", "grad_clip", "seed", "dagger_rounds"):
            if getattr(self, name) < 0:
                raise UsageError(f"{_option(name)} is {getattr(self, name)}; it must not be negative")
        if self.seed >= 2**63:
            raise UsageError(f"--seed is {self.seed}; it must be below 2^63")
        if not 0 < self.lr < 1:
            raise UsageError(f"--lr is {self.lr}; it must be within 0 … 1")
        if not 0 <= self.ema_decay < 1:
            raise UsageError(f"--ema-decay is {self.ema_decay}; it must be in [0, 1)")
        if not 0 <= self.dagger_beta <= 1:
            raise UsageError(f"--dagger-beta is {self.dagger_beta}; it must be within 0 … 1")
        if self.time_budget_s is not None and self.time_budget_s <= 0:
            raise UsageError(f"--time-budget is {self.time_budget_s} s; it must be positive")


_COUNTS: tuple[str, ...] = ("steps", "batch_size", "log_every", "save_every")
_COUNTS += ("eval_every", "eval_episodes", "eval_workers", "dagger_episodes")
#: What a resumed training may change without becoming another training.
FREE_TO_CHANGE = frozenset(
    {"steps", "device", "time_budget_s", "log_every", "save_every", "compile", "frames"}
    | {"dagger_rounds", "dagger_episodes", "dagger_beta"}
    | {"eval_env", "eval_every", "eval_episodes", "eval_workers"}
)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
