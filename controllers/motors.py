r"""Joint torques through whatever actuators a model has: motors as they are, position and velocity servos inverted.

An affine actuator gives :math:`f = k\,u + b_0 + b_1 l + b_2 \dot l` at its length :math:`l = g\,q`, and the joint feels
:math:`\tau = g f`; so :math:`u = (\tau / g - b_0 - b_1 l - b_2 \dot l) / k` makes it give the torque wanted.
"""

from collections.abc import Sequence

import mujoco
import numpy as np

from robotics.controllers.robot_spec import joint_actuators
from robotics.errors import UsageError

Array = np.ndarray


def aimed(q: Array, v: Array, torque: Array, stiffness: Array | float, damping: Array | float, held_s: float) -> Array:
    """Targets (n,) of position servos that are held for `held_s`: on the way that joints will have gone by half of it,
    the torque of a servo is the planned one."""
    return q + v * (held_s / 2) + (torque + damping * v) / stiffness


def affine_laws(model: mujoco.MjModel, actuators: Sequence[int] | Array) -> tuple[Array, Array]:
    """k (n,) and b (n, 3) of the actuators; b is zero for plain motors, whose parameters for it mean nothing."""
    bias = model.actuator_biasprm[actuators, :3].copy()
    bias[model.actuator_biastype[actuators] == int(mujoco.mjtBias.mjBIAS_NONE)] = 0.0
    return model.actuator_gainprm[actuators, 0], bias


def servo_gains(model: mujoco.MjModel) -> tuple[Array, Array]:
    """Stiffness [N m/rad] and damping [N m s/rad] (nu,) of a model whose actuators all are position servos."""
    stiffness, bias = affine_laws(model, range(model.nu))
    return stiffness, -bias[:, 2]


def servo_zeros(model: mujoco.MjModel) -> Array:
    """What position servos must be told where their joints are at 0 (nu,) [rad, m]; away from 0, they read wrongly."""
    stiffness, bias = affine_laws(model, range(model.nu))
    return -bias[:, 0] / stiffness


def servo_damping(model: mujoco.MjModel, joints: Sequence[str]) -> Array:
    """How much torque the servo of each joint takes back as it speeds up (n,) [N m s/rad]; 0 of motors."""
    first = [(joint_actuators(model, joint) or [-1])[0] for joint in joints]
    affine = int(mujoco.mjtBias.mjBIAS_AFFINE)
    return np.array(
        [
            -model.actuator_biasprm[a, 2] * model.actuator_gear[a, 0] ** 2
            if a >= 0 and model.actuator_biastype[a] == affine
            else 0.0
            for a in first
        ]
    )


class Motors:
    """The actuator of every joint, told what to do so that it gives a torque.

    Raises UsageError naming a joint without actuator, with several, or with one that has dynamics of its own. Servos
    lose the range of their command in `model`: their force is what limits them.
    """

    def __init__(self, model: mujoco.MjModel, joints: Sequence[str]) -> None:
        chosen = []
        for joint in joints:
            actuators = joint_actuators(model, joint)
            if not actuators:
                raise UsageError(f"joint '{joint}' has no actuator; give it a motor or a position servo")
            if len(actuators) > 1:
                named = ", ".join(f"'{model.actuator(a).name or a}'" for a in actuators)
                raise UsageError(f"joint '{joint}' has {len(actuators)} actuators ({named}) that would fight: keep one")
            chosen.append(actuators[0])
            if int(model.actuator_dyntype[actuators[0]]) != mujoco.mjtDyn.mjDYN_NONE:
                raise UsageError(f"the actuator of joint '{joint}' has dynamics of its own; give it a motor or a servo")
        self._actuators = np.array(chosen)
        self._gear = model.actuator_gear[chosen, 0]
        self._gain, self._bias = affine_laws(model, chosen)
        plain = model.actuator_biastype[chosen] == int(mujoco.mjtBias.mjBIAS_NONE)
        model.actuator_ctrllimited[self._actuators[~plain]] = 0

    def apply(self, data: mujoco.MjData, torque: Array, q: Array, v: Array) -> None:
        """Set the commands that give `torque` (n,) [N m] at joint positions and velocities q, v (n,)."""
        bias = self._bias[:, 0] + self._gear * (self._bias[:, 1] * q + self._bias[:, 2] * v)
        data.ctrl[self._actuators] = (torque / self._gear - bias) / self._gain
