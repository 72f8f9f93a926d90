"""What every MuJoCo task is: written once over a batch of simulations, and the serial environment as a batch of one."""

from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import gymnasium as gym
import mujoco
import numpy as np

from robotics.envs.eyes import Eye
from robotics.envs.rendering import Camera
from robotics.envs.reset_options import ResetOptions
from robotics.envs.state import SerialState, Simulation, State
from robotics.envs.worlds import Altered, SensedState, World
from robotics.errors import UsageError, unknown_name

Array = np.ndarray
Observation = dict[str, Array]

#: Counters of a simulation that has blown up. MuJoCo then resets its state by itself, and only these tell.
UNSTABLE = [
    int(warning)
    for warning in (
        mujoco.mjtWarning.mjWARN_BADQPOS,
        mujoco.mjtWarning.mjWARN_BADQVEL,
        mujoco.mjtWarning.mjWARN_BADQACC,
    )
]
DIVERGED = "the simulation diverged"


class Expert(Protocol):
    """A model-based teacher: acts through the same action interface as any policy."""

    def reset(self, env: gym.Env) -> None:
        """Forget the last episode; `env` has just been reset."""
        ...

    def act(self, observation: Observation) -> Array:
        """The action for this observation. May be called on any state, in any order (DAgger)."""
        ...


class Executor(Protocol):
    """A controller inside the step of one simulation, for action modes that are no plain actuator commands."""

    def reset(self, simulation: Simulation) -> None:
        """A new episode begins: `simulation` has just been placed."""
        ...

    def plan(self, action: Array, simulation: Simulation) -> None:
        """Once per control step: a valid, clipped action."""
        ...

    def control(self, simulation: Simulation) -> Array:
        """Actuator commands (nu,) for the coming physics step."""
        ...

    def faults(self) -> dict[str, int]:
        """Counters so far, by name."""
        ...


@dataclass(frozen=True)
class Judgement:
    """What a control step was worth, for each of n simulations."""

    terms: dict[str, Array]
    reward: Array
    success: Array
    terminated: Array

    def begun(self, mask: Array) -> "Judgement":
        """The same with nothing earned and nothing ended where `mask` (n,) says that the episode has just begun."""
        reward = np.where(mask, 0.0, self.reward)
        return Judgement(self.terms, reward, self.success & ~mask, self.terminated & ~mask)

    def info(self, index: int) -> dict[str, Any]:
        """Gymnasium's `info` of one simulation."""
        return {"success": bool(self.success[index]), **{k: float(v[index]) for k, v in self.terms.items()}}


class MujocoTask(ResetOptions, gym.Env[Observation, Array]):
    """One task: a scene, its random instances, its observation, reward and success; and its serial environment.

    A task gives the constants and the methods under "what a task gives". Those that take a `State` work on n
    simulations at once and return arrays (n, …): the serial environment calls them with n = 1, the vector environment
    (`gymnasium.make_vec`) with all its copies. For the same bits with every n they compute elementwise, along the last
    axis, or by `np.einsum`; products by `@` may sum in another order for another n.

    STYLE of a task file: constants, scene, observation, reward, success, expert.

    Args:
        action_mode: what an action means; one of `ACTION_MODES`.
        cameras: cameras to observe, each as `image_<camera>`, uint8 (h, w, 3).
        image_size: (height, width) of the observed images.
        render_mode: None or "rgb_array".
        render_camera: the camera of `render()`.
        render_size: (height, width) of `render()`.
        world: other masses, frictions, delays, sensors, … than the nominal ones (`robotics.sim2real.world.World`).
        end_on_success: whether success ends an episode. Every step gives up to 1, so that whoever succeeds soon then
            gets less in sum than who lingers just short of it: the return of an episode that success ends is no
            measure, and nothing to maximise. Whoever trains by reward with code of their own gives False: an episode
            then goes on until it is lost or truncated, and `info["success"]` says at each step whether the goal
            condition has held for the last `HOLD_STEPS` of them.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012 (Gymnasium's way)

    #: Language instruction, other ways to say it, robot, control rate [Hz], steps that success must hold.
    task: ClassVar[str]
    paraphrases: ClassVar[tuple[str, ...]] = ()
    robot_type: ClassVar[str]
    control_hz: ClassVar[float] = 50.0
    ACTION_MODES: ClassVar[tuple[str, ...]] = ("joint",)
    camera_names: ClassVar[tuple[str, ...]]
    default_camera: ClassVar[str] = "angle"
    HOLD_STEPS: ClassVar[int] = 10
    #: Derived MjData fields that the task reads, besides the state (`state.STATE_FIELDS`).
    FIELDS: ClassVar[tuple[str, ...]] = ("xpos", "xquat", "site_xpos", "site_xmat", "sensordata")
    #: MjModel fields that `place` may change from instance to instance; nominal again before each.
    RANDOMISED: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        action_mode: str = "joint",
        cameras: Sequence[str] = (),
        image_size: tuple[int, int] = (96, 96),
        render_mode: str | None = None,
        render_camera: str | None = None,
        render_size: tuple[int, int] = (480, 640),
        world: World | None = None,
        end_on_success: bool = True,
    ) -> None:
        if action_mode not in self.ACTION_MODES:
            raise unknown_name("action mode", action_mode, self.ACTION_MODES)
        if isinstance(cameras, str):
            raise UsageError(f"cameras are several names: give cameras=({cameras!r},), not {cameras!r}")
        if not isinstance(cameras, Iterable):
            raise UsageError(f"cameras are names, () for none, not {cameras!r}")
        cameras = tuple(cameras)
        for camera in (*cameras, *([render_camera] if render_camera else [])):
            if camera not in self.camera_names:
                raise unknown_name("camera", camera, self.camera_names)
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise unknown_name("render mode", render_mode, self.metadata["render_modes"])
        for name, size in (("image", image_size), ("render", render_size)):
            if np.shape(size) != (2,) or not all(8 <= side <= 4096 and side == int(side) for side in size):
                raise UsageError(f"{name} size {size}: give (height, width), whole numbers within 8 … 4096")
        self.action_mode, self.cameras, self.end_on_success = action_mode, cameras, end_on_success
        self.image_size, self.render_size = ((int(height), int(width)) for height, width in (image_size, render_size))
        self.render_mode, self.render_camera = render_mode, render_camera or self.default_camera
        self.metadata = {**self.metadata, "render_fps": self.control_hz}
        spec = self.build_scene(action_mode)
        #: What controllers and experts may know. `model` is what is simulated, the same unless there is a `world`.
        self.believed = self.model = spec.compile()
        self.altered: Altered | None = None
        if world is not None:
            self.altered = self.scene_in(world, spec=spec)
            self.model = self.altered.model
        self.data = mujoco.MjData(self.model)
        self.substeps = round(1.0 / (self.control_hz * self.model.opt.timestep))
        self.action_space: gym.spaces.Box = self.make_action_space()
        self.observation_space: gym.spaces.Dict = gym.spaces.Dict(  # type: ignore[assignment]
            {
                **self.state_spaces(),
                **{f"image_{camera}": gym.spaces.Box(0, 255, (*self.image_size, 3), np.uint8) for camera in cameras},
            }
        )
        scenes = [] if self.altered is None else [self.altered]
        fields, parameters = self.used_fields(scenes)
        self.nominal = nominal_values(self.model, parameters)
        self.state: State = SerialState(self.model, self.data, fields, parameters)
        self._simulation = Simulation(self.state, 0)
        self.signals = None if self.altered is None else self.altered.signals()
        self.executor = self.make_executor()
        self._held, self._refused = np.zeros(1, np.int64), False
        self._scratch: mujoco.MjData | None = None
        self._eye: Eye | None = None
        self._film: Camera | None = None

    # -- what a task gives ---------------------------------------------------------------------------------------

    @abstractmethod
    def build_scene(self, action_mode: str) -> mujoco.MjSpec:
        """The scene with the actuation that `action_mode` needs."""

    @abstractmethod
    def make_action_space(self) -> gym.spaces.Box: ...

    @abstractmethod
    def state_spaces(self) -> dict[str, gym.spaces.Box]:
        """Spaces of `state` and `environment_state`."""

    @abstractmethod
    def place(self, simulation: Simulation, rng: np.random.Generator, options: Mapping[str, Any]) -> None:
        """Put a random instance of the task into a simulation that has just been reset.

        Numbers that belong to the instance (a goal, a command) go into `simulation.userdata`; masses, friction and
        sizes into `simulation.parameter(field)` for a field in `RANDOMISED`.
        """

    def enlarge(self, simulation: Simulation, factor: float) -> None:
        """The free objects are `factor` times as large as `place` made them: what `userdata` tells of their sizes shall
        follow, so that success is judged by the sizes that there are."""

    @abstractmethod
    def observe(self, state: State) -> Observation:
        """`state` and `environment_state` now (n, …); clipped to their spaces and made float32 by the caller."""

    def controls(self, actions: Array, last: Array) -> Array:
        """Actuator commands (n, nu) of valid, clipped actions (n, k), in a mode without an executor.

        `last` (n, nu) are those of the control step before.
        """
        return actions

    def make_executor(self) -> Executor | None:
        """A fresh controller for one simulation, or None in a mode whose actions are plain actuator commands."""
        return None

    def disturb(self, state: State) -> None:
        """Write what acts from outside during the coming control step: pushes, moving goals."""

    @abstractmethod
    def reward_terms(self, state: State) -> dict[str, Array]:
        """Named terms in [0, 1] (n,); the reward is their mean."""

    @abstractmethod
    def succeeds(self, state: State) -> Array:
        """Whether the goal condition holds in this very step (n,); success is `HOLD_STEPS` of them in a row."""

    def lost(self, state: State) -> Array:
        """Whether the task can no longer be solved (n,)."""
        return np.zeros(state.size, bool)

    def instructions(self, state: State) -> list[str]:
        """What each simulation's instance is to be told in words (n); the same for all unless instances differ."""
        return [self.task] * state.size

    def left_to_do(self) -> float:
        """How much there is to do from here on, which tells harder instances from easier ones; in a unit of the task's.

        What the reward lacks, unless a task knows better.
        """
        terms = self.terms(self.state)
        return 1.0 - sum(float(term[0]) for term in terms.values()) / len(terms)

    @abstractmethod
    def expert(self) -> Expert:
        """A fresh teacher for this task."""

    # -- what the serial and the vector environment share ---------------------------------------------------------

    def judge(self, state: State, held: Array, faulty: Array) -> Judgement:
        """Rewards and ends of a control step; counts in `held` (n,) for how many steps the goal condition held.

        A `faulty` (n,) simulation has failed and earns nothing.
        """
        state.judging = {}
        try:
            reached, terms, lost = self.succeeds(state), self.terms(state), self.lost(state)
        finally:
            state.judging = None
        held[:] = np.where(reached & ~faulty, held + 1, 0)
        success = held >= self.HOLD_STEPS
        reward = np.where(faulty, 0.0, sum(terms.values()) / len(terms))
        over = success | faulty | lost if self.end_on_success else faulty | lost
        return Judgement(terms, reward, success, over)

    def terms(self, state: State) -> dict[str, Array]:
        """The reward terms as float64 (n,): a condition, true or false, may be one."""
        return {name: np.asarray(term, dtype=np.float64) for name, term in self.reward_terms(state).items()}

    def seen(self, state: State) -> Observation:
        """The observation without images, within its space: float32 (n, …), new arrays."""
        spaces = self.observation_space
        bounded = {}
        for key, values in self.observe(state).items():
            box: Any = spaces.spaces.get(key)
            if box is None or values.shape[1:] != box.shape:
                said, given = "nothing" if box is None else f"shape {box.shape}", values.shape[1:]
                task = type(self).__name__
                raise UsageError(f"{task}: observe gives '{key}' of shape {given}, state_spaces says {said}")
            bounded[key] = np.clip(values, box.low, box.high, dtype=box.dtype, casting="unsafe")
        return bounded

    def scene_in(self, world: World, slots: int = 0, spec: mujoco.MjSpec | None = None) -> Altered:
        """The scene of this task in a world, see `World.alter`; `spec` is the nominal one, if there is one at hand."""
        scene = self.build_scene(self.action_mode) if spec is None else spec
        return world.alter(scene, self.believed, self.RANDOMISED, self.control_hz, slots)

    def instance(
        self,
        simulation: Simulation,
        rng: np.random.Generator,
        options: Mapping[str, Any],
        nominal: Mapping[str, Array],
        altered: Altered | None,
    ) -> None:
        """A new instance: `nominal` parameters but for those that the task draws, and what its world makes of it."""
        for name, value in nominal.items():
            simulation.parameter(name)[:] = value
        self.place(simulation, rng, options)
        if altered is not None:
            altered.adapt(simulation, rng.spawn(1)[0])  # a stream of its own: the task's draws stay the same
            self.enlarge(simulation, altered.enlarged)

    def used_fields(self, scenes: Sequence[Altered]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The MjData fields that are read and the MjModel fields that differ between simulations, in these scenes."""
        fields = dict.fromkeys((*self.FIELDS, *(name for scene in scenes for name in scene.fields)))
        parameters = dict.fromkeys((*self.RANDOMISED, *(name for scene in scenes for name in scene.parameters)))
        return tuple(fields), tuple(parameters)

    def checked(self, actions: Array, shape: tuple[int, ...], name: str, matters: Array | None = None) -> Array:
        """Actions inside their bounds; ValueError for a shape or number that can not be meant.

        `matters` (n,) marks the rows that are going to be used.
        """
        try:
            values = np.asarray(actions, dtype=np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"{name}: actions are numbers of shape {shape}, not {type(actions).__name__}") from None
        if values.shape != shape:
            raise ValueError(f"{name}: action of shape {values.shape}, expected {shape}")
        finite = np.isfinite(values)
        if not finite.all():
            bad = ~finite if matters is None else ~finite & matters[:, None]
            if bad.any():
                where = "" if matters is None else f" in environments {np.flatnonzero(bad.any(1)).tolist()}"
                raise ValueError(f"{name}: action of shape {shape} holds NaN or infinity{where}")
        return np.clip(values, self.action_space.low, self.action_space.high)

    # -- Gymnasium ----------------------------------------------------------------------------------------------

    @property
    def instruction(self) -> str:
        """What the present instance is to be told in words."""
        return self.instructions(self.state)[0]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict]:
        super().reset(seed=seed)
        self._refused = True  # until it is through
        mujoco.mj_resetData(self.model, self.data)
        self.instance(self._simulation, self.np_random, options or {}, self.nominal, self.altered)
        if self.RANDOMISED:
            if self._scratch is None:
                self._scratch = mujoco.MjData(self.model)
            mujoco.mj_setConst(self.model, self._scratch)
        if self.executor is not None:
            self.executor.reset(self._simulation)
        if self.signals is not None:
            self.signals.reset(self._simulation, self.np_random.spawn(1)[0])
        mujoco.mj_forward(self.model, self.data)
        if self.signals is not None:
            self.signals.measure(self._simulation)
        self._held[:], self._refused = 0, False
        terms = {name: float(term[0]) for name, term in self.terms(self.state).items()}
        return self._observation(), {"success": False, **terms}

    def step(self, action: Array) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        name = self.spec.id if self.spec else type(self).__name__
        if self._refused:
            raise gym.error.ResetNeeded(f"{name}: the last reset was refused: it must be reset before it is stepped")
        values = self.checked(action, self.action_space.shape, name)
        if self.signals is not None:
            if self.executor is None:
                self.signals.ctrl = self.controls(values[None], self.signals.ctrl[None])[0]
            values = self.signals.command(values)
        fault = self._advance(values)
        if self.signals is not None:
            if self.executor is not None:
                self.signals.ctrl = self.data.ctrl.copy()
            self.signals.measure(self._simulation)
        judgement = self.judge(self.state, self._held, np.array([fault is not None]))
        info = judgement.info(0)
        if fault is not None:
            info["fault"] = fault
        return self._observation(), float(judgement.reward[0]), bool(judgement.terminated[0]), False, info

    def _advance(self, action: Array) -> str | None:
        """One control step; what went wrong, if anything did: then the simulation stands at its default state."""
        fault = None
        self.disturb(self.state)
        if self.signals is not None:
            self.signals.before(self._simulation)
        try:
            if self.executor is None:
                ctrl = self.controls(action[None], self.data.ctrl[None])[0]
                self.data.ctrl[:] = ctrl if self.signals is None else self.signals.drive(ctrl)
                mujoco.mj_step(self.model, self.data, nstep=self.substeps)
            else:
                self.executor.plan(action, self._simulation)
                for _ in range(self.substeps):
                    self.data.ctrl[:] = self.executor.control(self._simulation)
                    mujoco.mj_step(self.model, self.data)
        except mujoco.FatalError as error:
            fault = str(error)
        if self.data.warning.number[UNSTABLE].any() or not np.isfinite(self.data.qpos).all():
            fault = DIVERGED
        if fault is not None:
            mujoco.mj_resetData(self.model, self.data)
            mujoco.mj_forward(self.model, self.data)
        return fault

    def faults(self) -> dict[str, int]:
        """Counters of the controller inside the step, where the action mode has one."""
        return self.executor.faults() if self.executor is not None else {}

    def render(self) -> Array | None:
        if self.render_mode is None:
            return None
        if self._film is None:
            self._film = Camera(self.model, self.render_size, fast=False)
        return self._film.image(self.data, self.render_camera)

    def close(self) -> None:
        for camera in (self._eye, self._film):
            if camera is not None:
                camera.close()
        self._eye = self._film = None

    def __getstate__(self) -> dict[str, Any]:
        """What a copy begins with: all but the cameras, which belong to their thread."""
        if self.executor is not None:
            raise UsageError(
                f"{type(self).__name__} can not be copied in action mode '{self.action_mode}': its controller runs "
                f"inside the step; make another one"
            )
        return {**vars(self), "_eye": None, "_film": None}

    def _observation(self) -> Observation:
        state = self.state if self.signals is None else SensedState(self.state, [self.signals])
        observation = {key: values[0] for key, values in self.seen(state).items()}
        if self.cameras:
            if self._eye is None:
                self._eye = Eye(self.model, self.image_size, fast=True)
            images = self._eye.look(self.state, 0, self.cameras)
            named = zip(self.cameras, images, strict=True)
            altered = self.altered
            observation.update(
                {f"image_{name}": image if altered is None else altered.expose(image) for name, image in named}
            )
        return observation


def nominal_values(model: mujoco.MjModel, parameters: Collection[str]) -> dict[str, Array]:
    """Copies of the fields of a model that an instance may change."""
    return {name: getattr(model, name).copy() for name in parameters}
