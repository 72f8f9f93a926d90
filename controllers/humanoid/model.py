r"""The nominal model of a robot on two flat feet: what its controllers believe in.

Generalised velocity :math:`\nu` as in `controllers.legged.model`: linear velocity of the base in the world, its angular
velocity in its own frame, and the actuated joints. Each foot touches the ground with the corners of its sole,

.. math:: M \dot\nu + h = S^\top \tau + \sum_i J_i^\top \sum_k \begin{pmatrix} f_{ik} \\ r_{ik} \times f_{ik}
          \end{pmatrix},

with :math:`J_i` (6, nv) the Jacobian of the middle of sole i and :math:`r_{ik}` the way from there to corner k. A sole
has a frame of its own, x ahead and z up from the ground, whatever that of its link is.
"""

from typing import NamedTuple

import mujoco
import numpy as np

from robotics.controllers.humanoid.sole import soles
from robotics.controllers.legged.model import LeggedState
from robotics.controllers.model import lifted_by_motors
from robotics.controllers.robot_spec import RobotSpec, position_limits, torque_limits, view_of
from robotics.controllers.rotation import cross_matrix
from robotics.errors import UsageError

Array = np.ndarray


class Point(NamedTuple):
    """A point of the robot in the world: position [m], velocity [m/s], Jacobian (3, nv), and acceleration [m/s^2] at
    zero generalised acceleration: dJ/dt nu."""

    position: Array
    velocity: Array
    jacobian: Array
    rate: Array


class BipedModel:
    """Kinematics and dynamics at the last `update`, about 60 microseconds each.

    Raises UsageError when `model` lacks what `spec` names, or is no robot with a free base and two soles.
    """

    #: Joint speed [rad/s] over which Coulomb friction is blended in, so that it does not chatter at rest.
    FRICTION_BLEND = 0.1

    def __init__(self, model: mujoco.MjModel, spec: RobotSpec) -> None:
        spec.validate(model)
        if spec.base is None:
            raise UsageError(f"robot {spec.name} has no free base: name its free joint in RobotSpec.base")
        self.model, self.spec, self.data = model, spec, mujoco.MjData(model)
        base = model.joint(spec.base)
        self._base_q, self._base_body = int(base.qposadr[0]), int(model.jnt_bodyid[base.id])
        self._q = view_of([int(model.joint(j).qposadr[0]) for j in spec.joints])
        joint_dofs = [int(model.joint(j).dofadr[0]) for j in spec.joints]
        self._dofs = view_of([*range(int(base.dofadr[0]), int(base.dofadr[0]) + 6), *joint_dofs])
        self.n, self.nv = len(spec.joints), 6 + len(spec.joints)
        feet = soles(model, spec)
        #: Where each sole touches the ground, in the frame of its link (2, corners, 3) [m].
        self.corners = np.array([sole.corners for sole in feet])
        self._middles = self.corners.mean(axis=1)
        self._frames = [sole.frame for sole in feet]
        self._frame_quats = np.empty((2, 4))
        for quat, frame in zip(self._frame_quats, self._frames, strict=True):
            mujoco.mju_mat2Quat(quat, frame.ravel())
        #: From the middle of each sole to its corners, in the sole's frame (2, corners, 3) [m].
        self.corner_offsets = (self.corners - self._middles[:, None]) @ np.array(self._frames)
        self._foot_bodies = [sole.link for sole in feet]
        self.torque_lower, self.torque_upper = torque_limits(model, spec.joints)
        self.position_lower, self.position_upper = position_limits(model, spec.joints)
        self.velocity_limit = np.array(spec.velocity_limits)
        self.mass = float(model.body_subtreemass[self._base_body])
        self._friction = model.dof_frictionloss[joint_dofs]
        self._has_friction = bool(self._friction.any())
        data = self.data  # views of its arrays cost less to keep than to ask for
        self._qpos, self._qvel, self._passive = data.qpos, data.qvel, data.qfrc_passive
        self._base_com, self._xpos, self._xquat = data.subtree_com[self._base_body], data.xpos, data.xquat
        self._xmat = data.xmat.reshape(-1, 3, 3)
        self._lifted = lifted_by_motors(model)
        self._full_mass, self._bias = np.zeros((model.nv, model.nv)), np.empty(model.nv)
        self._full_jacobian = np.empty((6, model.nv))
        #: World-frame Jacobians (2, 6, nv) of the middles of the soles: linear rows, then angular.
        self.jacobians = np.empty((2, 6, self.nv))
        #: Accelerations (2, 6) of the soles at zero generalised acceleration: dJ/dt nu.
        self.rates = np.empty((2, 6))
        self.feet, self.rotations, self.foot_quats = np.empty((2, 3)), np.empty((2, 3, 3)), np.empty((2, 4))
        #: From the middle of each sole to its corners, in the world (2, corners, 3) [m].
        self.arms = np.empty_like(self.corners)
        self.nu = np.empty(self.nv)
        #: Linear momentum and angular momentum about the centre of mass are this matrix (6, nv) times nu, and
        #: momentum_matrix @ d(nu)/dt + momentum_bias is the wrench of the ground about the centre of mass (6,).
        self.momentum_matrix, self.momentum_bias = np.empty((6, self.nv)), np.empty(6)
        self._to_com = np.eye(6)
        self.update(self.home())

    def home(self) -> LeggedState:
        """At rest with the joints at home and the soles on the ground, the centre of mass above the origin."""
        zero, joints = np.zeros(3), np.array(self.spec.home)
        self.update(LeggedState(zero, np.array([1.0, 0, 0, 0]), zero, zero, joints, np.zeros(self.n)))
        x, y, _ = self.com
        height = float(self.feet[:, 2].mean())
        return LeggedState(np.array([-x, -y, -height]), self.state.quat, zero, zero, joints, np.zeros(self.n))

    def update(self, state: LeggedState) -> None:
        """Bring everything here to `state`. The arrays are written over by the next update."""
        model, data, base = self.model, self.data, self._base_q
        self.state, self.q, self.v = state, state.q, state.v
        self._qpos[base : base + 3], self._qpos[base + 3 : base + 7] = state.position, state.quat
        self._qpos[self._q] = state.q
        nu = self.nu
        nu[:3], nu[3:6], nu[6:] = state.velocity, state.angular_velocity, state.v
        self._qvel[self._dofs] = nu
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_makeM(model, data)
        mujoco.mj_comVel(model, data)
        mujoco.mj_passive(model, data)
        mujoco.mj_rne(model, data, 0, self._bias)
        mujoco.mj_fullM(model, data, self._full_mass)
        self.M = self._full_mass[self._dofs][:, self._dofs]
        self.h = (self._bias - self._passive)[self._dofs]
        if self._lifted is not None:
            self.h -= (self._lifted * data.qfrc_gravcomp)[self._dofs]
        if self._has_friction:
            self.h[6:] += self._friction * np.tanh(state.v / self.FRICTION_BLEND)
        self.R = self._xmat[self._base_body].copy()
        self.com = self._base_com.copy()
        self._update_momentum()
        self._update_feet()

    def point(self, site: int) -> Point:
        """A site of the model as it is now."""
        model, data, J = self.model, self.data, np.empty((3, self.model.nv))
        body, position = int(model.site_bodyid[site]), data.site_xpos[site].copy()
        mujoco.mj_jac(model, data, J, None, position, body)
        jacobian = J[:, self._dofs].copy()
        mujoco.mj_jacDot(model, data, J, None, position, body)
        return Point(position, jacobian.dot(self.nu), jacobian, J[:, self._dofs].dot(self.nu))

    def _update_momentum(self) -> None:
        """The base's rows of the dynamics, moved to the centre of mass and turned into the world."""
        moved = self._to_com
        moved[3:, :3], moved[3:, 3:] = cross_matrix(self.state.position - self.com), self.R
        np.matmul(moved, self.M[:6], out=self.momentum_matrix)
        np.matmul(moved, self.h[:6], out=self.momentum_bias)
        self.momentum = self.momentum_matrix.dot(self.nu)
        self.com_velocity = self.momentum[:3] / self.mass

    def _update_feet(self) -> None:
        model, data, J = self.model, self.data, self._full_jacobian
        linear, angular, dofs = J[:3], J[3:], self._dofs
        for foot, body in enumerate(self._foot_bodies):
            middle = self._xpos[body] + self._xmat[body] @ self._middles[foot]
            self.feet[foot], self.rotations[foot] = middle, self._xmat[body] @ self._frames[foot]
            mujoco.mju_mulQuat(self.foot_quats[foot], self._xquat[body], self._frame_quats[foot])
            mujoco.mj_jac(model, data, linear, angular, middle, body)
            self.jacobians[foot] = J[:, dofs]
            mujoco.mj_jacDot(model, data, linear, angular, middle, body)
            self.rates[foot] = J[:, dofs].dot(self.nu)
            self.arms[foot] = self.corner_offsets[foot] @ self.rotations[foot].T
        self.foot_velocities = self.jacobians.dot(self.nu)
