"""The ALOHA robot's cerebellum on a simulated robot, for the tests of the controllers."""

import mujoco
import numpy as np

from robotics.controllers.arms import ArmCerebellum, HandTarget
from robotics.envs.bimanual import make_cerebellum
from robotics.envs.robots.aloha import ALOHA, SIDES, aloha_scene


class TorqueRobot:
    """A simulated robot under torque control, and what it went through."""

    def __init__(self, cerebellum: ArmCerebellum | None = None, spec: mujoco.MjSpec | None = None) -> None:
        self.model = (spec or aloha_scene("motor")).compile()
        self.data = mujoco.MjData(self.model)
        self.cerebellum = cerebellum or make_cerebellum()
        self.q = np.array([self.model.joint(j).qposadr[0] for j in ALOHA.joints])
        self.v = np.array([self.model.joint(j).dofadr[0] for j in ALOHA.joints])
        self.data.qpos[self.q] = ALOHA.home
        for side in SIDES:
            follower, leader = (self.model.joint(f"{side}/{f}_finger").qposadr[0] for f in ("right", "left"))
            self.data.qpos[follower] = self.data.qpos[leader]
        mujoco.mj_forward(self.model, self.data)
        self.cerebellum.reset(np.array(ALOHA.home))
        self.torques: list[np.ndarray] = []
        self.positions: list[np.ndarray] = []
        self.velocities: list[np.ndarray] = []

    def hand(self, side: str) -> np.ndarray:
        """Position (3,) of a hand [m]."""
        return self.data.site(f"{side}/gripper").xpos.copy()

    def run(self, targets: dict[str, HandTarget], seconds: float) -> None:
        """MPC at 50 Hz, WBC and physics at 500 Hz."""
        for tick in range(round(seconds / 0.002)):
            if tick % 10 == 0:
                self.cerebellum.plan(targets)
            torque, _ = self.cerebellum.torque(self.data.qpos[self.q], self.data.qvel[self.v])
            self.data.ctrl[:] = torque
            mujoco.mj_step(self.model, self.data)
            self.torques.append(torque)
            self.positions.append(self.data.qpos[self.q].copy())
            self.velocities.append(self.data.qvel[self.v].copy())
