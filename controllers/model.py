r"""The controller's own model of the robot.

It is never the simulator's: what the nominal model does not know (payloads, randomised friction) the controller must
feel through its errors, as on a real robot.

Controllers work in *actuated coordinates*: one per joint of `RobotSpec.joints`. Joints that follow another one by an
equality (the second finger of a gripper) are eliminated by :math:`\dot q = T v`, so that

.. math:: M v' + h = \tau,\quad M = T^\top M_q T,\quad h = T^\top (c - \tau_{passive})

holds with one torque per actuated joint.
"""

from collections.abc import Iterable

import mujoco
import numpy as np

from robotics.controllers.motors import servo_damping
from robotics.controllers.robot_spec import RobotSpec, position_limits, torque_limits, view_of
from robotics.controllers.rotation import cross_matrix
from robotics.errors import UsageError

Array = np.ndarray


class NominalModel:
    """Kinematics and dynamics of a fixed-base robot at the last `update`. 10 to 25 microseconds an update.

    Products of small arrays are written `.dot` wherever ticks come by: it costs half a microsecond, `@` one.

    Joints that `spec` does not name (loose objects, a gripper that others close) stay where the model starts them.
    Raises UsageError when `model` lacks what `spec` names.
    """

    #: Joint speed [rad/s] over which Coulomb friction is blended in, so that it does not chatter at rest.
    FRICTION_BLEND = 0.05

    def __init__(self, model: mujoco.MjModel, spec: RobotSpec) -> None:
        spec.validate(model)
        self.model, self.spec, self.data = model, spec, mujoco.MjData(model)
        self.n = len(spec.joints)
        self.T = _actuated_to_all(model, spec)
        #: Lowest and highest torque (2, n), and each by itself (n,).
        self.torque_range = torque_limits(model, spec.joints)
        self.torque_lower, self.torque_upper = self.torque_range
        self.position_lower, self.position_upper = position_limits(model, spec.joints)
        self.velocity_limit = np.array(spec.velocity_limits)
        moving = np.flatnonzero(self.T.any(axis=1))
        addresses = model.jnt_qposadr[model.dof_jntid[moving]]
        self._addresses, self._T_moving = view_of(addresses.tolist()), self.T[moving]
        # MuJoCo couples joints by how far each is from where the model starts it
        start = np.array([model.qpos0[model.joint(j).qposadr[0]] for j in spec.joints])
        self._offset = model.qpos0[addresses] + _shifts(model, spec)[moving] - self._T_moving @ start
        data = self.data  # views of its arrays cost less to keep than to ask for
        self._qpos, self._qvel, self._passive = data.qpos, data.qvel, data.qfrc_passive
        self._site_xpos, self._site_xmat = data.site_xpos, data.site_xmat
        self._friction = np.abs(self.T).T @ model.dof_frictionloss  # it brakes whichever way a follower turns
        self._has_friction = bool(self._friction.any())
        self._sprung = bool(model.tendon_stiffness.any() or model.tendon_damping.any())
        self._lifted = lifted_by_motors(model)
        self._felt: Array | None = None
        self._full_mass = np.empty((model.nv, model.nv))
        self._bias = np.empty(model.nv)
        self._jacobian = np.empty((6, model.nv))  # one block: MuJoCo writes its two halves, we read the whole
        self._halves = self._jacobian[:3], self._jacobian[3:]
        self._site = {e.name: model.site(e.site).id for e in spec.end_effectors}
        self._site_body = {e.name: int(model.site_bodyid[model.site(e.site).id]) for e in spec.end_effectors}
        self.update(np.array(spec.home), np.zeros(self.n))

    def update(self, q: Array, v: Array) -> None:
        """Bring kinematics, mass matrix and bias forces to joint positions q (n,) [rad, m] and velocities v (n,)."""
        model, data = self.model, self.data
        self.q, self.v = q, v
        self._qpos[self._addresses] = self._T_moving.dot(q) + self._offset
        np.dot(self.T, v, out=self._qvel)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_makeM(model, data)
        mujoco.mj_comVel(model, data)
        if self._sprung:
            self._pull_tendons()
        mujoco.mj_passive(model, data)
        mujoco.mj_rne(model, data, 0, self._bias)
        mujoco.mj_fullM(model, data, self._full_mass)
        self.M = self.T.T.dot(self._full_mass).dot(self.T)
        if self._felt is not None:
            self.M += self._felt
        # frictionloss is a constraint force in MuJoCo, not part of qfrc_passive
        self.h = (self._bias - self._passive).dot(self.T)
        if self._has_friction:
            self.h += self.friction(v, self.FRICTION_BLEND)
        if self._lifted is not None:
            self.h -= (self._lifted * data.qfrc_gravcomp).dot(self.T)

    def _pull_tendons(self) -> None:
        """Lengths and speeds of the tendons, for their springs and dampers."""
        model, data = self.model, self.data
        mujoco.mj_tendon(model, data)
        for tendon in range(model.ntendon):
            begin = int(model.ten_J_rowadr[tendon])
            row = slice(begin, begin + int(model.ten_J_rownnz[tendon]))
            data.ten_velocity[tendon] = data.ten_J[row] @ self._qvel[model.ten_J_colind[row]]

    def hold(self, period_s: float) -> None:
        """From now on torques are held for `period_s` [s], and the mass matrix says what they move by its end.

        A joint that speeds up meets more damping by then: it feels like inertia. Of light joints with geared motors it
        is most of it (the last joint of a ViperX: 60 % at 2 ms). So does a servo that gives the torque, for as long as
        its command is held.
        """
        model = self.model
        damping = np.einsum("ki,k,kj->ij", self.T, np.asarray(model.dof_damping).reshape(model.nv), self.T)
        self._felt = period_s * damping + np.diag(model.opt.timestep * servo_damping(model, self.spec.joints))

    def friction(self, v: Array, blend: float) -> Array:
        """Coulomb friction (n,) at joint velocities v (n,), blended in over the speed `blend` [rad/s, m/s]."""
        return self._friction * np.tanh(v / blend)

    def move(self, q: Array) -> None:
        """Bring kinematics alone to joint positions q (n,): poses and Jacobians, for looking ahead."""
        self.q = q
        self._qpos[self._addresses] = self._T_moving @ q + self._offset
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)

    def pose(self, end_effector: str) -> tuple[Array, Array]:
        """World position (3,) [m] and orientation (4,) wxyz of an end effector. Copies."""
        site = self._site[end_effector]
        quat = np.empty(4)
        mujoco.mju_mat2Quat(quat, self._site_xmat[site])
        return self._site_xpos[site].copy(), quat

    def jacobian(self, end_effector: str, out: Array | None = None) -> Array:
        """World-frame Jacobian (6, n) of an end effector: linear rows, then angular."""
        linear, angular = self._halves
        mujoco.mj_jacSite(self.model, self.data, linear, angular, self._site[end_effector])
        return self._jacobian.dot(self.T, out)

    def jacobian_rate_times_velocity(self, end_effector: str) -> Array:
        """The acceleration (6,) of an end effector at zero joint acceleration."""
        linear, angular = self._halves
        position = self._site_xpos[self._site[end_effector]]
        mujoco.mj_jacDot(self.model, self.data, linear, angular, position, self._site_body[end_effector])
        return self._jacobian.dot(self._qvel)

    def point_jacobian(self, point: Array, body: int) -> Array:
        """Linear world-frame Jacobian (3, n) of a point fixed to a body."""
        linear, _ = self._halves
        mujoco.mj_jac(self.model, self.data, linear, None, point, body)
        return linear @ self.T

    def course(self, geom: int) -> Array:
        """Where a geom is and how it moves at zero joint acceleration, (3, 12): pose, its rate, and the rate of that.

        Each is a position (3,) and a rotation matrix (9,), row by row. Only after `update`.
        """
        data, body, velocity = self.data, int(self.model.geom_bodyid[geom]), np.empty(6)
        mujoco.mj_objectVelocity(self.model, data, mujoco.mjtObj.mjOBJ_GEOM, geom, velocity, 0)
        linear, angular = self._halves
        mujoco.mj_jacDot(self.model, data, linear, angular, data.geom_xpos[geom], body)
        acceleration = self._jacobian.dot(self._qvel)
        spin, axes, course = cross_matrix(velocity[:3]), data.geom_xmat[geom].reshape(3, 3), np.empty((3, 12))
        turning = spin.dot(axes)
        course[0, :3], course[1, :3], course[2, :3] = data.geom_xpos[geom], velocity[3:], acceleration[:3]
        course[:, 3:] = (
            axes.ravel(),
            turning.ravel(),
            (cross_matrix(acceleration[3:]).dot(axes) + spin.dot(turning)).ravel(),
        )
        return course


def _actuated_to_all(model: mujoco.MjModel, spec: RobotSpec) -> Array:
    """T (nv, n): how every degree of freedom moves with the actuated ones."""
    T = np.zeros((model.nv, len(spec.joints)))
    for column, joint in enumerate(spec.joints):
        T[model.joint(joint).dofadr[0], column] = 1.0
    for follower, leader, line in _followers(model, spec):
        if line[2:].any() and (T[follower].any() or T[leader].any()):
            name = model.joint(int(model.dof_jntid[follower])).name
            raise UsageError(f"robot {spec.name}: joint '{name}' follows another one by a curve: give a straight line")
        T[follower] = line[1] * T[leader]
    return T


def _shifts(model: mujoco.MjModel, spec: RobotSpec) -> Array:
    """(nv,) how far a joint that follows another is from where the model starts it when that one is there [rad, m]."""
    shifts = np.zeros(model.nv)
    for follower, leader, line in _followers(model, spec):
        shifts[follower] = line[0] + line[1] * shifts[leader]
    return shifts


def _followers(model: mujoco.MjModel, spec: RobotSpec) -> list[tuple[int, int, Array]]:
    """`couplings` by degree of freedom."""
    found = couplings(model, [model.joint(joint).id for joint in spec.joints])
    return [(int(model.jnt_dofadr[first]), int(model.jnt_dofadr[second]), line) for first, second, line in found]


def lifted_by_motors(model: mujoco.MjModel) -> Array | None:
    """Whether each degree of freedom (nv,) has its gravity compensated by its motor, beside what the motor is told;
    None where none has."""
    lifted = model.jnt_actgravcomp[model.dof_jntid].astype(bool)
    return lifted if model.flg_gravcomp and lifted.any() else None


def couplings(model: mujoco.MjModel, known: Iterable[int]) -> list[tuple[int, int, Array]]:
    """Joints that follow another one by an equality: (follower, leader, coefficients (5,) of its polynomial).

    Where one of the joints `known` is written as if it followed another one by a straight line, that one follows.
    """
    known, found = set(known), []
    for i in range(model.neq):
        if model.eq_type[i] != mujoco.mjtEq.mjEQ_JOINT or model.eq_obj2id[i] < 0 or not model.eq_active0[i]:
            continue
        follower, leader, line = int(model.eq_obj1id[i]), int(model.eq_obj2id[i]), model.eq_data[i, :5]
        if follower in known and leader not in known and line[1] and not line[2:].any():
            follower, leader = leader, follower
            line = np.array([-line[0] / line[1], 1 / line[1], 0, 0, 0])
        if leader in known:
            known.add(follower)
        found.append((follower, leader, line))
    return found
