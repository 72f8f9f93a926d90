"""The SO-101 servo arm: five joints and a jaw, each moved by a Feetech STS3215 that holds a commanded position.

Numbers in so101.xml: TheRobotStudio/SO-ARM100 (Apache-2.0).
"""

from importlib import resources

import mujoco


def so101_scene() -> mujoco.MjSpec:
    """The arm on nothing, with the servo settings it is shipped with."""
    return mujoco.MjSpec.from_string((resources.files("robotics.envs.robots") / "so101.xml").read_text())
