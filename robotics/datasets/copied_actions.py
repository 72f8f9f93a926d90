"""Actions that are copies of the state: a policy that learns from them learns to stand still."""

import numpy as np

from robotics.datasets.reader import Dataset
from robotics.vocabulary import ACTION, STATE

#: Mean difference, as a fraction of how much the actions vary, below which two columns count as copies.
SAME = 1e-3


def copied_actions(dataset: Dataset) -> list[str]:
    """Warnings for actions that equal the current or the next state, where both have the same shape."""
    features = dataset.features
    if not {ACTION, STATE} <= features.keys() or features[ACTION]["shape"] != features[STATE]["shape"]:
        return []
    actions, states = dataset.column(ACTION), dataset.column(STATE)
    if not len(actions):
        return []
    inside = np.ones(len(actions), bool)
    inside[dataset.episode_ranges[:, 1] - 1] = False  # the last frame of an episode has no next state
    following = np.flatnonzero(inside)
    variation = float(actions.std(axis=0).mean())
    warnings = []
    if _difference(actions, states) <= SAME * variation:
        warnings.append("actions equal the current state: a policy trained on this will not move")
    if len(following) and _difference(actions[following], states[following + 1]) <= SAME * variation:
        warnings.append("actions equal the next state: measured positions seem to be recorded in place of commands")
    return [f"{dataset.root}: {warning}" for warning in warnings]


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).mean())
