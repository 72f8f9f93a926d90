"""Balance: the humanoid stands, squats as it is told, reaches for a ball with one hand, and withstands two pushes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from robotics.envs.base import Array
from robotics.envs.humanoid import HANDS, HumanoidTask
from robotics.envs.manipulation import add_picture
from robotics.envs.rewards import tolerance
from robotics.envs.robots.humanoid import HUMANOID
from robotics.envs.state import Simulation, State, measured_once

# -- constants ------------------------------------------------------------------------------------------------------

#: Commanded heights of the pelvis, the first of which is standing as at the beginning [m]; when it begins to move
#: towards the second and the third of them, and how long that takes [s].
STANDING, HEIGHTS, CHANGES, CHANGE_S = 0.757, (0.5, 0.75), ((0.2, 0.7), (2.8, 3.3)), 1.0
#: Two pushes of the pelvis: the strongest forwards and sideways, about what one can stand without a step [N s], the
#: weakest as share of that, when they come, how long they last [s].
PUSH, WEAKEST, PUSHES, PUSH_S = np.array([12.0, 20.0]), 0.4, ((1.0, 2.7), (4.0, 5.5)), 0.1
#: Where the ball hangs: ahead, to the side of the hand, and above the pelvis at its last height [m].
BALL = (np.array([0.2, 0.0, 0.0]), np.array([0.4, 0.35, 0.35]))
#: How far the joints may be from home at first [rad].
ASKEW = 0.02
#: What still counts: the hand's distance from the ball, the pelvis from its height, now and on average so far [m], its
#: tilt [rad]; how fast it and the joints may move at rest [m/s, rad/s].
REACHED, OFF, OFF_SO_FAR, TILT, SPEED, TURNING = 0.02, 0.015, 0.02, 0.15, 0.05, 0.3


# -- success: a pure function of the state --------------------------------------------------------------------------


@dataclass(frozen=True)
class BalanceState:
    """What success depends on: of one simulation, or of n."""

    reach: Array | float  # from the hand to the ball [m]
    off: Array | float  # of the pelvis from the commanded height [m]
    off_so_far: Array | float  # the same, mean of the absolute value since the start
    tilt: Array | float  # of the pelvis [rad]
    grounded: Array | float  # share of both soles that is on the ground
    speed: Array | float  # of the pelvis [m/s]
    turning: Array | float  # of the fastest joint [rad/s]
    fallen: Array | bool
    since: Array | float  # the last push and the last change of the command [s], negative before


def balanced(state: BalanceState) -> Array:
    """All is over, and the robot stands upright at the commanded height, where it has been all along, both soles flat
    on the ground, at rest, its hand at the ball: bool, (n,) or ()."""
    over = np.greater_equal(state.since, 0.0) & np.logical_not(state.fallen)
    there = np.less_equal(state.reach, REACHED) & np.less_equal(np.abs(state.off), OFF)
    upright = np.less_equal(state.tilt, TILT) & np.less_equal(state.off_so_far, OFF_SO_FAR)
    resting = np.less_equal(state.speed, SPEED) & np.less_equal(state.turning, TURNING)
    return over & there & upright & resting & np.greater_equal(state.grounded, 1.0)


# -- task -----------------------------------------------------------------------------------------------------------


class HumanoidBalance(HumanoidTask):
    """Down, or up, twice, with one hand at a ball, and a push from anywhere after each."""

    task = "follow the commanded height and hold the named hand at the ball, whatever pushes you"
    paraphrases = ("keep your balance, squat as told and touch the ball", "squat, reach for the ball and do not fall")
    HOLD_STEPS = 25

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        # the second and third height [m], when each begins [s], which hand (1 left, -1 right), impulses of the pushes
        # (2, 2) [N s], when they come [s]; errors of the height so far summed up [m], how many
        spec.nuserdata = 13
        add_picture(spec, "ball", mujoco.mjtGeom.mjGEOM_SPHERE, [0.035], [0.9, 0.45, 0.1, 1])

    def __init__(self, action_mode: str = "joint", **kwargs: Any) -> None:
        super().__init__(action_mode, **kwargs)
        self._base = self.model.body("base").id

    def place(self, simulation: Simulation, rng: np.random.Generator, options: Mapping[str, Any]) -> None:
        """Uniform heights, times, places and pushes, these in any direction; either hand."""
        self.refuse_options(options)
        heights, side = rng.uniform(*HEIGHTS, 2), rng.choice([-1.0, 1.0])
        ahead, aside, above = rng.uniform(*BALL)
        angles, strengths = rng.uniform(-np.pi, np.pi, 2), rng.uniform(WEAKEST, 1.0, (2, 1))
        pushes = strengths * PUSH * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        begin, at = (rng.uniform(*np.transpose(times)) for times in (CHANGES, PUSHES))
        simulation.userdata[:] = [*heights, *begin, side, *pushes.ravel(), *at, 0, 0]
        simulation.mocap_pos[0] = [ahead, side * aside, heights[1] + above]
        self.stand(simulation, rng.uniform(-ASKEW, ASKEW, len(HUMANOID.joints)))

    def command(self, state: State) -> Array:
        data = state.userdata
        share = np.clip((state.time[:, None] - data[:, 2:4]) / CHANGE_S, 0.0, 1.0)
        done, rate = share * share * (3 - 2 * share), 6 * share * (1 - share) / CHANGE_S
        first, second = data[:, 0] - STANDING, data[:, 1] - data[:, 0]
        height = STANDING + first * done[:, 0] + second * done[:, 1]
        return np.stack([height, first * rate[:, 0] + second * rate[:, 1], data[:, 4]], axis=-1)

    def goal(self, state: State) -> Array:
        return state.mocap_pos[:, 0]

    def disturb(self, state: State) -> None:
        """Push, and note how far from its height the pelvis is."""
        data = state.userdata
        since = state.time[:, None] - data[:, 9:11]
        pushing = (since >= -1e-9) & (since < PUSH_S - 1e-9)
        force = data[:, 5:9].reshape(-1, 2, 2) * (pushing / PUSH_S)[:, :, None]
        state.xfrc_applied[:, self._base, :2] = force[:, 0] + force[:, 1]
        data[:, 11] += np.abs(self._off(state))
        data[:, 12] += 1.0

    def _off(self, state: State) -> Array:
        """How far above the commanded height the pelvis is (n,) [m]."""
        return state.qpos[:, 2] - self.command(state)[:, 0]

    def _reach(self, state: State) -> Array:
        """How far the hand that is to reach is from the ball (n,) [m]."""
        left, right = (state.site(hand) for hand in HANDS)
        way = np.where(state.userdata[:, 4:5] > 0, left, right) - self.goal(state)
        return np.sqrt(np.einsum("ni,ni->n", way, way))

    @measured_once
    def balance_state(self, state: State) -> BalanceState:
        """What success depends on, read from the simulations."""
        data, velocity = state.userdata, state.qvel[:, :3]
        over = np.maximum(data[:, 10] + PUSH_S, data[:, 3] + CHANGE_S)
        return BalanceState(
            reach=self._reach(state),
            off=self._off(state),
            off_so_far=data[:, 11] / np.maximum(data[:, 12], 1.0),
            tilt=self.tilt(state),
            grounded=self.grounded(state).mean(axis=1),
            speed=np.sqrt(np.einsum("ni,ni->n", velocity, velocity)),
            turning=np.abs(state.qvel[:, 6:]).max(axis=1),
            fallen=self.fallen(state),
            since=state.time - over,
        )

    def reward_terms(self, state: State) -> dict[str, Array]:
        now = self.balance_state(state)
        return {
            "upright": tolerance(now.tilt, TILT, 0.5),
            "height": tolerance(now.off, OFF, 0.1),
            "reach": tolerance(now.reach, REACHED, 0.3),
            "grounded": np.asarray(now.grounded),
            "still": tolerance(now.speed, SPEED, 0.5),
        }

    def succeeds(self, state: State) -> Array:
        return balanced(self.balance_state(state))

    def lost(self, state: State) -> Array:
        """Fallen."""
        return self.fallen(state)

    def instructions(self, state: State) -> list[str]:
        hands = ["left" if side > 0 else "right" for side in state.userdata[:, 4].tolist()]
        return [f"follow the commanded height and hold your {hand} hand at the ball" for hand in hands]
