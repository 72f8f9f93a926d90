"""A two-dimensional point that must be driven to a goal: the smallest environment with everything ours have.

Tests of data, training and evaluation use it, so that they take seconds and do not depend on the simulator.
"""

import gymnasium as gym
import numpy as np

#: Imports this module first, so that spawned worker processes find it too.
TOY_ID = "tests.toy:toy/Point-v0"


class PointExpert:
    """Drives straight to the goal; the teacher of the toy."""

    def reset(self, env: gym.Env) -> None:
        pass

    def act(self, observation: dict) -> np.ndarray:
        error = observation["environment_state"] - observation["state"]
        return np.clip(2.0 * error, -1.0, 1.0).astype(np.float32)


class Point(gym.Env):
    """Position moves by a tenth of the action; success is three steps within 5 cm of the goal."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 (Gymnasium's own convention)
    task = "move the point to the goal"
    robot_type = "point"
    control_hz = 10.0

    def __init__(self, cameras: tuple[str, ...] = (), image_size: tuple[int, int] = (32, 32), render_mode=None):
        self.cameras, self.image_size, self.render_mode = cameras, image_size, render_mode
        spaces: dict[str, gym.Space] = {
            "state": gym.spaces.Box(-2, 2, (2,), np.float32),
            "environment_state": gym.spaces.Box(-2, 2, (2,), np.float32),
        }
        for camera in cameras:
            spaces[f"image_{camera}"] = gym.spaces.Box(0, 255, (*image_size, 3), np.uint8)
        self.observation_space = gym.spaces.Dict(spaces)
        self.action_space = gym.spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        self.goal = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        self.near = 0
        return self._observe(), {"success": False}

    def step(self, action):
        self.position = np.clip(self.position + 0.1 * np.asarray(action, np.float32), -2, 2)
        distance = float(np.linalg.norm(self.goal - self.position))
        self.near = self.near + 1 if distance < 0.05 else 0
        success = self.near >= 3
        return self._observe(), 1.0 - min(distance, 1.0), success, False, {"success": success}

    def left_to_do(self) -> float:
        return float(np.linalg.norm(self.goal - self.position))

    def expert(self) -> PointExpert:
        return PointExpert()

    def render(self):
        return self._draw((64, 64))

    def _observe(self):
        observation = {"state": self.position.copy(), "environment_state": self.goal.copy()}
        for camera in self.cameras:
            observation[f"image_{camera}"] = self._draw(self.image_size)
        return observation

    def _draw(self, size):
        image = np.full((*size, 3), 30, np.uint8)
        for point, colour in ((self.goal, (220, 40, 40)), (self.position, (240, 240, 240))):
            row, column = ((point[::-1] + 2) / 4 * (np.array(size) - 3)).astype(int)
            image[row : row + 3, column : column + 3] = colour
        return image


if "toy/Point-v0" not in gym.registry:
    gym.register(id="toy/Point-v0", entry_point="tests.toy:Point", max_episode_steps=60)
