"""Bimanual insertion: each arm picks up its part, and they are put together in the air (ALOHA's second task)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np

from robotics.controllers.arms import HandTarget
from robotics.controllers.rotation import angle, from_axes, log_between, nearest_turn, rotated, rotation_matrix
from robotics.envs.base import Array, Expert, Observation
from robotics.envs.bimanual import BimanualTask
from robotics.envs.hands import HandExpert
from robotics.envs.rewards import tolerance
from robotics.envs.robots.aloha import CLOSED, LEFT, OBJECT, OPEN, RIGHT, SIDES, STATIC
from robotics.envs.state import Simulation, State, measured_once
from robotics.envs.top_down import heading_of, is_down, plane_heading, pointing_down
from robotics.envs.touch import add_touch_sensor

# -- constants ------------------------------------------------------------------------------------------------------

#: Both parts are 12 cm long, as ALOHA's; half of that, and of the peg's width [m].
HALF_LENGTH, PEG_HALF = 0.06, 0.01
#: The socket is a tube of four walls: half its bore, which leaves the peg 3 mm on every side (ALOHA: 8 mm), and half
#: its width [m].
BORE_HALF, SOCKET_HALF = 0.013, 0.017
MASS = 0.05  # of either [kg]
#: Where the peg may lie, and mirrored the socket: 10 x 20 cm [m]; each is turned by up to 30 degrees from the line
#: between the arms.
REGION = (np.array([0.08, -0.1]), np.array([0.18, 0.1]))
YAW = np.pi / 6
INSERTED = 0.05  # how deep the peg's end is in the socket [m]
PART = {"left": "socket", "right": "peg"}  # what each arm picks up
HALF_WIDTH = {"left": SOCKET_HALF, "right": PEG_HALF}


# -- success: a pure function of the state --------------------------------------------------------------------------


@dataclass(frozen=True)
class InsertionState:
    """What success depends on, of one simulation or of n: shapes without or with a leading n.

    Things touch when MuJoCo reports a contact.
    """

    #: Middles of the peg's two ends in the socket's frame, whose x runs along its bore (…, 2, 3) [m]; of
    #: larger or smaller parts what they would be at the nominal size.
    peg_ends: Array
    socket_fingers: Array | tuple[bool, bool]  # the left hand's fingers touch the socket (…, 2)
    peg_fingers: Array | tuple[bool, bool]  # the right hand's touch the peg (…, 2)
    on_table: Array | bool = False  # the peg or the socket touches the table


def depth(peg_ends: Array) -> Array:
    """How deep the peg is in the bore [m], from the mouth it came in by; 0 where it is not in it: (n,) or ()."""
    ends = np.asarray(peg_ends)
    in_bore = (np.abs(ends[..., 1:]) < BORE_HALF).all(axis=-1) & (np.abs(ends[..., 0]) < HALF_LENGTH)
    came_from = np.sign(ends[..., ::-1, 0] - ends[..., 0])  # where the other end is
    return np.where(in_bore, HALF_LENGTH - came_from * ends[..., 0], 0.0).max(axis=-1)


def mated(state: InsertionState) -> Array:
    """The peg 5 cm deep in the socket, either part in both fingers of its hand, neither on the table: (n,) or ()."""
    return (
        (depth(state.peg_ends) >= INSERTED)
        & np.all(state.socket_fingers, axis=-1)
        & np.all(state.peg_fingers, axis=-1)
        & np.logical_not(state.on_table)
    )


# -- task -----------------------------------------------------------------------------------------------------------


class BimanualInsertion(BimanualTask):
    """The left arm picks up a socket, the right arm a peg, and they put the peg into the socket in the air."""

    task = "pick up the socket and the peg and insert the peg into the socket"
    paraphrases = (
        "take the blue socket in the left hand, the red peg in the right one, and put them together in the air",
        "push the red peg into the blue socket, holding both off the table",
    )

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        spec.nuserdata = 1  # how many times their nominal size the parts have
        peg = _add_part(spec, "peg", PEG_HALF)
        _add_box(peg, [0, 0, 0], [HALF_LENGTH, PEG_HALF, PEG_HALF], [0.85, 0.12, 0.1, 1])
        peg.first_geom().name = "peg"
        socket = _add_part(spec, "socket", SOCKET_HALF)
        wall = (SOCKET_HALF - BORE_HALF) / 2
        for sign in (-1, 1):
            across = sign * (BORE_HALF + wall)
            _add_box(socket, [0, across, 0], [HALF_LENGTH, wall, BORE_HALF], [0.1, 0.3, 0.75, 1])
            _add_box(socket, [0, 0, across], [HALF_LENGTH, SOCKET_HALF, wall], [0.1, 0.3, 0.75, 1])
        for side in SIDES:
            for finger in ("left_finger", "right_finger"):
                add_touch_sensor(spec, f"{side}/{finger}", f"{side}/{finger}_link", PART[side])
            add_touch_sensor(spec, f"{PART[side]}_on_table", "world", PART[side])

    def __init__(self, action_mode: str = "joint", **kwargs: Any) -> None:
        super().__init__(action_mode, **kwargs)
        names = [f"{side}/{finger}" for side in SIDES for finger in ("left_finger", "right_finger")]
        self._touch = np.array([self.model.sensor(n).adr[0] for n in (*names, "peg_on_table", "socket_on_table")])
        self._ends = np.array([self.model.site(f"peg_end{number}").id for number in range(2)])
        self._socket = self.model.site("socket").id

    def place(self, simulation: Simulation, rng: np.random.Generator, options: Mapping[str, Any]) -> None:
        """Uniform poses; `options={"peg": (x, y, yaw), "socket": (x, y, yaw)}` puts them anywhere [m, rad]."""
        self.refuse_options(options, "peg", "socket")
        self.place_robot(simulation)
        simulation.userdata[0] = 1.0
        for side, mirror in (("right", 1), ("left", -1)):
            drawn = [*(rng.uniform(*REGION) * [mirror, 1]), rng.uniform(-YAW, YAW)]
            x, y, yaw = self.pose_option(options, PART[side], drawn)
            simulation.joint(PART[side])[:] = [x, y, HALF_WIDTH[side], np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]

    def enlarge(self, simulation: Simulation, factor: float) -> None:
        simulation.userdata[0] *= factor

    def state_spaces(self) -> dict[str, gym.spaces.Box]:
        return {
            "state": gym.spaces.Box(-4.0, 4.0, (14,), np.float32),
            "environment_state": gym.spaces.Box(-10.0, 10.0, (20,), np.float32),
        }

    def observe(self, state: State) -> Observation:
        """`state`: joint positions; `environment_state`: position [m], orientation wxyz (w >= 0) of peg and socket, and
        the peg's ends in the socket's frame (2, 3) [m]: a millimetre decides there, and two poses hardly show it."""
        poses = []
        for name in ("peg", "socket"):
            pose = state.joint(name).copy()
            pose[pose[:, 3] < 0, 3:] *= -1  # q and -q are the same rotation: the policy shall see one of them
            poses.append(pose)
        ends = self.peg_ends(state).reshape(state.size, -1)
        return {"state": state.qpos[:, self._q], "environment_state": np.concatenate([*poses, ends], axis=1)}

    def peg_ends(self, state: State) -> Array:
        """Middles of the peg's ends in the socket's frame (n, 2, 3) [m]."""
        away = state.site_xpos[:, self._ends] - state.site_xpos[:, None, self._socket]
        axes = state.site_xmat[:, self._socket].reshape(-1, 3, 3)
        return np.einsum("nij,nki->nkj", axes, away)

    @measured_once
    def insertion_state(self, state: State) -> InsertionState:
        """What success depends on, read from the simulations."""
        touches = state.sensordata[:, self._touch] > 0
        ends = self.peg_ends(state) / state.userdata[:, :1, None]
        return InsertionState(ends, touches[:, :2], touches[:, 2:4], touches[:, 4:].any(axis=-1))

    def reward_terms(self, state: State) -> dict[str, Array]:
        insertion = self.insertion_state(state)
        done = mated(insertion).astype(float)
        reached, lifted = [], []
        for side in SIDES:
            part = state.body(PART[side])
            reached.append(tolerance(np.linalg.norm(state.site(f"{side}/gripper") - part, axis=-1), 0.05, 0.3))
            lifted.append(tolerance(np.minimum(part[:, 2] - 0.1, 0.0), 0.0, 0.1))
        nearest = np.linalg.norm(insertion.peg_ends, axis=-1).min(axis=-1)
        return {
            "reached": np.minimum(*reached),
            "lifted": np.minimum(*lifted),
            "aligned": tolerance(nearest, HALF_LENGTH - INSERTED, 0.2),
            "mated": done,
        }

    def succeeds(self, state: State) -> Array:
        return mated(self.insertion_state(state))

    def lost(self, state: State) -> Array:
        """A part has fallen off the table."""
        return np.minimum(state.body("peg")[:, 2], state.body("socket")[:, 2]) < -0.05

    def expert(self) -> Expert:
        return InsertionExpert()


def _add_part(spec: mujoco.MjSpec, name: str, height: float) -> mujoco.MjsBody:
    """A free body that lies on the table, with a frame in its middle."""
    body = spec.worldbody.add_body(name=name, pos=[0.13 if name == "peg" else -0.13, 0, height])
    body.add_freejoint(name=name)
    body.add_site(name=name, group=4, size=[0.005] * 3)
    if name == "peg":
        for number, x in enumerate((-HALF_LENGTH, HALF_LENGTH)):
            body.add_site(name=f"peg_end{number}", pos=[x, 0, 0], group=4, size=[0.005] * 3)
    return body


def _add_box(body: mujoco.MjsBody, position: list[float], size: list[float], colour: list[float]) -> None:
    """Smooth against its like; fingers and table bring the friction they have."""
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=position,
        size=size,
        mass=MASS if body.name == "peg" else MASS / 4,
        rgba=colour,
        condim=4,
        friction=[0.3, 0.005, 0.0001],
        contype=OBJECT,
        conaffinity=LEFT | RIGHT | STATIC | OBJECT,
    )


# -- expert ---------------------------------------------------------------------------------------------------------

#: Where a hand takes its part: behind its middle, so that there is room between the hands when it is in [m].
BEHIND = 0.044
#: Finger distances: that squeezes a part, and how much above its half width the fingers of a holding hand are [m].
SQUEEZE = {"left": 0.008, "right": CLOSED}
GRASPED = 0.0025
GRASP_HEIGHT = 0.021  # of the finger centres, so that finger tips clear the table [m]
ABOVE = 0.08  # height above the grasp from which the hand comes down [m]
SAFE_HEIGHT = 0.1  # of a hand with a part, from which it may be turned [m]
#: Where the socket is held, its mouth towards the right arm [m].
MEETING = np.array([0.03, 0.0, 0.2])
#: How deep the peg goes into the socket, and where it is aligned; where it waits for the socket to be there [m].
DEEP, BEFORE, WAITING = 0.057, -0.015, -0.05
ALIGNED = (0.0015, 0.05)  # the peg's end is in line with the bore [m], the peg with its axis [rad]
SAG = 0.004  # [m]


@dataclass(frozen=True)
class _Part:
    """A part as a hand sees it: it points away from the arm, whichever way round it lies.

    `size` is how many times its nominal size it has.
    """

    side: str
    position: Array
    quat: Array
    size: float

    @property
    def axis(self) -> Array:
        """Along the part, away from the arm."""
        return rotation_matrix(self.quat)[:, 0]

    @property
    def mouth(self) -> Array:
        """The end away from the arm [m]."""
        return self.position + self.size * HALF_LENGTH * self.axis

    @classmethod
    def seen(cls, side: str, pose: Array, size: float) -> "_Part":
        axes = rotation_matrix(pose[3:])
        inwards = 1.0 if side == "left" else -1.0
        x = axes[:, 0] * (1.0 if axes[0, 0] * inwards >= 0 else -1.0)
        y = axes[:, 1] if abs(axes[2, 1]) < abs(axes[2, 2]) else axes[:, 2]  # the level one of its four sides
        return cls(side, pose[:3], from_axes(x, y if y[1] * x[0] >= 0 else -y), size)


class InsertionExpert(HandExpert):
    """What to do next follows from where the parts are and who holds them."""

    def targets(self, q: Array, observation: Mapping[str, Array]) -> dict[str, HandTarget]:
        peg, socket = np.split(observation["environment_state"][:14], 2)
        size = self.half_size("peg") / HALF_LENGTH
        parts = {"left": _Part.seen("left", socket, size), "right": _Part.seen("right", peg, size)}
        hands = {side: self.kinematics.pose(side) for side in SIDES}
        opening = {"left": q[6], "right": q[13]}
        held = {side: _holds(hands[side], opening[side], parts[side]) for side in SIDES}
        goals = _goals(parts["right"], parts["left"])
        ready = all(held.values()) and all(_is_lifted(parts[side]) for side in SIDES)
        if ready:
            return {side: _carry(hands[side], parts[side], goals[side]) for side in SIDES}
        return {side: _lift(hands[side], side) if held[side] else _pick(hands[side], parts[side]) for side in SIDES}


def _holds(hand: tuple[Array, Array], opening: float, part: _Part) -> bool:
    """Whether the fingers are closed on the part, across it."""
    position, quat = hand
    away = rotation_matrix(part.quat).T @ (position - part.position)
    around = abs(away[0]) < part.size * HALF_LENGTH and np.hypot(*away[1:]) < 0.02
    across = abs(rotation_matrix(quat)[:, 1] @ part.axis) < 0.3
    return bool(around and across and opening < part.size * HALF_WIDTH[part.side] + GRASPED)


def _pick(hand: tuple[Array, Array], part: _Part) -> HandTarget:
    position, quat = hand
    if not is_down(quat):
        return HandTarget(
            position * [1, 1, 0] + [0, 0, MEETING[2]], pointing_down(plane_heading(part.side, position)), OPEN
        )
    grasp = part.position - BEHIND * part.axis
    grasp[2] = max(grasp[2], GRASP_HEIGHT)
    across = float(np.arctan2(part.axis[1], part.axis[0]))
    turn = pointing_down(nearest_turn(across, np.pi, plane_heading(part.side, position)))
    down = angle(quat, turn) < 0.1 and np.linalg.norm(position[:2] - grasp[:2]) < 0.012
    there = down and np.linalg.norm(position - grasp) < 0.005
    return HandTarget(grasp if down else grasp + [0, 0, ABOVE], turn, SQUEEZE[part.side] if there else OPEN)


def _is_lifted(part: _Part) -> bool:
    return bool(part.position[2] > SAFE_HEIGHT)


def _lift(hand: tuple[Array, Array], side: str) -> HandTarget:
    """Straight up, to wait for the other hand there."""
    position, quat = hand
    return HandTarget(np.array([*position[:2], MEETING[2]]), pointing_down(heading_of(quat)), SQUEEZE[side])


def _goals(peg: _Part, socket: _Part) -> dict[str, tuple[Array, Array]]:
    """Where the parts shall be, position and orientation; the peg in line with the socket, wherever that is by now."""
    x, y, _ = np.eye(3)
    away = peg.mouth - socket.mouth
    deep = -float(away @ socket.axis)
    off_line = np.linalg.norm(away + deep * socket.axis)
    parallel = np.linalg.norm(np.cross(peg.axis, socket.axis)) < ALIGNED[1]
    if parallel and off_line < (ALIGNED[0] if deep < 0 else socket.size * BORE_HALF):  # inside, the walls guide it
        into = socket.size * DEEP
    else:
        into = BEFORE if np.linalg.norm(socket.mouth - MEETING) < 0.01 else WAITING
    facing = from_axes(-socket.axis, -rotation_matrix(socket.quat)[:, 1])
    return {
        "left": (MEETING - socket.size * HALF_LENGTH * x, from_axes(x, y)),
        "right": (socket.mouth + (peg.size * HALF_LENGTH - into) * socket.axis, facing),
    }


def _carry(hand: tuple[Array, Array], part: _Part, goal: tuple[Array, Array]) -> HandTarget:
    """Where the hand shall go for the part it holds to be at its goal, and beyond by what little is missing there:
    a loaded hand sags."""
    turn = log_between(part.quat, goal[1])
    lever = rotation_matrix(rotated(part.quat, turn)) @ rotation_matrix(part.quat).T @ (hand[0] - part.position)
    at = goal[0] + lever
    return HandTarget(at + np.clip(at - hand[0], -SAG, SAG), rotated(hand[1], turn), SQUEEZE[part.side])
