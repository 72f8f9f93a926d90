"""A bimanual robot on wheels under its controller: both hands follow paths in the world while it drives."""

import math
from typing import Any

import mujoco
import numpy as np

from robotics.control import overlay
from robotics.control.camera import NAME, film
from robotics.control.circle import judged, turned
from robotics.control.hands import OTHERS, SETTINGS, HandsSession, hand_errors, hand_tracking
from robotics.control.hands_plant import HandsPlant, hang_payload
from robotics.control.machine import embedded
from robotics.control.plant import name_of_joints_body, require_apart
from robotics.control.session import settled
from robotics.control.trial import Trial
from robotics.controllers.arms import HandTarget
from robotics.controllers.legged.locomotion import Twist
from robotics.controllers.limbs import turning_point
from robotics.controllers.mobile import BaseSettings, MobileCerebellum
from robotics.controllers.model import NominalModel
from robotics.controllers.rotation import rotated, rotation_matrix
from robotics.controllers.tasks import Reference
from robotics.envs.robots.mobile_aloha import MOBILE_ALOHA, collision_margin, mobile_scene

Array = np.ndarray

EMBEDDED = embedded("mobile", MOBILE_ALOHA, mobile_scene)


class MobileSession(HandsSession):
    """`track`: hands draw circles about points that move through the world by the commanded twist. `reach`: both hands
    to one place after the other, most of them out of reach of the arms alone. Each has half of the payload."""

    camera = "chase"

    def __init__(self, trial: Trial) -> None:
        machine = trial.machine() or EMBEDDED
        spec, nominal, scene = machine.spec, machine.nominal(), machine.scene(None)
        #: The body that turns with the base.
        self.chassis = name_of_joints_body(scene, spec.joints[2])
        if machine is EMBEDDED:
            controller = MobileCerebellum(nominal, spec, collision_margin(nominal), SETTINGS, trial.solver)
        else:
            require_apart(nominal, spec)
            base = BaseSettings.within(NominalModel(nominal, spec))
            controller = MobileCerebellum(nominal, spec, None, OTHERS, trial.solver, base=base)
            film(scene, controller.model, spec.joints[2])
            self.camera = NAME
        hang_payload(scene, spec, trial.conditions)
        plant = HandsPlant(scene, spec, trial.conditions, SETTINGS.wbc_period_s, self.chassis, trial.seed)
        super().__init__(trial, controller, plant)
        self.job = Reach(self) if trial.task == "reach" else Track(self)


class Track:
    """Circles of 5 cm, once in four seconds, carried along at the commanded velocity; nobody tells the base."""

    RADIUS, RATE, RAMP_S = 0.05, 0.25, 2.0

    def __init__(self, session: MobileSession) -> None:
        self._s = session
        model = session.controller.model
        x, y, yaw = model.spec.home[:3]
        self._start = np.array([x, y, 0.0]) + [*turning_point(model.model, model.spec), 0.0]
        self._turn = rotation_matrix(np.array([math.cos(yaw / 2), 0, 0, math.sin(yaw / 2)]))
        self._hands = {hand: Reference(*model.pose(hand)) for hand in session.hands}
        self._errors: list[Array] = []
        self._velocities: list[Array] = []

    def plan(self) -> None:
        now = self._s.now
        self._s.controller.follow({hand: lambda t, hand=hand: self.way(hand, now + t) for hand in self._hands})

    def way(self, hand: str, t: float) -> Reference:
        """One hand at time t [s]: its place at home plus its circle, in a frame that drives along with the base."""
        home, frame = self._hands[hand], _driven(self._s.trial.twist, t, self.RAMP_S)
        angle, rate, change = turned(t, self.RATE, self.RAMP_S)
        c, s = math.cos(angle), math.sin(angle)
        R, (wz, turning) = self._turn @ rotation_matrix(frame.quat), (frame.velocity[5], frame.acceleration[5])
        r = R @ (self._turn.T @ (home.position - self._start) + self.RADIUS * np.array([0, s, c - 1]))
        r_rate = R @ (self.RADIUS * rate * np.array([0, c, -s]))
        r_change = R @ (self.RADIUS * (change * np.array([0, c, -s]) - rate**2 * np.array([0, s, c])))
        velocity, acceleration = frame.velocity.copy(), frame.acceleration.copy()
        velocity[:3], acceleration[:3] = self._turn @ velocity[:3], self._turn @ acceleration[:3]
        velocity[:3] += r_rate + wz * _across(r)
        acceleration[:3] += r_change + turning * _across(r) + 2 * wz * _across(r_rate) + wz**2 * _across(_across(r))
        quat = rotated(home.quat, np.array([0, 0, 2 * math.atan2(frame.quat[3], frame.quat[0])]))
        return Reference(self._start + self._turn @ frame.position + r, quat, velocity, acceleration)

    def note(self) -> None:
        self._errors.append(hand_errors(self._s, {hand: self.way(hand, self._s.now) for hand in self._hands}))
        vx, vy, wz = self._s.plant.velocity(self._s.chassis)
        yaw = float(self._s.plant.truth()[0][2])
        c, s = math.cos(yaw), math.sin(yaw)
        self._velocities.append(np.array([c * vx + s * vy, c * vy - s * vx, wz]))

    def failed(self) -> bool:
        """Never: it stands on its wheels whatever happens."""
        return False

    def draw(self, scene: mujoco.MjvScene) -> None:
        for hand in self._hands:
            ahead = [self.way(hand, self._s.now + t).position for t in np.linspace(-2, 4, 41)]
            overlay.path(scene, np.array(ahead), overlay.TARGET, 0.003)
            overlay.path(scene, self._s.controller.planned(hand, np.linspace(0, 0.4, 10)), overlay.PLAN)

    def results(self) -> dict[str, Any]:
        tracking = hand_tracking(self._s.hands, settled(self._errors, self._s.period_s))
        return {
            "velocity_mean": settled(self._velocities, self._s.period_s).mean(axis=0).tolist(),
            "tracking_rms": tracking,
            "circle": judged(self.RADIUS, tracking),
            "base": self._s.plant.truth()[0][:3].tolist(),
        }


class Reach:
    """Both hands to places up to two metres away, as they are to each other at home, five seconds for each."""

    EACH_S, REACHED = 5.0, 0.01

    def __init__(self, session: MobileSession) -> None:
        self._s, self._rng = session, np.random.default_rng(session.trial.seed)
        self._home = {hand: Reference(*session.controller.model.pose(hand)) for hand in session.hands}
        self._targets = self._home
        self._given = 0
        self._missed: list[float] = []
        self._errors: list[Array] = []

    def plan(self) -> None:
        if self._s.now >= self._given * self.EACH_S:
            if self._given:
                self._missed.append(float(np.linalg.norm(self._errors[-1][:, :3], axis=1).max()))
            self._targets = self._somewhere()
            self._given += 1
        self._s.controller.plan(
            {hand: HandTarget(t.position, t.quat, self._s.opening(hand, 0.02)) for hand, t in self._targets.items()}
        )

    def _somewhere(self) -> dict[str, Reference]:
        x, y, z = self._rng.uniform((-1, -1, -0.15), (1, 1, 0.15))
        yaw = float(self._rng.uniform(-1, 1))
        R = rotation_matrix(np.array([math.cos(yaw / 2), 0, 0, math.sin(yaw / 2)]))
        middle = np.mean([h.position for h in self._home.values()], axis=0)
        turn = np.array([0, 0, yaw])
        return {
            hand: Reference(middle + R @ (h.position - middle) + [x, y, z], rotated(h.quat, turn))
            for hand, h in self._home.items()
        }

    def note(self) -> None:
        self._errors.append(hand_errors(self._s, self._targets))

    def failed(self) -> bool:
        """Never: see `Track`."""
        return False

    def draw(self, scene: mujoco.MjvScene) -> None:
        for hand, target in self._targets.items():
            overlay.ball(scene, target.position, overlay.TARGET, 0.02)
            overlay.path(scene, self._s.controller.planned(hand, np.linspace(0, 0.4, 10)), overlay.PLAN)

    def results(self) -> dict[str, Any]:
        late = [errors for tick, errors in enumerate(self._errors) if tick * self._s.period_s % self.EACH_S > 4.0]
        missed = [round(d, 4) for d in self._missed if d > self.REACHED]
        return {
            "velocity_mean": [0.0, 0.0, 0.0],
            "tracking_rms": hand_tracking(self._s.hands, np.array(late or self._errors)),
            "targets": {"given": len(self._missed), "missed_m": missed},
            "base": self._s.plant.truth()[0][:3].tolist(),
        }


def _driven(twist: Twist, t: float, ramp_s: float) -> Reference:
    """A frame on the floor that comes up to a twist within `ramp_s` and keeps it: all along one arc."""
    u = min(max(t / ramp_s, 0.0), 1.0)
    way = ramp_s * (u**3 - 0.5 * u**4) + max(t - ramp_s, 0.0)
    rate, change = 3 * u**2 - 2 * u**3, 6 * u * (1 - u) / ramp_s
    yaw = twist.wz * way
    half = 0.5 * yaw
    length = way * (math.sin(half) / half if abs(half) > 1e-9 else 1.0)
    c, s = math.cos(half), math.sin(half)
    position = length * np.array([c * twist.vx - s * twist.vy, s * twist.vx + c * twist.vy, 0.0])
    c, s = math.cos(yaw), math.sin(yaw)
    unit = np.array([c * twist.vx - s * twist.vy, s * twist.vx + c * twist.vy, 0, 0, 0, twist.wz])
    bend = twist.wz * np.array([-unit[1], unit[0], 0, 0, 0, 0])
    quat = np.array([math.cos(half), 0, 0, math.sin(half)])
    return Reference(position, quat, rate * unit, change * unit + rate**2 * bend)


def _across(r: Array) -> Array:
    """The vertical unit vector times r."""
    return np.array([-r[1], r[0], 0.0])
