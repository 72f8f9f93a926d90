"""Two arms at a table under their controller: both hands on circles, or one box between them along a path."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import mujoco
import numpy as np

from robotics.control import overlay
from robotics.control.box_path import BoxPath
from robotics.control.camera import NAME, film
from robotics.control.carry import Carry
from robotics.control.circle import Circle, judged
from robotics.control.hands import OTHERS, SETTINGS, HandsSession, hand_errors, hand_tracking
from robotics.control.hands_plant import BOX, BOX_HALF, BOX_MASS, HandsPlant, add_box, add_box_on_stand, hang_payload
from robotics.control.machine import embedded
from robotics.control.plant import name_of_body, require_apart
from robotics.control.pressing import Press, StandingBox
from robotics.control.session import settled
from robotics.control.standing_box import place_box
from robotics.control.trial import Trial
from robotics.controllers.arms import HandTarget
from robotics.controllers.bimanual import BimanualCerebellum
from robotics.controllers.model import NominalModel
from robotics.controllers.rotation import from_axes
from robotics.controllers.tasks import Reference
from robotics.envs.robots.aloha import ALOHA, SIDES, aloha_scene, collision_margin

Array = np.ndarray

EMBEDDED = embedded("bimanual", ALOHA, partial(aloha_scene, "motor"))
#: Hands level towards each other.
LEVEL = {
    "left": from_axes(np.array([1.0, 0, 0]), np.array([0, 1.0, 0])),
    "right": from_axes(np.array([-1.0, 0, 0]), np.array([0, -1.0, 0])),
}
_INWARDS = {"left": np.array([1.0, 0, 0]), "right": np.array([-1.0, 0, 0])}
#: The box on ALOHA's table, and its finger tips, which are closed to 1 cm either side.
ON_TABLE = StandingBox(
    Reference(np.array([0, 0, BOX_HALF[2]]), np.array([1.0, 0, 0, 0])),
    {side: Press(_INWARDS[side], LEVEL[side], tip=0.017, aside=np.zeros(3), half=0.012) for side in SIDES},
)


class BimanualSession(HandsSession):
    """`track`: each hand on a circle of its own, with half of the payload. `carry`: see `Carry`; a payload is mass that
    the box has in secret."""

    camera = "angle"

    def __init__(self, trial: Trial) -> None:
        machine = trial.machine() or EMBEDDED
        spec, nominal, scene, carrying = machine.spec, machine.nominal(), machine.scene(None), trial.task == "carry"
        if machine is EMBEDDED:
            controller = BimanualCerebellum(nominal, spec, collision_margin(nominal), SETTINGS, trial.solver)
        else:
            require_apart(nominal, spec)
            settings = replace(OTHERS, observed=not carrying)  # what the box does is felt
            controller = BimanualCerebellum(nominal, spec, None, settings, trial.solver)
            film(scene, controller.model)
            self.camera = NAME
        mass, standing = BOX_MASS + trial.conditions.payload, ON_TABLE
        if carrying and machine is EMBEDDED:
            add_box(scene, mass)
        elif carrying:
            squeeze, again = controller.carry_settings.squeeze, partial(machine.scene, None)
            standing = place_box(trial.robot, again, NominalModel(nominal, spec), squeeze, _milestones)
            add_box_on_stand(scene, mass, standing.start)
        else:
            hang_payload(scene, spec, trial.conditions)
        pushed = BOX if carrying else name_of_body(scene, spec.end_effectors[0].site)
        plant = HandsPlant(scene, spec, trial.conditions, SETTINGS.wbc_period_s, pushed, trial.seed)
        super().__init__(trial, controller, plant)
        self.job = Carry(self, standing) if carrying else Track(self)


class Track:
    """Each hand draws an upright circle of 5 cm, once in two seconds, against the other one's sense: ours level before
    the table, those of others down from where they are at home."""

    RADIUS = 0.05
    TOPS: ClassVar = {"left": np.array([-0.15, 0, 0.25]), "right": np.array([0.15, 0, 0.25])}

    def __init__(self, session: HandsSession) -> None:
        self._s = session
        pose = session.controller.model.pose
        self._circles = {}
        for hand, sign in zip(session.hands, (1, -1), strict=True):
            top, quat = (self.TOPS[hand], LEVEL[hand]) if session.known else pose(hand)
            self._circles[hand] = Circle(top, quat, self.RADIUS, rate=0.5 * sign, starts_at=1.0)
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
        circle = judged(self.RADIUS, tracking)
        return {"velocity_mean": [0.0, 0.0, 0.0], "tracking_rms": tracking, "circle": circle}


def _milestones(start: Reference, side: float) -> Sequence[Reference]:
    return BoxPath(start, Carry.LIFT, side).milestones()
