"""Names of the joints behind the numbers of an action or a state, which LeRobot keeps beside a column's shape."""

from typing import Any

import gymnasium as gym
import mujoco

from robotics.vocabulary import ACTION, STATE


def joint_names(env: gym.Env) -> dict[str, list[str]]:
    """Column -> names, where a task of ours announces one number for each joint of its robot and nothing else.

    That is an action in mode `joint` each of whose numbers goes to the servo of a joint, and a `state` of positions
    alone. Empty for other environments, and where anything else is among the numbers.
    """
    task: Any = env.unwrapped
    joints = list(getattr(getattr(task, "SPEC", None), "joints", ()))
    if not joints or not isinstance(getattr(task, "believed", None), mujoco.MjModel):
        return {}
    names, one_each = {}, (len(joints),)
    if task.action_mode == "joint" and task.action_space.shape == one_each and _driven(task.believed) == joints:
        names[ACTION] = joints
    state = task.observation_space.spaces.get("state")
    if hasattr(task, "joints_in") and state is not None and state.shape == one_each:  # it tells them all, so only them
        names[STATE] = joints
    return names


def _driven(model: mujoco.MjModel) -> list[str]:
    """What each actuator moves: the joint, or '' for something else."""
    on_joints = model.actuator_trntype == int(mujoco.mjtTrn.mjTRN_JOINT)
    targets = zip(model.actuator_trnid[:, 0], on_joints, strict=True)
    return [model.joint(int(target)).name if on_joint else "" for target, on_joint in targets]
