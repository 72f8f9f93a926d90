"""The same seed in two places, as one film: simulation on the left, target on the right."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robotics.environments import control_rate, instruction, make_env
from robotics.errors import UsageError
from robotics.evaluation.agents import AgentSource, open_policy
from robotics.evaluation.circumstances import circumstances
from robotics.evaluation.rollout import Episode, run_episode
from robotics.media.caption import Caption
from robotics.media.develop import STILL_S, USUAL_FPS
from robotics.media.spool import FrameSpool
from robotics.media.video import film
from robotics.outputs import refuse_existing, require_room, require_writable, write_json
from robotics.policies.schedule import Execution

#: Pictures per second at most: two episodes are drawn for one film, and drawing is what it costs.
MAX_FPS = 25.0
_LINE = 4


@dataclass(frozen=True)
class Side:
    """One half of the film: what it is called, and what its environment is made with besides (`world`)."""

    name: str
    env_kwargs: Mapping[str, Any]


def record_side_by_side(
    env_id: str,
    policy: str,
    seed: int,
    sides: tuple[Side, Side],
    out: Path,
    *,
    execution: Execution | None = None,
    device: str = "cpu",
    size: tuple[int, int] = (360, 480),
    overwrite: bool = False,
) -> tuple[Episode, Episode]:
    """Film both sides of `seed` into `out` (MP4), describe the film in a JSON file beside it; returns both episodes.

    Both run at the same time on the screen; the one that ends first stays on its last picture. For environments of this
    project. UsageError for an `out` that exists, or is no .mp4.
    """
    if out.suffix.lower() != ".mp4":
        raise UsageError(f"--out {out}: the video is an .mp4 file")
    refuse_existing(out, overwrite)
    require_writable(out.parent)
    require_room(out.parent, 50e6, "the video")
    source = open_policy(policy, execution, device)
    with FrameSpool() as left, FrameSpool() as right:
        takes = [
            _take(env_id, source, seed, side, size, spool) for side, spool in zip(sides, (left, right), strict=True)
        ]
        _join((left, right), takes, out)
    write_json(out.with_suffix(".json"), _description(env_id, source, seed, sides, takes))
    return takes[0].episode, takes[1].episode


@dataclass(frozen=True)
class _Take:
    episode: Episode
    caption: Caption
    fps: float


def _take(env_id: str, source: AgentSource, seed: int, side: Side, size: tuple[int, int], frames: FrameSpool) -> _Take:
    env = make_env(env_id, **source.options(env_id, side.env_kwargs), render_mode="rgb_array", render_size=size)
    try:
        control_hz = control_rate(env) or USUAL_FPS
        every, steps = max(1, math.ceil(control_hz / MAX_FPS - 1e-9)), itertools.count()

        def keep_frame() -> None:
            if next(steps) % every == 0:
                frames.append(np.asarray(env.render()))

        episode = run_episode(env, source.agent(env), seed, keep_frame)
        fps = control_hz / every
        outcome = "success" if episode.success else "failed" if episode.success is False else "not reported"
        details = [source.label, f"seed {seed}", *circumstances(source.circumstances)]
        detail = " · ".join([*details, instruction(env, env_id)])
        return _Take(episode, Caption(side.name, detail, outcome, episode.success), fps)
    finally:
        env.close()


def _join(spools: tuple[FrameSpool, FrameSpool], takes: list[_Take], out: Path) -> None:
    fps, length = takes[0].fps, max(map(len, spools))
    height, width = next(iter(spools[0])).shape[:2]
    strip = takes[0].caption.strip(width, "").shape[0]
    line = np.full((height + strip, _LINE, 3), 255, np.uint8)
    with film(out, (height + strip, 2 * width + _LINE), fps) as mp4:
        streams = [iter(spool) for spool in spools]
        pictures = [next(stream) for stream in streams]
        for number in range(length):
            halves = []
            for side, (picture, take, spool) in enumerate(zip(pictures, takes, spools, strict=True)):
                shown = min(number, len(spool) - 1)
                halves += [np.concatenate([picture, take.caption.strip(width, f"{shown / fps:.2f} s")])]
                halves += [line] if side == 0 else []
            joined = np.concatenate(halves, axis=1)
            for _ in range(1 + (round(STILL_S * fps) if number == length - 1 else 0)):
                mp4.add(joined)
            pictures = [next(stream, picture) for stream, picture in zip(streams, pictures, strict=True)]


def _description(
    env_id: str, source: AgentSource, seed: int, sides: tuple[Side, Side], takes: list[_Take]
) -> dict[str, Any]:
    success = [take.episode.success for take in takes]
    return {
        "schema": 1,
        "title": f"seed {seed}: {sides[0].name} | {sides[1].name}",
        "env": env_id,
        "policy": source.policy,
        "policy_label": source.label,
        **source.circumstances,
        "seed": seed,
        "speed": 1.0,
        "outcome": " | ".join(take.caption.outcome for take in takes),
        "success": success[1],
        "sides": [
            {"name": side.name, "success": take.episode.success, "length": take.episode.length}
            for side, take in zip(sides, takes, strict=True)
        ],
    }
