"""The ALOHA robot for the tests of the controllers: random states, targets, and a simulated robot to control."""

import mujoco
import numpy as np

from robotics.controllers.arms import ArmCerebellum, HandTarget
from robotics.controllers.model import NominalModel
from robotics.controllers.rotation import from_axes
from robotics.envs.bimanual import BimanualTask
from robotics.envs.robots.aloha import ALOHA, SIDES, aloha_scene

#: Orientations of a hand: pointing down, and level towards the other arm.
DOWN = from_axes(np.array([0, 0, -1.0]), np.array([0, -1.0, 0]))
LEFT_LEVEL = from_axes(np.array([1.0, 0, 0]), np.array([0, 1.0, 0]))
RIGHT_LEVEL = from_axes(np.array([-1.0, 0, 0]), np.array([0, -1.0, 0]))


def random_state(model: NominalModel, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Joint positions within 80 % of their range, and velocities."""
    rng = np.random.default_rng(seed)
    middle, half = (model.position_upper + model.position_lower) / 2, (model.position_upper - model.position_lower) / 2
    return middle + 0.8 * half * rng.uniform(-1, 1, model.n), 0.5 * rng.normal(size=model.n)


def targets(left=(-0.15, 0.0, 0.25), right=(0.15, 0.0, 0.25), opening: float = 0.02) -> dict[str, HandTarget]:
    """Level hands at the given positions, 30 cm apart unless told."""
    return {
        "left": HandTarget(np.array(left), LEFT_LEVEL, opening),
        "right": HandTarget(np.array(right), RIGHT_LEVEL, opening),
    }


class TorqueRobot:
    """A simulated robot under torque control, and what it went through."""

    def __init__(self, cerebellum: ArmCerebellum | None = None, spec: mujoco.MjSpec | None = None) -> None:
        self.model = (spec or aloha_scene("motor")).compile()
        self.data = mujoco.MjData(self.model)
        self.cerebellum = cerebellum or BimanualTask.make_cerebellum()
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
