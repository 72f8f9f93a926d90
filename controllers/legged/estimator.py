r"""Where a legged robot is and how fast it moves, from what it can measure: a linear Kalman filter.

State :math:`x = (p, v, p_1 \dots p_4)`: base and feet in the world, after Bloesch et al. 2013 in the linear form of
MIT's Cheetah software. The accelerometer drives it, :math:`\dot v = R a + g`; legs that stand correct it: with the
forward kinematics :math:`r_i` from the base to foot i,

.. math:: p_i - p = r_i,\qquad v = -\dot r_i,\qquad z_i = z_{ground,i} .

Round feet roll: the point that touches the ground has no velocity, but another point takes its place. Feet in the air
are told by their schedule and their switches, and hardly listened to. A foot that would move over the ground faster
than noise explains, :math:`\lVert (v + \dot r_i)_{xy} \rVert > \gamma \sigma`, slips: only its height is believed.
"""

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from robotics.controllers.legged.model import FloatingBaseModel, LeggedState, all_finite
from robotics.controllers.robot_spec import RobotSpec

Array = np.ndarray
GRAVITY = np.array([0, 0, -9.81])


@dataclass(frozen=True)
class LeggedMeasurement:
    """What the sensors say: orientation (wxyz), turning rate [rad/s] and specific force [m/s^2] of the inertial unit in
    the base's frame, joint positions and velocities, and which feet feel the ground (None: they can not)."""

    quat: Array
    gyro: Array
    accelerometer: Array
    q: Array
    v: Array
    touch: Array | None = None

    def is_finite(self) -> bool:
        parts = (self.quat, self.gyro, self.accelerometer, self.q, self.v)
        return all_finite(parts)


@dataclass(frozen=True)
class EstimatorSettings:
    """Standard deviations, after MIT's and legged_control's."""

    position_drift: float = 0.02  # [m / sqrt(s)], shared by 20
    velocity_drift: float = 0.02 * 9.81
    foot_drift: float = 0.002
    foot_position: float = 0.005  # [m]
    foot_velocity: float = 0.1  # [m/s]
    foot_height: float = 0.01  # [m]
    slip: float = 3.0  # standard deviations of a foot's velocity beyond which it is believed to slip
    swing_factor: float = 1e4  # of the variance: next to nothing is learned from a foot in the air


class LeggedEstimator:
    """Turns measurements into a `LeggedState`. Call `update` every `period_s`."""

    def __init__(
        self, model: mujoco.MjModel, spec: RobotSpec, period_s: float, settings: EstimatorSettings | None = None
    ) -> None:
        self.settings = settings or EstimatorSettings()
        self._model = FloatingBaseModel(model, spec)
        self._dt, self._feet = period_s, len(spec.feet)
        size, s = 6 + 3 * self._feet, self.settings
        self._C = self._measurement_matrix(size)
        drifts = (s.position_drift / 20, s.velocity_drift / 20, s.foot_drift)
        self._drift = period_s * np.repeat(drifts, (3, 3, size - 6))
        variances = (s.foot_position**2, s.foot_velocity**2, s.foot_height**2)
        self._noise = np.repeat(variances, (3 * self._feet, 3 * self._feet, self._feet))
        self.reset(self._model.home())

    def reset(self, state: LeggedState) -> None:
        """Begin at a known `state`, standing."""
        self._model.update(state)
        self._x = np.concatenate([state.position, state.velocity, self._model.feet.ravel()])
        self._P = 1e-4 * np.eye(len(self._x))
        self._ground = self._model.feet[:, 2].copy()

    def update(self, measured: LeggedMeasurement, contact: Array) -> LeggedState:
        """The state after one more period, with the feet in `contact` (feet,) standing.

        A measurement that is not finite teaches nothing: it is handed on, and the filter stays as it was.
        """
        if not measured.is_finite():
            return self._state(measured)
        zero = np.zeros(3)
        self._model.update_kinematics(LeggedState(zero, measured.quat, zero, measured.gyro, measured.q, measured.v))
        rolling = self._model.rolling_velocities()
        self._predict(self._model.R @ measured.accelerometer + GRAVITY, rolling)
        reach = self._model.feet.copy()
        rates = self._model.foot_jacobians @ self._model.nu
        if measured.touch is not None:
            contact = contact & measured.touch
        sticking = contact & ~self._slipping(rates - rolling)
        self._correct(reach, rates, np.column_stack([sticking, sticking, contact]))
        feet = self._x[6:].reshape(-1, 3)
        self._ground[~contact] = feet[~contact, 2]
        return self._state(measured)

    def _state(self, m: LeggedMeasurement) -> LeggedState:
        return LeggedState(self._x[:3].copy(), m.quat, self._x[3:6].copy(), m.gyro, m.q, m.v, m.touch)

    def _predict(self, acceleration: Array, rolling: Array) -> None:
        x, P, dt = self._x, self._P, self._dt
        x[:3] += dt * x[3:6] + 0.5 * dt**2 * acceleration
        x[3:6] += dt * acceleration
        x[6:] += dt * rolling.ravel()
        P[:3] += dt * P[3:6]
        P[:, :3] += dt * P[:, 3:6]
        P.flat[:: len(P) + 1] += self._drift

    def _slipping(self, rates: Array) -> Array:
        """Which feet would slip over the ground, if they stood on it: bool (feet,)."""
        sigma = math.sqrt(self.settings.foot_velocity**2 + float(self._P[3, 3]))
        sliding = self._x[3:5] + rates[:, :2]
        return np.hypot(sliding[:, 0], sliding[:, 1]) > self.settings.slip * sigma

    def _correct(self, reach: Array, rates: Array, held: Array) -> None:
        """Learn from the legs; `held` says which axes of which feet the ground holds, bool (feet, 3)."""
        C = self._C
        trust = np.where(held, 1.0, self.settings.swing_factor)
        per_axis = trust.ravel()
        seen = np.concatenate([reach.ravel(), -rates.ravel(), self._ground])
        learned = C @ self._P
        spread = learned @ C.T
        spread.flat[:: len(spread) + 1] += self._noise * np.concatenate([per_axis, per_axis, trust[:, 2]])
        gain = np.linalg.solve(spread, learned).T
        self._x = self._x + gain @ (seen - C @ self._x)
        P = self._P - gain @ learned
        self._P = 0.5 * (P + P.T)
        # A foot that nothing holds is where the legs say, not where it stood
        feet = self._x[6:].reshape(reach.shape)
        feet[~held] = (self._x[:3] + reach)[~held]

    def _measurement_matrix(self, size: int) -> Array:
        n = self._feet
        C = np.zeros((7 * n, size))
        for foot in range(n):
            rows = slice(3 * foot, 3 * foot + 3)
            C[rows, :3], C[rows, 6 + 3 * foot : 9 + 3 * foot] = -np.eye(3), np.eye(3)
            C[3 * n + 3 * foot : 3 * n + 3 * foot + 3, 3:6] = np.eye(3)
            C[6 * n + foot, 8 + 3 * foot] = 1.0
        return C
