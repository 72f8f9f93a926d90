"""Ranges of factors as others published them, by project. They disagree by up to ten times: a choice, not the truth.

Only what a project states is in its preset; where it draws per joint, here all joints share one draw. Read in the
projects' own files; of several figures for one thing, the widest. Every range holds the nominal value.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from robotics.errors import unknown_name
from robotics.sim2real.factors import Factor

Range = tuple[float, float]


@dataclass(frozen=True)
class Preset:
    """Ranges by factor, and where they are from."""

    source: str
    ranges: Mapping[str, Range]


PRESETS: Mapping[str, Preset] = {
    "playground": Preset(
        "MuJoCo Playground 0.2.0, locomotion/*/randomize.py and the joystick tasks' noise",
        {
            "mass": (0.9, 1.1),
            "com": (-0.05, 0.05),
            "joint_friction": (0.9, 1.1),
            "armature": (1.0, 1.05),
            "contact_friction": (0.4, 1.0),
            "encoder_noise": (0.0, 0.03),
            "velocity_noise": (0.0, 1.5),
            "gyro_noise": (0.0, 0.2),
            "encoder_offset": (-0.05, 0.05),
        },
    ),
    "mjlab": Preset(
        "mjlab 1.6, velocity task",
        {
            "contact_friction": (0.3, 1.2),
            "com": (-0.05, 0.05),
            "encoder_offset": (-0.015, 0.015),
            "encoder_noise": (0.0, 0.01),
            "velocity_noise": (0.0, 1.5),
        },
    ),
    "walk_these_ways": Preset(
        "Walk These Ways, scripts/train.py: the heavier half of -1 … 3 kg on a robot of 12 kg",
        {
            "contact_friction": (0.1, 3.0),
            "payload": (0.0, 0.25),
            "torque_limit": (0.9, 1.1),
            "encoder_offset": (-0.02, 0.02),
        },
    ),
    "legged_gym": Preset("legged_gym, legged_robot_config.py", {"contact_friction": (0.5, 1.25)}),
    "pace": Preset(
        "PACE (arXiv 2509.06342): the ranges that it fits within, the delay at 400 Hz",
        {"encoder_offset": (-0.1, 0.1), "command_delay": (0.0, 0.025)},
    ),
    "dfki": Preset(
        "RealAIGym double pendulum, robustness levels", {"command_delay": (0.0, 0.04), "mass": (0.75, 1.25)}
    ),
    "robosuite": Preset(
        "robosuite 1.5, wrappers/domain_randomization_wrapper.py",
        {
            "mass": (0.98, 1.02),
            "contact_friction": (0.9, 1.1),
            "contact_time": (0.9, 1.1),
            "contact_damping": (0.9, 1.1),
            "contact_width": (0.9, 1.1),
            "camera_shift": (-0.01, 0.01),
            "camera_turn": (-0.087, 0.087),
            "field_of_view": (-5.0, 5.0),
        },
    ),
    "colosseum": Preset(
        "The Colosseum (robot-colosseum), its yaml files",
        {
            "camera_shift": (-0.1, 0.1),
            "camera_turn": (-0.05, 0.05),
            "object_size": (0.75, 1.25),
            "contact_friction": (0.75, 1.0),
            "object_colour": (0.0, 0.5),
            "distractors": (0.0, 2.0),
        },
    ),
}


def with_ranges(one: Factor, preset_name: str | None) -> Factor:
    """The factor with the range that a preset gives it; with its own where there is no preset, or none in it."""
    spans = {} if preset_name is None else preset(preset_name).ranges
    return replace(one, range=spans[one.name]) if one.name in spans else one


def preset(name: str) -> Preset:
    """The preset of that name; UsageError with a did-you-mean when there is none."""
    if name not in PRESETS:
        raise unknown_name("preset of ranges", name, PRESETS)
    return PRESETS[name]
