r"""Planned forces through the Jacobians: what was done before whole-body control, and what that is held against.

A leg in contact presses as planned, :math:`\tau = h - J^\top f`; a leg in the air follows its swing as a point mass,
:math:`\tau = h + J^\top \Lambda (\ddot r + K_p e + K_d \dot e - \dot J \nu)` with the inertia
:math:`\Lambda = (J M^{-1} J^\top)^{-1}` of the foot on a body that stands still (Di Carlo et al. 2018). Legs know
nothing of each other or of the body, and limits are met by clipping.
"""

from collections.abc import Mapping

import numpy as np

from robotics.controllers.legged.model import FloatingBaseModel
from robotics.controllers.legged.wbc import BodyTarget, FootTarget, LeggedWbcSettings

Array = np.ndarray


class JacobianTransposeControl:
    """Joint torques from planned forces, in place of `LeggedWbc`."""

    def __init__(self, model: FloatingBaseModel, settings: LeggedWbcSettings) -> None:
        self.model, self.settings = model, settings

    def torque(self, contact: Array, forces: Array, body: BodyTarget, feet: Mapping[int, FootTarget]) -> Array:
        """Torques (n,) [N m], as `LeggedWbc.torque`; the plan's own feedback is all that holds the body."""
        model, s = self.model, self.settings
        torque = model.h[6:].copy()
        stiffness, damping = s.swing_gains
        rates = model.foot_accelerations_at_rest()
        inverse = np.linalg.inv(model.M[6:, 6:])
        for foot, J in enumerate(model.foot_jacobians):
            leg = J[:, 6:]
            if contact[foot]:
                torque -= leg.T @ forces[foot]
                continue
            position, velocity, acceleration = np.array(feet[foot])
            pull = acceleration + stiffness * (position - model.feet[foot])
            pull += damping * (velocity - J @ model.nu) - rates[foot]
            torque += leg.T @ np.linalg.solve(leg @ inverse @ leg.T, pull)
        return np.clip(torque, model.torque_lower, model.torque_upper)
