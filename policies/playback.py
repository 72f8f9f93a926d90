"""One robot's side of chunk execution: when it asks, what has arrived, and the action for now."""

import numpy as np
import torch
from torch import Tensor

from robotics.policies.ensembling import TemporalEnsemble
from robotics.policies.schedule import Schedule
from robotics.policies.standstill import Standstill


class Playback:
    """The chunks of one episode, played by a `Schedule`. Knows no policy: whoever holds it answers when it `asks`.

    At every control step: `give` a chunk if it `asks`, then take the `action`.

    Asynchronous, delay 2, chunks of six, a new one every three steps (a: asked for, x: executed):

        step     0 1 2 3 4 5 6 7 8 9
        first    x x x x x .
        second         a . x x x .
        third                a . x x …

    Attributes:
        generator: the episode's source of randomness; the same seed gives the same episode.
    """

    def __init__(self, schedule: Schedule, seed: int) -> None:
        self._schedule = schedule
        self.generator = torch.Generator().manual_seed(seed % 2**63)
        self._now = 0
        #: (step that its first action is for, actions): what is played, and what is on its way.
        self._chunk: tuple[int, np.ndarray] | None = None
        self._coming: tuple[int, np.ndarray] | None = None
        self._arrives = 0
        self._held: np.ndarray | None = None
        self._ensemble = TemporalEnsemble(schedule.ensemble_decay) if schedule.mode == "temporal_ensembling" else None
        self._standstill = None if schedule.unstick is None else Standstill(schedule.unstick, schedule.span)

    def asks(self) -> bool:
        """Whether a chunk is wanted, from what is observed now."""
        newest = self._coming or self._chunk
        return newest is None or self._now == newest[0] + self._schedule.steps

    def promised(self) -> np.ndarray | None:
        """What the last chunk holds for now and later (H, A), zeros behind its end; None before the first.

        Its first `delay` actions will have been executed when a chunk that is asked for now arrives.
        """
        if self._chunk is None:
            return None
        start, actions = self._chunk
        left = actions[self._now - start :]
        return np.concatenate([left, np.zeros_like(actions[len(left) :])])

    def noise(self, environment: Tensor) -> float:
        """Of the noise that belongs on what is seen now, by the `environment` (D,) in it, both in standard deviations:
        see `standstill`."""
        return 0.0 if self._standstill is None else self._standstill.noise(self._now, environment)

    def give(self, chunk: np.ndarray) -> None:
        """The chunk (H, A) predicted from what is observed now. The first is there at once, the others are late."""
        self._arrives = self._now + (0 if self._chunk is None else self._schedule.delay)
        self._coming = (self._arrives if self._schedule.waits else self._now, chunk)
        self._receive()

    def action(self) -> np.ndarray:
        """The action float32 (A,) for now. Time then moves on by one control step."""
        assert self._chunk is not None, "a chunk was asked for and not given"
        if self._ensemble is not None:
            action = self._ensemble.action(self._now)
        elif self._coming is not None and self._schedule.waits and self._held is not None:
            action = self._held
        else:
            start, actions = self._chunk
            action = actions[self._now - start]
        self._held = action
        self._now += 1
        self._receive()
        return action.astype(np.float32)

    def _receive(self) -> None:
        if self._coming is not None and self._now == self._arrives:
            self._chunk, self._coming = self._coming, None
            if self._ensemble is not None:
                self._ensemble.add(*self._chunk)
