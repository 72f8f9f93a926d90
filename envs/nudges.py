"""Where to push a T next: what every nudge of a grid does to it was simulated once, and two in a row are compared.

A nudge is a straight push at a point of the outline, in the frame of the T. What it does there is the same wherever the
T lies, so that futures are arithmetic: the moves of a table, one after the other. The table is made with the T as the
task has it, on its four or more points of contact: a patch of even pressure turns twice as easily.

The same T is nudged in the same way, every time. Demonstrations of planners that draw their ways at random are harder
to learn from (Zhu et al. 2024, "Should We Learn Contact-Rich Manipulation Policies from Sampling-Based Planners?").
"""

from dataclasses import dataclass
from functools import lru_cache

import mujoco
import numpy as np
from mujoco.batch import Batch

from robotics.controllers.rotation import wrapped
from robotics.envs.pushing import ROUND
from robotics.envs.robots.push_t import (
    BAR,
    BAR_AT,
    FINGER_RADIUS,
    HALF_HEIGHT,
    STEM,
    STEM_AT,
    add_free_block,
    away,
)

Array = np.ndarray

#: Of the nudges: how far apart along the outline [m], how far from where bar and stem meet [m], how deep [m], and at
#: which angles to the outline's normal [rad].
SPACING, FROM_CORNER = 0.02, 0.022
DEPTHS = (0.003, 0.006, 0.01, 0.018, 0.03, 0.05, 0.08, 0.12)
SLANTS = (-0.6, 0.0, 0.6)
#: They begin this far from the outline [m]; speeds of the hand on its way and in a nudge [m/s]; it is waited for before
#: a nudge, and once it is over [s].
CLEAR, TRAVEL, PUSH, WAIT, SETTLE = 0.015, 0.5, 0.25, 0.15, 0.35
#: The hand follows its target as a mass on a damped spring: natural frequency [rad/s], damping ratio, top speed [m/s],
#: and so heavy that the T does not hold it up [kg].
FREQUENCY, DAMPING, TOP_SPEED, WEIGHT = 5.0, 0.71, 0.5, 40.0
#: Height of the hand's end above the table [m], time step and settling of the simulated nudges [s].
ABOVE, TIMESTEP, REST = 0.012, 0.004, 0.25
#: A second costs this part of how far the T is away. So many of the best nudges are looked beyond, and what the next
#: one may reach counts so often: a T that lies upside down must get worse first, and is not to be put off for ever.
HURRY, BEAM, BEYOND = 0.15, 160, 2.0
#: Moves of the T below this are none [m, rad].
STILL = 1e-4


@dataclass(frozen=True)
class Nudges:
    """m nudges: the hand goes from `before` to `after` (m, 2) in `lasts` (m,) [s], and the T moves by `change` (m, 3).

    All in the frame of the T as it was: [m], and the angle [rad].
    """

    before: Array
    after: Array
    lasts: Array
    change: Array


@dataclass(frozen=True)
class Choice:
    """One nudge, in the world: from `before` to `after` (2,); how far the T is away, and will be if all goes well."""

    before: Array
    after: Array
    away: float
    hoped: float


@lru_cache(maxsize=1)
def nudges() -> Nudges:
    """The table."""
    points, normals = _outline()
    ways = []
    for point, outwards in zip(points, normals, strict=True):
        touch = point + FINGER_RADIUS * outwards
        for slant in SLANTS:
            into = _rotation(slant) @ -outwards
            ways += [(touch - CLEAR * into, touch + depth * into) for depth in DEPTHS]
    before, after = np.array(ways).swapaxes(0, 1)
    change = _simulated(before, after)
    kept = np.abs(change).max(axis=1) > STILL
    lasts = np.linalg.norm(after - before, axis=1) / PUSH + WAIT + SETTLE
    return Nudges(before[kept], after[kept], lasts[kept], change[kept])


def choose(finger: Array, pose: Array, goal: Array, room: Array) -> Choice:
    """The nudge of a T at `pose` (3,) that brings it nearest to `goal` (3,), with the best that may follow.

    The finger (2,) stays within `room` (2,) to either side of the middle.
    """
    table, R = nudges(), _rotation(pose[2])
    before, after = table.before @ R.T + pose[:2], table.after @ R.T + pose[:2]
    now = float(away(pose, goal))
    first = _moved(pose, table.change)
    turn = np.abs(wrapped(_bearing(before - pose[:2]) - _bearing(finger - pose[:2])))
    later = HURRY * now * (turn * ROUND / TRAVEL + table.lasts)
    left = away(first, goal)
    rank = np.where((np.abs([before, after]) <= room).all(axis=(0, 2)), left + later, np.inf)
    best = np.argsort(rank, kind="stable")[:BEAM]
    second = away(_moved(first[best][:, None], table.change), goal).min(axis=1)
    chosen = best[int(np.argmin(rank[best] + BEYOND * second))]
    return Choice(before[chosen], after[chosen], now, float(left[chosen]))


def way(finger: Array, pose: Array, choice: Choice, room: Array) -> tuple[Array, Array]:
    """Times (K,) [s] and places (K, 2) of the hand on the shorter way round the T, or that with more room, and in."""
    ways = [
        np.stack([finger, *_round(finger, choice.before, pose[:2], sense), choice.before, choice.before, choice.after])
        for sense in (1, -1)
    ]
    points = min(ways, key=lambda one: _length(one[:-1]) + 20 * np.maximum(np.abs(one[1:-3]) - room, 0.0).sum())
    lasts = np.linalg.norm(np.diff(points, axis=0), axis=1) / TRAVEL
    lasts[-2:] = WAIT, lasts[-1] * TRAVEL / PUSH
    return np.concatenate([[0.0], np.cumsum(lasts)]), points


def _outline() -> tuple[Array, Array]:
    """Points (m, 2) on the outline of the T and the directions out of it, but for where bar and stem meet."""
    (wide, half), (thin, tall) = BAR, STEM
    top, under, foot = BAR_AT + half, BAR_AT - half, STEM_AT - tall
    edges = [((-wide, top), (wide, top), (0, 1)), ((-thin, foot), (thin, foot), (0, -1))]
    for side in (-1, 1):
        edges += [
            ((side * wide, under), (side * wide, top), (side, 0)),
            ((side * wide, under), (side * (thin + FROM_CORNER), under), (0, -1)),
            ((side * thin, foot), (side * thin, under - FROM_CORNER), (side, 0)),
        ]
    points, normals = [], []
    for start, end, outwards in edges:
        a, b = np.array(start), np.array(end)
        count = max(2, round(np.linalg.norm(b - a) / SPACING))
        points += [a + (k + 0.5) / count * (b - a) for k in range(count)]
        normals += [np.array(outwards, float)] * count
    return np.array(points), np.array(normals)


def _simulated(before: Array, after: Array) -> Array:
    """What the nudges do (m, 3) to a T that rests at the origin."""
    model = _scene()
    data = mujoco.MjData(model)
    data.qpos[:2] = data.ctrl[:] = 1.0  # out of the way until the T has settled
    mujoco.mj_step(model, data, nstep=round(REST / TIMESTEP))
    rest = data.qpos.copy()
    batch = Batch(model, nsim=len(before), nthread=1)
    mujoco.mj_getState(model, data, batch.state[0], mujoco.mjtState.mjSTATE_INTEGRATION)
    batch.state[1:] = batch.state[0]
    batch.state[:, 1:3] = before  # behind the time
    length = np.linalg.norm(after - before, axis=1)[:, None]
    steps = round((length.max() / PUSH + SETTLE) / TIMESTEP)
    along = np.minimum(PUSH * TIMESTEP * np.arange(steps) / length, 1.0)[..., None]
    out = {"qpos": np.empty((len(before), steps, model.nq))}
    batch.rollout(steps, before[:, None] + along * (after - before)[:, None], record=("qpos",), out=out)
    moved = out["qpos"][:, -1]
    return np.column_stack([moved[:, 2:4] - rest[2:4], 2 * np.arctan2(moved[:, 8], moved[:, 5])])


def _scene() -> mujoco.MjModel:
    """The T on a table, and a hand that slides over it. qpos: hand (x, y), T as a free joint."""
    spec = mujoco.MjSpec()
    spec.option.timestep = TIMESTEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[2, 2, 0.1])
    hand = spec.worldbody.add_body(name="hand", pos=[0, 0, ABOVE + HALF_HEIGHT])
    damping = 2 * DAMPING * FREQUENCY * WEIGHT
    for name, axis in (("x", [1, 0, 0]), ("y", [0, 1, 0])):
        joint = hand.add_joint(name=name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=axis)
        joint.damping = [damping, 0, 0]
        servo = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        servo.set_to_position(kp=WEIGHT * FREQUENCY**2)
        servo.forcelimited, servo.forcerange = True, [-TOP_SPEED * damping, TOP_SPEED * damping]
    hand.add_geom(type=mujoco.mjtGeom.mjGEOM_CYLINDER, size=[FINGER_RADIUS, HALF_HEIGHT, 0], mass=WEIGHT)
    add_free_block(spec)
    return spec.compile()


def _round(start: Array, end: Array, centre: Array, sense: int) -> list[Array]:
    """Places on the circle about `centre`, from the bearing of `start` to that of `end`, with or against the clock."""
    first = float(_bearing(start - centre))
    turn = float(wrapped(_bearing(end - centre) - first))
    if sense * turn < 0:
        turn += 2 * np.pi * sense
    if abs(turn) < 0.15:
        return []
    angles = first + turn * np.linspace(0, 1, max(2, int(abs(turn) / 0.25) + 1))
    return [centre + ROUND * np.array([np.cos(angle), np.sin(angle)]) for angle in angles]


def _moved(pose: Array, change: Array) -> Array:
    """Poses (..., 3) after a `change` (..., 3) in their own frame."""
    c, s = np.cos(pose[..., 2]), np.sin(pose[..., 2])
    x = pose[..., 0] + c * change[..., 0] - s * change[..., 1]
    y = pose[..., 1] + s * change[..., 0] + c * change[..., 1]
    return np.stack([x, y, pose[..., 2] + change[..., 2]], axis=-1)


def _bearing(place: Array) -> Array:
    return np.arctan2(place[..., 1], place[..., 0])


def _rotation(angle: float) -> Array:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


def _length(points: Array) -> float:
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
