"""Where a walk goes: the commanded velocity, ramped up; the path that it draws on the ground; and the heading."""

import math

import numpy as np

from robotics.controllers.humanoid.settings import BipedSettings
from robotics.controllers.legged.locomotion import Twist

Array = np.ndarray


class Course:
    """The heading of the robot, and the path that it is to follow once it walks."""

    def __init__(self, settings: BipedSettings) -> None:
        self.settings = settings
        self.reset(0.0, np.zeros(2))

    def reset(self, yaw: float, position: Array) -> None:
        """Stand at `position` (2,) [m], facing `yaw` [rad]."""
        self.command, self.walking, self._walked_s = Twist(), False, 0.0
        self._path = position.copy()
        self._face(yaw)

    def walk(self, command: Twist, position: Array) -> None:
        """Go on with a velocity from `position` (2,) [m]; as fast as the robot can: `BipedSettings.fastest`."""
        vx, vy, wz = self.settings.fastest
        share = 1.0 / max(1.0, math.hypot(command.vx / vx, command.vy / vy, command.wz / wz))
        self.command = Twist(share * command.vx, share * command.vy, share * command.wz)
        self.begin()
        if not self.walking:
            self.walking, self._path = True, position.copy()

    def begin(self) -> None:
        """Ramp the command up from now on."""
        self._walked_s = 0.0

    def stop(self) -> None:
        self.walking, self.command = False, Twist()

    def tick(self) -> None:
        """A period has passed."""
        self._walked_s += self.settings.wbc_period_s

    def velocity(self, position: Array) -> tuple[float, float]:
        """Commanded velocity in the heading's frame, ramped, and brought back to the path [m/s]."""
        s = self.settings
        if not self.walking:
            return 0.0, 0.0
        back = self.in_heading(self._path - position) * s.path_gain
        back = np.clip(back, -s.max_return, s.max_return)
        share = self._ramp()
        return share * self.command.vx + float(back[0]), share * self.command.vy + float(back[1])

    def turn(self, position: Array) -> float:
        """Turn the heading and let the path run on, not too far from `position` (2,); the turning rate [rad/s]."""
        s, share = self.settings, self._ramp()
        turning = share * self.command.wz
        self._face(self._yaw + turning * s.wbc_period_s)
        self._path += self.to_world(share * s.wbc_period_s * np.array((self.command.vx, self.command.vy)))
        away = math.dist(self._path.tolist(), position.tolist())
        if away > s.leash:
            self._path = position + (s.leash / away) * (self._path - position)
        return turning

    def in_heading(self, v: Array) -> Array:
        """A vector on the ground (2,), from the world's frame to the heading's."""
        x, y = v.tolist()
        return np.array((self._cos * x + self._sin * y, self._cos * y - self._sin * x))

    def to_world(self, v: Array) -> Array:
        """A vector on the ground (2,), from the heading's frame to the world's."""
        x, y = v.tolist()
        return np.array((self._cos * x - self._sin * y, self._sin * x + self._cos * y))

    def _ramp(self) -> float:
        return min(self._walked_s / self.settings.ramp_s, 1.0)

    def _face(self, yaw: float) -> None:
        self._yaw, self._cos, self._sin = yaw, math.cos(yaw), math.sin(yaw)
        #: Upright, facing ahead: orientation wxyz (4,).
        self.upright = np.array((math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)))
