"""When a policy is asked for a chunk, when the chunk arrives, and what is done meanwhile: settings and their rules."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from robotics.errors import UsageError, unknown_name

if TYPE_CHECKING:  # at run time it would load torch
    from robotics.policies.base import PolicyConfig

Mode = Literal["open_loop", "receding_horizon", "temporal_ensembling", "naive_async", "rtc", "rtc_training"]
Masking = Literal["exp", "linear", "ones", "zeros"]

#: Modes in which a chunk is made to go on from the one before.
REAL_TIME = ("rtc", "rtc_training")
#: Modes in which the robot goes on with the last chunk while the next one is computed.
ASYNCHRONOUS = ("naive_async", *REAL_TIME)
#: Modes that take `n_action_steps`.
_WITH_STEPS = (None, "receding_horizon", *ASYNCHRONOUS)

#: How fast older predictions gain weight over newer ones [1/step] (ACT).
ENSEMBLE_DECAY = 0.01
#: Largest weight of the guidance (Black, Galliker, Levine 2025, "Real-Time Execution of Action Chunking Flow
#: Policies").
MAX_GUIDANCE = 5.0
#: Most noise on what a robot sees around which nothing moves [standard deviations of the data].
MOST_NOISE = 1.0


@dataclass(frozen=True)
class Execution:
    """How chunks become actions, as a user says it; None leaves a setting to the mode. Cheap and picklable.

    - `open_loop`: execute the whole chunk, then predict the next one.
    - `receding_horizon`: execute the first `n_action_steps` of each chunk. What happens without a mode.
    - `temporal_ensembling`: average everything that was predicted for now (`ensemble_decay`).
    - `naive_async`: go on with the last chunk while the next is computed, then jump to it.
    - `rtc`: as `naive_async`, the next chunk guided to agree with the last one (`max_guidance`, `masking`), of which at
      least half is left to agree with unless `n_action_steps` says otherwise.
    - `rtc_training`: as `naive_async`, the next chunk continuing the committed actions by a policy trained for that.

    `delay` [control steps] lies between asking for a chunk and having it. The robot stands before an episode begins, so
    the first chunk is never late. In `open_loop` and `receding_horizon` the robot holds its last action while it waits
    (a servo stays where it is; a commanded velocity goes on), and the chunk begins when it arrives. The others act on
    while they wait, and enter a chunk at the action that was predicted for the step it arrives in.

    `unstick`: noise on the vectors that are seen while nothing in `environment_state` (without one, in any of them)
    moves [standard deviations of the data], which doubles for as long as that lasts; see `standstill`. Not for tasks in
    which nothing is to move, or where the robot needs more than three chunks from one thing to the next.
    """

    mode: Mode | None = None
    n_action_steps: int | None = None
    delay: int = 0
    ensemble_decay: float | None = None
    max_guidance: float | None = None
    masking: Masking | None = None
    unstick: float | None = None

    def __post_init__(self) -> None:
        mode = self.mode
        if mode is not None and mode not in get_args(Mode):
            raise unknown_name("execution mode", mode, get_args(Mode))
        if self.n_action_steps is not None and mode not in _WITH_STEPS:
            raise UsageError(
                f"n_action_steps {self.n_action_steps} contradicts {mode}: it belongs to receding_horizon and the "
                "asynchronous modes"
            )
        for name, owner in (("ensemble_decay", "temporal_ensembling"), ("max_guidance", "rtc"), ("masking", "rtc")):
            if getattr(self, name) is not None and mode != owner:
                raise UsageError(
                    f"{name} {getattr(self, name)} belongs to {owner}, not to {mode or 'receding_horizon'}"
                )
        if self.masking is not None and self.masking not in get_args(Masking):
            raise unknown_name("masking", self.masking, get_args(Masking))
        if self.delay < 0:
            raise UsageError(f"delay {self.delay} is negative; it counts control steps")
        if self.max_guidance is not None and not 0 <= self.max_guidance < math.inf:
            raise UsageError(f"max_guidance {self.max_guidance}: give a number of at least 0")
        if self.ensemble_decay is not None and not math.isfinite(self.ensemble_decay):
            raise UsageError(f"ensemble_decay {self.ensemble_decay} is no number")
        if self.unstick is not None and not 0 < self.unstick <= MOST_NOISE:
            raise UsageError(f"unstick {self.unstick}: give noise of more than 0 and at most {MOST_NOISE:g}")

    def told(self) -> dict[str, Any]:
        """The settings that were given, for documents; empty where nothing was."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return {} if self == Execution() else given


def in_words(told: Mapping[str, Any]) -> str:
    """`Execution.told` as a line for people."""
    rest = [f"{name} {value}" for name, value in told.items() if name != "mode" and value]
    return ", ".join([told.get("mode", "receding_horizon"), *rest])


@dataclass(frozen=True)
class Schedule:
    """An `Execution` with every number filled in, for a policy that predicts `chunk_size` actions.

    Attributes:
        steps: control steps that a chunk is executed for, from its arrival to the arrival of the next one when they
            overlap, or to asking for the next one when the robot waits.
    """

    mode: Mode
    chunk_size: int
    steps: int
    delay: int
    ensemble_decay: float = ENSEMBLE_DECAY
    max_guidance: float = MAX_GUIDANCE
    masking: Masking = "exp"
    unstick: float | None = None

    @property
    def real_time(self) -> bool:
        """Whether a chunk goes on from the one before."""
        return self.mode in REAL_TIME

    @property
    def waits(self) -> bool:
        """Whether the robot holds still until its chunk arrives."""
        return self.mode in ("open_loop", "receding_horizon")

    @property
    def span(self) -> int:
        """Control steps within which a robot that does anything goes on to something else."""
        return max(self.steps, self.chunk_size // 2)


def schedule_for(execution: Execution, config: "PolicyConfig", policy: str = "the policy") -> Schedule:
    """The schedule of a policy with this configuration.

    Raises UsageError when its chunk is too short or it was not trained for that mode. One network computes one chunk
    at a time, so chunks that overlap are asked for every s >= delay steps, and the last one must reach until the next
    one arrives: s + delay <= chunk_size.
    """
    mode, delay, steps = execution.mode or "receding_horizon", execution.delay, execution.n_action_steps
    chunk_size, n_action_steps = config.chunk_size, config.n_action_steps
    objective, max_delay = getattr(config, "objective", config.type), getattr(config, "max_delay", 0)
    if mode in REAL_TIME and objective != "flow":
        raise UsageError(f"{mode} needs a policy trained by flow; {policy} was trained by {objective}")
    if mode == "rtc_training" and delay > max_delay:
        raise UsageError(f"{mode} with delay {delay}: {policy} was trained with max_delay {max_delay}")
    if execution.unstick is not None and not config.vector_dims:
        raise UsageError(f"unstick {execution.unstick}: {policy} sees images alone, and noise is for vectors")
    if steps is not None and not 1 <= steps <= chunk_size:
        raise UsageError(f"n_action_steps {steps} is outside 1 … {chunk_size}, the policy's chunk")
    if mode == "open_loop":
        steps = chunk_size
    elif mode == "temporal_ensembling":
        steps = max(1, delay)
    if mode in (*ASYNCHRONOUS, "temporal_ensembling"):
        least, most = max(1, delay), chunk_size - delay
        if least > most:
            raise UsageError(f"delay {delay} is more than half of the policy's chunk, {chunk_size} actions")
        if steps is not None and not least <= steps <= most:
            raise UsageError(
                f"n_action_steps {steps} is outside {least} … {most}: with delay {delay} a chunk of {chunk_size} lasts "
                "no longer, and a chunk is not asked for before the last one is there"
            )
        if mode == "rtc":  # of a chunk that is executed whole nothing would be left
            n_action_steps = min(n_action_steps, chunk_size // 2)
        n_action_steps = min(max(n_action_steps, least), most)
    given = {name: getattr(execution, name) for name in ("ensemble_decay", "max_guidance", "masking", "unstick")}
    given = {name: value for name, value in given.items() if value is not None}
    return Schedule(mode, chunk_size, steps or n_action_steps, delay, **given)
