"""The expert as a teacher: told what only a simulation knows, where a world is not the nominal one.

Who demonstrates in a simulation may know all of it (teacher and student: Lee et al., "Learning Quadrupedal Locomotion
over Challenging Terrain", 2020). Its student sees what the sensors say, and learns to act ahead of what it sees.
"""

import copy
from typing import Any

import gymnasium as gym
import mujoco

from robotics.controllers.motors import servo_gains
from robotics.envs.base import Array, MujocoTask, Observation
from robotics.envs.state import SerialState

#: MjModel fields that tell of the robot, and of the size of things. What a world adds to a scene comes behind the rest.
_TOLD = (
    *("actuator_gainprm", "actuator_biasprm", "actuator_forcerange"),
    *("body_mass", "body_inertia", "body_ipos", "body_iquat"),
    *("dof_damping", "dof_frictionloss", "dof_armature"),
    "geom_size",
)


class Teacher:
    """The expert of `env`, which knows the robot and the size of things, and sees the truth at the moment when its next
    action arrives. Where `env` is nominal, nothing errs and nothing is late, it is the expert and no more.

    An expert that believed in the nominal robot would wait for ever where a payload, or an encoder that errs, keeps its
    hand from where it wants it. It is told what `env` holds now: make it when that has been reset. It is not told of
    contacts, nor of wear: play, and friction beyond the constant one. Chance is not foreseen: actions are as late as
    they are on average. Experts of legs, which answer at every step to where the robot is, make use of its servos'
    stiffness and damping alone.
    """

    def __init__(self, env: gym.Env) -> None:
        self._env, task = env, env.unwrapped
        self._foresight: Foresight | None = None
        if isinstance(task, MujocoTask) and task.altered is not None:
            task.believed = copy.copy(task.believed)
            for field in _TOLD:
                told = getattr(task.believed, field)
                told[:] = getattr(task.model, field)[: len(told)]
            if task.signals is not None:
                stiffness, _ = servo_gains(task.believed)
                task.believed.actuator_biasprm[:, 0] -= stiffness * task.signals.misread
                self._foresight = Foresight(task)
        self._expert: Any = task.expert()  # type: ignore[attr-defined]

    def reset(self) -> None:
        """Forget the last episode; the environment has just been reset."""
        self._expert.reset(self._env)

    def act(self, observation: Observation) -> Array:
        """The action now, in the state of the environment that was observed."""
        return self._expert.act(observation if self._foresight is None else self._foresight.see(observation))

    def watch(self) -> None:
        """Somebody else has acted."""
        if hasattr(self._expert, "resume"):
            self._expert.resume()

    def take_over(self) -> None:
        """Begin where somebody else has brought the robot, moving on if the expert can."""
        if hasattr(self._expert, "resume"):
            self._expert.resume()
        else:
            self.reset()


class Foresight:
    """What will be seen of `task` when an action that is sent now arrives."""

    def __init__(self, task: MujocoTask) -> None:
        self._task, self._ahead = task, mujoco.MjData(task.model)
        assert task.altered is not None and task.signals is not None
        self._signals = task.signals
        self._state = SerialState(task.model, self._ahead, *task.used_fields([task.altered]))

    def see(self, observation: Observation) -> Observation:
        """`observation` of now, foreseen but for its images."""
        task, state = self._task, self._task.state
        pending, late_s = self._signals.pending()
        late = round(late_s / task.model.opt.timestep)
        if task.executor is None and (pending or late):  # a controller inside the step sees the truth by itself
            try:
                self._pass(pending, late)
            except mujoco.FatalError:  # it breaks in due time
                return observation
            state = self._state
        return {**observation, **{key: values[0] for key, values in task.seen(state).items()}}

    def _pass(self, pending: list[Array], late: int) -> None:
        """Let the time pass until then: the control steps of actions that were sent, then `late` physics steps."""
        task, ahead = self._task, self._ahead
        mujoco.mj_copyData(ahead, task.model, task.data)
        for action in pending:
            task.disturb(self._state)
            ahead.ctrl[:] = task.controls(action[None], ahead.ctrl[None])[0] - self._signals.misread
            mujoco.mj_step(task.model, ahead, nstep=task.substeps)
        if late:
            mujoco.mj_step(task.model, ahead, nstep=late)
