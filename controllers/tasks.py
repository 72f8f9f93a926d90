r"""What the whole-body controller tries to do: each task is a few rows :math:`A \dot v \approx b` with a weight.

A task turns an error into a desired acceleration by its gains and compares it with what the joints can give.
"""

import math
from dataclasses import dataclass, field
from typing import Literal, Protocol

import mujoco
import numpy as np

from robotics.controllers.model import NominalModel
from robotics.controllers.rotation import cross_matrix, log_between, rotation_matrix, turn_between

Array = np.ndarray


class Task(Protocol):
    """Rows of a least-squares objective over joint accelerations. Derive from it and give `rows`."""

    weight: float

    def rows(self, model: NominalModel) -> tuple[Array, Array]:
        """A (m, n) and b (m,) at the state the model was last updated to."""
        ...

    def write(self, A: Array, b: Array, model: NominalModel) -> None:
        """The rows times the root of the weight, into A (m, n) and b (m,), which hold what this task last wrote there.

        For tasks whose rows are mostly zeros, or can be computed in place: a controller asks every tick.
        """
        root = math.sqrt(self.weight)
        rows, wanted = self.rows(model)
        np.multiply(rows, root, out=A)
        np.multiply(wanted, root, out=b)


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
        (a, b, c), (x, y, z) = self.reference.position.tolist(), position.tolist()
        return np.array((a - x, b - y, c - z, *turn_between(quat, self.reference.quat)))

    def rows(self, model: NominalModel) -> tuple[Array, Array]:
        J, desired = np.empty((6, model.n)), np.empty(6)
        self._write_pose(J, desired, model)
        if self.part != "pose":
            rows = slice(0, 3) if self.part == "position" else slice(3, 6)
            return J[rows], desired[rows]
        if self.orientation_weight != 1.0:
            root = math.sqrt(self.orientation_weight)
            J[3:] *= root
            desired[3:] *= root
        return J, desired

    def write(self, A: Array, b: Array, model: NominalModel) -> None:
        if self.part == "pose" and self.weight == self.orientation_weight == 1.0:
            self._write_pose(A, b, model)
        else:
            super().write(A, b, model)

    def _write_pose(self, J: Array, desired: Array, model: NominalModel) -> None:
        model.jacobian(self.end_effector, out=J)
        np.subtract(self.reference.velocity, J.dot(model.v), out=desired)
        desired *= self.kd
        error = self.error(model)
        error *= self.kp
        desired += error
        desired += self.reference.acceleration
        desired -= model.jacobian_rate_times_velocity(self.end_effector)


@dataclass
class RelativeFrameTask(Task):
    r"""One end effector keeps a pose in the frame of another one, wherever that goes.

    With :math:`p = R_b^\top (p_h - p_b)` the position seen from the base hand, :math:`r = p_h - p_b` and its velocity
    :math:`w = v_h - v_b - \omega_b \times r`, both in the world frame,

    .. math::
       \dot w = \underbrace{(J_h - J_b) \dot v + [r]_\times J_b^\omega \dot v}_{A \dot v}
                + \dot J_h v - \dot J_b v - (\dot J_b^\omega v) \times r - \omega_b \times (v_h - v_b) ,

    and seen from the base hand the point accelerates by :math:`\dot w - \omega_b \times w`; likewise
    :math:`\omega_h - \omega_b` for the orientation.
    """

    end_effector: str
    base: str
    position: Array  # (3,) [m] of the end effector in the frame of `base`
    quat: Array  # (4,) wxyz in the frame of `base`
    weight: float = 1.0
    kp: float = 400.0  # [1/s^2]
    kd: float = 40.0  # [1/s]

    def error(self, model: NominalModel) -> Array:
        """Position error [m] and rotation vector [rad], world axes, from the end effector to where it shall be (6,)."""
        position, quat = model.pose(self.end_effector)
        origin, turn = model.pose(self.base)
        wanted = np.empty(4)
        mujoco.mju_mulQuat(wanted, turn, self.quat)
        aim = origin + rotation_matrix(turn) @ self.position
        return np.concatenate([aim - position, log_between(quat, wanted)])

    def rows(self, model: NominalModel) -> tuple[Array, Array]:
        Jh, Jb = model.jacobian(self.end_effector), model.jacobian(self.base)
        drift = model.jacobian_rate_times_velocity(self.end_effector) - model.jacobian_rate_times_velocity(self.base)
        turning = model.jacobian_rate_times_velocity(self.base)[3:]
        r = cross_matrix(model.pose(self.end_effector)[0] - model.pose(self.base)[0])
        A = Jh - Jb
        linear, omega, spin = A[:3] @ model.v, cross_matrix(Jb[3:] @ model.v), A[3:] @ model.v
        A[:3] += r @ Jb[3:]
        moving = A[:3] @ model.v
        drift[:3] += r @ turning - omega @ linear - omega @ moving
        drift[3:] -= omega @ spin
        return A, self.kp * self.error(model) - self.kd * np.concatenate([moving, spin]) - drift


@dataclass
class JointTask(Task):
    r"""One joint on a motion of its own: :math:`\dot v_i = a^* + k_p (q^* - q_i) + k_d (v^* - v_i)`."""

    joint: int  # index among the actuated joints
    position: float
    velocity: float = 0.0
    acceleration: float = 0.0
    weight: float = 1.0
    kp: float = 400.0  # [1/s^2]
    kd: float = 40.0  # [1/s]

    def rows(self, model: NominalModel) -> tuple[Array, Array]:
        i, row = self.joint, np.zeros((1, model.n))
        row[0, i] = 1.0
        error, change = self.position - model.q[i], self.velocity - model.v[i]
        return row, np.array([self.acceleration + self.kp * error + self.kd * change])


@dataclass
class PostureTask(Task):
    """Every joint towards `posture`: decides what the end effectors leave free, and damps it.

    With `velocity` and `acceleration`, along a motion through it.
    """

    posture: Array
    weight: float = 1e-3
    kp: float = 20.0
    kd: float = 10.0
    velocity: Array | float = 0.0
    acceleration: Array | float = 0.0

    def rows(self, model: NominalModel) -> tuple[Array, Array]:
        return np.eye(model.n), self._acceleration(model)

    def write(self, A: Array, b: Array, model: NominalModel) -> None:
        root = math.sqrt(self.weight)
        if A[0, 0] != root:
            np.fill_diagonal(A, root)
        np.multiply(self._acceleration(model), root, out=b)

    def _acceleration(self, model: NominalModel) -> Array:
        wanted = self.posture - model.q
        wanted *= self.kp
        wanted += self.acceleration
        damped = self.velocity - model.v
        damped *= self.kd
        wanted += damped
        return wanted


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

    def write(self, A: Array, b: Array, model: NominalModel) -> None:
        row, target = self._row(model)
        scale = math.sqrt(self.weight) / float(row[self.joint])
        np.multiply(row, scale, out=A[0])
        b[0] = scale * target

    def _row(self, model: NominalModel) -> tuple[Array, float]:
        """The joint's row of the mass matrix, and what the motor's force leaves for it."""
        i = self.joint
        force = self.stiffness * (self.opening - model.q[i]) - self.damping * model.v[i]
        force = min(max(force, -self.max_force), self.max_force)
        return model.M[i], force - float(model.h[i])
