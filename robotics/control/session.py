"""What `robotics control` needs of a robot under its controller, whatever robot it is."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Protocol

import mujoco
import numpy as np

from robotics.controllers.legged.model import FloatingBaseModel
from robotics.controllers.model import NominalModel


class Session(Protocol):
    """A simulated robot and its controller. `tick` runs both for one control period."""

    model: mujoco.MjModel
    data: mujoco.MjData
    period_s: float
    camera: str
    """The camera that films it."""
    timing_ms: defaultdict[str, list[float]]
    """Part of the controller -> how long it took, each time it ran; "tick" is everything of one period but physics."""
    limits_exceeded: int
    """Ticks in which a joint was asked for more than it may give, or was beyond its range or speed."""

    def tick(self) -> None:
        """Measure, control, and step the physics for one period."""

    def fell(self) -> bool:
        """Whether the robot has failed so that going on makes no sense."""

    def draw(self, scene: mujoco.MjvScene) -> None:
        """Add what the controller has in mind to a picture: forces, horizon, footholds, targets."""

    def faults(self) -> dict[str, int]:
        """What the solvers could not do, as `Faults.as_dict`."""

    def results(self) -> dict[str, Any]:
        """The robot's own part of the document: at least velocity_mean (3,) and tracking_rms by name."""


def beyond_limits(model: NominalModel | FloatingBaseModel, torque: np.ndarray, q: np.ndarray, v: np.ndarray) -> bool:
    """Whether a joint is asked for more torque (n,) than it may give, or is beyond its range or speed."""
    limits = (
        (torque, model.torque_lower, model.torque_upper),
        (q, model.position_lower, model.position_upper),
        (v, -model.velocity_limit, model.velocity_limit),
    )
    return any(((x < low - 1e-6) | (x > high + 1e-6)).any() for x, low, high in limits)


def settled(values: Sequence[Any], period_s: float) -> np.ndarray:
    """The values from two seconds on, when commands have been ramped up, or the second half of a shorter trial."""
    return np.array(values[min(round(2.0 / period_s), len(values) // 2) :])


def rms(errors: np.ndarray) -> Any:
    """Root mean square over time (the first axis): a float, or a list for vectors."""
    return np.sqrt((errors**2).mean(axis=0)).tolist()
