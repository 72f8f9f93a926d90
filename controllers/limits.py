r"""What the whole-body controller must not do: bounds and rows over :math:`y = (\dot v, s)`, s one shared slack.

Torque, velocity and position limits are hard; a collision margin is soft, because two bodies that already are closer
than the margin must not make the problem infeasible.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import mujoco
import numpy as np

from robotics.controllers.model import NominalModel
from robotics.controllers.robot_spec import RobotSpec

Array = np.ndarray


@dataclass(frozen=True, eq=False)  # told apart by identity: that is what makes `_brakes` quick to look up
class JointLimits:
    r"""Acceleration bounds that keep velocity and position inside their limits, with a look-ahead.

    :math:`\dot v \le (v_{max} - v)/\tau` and :math:`\dot v \le (q_{max} - q)/T^2 - 2 v/T`: a joint that follows this
    bound approaches its limit like a critically damped spring of time constant T, without passing it. (The usual
    :math:`2 (q_{max} - q - v T)/T^2` has a damping ratio of 0.7 and overshoots by 4 % of where the bound took hold.)
    Outside a limit the bound would ask for an impossible acceleration, so bounds are clamped to what still brakes.

    Joints in `pressing` are exempt from the position bound: a finger that an object holds back does not move, and the
    bound would take its still standing for slow motion and cap its force. So would that of velocity, to its inertia
    times :math:`v_{max}/\tau`: theirs is about the shortest that does not chatter.
    """

    lookahead_s: float = 0.05
    velocity_horizon_s: float = 0.01
    max_acceleration: float = 400.0  # [rad/s^2]: far above what the tasks ask, below what breaks the torque rows
    position_margin: float = 0.0  # [rad, m]: kept free for what model and sensors have wrong
    velocity_share: float = 1.0  # of the velocity limits that is used
    pressing_horizon_s: float = 0.0025  # as velocity_horizon_s, of joints in `pressing`
    pressing: tuple[int, ...] = ()  # indices of joints that push with a force, and stop themselves in their range

    def bounds(self, model: NominalModel) -> tuple[Array, Array]:
        """Lower and upper joint acceleration, each (n,), lower <= upper always."""
        lower, upper = np.empty(model.n), np.empty(model.n)
        self.write_bounds(lower, upper, model)
        return lower, upper

    def write_bounds(self, lower: Array, upper: Array, model: NominalModel) -> None:
        """`bounds`, into two arrays (n,)."""
        lines, ends = _brakes(self, model)
        room = ends - lines.dot(np.concatenate((model.q, model.v)))
        n, a = model.n, self.max_acceleration
        for i in self.pressing:  # too fast already: braked no harder than other joints are
            for row in (n + i, 3 * n + i):
                if room[row] < 0:
                    room[row] *= self.pressing_horizon_s / self.velocity_horizon_s
        both = room.reshape(2, 2, n)  # upwards and downwards, of position and velocity
        nearest = np.minimum(both[:, 0], both[:, 1])
        np.minimum(nearest, a, out=nearest)
        np.maximum(nearest, -a, out=nearest)
        upper[:] = nearest[0]
        np.negative(nearest[1], out=lower)
        crossed = lower > upper
        if np.count_nonzero(crossed):  # fast and near both limits: brake towards their middle
            upper[crossed] = lower[crossed] = 0.5 * (lower + upper)[crossed]


@lru_cache(maxsize=16)
def _brakes(limits: JointLimits, model: NominalModel) -> tuple[Array, Array]:
    """The bounds of `JointLimits` as ends - lines (q, v): of positions, then of velocities; upwards, then downwards."""
    T, horizon, one = limits.lookahead_s, np.full(model.n, limits.velocity_horizon_s), np.eye(model.n)
    horizon[list(limits.pressing)] = limits.pressing_horizon_s
    coming, speed = np.hstack([one / T**2, 2 / T * one]), np.hstack([0 * one, np.diag(1 / horizon)])
    fastest = limits.velocity_share * model.velocity_limit / horizon
    above, below = ((end - limits.position_margin) / T**2 for end in (model.position_upper, -model.position_lower))
    for i in limits.pressing:
        above[i] = below[i] = np.inf
        coming[i] = 0.0
    return np.vstack([coming, speed, -coming, -speed]), np.concatenate([above, fastest, below, fastest])


@dataclass(frozen=True)
class CollisionMargin:
    r"""Pairs of geoms stay `margin` apart: :math:`\ddot d \ge -(k_1+k_2)\dot d - k_1 k_2 (d - d_{min}) - s`.

    Here :math:`\ddot d = C \dot v + \delta`, and the drift :math:`\delta` is what the distance does while no joint
    speeds up: hands swing in arcs, and the line between two bodies turns as one passes the other.

    A pair costs about 0.4 microseconds until it is closer than `detection`, then some 40 for Jacobians and drift.
    """

    pairs: tuple[tuple[int, int], ...]
    margin: float = 0.005  # [m]
    detection: float = 0.06  # [m]
    rate: float = 15.0  # k1 = k2 [1/s]
    drift_step_s: float = 0.004  # between the distances that the drift is the difference of

    def rows(self, model: NominalModel) -> tuple[Array, Array]:
        """C (m, n) and d (m,) of the rows C v' + s >= d; m is the number of near pairs."""
        near = list(self._close(model))
        if not near:
            return np.zeros((0, model.n)), np.zeros(0)
        C = np.array([row for _, row, _ in near])
        room = np.array([distance for _, _, distance in near]) - self.margin
        drift = self._drift(model, [(pair, distance) for pair, _, distance in near])
        return C, -2 * self.rate * C.dot(model.v) - self.rate**2 * room - drift

    def near(self, model: NominalModel) -> Iterator[tuple[Array, float]]:
        """Of each near pair, the gradient (n,) of its distance, and how much of it is more than the margin [m]."""
        for _, row, distance in self._close(model):
            yield row, distance - self.margin

    def _close(self, model: NominalModel) -> Iterator[tuple[tuple[int, int], Array, float]]:
        """Each near pair, the gradient (n,) of its distance, and that distance [m]."""
        fromto, far, apart = np.empty(6), self.detection, mujoco.mj_geomDistance
        for first, second in self.pairs:
            distance = apart(model.model, model.data, first, second, far, None)
            if distance >= far:
                continue
            apart(model.model, model.data, first, second, far, fromto)
            gap = fromto[3:] - fromto[:3]
            length = float(np.linalg.norm(gap))
            if length < 1e-9:
                continue  # exactly touching: no direction to push in
            normal = gap / length if distance > 0 else -gap / length
            body_first, body_second = model.model.geom_bodyid[first], model.model.geom_bodyid[second]
            row = normal @ (
                model.point_jacobian(fromto[3:], int(body_second)) - model.point_jacobian(fromto[:3], int(body_first))
            )
            yield (first, second), row, distance

    def _drift(self, model: NominalModel, near: list[tuple[tuple[int, int], float]]) -> Array:
        """The second derivative [m/s^2] of each pair's distance while no joint speeds up.

        By differences over two steps ahead and over two back, whichever is smaller: where another corner becomes the
        nearest the distance has a kink, which is no acceleration, and only one of the two sees it.
        """
        steps = self.drift_step_s * np.array([0.0, -2.0, -1.0, 1.0, 2.0])
        powers = np.stack([np.ones(5), steps, 0.5 * steps**2], axis=1)
        moving = {geom for pair, _ in near for geom in pair if model.model.body_weldid[model.model.geom_bodyid[geom]]}
        courses = {geom: powers.dot(model.course(geom)) for geom in moving}
        data, drift = model.data, np.empty(len(near))
        for i, (pair, here) in enumerate(near):
            passing = [(data.geom_xpos[geom], data.geom_xmat[geom], courses[geom]) for geom in pair if geom in moving]
            seen = []
            for k in (1, 2, 3, 4, 0):  # and back to where they are
                for position, axes, course in passing:
                    position[:], axes[:] = course[k, :3], course[k, 3:]
                if k:
                    seen.append(mujoco.mj_geomDistance(model.model, data, *pair, 2 * self.detection, None))
            back, ahead = seen[0] - 2 * seen[1] + here, here - 2 * seen[2] + seen[3]
            drift[i] = min(back, ahead, key=abs)
        return drift / self.drift_step_s**2


def pairs_between(model: mujoco.MjModel, first: list[str], second: list[str]) -> tuple[tuple[int, int], ...]:
    """All pairs of the named geoms, one from each list."""
    return tuple((model.geom(a).id, model.geom(b).id) for a in first for b in second)


def link_pairs(model: mujoco.MjModel, spec: RobotSpec, others: list[str]) -> tuple[tuple[int, int], ...]:
    """Pairs of every geom beyond the second joint of a fixed robot and each of the named ones.

    Geoms that collide with nothing are for the eye, unless there are no others.
    """
    links = {int(model.jnt_bodyid[model.joint(joint).id]) for joint in spec.joints[2:]}
    beyond = [g for g in range(model.ngeom) if _above(model, int(model.geom_bodyid[g])) & links]
    solid = [g for g in beyond if model.geom_contype[g] or model.geom_conaffinity[g]] or beyond
    return tuple((geom, model.geom(other).id) for geom in solid for other in others)


def _above(model: mujoco.MjModel, body: int) -> set[int]:
    """The body and everything that it hangs on."""
    found = {body}
    while body:
        body = int(model.body_parentid[body])
        found.add(body)
    return found
