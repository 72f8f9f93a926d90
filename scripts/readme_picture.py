"""The README's picture: four moments of one episode of a trained policy, side by side.

.venv/bin/python scripts/readme_picture.py RUN [OUT]
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from robotics.environments import make_env
from robotics.evaluation.agents import open_policy
from robotics.evaluation.rollout import run_episode

ENV, SEED = "robotics/TransferCube-v0", 1_000_000
#: When the pictures are taken, as fractions of the episode.
MOMENTS = (0.32, 0.55, 0.76, 1.0)
GAP = 6  # [pixels]


def main(policy: str, out: Path) -> None:
    source = open_policy(policy)
    env = make_env(ENV, render_mode="rgb_array", render_size=(330, 460), **source.env_kwargs)
    frames: list[np.ndarray] = []
    episode = run_episode(env, source.agent(env), SEED, lambda: frames.append(env.render()))
    env.close()
    if not episode.success:
        sys.exit(f"error: {policy} failed on seed {SEED}; the picture shows a success")
    strip = [frames[round(moment * (len(frames) - 1))] for moment in MOMENTS]
    padded = [np.pad(frame, ((0, 0), (0, GAP), (0, 0)), constant_values=255) for frame in strip]
    Image.fromarray(np.concatenate(padded, axis=1)[:, :-GAP]).save(out, quality=88)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent / "readme_picture.jpg")
