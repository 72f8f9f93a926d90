"""The courses of the car: made for a passenger car, and drawn to the size of any other."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from robotics.controllers.car.chassis import Chassis
from robotics.controllers.car.course import SPACING, Course, Leg, Pace, lay_out
from robotics.controllers.car.model import CarParameters, DynamicBicycle, KinematicBicycle, SingleTrack
from robotics.controllers.car.mpc import CarMPCSettings
from robotics.controllers.car.scale import Scale, scale_of
from robotics.envs.robots.car import CAR

#: How much of its top speed and of its brakes a car is asked for.
TOP, BRAKES = 0.9, 0.8

#: A winding road, a turn in three moves at its end, and the way back out.
WINDING: tuple[Leg, ...] = (
    (1, [(8, 0.0), (6, 0.10), (8, 0.10), (10, -0.12), (10, -0.12), (10, 0.14), (9, 0.14), (8, 0.0), (4, 0.0)]),
    (-1, [(3, 0.16), (7, 0.16), (3, 0.0), (2, 0.0)]),
    (1, [(3, 0.15), (6, 0.15), (6, -0.10), (12, -0.10), (8, 0.08), (10, 0.08), (6, 0.0), (4, 0.0)]),
)
#: Past a gap, back into it, out again to straighten up, back, and forwards into the lane.
PARKING: tuple[Leg, ...] = (
    (1, [(6, 0.0), (3, 0.0), (2.5, 0.12), (3, 0.12), (2.5, 0.0)]),
    (-1, [(2.5, -0.19), (4.5, -0.19), (2.5, 0.0), (1.0, 0.0)]),
    (1, [(1.5, 0.12), (1.0, 0.12), (1.5, 0.0)]),
    (-1, [(2.0, -0.15), (1.5, -0.15), (2.0, 0.0), (2.0, 0.0)]),
    (1, [(2.0, 0.0), (2.5, -0.19), (5.0, -0.19), (2.5, 0.0), (8.0, 0.0)]),
)
#: A fast circuit whose bends are tighter than 0.8 g allows at the speed that is asked for.
LIMIT: tuple[Leg, ...] = (
    (
        1,
        [
            (25, 0.0),
            (10, 0.045),
            (26, 0.045),
            (10, 0.0),
            (12, 0.0),
            (10, -0.05),
            (36, -0.05),
            (12, 0.0),
            (15, 0.0),
            (8, 0.06),
            (12, -0.06),
            (12, 0.06),
            (8, 0.0),
            (30, 0.0),
        ],
    ),
)


@dataclass(frozen=True)
class CarTask:
    """A course, its pace, and the model that its driver plans with."""

    legs: tuple[Leg, ...]
    pace: Pace
    model: Callable[..., SingleTrack]
    mpc: CarMPCSettings
    scale: Scale = field(default_factory=Scale)


TASKS = {
    "track": CarTask(WINDING, Pace(speed=6.0), KinematicBicycle, CarMPCSettings()),
    "parking": CarTask(
        PARKING, Pace(speed=2.0, acceleration=0.8, side_acceleration=1.0), KinematicBicycle, CarMPCSettings()
    ),
    "limit": CarTask(
        LIMIT,
        Pace(speed=15.0, acceleration=4.0, side_acceleration=11.0, start=13.0, end=0.0),
        DynamicBicycle,
        CarMPCSettings(horizon=20, step_s=0.075, along_weight=0.02, speed_weight=0.1),
    ),
}


def lay_out_task(task: CarTask, car: CarParameters = CAR) -> Course:
    """The course of a task, checked against what the car can drive."""
    return lay_out(task.legs, task.pace, float(np.tan(car.max_steer) / car.wheelbase), SPACING * task.scale.length)


def fitted(task: CarTask, chassis: Chassis) -> CarTask:
    """The same task for another car: its course to scale, its pace as well where the car keeps up with that.

    A car that steers more slowly than its size would have it drives more slowly, and one with weaker motors takes
    longer to speed up and to brake.
    """
    car, pace, scale = chassis.car, task.pace, scale_of(chassis.car)
    steering = min(1.0, car.max_steer_rate * scale.time / CAR.max_steer_rate)
    side, brakes = pace.side_acceleration * scale.acceleration, car.max_braking / car.grip * CAR.grip / CAR.max_braking
    if side > car.grip and brakes < 1:
        side = car.grip + brakes * (side - car.grip)  # what is asked above the limit, brakes have to take away
    pull = pace.acceleration * min(scale.acceleration, car.max_acceleration / CAR.max_acceleration)
    speeds = (min(v * scale.speed * steering, TOP * chassis.top_speed) for v in (pace.speed, pace.start, pace.end))
    speed, start, end = speeds
    dynamic = task.model is DynamicBicycle
    return CarTask(
        tuple((gear, [(s * scale.length, k / scale.length) for s, k in pieces]) for gear, pieces in task.legs),
        Pace(speed, min(pull, BRAKES * car.max_braking), side, start, end),
        partial(DynamicBicycle, slow=DynamicBicycle.slow * scale.speed) if dynamic else task.model,
        task.mpc.scaled(scale),
        scale,
    )
