"""From chunks to actions in one environment."""

from collections.abc import Mapping

import numpy as np

from robotics.policies.base import Policy
from robotics.policies.playback import Playback
from robotics.policies.prediction import predict_chunks
from robotics.policies.schedule import Execution, schedule_for


class ChunkExecutor:
    """Turns a policy's chunks into one action per control step, as `Execution` says; one executor per environment.

    Without a mode: receding horizon with the `n_action_steps` of the policy's configuration, which are the whole chunk
    where nothing else was trained for. Raises UsageError for settings that the policy's chunk can not satisfy.
    """

    def __init__(self, policy: Policy, execution: Execution | None = None) -> None:
        self.policy = policy.eval()
        self.schedule = schedule_for(execution or Execution(), policy.config)
        self.reset()

    def reset(self, seed: int = 0) -> None:
        """Forget everything that was predicted. Call it at the start of every episode, with the episode's seed."""
        #: Whether the last action took an inference; the others were predicted before.
        self.asked = False
        self._playback = Playback(self.schedule, seed)

    def act(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        """The action float32 (A,) for this control step, from an observation without batch dimension.

        Raises UsageError naming the key when the observation is not what the policy was trained on.
        """
        self.asked = self._playback.asks()
        if self.asked:
            rows = {key: np.asarray(value)[None] for key, value in observation.items()}
            self._playback.give(predict_chunks(self.policy, self.schedule, rows, [self._playback])[0])
        return self._playback.action()
