"""Temporal ensembling (Zhao et al. 2023, §IV-A): average everything that was ever predicted for this instant."""

from collections import deque

import numpy as np


class TemporalEnsemble:
    """Weighted mean of the overlapping chunks' actions for one step; w_i = exp(−decay·i), i = 0 the oldest.

    With chunks of four, at step 5 (o marks what is averaged):

        step        2 3 4 5 6 7 8
        made at 2   . . . o
        made at 3     . . o .
        made at 4       . o . .
        made at 5         o . . .

    The public code finds the filled slots by "all values differ from zero"
    (https://github.com/tonyzhaozh/act/blob/main/imitate_episodes.py), which drops true zeros; here they are counted.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self._chunks: deque[tuple[int, np.ndarray]] = deque()

    def add(self, step: int, chunk: np.ndarray) -> None:
        """Take a chunk (H, A) whose first action was predicted for `step`; chunks come in the order of their steps."""
        self._chunks.append((step, chunk))

    def action(self, now: int) -> np.ndarray:
        """The action (A,) for step `now`, which only grows: chunks that end before it are forgotten."""
        while now >= self._chunks[0][0] + len(self._chunks[0][1]):
            self._chunks.popleft()
        predictions = np.array([chunk[now - step] for step, chunk in self._chunks])
        exponent = -self.decay * np.arange(len(predictions))
        weights = np.exp(exponent - exponent.max())
        return weights @ predictions / weights.sum()
