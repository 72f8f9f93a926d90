"""What a controller must know of a car by name, and what its model can not say."""

from dataclasses import dataclass

from robotics.controllers.robot_spec import RobotSpec


@dataclass(frozen=True)
class CarSpec(RobotSpec):
    """A `RobotSpec` of a car with four wheels, the front ones steered. Its `joints` are those with an actuator."""

    wheels: tuple[str, ...] = ()
    """Joints that the wheels spin on: front left, front right, rear left, rear right."""
    steering: tuple[str, ...] = ()
    """Hinges that turn the left and the right front wheel, or the one that turns both."""
    tyres: tuple[str, ...] = ()
    """Geoms of the wheels that touch the ground."""
    steering_range: float | None = None
    """How far a front wheel turns to either side [rad]; None: as the model says."""
    steering_rate: float | None = None
    """How fast the steering angle may change [rad/s]; None: as fast as that of a passenger car of this size."""
    top_speed: float | None = None
    """[m/s]; None: as fast as its motors turn, if the model limits that."""
    cornering: float | None = None
    """Side force of a tyre over friction and load per slip angle [1/rad]; None: that of a passenger car."""
