"""`robotics train ppo|sac`: a policy from reward."""

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from robotics.training.time_budget import parse_duration


@dataclass(frozen=True)
class Options:
    """Learn from reward in any environment: ours step natively, others one after the other."""

    env: str
    """Gymnasium id, ours or another package's (module:Id-v0)."""
    out: Path
    """Folder of the run."""
    steps: int | None = None
    """Control steps of all copies together."""
    time_budget: str | None = None
    """Stop after this much training, over all calls: 90s, 30m, 8h. Evaluations on the way count, the one at the end
    comes on top."""
    copies: int | None = None
    """Environments side by side."""
    lr: float | None = None
    """Learning rate; ppo's falls to a tenth."""
    gamma: float | None = None
    """Discount per control step; 0.95 for tasks of ours and 0.99 for others when not given."""
    batch_size: int | None = None
    """Samples per gradient step."""
    rollout: int | None = None
    """ppo: steps of every copy between updates."""
    epochs: int | None = None
    """ppo: passes over them."""
    entropy: float | None = None
    """ppo: weight of the entropy bonus."""
    log_std: float | None = None
    """ppo: logarithm of the spread of actions at first, in halves of their range."""
    gradient_steps: int | None = None
    """sac: gradient steps per step of all copies."""
    action_mode: str | None = None
    """What an action means; the environment's own default when not given."""
    randomise: str | None = None
    """Every copy in a world of its own, drawn from the seed: mild, medium or wide. `robotics list factors`."""
    ranges: str | None = None
    """Published ranges for --randomise: playground, mjlab, robosuite, …; the registry's when not given."""
    calibration: str | None = None
    """Train in the model of this calibration.json (of `robotics sysid`) instead of the nominal one."""
    seed: int | None = None
    """Of the initial weights and of everything random later."""
    device: str | None = None
    """auto, cpu or cuda."""
    save_every: int | None = None
    """Steps between checkpoints."""
    eval_every: int | None = None
    """Steps between evaluations, on seeds apart from the reported ones."""
    eval_episodes: int | None = None
    """Episodes of each."""
    resume: bool = False
    """Continue the run in --out from its last checkpoint."""
    overwrite: bool = False
    """Replace the run in --out."""


def run(kind: str, options: Options) -> None:
    from robotics.reinforcement.train import train

    given: dict[str, Any] = {
        field.name: getattr(options, field.name)
        for field in fields(options)
        if field.default is None and getattr(options, field.name) is not None
    }
    if "time_budget" in given:
        given["time_budget_s"] = parse_duration(given.pop("time_budget"))
    if "action_mode" in given:
        given["env_kwargs"] = {"action_mode": given.pop("action_mode")}
    steps = train(kind, options.env, options.out, options=given, resume=options.resume, overwrite=options.overwrite)
    print(f"{options.out}: {steps} steps", file=sys.stderr)
