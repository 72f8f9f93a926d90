"""One box between two hands: found by touch, pressed from both sides, lifted, and carried around."""

from dataclasses import replace
from typing import Any

import mujoco
import numpy as np

from robotics.control import overlay
from robotics.control.box_path import BoxPath
from robotics.control.hands import HandsSession
from robotics.control.hands_plant import BOX, BOX_HALF, BOX_MASS
from robotics.control.pressing import CLEAR, StandingBox
from robotics.control.session import rms
from robotics.controllers.arms import HandTarget
from robotics.controllers.grasp import Held
from robotics.controllers.rotation import log_between
from robotics.errors import UsageError

Array = np.ndarray


class Carry:
    """A box of 1 kg stands between the hands: press on it, lift it by 12 cm, and move it around a closed path in space
    while it turns to and fro."""

    REACH_S, GAP, APPROACH = 1.5, 0.012, 0.02  # time to come near [s], how near [m], speed from there on [m/s]
    ASIDE_S = 2.0  # that hands of others get before, to come beside the box [s]
    CONTACT, SURE_S = 5.0, 0.06  # force that is felt on contact [N], and for how long
    LIFT = np.array([0.03, 0.0, 0.12])  # [m]: a little sideways, so that the elbows do not both turn back at once
    SHORTEST_S = 5.0

    def __init__(self, session: HandsSession, standing: StandingBox) -> None:
        self._s, self._standing = session, standing
        self._path = BoxPath(standing.start, self.LIFT, standing.side)
        self._aside_s = 0.0 if session.known else self.ASIDE_S
        shortest = self.SHORTEST_S + self._aside_s
        if session.trial.seconds < shortest:
            raise UsageError(f"--seconds {session.trial.seconds:g}: carry takes {shortest:g} s to lift its box")
        self._box = Held.box(BOX_MASS, BOX_HALF)
        flat = min(press.half for press in standing.presses.values())
        self._box = replace(self._box, patch=(min(flat, self._box.patch[0]), min(flat, self._box.patch[1])))
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
            controller.carry(lambda t: self._path.at(then + t))
            return
        if self._s.now > self._aside_s + self.REACH_S:
            self._gap -= self.APPROACH * period
            presses = self._standing.presses.items()
            touching = min(controller.felt_push(hand, press.inwards) for hand, press in presses) > self.CONTACT
            self._felt_s = self._felt_s + period if touching else 0.0
            if self._felt_s >= self.SURE_S:
                self._grasped_s = self._s.now
                controller.grasp(self._box, self._path.start.position, self._path.start.quat)
                return self.plan()
        gap = self._gap if self._s.now >= self._aside_s else CLEAR
        poses = {hand: self._standing.hand(hand, self._path.start, gap) for hand in self._s.hands}
        controller.plan({hand: HandTarget(*pose, self._s.opening(hand, 0.01)) for hand, pose in poses.items()})

    def note(self) -> None:
        if self._grasped_s is None or self._s.now < self._grasped_s + BoxPath.SETTLE_S:
            return
        wanted, (position, quat) = self._path.at(self._s.now - self._grasped_s), self._s.plant.box()
        first, second = (self._s.plant.forces()[hand][0] for hand in self._s.hands)
        self._errors.append(np.array([*(wanted.position - position), *log_between(quat, wanted.quat)]))
        self._squeeze.append(0.5 * (first - second))
        self._velocities.append(self._s.plant.velocity(BOX))
        slack = min(first, -second) < 0.1
        self._lost_s = self._lost_s + self._s.period_s if slack else 0.0

    def failed(self) -> bool:
        """The box has slipped out, or was not found by the time that the hands would have met."""
        return self._lost_s > 0.2 or self._gap < -BOX_HALF[0]

    def draw(self, scene: mujoco.MjvScene) -> None:
        around = [self._path.around(1.5 + k / 60 / BoxPath.RATE).position for k in range(61)]
        overlay.path(scene, np.array(around), overlay.TARGET, 0.002)
        if self._grasped_s is None:
            return
        then = self._s.now - self._grasped_s
        overlay.path(scene, np.array([self._path.at(then + t).position for t in np.linspace(0, 0.5, 12)]), overlay.PLAN)
        position, _ = self._s.plant.box()
        axes = self._s.data.body(BOX).xmat.reshape(3, 3)
        forces = self._s.plant.forces()
        for hand, sign in zip(self._s.hands, (-1, 1), strict=True):
            way = 0.008 * (axes @ forces[hand])
            above = axes @ [sign * BOX_HALF[0], 0, BOX_HALF[2] + 0.02]
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
