r"""What pulls at the joints that the nominal model does not know: a payload, a push, friction that it has wrong.

Between two ticks the model promises :math:`M \dot v + h = \tau`; what the joints did instead is

.. math:: d = M \frac{v_k - v_{k-1}}{\Delta t} + h - \tau_{k-1},\qquad
          \hat d \leftarrow \hat d + (1 - e^{-\Delta t / T}) (d - \hat d) ,

a momentum observer (De Luca and Mattone, ICRA 2003) in discrete time, its residual of first order with time constant T.
"""

import math

import numpy as np

from robotics.controllers.model import NominalModel

Array = np.ndarray


class DisturbanceObserver:
    """Estimates the generalised force (n,) [N m, N] on the joints that motors and model do not account for.

    Never more than `share` of the torque limits: held back by an obstacle, the arm must not push ever harder.
    """

    def __init__(self, model: NominalModel, period_s: float, time_constant_s: float = 0.02, share: float = 0.5) -> None:
        self._period_s, self._gain = period_s, 1.0 - math.exp(-period_s / time_constant_s)
        self._lower, self._upper = share * model.torque_lower, share * model.torque_upper
        self.reset()

    def reset(self) -> None:
        """Nothing pulls, and nothing is known of the last tick."""
        self.estimate = np.zeros(len(self._lower))
        self._last: tuple[Array, Array] | None = None

    def update(self, model: NominalModel) -> Array:
        """The estimate (n,) at the state the model was last updated to. Do not change it in place."""
        if self._last is not None:
            v, torque = self._last
            moved = model.M.dot(model.v - v)
            moved /= self._period_s
            moved += model.h
            moved -= torque
            moved -= self.estimate
            moved *= self._gain
            moved += self.estimate
            self.estimate = np.minimum(np.maximum(moved, self._lower), self._upper)
        return self.estimate

    def applied(self, v: Array, torque: Array) -> None:
        """Remember the torque (n,) that goes to the motors at joint velocities v (n,)."""
        self._last = v, torque
