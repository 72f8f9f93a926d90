"""One episode as a film, captioned with its outcome."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from robotics.environments import accepted_options, control_rate, instruction, make_env
from robotics.errors import RoboticsError, UsageError
from robotics.evaluation.agents import open_policy
from robotics.evaluation.circumstances import circumstances
from robotics.evaluation.rollout import Episode, run_episode
from robotics.media.caption import Caption
from robotics.media.develop import USUAL_FPS, develop
from robotics.media.spool import FrameSpool
from robotics.outputs import refuse_existing, require_room, require_writable, write_json
from robotics.policies.schedule import Execution
from robotics.progress import progress

MIN_SPEED, MAX_SPEED = 0.05, 20.0


@dataclass(frozen=True)
class Shot:
    """What is filmed, and how. `size` is (height, width); None leaves camera and size to the environment.

    `title` heads the film in a report; the policy's name when None.
    """

    env_id: str
    policy: str
    seed: int
    camera: str | None = None
    size: tuple[int, int] | None = None
    speed: float = 1.0
    title: str | None = None


def record(
    shot: Shot,
    out: Path,
    *,
    overwrite: bool = False,
    env_kwargs: Mapping[str, Any] | None = None,
    execution: Execution | None = None,
    device: str = "cpu",
    about: Mapping[str, Any] | None = None,
) -> Episode:
    """Film one episode into `out` (MP4, H.264) and describe it in a JSON file beside it; returns the episode.

    `about` is what caption and description say of the place (`sim2real.places`) that `env_kwargs` makes; `device` is
    where the policy's network acts (`open_policy`).

    Raises UsageError for names that do not exist, a camera or size the environment does not offer, or an `out` that is
    already there; RoboticsError when nothing can be rendered.
    """
    _check(shot, out, overwrite)
    render_kwargs = _render_kwargs(shot)
    source = open_policy(shot.policy, execution, device)
    _choose_backend()
    env = make_env(shot.env_id, **source.options(shot.env_id, env_kwargs), **render_kwargs)
    try:
        agent, fps = source.agent(env), control_rate(env) or USUAL_FPS
        require_writable(out.parent)
        require_room(out.parent, 50e6, "the video")
        limit = env.spec.max_episode_steps if env.spec else None
        with FrameSpool() as frames, progress("record", limit, "steps") as bar:

            def keep_frame() -> None:
                frames.append(_frame(env, shot.env_id))
                bar.advance(0 if len(frames) == 1 else 1)

            episode = run_episode(env, agent, shot.seed, keep_frame)
            bar.finish_early()
            told = {**source.circumstances, **(about or {})}
            caption = _caption(shot, env, source.label, told, episode, fps)
            develop(frames, caption, fps, shot.speed, out)
    finally:
        env.close()
    write_json(out.with_suffix(".json"), _description(shot, caption, told, episode, source.label))
    return episode


def _check(shot: Shot, out: Path, overwrite: bool) -> None:
    if out.suffix.lower() != ".mp4":
        raise UsageError(f"--out {out}: the video is an .mp4 file")
    if out.is_dir():
        raise UsageError(f"--out {out} is a folder; give an .mp4 file")
    side = out.with_suffix(".json")
    if side.exists() and not out.exists():  # a run's config.json, say: no film's, so not ours to replace
        raise UsageError(f"--out {out}: its description would replace {side}; give another name")
    if shot.seed < 0:
        raise UsageError(f"--seed {shot.seed}: seeds are 0 or more")
    refuse_existing(out, overwrite)
    if not MIN_SPEED <= shot.speed <= MAX_SPEED:
        raise UsageError(f"--speed {shot.speed}: give a factor within {MIN_SPEED:g} … {MAX_SPEED:g}")


def _choose_backend() -> None:
    """For another package's environment, which may need MuJoCo's pictures or not: whoever does says what is wrong."""
    with suppress(Exception):  # MuJoCo refuses to be imported with a MUJOCO_GL that it does not know
        from robotics.envs.rendering import choose_backend

        choose_backend()


def _render_kwargs(shot: Shot) -> dict[str, Any]:
    """How to ask this environment for pictures; UsageError for a wish that it can not grant."""
    options = accepted_options(shot.env_id)
    kwargs: dict[str, Any] = {"render_mode": "rgb_array"}
    for option, name, value in (("--camera", "render_camera", shot.camera), ("--size", "render_size", shot.size)):
        if value is None:
            continue
        if options is not None and name not in options:
            raise UsageError(f"{option}: environment '{shot.env_id}' lets nobody choose that")
        kwargs[name] = value
    return kwargs


def _frame(env: gym.Env, env_id: str) -> np.ndarray:
    try:
        image: Any = env.render()
    except RoboticsError:
        raise
    except Exception as error:  # whatever another package and its drivers raise
        raise RoboticsError(f"environment '{env_id}' can not be rendered: {error}") from None
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise RoboticsError(f"environment '{env_id}' gives no picture for render_mode='rgb_array'")
    height, width = image.shape[:2]
    return image[: height // 2 * 2, : width // 2 * 2]


def _caption(shot: Shot, env: gym.Env, label: str, told: dict[str, Any], episode: Episode, fps: float) -> Caption:
    title = instruction(env, shot.env_id)
    details = [label, f"seed {shot.seed}", *circumstances(told)]
    if shot.speed != 1:
        details.append(f"{shot.speed:g}x speed")
    return Caption(title, " · ".join(details), _outcome(episode, fps), episode.success)


def _outcome(episode: Episode, fps: float) -> str:
    if episode.success is None:
        return f"return {episode.return_:.1f}"
    return f"success in {episode.length / fps:.1f} s" if episode.success else "failed"


def _description(shot: Shot, caption: Caption, told: dict[str, Any], episode: Episode, label: str) -> dict[str, Any]:
    return {
        "schema": 1,
        "title": shot.title or label,
        "env": shot.env_id,
        "policy": shot.policy,
        "policy_label": label,
        "seed": shot.seed,
        "speed": shot.speed,
        **told,
        "task": caption.title,
        "outcome": caption.outcome,
        "success": episode.success,
        "return": episode.return_,
        "length": episode.length,
    }
