"""Terrain: the quadruped crosses rough ground or stairs, and is pushed on the way."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np

from robotics.envs.base import Array, Expert, Observation
from robotics.envs.legged import QuadrupedExpert, QuadrupedTask
from robotics.envs.orientation import yaw_of
from robotics.envs.rewards import tolerance
from robotics.envs.robots.ground import add_rough, add_stairs
from robotics.envs.state import Simulation, State, measured_once
from robotics.errors import UsageError

# -- constants ------------------------------------------------------------------------------------------------------

#: An episode [s]; commanded speeds [m/s]; how far the robot may stand beside its lane at first, turned [m, rad].
DURATION, SPEED, ASIDE, TURN = 8.0, (0.4, 0.6), 0.2, 0.08
#: What lies ahead, lane by lane, `LANE` [m] apart: rough ground of that height, or stairs of that rise [m].
ROUGH, STAIRS, LANE = 0.06, (0.05, 0.07, 0.09, 0.12), 4.0
#: A push from the side: impulse [N s], how long it lasts [s], when it comes [s].
PUSH, PUSH_S, PUSH_AT = (-15.0, 15.0), 0.1, (1.5, 6.0)
#: How much of the way that the command asks for must be done (a second to get going apart), and how far from the middle
#: of the lane the robot may end [m].
SHARE, ASTRAY = 0.75, 0.8


#: Where the height of the ground is known: so far behind and ahead of the base [m]; the map it is read from [m].
SCAN = np.linspace(-0.5, 0.9, 15)
MAP_FROM, MAP_TO, CELL = np.array([-1.0, -1.5]), np.array([8.0, 4 * LANE + 1.5]), 0.1


# -- success: a pure function of the state --------------------------------------------------------------------------


@dataclass(frozen=True)
class CrossingState:
    """What success depends on: of one simulation, or of n."""

    share: Array | float  # of the commanded way that is done
    astray: Array | float  # from the middle of the lane [m]
    fallen: Array | bool
    time: Array | float  # since the start [s]


def crossed(state: CrossingState) -> Array:
    """Upright when the time is up, on its lane, and far enough: bool, (n,) or ()."""
    on_its_way = np.greater_equal(state.share, SHARE) & np.less_equal(np.abs(state.astray), ASTRAY)
    return on_its_way & np.logical_not(state.fallen) & np.less_equal(np.abs(np.subtract(state.time, DURATION)), 1e-6)


# -- task -----------------------------------------------------------------------------------------------------------


class QuadrupedTerrain(QuadrupedTask):
    """Eight seconds straight ahead: over rough ground, or up and down stairs of 5 to 12 cm; one push from the side."""

    control_hz = 100.0
    task = "walk straight ahead over the terrain"
    #: True of rough ground and of stairs.
    paraphrases = ("keep going straight on, whatever the ground is like", "cross what lies ahead and stay on your lane")

    def add_ground(self, spec: mujoco.MjSpec) -> None:
        spec.nuserdata = 4  # lane, commanded speed [m/s], impulse of the push [N s], when it comes [s]
        add_rough(spec, ROUGH)
        for lane, rise in enumerate(STAIRS, start=1):
            add_stairs(spec, rise, y=lane * LANE)

    def place(self, simulation: Simulation, rng: np.random.Generator, options: Mapping[str, Any]) -> None:
        """A random lane, speed and push; `options={"lane": number}` sets the lane (0: rough, then stairs by rise)."""
        self.refuse_options(options, "lane")
        lane = self.number_option(options, "lane", rng.integers(1 + len(STAIRS)))
        if lane not in range(1 + len(STAIRS)):
            raise UsageError(f"reset option lane {lane:g}: lanes are 0 … {len(STAIRS)}")
        simulation.userdata[:] = [lane, rng.uniform(*SPEED), rng.uniform(*PUSH), rng.uniform(*PUSH_AT)]
        self.stand(simulation, y=lane * LANE + rng.uniform(-ASIDE, ASIDE), yaw=rng.uniform(-TURN, TURN))

    def command(self, state: State) -> Array:
        """Ahead; turning against the heading as a rider would, to stay on the lane."""
        wanted = np.clip(-0.8 * (state.qpos[:, 1] - state.userdata[:, 0] * LANE), -0.3, 0.3)
        turn = np.clip(1.5 * (wanted - yaw_of(state.qpos[:, 3:7])), -0.6, 0.6)
        return np.stack([state.userdata[:, 1], np.zeros(state.size), turn], axis=-1)

    def state_spaces(self) -> dict[str, gym.spaces.Box]:
        spaces = super().state_spaces()
        size = spaces["environment_state"].shape[0] + SCAN.size
        return {**spaces, "environment_state": gym.spaces.Box(-1000.0, 1000.0, (size,), np.float32)}

    def observe(self, state: State) -> Observation:
        """As of every quadruped; `environment_state` also has the height of the ground [m] at `SCAN` along the middle
        of the body, from behind it to ahead."""
        seen = super().observe(state)
        return {**seen, "environment_state": np.concatenate([seen["environment_state"], self._scan(state)], axis=1)}

    def _scan(self, state: State) -> Array:
        """(n, SCAN)."""
        w, z = state.qpos[:, 3:4], state.qpos[:, 6:7]
        x = state.qpos[:, :1] + (w * w - z * z) * SCAN
        y = state.qpos[:, 1:2] + 2 * w * z * SCAN
        row = np.clip(np.rint((x - MAP_FROM[0]) / CELL), 0, self._map.shape[0] - 1).astype(int)
        column = np.clip(np.rint((y - MAP_FROM[1]) / CELL), 0, self._map.shape[1] - 1).astype(int)
        return self._map[row, column]

    def disturb(self, state: State) -> None:
        since = state.time - state.userdata[:, 3]
        pushing = (since >= -1e-9) & (since < PUSH_S - 1e-9)
        state.xfrc_applied[:, self._base, 1] = np.where(pushing, state.userdata[:, 2] / PUSH_S, 0.0)

    def __init__(self, action_mode: str = "joint", **kwargs: Any) -> None:
        super().__init__(action_mode, **kwargs)
        self._base = self.model.body("base").id
        self._map = self._mapped()

    def _mapped(self) -> Array:
        """Heights of the ground on a grid, x by y [m]: rays from above, once."""
        count = np.rint((MAP_TO - MAP_FROM) / CELL).astype(int) + 1
        model, hit = self.model, np.zeros(1, np.int32)
        data = mujoco.MjData(model)
        data.qpos[2] = 50.0  # out of the way
        mujoco.mj_forward(model, data)
        heights = np.zeros(count)
        for row in range(count[0]):
            for column in range(count[1]):
                above = np.array([*(MAP_FROM + CELL * np.array([row, column])), 5.0])
                way = mujoco.mj_ray(model, data, above, np.array([0, 0, -1.0]), None, 1, -1, hit, None)
                heights[row, column] = 5.0 - way
        return heights

    @measured_once
    def crossing_state(self, state: State) -> CrossingState:
        """What success depends on, read from the simulations."""
        way = state.userdata[:, 1] * (DURATION - 1.0)
        share = state.qpos[:, 0] / np.maximum(way, 0.1)
        astray = state.qpos[:, 1] - state.userdata[:, 0] * LANE
        return CrossingState(share, astray, self.fallen(state), state.time)

    def reward_terms(self, state: State) -> dict[str, Array]:
        off = self.twist(state) - self.command(state)
        return {
            "velocity": tolerance(np.sqrt(off[:, 0] ** 2 + off[:, 1] ** 2), 0.1, 0.5),
            "turning": tolerance(off[:, 2], 0.2, 1.0),
            "on_lane": tolerance(np.asarray(self.crossing_state(state).astray), 0.3, 0.5),
        }

    def succeeds(self, state: State) -> Array:
        return crossed(self.crossing_state(state))

    def lost(self, state: State) -> Array:
        """Fallen."""
        return self.fallen(state)

    def expert(self) -> Expert:
        return QuadrupedTerrainExpert()


# -- expert ---------------------------------------------------------------------------------------------------------

#: Steps this high [m] are taken with feet lifted so far, as share of the legs, and slower; feet go out less against
#: errors of the speed [s], since every foot that lands elsewhere than on its tread is one more of them.
HIGH, LIFTED, SLOWER, STEADY = 0.1, 0.45, 0.8, 0.05


class QuadrupedTerrainExpert(QuadrupedExpert):
    """Lifts its feet higher, and takes its time, where a high step is seen; otherwise walks blindly."""

    def reset(self, env: gym.Env) -> None:
        super().reset(env)
        self._usual = self.locomotion.settings
        self._climbing = replace(self._usual, swing_height=LIFTED, foothold_gain=STEADY)

    def prepared(self, command: Array, known: Array) -> Array:
        high = np.abs(np.diff(known[-SCAN.size :])).max() > HIGH
        self.locomotion.settings = self._climbing if high else self._usual
        return command * [SLOWER if high else 1.0, 1.0, 1.0]
