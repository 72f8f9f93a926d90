"""How many measurements a robot loses: control steps at which all joints read just what they read before."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from robotics.evaluation.statistics import wilson
from robotics.sim2real.logs import Log


def measured_dropout(logs: Sequence[Log]) -> dict[str, Any]:
    """The share of lost measurements in logs of joints that keep moving, as a parameter of sysid.json is written.

    Sensors that err never read the same twice in all joints, and without errors none of a moving robot does.
    """
    lost = seen = 0
    for log in logs:
        positions = np.stack(list(log.joints["position"].values()), axis=1)
        repeated = (np.diff(positions, axis=0) == 0).all(axis=1)
        lost, seen = lost + int(repeated.sum()), seen + len(repeated)
    share = lost / seen if seen else 0.0
    return {"value": share, "ci95": list(wilson(lost, seen)), "nominal": 0.0, "identifiable": seen > 0}
