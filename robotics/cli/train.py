"""`robotics train act|ppo|sac`: a policy from demonstrations, or from reward."""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Literal

from robotics.cli import train_rl
from robotics.errors import UsageError

#: Options that are fields of the policy's configuration; the rest of what is given goes to TrainConfig.
POLICY_OPTIONS = ("chunk_size", "n_action_steps")
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Options:
    """Imitate the demonstrations of a dataset. What is not given comes from the preset, or from the resumed run."""

    data: Path
    """Folder of the dataset."""
    out: Path
    """Folder of the run."""
    preset: str = "small"
    """small: minutes on two CPU cores; paper: as published, for a GPU."""
    inputs: str | None = None
    """Observations to use, by commas (state,environment_state,top); all of the dataset's when not given."""
    steps: int | None = None
    """Optimiser steps in all."""
    batch_size: int | None = None
    """Windows per step."""
    lr: float | None = None
    """Largest learning rate."""
    chunk_size: int | None = None
    """Actions predicted at once."""
    n_action_steps: int | None = None
    """Actions executed before the next prediction."""
    seed: int | None = None
    """Of the initial weights and of everything random later."""
    device: str | None = None
    """auto, cpu, cuda, cuda:N or mps."""
    precision: Literal["fp32", "bf16"] | None = None
    """bf16: autocast; weights and optimiser stay fp32."""
    ema_decay: float | None = None
    """Cap of the decay of the averaged weights; 0 evaluates the raw ones."""
    time_budget: str | None = None
    """Stop after this much training: 90s, 30m, 8h."""
    save_every: int | None = None
    """Steps between checkpoints."""
    eval_env: str | None = None
    """Environment of rollouts during training, on seeds apart from the reported ones."""
    eval_every: int | None = None
    """Steps between them."""
    eval_episodes: int | None = None
    """Episodes of each."""
    resume: bool = False
    """Continue the run in --out from its last checkpoint."""
    overwrite: bool = False
    """Replace the run in --out."""


def run(family: str, options: Options) -> None:
    from robotics.training.train import train

    given: dict[str, Any] = {
        field.name: getattr(options, field.name)
        for field in fields(options)
        if field.default is None and getattr(options, field.name) is not None
    }
    inputs = given.pop("inputs", None)
    if "time_budget" in given:
        given["time_budget_s"] = parse_duration(given.pop("time_budget"))
    counters = train(
        family,
        options.data,
        options.out,
        preset_name=options.preset,
        inputs=inputs,
        policy_options={key: value for key, value in given.items() if key in POLICY_OPTIONS},
        training_options={key: value for key, value in given.items() if key not in POLICY_OPTIONS},
        resume=options.resume,
        overwrite=options.overwrite,
    )
    print(f"{options.out}: {counters.step} steps in {counters.elapsed_s:.0f} s", file=sys.stderr)


def parse_duration(text: str) -> float:
    """Seconds that `90s`, `30m`, `1.5h` or a bare number of seconds spell; UsageError for anything else."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", text)
    if not match or float(match[1]) == 0:
        raise UsageError(f"--time-budget {text!r} is no duration; write 90s, 30m or 8h")
    return float(match[1]) * _UNITS[match[2]]


SUBCOMMANDS: dict[str, tuple[type, Callable[[Any], None]]] = {
    "act": (Options, partial(run, "act")),
    **{kind: (train_rl.Options, partial(train_rl.run, kind)) for kind in ("ppo", "sac")},
}
