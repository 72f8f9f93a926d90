"""How smoothly a policy acts."""

from collections.abc import Sequence

import numpy as np


def squared_jerk(actions: Sequence[np.ndarray]) -> float:
    """Mean square of the third differences of actions (T, A), over time and dimensions [(unit of the action)²/step⁶].

    Zero for motions whose acceleration is constant, and for fewer than four actions.
    """
    if len(actions) < 4:
        return 0.0
    third = np.diff(np.asarray(actions, dtype=float).reshape(len(actions), -1), n=3, axis=0)
    return float(np.square(third).mean())
