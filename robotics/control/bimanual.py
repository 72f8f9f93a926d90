"""Two arms at a table under their controller: both hands on circles, or one box between them along a path."""

import math
from functools import partial
from typing import Any, ClassVar

import mujoco
import numpy as np

from robotics.control import overlay
from robotics.control.camera import NAME, film
from robotics.control.circle import Circle, turned
from robotics.control.hands import OTHERS, SETTINGS, HandsSession, hand_errors, hand_tracking
from robotics.control.hands_plant import BOX_HALF, BOX_MASS, HandsPlant, add_box
from robotics.control.machine import embedded
from robotics.control.plant import name_of_body
from robotics.control.session import rms, settled
from robotics.control.trial import Trial
from robotics.controllers.arms import HandTarget
from robotics.controllers.bimanual import BimanualCerebellum
from robotics.controllers.grasp import Held
from robotics.controllers.rotation import from_axes, log_between, rotated
from robotics.controllers.tasks import Reference
from robotics.envs.robots.aloha import ALOHA, SIDES, aloha_scene, collision_margin
from robotics.errors import UsageError

Array = np.ndarray

EMBEDDED = embedded("bimanual", ALOHA, partial(aloha_scene, "motor"))
#: Hands level towards each other.
LEVEL = {
    "left": from_axes(np.array([1.0, 0, 0]), np.array([0, 1.0, 0])),
    "right": from_axes(np.array([-1.0, 0, 0]), np.array([0, -1.0, 0])),
}
INWARDS = {"left": np.array([1.0, 0, 0]), "right": np.array([-1.0, 0, 0])}


class BimanualSession(HandsSession):
    """`track`: each hand on a circle of its own. `carry`: see `Carry`. A payload is mass of the box in secret."""

    camera = "angle"

    def __init__(self, trial: Trial) -> None:
        machine = trial.machine() or EMBEDDED
        if trial.task == "carry" and machine is not EMBEDDED:
            raise UsageError(f"robot {trial.robot}: only the embedded robot can carry; it takes track")
        spec, nominal, scene, carrying = machine.spec, machine.nominal(), machine.scene(None), trial.task == "carry"
        if machine is EMBEDDED:
            controller = BimanualCerebellum(nominal, spec, collision_margin(nominal), SETTINGS, trial.solver)
        else:
            controller = BimanualCerebellum(nominal, spec, None, OTHERS, trial.solver)
            film(scene, controller.model)
            self.camera = NAME
        if carrying:
            add_box(scene, BOX_MASS + trial.conditions.payload)
        pushed = "box" if carrying else name_of_body(scene, spec.end_effectors[0].site)
        plant = HandsPlant(scene, spec, trial.conditions, SETTINGS.wbc_period_s, pushed, trial.seed)
        super().__init__(trial, controller, plant)
        self.job = Carry(self) if carrying else Track(self)


class Track:
    """Each hand draws an upright circle of 5 cm, once in two seconds, against the other one's sense: ours level before
    the table, those of others down from where they are at home."""

    TOPS: ClassVar = {"left": np.array([-0.15, 0, 0.25]), "right": np.array([0.15, 0, 0.25])}

    def __init__(self, session: HandsSession) -> None:
        self._s = session
        pose = session.controller.model.pose
        self._circles = {}
        for hand, sign in zip(session.hands, (1, -1), strict=True):
            top, quat = (self.TOPS[hand], LEVEL[hand]) if session.known else pose(hand)
            self._circles[hand] = Circle(top, quat, radius=0.05, rate=0.5 * sign, starts_at=1.0)
        self._errors: list[Array] = []

    def plan(self) -> None:
        now = self._s.now
        if now < 1.0:
            targets = {
                hand: HandTarget(circle.at(0).position, circle.quat, self._s.opening(hand, 0.01))
                for hand, circle in self._circles.items()
            }
            self._s.controller.plan(targets)
        else:
            self._s.controller.follow({n: lambda t, c=c: c.at(now + t) for n, c in self._circles.items()})

    def note(self) -> None:
        wanted = {hand: circle.at(self._s.now) for hand, circle in self._circles.items()}
        self._errors.append(hand_errors(self._s, wanted))

    def failed(self) -> bool:
        """Never: the arms are bolted down."""
        return False

    def draw(self, scene: mujoco.MjvScene) -> None:
        for hand, circle in self._circles.items():
            overlay.path(scene, np.array([circle.at(10 + k / 20).position for k in range(41)]), overlay.TARGET, 0.002)
            overlay.path(scene, self._s.controller.planned(hand, np.linspace(0, 0.3, 12)), overlay.PLAN)

    def results(self) -> dict[str, Any]:
        tracking = hand_tracking(self._s.hands, settled(self._errors, self._s.period_s))
        return {"velocity_mean": [0.0, 0.0, 0.0], "tracking_rms": tracking}


class Carry:
    """A box of 1 kg stands between the hands: press on it, lift it by 12 cm, and move it around a closed path in space
    while it turns to and fro."""

    REACH_S, GAP, APPROACH = 1.5, 0.012, 0.02  # time to come near [s], how near [m], speed from there on [m/s]
    TIP = 0.017  # from the end effector's site to its finger tips [m]
    CONTACT, SURE_S = 5.0, 0.06  # force that is felt on contact [N], and for how long
    SETTLE_S, LIFT_S, RATE = 1.0, 2.0, 1 / 6
    LIFT = np.array([0.03, 0.0, 0.12])  # [m]: a little sideways, so that the elbows do not both turn back at once
    SHORTEST_S = 5.0

    def __init__(self, session: HandsSession) -> None:
        self._s = session
        if session.trial.seconds < self.SHORTEST_S:
            raise UsageError(f"--seconds {session.trial.seconds:g}: carry takes {self.SHORTEST_S:g} s to lift its box")
        self._box = Held.box(BOX_MASS, BOX_HALF)
        self._start = Reference(np.array([0, 0, BOX_HALF[2]]), np.array([1.0, 0, 0, 0]))
        self._grasped_s: float | None = None
        self._gap, self._felt_s, self._lost_s = self.GAP, 0.0, 0.0
        self._errors: list[Array] = []
        self._squeeze: list[float] = []
        self._misfelt: list[float] = []
        self._velocities: list[Array] = []

    def plan(self) -> None:
        controller, period = self._s.controller, 10 * self._s.period_s
        if self._grasped_s is not None:
            then = self._s.now - self._grasped_s
            if self._squeeze:
                self._misfelt.append(controller.felt_squeeze() - self._squeeze[-1])
            controller.carry(lambda t: self.way(then + t))
            return
        if self._s.now > self.REACH_S:
            self._gap -= self.APPROACH * period
            touching = min(controller.felt_push(side, INWARDS[side]) for side in SIDES) > self.CONTACT
            self._felt_s = self._felt_s + period if touching else 0.0
            if self._felt_s >= self.SURE_S:
                self._grasped_s = self._s.now
                controller.grasp(self._box, self._start.position, self._start.quat)
                return self.plan()
        outside = BOX_HALF[0] + self.TIP + self._gap
        controller.plan(
            {side: HandTarget(self._start.position - outside * INWARDS[side], LEVEL[side], 0.01) for side in SIDES}
        )

    def way(self, t: float) -> Reference:
        """The box so many seconds after it was grasped."""
        lift, circle = self.SETTLE_S, self.SETTLE_S + self.LIFT_S
        if t < lift:
            return self._start
        if t < circle:
            return self._lifting((t - lift) / self.LIFT_S)
        return self._around(t - circle)

    def _lifting(self, s: float) -> Reference:
        """Up, along the quintic of least jerk."""
        up = self.LIFT
        velocity, acceleration = np.zeros(6), np.zeros(6)
        velocity[:3] = up * (30 * s**2 - 60 * s**3 + 30 * s**4) / self.LIFT_S
        acceleration[:3] = up * (60 * s - 180 * s**2 + 120 * s**3) / self.LIFT_S**2
        position = self._start.position + up * (10 * s**3 - 15 * s**4 + 6 * s**5)
        return Reference(position, self._start.quat, velocity, acceleration)

    def _around(self, t: float) -> Reference:
        """Around a closed curve in space, once in six seconds, with the box turning to and fro."""
        angle, rate, change = turned(t, self.RATE, 1.5)
        s, c, s2, c2 = math.sin(angle), math.cos(angle), math.sin(2 * angle), math.cos(2 * angle)
        place = np.array([0.05 * s, 0.06 * (1 - c), 0.02 * s2, 0, 0, 0.15 * s])
        slope = np.array([0.05 * c, 0.06 * s, 0.04 * c2, 0, 0, 0.15 * c])
        bend = np.array([-0.05 * s, 0.06 * c, -0.08 * s2, 0, 0, -0.15 * s])
        position = self._start.position + self.LIFT + place[:3]
        return Reference(position, rotated(self._start.quat, place[3:]), rate * slope, change * slope + rate**2 * bend)

    def note(self) -> None:
        if self._grasped_s is None or self._s.now < self._grasped_s + self.SETTLE_S:
            return
        wanted, (position, quat) = self.way(self._s.now - self._grasped_s), self._s.plant.box()
        forces = self._s.plant.forces()
        self._errors.append(np.array([*(wanted.position - position), *log_between(quat, wanted.quat)]))
        self._squeeze.append(0.5 * (forces["left"][0] - forces["right"][0]))
        self._velocities.append(self._s.plant.velocity("box"))
        slack = min(forces["left"][0], -forces["right"][0]) < 0.1
        self._lost_s = self._lost_s + self._s.period_s if slack else 0.0

    def failed(self) -> bool:
        """The box has slipped out, or was not found by the time that the hands would have met."""
        return self._lost_s > 0.2 or self._gap < -BOX_HALF[0]

    def draw(self, scene: mujoco.MjvScene) -> None:
        around = [self._around(1.5 + k / 60 / self.RATE).position for k in range(61)]
        overlay.path(scene, np.array(around), overlay.TARGET, 0.002)
        if self._grasped_s is None:
            return
        then = self._s.now - self._grasped_s
        overlay.path(scene, np.array([self.way(then + t).position for t in np.linspace(0, 0.5, 12)]), overlay.PLAN)
        position, _ = self._s.plant.box()
        axes = self._s.data.body("box").xmat.reshape(3, 3)
        for side, force in self._s.plant.forces().items():
            if side in SIDES:
                way = 0.008 * (axes @ force)
                above = axes @ [-BOX_HALF[0] * INWARDS[side][0], 0, BOX_HALF[2] + 0.02]
                overlay.arrow(scene, position + above - way, way, overlay.FORCE)

    def results(self) -> dict[str, Any]:
        """Errors of the box on its path, from the moment that it shall leave the table, and the force that squeezes it
        [N], by its contacts and as the joints feel it."""
        if not self._errors:
            raise UsageError("the hands found no box to carry")
        errors, true = np.array(self._errors), np.array(self._squeeze)
        off = np.linalg.norm(errors[:, :3], axis=1)
        low, high = true.min(), true.max()
        wanted = self._s.controller.carry_settings.squeeze
        return {
            "velocity_mean": np.mean(self._velocities, axis=0).tolist(),
            "tracking_rms": {"position": float(rms(off)), "orientation": float(np.linalg.norm(rms(errors[:, 3:])))},
            "position_max": float(off.max()),
            "squeeze": {
                "wanted": wanted,
                "mean": float(true.mean()),
                "min": float(low),
                "max": float(high),
                "within_2N": float((np.abs(true - wanted) <= 2.0).mean()),
                "felt_rms_error": float(rms(np.array(self._misfelt))),
            },
        }
