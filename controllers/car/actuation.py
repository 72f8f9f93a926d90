r"""Wheel torques and steering angles through whatever actuators a car's model has.

An affine actuator gives :math:`f = k\,u + b_0 + b_1 l + b_2 \dot l` at its length l (see
`robotics.controllers.motors`). One on a wheel's joint, or on a tendon that runs over several wheels, is asked for the
force that makes their torques; a position servo of the steering is sent to its angle, and any other actuator of it
closes such a loop here.
"""

from collections.abc import Sequence

import mujoco
import numpy as np

from robotics.controllers.motors import affine_laws
from robotics.controllers.robot_spec import force_range, joint_actuators, torque_limits
from robotics.errors import UsageError

Array = np.ndarray

#: A steering motor gives all it has at this error [rad], unless that is faster than `STIFFEST` [rad/s] allows; what
#: tyres that scrub leave of an error is gone in about `PATIENCE` [s].
FULL_TORQUE_AT, STIFFEST, PATIENCE = 0.03, 120.0, 0.1


class WheelMotors:
    """The actuators of the wheels, each wheel's first. Raises UsageError for one without a limit of its force."""

    def __init__(self, model: mujoco.MjModel, wheels: Sequence[str], name: str) -> None:
        ids = [model.joint(wheel).id for wheel in wheels]
        self._q, self._v = model.jnt_qposadr[ids], model.jnt_dofadr[ids]
        served: set[int] = set()
        chosen: list[int] = []
        rows: list[Array] = []
        for actuator in range(model.nu):
            moment = _moment(model, actuator, ids)
            if moment is not None and served.isdisjoint(np.flatnonzero(moment).tolist()):
                served.update(np.flatnonzero(moment).tolist())
                chosen.append(actuator)
                rows.append(moment)
        if not chosen:
            raise UsageError(
                f"robot {name}: none of its wheels has an actuator ({', '.join(wheels)}): give some a motor"
            )
        self._actuators, self._moment = np.array(chosen), np.array(rows)  # (a,), (a, 4)
        for actuator in chosen:
            if int(model.actuator_dyntype[actuator]) != mujoco.mjtDyn.mjDYN_NONE:
                which = model.actuator(actuator).name
                raise UsageError(f"robot {name}: actuator '{which}' has dynamics of its own; give the wheel a motor")
        # least squares: a tendon over several wheels splits their sum in its own way
        self._gather = self._moment / (self._moment**2).sum(axis=1)[:, None]
        self._gain, self._bias = affine_laws(model, chosen)
        self.limits = self._limits(model, wheels, name)
        self.top_speed = self._top_speed(model)

    def split(self, torque: Array) -> Array:
        """What the wheels really get when these torques (4,) are wanted."""
        return self._moment.T @ (self._gather @ torque)

    def apply(self, data: mujoco.MjData, torque: Array) -> None:
        """Set the commands that give `torque` (4,) [N m] about the wheels' axes now."""
        force = self._gather @ torque
        length, speed = self._moment @ data.qpos[self._q], self._moment @ data.qvel[self._v]
        bias = self._bias[:, 0] + self._bias[:, 1] * length + self._bias[:, 2] * speed
        data.ctrl[self._actuators] = (force - bias) / self._gain

    def _limits(self, model: mujoco.MjModel, wheels: Sequence[str], name: str) -> Array:
        """The torque that each wheel can get to either side (4,) [N m]; 0 where nothing drives it."""
        ranges = [
            force_range(model, actuator, plain=not bias.any())
            for actuator, bias in zip(self._actuators, self._bias, strict=True)
        ]
        forces = np.abs(ranges).min(axis=1)
        with np.errstate(invalid="ignore"):
            torque = np.nansum(np.abs(self._moment) * forces[:, None], axis=0)  # 0 * inf is a wheel not driven
        for number, wheel in enumerate(wheels):
            joint = model.joint(wheel).id
            if model.jnt_actfrclimited[joint]:
                torque[number] = min(torque[number], np.abs(model.jnt_actfrcrange[joint]).min())
        unlimited = [wheel for wheel, most in zip(wheels, torque, strict=True) if not np.isfinite(most)]
        if unlimited:
            raise UsageError(
                f"robot {name}: wheels without torque limit: {', '.join(unlimited)}; set forcerange on their "
                "actuators, or give torque_limits"
            )
        return torque

    def _top_speed(self, model: mujoco.MjModel) -> Array:
        """How fast velocity servos turn each wheel (4,) [rad/s]; infinite where nothing says."""
        fastest = np.full(self._moment.shape[1], np.inf)
        for row, actuator in enumerate(self._actuators):
            if model.actuator_ctrllimited[actuator] and self._bias[row, 2] < 0:
                most = np.abs(model.actuator_ctrlrange[actuator]).min() * self._gain[row] / -self._bias[row, 2]
                on = self._moment[row] != 0
                fastest[on] = most / np.abs(self._moment[row]).sum()
        return fastest


def _moment(model: mujoco.MjModel, actuator: int, joints: Sequence[int]) -> Array | None:
    """Torque on each of the joints per force of the actuator (4,); None for one that moves something else."""
    moment, gear = np.zeros(len(joints)), float(model.actuator_gear[actuator, 0])
    kind, target = int(model.actuator_trntype[actuator]), int(model.actuator_trnid[actuator, 0])
    on: list[tuple[int, float]] = []
    if kind in (int(mujoco.mjtTrn.mjTRN_JOINT), int(mujoco.mjtTrn.mjTRN_JOINTINPARENT)):
        on = [(target, 1.0)]
    elif kind == int(mujoco.mjtTrn.mjTRN_TENDON):
        wraps = range(model.tendon_adr[target], model.tendon_adr[target] + model.tendon_num[target])
        if any(model.wrap_type[w] != int(mujoco.mjtWrap.mjWRAP_JOINT) for w in wraps):
            return None
        on = [(int(model.wrap_objid[w]), float(model.wrap_prm[w])) for w in wraps]
    if not on or any(joint not in joints for joint, _ in on):
        return None
    for joint, coefficient in on:
        moment[joints.index(joint)] = gear * coefficient
    return moment


class SteeringActuators:
    """The first actuator of each steering joint, told where the joint shall be."""

    def __init__(self, model: mujoco.MjModel, joints: Sequence[str]) -> None:
        self._actuators = np.array([joint_actuators(model, joint)[0] for joint in joints])
        ids, chosen = [model.joint(joint).id for joint in joints], self._actuators
        self._q, self._v = model.jnt_qposadr[ids], model.jnt_dofadr[ids]
        (gain, bias), gear = affine_laws(model, chosen), model.actuator_gear[chosen, 0]
        self._servo = bias[:, 1] < 0
        self._per_angle, self._offset = -bias[:, 1] / gain * gear, bias[:, 0] / gain  # of servos
        self._per_torque, self._back = 1 / (gear * gain), bias[:, 2] / gain * gear  # of the others
        # about its own axis, with all that hangs on it: what a loop of the others has to move
        inertia = 1 / model.dof_invweight0[self._v]
        self._limits = torque_limits(model, joints)
        most = np.abs(self._limits).min(axis=0)
        self._stiffness = np.minimum(most / FULL_TORQUE_AT, inertia * STIFFEST**2)
        self._damping = 2 * np.sqrt(self._stiffness * inertia)
        self._held, self._step = np.zeros(len(ids)), model.opt.timestep / PATIENCE

    def apply(self, data: mujoco.MjData, positions: Array) -> None:
        """Set the commands that bring the joints to `positions` (n,) [rad]. Once a step of the physics."""
        targets = self._per_angle * positions - self._offset
        if self._servo.all():
            data.ctrl[self._actuators] = targets
            return
        error, speed = positions - data.qpos[self._q], data.qvel[self._v]
        self._held = np.clip(self._held + self._step * self._stiffness * error, *self._limits)
        torque = np.clip(self._stiffness * error - self._damping * speed + self._held, *self._limits)
        command = self._per_torque * torque - self._offset - self._back * speed
        data.ctrl[self._actuators] = np.where(self._servo, targets, command)
