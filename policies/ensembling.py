"""Temporal ensembling (Zhao et al. 2023, §IV-A): average everything that was ever predicted for this instant."""

import numpy as np


class TemporalEnsemble:
    """Weighted mean of the overlapping chunks' actions for the current step; w_i = exp(−decay·i), i = 0 the oldest.

    With chunks of four, at step 5 (o marks what is averaged):

        step        2 3 4 5 6 7 8
        made at 2   . . . o
        made at 3     . . o .
        made at 4       . o . .
        made at 5         o . . .

    The public code finds the filled slots by "all values differ from zero"
    (https://github.com/tonyzhaozh/act/blob/main/imitate_episodes.py), which drops true zeros; here they are counted.
    """

    def __init__(self, chunk_size: int, action_dim: int, decay: float) -> None:
        self.decay = decay
        self._chunks = np.zeros((chunk_size, chunk_size, action_dim))
        self._steps = 0

    def reset(self) -> None:
        self._steps = 0

    def add(self, chunk: np.ndarray) -> np.ndarray:
        """Take the chunk (H, A) predicted now and return the action (A,) for now. Called once per control step."""
        size, now = len(self._chunks), self._steps
        self._chunks[now % size] = chunk
        self._steps += 1
        made = np.arange(max(0, now - size + 1), now + 1)
        weights = np.exp(-self.decay * np.arange(len(made)))
        return weights @ self._chunks[made % size, now - made] / weights.sum()
