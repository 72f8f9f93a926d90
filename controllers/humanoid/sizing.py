r"""Settings for a robot of another size and mass than the one they were tuned on.

Two robots of the same shape, one :math:`\lambda` times as tall and :math:`\mu` times as heavy, fall alike when lengths
go with :math:`\lambda`, times with :math:`\sqrt\lambda` (gravity is the same for both), hence speeds with
:math:`\sqrt\lambda`, rates and turning with :math:`1/\sqrt\lambda`, and torques with :math:`\mu\lambda` (Froude
scaling; Alexander and Jayes 1983). Accelerations along a line stay, those of turning go with :math:`1/\lambda`: costs
of their squares take :math:`\lambda^2` to weigh as much as before. How far apart the feet are put, the robot says.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from robotics.controllers.humanoid.model import BipedModel
from robotics.controllers.humanoid.settings import BipedSettings
from robotics.controllers.humanoid.steps import StepSettings
from robotics.controllers.humanoid.wbc import BipedWbcSettings

Gains = tuple[float, float]

#: Of the robot that the settings were tuned on: height of its centre of mass [m], its mass [kg].
HEIGHT, MASS = 0.6673, 33.34
#: How far apart feet are in steps, of how far they are at home.
NARROWER = 2 / 3
#: Room between the soles at their narrowest, and room that a usual step has above that: of the height.
CLEARANCE, ROOM = 0.09, 0.075


@dataclass(frozen=True)
class _Scale:
    """Factors from the robot that the settings were tuned on to another."""

    length: float
    mass: float

    @property
    def time(self) -> float:
        return math.sqrt(self.length)

    def gains(self, gains: Gains) -> Gains:
        stiffness, damping = gains
        return stiffness / self.length, damping / self.time


def settings_for(model: BipedModel, usual: BipedSettings | None = None) -> BipedSettings:
    """The `usual` settings, made to fit the robot that `model` is of."""
    s = usual or BipedSettings()
    model.update(model.home())
    height = float(model.com[2] - model.feet[:, 2].mean())
    scale = _Scale(height / HEIGHT, model.mass / MASS)
    length, time = scale.length, scale.time
    vx, vy, wz = s.fastest
    return replace(
        s,
        balance_gain=s.balance_gain / time,
        height_gains=scale.gains(s.height_gains),
        step_out=s.step_out * length,
        step_in=s.step_in * length,
        beside=s.beside * length,
        lean=s.lean * length,
        shift_s=s.shift_s * time,
        both_feet_s=s.both_feet_s * time,
        landing_s=s.landing_s * time,
        late_s=s.late_s * time,
        swing_height=s.swing_height * length,
        fastest_swing=s.fastest_swing * time,
        touchdown_speed=s.touchdown_speed * time,
        touchdown_depth=s.touchdown_depth * length,
        fastest=(vx * time, vy * time, wz / time),
        ramp_s=s.ramp_s * time,
        leash=s.leash * length,
        path_gain=s.path_gain / time,
        max_return=s.max_return * time,
        squat_depth=s.squat_depth * length,
        reach_gains=scale.gains(s.reach_gains),
        fastest_reach=s.fastest_reach * time,
        steps=_steps(s.steps, scale, model, height),
        wbc=_wbc(s.wbc, scale, trunk_joints(model)),
    )


def _steps(s: StepSettings, scale: _Scale, model: BipedModel, height: float) -> StepSettings:
    left, right = model.feet[:, 1]
    soles = float(model.corner_offsets[1, :, 1].max() - model.corner_offsets[0, :, 1].min())  # from middle to middle
    narrowest = soles + CLEARANCE * height
    return replace(
        s,
        duration_s=s.duration_s * scale.time,
        shortest_s=s.shortest_s * scale.time,
        longest_s=s.longest_s * scale.time,
        width=max(NARROWER * float(left - right), narrowest + ROOM * height),
        narrowest=narrowest,
        widest=s.widest * scale.length,
        longest=s.longest * scale.length,
        time_weight=s.time_weight * scale.length**2,
    )


def _wbc(s: BipedWbcSettings, scale: _Scale, trunk: tuple[str, ...]) -> BipedWbcSettings:
    turning = scale.length**2
    return replace(
        s,
        momentum_weight=s.momentum_weight / (scale.mass * scale.length) ** 2,
        momentum_damping=s.momentum_damping / scale.time,
        stance_damping=s.stance_damping / scale.time,
        swing_gains=scale.gains(s.swing_gains),
        swing_turn_gains=scale.gains(s.swing_turn_gains),
        orientation_weight=s.orientation_weight * turning,
        orientation_gains=scale.gains(s.orientation_gains),
        posture_weight=s.posture_weight * turning,
        posture_gains=scale.gains(s.posture_gains),
        trunk=trunk,
        trunk_weight=s.trunk_weight * turning,
        force_weight=s.force_weight / scale.mass**2,
        fallback_damping=s.fallback_damping * scale.mass * scale.length * scale.time,
    )


def trunk_joints(model: BipedModel) -> tuple[str, ...]:
    """Joints that hold the trunk to the base: on the way to both feet, or with more than half of what is no leg."""
    on_way = np.abs(model.jacobians[:, :, 6:]).max(axis=1) > 1e-9
    joints = [model.model.joint(joint).id for joint in model.spec.joints]
    carried = model.model.body_subtreemass[model.model.jnt_bodyid[joints]]
    leg_roots = [int(np.argmax(np.where(way & ~on_way.all(axis=0), carried, 0.0))) for way in on_way]
    rest = model.mass - carried[leg_roots].sum()
    holds = on_way.all(axis=0) | (~on_way.any(axis=0) & (carried > rest / 2))
    return tuple(joint for joint, held in zip(model.spec.joints, holds, strict=True) if held)
