"""A simulated arm under its controller, with what the controller does not know about it."""

import math
import time
from collections import defaultdict, deque
from dataclasses import dataclass
from functools import partial
from typing import Any

import mujoco
import numpy as np

from robotics.control import overlay
from robotics.control.circle import Circle, judged, within_reach
from robotics.control.machine import Machine, embedded
from robotics.control.plant import UNTOUCHED, hang, place_joints, require_apart, substeps
from robotics.control.session import beyond_limits, rms, settled
from robotics.control.trial import Conditions, Trial
from robotics.controllers.arm_mpc import ArmMPCSettings
from robotics.controllers.arms import ArmCerebellum, ArmSettings, HandTarget
from robotics.controllers.limits import CollisionMargin, link_pairs
from robotics.controllers.model import NominalModel
from robotics.controllers.motors import Motors
from robotics.controllers.rotation import log_between, rotated
from robotics.controllers.tasks import Reference
from robotics.envs.robots.panda import ARM, arm_margin, arm_scene

Array = np.ndarray

EMBEDDED = embedded("arm", ARM, arm_scene)
#: The circle of `track`: radius where the arm reaches that far [m], and rounds per second.
RADIUS, RATE = 0.1, 0.5
#: How long `reach` gives the hand for each target, and what counts as having reached it [s], [m].
REACH_S, REACHED = 3.0, 0.002
#: `avoid`: to and fro between home and a place to its left [m], past a ball half way a little above the straight line.
AWAY, BALL_RADIUS, BALL_ABOVE = 0.3, 0.05, 0.01
#: What arms keep clear of the ball [m]: their plans, and below that for certain their whole-body control.
CLEARANCE = 0.02
SETTINGS = ArmSettings(mpc=ArmMPCSettings(), grip_rate=40.0, observed=True, position_margin=0.01, velocity_share=0.97)


@dataclass(frozen=True)
class SensorNoise:
    """Standard deviations of one reading, as an arm with encoders on both sides of its gears delivers."""

    joint: float = 2e-5  # [rad, m]
    joint_velocity: float = 2e-3  # [rad/s, m/s]


class ArmSession:
    """An arm that holds still, draws a circle, reaches for one random pose after the other, or avoids a ball."""

    camera = "side"

    def __init__(self, trial: Trial, settings: ArmSettings = SETTINGS) -> None:
        self.trial = trial
        machine = trial.machine() or EMBEDDED
        if machine is not EMBEDDED:
            require_apart(machine.nominal(), machine.spec)
        scene = partial(_with_ball, machine) if trial.task == "avoid" else partial(machine.scene, None)
        nominal = scene().compile()
        table = arm_margin(nominal).pairs if machine is EMBEDDED else ()
        self._ball = link_pairs(nominal, machine.spec, ["robotics_ball"]) if trial.task == "avoid" else ()
        self._margin = CollisionMargin(table + self._ball, CLEARANCE / 2) if table or self._ball else None
        self.controller = ArmCerebellum(nominal, machine.spec, self._margin, settings, trial.solver)
        self._imagined = NominalModel(nominal, machine.spec)  # where hands could be; the controller's is where they are
        self.hand = machine.spec.end_effectors[0].name
        self.period_s = settings.wbc_period_s
        self.plant = ArmPlant(trial.conditions, machine, scene(), self.period_s, trial.seed)
        self.model, self.data = self.plant.model, self.plant.data
        if machine is not EMBEDDED:
            self.camera = "robotics_arm"
        self._rng = np.random.default_rng(trial.seed)
        self.plant.place(np.array(machine.spec.home))
        self.controller.reset(self.plant.truth()[0])
        self._home = Reference(*self.controller.model.pose(self.hand))
        self._target = self._home
        self._circle = Circle(self._home.position, self._home.quat, RADIUS, RATE)
        if trial.task == "track":
            self._circle = within_reach(self._circle, self._imagined, self.hand)
        self.timing_ms: defaultdict[str, list[float]] = defaultdict(list)
        self.limits_exceeded = 0
        self._tick = 0
        self._errors: list[Array] = []
        self._velocities: list[Array] = []
        self._missed: list[float] = []
        self._targets, self._next_at = 0, 0
        #: How long a hand has for each target [s].
        self.patience_s = REACH_S
        self._clearance = math.inf

    def tick(self) -> None:
        started = time.perf_counter()
        q, v = self.plant.truth() if self.trial.state == "truth" else self.plant.measure()
        if self._tick % 10 == 0:
            self._plan()
            self.timing_ms["mpc"].append((time.perf_counter() - started) * 1e3)
        before = time.perf_counter()
        torque, _ = self.controller.torque(q, v)
        ended = time.perf_counter()
        model_ms = self.controller.wbc.model_ms
        self.timing_ms["model"].append(model_ms)
        self.timing_ms["wbc"].append((ended - before) * 1e3 - model_ms)
        self.timing_ms["tick"].append((ended - started) * 1e3)
        self.plant.step(torque)
        self._tick += 1
        self._note(torque)

    def _plan(self) -> None:
        now = self._tick * self.period_s
        if self.trial.task == "track":
            self.controller.follow({self.hand: lambda t: self._circle.at(now + t)})
            return
        if self.trial.task in ("reach", "avoid") and self._tick >= self._next_at:
            self._next_at = self._tick + round(self.patience_s / self.period_s)
            if self._targets:
                self._missed.append(self._distance())
            self._target = self._somewhere() if self.trial.task == "reach" else self._beyond()
            self._targets += 1
        self.controller.plan({self.hand: HandTarget(self._target.position, self._target.quat, 0.02)})

    def _somewhere(self) -> Reference:
        """A pose that the hand has for random joint positions, one time in five twice as far away as that."""
        model = self._imagined
        lower = np.maximum(model.position_lower, np.array(model.spec.home) - math.pi)
        upper = np.minimum(model.position_upper, np.array(model.spec.home) + math.pi)
        for _ in range(50):
            model.move(lower + (upper - lower) * self._rng.uniform(0.1, 0.9, model.n))
            if self._margin is None or all(room > 0 for _, room in self._margin.near(model)):
                break  # not in the table
        position, quat = model.pose(self.hand)
        if self._rng.uniform() < 0.2:
            position = 2.0 * position
        return Reference(position, rotated(quat, self._rng.normal(0, 0.3, 3)))

    def _beyond(self) -> Reference:
        """The other side of the ball."""
        there = self._home.position + np.array([0.0, AWAY, 0.0])
        return self._home if self._targets % 2 else Reference(there, self._home.quat)

    def _distance(self) -> float:
        return float(np.linalg.norm(self.plant.hand()[0] - self._target.position))

    def _note(self, torque: Array) -> None:
        model, (q, v) = self.controller.model, self.plant.truth()
        self.limits_exceeded += beyond_limits(model, torque, q, v)
        now = self._tick * self.period_s
        wanted = self._circle.at(now) if self.trial.task == "track" else self._target
        position, quat = self.plant.hand()
        self._errors.append(np.array([*(wanted.position - position), *log_between(quat, wanted.quat)]))
        self._velocities.append(self.plant.hand_velocity())
        for first, second in self._ball:
            apart = mujoco.mj_geomDistance(self.model, self.data, first, second, 1.0, None)
            self._clearance = min(self._clearance, apart)

    def fell(self) -> bool:
        """Never: an arm is bolted down."""
        return False

    def draw(self, scene: mujoco.MjvScene) -> None:
        """The circle or the target, and where the hand is planned to be over the horizon."""
        if self.trial.task == "track":
            around = [self._circle.at(1 + k / 40 / RATE).position for k in range(41)]
            overlay.path(scene, np.array(around), overlay.TARGET, 0.002)
        else:
            overlay.ball(scene, self._target.position, overlay.TARGET)
        overlay.path(scene, self.controller.planned(self.hand, np.linspace(0, 0.3, 12)), overlay.PLAN)

    def faults(self) -> dict[str, int]:
        return self.controller.faults.as_dict()

    def results(self) -> dict[str, Any]:
        """Errors of the hand's position [m] and orientation [rad]; by how much targets were missed, and how near the
        arm came to the ball [m]."""
        errors = settled(self._errors, self.period_s)
        results: dict[str, Any] = {
            "velocity_mean": settled(self._velocities, self.period_s).mean(axis=0).tolist(),
            "tracking_rms": {
                "position": float(np.linalg.norm(rms(errors[:, :3]))),
                "orientation": float(np.linalg.norm(rms(errors[:, 3:]))),
            },
            "position": self.plant.hand()[0].tolist(),
        }
        if self.trial.task == "track":
            results["circle"] = judged(self._circle.radius, results["tracking_rms"])
        if self._ball:
            results["clearance"] = round(self._clearance, 4)
        if self.trial.task in ("reach", "avoid"):
            missed = [round(d, 4) for d in self._missed if d > REACHED]
            results["targets"] = {"given": len(self._missed), "missed_m": missed}
        return results


class ArmPlant:
    """An arm in MuJoCo: torques in, truth and noisy measurements out."""

    def __init__(
        self,
        conditions: Conditions,
        machine: Machine,
        scene: mujoco.MjSpec,
        period_s: float = 0.002,
        seed: int = 0,
    ) -> None:
        self.conditions, spec = conditions, machine.spec
        site = next(s for s in scene.sites if s.name == spec.end_effectors[0].site)
        if conditions.payload:
            hang(scene, site.name, conditions.payload)
        if machine is not EMBEDDED:
            _film(scene)
        self.model = scene.compile()
        self.data = mujoco.MjData(self.model)
        self._motors = Motors(self.model, spec.joints)
        self._substeps = substeps(self.model, period_s, spec.name)
        self._q = np.array([self.model.joint(j).qposadr[0] for j in spec.joints])
        self._v = np.array([self.model.joint(j).dofadr[0] for j in spec.joints])
        self._site = self.model.site(site.name).id
        self._body = int(self.model.site_bodyid[self._site])
        self._queue = deque([np.zeros(len(spec.joints))] * conditions.late(period_s))
        self._rng = np.random.default_rng([seed, 1])
        towards = conditions.push_towards
        self._push = conditions.push / conditions.PUSH_S * np.array([np.cos(towards), np.sin(towards), 0.0])

    def place(self, q: Array) -> None:
        """Put the joints at `q` (n,), at rest; everything else starts as the model says, coupled joints along."""
        place_joints(self.model, self.data, self._q, q)

    def truth(self) -> tuple[Array, Array]:
        """Joint positions and velocities (n,), as they are."""
        return self.data.qpos[self._q], self.data.qvel[self._v]

    def measure(self) -> tuple[Array, Array]:
        """What the encoders say of them."""
        q, v = self.truth()
        noise = SensorNoise()
        return q + self._rng.normal(0, noise.joint, len(q)), v + self._rng.normal(0, noise.joint_velocity, len(v))

    def hand(self) -> tuple[Array, Array]:
        """True position (3,) [m] and orientation (4,) wxyz of the end effector."""
        quat = np.empty(4)
        mujoco.mju_mat2Quat(quat, self.data.site_xmat[self._site])
        return self.data.site_xpos[self._site].copy(), quat

    def hand_velocity(self) -> Array:
        """Of the end effector along x and y [m/s] and about z [rad/s], (3,)."""
        velocity = np.empty(6)
        mujoco.mj_objectVelocity(self.model, self.data, mujoco.mjtObj.mjOBJ_SITE, self._site, velocity, 0)
        return velocity[[3, 4, 2]]

    def step(self, torque: Array) -> None:
        """One period of the controller under the (delayed) torques."""
        self._queue.append(torque)
        torque = self._queue.popleft()
        pushing = self.conditions.pushing(self.data.time)
        self.data.xfrc_applied[self._body, :3] = self._push if pushing else 0.0
        for _ in range(self._substeps):
            self._motors.apply(self.data, torque, *self.truth())
            mujoco.mj_step(self.model, self.data)
        mujoco.mj_kinematics(self.model, self.data)


def _with_ball(machine: Machine) -> mujoco.MjSpec:
    """The robot with a ball in the way of its hand; it touches nothing, so that a film shows what goes through it."""
    scene, home = machine.scene(None), NominalModel(machine.nominal(), machine.spec)
    position, _ = home.pose(machine.spec.end_effectors[0].name)
    ball = scene.worldbody.add_geom(name="robotics_ball", type=mujoco.mjtGeom.mjGEOM_SPHERE)
    ball.size, ball.pos = [BALL_RADIUS, 0, 0], position + np.array([0.0, AWAY / 2, BALL_ABOVE])
    ball.rgba, ball.contype, ball.conaffinity = [0.85, 0.35, 0.25, 1], UNTOUCHED, 0
    return scene


def _film(scene: mujoco.MjSpec) -> None:
    """A camera that sees the whole of an arm that nobody gave one."""
    scene.worldbody.add_camera(
        name="robotics_arm", pos=[1.6, -1.4, 1.1], xyaxes=[0.66, 0.75, 0, -0.33, 0.29, 0.9], fovy=45
    )
