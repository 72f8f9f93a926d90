r"""A robot on its two feet: balance by its capture point, steps when that is not enough, walking, squatting,
reaching.

The controller owns a nominal model and sees only a `LeggedState`, measured or estimated, never the simulator.

The centre of mass c over a centre of pressure r falls like a linear inverted pendulum,
:math:`\ddot c = \omega^2 (c - r)` with :math:`\omega = \sqrt{g / z}`. Its divergent part is the capture point
:math:`\xi = c + \dot c / \omega`,

.. math:: \dot\xi = \omega (\xi - r), \qquad \dot c = \omega (\xi - c),

so that c follows :math:`\xi` by itself. To stand, the pressure keeps :math:`\xi` in the middle of the feet,
:math:`\xi^*`:

.. math:: r = \xi^* + (1 + k / \omega) (\xi - \xi^*) \;\Rightarrow\; \dot\xi = -k (\xi - \xi^*),

as far as the soles allow; what is asked beyond them, by up to `lean`, turns the body instead. In a step on a foot at
:math:`u_0` that lands at :math:`u_0 + d` in the time T, :math:`\xi` shall reach :math:`u_0 + d + b` by then, so that
now

.. math:: \xi^* = u_0 + (d + b)\, e^{-\omega T}, \qquad
          r = u_0 + (1 + k / \omega) (\xi - \xi^*) \;\Rightarrow\; \dot\xi - \dot\xi^* = -k (\xi - \xi^*),

within the sole of that foot; d, b and T come from `steps`. The whole-body controller gets
:math:`\ddot c = \omega^2 (c - r)` and a height. After Englsberger et al. 2015 (divergent component of motion).
"""

import math
import time
from dataclasses import dataclass

import mujoco
import numpy as np

from robotics.controllers.humanoid.course import Course
from robotics.controllers.humanoid.height import Crouch, Squat
from robotics.controllers.humanoid.model import BipedModel
from robotics.controllers.humanoid.reaching import Hands
from robotics.controllers.humanoid.settings import BipedSettings
from robotics.controllers.humanoid.steps import StepPlanner
from robotics.controllers.humanoid.support import hull, inner_box, margin, within
from robotics.controllers.humanoid.swing import SwingFoot
from robotics.controllers.humanoid.wbc import BipedWbc, BodyTarget, FootTarget
from robotics.controllers.legged.locomotion import Twist
from robotics.controllers.legged.model import LeggedState
from robotics.controllers.qp import GuardedSolver
from robotics.controllers.qp.guard import Faults
from robotics.controllers.robot_spec import RobotSpec
from robotics.controllers.rotation import log_between

Array = np.ndarray
BOTH = np.array([True, True])
#: No robot is as many metres away, as fast or as far wound up [SI units].
CREDIBLE = 1e5


@dataclass
class _SingleSupport:
    """One step: the robot stands on `stance` while the other foot swings."""

    stance: int
    swing: SwingFoot
    displacement: Array
    remaining_s: float
    elapsed_s: float = 0.0
    landed: bool = False

    @property
    def flying(self) -> int:
        return 1 - self.stance

    @property
    def side(self) -> int:
        """1 when the left foot swings, -1 when the right one does."""
        return 1 if self.stance == 1 else -1


class Biped:
    """Torques for a robot on two feet. Call `reset` once, then `torque` every `wbc_period_s`.

    It stands unless told to `squat`, `crouch` or `walk`; `hands.reach` tells a hand where to be meanwhile.

    Raises UsageError when `model` lacks what `spec` names, or is no biped.
    """

    def __init__(
        self, model: mujoco.MjModel, spec: RobotSpec, settings: BipedSettings | None = None, solver: str = "daqp"
    ) -> None:
        self.settings = settings or BipedSettings()
        self.model = BipedModel(model, spec)
        self.faults = Faults()
        guarded = GuardedSolver(solver, faults=self.faults)
        self.wbc = BipedWbc(self.model, self.settings.wbc, solver=guarded)
        home = self.model.home()
        self.model.update(home)
        self._height = float(self.model.com[2] - self.model.feet[:, 2].mean())
        self._longest_leg = self.settings.leg_share * math.dist(self.model.com, self.model.feet[0])
        self._posture = np.array(spec.home)
        self.course, self.hands = Course(self.settings), Hands(self.model, self.settings)
        self.planner = StepPlanner(self._height, self.settings.steps, guarded)
        self._omega = self.planner.omega
        self._plan_ticks = round(self.settings.plan_period_s / self.settings.wbc_period_s)
        self._reach = self.settings.sole_share * np.array([inner_box(sole) for sole in self.model.corner_offsets])
        self.reset(home)

    def reset(self, state: LeggedState) -> None:
        """Start anew from `state`, standing."""
        self.model.update(state)
        self.course.reset(_yaw(self.model.R), self.model.com[:2])
        self._sunk: Squat | Crouch = Crouch()
        self.hands.release()
        self._t = 0.0
        self._tick = 0
        self._step: _SingleSupport | None = None
        self._shift: tuple[float, int] | None = None
        self._ground = float(self.model.feet[:, 2].mean())
        self._see()
        self._inside()
        self.capture_target = self._capture.copy()
        self.com_target = self.model.com.copy()
        self.pressure_target = self._capture.copy()
        self.steps_taken = 0
        self.timing_ms: dict[str, float] = {}

    def stand(self) -> None:
        """Ask for standing; a walk ends with the step in progress."""
        self._sunk = Crouch()
        self.course.stop()

    def squat(self, depth: float | None = None, frequency_hz: float = 0.25) -> None:
        """Ask for squatting: the centre of mass sinks by `depth` [m] (`squat_depth` unless given) and rises again, as a
        cosine."""
        self.stand()
        self._sunk = Squat(self.settings.squat_depth if depth is None else depth, frequency_hz)

    def crouch(self, height: float, speed: float = 0.0) -> None:
        """Ask for standing with the base `height` [m] above the ground, and just now rising with `speed` [m/s]."""
        self.course.stop()
        above = float(self.model.com[2] - self.model.state.position[2])
        self._sunk = Crouch(self._height - above - height, -speed)

    def walk(self, command: Twist) -> None:
        """Ask for walking with a velocity; it is ramped, and as fast as the robot can: `BipedSettings.fastest`."""
        self.course.walk(command, self.model.com[:2])

    @property
    def command(self) -> Twist:
        """The velocity that it walks with, once it is up to speed."""
        return self.course.command

    def torque(self, state: LeggedState) -> Array:
        """Joint torques (n,) [N m] for the next `wbc_period_s`. Never NaN, never above the limits."""
        started = time.perf_counter()
        if not _credible(state):
            self.faults.nan += 1
            self.faults.fallback_ticks += 1
            speed = np.clip(np.nan_to_num(state.v), -CREDIBLE, CREDIBLE)
            return np.clip(
                -self.settings.wbc.fallback_damping * speed, self.model.torque_lower, self.model.torque_upper
            )
        self.model.update(state)
        known = time.perf_counter()
        self._t += self.settings.wbc_period_s
        self.course.tick()
        self._sunk.tick(self.settings.wbc_period_s)
        self._see()
        self._decide()
        planned = 0.0
        if self._step is not None:
            before = time.perf_counter()
            if self._tick % self._plan_ticks == 0:
                self._plan(self._step)
                planned = time.perf_counter() - before
                self.timing_ms["mpc"] = planned * 1e3
            self._swing_on(self._step)
        contact, step = self._contact()
        swing = None if step is None else self._foot_target(step)
        torque = self.wbc.torque(contact, self._body_target(), swing)
        self._tick += 1
        ended = time.perf_counter()
        self.timing_ms |= {"model": (known - started) * 1e3, "wbc": (ended - known - planned) * 1e3}
        return torque

    @property
    def trusted_feet(self) -> Array:
        """Balls under the soles that are on the ground for sure, bool (feet,) in the order of `RobotSpec.feet`."""
        contact, _ = self._contact()
        trusted = contact.repeat(self.model.corners.shape[1])
        touch = self.model.state.touch
        return trusted if touch is None else trusted & touch

    # -- what is drawn -------------------------------------------------------------------------------------------

    def foothold(self) -> Array | None:
        """Where the foot in the air is meant to land (3,) [m]."""
        return None if self._step is None else np.array(self._landing(self._step))

    @property
    def capture(self) -> Array:
        """The capture point (2,) [m]."""
        return self._capture

    # -- when to step --------------------------------------------------------------------------------------------

    def _see(self) -> None:
        """The capture point, and where the ground is."""
        model = self.model
        self._capture = model.com[:2] + model.com_velocity[:2] / self._omega

    def _decide(self) -> None:
        """Begin a step, end it, or stand."""
        s, model = self.settings, self.model
        if self._step is not None:
            step = self._step
            step.elapsed_s += s.wbc_period_s
            step.remaining_s -= s.wbc_period_s
            if step.remaining_s < s.landing_s:
                step.landed |= self._touches(step.flying)
            high = float(model.feet[step.flying, 2]) - self._ground > 0.004 and not step.landed
            if step.remaining_s <= 0 and not (high and step.remaining_s > -s.late_s):
                self.steps_taken += 1
                if self.course.walking or not self._stands_well():
                    self._begin_step(step.flying)
                else:
                    self._stand_here()
            return
        if s.can_step and self._inside() < -s.step_out:
            self._shift = None
            self._begin_step(self._better_stance())
        elif self.course.walking:
            self._shift_weight()
        else:
            middle = model.feet[:, :2].mean(axis=0)
            self.capture_target += (middle - self.capture_target) * (s.wbc_period_s / 0.3)

    def _touches(self, foot: int) -> bool:
        """Whether the robot feels the ground under any part of the sole; not, on one without switches."""
        touch, balls = self.model.state.touch, self.model.corners.shape[1]
        return touch is not None and bool(touch[foot * balls : (foot + 1) * balls].any())

    def _inside(self) -> float:
        """How far the capture point is inside the support of both feet [m], negative outside."""
        corners = self.model.arms + self.model.feet[:, None]
        self._support = hull((x, y) for x, y, _ in corners.reshape(-1, 3).tolist())
        return margin(self._support, *self._capture.tolist())

    def _stands_well(self) -> bool:
        """Whether both feet, beside each other, hold the capture point between them."""
        s = self.settings
        ahead, _ = self.course.in_heading(self.model.feet[0, :2] - self.model.feet[1, :2])
        return abs(ahead) < s.beside and self._inside() > s.step_in

    def _better_stance(self) -> int:
        """The foot to stand on while the other one catches the robot: that for which the step is nearer to a usual
        one."""
        costs = []
        for stance in (0, 1):
            side = 1 if stance == 1 else -1
            wanted = self.planner.nominal(0.0, 0.0, side)
            capture = self.course.in_heading(self._capture - self.model.feet[stance, :2])
            step = self.planner.plan(capture, np.zeros(2), wanted, side, 0.0, 0.0)
            missed = capture * math.exp(self._omega * step.remaining_s) - step.displacement - wanted[1]
            costs.append(float(missed @ missed) + 1e-3 * float(np.square(step.displacement - wanted[0]).sum()))
        return int(np.argmin(costs))

    def _shift_weight(self) -> None:
        """Bring the capture point to where it is at the beginning of a usual step, then step."""
        s, model = self.settings, self.model
        if self._shift is None:
            self._shift = (self._t, 0)
            self._shift_from = self.capture_target.copy()
        began, stance = self._shift
        _, offset = self.planner.nominal(0.0, 0.0, 1 if stance == 0 else -1)
        goal = model.feet[stance, :2] + self.course.to_world(offset)
        share = min((self._t - began) / s.shift_s, 1.0)
        self.capture_target = self._shift_from + share**2 * (3 - 2 * share) * (goal - self._shift_from)
        if share == 1.0 and np.abs(self._capture - goal).max() < 0.015:
            self._shift = None
            self.course.begin()
            self._begin_step(stance)

    def _begin_step(self, stance: int) -> None:
        """Stand on `stance` from now on, and lift the other foot."""
        s, model = self.settings, self.model
        start = model.feet[1 - stance]
        self._ground = float(model.feet[stance, 2])
        duration = s.steps.duration_s
        self._step = _SingleSupport(stance, SwingFoot(start.tolist(), s.swing_height), np.zeros(2), duration)
        self._step.displacement = self.course.in_heading(start[:2] - model.feet[stance, :2])
        self._tick += -self._tick % self._plan_ticks

    def _stand_here(self) -> None:
        self._step = None
        self._ground = float(self.model.feet[:, 2].mean())
        self.capture_target = self._capture.copy()

    # -- the step in progress ------------------------------------------------------------------------------------

    def _plan(self, step: _SingleSupport) -> None:
        """Choose anew where and when the foot lands, until shortly before it does."""
        s = self.settings
        if step.remaining_s < 0.05:
            return
        self._wanted = self.planner.nominal(*self.course.velocity(self.model.com[:2]), step.side)
        stance = self.model.feet[step.stance, :2]
        capture = self.course.in_heading(self._capture - stance)
        pressure = self.course.in_heading(self._pressure() - stance)
        away = math.dist(self._landing(step)[:2], step.swing.position[:2])
        soonest = min(max(0.04, away / s.fastest_swing), s.steps.longest_s)
        step.displacement, step.remaining_s = self.planner.plan(
            capture, pressure, self._wanted, step.side, step.elapsed_s, soonest
        )

    def _landing(self, step: _SingleSupport) -> list[float]:
        x, y = (self.model.feet[step.stance, :2] + self.course.to_world(step.displacement)).tolist()
        return [x, y, self._ground - self.settings.touchdown_depth]

    def _swing_on(self, step: _SingleSupport) -> None:
        s = self.settings
        lifted = step.elapsed_s - s.both_feet_s
        if lifted >= 0:
            step.swing.advance(self._landing(step), lifted, step.remaining_s, s.touchdown_speed, s.wbc_period_s)

    def _contact(self) -> tuple[Array, _SingleSupport | None]:
        """Which feet are on the ground (2,), and the step of the one that is not."""
        step = self._step
        if step is None or step.elapsed_s < self.settings.both_feet_s:
            return BOTH, None
        contact = BOTH.copy()
        contact[step.flying] = False
        return contact, step

    def _foot_target(self, step: _SingleSupport) -> FootTarget:
        swing, quat = step.swing, self.model.foot_quats[step.flying]
        return FootTarget(swing.position, swing.velocity, swing.acceleration, log_between(quat, self.course.upright))

    # -- the body ------------------------------------------------------------------------------------------------

    def _body_target(self) -> BodyTarget:
        s, model, omega = self.settings, self.model, self._omega
        walks = self.course.walking and self._step is not None
        turning = self.course.turn(model.com[:2]) if walks else 0.0
        acceleration = np.empty(3)
        r = self._pressure()
        self.pressure_target = r
        acceleration[:2] = omega**2 * (model.com[:2] - r)
        z, speed, acceleration[2] = self._height_reference()
        stiffness, damping = s.height_gains
        acceleration[2] += stiffness * (z - model.com[2]) + damping * (speed - model.com_velocity[2])
        self.com_target = np.array([*self.capture_target, z])
        return BodyTarget(
            acceleration,
            log_between(model.state.quat, self.course.upright),
            np.array((0.0, 0.0, turning)),
            self._posture,
            self.hands.targets(),
        )

    def _pressure(self) -> Array:
        """Where the centre of pressure shall be (2,) [m], to bring the capture point to where it should be."""
        gain = 1.0 + self.settings.balance_gain / self._omega
        step = self._step
        if step is None:
            wanted = self.capture_target + gain * (self._capture - self.capture_target)
            start, end = self.capture_target.tolist(), wanted.tolist()
            return np.array(within(self._support, start, end, self.settings.lean))
        stance = self.model.feet[step.stance, :2]
        displacement, offset = self._wanted
        end = stance + self.course.to_world(displacement + offset)
        self.capture_target = stance + (end - stance) * math.exp(-self._omega * max(step.remaining_s, 0.0))
        wanted = gain * (self._capture - self.capture_target)
        R = self.model.rotations[step.stance][:2, :2]
        reach = self._reach[step.stance]
        return stance + R @ np.clip(R.T @ wanted, -reach, reach)

    def _height_reference(self) -> tuple[float, float, float]:
        """Height, speed and acceleration of the centre of mass [m]."""
        sunk, speed, acceleration = self._sunk.sunk()
        return self._ground + min(self._height, self._stretch()) - sunk, -speed, -acceleration

    def _stretch(self) -> float:
        """How high the centre of mass may be so that both legs reach the ground with bent knees [m]."""
        feet, com = self.model.feet[:, :2].tolist(), self.model.com[:2].tolist()
        if self._step is not None:
            feet[self._step.flying] = self._landing(self._step)[:2]
        away = max(math.dist(foot, com) for foot in feet)
        return math.sqrt(max(self._longest_leg**2 - away**2, 0.25 * self._height**2))


def _credible(state: LeggedState) -> bool:
    """Whether `state` is one that a robot can have: finite numbers, which are not absurd, and a rotation."""
    parts = (state.position, state.quat, state.velocity, state.angular_velocity, state.q, state.v)
    return bool(np.abs(np.concatenate(parts)).max() < CREDIBLE and abs(state.quat @ state.quat - 1.0) < 0.1)


def _yaw(R: Array) -> float:
    return math.atan2(R[1, 0], R[0, 0])
