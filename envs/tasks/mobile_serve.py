"""Serve: two hands on a holonomic base drive to a counter, take a can, drive to a table, and put it on its mat."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np

from robotics.controllers.arms import HandTarget
from robotics.controllers.mobile import BaseTwist
from robotics.controllers.rotation import angle, from_axes, rotation_matrix
from robotics.envs.base import Array, Expert, Observation
from robotics.envs.instances import SIZE, set_size
from robotics.envs.manipulation import add_picture, lying, observed_pose, speed
from robotics.envs.mobile import STILL, MobileExpert, MobileTask, in_base, towards
from robotics.envs.orientation import upright
from robotics.envs.rewards import tolerance
from robotics.envs.robots.aloha import CLOSED, LEFT, OBJECT, OPEN, RIGHT, SIDES, STATIC
from robotics.envs.robots.mobile_aloha import FURNITURE, MOUNT
from robotics.envs.state import Simulation, State, measured_once
from robotics.envs.touch import add_touch_sensor

# -- constants ------------------------------------------------------------------------------------------------------

#: Of the can: radius, half its height [m], mass [kg].
RADIUS, HALF_HEIGHT, MASS = (0.022, 0.03), (0.05, 0.075), (0.1, 0.3)
#: Where the robot starts: within so far of the middle of the room, and of the way to the counter [m, rad].
START, START_TURN = 0.2, 1.0
#: How far the front of either piece of furniture is from the middle of the room, and how high its top [m]: much lower,
#: and the shoulder of a level hand would be at its limit.
DISTANCE, TOP = (1.25, 1.4), (0.87, 0.97)
#: In which direction the counter is seen from there, and the table, to the left or to the right [rad].
COUNTER_WAY, TABLE_WAY = (-0.15, 0.15), (1.9, 2.8)
#: Half the length of each along its front, and half its depth [m].
COUNTER, TABLE = (0.6, 0.3), (0.4, 0.25)
#: How far behind the front the can stands and the mat lies, and how far beside its middle [m].
BEHIND, CAN_BESIDE, MAT_BESIDE = (0.12, 0.22), 0.35, 0.2
MAT = 0.06  # its radius [m]
#: A can that is served: this near to the middle of the mat and to its top, this upright, at rest, and no hand nearer
#: than that [m, m, cosine, m/s, m].
NEAR, LEVEL, UPRIGHT, RESTING, AWAY = 0.03, 0.004, 0.99, 0.02, 0.1
#: Beyond this a robot has left the room [m]; below this height a can has fallen [m].
ROOM, FALLEN = 4.0, 0.6
FINGERS = ("left_finger", "right_finger")


# -- success: a pure function of the state --------------------------------------------------------------------------


@dataclass(frozen=True)
class ServeState:
    """What success depends on: of one simulation, or of n."""

    off: Array | float  # the can from the middle of the mat, level [m]
    gap: Array | float  # the can's lower end above the table's top [m]
    upright: Array | float  # cosine of the angle between its axis and the vertical
    speed: Array | float  # of its centre [m/s]
    touched: Array | bool  # by anything of the robot
    hand: Array | float  # distance of the nearer hand [m]


def served(state: ServeState) -> Array:
    """The can upright on its mat, at rest, let go of, with no hand near it: bool, (n,) or ()."""
    there = np.less_equal(state.off, NEAR) & np.less_equal(np.abs(state.gap), LEVEL)
    stable = np.greater_equal(state.upright, UPRIGHT) & np.less_equal(state.speed, RESTING)
    return there & stable & np.logical_not(state.touched) & np.greater_equal(state.hand, AWAY)


# -- task -----------------------------------------------------------------------------------------------------------


class MobileServe(MobileTask):
    """A can of varied size and mass stands on the counter; a mat lies on the table, somewhere else in the room."""

    task = "take the can from the counter and put it on the mat on the table"
    paraphrases = (
        "fetch the red can from the counter and serve it on the green mat",
        "drive to the counter, pick up the can, and place it on the table's mat",
    )
    RANDOMISED = SIZE

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        spec.nuserdata = 2  # the can's radius and half its height [m]
        can = spec.worldbody.add_body(name="can", pos=[1.5, 0, 1.0])
        can.add_freejoint(name="can")
        can.add_geom(
            name="can",
            type=mujoco.mjtGeom.mjGEOM_CYLINDER,
            size=[0.026, 0.06, 0],
            mass=0.2,
            rgba=[0.85, 0.14, 0.12, 1],
            condim=4,
            friction=[1, 0.005, 0.0001],
            contype=OBJECT,
            conaffinity=LEFT | RIGHT | STATIC,
        )
        _add_counter(spec)
        _add_table(spec)
        add_picture(spec, "mat", mujoco.mjtGeom.mjGEOM_CYLINDER, [MAT, 0.001], [0.2, 0.6, 0.35, 1])
        for side in SIDES:
            for finger in FINGERS:
                add_touch_sensor(spec, f"{side}/{finger}", f"{side}/{finger}_link", "can")
        add_touch_sensor(spec, "touched", "base", "can", whole_subtree=True)

    def __init__(self, action_mode: str = "joint", **kwargs: Any) -> None:
        super().__init__(action_mode, **kwargs)
        self._counter, self._table, self._mat = (
            int(self.model.body(name).mocapid[0]) for name in ("counter", "table", "mat")
        )

    def place(self, simulation: Simulation, rng: np.random.Generator, options: Mapping[str, Any]) -> None:
        """Uniform places, sizes and mass."""
        self.refuse_options(options)
        self.place_robot(simulation)
        self.place_base(simulation, *rng.uniform(-START, START, 2), rng.uniform(-START_TURN, START_TURN))
        side = 1 if rng.random() < 0.5 else -1
        x, y, top = self._stand(simulation, rng, self._counter, rng.uniform(*COUNTER_WAY), CAN_BESIDE)
        radius, half = rng.uniform(*RADIUS), rng.uniform(*HALF_HEIGHT)
        set_size(simulation, "can", [radius, half], rng.uniform(*MASS))
        simulation.userdata[:] = radius, half
        simulation.joint("can")[:] = lying(x, y, top + half, rng.uniform(-np.pi, np.pi))
        simulation.mocap_pos[self._mat] = self._stand(
            simulation, rng, self._table, side * rng.uniform(*TABLE_WAY), MAT_BESIDE
        )

    def _stand(
        self, simulation: Simulation, rng: np.random.Generator, index: int, way: float, beside: float
    ) -> tuple[float, float, float]:
        """Puts up a piece of furniture in the direction `way`; a place on its top [m]."""
        c, s = np.cos(way), np.sin(way)
        front, top = rng.uniform(*DISTANCE), rng.uniform(*TOP)
        simulation.mocap_pos[index] = front * c, front * s, top
        simulation.mocap_quat[index] = np.cos(way / 2), 0, 0, np.sin(way / 2)
        ahead, aside = front + rng.uniform(*BEHIND), rng.uniform(-beside, beside)
        return ahead * c - aside * s, ahead * s + aside * c, top

    def enlarge(self, simulation: Simulation, factor: float) -> None:
        simulation.userdata[:] *= factor

    def state_spaces(self) -> dict[str, gym.spaces.Box]:
        return {
            "state": gym.spaces.Box(-10.0, 10.0, (20,), np.float32),
            "environment_state": gym.spaces.Box(-10.0, 10.0, (21,), np.float32),
        }

    def observe(self, state: State) -> Observation:
        """`state`: see `MobileTask`. `environment_state`: pose of the can, its radius and half its height [m]; of the
        counter and of the table, the middle of the top's front edge [m] and the level way into it (cosine, sine); the
        middle of the mat, level [m]."""
        seen = [observed_pose(state, "can"), state.userdata]
        for index in (self._counter, self._table):
            w, z = state.mocap_quat[:, index, 0], state.mocap_quat[:, index, 3]
            seen += [state.mocap_pos[:, index], np.stack([w * w - z * z, 2 * w * z], axis=-1)]
        return {
            "state": self.robot_state(state),
            "environment_state": np.concatenate([*seen, state.mocap_pos[:, self._mat, :2]], axis=1),
        }

    @measured_once
    def serve_state(self, state: State) -> ServeState:
        """What success depends on, read from the simulations."""
        can, mat = state.joint("can"), state.mocap_pos[:, self._mat]
        off = np.sqrt(((can[:, :2] - mat[:, :2]) ** 2).sum(axis=-1))
        return ServeState(
            off,
            can[:, 2] - state.userdata[:, 1] - mat[:, 2],
            np.abs(upright(can[:, 3:])),
            speed(state, "can"),
            state.sensor("touched")[:, 0] > 0,
            self._nearest_hand(state),
        )

    def _nearest_hand(self, state: State) -> Array:
        """From the can's centre (n,) [m]."""
        away = [state.site(f"{side}/gripper") - state.joint("can")[:, :3] for side in SIDES]
        return np.minimum(*(np.sqrt((one**2).sum(axis=-1)) for one in away))

    def reward_terms(self, state: State) -> dict[str, Array]:
        now = self.serve_state(state)
        done = served(now).astype(float)
        gripped = [
            np.logical_and(*(state.sensor(f"{side}/{finger}")[:, 0] > 0 for finger in FINGERS)) for side in SIDES
        ]
        over = np.sqrt(now.off**2 + now.gap**2)
        return {
            "near": np.maximum(tolerance(now.hand, 0.02, 1.0), done),
            "grasped": np.maximum(np.logical_or(*gripped), done),
            "carried": tolerance(over, NEAR, 2.0),
            "served": done,
        }

    def succeeds(self, state: State) -> Array:
        return served(self.serve_state(state))

    def lost(self, state: State) -> Array:
        """The can has fallen down, or the robot has left the room."""
        away = np.maximum(np.abs(state.joint("base_x")[:, 0]), np.abs(state.joint("base_y")[:, 0]))
        return (state.joint("can")[:, 2] < FALLEN) | (away > ROOM)

    def expert(self) -> Expert:
        return MobileServeExpert()


_SOLID = {"contype": STATIC, "conaffinity": LEFT | RIGHT | OBJECT | FURNITURE}


def _add_counter(spec: mujoco.MjSpec) -> None:
    """Its frame is in the middle of its top's front edge, x into it; it reaches below the floor, as high as it is."""
    counter = spec.worldbody.add_body(name="counter", mocap=True, pos=[1.3, 0, 0.9])
    (long, deep), box = COUNTER, mujoco.mjtGeom.mjGEOM_BOX
    counter.add_geom(
        name="counter_top", type=box, size=[deep, long, 0.02], pos=[deep, 0, -0.02], rgba=[0.3, 0.3, 0.33, 1], **_SOLID
    )
    counter.add_geom(
        name="cupboard",
        type=box,
        size=[deep - 0.02, long - 0.01, 0.48],
        pos=[deep + 0.02, 0, -0.52],
        rgba=[0.86, 0.85, 0.8, 1],
        **_SOLID,
    )


def _add_table(spec: mujoco.MjSpec) -> None:
    """As the counter."""
    table = spec.worldbody.add_body(name="table", mocap=True, pos=[-1.0, 1.0, 0.9])
    (long, deep), box, wood = TABLE, mujoco.mjtGeom.mjGEOM_BOX, [0.62, 0.45, 0.28, 1]
    table.add_geom(name="table_top", type=box, size=[deep, long, 0.015], pos=[deep, 0, -0.015], rgba=wood, **_SOLID)
    for number, (x, y) in enumerate(((1, 1), (1, -1), (-1, 1), (-1, -1))):
        at = [deep + x * (deep - 0.04), y * (long - 0.04), -0.515]
        table.add_geom(name=f"table_leg{number}", type=box, size=[0.025, 0.025, 0.485], pos=at, rgba=wood, **_SOLID)


# -- expert ---------------------------------------------------------------------------------------------------------

#: Where a hand works, in the frame of the base: ahead, and to its own side [m].
AHEAD, ASIDE = 0.85, MOUNT[1]
#: The base is at its dock [m, rad]; and still is while a hand is at work.
DOCKED, STILL_DOCKED = (0.03, 0.05), (0.1, 0.15)
#: How far in front of the can a hand comes down and leaves to, and how far above its middle it takes it [m].
BEFORE, ABOVE = 0.14, 0.01
#: A hand is in line with its target, and turned to it, and there [m, rad, m].
IN_LINE, TURNED, THERE = 0.008, 0.08, 0.006
#: How deep into the can fingers are commanded, how much wider they are at most while they hold it, and when free [m].
SQUEEZE, GRIPPING, FREE = 0.015, 0.002, 0.005
#: How high a can is carried over anything it may pass, and over its mat [m].
CLEAR, HOVER = 0.06, 0.05
SAG = 0.01  # [m]
#: How far below the mat a can is aimed that is put down: less than an arm sags, and it would hang just above [m].
PRESS = 0.015
#: How far ahead of a hand its target is that moves on to the can, or raises or lowers it [m].
GENTLY = 0.025


@dataclass(frozen=True)
class _Scene:
    """What the expert sees of the world."""

    can: Array  # its middle (3,)
    bottom: float  # height of its lowest point, whichever way it leans
    radius: float
    half: float
    counter: Array  # middle of its top's front edge (3,), way into it (2,)
    table: Array
    mat: Array  # (3,)

    @classmethod
    def seen(cls, seen: Array) -> "_Scene":
        can, (radius, half), counter, table, mat = np.split(seen, [7, 9, 14, 19])
        upright = min(abs(float(rotation_matrix(can[3:])[2, 2])), 1.0)
        bottom = float(can[2] - half * upright - radius * math.sqrt(1 - upright**2))
        return cls(can[:3], bottom, float(radius), float(half), counter, table, np.array([*mat, table[2]]))

    @property
    def on_mat(self) -> bool:
        """The can stands where it shall, whoever holds it."""
        return bool(np.hypot(*(self.can - self.mat)[:2]) < 0.7 * NEAR and self.bottom - self.mat[2] < 0.8 * LEVEL)


@dataclass(frozen=True)
class _Hand:
    """One hand, as it is."""

    side: str
    pose: tuple[Array, Array]
    opening: float
    ahead: Array  # of the robot (2,)

    @property
    def position(self) -> Array:
        return self.pose[0]

    @property
    def quat(self) -> Array:
        return self.pose[1]

    @property
    def level(self) -> Array:
        """The orientation that points ahead of the robot."""
        return _level(self.ahead)

    def holds(self, scene: _Scene) -> bool:
        """Whether its fingers are closed on the can."""
        away = self.position - scene.can
        return bool(
            np.hypot(*away[:2]) < 0.015 and abs(away[2]) < scene.half and self.opening < scene.radius + GRIPPING
        )

    def to(self, position: Array, quat: Array, opening: float) -> HandTarget:
        """To a place, and beyond it by what little is missing there: an arm of servos sags."""
        return HandTarget(position + np.clip(position - self.position, -SAG, SAG), quat, opening)

    def dock(self, place: Array, furniture: Array) -> Array:
        """Where the base must be (x, y, heading) for this hand to work at a place on a piece of furniture."""
        c, s = furniture[3:]
        aside = ASIDE if self.side == "left" else -ASIDE
        return np.array([place[0] - c * AHEAD + s * aside, place[1] - s * AHEAD - c * aside, np.arctan2(s, c)])


class MobileServeExpert(MobileExpert):
    """Drives to where a hand can take the can from ahead, takes it, drives to where the hand can put it down."""

    def reset(self, env: gym.Env) -> None:
        super().reset(env)
        #: Where the hands are while the robot drives, in the frame of the base: as in its home, where the model begins.
        self._riding = {side: self.kinematics.pose(side) for side in SIDES}

    def decide(self, q: Array, observation: Mapping[str, Array]) -> tuple[dict[str, HandTarget], BaseTwist]:
        scene, base = _Scene.seen(observation["environment_state"]), q[:3]
        velocity = observation["state"][len(q) :]
        ahead = np.array([math.cos(base[2]), math.sin(base[2])])
        hands = [
            _Hand(side, self.kinematics.pose(side), q[finger], ahead)
            for side, finger in zip(SIDES, (9, 16), strict=True)
        ]
        holding = [hand for hand in hands if hand.holds(scene)]
        dock = None  # it stands still
        if scene.on_mat:
            hand = min(hands, key=lambda hand: float(np.linalg.norm(hand.position - scene.can)))
            opening, target = OPEN, _leave(hand, scene)
        elif holding:
            hand, opening = holding[0], max(scene.radius - SQUEEZE, CLOSED)
            there = hand.dock(scene.mat, scene.table)
            if self._docked(hand, base, there):
                dock, target = there, _put(hand, scene, opening)
            elif scene.bottom < max(scene.counter[2], scene.table[2]) + CLEAR:
                target = HandTarget(hand.position + [0, 0, GENTLY], hand.level, opening)
            else:
                dock, target = there, None
        else:
            hand = min(hands, key=lambda hand: float(np.hypot(*(hand.dock(scene.can, scene.counter) - base)[:2])))
            opening, dock = OPEN, hand.dock(scene.can, scene.counter)
            target = _take(hand, scene) if self._docked(hand, base, dock) else None
        targets = {side: HandTarget(*pose, OPEN) for side, pose in self._riding.items()}
        targets[hand.side] = HandTarget(*self._riding[hand.side], opening) if target is None else in_base(base, target)
        return targets, STILL if dock is None else towards(base, velocity, dock)

    def _docked(self, hand: _Hand, base: Array, dock: Array) -> bool:
        at_work = hand.position[2] < self._riding[hand.side][0][2] - 0.05
        far, turned = STILL_DOCKED if at_work else DOCKED
        return bool(np.hypot(*(base - dock)[:2]) < far and abs(math.remainder(base[2] - dock[2], math.tau)) < turned)


def _level(way: Array) -> Array:
    """The orientation of a level hand that points along `way` (2,)."""
    x, y = way
    return from_axes(np.array([x, y, 0.0]), np.array([-y, x, 0.0]))


def _take(hand: _Hand, scene: _Scene) -> HandTarget:
    """Down in front of the can, on to it, and closed."""
    into, quat = np.array([*scene.counter[3:], 0.0]), _level(scene.counter[3:])
    grasp = scene.can + [0, 0, ABOVE]
    away = grasp - hand.position
    along = float(away @ into)
    aside = away - along * into
    in_line = np.hypot(*aside[:2]) < IN_LINE and abs(aside[2]) < 2 * ABOVE and angle(hand.quat, quat) < TURNED
    if in_line and abs(along) < THERE:  # it closes where it is: on its way to the can's middle it would push the can on
        return hand.to(np.array([*hand.position[:2], grasp[2]]), quat, max(scene.radius - SQUEEZE, CLOSED))
    if in_line:
        return hand.to(grasp - max(along - GENTLY, 0.0) * into, quat, OPEN)
    if along < 0.7 * BEFORE:  # back, before it moves sideways
        return HandTarget(hand.position + (along - BEFORE) * into, hand.level, OPEN)
    return hand.to(grasp - BEFORE * into, quat, OPEN)


def _put(hand: _Hand, scene: _Scene, opening: float) -> HandTarget:
    """Over the mat, and down on to it, for the can that it holds."""
    quat, off = _level(scene.table[3:]), np.array([*(scene.mat - scene.can)[:2], 0.0])
    height = scene.bottom - scene.mat[2]
    over = np.hypot(*off[:2]) < IN_LINE and angle(hand.quat, quat) < TURNED
    if over:
        return HandTarget(hand.position + off - [0, 0, min(GENTLY, height + PRESS)], quat, opening)
    if height < HOVER / 2:
        return HandTarget(hand.position + [0, 0, GENTLY], hand.level, opening)
    return HandTarget(hand.position + off + [0, 0, HOVER - height], quat, opening)


def _leave(hand: _Hand, scene: _Scene) -> HandTarget | None:
    """Open, and back from the can; None once it is free to go."""
    away = hand.position - scene.can
    if np.linalg.norm(away) > BEFORE - THERE:
        return None
    if hand.opening < scene.radius + FREE:
        return HandTarget(hand.position, hand.level, OPEN)
    return hand.to(scene.can + [*(-(BEFORE + THERE) * hand.ahead), ABOVE], hand.level, OPEN)
