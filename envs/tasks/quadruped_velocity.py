"""Velocity: the quadruped follows a commanded planar twist on flat ground, which changes once on the way."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from robotics.controllers.legged.locomotion import LocomotionSettings
from robotics.controllers.legged.path import PathSettings
from robotics.controllers.legged.srbd_mpc import SrbdSettings
from robotics.controllers.legged.wbc import LeggedWbcSettings
from robotics.envs.base import Array, Expert
from robotics.envs.legged import QuadrupedExpert, QuadrupedTask
from robotics.envs.rewards import tolerance
from robotics.envs.state import Simulation, State, measured_once

# -- constants ------------------------------------------------------------------------------------------------------

#: An episode [s], when the command changes, and how long after a new command the robot is not measured [s].
DURATION, CHANGE, SETTLE = 6.0, (2.5, 3.5), 1.5
#: Commands: least and most, forwards, to the left [m/s], turning left [rad/s].
COMMANDS = (np.array([-0.5, -0.3, -0.8]), np.array([1.0, 0.3, 0.8]))
#: Mean errors that still count as following [m/s, rad/s].
OFF, TURNING_OFF = 0.12, 0.2
#: Of the ground, as the expert believes: less than half of what it is, so that it also walks where feet slip sooner.
FRICTION = 0.35


# -- success: a pure function of the state --------------------------------------------------------------------------


@dataclass(frozen=True)
class VelocityState:
    """What success depends on: of one simulation, or of n."""

    off: Array | float  # mean distance between velocity and command so far [m/s]
    turning_off: Array | float  # mean error of the turning rate so far [rad/s]
    fallen: Array | bool
    time: Array | float  # since the start [s]


def followed(state: VelocityState) -> Array:
    """Upright when the time is up, and on average near the command, swaying included: bool, (n,) or ()."""
    near = np.less_equal(state.off, OFF) & np.less_equal(state.turning_off, TURNING_OFF)
    return near & np.logical_not(state.fallen) & np.less_equal(np.abs(np.subtract(state.time, DURATION)), 1e-6)


# -- task -----------------------------------------------------------------------------------------------------------


class QuadrupedVelocity(QuadrupedTask):
    """Six seconds on the flat; two commands, one after the other."""

    task = "walk with the commanded velocity"
    paraphrases = ("follow the velocity command", "trot as fast and turn as much as told")

    def build_scene(self, action_mode: str) -> mujoco.MjSpec:
        spec = super().build_scene(action_mode)
        spec.nuserdata = 10  # both commands, when the second begins [s]; errors so far summed up, how many
        return spec

    def place(self, simulation: Simulation, rng: np.random.Generator, options: Mapping[str, Any]) -> None:
        """Uniform commands; the robot stands at the origin, facing anywhere."""
        self.refuse_options(options)
        commands = rng.uniform(*COMMANDS, size=(2, 3))
        simulation.userdata[:] = [*commands.ravel(), rng.uniform(*CHANGE), 0, 0, 0]
        self.stand(simulation, yaw=rng.uniform(-np.pi, np.pi))

    def command(self, state: State) -> Array:
        data = state.userdata
        return np.where((state.time < data[:, 6])[:, None], data[:, :3], data[:, 3:6])

    def _errors(self, state: State) -> tuple[Array, Array]:
        """Between velocity and command [m/s], turning rate and command [rad/s] (n,)."""
        off = self.twist(state) - self.command(state)
        return np.sqrt(off[:, 0] ** 2 + off[:, 1] ** 2), np.abs(off[:, 2])

    def disturb(self, state: State) -> None:
        """Note the errors of now, where the command has had time to be met."""
        data, time = state.userdata, state.time
        since = np.where(time < data[:, 6], time, time - data[:, 6])
        counts = since >= SETTLE
        off, turning_off = self._errors(state)
        data[:, 7] += np.where(counts, off, 0.0)
        data[:, 8] += np.where(counts, turning_off, 0.0)
        data[:, 9] += counts

    @measured_once
    def velocity_state(self, state: State) -> VelocityState:
        """What success depends on, read from the simulations."""
        data = state.userdata
        count = np.maximum(data[:, 9], 1.0)
        return VelocityState(data[:, 7] / count, data[:, 8] / count, self.fallen(state), state.time)

    def reward_terms(self, state: State) -> dict[str, Array]:
        off, turning_off = self._errors(state)
        return {"velocity": tolerance(off, 0.05, 0.5), "turning": tolerance(turning_off, 0.1, 1.0)}

    def succeeds(self, state: State) -> Array:
        return followed(self.velocity_state(state))

    def lost(self, state: State) -> Array:
        """Fallen."""
        return self.fallen(state)

    def expert(self) -> Expert:
        return QuadrupedVelocityExpert()


# -- expert ---------------------------------------------------------------------------------------------------------


class QuadrupedVelocityExpert(QuadrupedExpert):
    """Trots by the clock, from the first step on, at the velocity that is commanded now.

    It hurries nowhere and returns to no path: what it does follows from what can be observed, but for a load that it
    feels in time, so that a policy can learn it.
    """

    settings = LocomotionSettings(
        stand_s=0.0,
        ramp_s=0.02,
        hurry=0.0,
        trim_gain=0.0,
        path=PathSettings(max_pull=0.0, max_turn=0.05, leash=(0.0, 0.05), gain=0.0),
        srbd=SrbdSettings(friction=FRICTION),
        wbc=LeggedWbcSettings(friction=FRICTION),
    )
