"""The simulated humanoid under its controller, with what the controller does not know about it."""

import time
from collections import defaultdict
from typing import Any

import mujoco
import numpy as np

from robotics.control import overlay
from robotics.control.legged import LeggedPlant
from robotics.control.machine import Machine, embedded
from robotics.control.session import beyond_limits, rms, settled
from robotics.control.trial import Conditions, Trial
from robotics.controllers.humanoid.biped import Biped
from robotics.controllers.humanoid.estimator import BipedEstimator
from robotics.controllers.humanoid.model import BipedModel
from robotics.controllers.humanoid.settings import BipedSettings
from robotics.controllers.humanoid.sizing import settings_for
from robotics.controllers.humanoid.stance import ready_to_walk, require_weight_shift
from robotics.controllers.legged.model import LeggedState
from robotics.envs.robots.humanoid import HUMANOID, humanoid_scene

Array = np.ndarray

EMBEDDED = embedded("humanoid", HUMANOID, humanoid_scene)
#: Tasks that lift feet.
STEPPING = ("step", "walk")
#: The camera that films robots of files, and how much more than them it sees.
FILM, ROOM = "robotics_track", 1.3


class HumanoidPlant(LeggedPlant):
    """A humanoid in MuJoCo: torques in, true state and what its sensors say out."""

    FALLEN = 0.5

    def __init__(self, conditions: Conditions, machine: Machine = EMBEDDED, seed: int = 0) -> None:
        super().__init__(conditions, machine, seed=seed)
        self._link_of = self.model.body_weldid[self.model.geom_bodyid].tolist()

    def place(self, state: LeggedState, rng: np.random.Generator) -> None:
        """Put the robot at `state` with joints off by up to a hundredth of a radian, its soles down to the ground."""
        super().place(state, rng)
        normal = np.array([-np.sin(self.conditions.slope), 0, np.cos(self.conditions.slope)])
        balls = self.feet() @ normal - self.model.geom_size[self._feet, 0]
        self.data.qpos[self._base_q : self._base_q + 3] -= balls.min() * normal
        mujoco.mj_forward(self.model, self.data)
        self._film()

    def _film(self) -> None:
        """Move the camera that every robot with legs has to where it sees all of this one, from the side."""
        model, data, camera = self.model, self.data, self.model.camera(FILM).id
        roots = model.body_rootid[model.geom_bodyid]
        own = np.flatnonzero(roots == model.body_rootid[self._base])
        ground, top = self.feet()[:, 2].min(), (data.geom_xpos[own, 2] + model.geom_rbound[own]).max()
        away = ROOM * 0.5 * (top - ground) / np.tan(np.radians(model.cam_fovy[camera]) / 2)
        back = np.array([0.25, -1.0, 0.12]) / np.linalg.norm([0.25, -1.0, 0.12])
        right = np.cross([0.0, 0.0, 1.0], back)
        right /= np.linalg.norm(right)
        middle = np.array([*data.xpos[self._base, :2], 0.5 * (top + ground)])
        model.cam_pos0[camera] = middle + away * back - data.xpos[self._base]
        model.cam_mat0[camera] = np.column_stack([right, np.cross(back, right), back]).ravel()

    def _foot_at(self, geom: int, place: Array) -> int | None:
        """The ball that touches, or, for what else of a foot does, its nearest ball."""
        if geom in self._feet:
            return self._feet.index(geom)
        link = self._link_of[geom]
        own = [number for number, ball in enumerate(self._feet) if self._link_of[ball] == link]
        if not own:
            return None
        return min(own, key=lambda number: float(np.linalg.norm(self.data.geom_xpos[self._feet[number]] - place)))

    def pushed(self) -> tuple[Array, Array]:
        """Where the robot is pushed (3,) [m] and the force of it (3,) [N], zero most of the time."""
        return self.data.xpos[self._base], self.data.xfrc_applied[self._base, :3]

    def com(self) -> Array:
        """Centre of mass of everything that walks (3,) [m]."""
        return self.data.subtree_com[self._base].copy()


class HumanoidSession:
    """A humanoid that its controller moves by what its sensors say, or by the truth."""

    #: Until then the soles, put down askew, come to lie flat; only then does an estimator have something to stand on.
    SETTLING_S = 0.2

    def __init__(self, trial: Trial, settings: BipedSettings | None = None) -> None:
        self.trial = trial
        machine = trial.machine() or EMBEDDED
        nominal, spec = machine.nominal(), machine.spec
        if machine is not EMBEDDED:
            spec = ready_to_walk(nominal, spec)
            if trial.task in STEPPING:
                require_weight_shift(nominal, spec)
            settings = settings or settings_for(BipedModel(nominal, spec))
        self.controller = Biped(nominal, spec, settings, solver=trial.solver)
        self.period_s = self.controller.settings.wbc_period_s
        self.plant = HumanoidPlant(trial.conditions, machine, trial.seed)
        self.model, self.data = self.plant.model, self.plant.data
        self.camera = "track" if machine is EMBEDDED else FILM
        self.plant.place(self.controller.model.home(), np.random.default_rng(trial.seed))
        self.controller.reset(self.plant.state())
        self._begin(trial.task)
        self.estimator: BipedEstimator | None = None
        if trial.state == "estimated":
            self.estimator = BipedEstimator(machine.nominal(), spec, self.period_s)
            self.estimator.reset(self.plant.state())
        self.timing_ms: defaultdict[str, list[float]] = defaultdict(list)
        self.limits_exceeded = 0
        self._velocities: list[Array] = []
        self._com_errors: list[Array] = []
        self._capture_errors: list[Array] = []
        self._estimate_errors: list[Array] = []

    def _begin(self, task: str) -> None:
        if task == "squat":
            self.controller.squat()
        elif task in STEPPING:  # stepping is walking on the spot
            self.controller.walk(self.trial.twist)

    def tick(self) -> None:
        if self.estimator is None:
            state, started = self.plant.state(), time.perf_counter()
        else:
            if self.data.time < self.SETTLING_S:
                self.estimator.reset(self.plant.state())
            measured, started = self.plant.measure(), time.perf_counter()
            state = self.estimator.update(measured, self.controller.trusted_feet)
            self.timing_ms["estimator"].append((time.perf_counter() - started) * 1e3)
            self._estimate_errors.append(state.velocity - self.plant.state().velocity)
        torque = self.controller.torque(state)
        self.timing_ms["tick"].append((time.perf_counter() - started) * 1e3)
        for name, value in self.controller.timing_ms.items():
            self.timing_ms[name].append(value)
        self.controller.timing_ms.clear()
        controller = self.controller
        self._com_errors.append(self.plant.com() - controller.com_target)
        self._capture_errors.append(controller.capture - controller.capture_target)
        self.limits_exceeded += beyond_limits(controller.model, torque, *self.plant.joints())
        self.plant.step(torque)
        self._velocities.append(self.plant.heading_velocity())

    def fell(self) -> bool:
        return self.plant.fell()

    def draw(self, scene: mujoco.MjvScene) -> None:
        """Forces under the soles as the simulator feels them, and that of a push; the centre of mass above its target;
        on the ground the capture point (ball), where it should be, and the next foothold."""
        controller = self.controller
        weight = controller.model.mass * 9.81
        for corner, force in zip(self.plant.feet(), self.plant.contact_forces(), strict=True):
            overlay.arrow(scene, corner, 0.5 * force / weight, overlay.FORCE)
        base, push = self.plant.pushed()
        overlay.arrow(scene, base - 0.5 * push / weight, 0.5 * push / weight, overlay.FORCE, width=0.015)
        ground = float(self.plant.feet()[:, 2].min())
        overlay.ball(scene, np.array([*controller.capture, ground]), overlay.PLAN, 0.02)
        overlay.ball(scene, np.array([*controller.capture_target, ground]), overlay.TARGET, 0.015)
        overlay.path(scene, np.array([[*controller.model.com[:2], ground], controller.model.com]), overlay.PLAN)
        foothold = controller.foothold()
        if foothold is not None:
            overlay.ball(scene, foothold, overlay.TARGET, 0.03)

    def faults(self) -> dict[str, int]:
        return self.controller.faults.as_dict()

    def results(self) -> dict[str, Any]:
        """How the robot moved; errors of its centre of mass (only where it has a target), of its capture point as its
        controller sees it [m], and `estimate_rms` of the estimated velocity (3,) [m/s]."""
        twist, dt = self.trial.twist, self.period_s
        velocities = settled(self._velocities, dt)
        errors = rms(velocities - [twist.vx, twist.vy, twist.wz])
        tracking = dict(zip(("vx", "vy", "wz"), errors, strict=True))
        com = settled(self._com_errors, dt)
        if self.trial.task in STEPPING:
            tracking["capture"] = float(np.hypot(*rms(settled(self._capture_errors, dt))))
        else:
            tracking["com"] = float(np.linalg.norm(rms(com)))
        tracking["height"] = rms(com[:, 2])
        return {
            "velocity_mean": velocities.mean(axis=0).tolist(),
            "tracking_rms": tracking,
            "estimate_rms": rms(settled(self._estimate_errors, dt)) if self.estimator is not None else None,
            "steps": self.controller.steps_taken,
            "position": self.plant.state().position.tolist(),
        }
