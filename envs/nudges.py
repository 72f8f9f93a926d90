"""Where to push a T next: what every nudge of a table does to it was simulated once, and two in a row are compared.

A nudge is a straight push at a point of the outline, in the frame of the T. What it does there is the same wherever the
T lies, so that futures are arithmetic: the moves of a table, one after the other. The table is made with the T as the
task has it, on its four or more points of contact: a patch of even pressure turns twice as easily.

The nudges are few, because fifty demonstrations are to be learned from: they hold three hundred nudges, which tell
little of a hundred kinds and enough of eight. The same T is nudged in the same way, every time: demonstrations of
planners that draw their ways at random are harder to learn from, too (Zhu et al. 2024, "Should We Learn Contact-Rich
Manipulation Policies from Sampling-Based Planners?").
"""

from dataclasses import dataclass
from functools import lru_cache

import mujoco
import numpy as np
from mujoco.batch import Batch

from robotics.controllers.rotation import plane_rotation
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

_TOP, _UNDER, _FOOT = BAR_AT + BAR[1], BAR_AT - BAR[1], STEM_AT - STEM[1]
#: Where the T is nudged, square to its outline: points of the outline [m] and the directions out of it. The ends of the
#: bar turn it, from above and from below; its middle, the foot of the stem and the sides of the bar shift it.
PLACES = (
    ((0.08, _TOP), (0, 1)),
    ((-0.08, _TOP), (0, 1)),
    ((0.075, _UNDER), (0, -1)),
    ((-0.075, _UNDER), (0, -1)),
    ((0.0, _TOP), (0, 1)),
    ((0.0, _FOOT), (0, -1)),
    ((BAR[0], BAR_AT), (1, 0)),
    ((-BAR[0], BAR_AT), (-1, 0)),
)
#: How deep [m].
DEPTHS = (0.002, 0.003, 0.0045, 0.006, 0.008, 0.01, 0.014, 0.018, 0.024, 0.03, 0.04, 0.05, 0.065, 0.08, 0.1, 0.12)
#: They begin this far from the outline [m]; speeds of the hand on its way and in a nudge [m/s].
CLEAR, TRAVEL, PUSH = 0.055, 0.8, 0.25
#: It is waited for until it is up, above where a nudge begins, down, and through with it; its target is there nearly at
#: once [s]. Who learns from it is some way off, and from aside would come down on the T and stay there.
LIFT, HOVER, DOWN, SETTLE, AT_ONCE = 0.2, 0.25, 0.2, 0.35, 0.02
#: The hand follows its target as a mass on a damped spring: natural frequency [rad/s], damping ratio, top speed [m/s],
#: and so heavy that the T does not hold it up [kg].
FREQUENCY, DAMPING, TOP_SPEED, WEIGHT = 5.0, 0.71, 0.5, 40.0
#: Height of the hand's end above the table in a nudge, and on its way over the T [m]; lifted, it backs off so far [m].
ABOVE, HIGH, BACK = 0.012, 0.07, 0.02
#: Time step and settling of the simulated nudges [s].
TIMESTEP, REST = 0.004, 0.25
#: A second costs this part of how far the T is away. What the nudge after may reach counts so often: a T that lies
#: upside down must get worse first, and is not to be put off for ever.
HURRY, BEYOND = 0.15, 2.0
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
    ways = []
    for point, outwards in PLACES:
        touch = np.array(point) + FINGER_RADIUS * np.array(outwards)
        ways += [(touch + CLEAR * np.array(outwards), touch - depth * np.array(outwards)) for depth in DEPTHS]
    before, after = np.array(ways).swapaxes(0, 1)
    change = _simulated(before, after)
    kept = np.abs(change).max(axis=1) > STILL
    lasts = np.linalg.norm(after - before, axis=1) / PUSH + LIFT + HOVER + DOWN + SETTLE
    return Nudges(before[kept], after[kept], lasts[kept], change[kept])


def choose(finger: Array, pose: Array, goal: Array, room: Array) -> Choice:
    """The nudge of a T at `pose` (3,) that brings it nearest to `goal` (3,), with the best that may follow.

    Nudges are within `room` (2,) to either side of the middle, and some way from where the `finger` is (2,).
    """
    table, R = nudges(), plane_rotation(pose[2])
    before, after = table.before @ R.T + pose[:2], table.after @ R.T + pose[:2]
    now = float(away(pose, goal))
    first = _moved(pose, table.change)
    later = HURRY * now * (np.linalg.norm(before - finger, axis=1) / TRAVEL + table.lasts)
    left = away(first, goal)
    second = away(_moved(first[:, None], table.change), goal).min(axis=1)
    within = (np.abs([before, after]) <= room).all(axis=(0, 2))
    chosen = int(np.argmin(np.where(within, left + later + BEYOND * second, np.inf)))
    return Choice(before[chosen], after[chosen], now, float(left[chosen]))


def way(hand: Array, pose: Array, choice: Choice) -> tuple[Array, Array]:
    """Times (K,) [s] and places (K, 3) of the hand's target from where it is (3,): up, over the T, down and in."""
    above, before = np.array([*choice.before, HIGH]), np.array([*choice.before, ABOVE])
    points, lasts = [hand], [0.0]
    if hand[2] < (ABOVE + HIGH) / 2:
        off = hand[:2] - pose[:2]
        up = np.array([*(hand[:2] + BACK * off / max(np.linalg.norm(off), 1e-6)), HIGH])
        points, lasts = [hand, up, up], [0.0, AT_ONCE, LIFT]
    lasts += [float(np.linalg.norm(above - points[-1])) / TRAVEL, HOVER, AT_ONCE, DOWN]
    lasts += [float(np.linalg.norm(choice.after - choice.before)) / PUSH]
    points += [above, above, before, before, np.array([*choice.after, ABOVE])]
    return np.cumsum(lasts), np.array(points)


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


def _moved(pose: Array, change: Array) -> Array:
    """Poses (..., 3) after a `change` (..., 3) in their own frame."""
    c, s = np.cos(pose[..., 2]), np.sin(pose[..., 2])
    x = pose[..., 0] + c * change[..., 0] - s * change[..., 1]
    y = pose[..., 1] + s * change[..., 0] + c * change[..., 1]
    return np.stack([x, y, pose[..., 2] + change[..., 2]], axis=-1)
