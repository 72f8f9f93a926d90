"""A small training run on the toy, shared by the tests that need a trained policy."""

from pathlib import Path

from robotics.datasets.collect import collect
from robotics.training.train import train
from tests.toy import TOY_ID

#: An ACT that trains in a second and still has every part.
TINY = {"dim": 32, "heads": 2, "feed_forward": 64, "encoder_layers": 1, "chunk_size": 8, "n_action_steps": 4}
TINY |= {"actions_per_query": 2, "latent_dim": 0}
BRIEF = {"steps": 30, "batch_size": 16, "warmup_steps": 5, "log_every": 10, "device": "cpu"}


def toy_data(folder: Path, episodes: int = 6) -> Path:
    """A dataset of the toy's expert in `folder`."""
    collect(TOY_ID, episodes, 0, folder)
    return folder


def toy_run(data: Path, out: Path, **kwargs) -> Path:
    """A run on `data` in `out`; `policy_options` and `training_options` are merged into the small defaults."""
    policy = TINY | kwargs.pop("policy_options", {})
    training = BRIEF | kwargs.pop("training_options", {})
    train("act", data, out, policy_options=policy, training_options=training, **kwargs)
    return out
