"""Tasks of the ALOHA robot: its scene, its cameras, its controller."""

import mujoco
import numpy as np

from robotics.controllers.arms import ArmCerebellum, ArmSettings
from robotics.envs.hands import HandTask, as_in
from robotics.envs.robots import Actuation
from robotics.envs.robots.aloha import ALOHA, CLOSED, OPEN, SIDES, aloha_scene, collision_margin, nominal_model


class BimanualTask(HandTask):
    """14 joints, per arm waist … wrist_rotate and the left finger; two hands, `left` and `right`."""

    robot_type = "aloha"
    camera_names = ("top", "angle", "left_wrist", "right_wrist")
    default_camera = "angle"
    SPEC = ALOHA
    WORKSPACE = (np.array([-0.6, -0.4, 0.0]), np.array([0.6, 0.4, 0.6]))
    FINGERS = (CLOSED, OPEN)

    def build_robot(self, actuation: Actuation) -> mujoco.MjSpec:
        spec = aloha_scene(actuation)
        for side in SIDES:
            spec.camera(f"{side}/wrist").name = f"{side}_wrist"
        return spec

    @classmethod
    def make_cerebellum(
        cls,
        solver: str = "daqp",
        believed: mujoco.MjModel | None = None,
        period_s: float = ArmSettings.wbc_period_s,
    ) -> ArmCerebellum:
        model = as_in(believed, nominal_model())
        settings = ArmSettings(wbc_period_s=period_s)
        return ArmCerebellum(model, ALOHA, collision_margin(model), settings, solver)
