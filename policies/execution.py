"""From chunks to actions: when the policy is asked, and which of its predictions is executed."""

from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from robotics.errors import UsageError, unknown_name
from robotics.policies.base import Policy
from robotics.policies.ensembling import TemporalEnsemble
from robotics.vocabulary import camera_of

Mode = Literal["open_loop", "receding_horizon", "temporal_ensembling"]

#: How fast older predictions gain weight over newer ones [1/step] (ACT).
ENSEMBLE_DECAY = 0.01


class ChunkExecutor:
    """Turns a policy's chunks into one action per control step. Deterministic; one executor per environment.

    - `open_loop`: execute the whole chunk, then predict the next one.
    - `receding_horizon`: execute the first `n_action_steps` of each chunk.
    - `temporal_ensembling`: predict at every step and average what was predicted for it (`ensemble_decay`).

    Without a mode: receding horizon with the `n_action_steps` of the policy's configuration, which are the whole chunk
    where nothing else was trained for. Raises UsageError for settings that the mode would ignore.
    """

    def __init__(
        self,
        policy: Policy,
        mode: Mode | None = None,
        *,
        n_action_steps: int | None = None,
        ensemble_decay: float | None = None,
    ) -> None:
        config = policy.config
        if mode is not None and mode not in get_args(Mode):
            raise unknown_name("execution mode", mode, get_args(Mode))
        if n_action_steps is not None and mode not in (None, "receding_horizon"):
            raise UsageError(f"n_action_steps {n_action_steps} contradicts {mode}: it belongs to receding_horizon")
        if ensemble_decay is not None and mode != "temporal_ensembling":
            raise UsageError(f"ensemble_decay {ensemble_decay} belongs to temporal_ensembling, not to {mode}")
        if n_action_steps is not None and not 1 <= n_action_steps <= config.chunk_size:
            raise UsageError(f"n_action_steps {n_action_steps} is outside 1 … {config.chunk_size}, the policy's chunk")
        self.policy = policy.eval()
        self._ensemble = None
        self._steps = config.chunk_size if mode == "open_loop" else n_action_steps or config.n_action_steps
        if mode == "temporal_ensembling":
            decay = ENSEMBLE_DECAY if ensemble_decay is None else ensemble_decay
            self._ensemble = TemporalEnsemble(config.chunk_size, config.action_dim, decay)
        self.reset()

    def reset(self) -> None:
        """Forget everything that was predicted. Call it at the start of every episode."""
        self._chunk: np.ndarray | None = None
        self._next = 0
        if self._ensemble is not None:
            self._ensemble.reset()

    def act(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        """The action float32 (A,) for this control step, from an observation without batch dimension.

        Raises UsageError naming the key when the observation is not what the policy was trained on. Keys that the
        policy does not know are ignored.
        """
        if self._ensemble is not None:
            return self._ensemble.add(self._predict(observation)).astype(np.float32)
        if self._chunk is None or self._next == self._steps:
            self._chunk, self._next = self._predict(observation), 0
        self._next += 1
        return self._chunk[self._next - 1]

    def _predict(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        with torch.no_grad():
            return self.policy.predict_chunk(self._batched(observation))[0].cpu().numpy()

    def _batched(self, observation: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        device = next(self.policy.parameters()).device
        batch = {}
        for key, shape in self.policy.config.input_shapes.items():
            if key not in observation:
                raise UsageError(f"the policy needs '{key}'; the observation has {', '.join(sorted(observation))}")
            value = np.asarray(observation[key])
            if value.shape != shape:
                raise UsageError(
                    f"the policy was trained on '{key}' of shape {shape}, the observation's is {value.shape}"
                )
            tensor = torch.from_numpy(np.ascontiguousarray(value))[None]
            batch[key] = tensor.to(device) if camera_of(key) else tensor.to(device, torch.float32)
        return batch
