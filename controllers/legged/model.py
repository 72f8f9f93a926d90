r"""The nominal model of a robot with a free base: what its controllers believe in.

Generalised velocity :math:`\nu = (v_{base}, \omega_{base}, \dot q)`: linear velocity of the base in the world, its
angular velocity in its own frame (MuJoCo's convention for free joints), and the actuated joints, with

.. math:: M \dot\nu + h = S^\top \tau + \sum_i J_i^\top f_i .
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import mujoco
import numpy as np

from robotics.controllers.model import lifted_by_motors
from robotics.controllers.robot_spec import RobotSpec, position_limits, torque_limits, view_of
from robotics.errors import UsageError

Array = np.ndarray


@dataclass(frozen=True)
class LeggedState:
    """What a controller knows of a legged robot: measured, or estimated.

    Attributes:
        position: of the base in the world [m]; `quat` its orientation, wxyz.
        velocity: of the base in the world [m/s]; `angular_velocity` in the base's own frame [rad/s].
        q, v: joint positions [rad] and velocities [rad/s], in the order of `RobotSpec.joints`.
        touch: which feet feel the ground, bool (feet,); None on a robot that can not tell.
    """

    position: Array
    quat: Array
    velocity: Array
    angular_velocity: Array
    q: Array
    v: Array
    touch: Array | None = None

    def is_finite(self) -> bool:
        parts = (self.position, self.quat, self.velocity, self.angular_velocity, self.q, self.v)
        return all_finite(parts)


def all_finite(parts: Sequence[Array]) -> bool:
    """Whether the arrays (…,) hold numbers alone: their sum is none as soon as one entry is none."""
    return math.isfinite(np.add.reduce(np.concatenate(parts)))


class FloatingBaseModel:
    """Kinematics and dynamics at the last `update`. Raises UsageError when `model` lacks what `spec` names."""

    #: Joint speed [rad/s] over which Coulomb friction is blended in, so that it does not chatter at rest.
    FRICTION_BLEND = 0.1

    def __init__(self, model: mujoco.MjModel, spec: RobotSpec) -> None:
        spec.validate(model)
        self.model, self.spec, self.data = model, spec, mujoco.MjData(model)
        base = model.joint(spec.base)
        self._base_q, self._base_body = int(base.qposadr[0]), int(model.jnt_bodyid[base.id])
        self._q = view_of([int(model.joint(j).qposadr[0]) for j in spec.joints])
        joint_dofs = [int(model.joint(j).dofadr[0]) for j in spec.joints]
        dofs = [*range(base.dofadr[0], base.dofadr[0] + 6), *joint_dofs]
        self._dofs = view_of(dofs)
        self._block = (self._dofs, self._dofs) if isinstance(self._dofs, slice) else np.ix_(dofs, dofs)
        data = self.data  # views of its arrays cost less to keep than to ask for
        self._qpos, self._qvel, self._passive = data.qpos, data.qvel, data.qfrc_passive
        self._base_com, self._geom_xpos = data.subtree_com[self._base_body], data.geom_xpos
        self._base_xmat = data.xmat[self._base_body].reshape(3, 3)
        self.n, self.nv = len(spec.joints), 6 + len(spec.joints)
        self._feet = [model.geom(foot).id for foot in spec.feet]
        self._foot_bodies = [int(model.geom_bodyid[foot]) for foot in self._feet]
        self._below = np.zeros((len(self._feet), 3))
        self._below[:, 2] = [-model.geom_size[foot, 0] for foot in self._feet]
        self.torque_lower, self.torque_upper = torque_limits(model, spec.joints)
        self.position_lower, self.position_upper = position_limits(model, spec.joints)
        self.velocity_limit = np.array(spec.velocity_limits)
        self.mass = float(model.body_subtreemass[self._base_body])
        self._friction = model.dof_frictionloss[joint_dofs]
        self._has_friction = bool(self._friction.any())
        self._lifted = lifted_by_motors(model)
        self._full_mass, self._bias = np.empty((model.nv, model.nv)), np.empty(model.nv)
        self._linear, self._angular, self._rate = np.empty((3, len(self._feet), 3, model.nv))
        # Per foot the views that MuJoCo writes into, and its body
        self._written = list(zip(self._linear, self._angular, self._rate, self._foot_bodies, strict=True))
        self.update(self.home())
        self.hips = self._hips()
        self.shoulders, self.leg_length = self._shoulders(), self._leg_length()

    def home(self) -> LeggedState:
        """At rest with the joints at home and the feet on the ground."""
        zero = np.zeros(3)
        joints = np.array(self.spec.home)
        state = LeggedState(zero, np.array([1.0, 0, 0, 0]), zero, zero, joints, np.zeros(len(joints)))
        self.update(state)
        height = float(self.feet[:, 2].mean())
        return LeggedState(np.array([0, 0, -height]), state.quat, zero, zero, joints, state.v)

    def update(self, state: LeggedState) -> None:
        """Bring kinematics, mass matrix, bias forces and foot Jacobians to `state`."""
        self.update_kinematics(state)
        model, data = self.model, self.data
        mujoco.mj_makeM(model, data)
        mujoco.mj_comVel(model, data)
        mujoco.mj_passive(model, data)
        mujoco.mj_rne(model, data, 0, self._bias)
        mujoco.mj_fullM(model, data, self._full_mass)
        self.M = self._full_mass[self._block]
        self.h = (self._bias - self._passive)[self._dofs]
        if self._lifted is not None:
            self.h -= (self._lifted * data.qfrc_gravcomp)[self._dofs]
        if self._has_friction:
            self.h[6:] += self._friction * np.tanh(state.v / self.FRICTION_BLEND)
        self.com = self._base_com.copy()
        #: Velocity (3,) of the centre of mass in the world [m/s]: the first rows of M nu are the linear momentum.
        self.com_velocity = self.M[:3].dot(self.nu) / self.mass

    def update_kinematics(self, state: LeggedState) -> None:
        """Bring no more than the feet, their Jacobians and the base's rotation to `state`."""
        model, data, base = self.model, self.data, self._base_q
        self.state, self.q, self.v = state, state.q, state.v
        self._qpos[base : base + 3], self._qpos[base + 3 : base + 7] = state.position, state.quat
        self._qpos[self._q] = state.q
        self.nu = np.concatenate((state.velocity, state.angular_velocity, state.v))
        self._qvel[self._dofs] = self.nu
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        self.R = self._base_xmat.copy()
        # The point that touches the ground: a round foot rolls, so that its centre moves while it stands
        self.feet = self._geom_xpos.take(self._feet, axis=0) + self._below
        for (linear, angular, _, body), foot in zip(self._written, self.feet, strict=True):
            mujoco.mj_jac(model, data, linear, angular, foot, body)
        #: World-frame linear Jacobians (feet, 3, 6 + n) of the points of the feet that touch the ground.
        self.foot_jacobians = self._linear[:, :, self._dofs]

    def foot_accelerations_at_rest(self) -> Array:
        """Acceleration (feet, 3) of every foot at zero generalised acceleration: dJ/dt nu."""
        for (_, _, rate, body), foot in zip(self._written, self.feet, strict=True):
            mujoco.mj_jacDot(self.model, self.data, rate, None, foot, body)
        rates = self._rate.reshape(-1, self.model.nv)[:, self._dofs].dot(self.nu)
        return rates.reshape(-1, 3)

    def rolling_velocities(self) -> Array:
        """How fast the lowest point of each round foot wanders over the ground as the foot turns: (feet, 3) [m/s]."""
        turning = self._angular[:, :2, self._dofs].dot(self.nu)
        velocities = np.zeros((len(self._feet), 3))
        radius = -self._below[:, 2]  # turning rate times the way up to the centre
        np.multiply(turning[:, 1], radius, out=velocities[:, 0])
        np.multiply(turning[:, 0], -radius, out=velocities[:, 1])
        return velocities

    def composite_inertia(self) -> Array:
        """Rotational inertia (3, 3) of the whole robot about its centre of mass, in the base's frame [kg m^2]."""
        c = self.R.T @ (self.com - self.state.position)
        return self.M[3:6, 3:6] - self.mass * (c @ c * np.eye(3) - np.outer(c, c))

    def _roots(self) -> list[int]:
        """The first body of every leg that has a joint: what is bolted to the base is part of it."""
        parents, joints, roots = self.model.body_parentid.tolist(), self.model.body_jntnum.tolist(), []
        for foot, body in zip(self.spec.feet, self._foot_bodies, strict=True):
            first = 0
            while body not in (0, self._base_body):
                first = body if joints[body] else first
                body = parents[body]
            if not (body and first):
                raise UsageError(
                    f"robot {self.spec.name}: foot '{foot}' hangs on no joint of its base: name other feet"
                )
            roots.append(first)
        return roots

    def _shoulders(self) -> Array:
        """Where each leg begins, in the base's frame at home: (feet, 3) [m]."""
        joints = self.model.body_jntadr[self._roots()]
        return self.data.xanchor[joints] - self.state.position

    def _leg_length(self) -> float:
        """How far the shortest leg reaches from where it begins [m]: the furthest of many postures."""
        rng, state, furthest = np.random.default_rng(0), self.state, np.zeros(len(self._feet))
        joints = self.model.body_jntadr[self._roots()]
        lower = np.where(np.isfinite(self.position_lower), self.position_lower, -np.pi)
        upper = np.where(np.isfinite(self.position_upper), self.position_upper, np.pi)
        for posture in rng.uniform(lower, upper, (300, self.n)):
            self.update_kinematics(replace(state, q=posture))
            legs = self.feet - self.data.xanchor[joints]
            furthest = np.maximum(furthest, np.linalg.norm(legs, axis=1))
        self.update(state)
        return float(furthest.min())

    def _hips(self) -> Array:
        """Where each foot stands under the base at home, in the base's frame: (feet, 2) [m]."""
        return (self.feet - self.state.position)[:, :2].copy()
