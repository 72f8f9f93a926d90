"""The ground as the feet feel it: a plane through where they last stood."""

import numpy as np

from robotics.controllers.rotation import from_axes

Array = np.ndarray


class GroundPlane:
    """Height z = c + s · (x, y) [m], fitted to the last footing of every foot and smoothed over some steps."""

    #: Share of a new fit in the estimate; a fit comes with every plan, so that it settles within half a second.
    SMOOTHING = 0.15
    #: Slopes are believed up to this, so that one bad footing does not tip the body [m/m].
    STEEPEST = 0.6

    def __init__(self, footings: Array) -> None:
        self.footings = footings.copy()
        self.slope = np.zeros(2)
        self._middle = footings.mean(axis=0)

    def stand(self, feet: list[int], footings: Array) -> None:
        """The `feet` stand at `footings` (all feet, 3): points on the ground."""
        for foot in feet:
            self.footings[foot] = footings[foot]
        self._middle = np.add.reduce(self.footings) / len(self.footings)

    def fit(self) -> None:
        """Move the slope towards that of the plane nearest to all footings."""
        offsets = self.footings - self._middle
        horizontal = offsets[:, :2]
        # Regularised: feet in a line say nothing about the slope across it
        normal = horizontal.T @ horizontal + 1e-3 * np.eye(2)
        slope = np.linalg.solve(normal, horizontal.T @ offsets[:, 2])
        self.slope += self.SMOOTHING * (np.clip(slope, -self.STEEPEST, self.STEEPEST) - self.slope)

    def height_at(self, x: float, y: float) -> float:
        """Height of the ground at (x, y) [m]."""
        (cx, cy, cz), (sx, sy) = self._middle.tolist(), self.slope.tolist()
        return float(cz + (x - cx) * sx + (y - cy) * sy)

    def orientation(self, yaw: float) -> Array:
        """Quaternion of a body that stands parallel to the ground and faces `yaw`."""
        heading, left = np.array([np.cos(yaw), np.sin(yaw)]), np.array([-np.sin(yaw), np.cos(yaw)])
        return from_axes(np.array([*heading, heading @ self.slope]), np.array([*left, left @ self.slope]))
