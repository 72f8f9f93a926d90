"""Path tracking: a car follows a winding path at a given speed, within what its tyres and its steering can do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np

from robotics.controllers.car.course import Pace, Stretch, lay_out
from robotics.controllers.car.model import DynamicBicycle
from robotics.controllers.car.mpc import CarMPC, CarMPCSettings
from robotics.controllers.rotation import wrapped
from robotics.envs.base import Array, Expert, MujocoTask, Observation
from robotics.envs.orientation import yaw_of
from robotics.envs.rewards import tolerance
from robotics.envs.robots.car import (
    CAR,
    WHEEL_RADIUS,
    WHEELS,
    car_scene,
    steering_angle,
    wheel_angles,
    wheel_torques,
)
from robotics.envs.state import Simulation, State, measured_once

# -- constants ------------------------------------------------------------------------------------------------------

#: How long the car follows its path [s], and how far it may be from it and from its speed at any time [m, m/s].
DURATION, ACROSS, SLOWER = 8.0, 0.3, 1.0
#: Further away than this it has lost the path [m], or its speed [m/s]: success is long out of reach.
LOST, LOST_SPEED = 2.0, 4.0
#: Nodes of the path `STEP` apart [m]: enough for the fastest car to see `AHEAD` of them, `STRIDE` apart, at the end.
STEP, NODES = 0.5, 220
STRIDE, AHEAD = 3, 18
#: What is known at a node: position [m], heading [rad], curvature [1/m], speed [m/s].
NODE = 5
#: Cruising speeds [m/s], curvature of bends [1/m] and of what joins them [1/m^2], accelerations of the pace [m/s^2].
CRUISE, BEND, UNBEND, PACE = (5.0, 10.0), 0.12, 0.012, (1.5, 3.5)
_DASHES = 44


# -- success: a pure function of the state --------------------------------------------------------------------------


@dataclass(frozen=True)
class TrackState:
    """What success depends on: of one simulation, or of n."""

    across: Array | float  # furthest from the path so far [m]
    slower: Array | float  # largest error of the speed so far [m/s]
    time: Array | float  # since the start [s]


def tracked(state: TrackState) -> Array:
    """Never far from the path or from its speed, for the whole time: bool, (n,) or ()."""
    kept = np.less_equal(state.across, ACROSS) & np.less_equal(state.slower, SLOWER)
    return kept & np.greater_equal(state.time, DURATION - 1e-6)


# -- task -----------------------------------------------------------------------------------------------------------


class PathTrack(MujocoTask):
    """Actions `joint`: acceleration [m/s^2] and steering angle [rad], by wire; the wheel turns no faster than it can.

    An episode is 8 s of driving, from rolling at the path's speed a little beside it. Shape, speed and bends vary.
    """

    task = "follow the marked path at its speed"
    paraphrases = ("drive along the dashed line", "keep the car on the path at the given speed")
    robot_type = "car"
    control_hz = 20.0
    camera_names = ("track", "bonnet")
    default_camera = "track"
    HOLD_STEPS = 1  # success is of the whole drive

    def build_scene(self, action_mode: str) -> mujoco.MjSpec:
        spec = car_scene()
        spec.nuserdata = NODES * NODE + 3  # the path; how far the car is on it [nodes]; the largest errors so far
        spec.body("car").add_camera(name="bonnet", pos=[0.6, 0, 1.35], xyaxes=[0, -1, 0, 0.25, 0, 1], fovy=75)
        for number in range(_DASHES):
            dash = spec.worldbody.add_body(name=f"dash{number}", mocap=True)
            dash.add_geom(
                type=mujoco.mjtGeom.mjGEOM_BOX,
                size=[0.6, 0.06, 0.003],
                rgba=[0.95, 0.85, 0.2, 1],
                contype=0,
                conaffinity=0,
            )
        return spec

    def __init__(self, action_mode: str = "joint", **kwargs: Any) -> None:
        super().__init__(action_mode, **kwargs)
        model = self.model
        self._dashes = [int(model.body(f"dash{number}").mocapid[0]) for number in range(_DASHES)]
        self._servos = [model.actuator(f"{wheel}_steer").id for wheel in ("FL", "FR")]
        self._steer_q = [model.joint(f"{wheel}_steer").qposadr[0] for wheel in ("FL", "FR")]
        self._motors = [model.actuator(f"{wheel}_torque").id for wheel in WHEELS]
        self._spins = [model.joint(f"{wheel}_spin").dofadr[0] for wheel in WHEELS]

    def make_action_space(self) -> gym.spaces.Box:
        low = np.array([-CAR.max_braking, -CAR.max_steer], np.float32)
        return gym.spaces.Box(low, np.array([CAR.max_acceleration, CAR.max_steer], np.float32))

    def controls(self, actions: Array, last: Array) -> Array:
        """Steering servos as the wheel has turned within a control step, torques for the acceleration."""
        before = steering_angle(last[:, self._servos[0]], last[:, self._servos[1]])
        most = CAR.max_steer_rate / self.control_hz
        steer = before + np.clip(actions[:, 1] - before, -most, most)
        command = np.empty_like(last)
        command[:, self._servos] = np.stack(wheel_angles(steer), axis=-1)
        command[:, self._motors] = wheel_torques(actions[:, 0], 1.0)  # always ahead
        return command

    def place(self, simulation: Simulation, rng: np.random.Generator, options: Mapping[str, Any]) -> None:
        """A random path from the origin; the car up to 0.1 m beside it and a little askew, rolling at its speed."""
        self.refuse_options(options)
        nodes = random_path(rng)
        simulation.userdata[:] = [*nodes.ravel(), 0, 0, 0]
        aside, heading = rng.uniform(-1, 1, 2) * [0.1, 0.02]
        speed = nodes[0, 4]
        simulation.qpos[:2] = [CAR.rear * np.cos(heading), aside + CAR.rear * np.sin(heading)]
        simulation.qpos[3:7] = [np.cos(heading / 2), 0, 0, np.sin(heading / 2)]
        simulation.qvel[:2] = [speed * np.cos(heading), speed * np.sin(heading)]
        simulation.qvel[self._spins] = speed / WHEEL_RADIUS
        marked = nodes[:: NODES // _DASHES][:_DASHES]
        simulation.mocap_pos[self._dashes] = np.column_stack([marked[:, :2], np.full(_DASHES, 0.004)])
        half = marked[:, 2] / 2
        simulation.mocap_quat[self._dashes] = np.column_stack([np.cos(half), 0 * half, 0 * half, np.sin(half)])

    def state_spaces(self) -> dict[str, gym.spaces.Box]:
        return {
            "state": gym.spaces.Box(-50.0, 50.0, (5,), np.float32),
            "environment_state": gym.spaces.Box(-200.0, 200.0, (3 + NODE * AHEAD,), np.float32),
        }

    def observe(self, state: State) -> Observation:
        """`state`: speed ahead and aside [m/s], turning rate [rad/s], steering angle [rad] and acceleration [m/s^2] as
        last commanded. `environment_state`: how far the car is to the left of the path [m], turned from it [rad] and
        faster than told [m/s]; then the `AHEAD` nodes of the path to come, as seen from the middle of the rear axle:
        x, y [m], heading [rad], curvature [1/m], speed [m/s]."""
        position, heading, ahead, aside = _motion(state)
        path = self._path(state)
        nearest = self._nearest(state, position)
        first = np.maximum(nearest - 1, 0)
        coming = np.minimum(first[:, None] + STRIDE * np.arange(AHEAD), NODES - 1)
        nodes = np.take_along_axis(path, coming[:, :, None], axis=1)
        c, s = np.cos(heading)[:, None], np.sin(heading)[:, None]
        dx, dy = nodes[..., 0] - position[:, None, 0], nodes[..., 1] - position[:, None, 1]
        turned = nodes[..., 2] - heading[:, None]
        turned -= turned[:, :1] - wrapped(turned[:, :1])
        seen = np.stack([c * dx + s * dy, c * dy - s * dx, turned, nodes[..., 3], nodes[..., 4]], axis=-1)
        steer = steering_angle(state.ctrl[:, self._servos[0]], state.ctrl[:, self._servos[1]])
        acceleration = state.ctrl[:, self._motors].sum(axis=-1) / (CAR.mass * WHEEL_RADIUS)
        errors = np.stack(self._errors(state), axis=-1)
        return {
            "state": np.stack([ahead, aside, state.qvel[:, 5], steer, acceleration], axis=-1),
            "environment_state": np.concatenate([errors, seen.reshape(state.size, -1)], axis=1),
        }

    def _path(self, state: State) -> Array:
        """The nodes of the paths (n, NODES, NODE)."""
        return state.userdata[:, : NODES * NODE].reshape(state.size, NODES, NODE)

    def _nearest(self, state: State, position: Array) -> Array:
        """The node of its path nearest to each car (n,), not far from where it was: a path may cross itself."""
        near = np.clip(state.userdata[:, -3:-2].astype(int) + np.arange(-4, 13), 0, NODES - 1)
        nodes = np.take_along_axis(self._path(state)[..., :2], near[:, :, None], axis=1)
        far = (nodes[..., 0] - position[:, :1]) ** 2 + (nodes[..., 1] - position[:, 1:]) ** 2
        return np.take_along_axis(near, np.argmin(far, axis=1)[:, None], axis=1)[:, 0]

    def _errors(self, state: State) -> tuple[Array, Array, Array]:
        """How far each car is left of its path [m], turned from it [rad], faster than told [m/s] (n,)."""
        position, heading, ahead, _ = _motion(state)
        node = np.take_along_axis(self._path(state), self._nearest(state, position)[:, None, None], axis=1)[:, 0]
        c, s = np.cos(node[:, 2]), np.sin(node[:, 2])
        dx, dy = position[:, 0] - node[:, 0], position[:, 1] - node[:, 1]
        along, bend = c * dx + s * dy, node[:, 3]
        across = c * dy - s * dx - bend * along**2 / 2
        return across, wrapped(heading - node[:, 2] - bend * along), ahead - node[:, 4]

    def disturb(self, state: State) -> None:
        """Note where the cars are on their paths, and their largest errors so far."""
        across, _, faster = self._errors(state)
        state.userdata[:, -3] = self._nearest(state, _motion(state)[0])
        state.userdata[:, -2] = np.maximum(state.userdata[:, -2], np.abs(across))
        state.userdata[:, -1] = np.maximum(state.userdata[:, -1], np.abs(faster))

    def reward_terms(self, state: State) -> dict[str, Array]:
        across, turned, faster = self._errors(state)
        return {
            "on_path": tolerance(across, 0.05, 0.6),
            "along": tolerance(turned, 0.02, 0.4),
            "speed": tolerance(faster, 0.1, 2.0),
        }

    @measured_once
    def track_state(self, state: State) -> TrackState:
        """What success depends on, read from the simulations."""
        across, _, faster = self._errors(state)
        worst = np.maximum(state.userdata[:, -2], np.abs(across)), np.maximum(state.userdata[:, -1], np.abs(faster))
        return TrackState(*worst, state.time)

    def succeeds(self, state: State) -> Array:
        return tracked(self.track_state(state))

    def lost(self, state: State) -> Array:
        """Off the path by more than two metres, off its speed by more than four, or on its side."""
        (across, _, faster), quat = self._errors(state), state.qpos[:, 3:7]
        leaning = quat[:, 1] ** 2 + quat[:, 2] ** 2 > 0.25
        return (np.abs(across) > LOST) | (np.abs(faster) > LOST_SPEED) | leaning

    def expert(self) -> Expert:
        return PathTrackExpert()


def random_path(rng: np.random.Generator) -> Array:
    """A path (NODES, NODE) of straights and bends that join without a jump of the steering wheel, and its speeds."""
    cruise, length = rng.uniform(*CRUISE), STEP * NODES
    pieces, curvature = [(2.0, 0.0)], 0.0
    while sum(piece[0] for piece in pieces) < length:
        to = float(rng.uniform(-BEND, BEND)) if rng.random() < 0.8 else 0.0
        pieces += [(max(abs(to - curvature) / UNBEND, 2.0), to), (float(rng.uniform(2, 10)), to)]
        curvature = to
    pace = Pace(cruise, PACE[0], PACE[1], start=cruise, end=cruise)
    stretch = lay_out([(1, pieces)], pace, float(np.tan(CAR.max_steer) / CAR.wheelbase)).stretches[0]
    way = STEP * np.arange(NODES)
    position, heading, bend, speed = stretch.at(way)
    return np.column_stack([position, heading, bend, speed])


def _motion(state: State) -> tuple[Array, Array, Array, Array]:
    """Middle of the rear axle (n, 2) [m], heading [rad], speed ahead and aside [m/s] (n,)."""
    heading = yaw_of(state.qpos[:, 3:7])
    c, s = np.cos(heading), np.sin(heading)
    vx, vy = state.qvel[:, 0], state.qvel[:, 1]
    position = state.qpos[:, :2] - CAR.rear * np.stack([c, s], axis=-1)
    return position, heading, c * vx + s * vy, c * vy - s * vx


# -- expert ---------------------------------------------------------------------------------------------------------


#: Nearer to the path than the usual weights keep a car: its tyres creep more at low speed than the model believes.
MPC = CarMPCSettings(across_weight=20.0, heading_weight=0.5, input_weight=(0.05, 0.05), smoothness_weight=(0.2, 0.02))


class PathTrackExpert:
    """Plans the next two seconds on the piece of the path that is seen, anew in every step."""

    def reset(self, env: gym.Env) -> None:
        task = env.unwrapped
        assert isinstance(task, PathTrack)
        self._period_s, self._space = 1.0 / task.control_hz, task.action_space
        self._mpc = CarMPC(DynamicBicycle(), MPC)

    def act(self, observation: Observation) -> Array:
        ahead, aside, turn, steer, acceleration = observation["state"].astype(np.float64)
        nodes = observation["environment_state"][3:].astype(np.float64).reshape(AHEAD, NODE)
        stretch = _stretch(nodes)
        start = np.array([0, 0, 0, ahead, steer, aside, turn])[: self._mpc.model.states]
        last, motion = np.array([acceleration, 0.0]), None
        way = float(np.clip(-nodes[0, 0] * np.cos(nodes[0, 2]) - nodes[0, 1] * np.sin(nodes[0, 2]), 0, 3))
        for _ in range(2):  # linearised about the path, then about the plan
            motion = self._mpc.plan(start, stretch, way, last, motion) or motion
        if motion is None:
            return np.clip([0.0, steer], self._space.low, self._space.high).astype(np.float32)
        wanted = [motion.inputs[0, 0], steer + motion.inputs[0, 1] * self._period_s]
        return np.clip(wanted, self._space.low, self._space.high).astype(np.float32)

    def faults(self) -> dict[str, int]:
        return self._mpc.solver.faults.as_dict()


def _stretch(nodes: Array) -> Stretch:
    """The seen nodes (AHEAD, NODE) as a piece of a course."""
    way = STEP * STRIDE * np.arange(len(nodes))
    mean = np.maximum((nodes[1:, 4] + nodes[:-1, 4]) / 2, 0.1)
    time = np.concatenate([[0.0], np.cumsum(STEP * STRIDE / mean)])
    return Stretch(1, way, nodes[:, :2], nodes[:, 2], nodes[:, 3], nodes[:, 4], time)
