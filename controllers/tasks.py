r"""What the whole-body controller tries to do: each task is a few rows :math:`A \dot v \approx b` with a weight.

A task turns an error into a desired acceleration by its gains and compares it with what the joints can give.
"""

import math
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from robotics.controllers.model import NominalModel
from robotics.controllers.rotation import log_between

Array = np.ndarray


class Task(Protocol):
    """Rows of a least-squares objective over joint accelerations. Derive from it and give `rows`."""

    weight: float

    def rows(self, model: NominalModel) -> tuple[Array, Array]:
        """A (m, n) and b (m,) at the state the model was last updated to."""
        ...

    def add_to(self, P: Array, q: Array, model: NominalModel) -> None:
        r"""Add half of :math:`w \lVert A \dot v - b \rVert^2` to the cost :math:`\tfrac12 y^\top P y + q^\top y`.

        P is contiguous. Tasks with few entries do it without their rows, which is all that makes them faster.
        """
        A, b = self.rows(model)
        weighted = self.weight * A.T
        P += weighted @ A
        q -= weighted @ b


@dataclass
class Reference:
    """Where an end effector shall be now, and how it shall move: world frame, SI units."""

    position: Array
    quat: Array
    velocity: Array = field(default_factory=lambda: np.zeros(6))  # linear, angular
    acceleration: Array = field(default_factory=lambda: np.zeros(6))


@dataclass
class EndEffectorPoseTask(Task):
    r""":math:`J \dot v = a^* + k_p e + k_d (V^* - J v) - \dot J v`, with e the position and rotation-vector error."""

    end_effector: str
    reference: Reference
    weight: float = 1.0
    kp: float = 400.0  # [1/s^2]
    kd: float = 40.0  # [1/s]
    orientation_weight: float = 1.0  # of a radian against a metre; where a pose is out of reach, it decides
    part: Literal["pose", "position", "orientation"] = "pose"

    def error(self, model: NominalModel) -> Array:
        """Position error [m] and rotation vector [rad] from the end effector to the reference, shape (6,)."""
        position, quat = model.pose(self.end_effector)
        return np.concatenate([self.reference.position - position, log_between(quat, self.reference.quat)])

    def rows(self, model: NominalModel) -> tuple[Array, Array]:
        J = model.jacobian(self.end_effector)
        desired = (
            self.reference.acceleration
            + self.kp * self.error(model)
            + self.kd * (self.reference.velocity - J @ model.v)
            - model.jacobian_rate_times_velocity(self.end_effector)
        )
        if self.part != "pose":
            rows = slice(0, 3) if self.part == "position" else slice(3, 6)
            return J[rows], desired[rows]
        if self.orientation_weight != 1.0:
            root = math.sqrt(self.orientation_weight)
            J[3:] *= root
            desired[3:] *= root
        return J, desired


@dataclass
class PostureTask(Task):
    """Every joint towards `posture`: decides what the end effectors leave free, and damps it."""

    posture: Array
    weight: float = 1e-3
    kp: float = 20.0
    kd: float = 10.0

    def rows(self, model: NominalModel) -> tuple[Array, Array]:
        return np.eye(model.n), self._acceleration(model)

    def add_to(self, P: Array, q: Array, model: NominalModel) -> None:
        P.reshape(-1)[:: len(q) + 1] += self.weight
        q -= self.weight * self._acceleration(model)

    def _acceleration(self, model: NominalModel) -> Array:
        return self.kp * (self.posture - model.q) - self.kd * model.v


@dataclass
class GripperForceTask(Task):
    r"""The motor of one gripper joint gives :math:`f = \mathrm{clip}(k (w - q) - d v, \pm f_{max})`.

    Moving freely this is a stiff servo to the opening `w`; on an object it is a constant squeeze of `max_force`.
    """

    joint: int  # index among the actuated joints
    opening: float  # distance of a finger pad from the middle [m]
    max_force: float = 15.0  # motor force [N]; each finger presses with half of it
    weight: float = 1.0
    stiffness: float = 2000.0  # [N/m]
    damping: float = 120.0  # [N s/m]

    def rows(self, model: NominalModel) -> tuple[Array, Array]:
        inertia = model.M[self.joint, self.joint]  # divides the row, so that it is an acceleration like the other tasks
        row, target = self._row(model)
        return row[None] / inertia, np.array([target / inertia])

    def add_to(self, P: Array, q: Array, model: NominalModel) -> None:
        row, target = self._row(model)
        weighted = (self.weight / float(row[self.joint]) ** 2) * row
        P += weighted[:, None] * row
        q -= target * weighted

    def _row(self, model: NominalModel) -> tuple[Array, float]:
        """The joint's row of the mass matrix, and what the motor's force leaves for it."""
        i = self.joint
        force = self.stiffness * (self.opening - model.q[i]) - self.damping * model.v[i]
        force = min(max(force, -self.max_force), self.max_force)
        return model.M[i], force - float(model.h[i])
