r"""The controller's own model of the robot.

It is never the simulator's: what the nominal model does not know (payloads, randomised friction) the controller must
feel through its errors, as on a real robot.

Controllers work in *actuated coordinates*: one per joint of `RobotSpec.joints`. Joints that follow another one by an
equality (the second finger of a gripper) are eliminated by :math:`\dot q = T v`, so that

.. math:: M v' + h = \tau,\quad M = T^\top M_q T,\quad h = T^\top (c - \tau_{passive})

holds with one torque per actuated joint.
"""

import mujoco
import numpy as np

from robotics.controllers.robot_spec import RobotSpec, torque_limits

Array = np.ndarray


class NominalModel:
    """Kinematics and dynamics of a fixed-base robot at the last `update`. About 50 microseconds an update.

    Raises UsageError when `model` lacks what `spec` names.
    """

    #: Joint speed [rad/s] over which Coulomb friction is blended in, so that it does not chatter at rest.
    FRICTION_BLEND = 0.05

    def __init__(self, model: mujoco.MjModel, spec: RobotSpec) -> None:
        spec.validate(model)
        self.model, self.spec, self.data = model, spec, mujoco.MjData(model)
        self.n = len(spec.joints)
        self.T = _actuated_to_all(model, spec)
        self.torque_lower, self.torque_upper = torque_limits(model, spec.joints)
        self.position_lower, self.position_upper = np.array([model.joint(j).range for j in spec.joints]).T
        self.velocity_limit = np.array(spec.velocity_limits)
        self._friction = self.T.T @ model.dof_frictionloss
        self._full_mass = np.empty((model.nv, model.nv))
        self._bias = np.empty(model.nv)
        self._jacobian_buffers = np.empty((3, model.nv)), np.empty((3, model.nv))
        self._site = {e.name: model.site(e.site).id for e in spec.end_effectors}
        self.update(np.array(spec.home), np.zeros(self.n))

    def update(self, q: Array, v: Array) -> None:
        """Bring kinematics, mass matrix and bias forces to joint positions q (n,) [rad, m] and velocities v (n,)."""
        model, data = self.model, self.data
        self.q, self.v = q, v
        data.qpos[:] = self.T @ q
        data.qvel[:] = self.T @ v
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_makeM(model, data)
        mujoco.mj_comVel(model, data)
        mujoco.mj_passive(model, data)
        mujoco.mj_rne(model, data, 0, self._bias)
        mujoco.mj_fullM(model, data, self._full_mass)
        self.M = self.T.T @ self._full_mass @ self.T
        # frictionloss is a constraint force in MuJoCo, not part of qfrc_passive
        self.h = self.T.T @ (self._bias - data.qfrc_passive) + self._friction * np.tanh(v / self.FRICTION_BLEND)

    def pose(self, end_effector: str) -> tuple[Array, Array]:
        """World position (3,) [m] and orientation (4,) wxyz of an end effector. Copies."""
        site = self._site[end_effector]
        quat = np.empty(4)
        mujoco.mju_mat2Quat(quat, self.data.site_xmat[site])
        return self.data.site_xpos[site].copy(), quat

    def jacobian(self, end_effector: str) -> Array:
        """World-frame Jacobian (6, n) of an end effector: linear rows, then angular."""
        linear, angular = self._jacobian_buffers
        mujoco.mj_jacSite(self.model, self.data, linear, angular, self._site[end_effector])
        return np.concatenate([linear, angular]) @ self.T

    def jacobian_rate_times_velocity(self, end_effector: str) -> Array:
        """The acceleration (6,) of an end effector at zero joint acceleration."""
        linear, angular = self._jacobian_buffers
        site = self._site[end_effector]
        mujoco.mj_jacDot(
            self.model, self.data, linear, angular, self.data.site_xpos[site], int(self.model.site_bodyid[site])
        )
        return np.concatenate([linear @ self.data.qvel, angular @ self.data.qvel])

    def point_jacobian(self, point: Array, body: int) -> Array:
        """Linear world-frame Jacobian (3, n) of a point fixed to a body."""
        linear, _ = self._jacobian_buffers
        mujoco.mj_jac(self.model, self.data, linear, None, point, body)
        return linear @ self.T


def _actuated_to_all(model: mujoco.MjModel, spec: RobotSpec) -> Array:
    """T (nv, n): how every degree of freedom moves with the actuated ones."""
    T = np.zeros((model.nv, len(spec.joints)))
    for column, joint in enumerate(spec.joints):
        T[model.joint(joint).dofadr[0], column] = 1.0
    for i in range(model.neq):
        if model.eq_type[i] == mujoco.mjtEq.mjEQ_JOINT and model.eq_obj2id[i] >= 0:
            follower = model.jnt_dofadr[model.eq_obj1id[i]]
            leader = model.jnt_dofadr[model.eq_obj2id[i]]
            T[follower] = model.eq_data[i, 1] * T[leader]
    return T
