r"""Joint velocities from encoders with few counts, and from what the motors were told to do.

The steady-state Kalman filter of :math:`\ddot q = a + w` for one joint, a the acceleration that the controller meant,
w white with :math:`\sigma_a`, its measurement off by :math:`\sigma_q` (Kalata, IEEE TAES 1984): with the tracking index
:math:`\Lambda = \sigma_a \Delta t^2 / \sigma_q` and :math:`r = (4 + \Lambda - \sqrt{8 \Lambda + \Lambda^2}) / 4`,

.. math:: \alpha = 1 - r^2,\quad \beta = 2 (2 - \alpha) - 4 \sqrt{1 - \alpha} .
"""

import numpy as np

Array = np.ndarray


class EncoderFilter:
    """Estimates positions and velocities (n,) of joints whose encoders count in steps of `resolution` (n,) [rad, m].

    `agility` (n,) [rad/s^2, m/s^2] is how far off the meant accelerations may be.
    """

    def __init__(self, resolution: Array, agility: Array, period_s: float) -> None:
        self._dt = period_s
        index = agility * period_s**2 / (resolution / np.sqrt(12.0))
        r = (4 + index - np.sqrt(8 * index + index**2)) / 4
        self._alpha = 1 - r**2
        self._beta = 2 * (2 - self._alpha) - 4 * r
        self.reset(np.zeros(len(resolution)))

    def reset(self, q: Array) -> None:
        """At rest at the joint positions q (n,)."""
        self.q, self.v = np.array(q, float), np.zeros(len(q))

    def update(self, measured: Array, acceleration: Array) -> tuple[Array, Array]:
        """Positions and velocities (n,) from the new counts (n,) and the accelerations (n,) meant since the last ones.

        What is not finite is not believed.
        """
        meant = np.where(np.isfinite(acceleration), acceleration, 0.0)
        q = self.q + self._dt * self.v + 0.5 * self._dt**2 * meant
        v = self.v + self._dt * meant
        off = np.where(np.isfinite(measured), measured - q, 0.0)
        self.q, self.v = q + self._alpha * off, v + self._beta / self._dt * off
        return self.q.copy(), self.v.copy()
