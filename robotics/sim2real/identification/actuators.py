"""Which actuator moves each joint: a position servo or a motor, since a log tells what those were commanded to do."""

import mujoco
import numpy as np

from robotics.errors import UsageError

_DIRECT = (int(mujoco.mjtTrn.mjTRN_JOINT), int(mujoco.mjtTrn.mjTRN_JOINTINPARENT))
_ONE_DOF = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))
_FIXED, _NO_BIAS, _AFFINE = (
    int(mujoco.mjtGain.mjGAIN_FIXED),
    int(mujoco.mjtBias.mjBIAS_NONE),
    int(mujoco.mjtBias.mjBIAS_AFFINE),
)
_STATELESS, _EXACT = int(mujoco.mjtDyn.mjDYN_NONE), int(mujoco.mjtDyn.mjDYN_FILTEREXACT)
#: States of which the commands before a window tell what they were when it began.
_FILTERS = (int(mujoco.mjtDyn.mjDYN_FILTER), _EXACT)


def actuators_of(robot: str, model: mujoco.MjModel) -> tuple[dict[str, int], dict[str, str]]:
    """(joint -> the position servo or motor that moves it, joint -> why what moves it can not be identified).

    A joint's position servo counts before its motor; what else acts on it is commanded to do nothing, as the `velocity`
    actuator is that damps a `position` one.

    Raises UsageError for two of a kind on one joint, for a position servo whose command is not the position of its
    joint, and for an actuator with a state that no command tells.
    """
    found: dict[str, int] = {}
    unknown: dict[str, str] = {}
    for joint, actuators in _by_joint(model).items():
        servos = [a for a in actuators if is_servo(model, a)]
        chosen = servos or [a for a in actuators if _is_motor(model, a)]
        if len(chosen) > 1:
            kind, both = "position servos" if servos else "motors", " and ".join(_name(model, a) for a in chosen[:2])
            raise UsageError(f"robot {robot}: joint '{joint}' has two {kind}, {both}: leave one in the model")
        if not chosen:
            unknown[joint] = (
                f"robot {robot}: actuator {_name(model, actuators[0])} of joint '{joint}' is neither a position servo "
                "nor a motor, which alone can be identified: make it a <motor> and log its torques, or a <position> "
                "and log the positions it is commanded to"
            )
            continue
        if servos:
            _require_no_gear(robot, model, joint, chosen[0])
        _require_known_state(robot, model, joint, chosen[0])
        found[joint] = chosen[0]
    return found, unknown


def _by_joint(model: mujoco.MjModel) -> dict[str, list[int]]:
    """The actuators that act on each hinge or slide directly."""
    found: dict[str, list[int]] = {}
    for actuator in range(model.nu):
        joint = model.actuator_trnid[actuator, 0]
        if int(model.actuator_trntype[actuator]) in _DIRECT and int(model.jnt_type[joint]) in _ONE_DOF:
            found.setdefault(model.joint(joint).name, []).append(actuator)
    return found


def is_servo(model: mujoco.MjModel, actuator: int) -> bool:
    """Whether the command is a position."""
    fixed, affine = model.actuator_gaintype[actuator] == _FIXED, model.actuator_biastype[actuator] == _AFFINE
    return bool(fixed and affine and model.actuator_biasprm[actuator, 1] < 0)


def _is_motor(model: mujoco.MjModel, actuator: int) -> bool:
    """Whether the command is a torque, which the speed may take something off; of a velocity servo it is a speed."""
    if model.actuator_gaintype[actuator] != _FIXED or model.actuator_biastype[actuator] not in (_NO_BIAS, _AFFINE):
        return False
    gain, (_, per_position, per_speed) = model.actuator_gainprm[actuator, 0], model.actuator_biasprm[actuator, :3]
    return bool(per_position == 0 and not (per_speed < 0 and np.isclose(gain, -per_speed)))


def _require_no_gear(robot: str, model: mujoco.MjModel, joint: str, actuator: int) -> None:
    """Behind a gear a servo is commanded to `gear` times the position of the joint, which nothing here would know."""
    gear = float(model.actuator_gear[actuator, 0])
    if gear != 1:
        raise UsageError(
            f"robot {robot}: position servo {_name(model, actuator)} of joint '{joint}' has gear {gear:g}, so that its "
            f"command is not the joint's position: give it gear 1, kp and kv times {gear**2:g}, and its forcerange and "
            "ctrlrange at the joint"
        )


def _require_known_state(robot: str, model: mujoco.MjModel, joint: str, actuator: int) -> None:
    if int(model.actuator_dyntype[actuator]) not in (_STATELESS, *_FILTERS):
        raise UsageError(
            f"robot {robot}: actuator {_name(model, actuator)} of joint '{joint}' has a state that its commands do not "
            "tell, such as their integral, so that no replay could begin with it: give the model a <position> servo, "
            "and the log the positions that it held to"
        )


def _name(model: mujoco.MjModel, actuator: int) -> str:
    return f"'{model.actuator(actuator).name}'" if model.actuator(actuator).name else f"number {actuator}"


def filtered(model: mujoco.MjModel, actuator: int, past: np.ndarray) -> np.ndarray | None:
    """(N,) the state of an actuator after commands (N, n), one per step; None for one without a state.

    Long before, it had settled at the first of them.
    """
    if int(model.actuator_dyntype[actuator]) not in _FILTERS:
        return None
    step, constant = float(model.opt.timestep), max(float(model.actuator_dynprm[actuator, 0]), mujoco.mjMINVAL)
    part = 1 - np.exp(-step / constant) if int(model.actuator_dyntype[actuator]) == _EXACT else step / constant
    if model.actuator_ctrllimited[actuator]:
        past = np.clip(past, *model.actuator_ctrlrange[actuator])
    low, high = model.actuator_actrange[actuator] if model.actuator_actlimited[actuator] else (-np.inf, np.inf)
    late = int(np.ceil(model.actuator_delay[actuator] / step - 1e-6))  # what the actuator's own delay still holds back
    state = past[:, 0]
    for command in past[:, : past.shape[1] - late].T:
        state = np.clip(state + part * (command - state), low, high)
    return state


def hold(model: mujoco.MjModel, data: mujoco.MjData, actuator: int, command: float) -> None:
    """Set the state and the delay of an actuator as if it had been commanded to this for long."""
    if model.actuator_actadr[actuator] >= 0:
        data.act[model.actuator_actadr[actuator]] = command
    if model.actuator_historyadr[actuator] >= 0:
        count = int(model.actuator_history[actuator, 0])
        mujoco.mj_initCtrlHistory(model, data, actuator, None, np.full((count, 1), command))
