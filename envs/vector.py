"""Many copies of one task as a Gymnasium vector environment, stepped natively by `mujoco.batch.Batch`.

Bit-identical to as many serial environments, for any number of threads: the task's own functions judge and observe all
copies at once, each copy has its own generator, and `Batch` steps as `mj_step` does.
"""

import operator
import os
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from mujoco.batch import Batch, SimulationError

from robotics.envs.base import DIVERGED, UNSTABLE, Array, Judgement, MujocoTask, Observation, nominal_values
from robotics.envs.copies import adapt_to_copy, scenes_of, spread
from robotics.envs.eyes import EyePool
from robotics.envs.state import BatchState, Simulation
from robotics.envs.worlds import SensedState, Signals, World
from robotics.errors import UsageError, unknown_name

_NO_STAGE = int(mujoco.mjtStage.mjSTAGE_NONE)


class VectorTask(gym.vector.VectorEnv[Observation, Array, Array]):
    """`num_envs` copies of the task `kind`.

    Args:
        kind: the class of the task; `**kwargs` go to it, as to the serial environment.
        max_episode_steps: episodes are truncated there, as by Gymnasium's TimeLimit.
        autoreset_mode: "NextStep", "SameStep" or "Disabled", as of Gymnasium's own vector environments.
        threads: for stepping and for rendering; 0 for as many as there are cores.
        worlds: one for each copy, in place of the one `world` of all of them.
    """

    def __init__(
        self,
        kind: type[MujocoTask],
        num_envs: int = 1,
        max_episode_steps: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        threads: int = 0,
        worlds: Sequence[World] = (),
        **kwargs: Any,
    ) -> None:
        if operator.index(num_envs) < 1:
            raise UsageError(f"num_envs must be 1 or more, not {num_envs}")
        if operator.index(threads) < 0:
            raise UsageError(f"threads must be 0 (all cores) or more, not {threads}")
        modes = [mode.value for mode in AutoresetMode]
        if not isinstance(autoreset_mode, AutoresetMode) and autoreset_mode not in modes:
            raise unknown_name("autoreset mode", str(autoreset_mode), modes)
        if worlds and (len(worlds) != num_envs or kwargs.get("world") is not None):
            raise UsageError(f"{len(worlds)} worlds for {num_envs} copies: give one for each, and no other world")
        if max_episode_steps is not None and max_episode_steps < 1:
            raise UsageError(f"max_episode_steps {max_episode_steps}: an episode has one step or more")
        self.num_envs, self.autoreset_mode = num_envs, AutoresetMode(autoreset_mode)
        self.prototype = task = kind(**kwargs)
        self.metadata = {**task.metadata, "autoreset_mode": self.autoreset_mode}
        self.render_mode = task.render_mode
        self.single_action_space, self.single_observation_space = task.action_space, task.observation_space
        self.action_space = batch_space(task.action_space, num_envs)
        self.observation_space = batch_space(task.observation_space, num_envs)
        self._threads = min(threads or len(os.sched_getaffinity(0)), num_envs)
        #: The scene of each copy, where it is another one than the task's own.
        self._scenes = scenes_of(task, worlds) if worlds else [task.altered] * num_envs if task.altered else []
        models = [scene.model for scene in self._scenes] or [task.model] * num_envs
        self.batch = Batch(models[0], num_envs, self._threads)
        if worlds:
            spread(self.batch, self._scenes)
        fields, parameters = task.used_fields(self._scenes)
        for field in parameters:
            self.batch.expand(field)
        self.state = BatchState(self.batch, fields, parameters)
        self._simulations = [Simulation(self.state, index) for index in range(num_envs)]
        self._nominal = [nominal_values(model, parameters) for model in models] if worlds else [task.nominal] * num_envs
        self._adapted = bool(worlds or task.RANDOMISED)
        #: Copies whose own world errs or is late; the others have signals only where these have.
        self._errs = [scene.signals() is not None for scene in self._scenes]
        signals = [scene.signals(idle=True) for scene in self._scenes] if any(self._errs) else []
        self._signals: list[Signals] = [one for one in signals if one is not None]  # all or none
        first = task.make_executor()
        self._executors = [] if first is None else [first] + [task.make_executor() for _ in range(num_envs - 1)]
        self._limit = np.inf if max_episode_steps is None else max_episode_steps
        self._generators: list[np.random.Generator | None] = [None] * num_envs
        self._seeded = [0] * num_envs  # what each was made from
        self._held, self._elapsed = np.zeros(num_envs, np.int64), np.zeros(num_envs, np.int64)
        #: Copies whose episode is over; copies that have ever been reset and whose last reset was not refused.
        self._done, self._begun = np.ones(num_envs, bool), np.zeros(num_envs, bool)
        self._all, self._none = np.ones(num_envs, bool), np.zeros(num_envs, bool)
        #: Copies whose images are rendered, bool (num_envs,); those of the others are black. None renders all. Pictures
        #: cost more than physics, and a policy that executes chunks looks at few of them.
        self.watched: Array | None = None
        self._eyes: EyePool | None = None
        self._film: EyePool | None = None

    # -- Gymnasium ----------------------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """New episodes everywhere, or where `options={"reset_mask": bool (num_envs,)}` says; copy k is seeded with
        seed + k, or with seed[k]. Other options go to the task."""
        options = dict(options or {})
        mask = self._mask(options.pop("reset_mask")) if "reset_mask" in options else self._all
        self._reset(mask, self._seeds(seed), options)
        terms = self.prototype.terms(self.state)
        return self._observation(), self._info({"success": self._none, **terms}, mask)

    def step(self, actions: Array) -> tuple[Observation, Array, Array, Array, dict[str, Any]]:
        """One control step of every copy; in NEXT_STEP mode a reset instead, where the last step ended an episode."""
        resets = self._done
        stuck = resets & ~self._begun if self.autoreset_mode == AutoresetMode.NEXT_STEP else resets
        if stuck.any():
            finished = np.flatnonzero(stuck).tolist()
            raise gym.error.ResetNeeded(f"{self._name}: environments {finished} must be reset before they are stepped")
        assert self.action_space.shape is not None
        values = self.prototype.checked(actions, self.action_space.shape, self._name, ~resets)
        faults = self._advance(values, None if not resets.any() else np.flatnonzero(~resets))
        faulty = np.zeros(self.num_envs, bool)
        faulty[list(faults)] = True
        if resets.any():
            self._reset(resets, [None] * self.num_envs, {})
        self._elapsed += ~resets
        verdict = self.prototype.judge(self.state, self._held, faulty)
        if resets.any():
            self._held[resets] = 0
            verdict = verdict.begun(resets)
        truncated = self._elapsed >= self._limit
        self._done = verdict.terminated | truncated
        info = self._infos(verdict, faults)
        if self.autoreset_mode == AutoresetMode.SAME_STEP and self._done.any():
            return self._reset_at_once(verdict, truncated, info)
        return self._observation(), verdict.reward, verdict.terminated, truncated, info

    def render(self) -> tuple[Array, ...] | None:
        """A picture of every copy, uint8 (h, w, 3) each, by the good visual settings."""
        if self.render_mode is None:
            return None
        if self._film is None:
            self._film = self._pool(self.prototype.render_size, fast=False)
        return tuple(self._film.look(self.state, [self.prototype.render_camera])[0])

    def close_extras(self, **kwargs: Any) -> None:
        for pool in (self._eyes, self._film):
            if pool is not None:
                pool.close()
        self._eyes = self._film = None
        self.prototype.close()

    def faults(self) -> dict[str, int]:
        """Counters of all controllers inside the step."""
        total: dict[str, int] = {}
        for index in range(self.num_envs):
            for name, count in self.faults_of(index).items():
                total[name] = total.get(name, 0) + count
        return total

    def faults_of(self, index: int) -> dict[str, int]:
        """Counters of the controller of one copy."""
        executor = self._executors[index] if self._executors else None
        return {} if executor is None else dict(executor.faults())

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The generator of each copy."""
        return tuple(self._generator(index) for index in range(self.num_envs))

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """What the generator of each copy was last seeded with."""
        for index in range(self.num_envs):
            self._generator(index)
        return tuple(self._seeded)

    # -- resets -------------------------------------------------------------------------------------------------

    def _reset(self, mask: Array, seeds: Sequence[int | None], options: Mapping[str, Any]) -> None:
        chosen = np.flatnonzero(mask)
        self._done, self._begun = self._done | mask, self._begun & ~mask  # until it is through
        self.batch.reset(chosen, stage=_NO_STAGE)
        for index in chosen.tolist():
            if seeds[index] is not None:
                self._generators[index], self._seeded[index] = np_random(seeds[index])
            scene = self._scenes[index] if self._scenes else None
            simulation, generator = self._simulations[index], self._generator(index)
            self.prototype.instance(simulation, generator, options, self._nominal[index], scene)
        if self.prototype.RANDOMISED:
            self.batch.set_const(chosen)
        for index in chosen.tolist() if self._executors else ():
            self._executors[index].reset(self._simulations[index])
        for index in chosen.tolist() if self._signals else ():
            # As in the environment alone: what does not err takes nothing from the generator of its copy
            generator = self._generator(index).spawn(1)[0] if self._errs[index] else np.random.default_rng(0)
            self._signals[index].reset(self._simulations[index], generator)
        self.batch.forward(chosen)
        for index in chosen.tolist() if self._signals else ():
            self._signals[index].measure(self._simulations[index])
        self._held[chosen] = self._elapsed[chosen] = 0
        self._done, self._begun = self._done & ~mask, self._begun | mask

    def _reset_at_once(self, verdict: Judgement, truncated: Array, info: dict[str, Any]) -> tuple:
        """SAME_STEP: what the finished episodes ended with goes into `info`, the observation is of the new ones."""
        done, final = self._done, np.full(self.num_envs, None, object)
        last = self._observation()
        for index in np.flatnonzero(done).tolist():
            final[index] = {key: values[index] for key, values in last.items()}
        self._reset(done, [None] * self.num_envs, {})
        terms = self.prototype.terms(self.state)
        after = self._info({"success": verdict.success & ~done, **terms}, self._all)
        after.update(
            final_obs=final,
            _final_obs=done.copy(),
            final_info={key: values & done if key[0] == "_" else _only(values, done) for key, values in info.items()},
            _final_info=done.copy(),
        )
        return self._observation(), verdict.reward, verdict.terminated, truncated, after

    def _seeds(self, seed: int | Sequence[int | None] | None) -> Sequence[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, int | np.integer):
            return [int(seed) + index for index in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ValueError(f"{self._name}: {len(seed)} seeds for {self.num_envs} environments")
        return [None if one is None else int(one) for one in seed]

    def _mask(self, mask: Any) -> Array:
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (self.num_envs,):
            raise ValueError(f"{self._name}: reset_mask is a bool array of shape ({self.num_envs},), not {mask!r}")
        if not mask.any():
            raise ValueError(f"{self._name}: reset_mask asks for no environment to be reset")
        return mask

    def _generator(self, index: int) -> np.random.Generator:
        generator = self._generators[index]
        if generator is None:
            generator, self._seeded[index] = np_random()
            self._generators[index] = generator
        return generator

    # -- stepping -----------------------------------------------------------------------------------------------

    def _advance(self, actions: Array, ids: Array | None) -> dict[int, str]:
        """One control step of the copies `ids` (None: all); what went wrong, by copy: those stand at their default."""
        task, batch, faults = self.prototype, self.batch, dict[int, str]()
        task.disturb(self.state)
        moving = np.arange(self.num_envs) if ids is None else ids
        if len(moving) and self._signals and not self._executors:
            sent = task.controls(actions[moving], np.stack([self._signals[index].ctrl for index in moving]))
            for row, index in enumerate(moving.tolist()):
                self._signals[index].ctrl = sent[row]
        for index in moving.tolist() if self._signals else ():
            actions[index] = self._signals[index].command(actions[index])
            self._signals[index].before(self._simulations[index])
        if not self._executors:
            ctrl = task.controls(actions[moving], self.state.ctrl[moving])
            for row, index in enumerate(moving.tolist()) if self._signals else ():
                ctrl[row] = self._signals[index].drive(ctrl[row])
            self.state.ctrl[moving] = ctrl
            self._physics(ids, task.substeps, faults)
        else:
            for index in moving.tolist():
                self._executors[index].plan(actions[index], self._simulations[index])
            for _ in range(task.substeps):
                for index in moving.tolist():
                    self.state.ctrl[index] = self._executors[index].control(self._simulations[index])
                self._physics(ids, 1, faults)
        unstable = batch.warning[:, UNSTABLE, 1].any(axis=1) | ~np.isfinite(self.state.qpos).all(axis=1)
        for index in np.flatnonzero(unstable).tolist():
            faults[index] = DIVERGED
        if faults:
            batch.reset(np.array(sorted(faults)))
            for index in faults if self._signals else ():
                if not self._errs[index]:  # nor does the environment alone have signals that would remember
                    self._signals[index].ctrl = self.state.ctrl[index].copy()
        for index in moving.tolist() if self._signals else ():
            if self._executors:
                self._signals[index].ctrl = self.state.ctrl[index].copy()
            self._signals[index].measure(self._simulations[index])
        return faults

    def _physics(self, ids: Array | None, steps: int, faults: dict[int, str]) -> None:
        try:
            self.batch.step(ids, nstep=steps)
        except SimulationError as error:  # the others ran to completion
            for index in error.ids.tolist():
                faults[index] = self.batch.error(index)

    # -- what goes out ------------------------------------------------------------------------------------------

    @property
    def _name(self) -> str:
        return self.spec.id if self.spec else type(self.prototype).__name__

    def _observation(self) -> Observation:
        state = SensedState(self.state, self._signals) if self._signals else self.state
        observation = self.prototype.seen(state)
        cameras = self.prototype.cameras
        if cameras:
            if self._eyes is None:
                self._eyes = self._pool(self.prototype.image_size, fast=True)
            images = self._eyes.look(self.state, cameras, self.watched)
            named = zip(cameras, images, strict=True)
            observation.update({f"image_{camera}": self._exposed(image) for camera, image in named})
        return observation

    def _exposed(self, images: Array) -> Array:
        """Pictures of every copy as its cameras take them."""
        if self.prototype.altered is not None:  # one world of all
            return self.prototype.altered.expose(images)
        if not self._scenes:
            return images
        return np.stack([scene.expose(image) for scene, image in zip(self._scenes, images, strict=True)])

    def _pool(self, size: tuple[int, int], fast: bool) -> EyePool:
        adapt = partial(adapt_to_copy, self.batch, self._scenes) if self._adapted else None
        return EyePool(lambda: self.batch.get_model(0), size, fast, self._threads, adapt)

    def _infos(self, verdict: Judgement, faults: dict[int, str]) -> dict[str, Any]:
        info = self._info({"success": verdict.success, **verdict.terms}, self._all)
        if faults:
            info["fault"], info["_fault"] = np.full(self.num_envs, None, object), self._none.copy()
            for index, message in faults.items():
                info["fault"][index], info["_fault"][index] = message, True
        return info

    @staticmethod
    def _info(values: Mapping[str, Array], mask: Array) -> dict[str, Any]:
        """Gymnasium's form: each value beside a mask of where it is meant."""
        info: dict[str, Any] = {}
        for key, value in values.items():
            info[key], info[f"_{key}"] = _only(value, mask), mask.copy()
        return info


def _only(values: Array, mask: Array) -> Array:
    """`values` where `mask` holds, and elsewhere what Gymnasium puts there: zeros, or None among objects."""
    return np.where(mask, values, None if values.dtype == object else np.zeros((), values.dtype))


def __getattr__(name: str) -> Any:
    """`robotics.envs.vector:package.module.Task` as an entry point: the vector environment of that task.

    So a registration stays a string that imports nothing, and a task file needs no line for its vector environment.
    """
    module, _, kind = name.rpartition(".")
    if not module:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return partial(VectorTask, getattr(import_module(module), kind))
