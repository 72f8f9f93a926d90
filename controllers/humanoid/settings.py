"""Timing and gains of a robot on two feet."""

from dataclasses import dataclass, field

from robotics.controllers.humanoid.steps import StepSettings
from robotics.controllers.humanoid.wbc import BipedWbcSettings


@dataclass(frozen=True)
class BipedSettings:
    """Timing and gains. Lengths in metres, for a robot whose centre of mass stands 0.67 m high; `sizing` has others."""

    wbc_period_s: float = 0.002
    plan_period_s: float = 0.01
    balance_gain: float = 8.0  # of the capture point [1/s]
    height_gains: tuple[float, float] = (300.0, 35.0)
    step_out: float = 0.015  # the capture point may leave the support by so much before a step is taken
    step_in: float = 0.02  # and must be so far inside for the robot to stand again
    beside: float = 0.08  # how far one foot may be ahead of the other when it does
    lean: float = 0.1  # how far outside the support a pressure may be asked for: what turns the body instead
    can_step: bool = True
    shift_s: float = 0.7  # to shift the weight before the first step
    both_feet_s: float = 0.03  # that the old foot stays down after the new one has landed
    landing_s: float = 0.04  # before its time, that a foot which feels the ground has landed, if only with its heel
    late_s: float = 0.06  # for how long a foot that should have landed reaches down for the ground
    swing_height: float = 0.06
    fastest_swing: float = 3.0  # [m/s], on the way to the landing
    touchdown_speed: float = 0.05  # [m/s]
    touchdown_depth: float = 0.002
    sole_share: float = 0.8  # of the sole, that the centre of pressure is asked to
    leg_share: float = 1.05  # of the way from a foot to the centre of mass at home, that a leg may be stretched to
    fastest: tuple[float, float, float] = (0.6, 0.4, 1.2)  # ahead, sideways [m/s], turning [rad/s]: each alone
    ramp_s: float = 1.0
    leash: float = 0.3
    path_gain: float = 0.5  # speed back to the path per distance from it [1/s]
    max_return: float = 0.15  # [m/s]
    squat_depth: float = 0.1
    reach_gains: tuple[float, float] = (100.0, 20.0)
    fastest_reach: float = 0.4  # of a hand [m/s]
    hardest_reach: float = 2.0  # [m/s^2]
    steps: StepSettings = field(default_factory=StepSettings)
    wbc: BipedWbcSettings = field(default_factory=BipedWbcSettings)
