"""A legged robot on its feet: gait, footholds, convex MPC at 50 Hz and whole-body control at 500 Hz.

The controller owns a nominal model and sees only a `LeggedState`, measured or estimated, never the simulator.
"""

import cmath
import math
import time
from dataclasses import dataclass, field, replace

import mujoco
import numpy as np

from robotics.controllers.legged.gaits import gait
from robotics.controllers.legged.jacobian_transpose import JacobianTransposeControl
from robotics.controllers.legged.model import FloatingBaseModel, LeggedState
from robotics.controllers.legged.path import Path, PathSettings
from robotics.controllers.legged.srbd_mpc import GRAVITY, Body, Horizon, SrbdMPC, SrbdSettings
from robotics.controllers.legged.swing import swing
from robotics.controllers.legged.terrain import GroundPlane
from robotics.controllers.legged.wbc import BodyTarget, FootTarget, LeggedWbc, LeggedWbcSettings
from robotics.controllers.qp import GuardedSolver
from robotics.controllers.qp.guard import Faults
from robotics.controllers.robot_spec import RobotSpec
from robotics.controllers.rotation import log_between, rotation_matrix

Array = np.ndarray


@dataclass(frozen=True)
class Twist:
    """Commanded velocity of the base in its own heading: forwards and to the left [m/s], turning left [rad/s]."""

    vx: float = 0.0
    vy: float = 0.0
    wz: float = 0.0


@dataclass(frozen=True)
class LocomotionSettings:
    """Timing, and how far the feet reach.

    Lengths without a unit are fractions of the height of the hips at home; times are those of a robot of
    `Locomotion.REFERENCE_HEIGHT`, and become longer with the legs.
    """

    wbc_period_s: float = 0.002
    mpc_period_s: float = 0.02
    stand_s: float = 0.3  # before the first step
    ramp_s: float = 1.0  # until a command is reached in full
    swing_height: float = 0.34  # a stair of 8 cm catches feet that clear it by nothing
    extension: float = 0.95  # a foothold's largest distance from its shoulder, as share of the leg's length
    hurry: float = 0.5  # [s/m]: how much faster a robot steps that moves faster than it shall
    calm: float = 0.2  # by how much it may without hurrying [m/s]
    fastest: float = 0.6  # share of its usual period that a hurried gait still takes
    foothold_gain: float = 0.09  # [s], of the velocity error
    trim_gain: float = 0.05  # of the sum of the velocity error: how far out feet land that always land too short
    max_trim: float = 0.2
    touchdown_depth: float = 0.007
    early: float = 0.6  # share of the swing after which a foot that finds a step up stays there
    step_up: float = 0.04  # what counts as one
    grace: float = 0.2  # share of the stance that a foot may take to land
    reaching: float = 0.8  # how fast a foot that is late reaches down for the ground [m/s]
    landing: float = 0.15  # share of the stance during which a foot may not be down yet, or not any more
    adaptation: float = 85.0  # how fast a sagging body is believed to be loaded [1/s^3]; 0 believes the model
    max_load: float = 8.0  # largest acceleration that a load is believed to cost [m/s^2]
    whole_body: bool = True  # False: planned forces through the Jacobians, to see what whole-body control is worth
    path: PathSettings = field(default_factory=PathSettings)
    srbd: SrbdSettings = field(default_factory=SrbdSettings)
    wbc: LeggedWbcSettings = field(default_factory=LeggedWbcSettings)

    def paced(self, pace: float) -> "LocomotionSettings":
        """The same for a robot whose legs swing `pace` times slower."""
        srbd = replace(self.srbd, step_s=pace * self.srbd.step_s)
        return replace(self, foothold_gain=pace * self.foothold_gain, srbd=srbd)


class Locomotion:
    """Torques for a robot with legs. Call `reset` once, then `torque` every `wbc_period_s`.

    Raises UsageError when `model` lacks what `spec` names.
    """

    #: Height of the hips of the robot that all times are given for [m].
    REFERENCE_HEIGHT = 0.288

    def __init__(
        self, model: mujoco.MjModel, spec: RobotSpec, settings: LocomotionSettings | None = None, solver: str = "daqp"
    ) -> None:
        self.model = FloatingBaseModel(model, spec)
        home = self.model.home()
        self._leg = float(home.position[2])
        self.settings = (settings or LocomotionSettings()).paced(self._pace())
        self.faults = Faults()
        guarded = GuardedSolver(solver, faults=self.faults)
        self.mpc = SrbdMPC(self.settings.srbd, guarded)
        self.wbc: LeggedWbc | JacobianTransposeControl = (
            LeggedWbc(self.model, self.settings.wbc, solver=guarded)
            if self.settings.whole_body
            else JacobianTransposeControl(self.model, self.settings.wbc)
        )
        self.model.update(home)
        self._ground_to_com = float(self.model.com[2])
        self._hips: list[complex] = (self.model.hips @ [1, 1j]).tolist()
        self._shoulders: list[complex] = (self.model.shoulders[:, :2] @ [1, 1j]).tolist()
        height = self._leg + float(self.model.shoulders[:, 2].mean())
        self._reach = math.sqrt(max((self.settings.extension * self.model.leg_length) ** 2 - height**2, 0.0))
        self._period_ticks = round(self.settings.mpc_period_s / self.settings.wbc_period_s)
        self.reset(home)

    def _pace(self) -> float:
        """How much slower than the robot that the times are given for this one swings its legs: as pendulums do."""
        return min(max(math.sqrt(self._leg / self.REFERENCE_HEIGHT), 0.6), 1.5)

    def reset(self, state: LeggedState) -> None:
        """Start anew from `state`, standing."""
        self.model.update(state)
        self.command, self.gait = Twist(), gait("stand")
        self._wanted_gait = self.gait
        self._t = self._gait_t = 0.0
        self._tick = 0
        self._instant = self.gait.at(0.0)
        self._heading_now = _yaw(self.model.R)
        self._velocity = self.model.com_velocity
        self._upright = state.quat
        self._path = Path(self.settings.path, self.model.com[:2], self._heading_now)
        self._lift_off = self.model.feet.copy()
        self._standing = [True] * len(self._lift_off)
        self._stance = np.array(self._standing)
        self._in_the_air: list[int] = []
        self._landed, self._felt = self._standing.copy(), self._standing.copy()
        self.ground = GroundPlane(self.model.feet)
        self._targets = self.model.feet.copy()
        self._planned = self.model.com[None].copy()
        self._lift, self._trim, self._pushed = 0.0, 0j, False
        self._forces = self._shared_weight(self._stance)
        self.timing_ms: dict[str, float] = {}

    def walk(self, name: str, command: Twist) -> None:
        """Ask for a gait and a velocity. Takes effect with the next tick; commands are ramped."""
        wanted = gait(name).paced(self._pace())
        if wanted != self._wanted_gait:
            self.gait, self._wanted_gait, self._gait_t = wanted, wanted, 0.0
        self.command = command

    def torque(self, state: LeggedState) -> Array:
        """Joint torques (n,) [N m] for the next `wbc_period_s`. Never NaN, never above the limits."""
        started = time.perf_counter()
        if not state.is_finite():
            self.faults.nan += 1
            self.faults.fallback_ticks += 1
            damping = -self.settings.wbc.fallback_damping * np.nan_to_num(state.v)
            return np.clip(damping, self.model.torque_lower, self.model.torque_upper)
        self.model.update(state)
        self._heading_now, self._velocity = _yaw(self.model.R), self.model.com_velocity
        known = time.perf_counter()
        self._advance()
        twist = self._ramped()
        planning = self._tick % self._period_ticks == 0
        if planning:
            period = self.settings.mpc_period_s
            speed = math.hypot(twist.vx, twist.vy)
            self._path.advance(twist.vx, twist.vy, twist.wz, self.model.com[:2], self._heading_now, period)
        # Complex numbers turn in the plane
        velocity = complex(twist.vx, twist.vy) * cmath.rect(1.0, self._heading_now) + self._path.back
        if planning:
            excess = abs(complex(*self._velocity[:2].tolist()) - velocity)
            self._pushed = excess > self.settings.calm
            self._step_in_time(speed, excess)
        self._place_feet(velocity, twist.wz)
        height = self._body_height()
        self._adapt(height)
        planned = 0.0
        if planning:
            before = time.perf_counter()
            self._plan(velocity, twist.wz)
            planned = time.perf_counter() - before
            self.timing_ms["mpc"] = planned * 1e3
        body = self._body_target(height, velocity, twist.wz)
        torque = self.wbc.torque(self._stance, self._forces, body, self._foot_targets())
        self._tick += 1
        ended = time.perf_counter()
        self.timing_ms |= {"model": (known - started) * 1e3, "wbc": (ended - known - planned) * 1e3}
        return torque

    @property
    def trusted_feet(self) -> Array:
        """Feet that are on the ground for sure, bool (feet,): neither just landing nor about to lift off."""
        trusted = np.zeros(len(self._standing), bool)
        trusted[self._trusted()] = True
        return trusted

    def _trusted(self) -> list[int]:
        landing = self.settings.landing if self.gait.duty < 1.0 else -1.0
        done = self._instant.stance_progress
        return [i for i, down in enumerate(self._standing) if down and landing < done[i] < 1.0 - landing]

    def footholds(self) -> Array:
        """Where the feet in the air are meant to land: (feet in the air, 3) [m]."""
        return self._targets[~self._stance]

    def horizon_path(self) -> Array:
        """Where the centre of mass is meant to be over the MPC's horizon: (steps, 3) [m]."""
        return self._planned

    # -- gait and feet -------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Move the clock and the gait on; remember where feet lift off and where they stand."""
        self._t += self.settings.wbc_period_s
        if self._t > self.settings.stand_s:
            self._gait_t += self.settings.wbc_period_s
        self._instant = self.gait.at(self._gait_t)
        standing = self._instant.stance if self._t > self.settings.stand_s else [True] * len(self._standing)
        touch = self.model.state.touch
        if touch is not None and self.gait.duty < 1.0:
            standing = self._touching(standing, touch.tolist())
        if standing != self._standing:  # a planned force of another foot is no use
            stance = np.array(standing)
            lifting = self._stance & ~stance
            self._lift_off[lifting] = self.model.feet[lifting]
            self._forces = np.where(stance[:, None], self._forces, 0.0)
            self._tick += -self._tick % self._period_ticks
            self._standing, self._stance = standing.copy(), stance
            self._in_the_air = np.flatnonzero(~stance).tolist()
        self.ground.stand(self._trusted(), self.model.feet)

    def _step_in_time(self, speed: float, excess: float) -> None:
        """The gait for a commanded speed, hurried where the body moves faster than it shall [m/s]: falling, the next
        foot can not be down too soon. The phase goes on."""
        s = self.settings
        wanted = self._wanted_gait.at_speed(speed / math.sqrt(GRAVITY * self._leg))
        if wanted.duty < 1.0:
            wanted = wanted.paced(max(1.0 / (1.0 + s.hurry * max(excess - s.calm, 0.0)), s.fastest))
        self._gait_t *= wanted.period_s / self.gait.period_s
        self.gait = wanted

    def _touching(self, scheduled: list[bool], touch: list[bool]) -> list[bool]:
        """Feet that stand: a foot that is due but feels no ground yet goes on reaching for it, and one
        that finds the ground early stays there."""
        flown, stood, s = self._instant.swing_progress, self._instant.stance_progress, self.settings
        for foot, (due, feels) in enumerate(zip(scheduled, touch, strict=True)):
            if due:  # landing takes a moment; only then is it late
                self._felt[foot] = self._felt[foot] or feels
                self._landed[foot] = self._felt[foot] or stood[foot] < s.grace
                continue
            if flown[foot] < s.early:  # still leaving the ground, or stumbling over an edge that it has to get over
                self._felt[foot] = False
            elif feels:
                # On ground as expected a foot that is all but there arrives as planned; a step up it takes
                x, y, z = self.model.feet[foot].tolist()
                self._felt[foot] = self._felt[foot] or z > self.ground.height_at(x, y) + s.step_up * self._leg
            self._landed[foot] = self._felt[foot]
        return self._landed

    def _place_feet(self, velocity: complex, wz: float) -> None:
        """Footholds of the feet in the air (Raibert 1986): below the hip at mid-stance, and against velocity errors."""
        s, state = self.settings, self.model.state
        half_stance = 0.5 * self.gait.stance_s
        actual = complex(*self._velocity[:2].tolist())
        base = complex(*state.position[:2].tolist())
        excess = actual - velocity
        facing = cmath.rect(1.0, self._heading_now)
        # What is always too fast steps further out: integral action, in the robot's own heading
        trim = self._trim + s.trim_gain * s.wbc_period_s * excess / facing
        self._trim = trim * min(1.0, s.max_trim * self._leg / max(abs(trim), 1e-9))
        step = actual * half_stance + s.foothold_gain * excess + self._trim * facing
        for foot in self._in_the_air:
            if self._instant.stance[foot]:  # late: straight down from where it was to land
                continue
            left = self._instant.time_to_touchdown[foot]
            turned = cmath.rect(1.0, self._heading_now + wz * (left + half_stance))
            hip = complex(self._hips[foot].real, self.gait.width * self._hips[foot].imag)
            shoulder = base + self._shoulders[foot] * turned + actual * left
            leg = (hip - self._shoulders[foot]) * turned + step
            landing = shoulder + leg * min(1.0, self._reach / max(abs(leg), 1e-9))
            height = self.ground.height_at(landing.real, landing.imag) - s.touchdown_depth * self._leg
            self._targets[foot] = landing.real, landing.imag, height

    def _foot_targets(self) -> dict[int, FootTarget]:
        """Of each foot in the air."""
        s, gait, now, targets = self.settings, self.gait, self._instant, {}
        duration, height = gait.swing_s, gait.lift * s.swing_height * self._leg
        for foot in self._in_the_air:
            end = self._targets[foot].tolist()
            if now.stance[foot]:
                end[2] -= min(s.reaching * now.stance_progress[foot] * gait.stance_s, 0.5 * self._leg)
                targets[foot] = FootTarget(end, [0.0, 0.0, -s.reaching], [0.0, 0.0, 0.0])
                continue
            path = swing(self._lift_off[foot].tolist(), end, now.swing_progress[foot], duration, height)
            targets[foot] = FootTarget(*path)
        return targets

    def _body_height(self) -> float:
        """Where the centre of mass shall be [m]."""
        x, y, _ = self.model.com.tolist()
        return self.ground.height_at(x, y) + self._ground_to_com

    # -- plan ----------------------------------------------------------------------------------------------------

    def _plan(self, velocity: complex, wz: float) -> None:
        """Ground reaction forces for the coming step of the MPC."""
        model = self.model
        body = Body(
            mass=model.mass,
            inertia=model.R @ model.composite_inertia() @ model.R.T,
            angles=_roll_pitch_yaw(model.R),
            com=model.com,
            angular_velocity=model.R @ model.state.angular_velocity,
            velocity=self._velocity,
            lift=self._lift,
        )
        forces = self.mpc.forces(body, self._horizon(np.array([velocity.real, velocity.imag, 0.0]), wz))
        self._forces = self._shared_weight(self._stance) if forces is None else forces

    def _horizon(self, velocity: Array, wz: float) -> Horizon:
        s, srbd, model = self.settings, self.settings.srbd, self.model
        N = srbd.horizon
        times = srbd.step_s * np.arange(1, N + 1)
        self.ground.fit()
        self._upright = self.ground.orientation(self._path.heading)
        angles, positions = np.empty((N, 3)), np.empty((N, 3))
        angles[:, :2] = _roll_pitch_yaw(rotation_matrix(self._upright))[:2]
        angles[:, 2] = self._path.heading + wz * times
        ways = times[:, None] * velocity[:2]
        positions[:, :2] = model.com[:2] + self._path.pull + ways
        positions[:, 2] = self._body_height() + ways @ self.ground.slope
        self._planned = positions
        starts = times - srbd.step_s
        stance = self.gait.in_stance(self._gait_t + starts + 0.5 * srbd.step_s)
        stance |= (self._t + starts <= s.stand_s)[:, None]
        stance[0] = self._stance
        feet = np.empty((N, *model.feet.shape))
        feet[:] = np.where(self._stance[:, None], model.feet, self._targets)
        # A foot that stands, lifts off and lands again does so about a period's way further on
        landing = stance.copy()
        landing[0] = False
        landing[1:] &= ~stance[:-1]
        feet[np.logical_or.accumulate(landing, axis=0) & self._stance] += velocity * self.gait.period_s
        turning, velocities = np.zeros((N, 3)), np.empty((N, 3))
        turning[:, 2], velocities[:] = wz, velocity
        return Horizon(angles, positions, turning, velocities, feet, stance)

    def _body_target(self, height: float, velocity: complex, wz: float) -> BodyTarget:
        vx, vy, (sx, sy) = velocity.real, velocity.imag, self.ground.slope.tolist()
        return BodyTarget(
            height=height,
            velocity=np.array((vx, vy, vx * sx + vy * sy)),  # along the ground
            orientation_error=log_between(self.model.state.quat, self._upright),
            angular_velocity=np.array((0.0, 0.0, wz)),
            lift=self._lift,
            corrected=not self.gait.to_the_plan or not self._in_the_air,
        )

    def _adapt(self, height: float) -> None:
        """Integrate the error of the wanted `height` into what must act on the body beside the model: a payload."""
        if self._pushed:  # a body that is thrown about sinks and rises by itself
            return
        s = self.settings
        sag = height - float(self.model.com[2])
        lift = self._lift - s.adaptation * sag * s.wbc_period_s
        self._lift = min(max(lift, -s.max_load), s.max_load)

    def _shared_weight(self, stance: Array) -> Array:
        """The weight, shared by the feet that stand: the plan where there is no better one (feet, 3) [N]."""
        forces = np.zeros((len(stance), 3))
        if stance.any():
            forces[stance, 2] = self.model.mass * GRAVITY / stance.sum()
        return forces

    def _ramped(self) -> Twist:
        share = min(max((self._t - self.settings.stand_s) / self.settings.ramp_s, 0.0), 1.0)
        if share == 1.0:
            return self.command
        return Twist(share * self.command.vx, share * self.command.vy, share * self.command.wz)


def _yaw(R: Array) -> float:
    return math.atan2(R[1, 0], R[0, 0])


def _roll_pitch_yaw(R: Array) -> Array:
    return np.array([np.arctan2(R[2, 1], R[2, 2]), -np.arcsin(np.clip(R[2, 0], -1, 1)), _yaw(R)])
