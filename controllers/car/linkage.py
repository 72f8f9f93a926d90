"""Which actuated joints turn the front wheels: their own hinges, or a joint that equality constraints tie them to."""

from collections.abc import Callable, Sequence

import mujoco
import numpy as np

from robotics.controllers.robot_spec import joint_actuators
from robotics.errors import UsageError

Array = np.ndarray
Tie = Callable[[Array], Array]


def drivers(model: mujoco.MjModel, hinges: Sequence[str], name: str) -> tuple[str, ...]:
    """The actuated joints: one per hinge in their order, or a single one. Raises UsageError for a hinge without."""
    found = dict.fromkeys(_driver(model, hinge, name) for hinge in hinges)
    if len(found) not in (1, len(hinges)):
        raise UsageError(f"robot {name}: steering hinges {', '.join(hinges)} hang on {len(found)} actuated joints")
    return tuple(found)


def tie(model: mujoco.MjModel, hinge: str, driver: str) -> Tie:
    """Positions of `hinge` as a function of those of `driver`."""
    return (lambda q: q) if hinge == driver else dict(_ties(model, hinge))[driver]


def _driver(model: mujoco.MjModel, hinge: str, name: str) -> str:
    if joint_actuators(model, hinge):
        return hinge
    for other, _ in _ties(model, hinge):
        if joint_actuators(model, other):
            return other
    raise UsageError(
        f"robot {name}: steering hinge '{hinge}' has no actuator; give it a position servo or a motor, "
        "or tie it to a joint that has one by <equality><joint/>"
    )


def _ties(model: mujoco.MjModel, hinge: str) -> list[tuple[str, Tie]]:
    """Joints that `hinge` is tied to, each with its function: q1 - q1_0 = polynomial of q2 - q2_0."""
    joint = model.joint(hinge).id
    ties: list[tuple[str, Tie]] = []
    for number in range(model.neq):
        first, second = int(model.eq_obj1id[number]), int(model.eq_obj2id[number])
        if model.eq_type[number] != int(mujoco.mjtEq.mjEQ_JOINT) or joint not in (first, second) or second < 0:
            continue
        c = model.eq_data[number, :5].copy()
        q1, q2 = (float(model.qpos0[model.jnt_qposadr[j]]) for j in (first, second))
        if joint == first:
            ties.append((model.joint(second).name, _follows(c, q1, q2)))
        elif c[1] and not c[2:].any():
            ties.append((model.joint(first).name, _follows(np.array([-c[0] / c[1], 1 / c[1]]), q2, q1)))
    return ties


def _follows(coefficients: Array, start: float, other: float) -> Tie:
    return lambda q: start + np.polyval(coefficients[::-1], q - other)
