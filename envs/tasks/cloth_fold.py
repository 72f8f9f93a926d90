"""Cloth fold: two hands take the corners of a cloth's near edge and lay it on the far edge."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np

from robotics.controllers.arms import HandTarget
from robotics.controllers.rotation import angle, from_axes, plane_rotation, rotation_matrix
from robotics.envs.base import Array, Expert, Observation
from robotics.envs.bimanual import BimanualTask
from robotics.envs.hands import HandExpert
from robotics.envs.rewards import tolerance
from robotics.envs.robots.aloha import CLOSED, LEFT, OBJECT, RIGHT, SIDES, STATIC
from robotics.envs.state import Simulation, State, measured_once
from robotics.envs.top_down import plane_heading

# -- constants ------------------------------------------------------------------------------------------------------

#: The cloth: points across (from the left to the right) and along (from the near edge to the far one), and its sides
#: [m]. Coarse, so that it is cheap.
COUNT, SIDE = (5, 7), 0.24
COLUMNS = (-SIDE / 2, -0.08, 0.0, 0.08, SIDE / 2)
CLOTH_MASS, RADIUS = 0.015, 0.004  # [kg], half its thickness [m]
YOUNG, DAMPING = 2.5e4, 0.01  # of its material [Pa], [s]
TIMESTEP = 0.004  # [s]
CLOTH = 16  # collision bit of its triangles
#: Half sizes of the board it lies on [m], which lets it stand out by 3 cm on either side, for the fingers.
BOARD = (0.09, 0.14, 0.045)
#: How far the board is moved [m] and turned [rad] from the middle, and the cloth on it.
BOARD_SHIFT, BOARD_TURN = 0.02, 0.1
CLOTH_SHIFT, CLOTH_TURN = 0.005, 0.04
NEAR, MIDDLE, FAR = 0, COUNT[1] // 2, COUNT[1] - 1
FOLDED = 0.025  # how far any point of the near edge may be from its place on the far edge [m]
LYING = 0.03  # how high above the board any of the edges' points may be [m]
STRAIGHT = 0.9  # of its length, how long an edge must be, and how far either half must reach from the fold
REST = 0.05  # how fast any point may move [m/s]
APART = 0.05  # how far fingers must be from every point of the cloth, to have let go of it [m]


# -- success: a pure function of the state --------------------------------------------------------------------------


@dataclass(frozen=True)
class FoldState:
    """What success depends on, of one simulation or of n: shapes without or with a leading n."""

    points: Array  # of the cloth [m], from left to right and from the near edge to the far one (…, 5, 7, 3)
    speeds: Array  # of the points [m/s] (…, 5, 7)
    fingers: Array  # middle between the finger tips of either hand [m] (…, 2, 3)
    board_height: Array | float  # of its top [m]


def off_place(points: Array) -> Array:
    """How far the worst point of the near edge is from its place on the far edge, seen from above [m]: (n,) or ()."""
    away = points[..., NEAR, :2] - points[..., FAR, :2]
    return np.sqrt((away * away).sum(axis=-1)).max(axis=-1)


def folded(state: FoldState) -> Array:
    """The near edge on the far one, both flat and straight, the cloth at rest and let go of: bool, (n,) or ()."""
    points = np.asarray(state.points)
    edges = points[..., [NEAR, FAR], :]
    lying = (edges[..., 2] - np.asarray(state.board_height)[..., None, None] < LYING).all(axis=(-2, -1))
    length = _distance(edges[..., 0, :, :], edges[..., -1, :, :]).min(axis=-1)
    reach = _distance(edges.mean(axis=-3), points[..., [MIDDLE], :].mean(axis=-3)).min(axis=-1)
    spread = (length > STRAIGHT * SIDE) & (reach > STRAIGHT * SIDE / 2)
    apart = _distance(points[..., None, :], np.asarray(state.fingers)[..., None, None, :, :]).min(axis=(-3, -2, -1))
    still = np.asarray(state.speeds).max(axis=(-2, -1)) < REST
    return (off_place(points) < FOLDED) & lying & spread & still & (apart > APART)


def _distance(first: Array, second: Array) -> Array:
    away = first - second
    return np.sqrt((away * away).sum(axis=-1))


# -- task -----------------------------------------------------------------------------------------------------------


class ClothFold(BimanualTask):
    """A blue cloth lies on a board and is to be folded in half, its near edge on its far one."""

    task = "fold the cloth in half"
    paraphrases = (
        "take the near edge of the blue cloth with both hands and lay it on the far edge",
        "fold the blue cloth edge over edge",
    )
    RANDOMISED = ("body_pos", "body_quat")

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        board = spec.worldbody.add_body(name="board", pos=[0, 0, BOARD[2]])
        board.add_geom(
            name="board",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=BOARD,
            rgba=[0.87, 0.84, 0.78, 1],
            contype=STATIC,
            conaffinity=LEFT | RIGHT | OBJECT,
        )
        _add_cloth(spec)

    def __init__(self, action_mode: str = "joint", **kwargs: Any) -> None:
        super().__init__(action_mode, **kwargs)
        model = self.model
        first = model.body("cloth_0").id
        cloth = slice(first, first + COUNT[0] * COUNT[1])
        self._rest = model.body_pos[cloth].copy()
        q, v = model.joint("cloth_0_x").qposadr[0], model.joint("cloth_0_x").dofadr[0]
        self._cloth_q, self._cloth_v = (slice(a, a + 3 * COUNT[0] * COUNT[1]) for a in (q, v))
        self._hands = np.array([model.site(f"{side}/gripper").id for side in SIDES])

    def place(self, simulation: Simulation, rng: np.random.Generator, options: Mapping[str, Any]) -> None:
        """The board moved and turned a little, and the cloth on it."""
        self.refuse_options(options)
        self.place_robot(simulation)
        board = self.model.body("board").id
        shift, turn = rng.uniform(-BOARD_SHIFT, BOARD_SHIFT, 2), rng.uniform(-BOARD_TURN, BOARD_TURN)
        simulation.parameter("body_pos")[board, :2] = shift
        simulation.parameter("body_quat")[board] = [np.cos(turn / 2), 0, 0, np.sin(turn / 2)]
        shift = shift + rng.uniform(-CLOTH_SHIFT, CLOTH_SHIFT, 2)
        turn += rng.uniform(-CLOTH_TURN, CLOTH_TURN)
        flat = plane_rotation(turn)
        points = self._rest.copy()
        points[:, :2] = np.einsum("ij,kj->ki", flat, points[:, :2]) + shift
        simulation.qpos[self._cloth_q] = (points - self._rest).ravel()

    def state_spaces(self) -> dict[str, gym.spaces.Box]:
        size = 3 * COUNT[0] * COUNT[1]
        return {
            "state": gym.spaces.Box(-4.0, 4.0, (14,), np.float32),
            "environment_state": gym.spaces.Box(-10.0, 10.0, (size,), np.float32),
        }

    def points(self, state: State) -> Array:
        """Where the points of the cloth are [m] (n, 5, 7, 3)."""
        return (self._rest.ravel() + state.qpos[:, self._cloth_q]).reshape(-1, *COUNT, 3)

    def observe(self, state: State) -> Observation:
        """`state`: joint positions; `environment_state`: the points of the cloth [m], as in `points`."""
        return {"state": state.qpos[:, self._q], "environment_state": self.points(state).reshape(state.size, -1)}

    @measured_once
    def fold_state(self, state: State) -> FoldState:
        """What success depends on, read from the simulations."""
        velocity = state.qvel[:, self._cloth_v].reshape(-1, *COUNT, 3)
        speeds = np.sqrt((velocity * velocity).sum(axis=-1))
        return FoldState(self.points(state), speeds, state.site_xpos[:, self._hands], 2 * BOARD[2])

    def reward_terms(self, state: State) -> dict[str, Array]:
        fold = self.fold_state(state)
        corners = fold.points[:, [0, -1], NEAR]
        done = folded(fold).astype(float)
        near = tolerance(_distance(fold.fingers, corners).max(axis=-1), 0.02, 0.3)
        moved = tolerance(off_place(fold.points), FOLDED, SIDE)
        return {"reached": np.maximum(near, moved), "moved": moved, "folded": done}

    def succeeds(self, state: State) -> Array:
        return folded(self.fold_state(state))

    def lost(self, state: State) -> Array:
        """The cloth has fallen off the board: most of it lies lower."""
        return self.points(state)[..., 2].mean(axis=(-2, -1)) < BOARD[2]

    def expert(self) -> Expert:
        return FoldExpert()


def _add_cloth(spec: mujoco.MjSpec) -> None:
    """Points that move freely, spanned by elastic triangles.

    The triangles touch the fingers and each other; on table and board every point rests by a little ball, of which
    there are fewer than of corners of triangles.
    """
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_DISCRETE  # what elasticity needs, and long steps allow
    spec.option.timestep = TIMESTEP
    spec.option.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL  # so many contacts are faster so, and fold as well
    rows = np.linspace(-SIDE / 2, SIDE / 2, COUNT[1])
    names: list[str] = []
    for x in COLUMNS:
        for y in rows:
            names.append(f"cloth_{len(names)}")
            point = spec.worldbody.add_body(
                name=names[-1],
                pos=[x, y, 2 * BOARD[2] + RADIUS],
                mass=CLOTH_MASS / (COUNT[0] * COUNT[1]),
                inertia=[1e-7] * 3,
                explicitinertial=True,
            )
            for axis, direction in zip("xyz", np.eye(3), strict=True):
                point.add_joint(name=f"{names[-1]}_{axis}", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=direction)
            point.add_geom(
                type=mujoco.mjtGeom.mjGEOM_SPHERE,
                size=[RADIUS, 0, 0],
                mass=0,
                group=4,
                contype=OBJECT,
                conaffinity=STATIC,
            )
    grid = np.arange(len(names)).reshape(COUNT)
    cells = [grid[i : i + 2, j : j + 2] for i in range(COUNT[0] - 1) for j in range(COUNT[1] - 1)]
    triangles = [corners for (a, b), (c, d) in cells for corners in ((a, c, d), (a, d, b))]
    cloth = spec.add_flex(name="cloth", dim=2, radius=RADIUS, vertbody=names, elem=np.ravel(triangles).tolist())
    cloth.young, cloth.thickness, cloth.damping, cloth.elastic2d = YOUNG, 2 * RADIUS, DAMPING, 3
    cloth.contype, cloth.conaffinity = CLOTH, LEFT | RIGHT | CLOTH
    cloth.condim, cloth.friction, cloth.solref = 3, [1, 0.005, 0.0001], [0.01, 1]
    cloth.rgba = [0.15, 0.35, 0.75, 1]


# -- expert ---------------------------------------------------------------------------------------------------------

#: Finger distances: that take the cloth in, that pinch it, and below which a hand on the cloth holds it [m].
OPENED, PINCH, PINCHED = 0.02, CLOSED, 0.007
#: Where a hand takes a corner: so far from it along the edge and into the cloth [m].
INSIDE, INTO = -0.004, 0.01
OUTSIDE = 0.07  # how far out of the cloth a hand waits [m]
PITCH = 0.1  # of the hands below the horizontal [rad]
AHEAD = 0.45  # how far a corner is drawn ahead of where it is, on its way round the fold [rad]
UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class _Corner:
    """A corner of the near edge as the hand of its side sees it."""

    side: str
    position: Array
    over: Array  # from the fold to the far edge, level
    inwards: Array  # along the edge to the other hand, level
    centre: Array  # of its way round the fold [m]
    goal: Array  # its place on the far edge [m]

    @property
    def turned(self) -> float:
        """How far it is round the fold: 0 … pi [rad]."""
        away = self.position - self.centre
        return float(np.arctan2(max(away[2], 0.0), -away @ self.over))

    def at(self, turned: float) -> Array:
        """Where it is on its way when it is `turned` so far [m]: drawn round a little closer than the cloth allows."""
        return self.centre + 0.98 * SIDE / 2 * (np.sin(turned) * UP - np.cos(turned) * self.over) + RADIUS * 2 * UP

    def hand(self, turned: float, heading: float) -> Array:
        """The hand on it: level across the cloth, its fingers on either side of it."""
        ahead = np.cos(PITCH) * np.array([np.cos(heading), np.sin(heading), 0]) - np.sin(PITCH) * UP
        normal = np.sin(turned) * self.over + np.cos(turned) * UP
        return from_axes(ahead, normal if self.side == "left" else -normal)

    @classmethod
    def seen(cls, side: str, points: Array) -> "_Corner":
        column = 0 if side == "left" else -1
        over = (points[:, FAR] - points[:, FAR - 2]).mean(axis=0) * [1, 1, 0]
        over /= np.linalg.norm(over)
        right = np.array([over[1], -over[0], 0])
        goal = np.array([*points[column, FAR, :2], points[1:-1, FAR - 1, 2].min()])  # as high as on the board
        inwards = right if side == "left" else -right
        return cls(side, points[column, NEAR], over, inwards, goal - SIDE / 2 * over, goal)


class FoldExpert(HandExpert):
    """What to do next follows from where the cloth is and who holds it."""

    def targets(self, q: Array, observation: Mapping[str, Array]) -> dict[str, HandTarget]:
        points = observation["environment_state"].reshape(*COUNT, 3)
        corners = {side: _Corner.seen(side, points) for side in SIDES}
        hands = {side: self.kinematics.pose(side) for side in SIDES}
        opening = {"left": q[6], "right": q[13]}
        if off_place(points) < 0.8 * FOLDED and all(c.turned > 2.6 and _is_low(c) for c in corners.values()):
            return {side: _leave(hands[side], opening[side], corners[side]) for side in SIDES}
        if all(_holds(hands[side], opening[side], corners[side]) for side in SIDES):
            turned = min(corner.turned for corner in corners.values()) + AHEAD
            return {side: _carry(hands[side], corners[side], min(turned, np.pi)) for side in SIDES}
        return {side: _pick(hands[side], opening[side], corners[side]) for side in SIDES}


def _is_low(corner: _Corner) -> bool:
    return bool(corner.position[2] < corner.goal[2] + 0.025)


def _holds(hand: tuple[Array, Array], opening: float, corner: _Corner) -> bool:
    """Whether the fingers are closed, and the corner is between them."""
    away = rotation_matrix(hand[1]).T @ (corner.position - hand[0])
    return bool(np.abs(away[[0, 2]]).max() < 0.025 and abs(away[1]) < 0.01 and opening < PINCHED)


def _pick(hand: tuple[Array, Array], opening: float, corner: _Corner) -> HandTarget:
    position, quat = hand
    turned = 0.0 if corner.turned < np.pi / 2 else np.pi
    into = np.cos(turned) * corner.over
    grasp = corner.position + INSIDE * corner.inwards + INTO * into
    heading = plane_heading(corner.side, grasp)
    turn = corner.hand(turned, heading)
    ahead = rotation_matrix(turn)[:, 0]
    away = grasp - position
    beside = np.linalg.norm(away - (away @ ahead) * ahead)
    if angle(quat, turn) > 0.2 or beside > 0.015:
        return HandTarget(grasp - OUTSIDE * ahead, turn, OPENED)
    there = np.linalg.norm(away) < 0.01
    return HandTarget(grasp, turn, PINCH if there else OPENED)


def _carry(hand: tuple[Array, Array], corner: _Corner, turned: float) -> HandTarget:
    position = hand[0] + corner.at(turned) - corner.position
    return HandTarget(position, corner.hand(turned, plane_heading(corner.side, position)), PINCH)


def _leave(hand: tuple[Array, Array], opening: float, corner: _Corner) -> HandTarget:
    """Open, then straight out."""
    position, quat = hand
    out = 2 * OUTSIDE * -corner.inwards if opening > 0.8 * OPENED else 0.0
    away = np.clip((corner.position - position) @ corner.inwards, 0, 2 * OUTSIDE)
    return HandTarget(position + out * (1 - away / (2 * OUTSIDE)), quat, OPENED)
