"""`robotics record`: one episode as an H.264 video that plays in a browser."""

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robotics.cli.execution import ExecutionField, ExecutionOptions
from robotics.errors import UsageError


@dataclass(frozen=True)
class Options:
    """One episode as an H.264 video that plays in a browser."""

    env: str
    """Gymnasium id, ours or another package's (module:Id-v0)."""
    policy: str
    """expert, random, zero, a run or a checkpoint folder."""
    seed: int
    """Seed of the episode."""
    out: Path
    """The .mp4 file; a .json beside it describes it."""
    camera: str | None = None
    """Camera; the environment's own default when not given."""
    size: str | None = None
    """Width x height of the picture, 1280x720 for example."""
    speed: float = 1.0
    """2: twice as fast as reality; 0.25: slow motion."""
    action_mode: str | None = None
    """What an action means; the policy's or the environment's own default when not given."""
    how: ExecutionField = field(default_factory=ExecutionOptions)
    calibration: Path | None = None
    """Film the model of this calibration.json (of `robotics sysid`) instead of the nominal one."""
    target: str | None = None
    """Another place than the simulation as it is: twin:FILE (a hidden twin) or factors:NAME=VALUE,…"""
    overwrite: bool = False
    """Replace --out."""


def run(options: Options) -> None:
    from robotics.media.record import Shot, record

    execution = options.how.asked()
    size = None if options.size is None else parse_size(options.size)
    shot = Shot(options.env, options.policy, options.seed, options.camera, size, options.speed)
    env_kwargs: dict[str, Any] = {} if options.action_mode is None else {"action_mode": options.action_mode}
    about: dict[str, Any] = {}
    if options.target is not None or options.calibration is not None:
        from robotics.evaluation.agents import open_policy
        from robotics.sim2real.places import place

        kwargs = open_policy(options.policy, execution).options(options.env, env_kwargs)
        there, about = place(options.env, options.target, options.calibration, kwargs)
        env_kwargs |= there
    episode = record(
        shot,
        options.out,
        overwrite=options.overwrite,
        env_kwargs=env_kwargs,
        execution=execution,
        device=options.how.device,
        about=about,
    )
    outcome = {True: "success", False: "failed", None: f"return {episode.return_:.2f}"}[episode.success]
    print(f"{options.out}: {outcome} after {episode.length} steps", file=sys.stderr)


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) that `1280x720` spells; UsageError for anything else."""
    match = re.fullmatch(r"(\d+)x(\d+)", text.strip())
    if not match:
        raise UsageError(f"--size {text!r} is no size; write width x height, 1280x720")
    return int(match[2]), int(match[1])
