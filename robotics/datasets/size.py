"""How much room demonstrations take: measured on a picture of their scene, since scenes and sizes differ tenfold."""

import math
from pathlib import Path

import gymnasium as gym
import numpy as np

from robotics.datasets.features import Feature, Features, is_visual
from robotics.datasets.info import read_info
from robotics.datasets.layout import DATA_FOLDER, INFO, VIDEOS_FOLDER
from robotics.datasets.pictures import encode_png
from robotics.datasets.video import encode_video
from robotics.environments import observation_dict
from robotics.outputs import size_of
from robotics.vocabulary import to_dataset

#: A film of one picture that stands still for so long is 0.75 … 1.1 of the film of the expert at work, per frame.
_STILL_FRAMES = 20
_MARGIN = 1.3
#: The row of an episode, most of which is its statistics, and what its files begin with [B].
_PER_EPISODE = 100e3


def episode_bytes(env: gym.Env, features: Features, seed: int, fps: int, frames: int) -> float:
    """An upper estimate of an episode of `frames` [B]. Resets `env` with `seed`, and encodes a picture per camera."""
    observation, _ = env.reset(seed=seed)
    seen = to_dataset(observation_dict(observation))
    per_frame = sum(_frame_bytes(feature, seen.get(key), fps) for key, feature in features.items())
    return _PER_EPISODE + frames * per_frame * _MARGIN


def episodes_there(root: Path) -> tuple[int, float]:
    """How many episodes the dataset in `root` holds, and their mean size [B]; 0, 0 where there is none."""
    episodes = read_info(root).episodes if (root / INFO).exists() else 0
    parts = (DATA_FOLDER, VIDEOS_FOLDER, INFO.parent)
    return episodes, sum(size_of(root / part) for part in parts) / episodes if episodes else 0.0


def _frame_bytes(feature: Feature, value: np.ndarray | None, fps: int) -> float:
    shape = tuple(feature["shape"])
    if not is_visual(feature):
        return 4.0 * math.prod(shape)
    image = np.asarray(value)
    if image.shape != shape or image.dtype != np.uint8:  # which is refused with its name when it is recorded
        return float(math.prod(shape))
    if feature["dtype"] == "image":
        return len(encode_png(image))
    return len(encode_video(np.stack([image] * _STILL_FRAMES), fps)) / _STILL_FRAMES
