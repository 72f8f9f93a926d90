r"""Where and when the next foot lands: one small QP on the divergent part of the linear inverted pendulum.

With the centre of mass c at constant height z over the ground and the centre of pressure r, the capture point
:math:`\xi = c + \dot c / \omega`, :math:`\omega = \sqrt{g / z}`, runs away from r: :math:`\dot\xi = \omega (\xi - r)`.
A foot that lands in a time :math:`T` from now, the pressure staying at r until then, finds it at

.. math:: \xi_T = r + (\xi - r)\, \tau, \qquad \tau = e^{\omega T} .

A gait of velocity v and step width W repeats itself when it is ahead of the new foothold by

.. math:: b_x = \frac{v_x T_s}{e^{\omega T_s} - 1}, \qquad
          b_y = \frac{v_y T_s}{e^{\omega T_s} - 1} \mp \frac{W}{e^{\omega T_s} + 1} ,

so that step d (from the stance foot at :math:`u_0`, in the heading's frame) and time follow from

.. math:: \min_{d, \tau} w_d \lVert d - d^* \rVert^2 + w_\tau (\tau - \tau^*)^2
          + w_b \lVert r - u_0 + (\xi - r) \tau - d - b \rVert^2
          \quad\text{s.t.}\quad d_{min} \le d \le d_{max},\; \tau_{min} \le \tau \le \tau_{max} .

After Khadiv et al. 2016 ("Step timing adjustment"): with b weighing most, a push is met by another foothold and another
time at once.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from robotics.controllers.qp import QP, GuardedSolver

Array = np.ndarray
GRAVITY = 9.81


@dataclass(frozen=True)
class StepSettings:
    """Of a robot whose centre of mass stands 0.67 m high. Lengths in metres, times in seconds."""

    duration_s: float = 0.38
    shortest_s: float = 0.22
    longest_s: float = 0.6
    width: float = 0.2
    narrowest: float = 0.12  # the feet must not meet
    widest: float = 0.65
    longest: float = 0.5
    step_weight: float = 1.0
    time_weight: float = 0.01  # of exp(omega T), which is about 4
    capture_weight: float = 1000.0


class Step(NamedTuple):
    """Where the foot lands from the stance foot (2,) [m] in the heading's frame, and in how long [s]."""

    displacement: Array
    remaining_s: float


class StepPlanner:
    """Plans the step in progress. `solver` counts what it can not solve, which a QP with bounds alone never is."""

    def __init__(
        self, height: float, settings: StepSettings | None = None, solver: GuardedSolver | None = None
    ) -> None:
        self.settings, self.solver = settings or StepSettings(), solver or GuardedSolver()
        self.omega = math.sqrt(GRAVITY / height)

    def nominal(self, vx: float, vy: float, side: int) -> tuple[Array, Array]:
        """Step d* (2,) and offset b (2,) of a foot that lands on the left (`side` 1) or right (-1) in a steady walk."""
        s = self.settings
        growth = math.exp(self.omega * s.duration_s)
        width = max(s.width, s.narrowest + abs(vy) * s.duration_s)  # every other step of a sideways walk is narrow
        step = np.array([vx * s.duration_s, vy * s.duration_s + side * width])
        offset = np.array([vx, vy]) * s.duration_s / (growth - 1)
        offset[1] -= side * width / (growth + 1)
        return step, offset

    def plan(
        self,
        capture: Array,
        pressure: Array,
        wanted: tuple[Array, Array],
        side: int,
        elapsed_s: float,
        soonest_s: float,
    ) -> Step:
        """The best step for a capture point and a centre of pressure at `capture` and `pressure` (2,) [m], both from
        the stance foot and in the heading's frame.

        `elapsed_s` of the step are over, and the foot can not land before `soonest_s` more. Without a solution: the
        nominal step, as if nothing had happened.
        """
        s, omega = self.settings, self.omega
        soonest = max(soonest_s, s.shortest_s - elapsed_s)
        latest = max(s.longest_s - elapsed_s, soonest)
        as_usual = min(max(s.duration_s - elapsed_s, soonest), latest)
        x = self.solver.solve(self.problem(capture, pressure, wanted, side, (soonest, as_usual, latest)))
        if x is None:
            return Step(wanted[0], as_usual)
        return Step(x[:2], math.log(x[2]) / omega)

    def problem(
        self,
        capture: Array,
        pressure: Array,
        wanted: tuple[Array, Array],
        side: int,
        times_s: tuple[float, float, float],
    ) -> QP:
        """The quadratic program over (d, tau); the foot lands in `times_s` at the soonest, as usual, at the latest."""
        s = self.settings
        step, offset = wanted
        shortest, usual, longest = (math.exp(self.omega * t) for t in times_s)
        away, w = capture - pressure, s.capture_weight
        x, y = away.tolist()
        both = s.step_weight + w
        P = np.array([[both, 0, -w * x], [0, both, -w * y], [-w * x, -w * y, s.time_weight + w * (x * x + y * y)]])
        q = np.empty(3)
        q[:2] = w * (offset - pressure) - s.step_weight * step
        q[2] = -s.time_weight * usual - w * float(away @ (offset - pressure))
        inner, outer = side * s.narrowest, side * s.widest
        lower = np.array([-s.longest, min(inner, outer), shortest])
        upper = np.array([s.longest, max(inner, outer), longest])
        return QP(P, q, lower=lower, upper=upper)
