"""The one primitive that rewards are made of."""

import math


def tolerance(value: float, within: float, margin: float) -> float:
    """1 where |value| <= within, falling smoothly to 0.1 at `margin` beyond it (a Gaussian tail). In [0, 1].

    After dm_control's function of the same name. Raises ValueError for a negative `within` or a `margin` not above 0.
    """
    if within < 0 or margin <= 0:
        raise ValueError(f"within must be >= 0 and margin > 0, not {within} and {margin}")
    beyond = max(abs(value) - within, 0.0) / margin
    return math.exp(beyond * beyond * math.log(0.1))
