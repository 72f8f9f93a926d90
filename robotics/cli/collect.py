"""`robotics collect`: expert demonstrations as a LeRobotDataset v3.0."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from robotics.wording import counted


@dataclass(frozen=True)
class Options:
    """Expert demonstrations as a LeRobotDataset v3.0."""

    env: str
    """Gymnasium id, ours or another package's (module:Id-v0)."""
    episodes: int
    """Successful episodes wanted; failed attempts are left out and counted."""
    seed: int
    """Attempt i uses seed + i; 0 … 999999."""
    out: Path
    """Folder of the dataset."""
    workers: int = 1
    """Processes; the result does not depend on it."""
    cameras: str = ""
    """Cameras to record, separated by commas."""
    image_size: int | None = None
    """Side of the square images [pixels]; the environment's own default when not given."""
    action_mode: str | None = None
    """What an action means; the environment's own default when not given."""
    images: Literal["video", "png"] = "video"
    """H.264 video, or PNG images inside the data files: larger, lossless, faster to read in random order."""
    noise: float = 0.0
    """Disturb executed actions by this fraction of their range while the expert's own are recorded (DART): 0.001 for
    arms that are given joint positions; with much more the expert fails."""
    hardest_of: int = 1
    """Demonstrate only one of every so many seeds, that with the most left to do: few demonstrations then hold more of
    what is hard."""
    randomise: str | None = None
    """Every attempt in a world of its own, drawn from its seed: mild, medium or wide. `robotics list factors`."""
    ranges: str | None = None
    """Published ranges for --randomise: playground, mjlab, robosuite, colosseum, …; the registry's when not given."""
    calibration: Path | None = None
    """Demonstrate in the model of this calibration.json (of `robotics sysid`) instead of the nominal one."""
    resume: bool = False
    """Continue the dataset in --out."""
    overwrite: bool = False
    """Replace what is in --out."""


def run(options: Options) -> None:
    from robotics.datasets.collect import collect
    from robotics.sim2real.drawing import randomisation

    result = collect(
        options.env,
        options.episodes,
        options.seed,
        options.out,
        workers=options.workers,
        env_kwargs=env_kwargs(options),
        images=options.images,
        noise=options.noise,
        hardest_of=options.hardest_of,
        randomisation=randomisation(options.randomise, options.ranges),
        calibration=options.calibration,
        resume=options.resume,
        overwrite=options.overwrite,
    )
    failed = f"{counted(len(result.failed_seeds), 'failed attempt')} left out"
    if result.failed_seeds:
        failed += f" (seeds {', '.join(map(str, result.failed_seeds[:10]))}{', …' if result.failed_seeds[10:] else ''})"
    made = f"{counted(result.episodes, 'episode')}, {counted(result.frames, 'frame')}"
    print(f"{options.out}: {made}; {failed}", file=sys.stderr)


def env_kwargs(options: Options) -> dict[str, Any]:
    """What the environment is made with: only what was asked for, since not every environment knows these."""
    kwargs: dict[str, Any] = {}
    if cameras := tuple(name.strip() for name in options.cameras.split(",") if name.strip()):
        kwargs["cameras"] = cameras
    if options.image_size is not None:
        kwargs["image_size"] = (options.image_size, options.image_size)
    if options.action_mode is not None:
        kwargs["action_mode"] = options.action_mode
    return kwargs
