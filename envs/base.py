"""What every MuJoCo task shares: stepping, observing, rendering, and the checks on what comes in."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import gymnasium as gym
import mujoco
import numpy as np

from robotics.envs.rendering import Camera
from robotics.errors import UsageError, unknown_name

Array = np.ndarray
Observation = dict[str, Array]


class Expert(Protocol):
    """A model-based teacher: acts through the same action interface as any policy."""

    def reset(self, env: gym.Env) -> None:
        """Forget the last episode; `env` has just been reset."""
        ...

    def act(self, observation: Observation) -> Array:
        """The action for this observation. May be called on any state, in any order (DAgger)."""
        ...


class MujocoTask(gym.Env[Observation, Array]):
    """One task: a scene, its random instances, its observation, reward and success.

    Subclasses give the constants and the abstract methods; STYLE of a task file: constants, scene, observation,
    reward, success, expert.

    Args:
        action_mode: what an action means; one of `ACTION_MODES`.
        cameras: cameras to observe, each as `image_<camera>`, uint8 (h, w, 3).
        image_size: (height, width) of the observed images.
        render_mode: None or "rgb_array".
        render_camera: the camera of `render()`.
        render_size: (height, width) of `render()`.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012 (Gymnasium's way)

    #: Language instruction, robot, control rate [Hz], steps that success must hold: set by the task.
    task: ClassVar[str]
    robot_type: ClassVar[str]
    control_hz: ClassVar[float] = 50.0
    ACTION_MODES: ClassVar[tuple[str, ...]] = ("joint",)
    camera_names: ClassVar[tuple[str, ...]]
    default_camera: ClassVar[str] = "angle"
    HOLD_STEPS: ClassVar[int] = 10

    def __init__(
        self,
        action_mode: str = "joint",
        cameras: Sequence[str] = (),
        image_size: tuple[int, int] = (96, 96),
        render_mode: str | None = None,
        render_camera: str | None = None,
        render_size: tuple[int, int] = (480, 640),
    ) -> None:
        if action_mode not in self.ACTION_MODES:
            raise unknown_name("action mode", action_mode, self.ACTION_MODES)
        for camera in (*cameras, *([render_camera] if render_camera else [])):
            if camera not in self.camera_names:
                raise unknown_name("camera", camera, self.camera_names)
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise unknown_name("render mode", render_mode, self.metadata["render_modes"])
        if len(image_size) != 2 or not all(8 <= side <= 4096 for side in (*image_size, *render_size)):
            raise UsageError(f"image sizes are (height, width) within 8 … 4096, not {image_size} and {render_size}")
        self.action_mode, self.cameras, self.image_size = action_mode, tuple(cameras), tuple(image_size)
        self.render_mode, self.render_size = render_mode, render_size
        self.render_camera = render_camera or self.default_camera
        self.model = self.build_scene(action_mode).compile()
        self.data = mujoco.MjData(self.model)
        self.substeps = round(1.0 / (self.control_hz * self.model.opt.timestep))
        self.action_space = self.make_action_space()
        self.observation_space: gym.spaces.Dict = gym.spaces.Dict(  # type: ignore[assignment]
            {
                **self.state_spaces(),
                **{f"image_{camera}": gym.spaces.Box(0, 255, (*image_size, 3), np.uint8) for camera in cameras},
            }
        )
        self._eyes: Camera | None = None
        self._film: Camera | None = None
        self._held = 0

    # -- what a task gives ---------------------------------------------------------------------------------------

    @abstractmethod
    def build_scene(self, action_mode: str) -> mujoco.MjSpec:
        """The scene with the actuation that `action_mode` needs."""

    @abstractmethod
    def make_action_space(self) -> gym.spaces.Box: ...

    @abstractmethod
    def state_spaces(self) -> dict[str, gym.Space]:
        """Spaces of `state` and `environment_state`."""

    @abstractmethod
    def place(self, rng: np.random.Generator, options: Mapping[str, Any]) -> None:
        """Put a random instance of the task into `self.data`, which has just been reset."""

    @abstractmethod
    def observe(self) -> Observation:
        """`state` and `environment_state` now."""

    @abstractmethod
    def apply(self, action: Array) -> None:
        """Let a valid, clipped action act for one control step."""

    @abstractmethod
    def reward_terms(self) -> dict[str, float]:
        """Named terms in [0, 1]; the reward is their mean."""

    @abstractmethod
    def succeeds(self) -> bool:
        """Whether the goal condition holds in this very step (success is `HOLD_STEPS` of them in a row)."""

    def lost(self) -> bool:
        """Whether the task can no longer be solved."""
        return False

    @abstractmethod
    def expert(self) -> Expert:
        """A fresh teacher for this task."""

    def faults(self) -> dict[str, int]:
        """Counters of the controller inside the step, where the action mode has one."""
        return {}

    # -- Gymnasium ----------------------------------------------------------------------------------------------

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict]:
        super().reset(seed=seed)
        mujoco.mj_resetData(self.model, self.data)
        self.place(self.np_random, options or {})
        mujoco.mj_forward(self.model, self.data)
        self._held = 0
        return self._observation(), {"success": False, **self.reward_terms()}

    def step(self, action: Array) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        self.apply(self._checked(action))
        self._held = self._held + 1 if self.succeeds() else 0
        terms = self.reward_terms()
        success = self._held >= self.HOLD_STEPS
        info: dict[str, Any] = {"success": success, **terms}
        diverged = self._diverged()
        if diverged:
            info["fault"] = "the simulation diverged"
        reward = 0.0 if diverged else float(np.mean(list(terms.values())))
        return self._observation(), reward, success or diverged or self.lost(), False, info

    def _diverged(self) -> bool:
        """Whether the simulation has blown up. MuJoCo then resets its state by itself, and only its counters tell."""
        unstable = (
            mujoco.mjtWarning.mjWARN_BADQPOS,
            mujoco.mjtWarning.mjWARN_BADQVEL,
            mujoco.mjtWarning.mjWARN_BADQACC,
        )
        return any(self.data.warning[warning].number for warning in unstable) or not np.isfinite(self.data.qpos).all()

    def render(self) -> Array | None:
        if self.render_mode is None:
            return None
        if self._film is None:
            self._film = Camera(self.model, self.render_size, fast=False)
        return self._film.image(self.data, self.render_camera)

    def close(self) -> None:
        for camera in (self._eyes, self._film):
            if camera is not None:
                camera.close()
        self._eyes = self._film = None

    def _checked(self, action: Array) -> Array:
        """The action inside its bounds; ValueError for a shape or number that can not be meant."""
        name = self.spec.id if self.spec else type(self).__name__
        values = np.asarray(action, dtype=np.float64)
        if values.shape != self.action_space.shape:
            raise ValueError(f"{name}: action of shape {values.shape}, expected {self.action_space.shape}")
        if not np.isfinite(values).all():
            raise ValueError(f"{name}: action of shape {values.shape} holds NaN or infinity")
        box = self.action_space
        assert isinstance(box, gym.spaces.Box)
        return np.clip(values, box.low, box.high)

    def _observation(self) -> Observation:
        observation = self.observe()
        if self.cameras:
            if self._eyes is None:
                self._eyes = Camera(self.model, self.image_size, fast=True)
            for camera in self.cameras:
                observation[f"image_{camera}"] = self._eyes.image(self.data, camera)
        return observation
