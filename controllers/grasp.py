r"""Two hands on one object: which contact wrenches move it, and which only squeeze it.

With the wrenches :math:`\lambda = (f_1, m_1, f_2, m_2)` that the hands put on the object at :math:`p_1, p_2`, in the
axes of the object, its equation of motion about its centre is

.. math::
   \underbrace{\begin{pmatrix} I & 0 & I & 0 \\ [p_1]_\times & I & [p_2]_\times & I \end{pmatrix}}_{G} \lambda
   = \begin{pmatrix} m (a - g) \\ \Theta \alpha + \omega \times \Theta \omega \end{pmatrix} = w .

Every solution is :math:`\lambda = G^+ w + N f`: a motion-inducing part and an internal one with :math:`G N = 0`
(Murray, Li and Sastry 1994, ch. 5). Between two opposite faces :math:`N = (n, 0, -n, 0)`: the hands press with f [N].
"""

import math
from dataclasses import dataclass

import numpy as np

from robotics.errors import UsageError

Array = np.ndarray
GRAVITY = 9.81


@dataclass(frozen=True)
class Held:
    """An object between two hands, as its carrier believes it to be.

    Its frame sits in its centre of mass; the left hand presses on it along +x, the right one along -x.
    """

    mass: float  # [kg]
    inertia: tuple[float, float, float]  # principal moments about the object's axes [kg m^2]
    half_width: float  # from the centre to either contact [m]
    friction: float = 0.8  # of the finger tips on it, on the safe side
    patch: tuple[float, float] = (0.012, 0.008)  # how far from its middle a contact carries load, along y and z [m]

    def __post_init__(self) -> None:
        for name, value in (("mass", self.mass), ("half_width", self.half_width), ("friction", self.friction)):
            if not (np.isfinite(value) and value > 0):
                raise UsageError(f"a held object has a positive {name}, not {value}")
        if not (np.isfinite(self.inertia).all() and min(self.inertia) > 0):
            raise UsageError(f"a held object has positive moments of inertia, not {self.inertia}")

    @classmethod
    def box(cls, mass: float, half_size: tuple[float, float, float], friction: float = 0.8) -> "Held":
        """A solid box, pressed upon the middles of its faces in x."""
        x, y, z = (h**2 for h in half_size)
        return cls(mass, (mass * (y + z) / 3, mass * (x + z) / 3, mass * (x + y) / 3), half_size[0], friction)

    def greatest_acceleration(self, squeeze: float) -> float:
        r"""How fast the object may be accelerated along every axis at once [m/s^2], so that hands that press with
        `squeeze` [N] neither slip nor let go.

        The hand behind carries less, :math:`f - m a / 2`; so :math:`m (g + a) / 2 \le \kappa (f - m a / 2)` with
        :math:`\kappa = \mu / \sqrt 2` (see `contact_rows`). Raises UsageError where f does not even hold the weight.
        """
        kappa = self.friction / math.sqrt(2)
        spare = 2 * kappa * squeeze / self.mass - GRAVITY
        if not spare > 0:
            needed = self.mass * GRAVITY / (2 * kappa)
            raise UsageError(
                f"a squeeze of {squeeze} N does not hold {self.mass} kg: it takes more than {needed:.1f} N"
            )
        return spare / (1 + kappa)


def grasp_matrix(half_width: float) -> Array:
    """G (6, 12) from the wrenches at (-half_width, 0, 0) and (half_width, 0, 0) to the one at the centre."""
    G = np.zeros((6, 12))
    for column, x in ((0, -half_width), (6, half_width)):
        G[:, column : column + 6] = np.eye(6)
        G[4, column + 2], G[5, column + 1] = -x, x  # (x, 0, 0) x f
    return G


def internal(squeeze: float) -> Array:
    """The wrenches (12,) of two hands that press against each other along x and move nothing."""
    wrenches = np.zeros(12)
    wrenches[0], wrenches[6] = squeeze, -squeeze
    return wrenches


def squeeze_of(wrenches: Array) -> float:
    """The internal force [N] in contact wrenches (12,): what is left of them when G^+ w is taken away."""
    return 0.5 * float(wrenches[0] - wrenches[6])


def contact_rows(held: Held) -> Array:
    r"""C (22, 12) with :math:`C \lambda \ge 0`: no hand pulls, slips, turns on its patch or tips over its edge.

    The friction pyramid lies inside its cone; moments of a patch of half lengths b, c under the normal force
    :math:`f_n`: :math:`|m_y| \le c f_n`, :math:`|m_z| \le b f_n` (its pressure stays on it), and
    :math:`|m_x| \le \mu \tfrac{b + c}{2} f_n`.
    """
    mu, (b, c) = held.friction / math.sqrt(2), held.patch
    shares = {1: mu, 2: mu, 3: held.friction * (b + c) / 2, 4: c, 5: b}
    C = np.zeros((22, 12))
    for hand, inwards in ((0, 1.0), (1, -1.0)):
        rows, columns = C[11 * hand : 11 * hand + 11], 6 * hand
        rows[0, columns] = inwards
        for number, (component, share) in enumerate(shares.items()):
            for row, sign in ((1 + 2 * number, 1.0), (2 + 2 * number, -1.0)):
                rows[row, columns], rows[row, columns + component] = inwards * share, sign
    return C
