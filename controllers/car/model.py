r"""What the controller believes of a car: its figures, and two single-track models with their derivatives.

Both models place the pose at the middle of the rear axle, where a rolling car has no side slip, and share their first
five states :math:`z = (x, y, \psi, v, \delta)`: position [m], heading [rad], forward speed [m/s] and steering angle of
the front axle [rad]. Inputs are :math:`u = (a, \omega)`: forward acceleration [m/s^2] and steering rate [rad/s].

Kinematic (Rajamani, "Vehicle Dynamics and Control", ch. 2), for wheels that do not slip:

.. math:: \dot x = v \cos\psi,\quad \dot y = v \sin\psi,\quad \dot\psi = \tfrac{v}{L} \tan\delta,\quad
          \dot v = a,\quad \dot\delta = \omega .

Dynamic, with the side speed :math:`v_y` of the centre of mass and the turning rate :math:`r` appended to z:

.. math::
   \dot x &= v \cos\psi - (v_y - l_r r) \sin\psi, \qquad \dot y = v \sin\psi + (v_y - l_r r) \cos\psi, \qquad
   \dot\psi = r, \\
   \dot v &= a + v_y r - \tfrac1m F_f \sin\delta, \qquad
   \dot v_y = \tfrac1m (F_f \cos\delta + F_r) - v r, \qquad
   \dot r = \tfrac{1}{I_z} (l_f F_f \cos\delta - l_r F_r)

with side forces that saturate at what friction gives, :math:`F_i = \mu F_{z,i} \tanh(C \alpha_i)`, of the slip angles
:math:`\alpha_f = \delta - \arctan\frac{v_y + l_f r}{\bar v},\; \alpha_r = -\arctan\frac{v_y - l_r r}{\bar v}`. The
speed :math:`\bar v = \sqrt{v^2 + v_0^2}` keeps them defined at rest; the model is for driving forwards.

All functions take stacks: z (..., n), u (..., 2).
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

Array = np.ndarray
GRAVITY = 9.81

#: Places in the state; the dynamic model appends the last two.
X, Y, HEADING, SPEED, STEER, SIDE_SPEED, TURN = range(7)


@dataclass(frozen=True)
class CarParameters:
    """A BMW 320i: vehicle 2 of the CommonRoad vehicle models (Althoff, Koschi, Manzinger 2017), in SI units.

    The steering range is the one of a turning circle of 8 m, not the 1.066 rad of the source, which no road car has.
    """

    mass: float = 1093.3  # [kg]
    yaw_inertia: float = 1791.6  # of the whole car [kg m^2]
    front: float = 1.1562  # l_f, centre of mass to front axle [m]
    rear: float = 1.4227  # l_r, centre of mass to rear axle [m]
    cornering: float = 20.89  # C, side force over mu F_z per slip angle [1/rad]
    friction: float = 0.8  # mu; 1.05 in the source, for a dry road
    max_steer: float = 0.6  # [rad]
    max_steer_rate: float = 0.4  # [rad/s]
    max_acceleration: float = 3.0  # [m/s^2]
    max_braking: float = 7.0  # [m/s^2]
    pull: float = 1.0  # how much more of its grip an axle spends on 1 m/s^2 ahead than on 1 m/s^2 aside

    @property
    def wheelbase(self) -> float:
        return self.front + self.rear

    @property
    def grip(self) -> float:
        """The acceleration that friction allows in any direction [m/s^2]."""
        return self.friction * GRAVITY


class SingleTrack(Protocol):
    """A model of the car as the MPC takes it."""

    states: int
    car: CarParameters

    def stiffness(self, z: Array) -> Array:
        """The rate at which its quickest mode decays (...,) [1/s]."""

    def derivative(self, z: Array, u: Array) -> Array:
        """dz/dt (..., n)."""

    def jacobians(self, z: Array, u: Array) -> tuple[Array, Array]:
        """d(dz/dt)/dz (..., n, n) and d(dz/dt)/du (..., n, 2)."""

    def side_acceleration(self, z: Array) -> tuple[Array, Array]:
        """The acceleration to the left that a motion asks of the tyres (...,) [m/s^2], and its gradient (..., n)."""


@dataclass(frozen=True)
class KinematicBicycle:
    """Five states; exact for slow cars."""

    car: CarParameters = field(default_factory=CarParameters)
    states: int = 5

    def stiffness(self, z: Array) -> Array:
        return np.zeros(z.shape[:-1])

    def derivative(self, z: Array, u: Array) -> Array:
        v, heading = z[..., SPEED], z[..., HEADING]
        turn = v * np.tan(z[..., STEER]) / self.car.wheelbase
        return np.stack([v * np.cos(heading), v * np.sin(heading), turn, u[..., 0], u[..., 1]], axis=-1)

    def jacobians(self, z: Array, u: Array) -> tuple[Array, Array]:
        v, heading, steer = z[..., SPEED], z[..., HEADING], z[..., STEER]
        c, s, L = np.cos(heading), np.sin(heading), self.car.wheelbase
        A = np.zeros((*z.shape, self.states))
        A[..., X, HEADING], A[..., X, SPEED] = -v * s, c
        A[..., Y, HEADING], A[..., Y, SPEED] = v * c, s
        A[..., HEADING, SPEED], A[..., HEADING, STEER] = np.tan(steer) / L, v / (L * np.cos(steer) ** 2)
        return A, _input_matrix(z)

    def side_acceleration(self, z: Array) -> tuple[Array, Array]:
        """v^2 tan(steer) / L."""
        v, steer, L = z[..., SPEED], z[..., STEER], self.car.wheelbase
        gradient = np.zeros(z.shape)
        gradient[..., SPEED] = 2 * v * np.tan(steer) / L
        gradient[..., STEER] = v**2 / (L * np.cos(steer) ** 2)
        return v**2 * np.tan(steer) / L, gradient


@dataclass(frozen=True)
class DynamicBicycle:
    """Seven states, with tyres that slip and saturate; for driving forwards at the limit of friction."""

    car: CarParameters = field(default_factory=CarParameters)
    slow: float = 4.0  # v_0 [m/s]
    states: int = 7

    def stiffness(self, z: Array) -> Array:
        r"""Of side speed, :math:`C \mu g / \bar v`, or of turning, :math:`m l_f l_r / I_z` times that."""
        car, speed = self.car, np.sqrt(z[..., SPEED] ** 2 + self.slow**2)
        return car.cornering * car.grip / speed * max(1.0, car.mass * car.front * car.rear / car.yaw_inertia)

    def derivative(self, z: Array, u: Array) -> Array:
        car, m = self.car, self.car.mass
        v, heading, steer, side, turn = (z[..., i] for i in (SPEED, HEADING, STEER, SIDE_SPEED, TURN))
        c, s, rear_side = np.cos(heading), np.sin(heading), side - car.rear * turn
        F, _ = self._forces(z)
        front = F[..., 0] * np.cos(steer)
        return np.stack(
            [
                v * c - rear_side * s,
                v * s + rear_side * c,
                turn,
                u[..., 0] + side * turn - F[..., 0] * np.sin(steer) / m,
                u[..., 1],
                (front + F[..., 1]) / m - v * turn,
                (car.front * front - car.rear * F[..., 1]) / car.yaw_inertia,
            ],
            axis=-1,
        )

    def jacobians(self, z: Array, u: Array) -> tuple[Array, Array]:
        car, m = self.car, self.car.mass
        v, heading, steer, side, turn = (z[..., i] for i in (SPEED, HEADING, STEER, SIDE_SPEED, TURN))
        c, s, rear_side = np.cos(heading), np.sin(heading), side - car.rear * turn
        F, dF = self._forces(z)
        cs, ss = np.cos(steer), np.sin(steer)
        front = cs[..., None] * dF[..., 0, :]
        front[..., STEER] -= F[..., 0] * ss
        A = np.zeros((*z.shape, self.states))
        A[..., X, HEADING], A[..., X, SPEED] = -v * s - rear_side * c, c
        A[..., X, SIDE_SPEED], A[..., X, TURN] = -s, car.rear * s
        A[..., Y, HEADING], A[..., Y, SPEED] = v * c - rear_side * s, s
        A[..., Y, SIDE_SPEED], A[..., Y, TURN] = c, -car.rear * c
        A[..., HEADING, TURN] = 1.0
        A[..., SPEED, :] = -ss[..., None] * dF[..., 0, :] / m
        A[..., SPEED, STEER] -= F[..., 0] * cs / m
        A[..., SPEED, SIDE_SPEED] += turn
        A[..., SPEED, TURN] += side
        A[..., SIDE_SPEED, :] = (front + dF[..., 1, :]) / m
        A[..., SIDE_SPEED, SPEED] -= turn
        A[..., SIDE_SPEED, TURN] -= v
        A[..., TURN, :] = (car.front * front - car.rear * dF[..., 1, :]) / car.yaw_inertia
        return A, _input_matrix(z)

    def side_acceleration(self, z: Array) -> tuple[Array, Array]:
        """v r: what the way asks for, and not the force of the tyres, which never asks for more than there is."""
        gradient = np.zeros(z.shape)
        gradient[..., SPEED], gradient[..., TURN] = z[..., TURN], z[..., SPEED]
        return z[..., SPEED] * z[..., TURN], gradient

    def _forces(self, z: Array) -> tuple[Array, Array]:
        """Side forces of front and rear axle (..., 2) [N] and their gradients (..., 2, n)."""
        car = self.car
        v, side, turn = z[..., SPEED], z[..., SIDE_SPEED], z[..., TURN]
        speed = np.sqrt(v**2 + self.slow**2)
        arms = np.array([car.front, -car.rear])
        load = car.mass * GRAVITY / car.wheelbase * np.array([car.rear, car.front])
        across = side[..., None] + arms * turn[..., None]  # side speed of each axle
        slip = -np.arctan2(across, speed[..., None])
        slip[..., 0] += z[..., STEER]
        share = np.tanh(car.cornering * slip)
        stiffness = car.friction * load * car.cornering * (1 - share**2)  # dF/dslip
        squares = speed[..., None] ** 2 + across**2
        d_side = -stiffness * speed[..., None] / squares
        gradient = np.zeros((*z.shape[:-1], 2, self.states))
        gradient[..., SPEED] = stiffness * across / squares * (v / speed)[..., None]
        gradient[..., SIDE_SPEED] = d_side
        gradient[..., TURN] = d_side * arms
        gradient[..., 0, STEER] = stiffness[..., 0]
        return car.friction * load * share, gradient


def _input_matrix(z: Array) -> Array:
    B = np.zeros((*z.shape, 2))
    B[..., SPEED, 0] = B[..., STEER, 1] = 1.0
    return B
