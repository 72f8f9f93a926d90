r"""Joint positions at which hands are where they shall be: damped least squares, within the joints' ranges.

With the stacked errors e of all hands and their Jacobian J, each step is

.. math:: \Delta q = J^\top (J J^\top + \lambda^2 I)^{-1} e + (I - J^+ J)\, k (q_0 - q)

(Nakamura and Hanafusa 1986), :math:`\lambda` growing with the error, and the second part using what the hands leave
free to stay near where it began.
"""

from collections.abc import Mapping

import numpy as np

from robotics.controllers.model import NominalModel
from robotics.controllers.rotation import log_between

Array = np.ndarray

_STEPS, _PATIENCE, _NEAR_M, _NEAR_RAD = 60, 10, 5e-4, 2e-3
_DAMPING, _HOMEWARDS, _LONGEST = 0.02, 0.1, 0.3


def reach(
    model: NominalModel,
    poses: Mapping[str, tuple[Array, Array]],
    q: Array,
    margin: float = 0.03,
    turned: bool = True,
) -> Array | None:
    """Joint positions (n,) near q (n,) that bring hands to world poses (position, wxyz); None where none are found.

    At least `margin` [rad, m] from the ends of a joint's range, or where q is. Hands that need not be `turned` are
    brought to their positions alone. Leaves the kinematics of `model` there.
    """
    start, grippers = q.copy(), {e.gripper_joint for e in model.spec.end_effectors}
    moving = np.array([i for i, joint in enumerate(model.spec.joints) if joint not in grippers])
    lower = np.minimum(model.position_lower + margin, start)
    upper = np.maximum(model.position_upper - margin, start)
    told = 6 if turned else 3
    lengths: list[float] = []
    for _ in range(_STEPS):
        model.move(q)
        errors, rows = [], []
        for hand, (position, quat) in poses.items():
            here, turn = model.pose(hand)
            errors.append(np.concatenate([position - here, log_between(turn, quat)])[:told])
            rows.append(model.jacobian(hand)[:told, moving])
        off = np.abs(errors)
        if off[:, :3].max() < _NEAR_M and off[:, 3:].max(initial=0.0) < _NEAR_RAD:
            return q
        J, e = np.concatenate(rows), np.concatenate(errors)
        lengths.append(float(e @ e))
        if len(lengths) > _PATIENCE and lengths[-1] > 0.9 * lengths[-1 - _PATIENCE]:
            return None
        damping = _DAMPING**2 * min(1.0, 10 * float(np.abs(e).max()))
        damped = J @ J.T + damping * np.eye(len(J))
        pull = _HOMEWARDS * (start - q)[moving]
        step = pull + J.T @ np.linalg.solve(damped, e - J @ pull)
        step *= min(1.0, _LONGEST / max(float(np.abs(step).max()), 1e-9))
        q = q.copy()
        q[moving] = np.clip(q[moving] + step, lower[moving], upper[moving])
    return None
