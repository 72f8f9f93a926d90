"""The one primitive that rewards are made of."""

import numpy as np


def tolerance(value: np.ndarray | float, within: float, margin: float) -> np.ndarray:
    """1 where |value| <= within, falling smoothly to 0.1 at `margin` beyond it (a Gaussian tail). In [0, 1].

    Elementwise. After dm_control's function of the same name. Raises ValueError for a negative `within` or a `margin`
    not above 0.
    """
    if within < 0 or margin <= 0:
        raise ValueError(f"within must be >= 0 and margin > 0, not {within} and {margin}")
    beyond = np.maximum(np.abs(value) - within, 0.0) / margin
    return np.exp(beyond * beyond * np.log(0.1))
