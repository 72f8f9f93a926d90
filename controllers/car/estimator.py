r"""The car's state from what a car measures: wheel speeds, turning rate, steering angle, and satellites now and then.

An extended Kalman filter of :math:`x = (p_x, p_y, \psi, v)` at the middle of the rear axle. The turning rate r of the
gyro drives the prediction,

.. math:: \dot p = v \binom{\cos\psi}{\sin\psi} - v \alpha_r \binom{-\sin\psi}{\cos\psi},\quad
          \dot\psi = r,\quad \dot v = 0, \qquad \alpha_r = \frac{v r}{C \mu g},

with the side slip :math:`\alpha_r` that the rear tyres need to carry the side acceleration v r; wheel speeds measure v
at every tick, satellite navigation (RTK: centimetres) measures p when it has a fix. Sources: Rajamani, "Vehicle
Dynamics and Control", ch. 2; Särkkä, "Bayesian Filtering and Smoothing", ch. 5.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from robotics.controllers.car.driver import CarState
from robotics.controllers.car.model import CarParameters
from robotics.controllers.car.scale import Scale

Array = np.ndarray


@dataclass(frozen=True)
class CarMeasurement:
    """What the sensors say now."""

    wheel_speeds: Array  # circumferential speed of the wheels along the car (4,) [m/s]
    turn: float  # gyro [rad/s]
    steer: float  # [rad]
    fix: Array | None = None  # position of the rear axle (2,) [m], when there is one


@dataclass(frozen=True)
class CarNoise:
    """Standard deviations that the filter believes in; densities are per square root of a second."""

    fix: float = 0.02  # [m]
    wheel_speed: float = 0.05  # [m/s]
    turn: float = 0.01  # density of the heading [rad]
    position: float = 0.05  # density [m]
    speed: float = 2.0  # density: what the car may accelerate [m/s]

    def scaled(self, scale: Scale) -> "CarNoise":
        """Of a car of another size, with sensors that are as good for it."""
        length, speed = scale.length, scale.speed
        return replace(
            self, fix=self.fix * length, wheel_speed=self.wheel_speed * speed, position=self.position * length
        )


@dataclass
class CarEstimator:
    """One filter for one car, `period_s` between its updates. A measurement that is no number is left out."""

    period_s: float
    car: CarParameters = field(default_factory=CarParameters)
    noise: CarNoise = field(default_factory=CarNoise)

    def __post_init__(self) -> None:
        n, dt = self.noise, self.period_s
        self._x, self._P = np.zeros(4), np.eye(4) * 1e-4
        self._Q = np.diag([n.position**2, n.position**2, n.turn**2, n.speed**2]) * dt

    def reset(self, state: CarState) -> None:
        """Begin from a known place."""
        self._x = np.array([*state.position, state.heading, state.speed])
        self._P = np.eye(4) * 1e-4

    def update(self, measured: CarMeasurement) -> CarState:
        """The state now."""
        turn = measured.turn if np.isfinite(measured.turn) else 0.0
        self._predict(turn)
        speeds = measured.wheel_speeds[np.isfinite(measured.wheel_speeds)]
        if len(speeds):
            # the median: a wheel that locks or spins does not speak for the car
            self._correct(np.array([[0, 0, 0, 1.0]]), np.array([np.median(speeds)]), self.noise.wheel_speed)
        if measured.fix is not None and np.isfinite(measured.fix).all():
            self._correct(np.eye(4)[:2], measured.fix, self.noise.fix)
        x, y, heading, v = self._x
        side = self.car.rear * turn - v * self._slip(v, turn)
        return CarState(np.array([x, y]), float(heading), float(v), float(side), turn, measured.steer)

    def _slip(self, v: float, turn: float) -> float:
        """Of the rear axle, outwards: its speed to the side is -v times this, whichever way the car rolls."""
        return abs(v) * turn / (self.car.cornering * self.car.grip)

    def _predict(self, turn: float) -> None:
        dt, (_, _, heading, v) = self.period_s, self._x
        c, s, across = np.cos(heading), np.sin(heading), -v * self._slip(v, turn)
        self._x = self._x + dt * np.array([v * c - across * s, v * s + across * c, turn, 0.0])
        F = np.eye(4)
        F[0, 2], F[0, 3] = dt * (-v * s - across * c), dt * c
        F[1, 2], F[1, 3] = dt * (v * c - across * s), dt * s
        self._P = F @ self._P @ F.T + self._Q

    def _correct(self, H: Array, measured: Array, deviation: float) -> None:
        S = H @ self._P @ H.T + deviation**2 * np.eye(len(H))
        gain = np.linalg.solve(S, H @ self._P).T
        self._x = self._x + gain @ (measured - H @ self._x)
        left = np.eye(4) - gain @ H
        self._P = left @ self._P @ left.T + deviation**2 * gain @ gain.T  # Joseph's form keeps it positive
