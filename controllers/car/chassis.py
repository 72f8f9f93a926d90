r"""The figures of a car, as its model has them when it stands: what its controller plans with.

Lengths are those of the standing car, weights and the yaw inertia those of everything above its base. What moves it
forwards has to turn its wheels too: :math:`F = (m + \sum_i J_i / r_i^2)\, a`. The least of what motors give and of what
friction lets an axle pass on bounds acceleration; with the centre of mass h above the ground and the share s of an axle
in driving, friction asks of the rear axle (Rajamani, "Vehicle Dynamics and Control", ch. 4)

.. math:: s\, m a \le \mu \frac{m}{L} (g\, l_f + h a), \qquad\text{of the front axle}\qquad
          s\, m a \le \mu \frac{m}{L} (g\, l_r - h a),

and the same with a turned round in braking. What an axle passes on ahead it can not hold aside, so that the circle of
friction is an ellipse for the car as a whole, :math:`p = \mu g / a_{max}` times as narrow ahead. A car that would tip
before its tyres slide has only the grip :math:`\mu = w / 2h` to the side, of its track w.

No model says how stiff its tyres are. Unless a file does, it is :math:`C = 20.89` over friction and load, that of the
passenger car of `robotics.controllers.car.model`, so that the stiffness of an axle goes with its weight. Wheels that
MuJoCo's contacts hold by default slip less, and are driven well enough with it.
"""

from dataclasses import dataclass, field, replace

import mujoco
import numpy as np

from robotics.controllers.car.actuation import WheelMotors
from robotics.controllers.car.linkage import drivers, tie
from robotics.controllers.car.model import GRAVITY, CarParameters
from robotics.controllers.car.spec import CarSpec
from robotics.controllers.car.standing import ground_of, require_room, stand, tyres_of
from robotics.controllers.car.steering import Ackermann, Beam, Linkage, Steering, hinges, wheel_angles
from robotics.controllers.robot_spec import joint_actuators
from robotics.errors import UsageError

Array = np.ndarray

#: Share of what motors, friction, weight on the inner wheels and the stops of the steering allow that is planned with.
MOTORS, FRICTION, UPRIGHT, STOPS = 0.9, 0.8, 0.85, 0.97
#: A car steers at least this far, and is never asked for more than the other [rad].
NARROWEST, WIDEST = 0.03, 1.0


@dataclass(frozen=True)
class Chassis:
    """A car around its single track. Wheels are in the order front left, front right, rear left, rear right."""

    car: CarParameters
    steering: Steering
    tracks: tuple[float, float]  # between the wheels of the front and of the rear axle [m]
    radii: Array  # of the wheels (4,) [m]
    drive_share: Array  # of each wheel in what drives the car, and in what brakes it (4,)
    brake_share: Array
    moved_mass: float  # m + J / r^2 [kg]
    top_speed: float = np.inf  # [m/s]
    signs: Array = field(default_factory=lambda: np.ones(4))  # +1 where a joint turns forwards, -1 where backwards
    damping: Array = field(default_factory=lambda: np.zeros(4))  # of the wheels' joints [N m s/rad]
    drag: Array = field(default_factory=lambda: np.zeros(4))  # and their dry friction [N m]
    frame: Array = field(default_factory=lambda: np.eye(3))  # of the car, ahead, left and up, in that of its base
    origin: Array = field(default_factory=lambda: np.zeros(3))  # on the ground below the centre of mass, in the base
    rest: Array | None = None  # its whole model's qpos when it stands; None: as the model is made

    @property
    def size(self) -> float:
        """Its wheelbase over that of the passenger car of `CarParameters`."""
        return self.car.wheelbase / CarParameters().wheelbase

    def wheel_torques(self, acceleration: Array | float, speed: Array | float) -> Array:
        """Torques (..., 4) [N m] that turn the wheels forwards: at the ground they make the acceleration [m/s^2]."""
        braking = np.less(np.multiply(acceleration, speed), 0)[..., None]
        share = np.where(braking, self.brake_share, self.drive_share)
        return share * (self.moved_mass * self.radii * np.asarray(acceleration)[..., None])

    def losses(self, spins: Array) -> Array:
        """Torques (4,) [N m] of driven wheels that make up for what all bearings take at `spins` (4,) [rad/s]."""
        force = ((self.damping * spins + self.drag * np.tanh(spins / 0.1)) / self.radii).sum()
        return self.drive_share * self.radii * force


def read_chassis(model: mujoco.MjModel, spec: CarSpec) -> Chassis:
    """The chassis of a car. Takes as long as 1.5 s of its physics. Raises UsageError for what is no such car."""
    data = stand(model, spec)
    base = int(model.jnt_bodyid[model.joint(spec.base).id])
    wheels = [model.joint(wheel).id for wheel in spec.wheels]
    centres = wheel_centres(model, data, spec)
    axes, middle = car_axes(centres), data.subtree_com[base]
    x, y = ((centres - middle) @ axes[:, :2]).T
    ground = float(data.geom_xpos[ground_of(model, spec.name), 2])
    height, radii = float(middle[2] - ground), centres[:, 2] - ground
    tracks = (float(y[0] - y[1]), float(y[2] - y[3]))
    front, rear = float(x[:2].mean()), float(-x[2:].mean())
    steering, most = read_steering(model, data, spec, front + rear, tracks[0] / 2)
    if most < NARROWEST:
        hinged = " and ".join(f"'{hinge}'" for hinge in spec.steering)
        raise UsageError(
            f"robot {spec.name}: it steers {max(most, 0):.2g} rad to one side: {hinged} must turn both ways"
        )
    most = min(most, WIDEST)
    require_room(model, data, spec, [hinges(steering, way * most) for way in (-1.0, 1.0)])
    quick = CarParameters.max_steer_rate * np.sqrt(CarParameters().wheelbase / (front + rear))
    friction = _friction(model, spec)
    if friction <= 0:
        raise UsageError(f"robot {spec.name}: its tyres {', '.join(spec.tyres)} have no friction on the ground")
    car = CarParameters(
        mass=float(model.body_subtreemass[base]),
        yaw_inertia=_yaw_inertia(model, data, base),
        front=front,
        rear=rear,
        cornering=spec.cornering or CarParameters.cornering,
        friction=min(friction, UPRIGHT * min(tracks) / 2 / height),
        max_steer=most,
        max_steer_rate=spec.steering_rate or float(quick),
    )
    motors, signs = WheelMotors(model, spec.wheels, spec.name), np.sign(data.xaxis[wheels] @ axes[:, 1])
    share = _share(motors, car, signs)
    dofs = model.jnt_dofadr[wheels]
    moved = car.mass + float((_spin_inertia(model, data, dofs) / radii**2).sum())
    driven, passed = share > 0, [_passed_on(car, share, height * way) for way in (1.0, -1.0)]
    given = MOTORS * float((motors.limits[driven] / (share * moved * radii)[driven]).min())
    ahead, back = (min(given, FRICTION * most) for most in passed)
    car = replace(car, max_acceleration=ahead, max_braking=back, pull=max(1.0, car.grip / min(passed)))
    below = middle + axes[:, 1] * y.mean() + [0.0, 0.0, -height]
    R = data.xmat[base].reshape(3, 3)
    return Chassis(
        car,
        steering,
        tracks,
        radii,
        drive_share=share,
        brake_share=share,
        moved_mass=moved,
        top_speed=min(spec.top_speed or np.inf, float((motors.top_speed * radii).min())),
        signs=signs,
        damping=model.dof_damping[dofs].copy(),
        drag=model.dof_frictionloss[dofs].copy(),
        frame=R.T @ axes,
        origin=R.T @ (below - data.xpos[base]),
        rest=data.qpos.copy(),
    )


def wheel_centres(model: mujoco.MjModel, data: mujoco.MjData, spec: CarSpec) -> Array:
    """Where the axes of the wheels pass the middle of their tyres (4, 3) [m]."""
    centres = []
    for wheel in spec.wheels:
        joint = model.joint(wheel).id
        anchor, axis = data.xanchor[joint], data.xaxis[joint]
        tyre = data.geom_xpos[tyres_of(model, spec, wheel)].mean(axis=0)
        centres.append(anchor + axis * (axis @ (tyre - anchor)))
    return np.array(centres)


def car_axes(centres: Array) -> Array:
    """Directions ahead, to the left and up (3, 3, columns) of wheel centres (4, 3): from the rear to the front axle."""
    ahead = centres[:2].mean(axis=0) - centres[2:].mean(axis=0)
    ahead[2] = 0.0
    ahead /= np.linalg.norm(ahead)
    return np.column_stack([ahead, [-ahead[1], ahead[0], 0.0], [0.0, 0.0, 1.0]])


def read_steering(
    model: mujoco.MjModel, data: mujoco.MjData, spec: CarSpec, wheelbase: float, half_track: float
) -> tuple[Steering, float]:
    """What turns the front wheels, straight as in `data`, and how far they turn to either side [rad]."""
    pins = [model.joint(hinge) for hinge in spec.steering]
    signs = [float(np.sign(data.xaxis[pin.id, 2])) for pin in pins]
    straight = [float(data.qpos[pin.qposadr[0]]) for pin in pins]
    joints = drivers(model, spec.steering, spec.name)
    if len(pins) == 1 and joints == spec.steering:
        low, high = _range(model, spec, joints[0], signs[0], straight[0])
        return Beam(signs[0], straight[0]), STOPS * min(-low, high)
    both = Ackermann(wheelbase, half_track, (signs[0], signs[-1]), (straight[0], straight[-1]))
    if len(joints) == 2:
        ranges = [_range(model, spec, *pin) for pin in zip(joints, signs, straight, strict=True)]
        steers = np.linspace(0.0, 1.5, 1501)
        left, right = wheel_angles(steers, wheelbase, half_track)
        inner = min(-ranges[1][0], ranges[0][1])  # turning left the left wheel turns further, and the other way round
        outer = min(-ranges[0][0], ranges[1][1])
        able = (left > 0) & (left <= inner) & (right <= outer)
        return both, STOPS * float(steers[np.flatnonzero(able)].max(initial=0.0))
    return _linkage(model, spec, joints[0], both, signs)


def _linkage(
    model: mujoco.MjModel, spec: CarSpec, joint: str, wheels: Ackermann, signs: list[float]
) -> tuple[Linkage, float]:
    """Wheels that one joint turns, by equality constraints."""
    low, high = _position_range(model, joint) or (-np.inf, np.inf)
    ties = [tie(model, hinge, joint) for hinge in (spec.steering[0], spec.steering[-1])]
    sources = np.linspace(max(low, -1.5), min(high, 1.5), 1001)
    turned = np.array([each(sources) for each in ties])
    inside = np.ones(len(sources), bool)
    for hinge, sign, straight, q in zip(spec.steering, signs, wheels.straight, turned, strict=False):
        least, most = _range(model, spec, hinge, sign, straight, joint)
        inside &= (sign * (q - straight) >= least) & (sign * (q - straight) <= most)
    sources, turned = sources[inside], turned[:, inside]
    steers = np.array([wheels.steer(pair) for pair in turned.T])
    order = np.argsort(steers)
    return Linkage(steers[order], sources[order], wheels, len(signs)), STOPS * float(
        max(0.0, min(-steers.min(), steers.max()))
    )


def _range(
    model: mujoco.MjModel, spec: CarSpec, hinge: str, sign: float, straight: float, by: str | None = None
) -> tuple[float, float]:
    """How far a wheel turns to the right and to the left [rad]. `by` is the joint that turns it, if it is another."""
    found = _position_range(model, hinge) or (_position_range(model, by) if by else None)
    if spec.steering_range is not None:
        found = (straight - spec.steering_range, straight + spec.steering_range)
    if found is None:
        raise UsageError(
            f"robot {spec.name}: nothing says how far steering hinge '{hinge}' turns: give it a range in the model, "
            "or steering_range [rad]"
        )
    ends = sorted(sign * (end - straight) for end in found)
    return ends[0], ends[1]


def _position_range(model: mujoco.MjModel, joint: str) -> tuple[float, float] | None:
    """The range of a joint, or of the commands of its position servo."""
    index, found = model.joint(joint).id, []
    if model.jnt_limited[index]:
        found.append(model.jnt_range[index])
    for actuator in joint_actuators(model, joint):
        if model.actuator_ctrllimited[actuator] and model.actuator_biasprm[actuator, 1] < 0:
            found.append(model.actuator_ctrlrange[actuator] / model.actuator_gear[actuator, 0])
    if not found:
        return None
    return float(np.max([ends.min() for ends in found])), float(np.min([ends.max() for ends in found]))


def _share(motors: WheelMotors, car: CarParameters, signs: Array) -> Array:
    """The share of each wheel in the driving force (4,): as much of it as of the weight, where there is a motor."""
    load = np.array([car.rear, car.rear, car.front, car.front]) * (motors.limits > 0)
    share = signs * motors.split(signs * load)
    return share / share.sum()


def _passed_on(car: CarParameters, share: Array, height: float) -> float:
    """What friction lets the driven axles pass on [m/s^2], and what lifts no axle; braking is a negative height."""
    mu, L, most = car.friction, car.wheelbase, np.inf
    for axle, load, lifted in ((share[:2].sum(), car.rear, height), (share[2:].sum(), car.front, -height)):
        # s m a <= mu m / L (g load - a lifted), and 0 <= g load - a lifted
        if axle * L + mu * lifted > 0:
            most = min(most, mu * GRAVITY * load / (axle * L + mu * lifted))
        if lifted > 0:
            most = min(most, GRAVITY * load / lifted)
    return float(most)


def _friction(model: mujoco.MjModel, spec: CarSpec) -> float:
    """Of the tyres on the ground, as contacts take it: the larger of both, unless one goes first."""
    ground, found = ground_of(model, spec.name), []
    for tyre in (model.geom(name).id for name in spec.tyres):
        pair = [tyre, ground]
        first = model.geom_priority[pair].max()
        found.append(max(model.geom_friction[g, 0] for g in pair if model.geom_priority[g] == first))
    return float(np.mean(found))


def _spin_inertia(model: mujoco.MjModel, data: mujoco.MjData, dofs: Array) -> Array:
    """Of the wheels about their axes, gears and motors with them (4,) [kg m^2]."""
    M = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, M)
    return np.diag(M)[dofs]


def _yaw_inertia(model: mujoco.MjModel, data: mujoco.MjData, base: int) -> float:
    """Of everything above the base, about the vertical through its centre of mass [kg m^2]."""
    dof = int(model.body_dofadr[base]) + 3
    M = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, M)
    up = data.xmat[base].reshape(3, 3).T @ [0.0, 0.0, 1.0]
    away = data.subtree_com[base, :2] - data.xpos[base, :2]
    return float(up @ M[dof : dof + 3, dof : dof + 3] @ up - model.body_subtreemass[base] * away @ away)
