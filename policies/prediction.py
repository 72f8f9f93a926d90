"""One evaluation of a policy for several robots at once: what they see and what each was promised -> chunks."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from robotics.errors import UsageError
from robotics.policies.base import Policy
from robotics.policies.language import MAX_WORDS, TASK
from robotics.policies.playback import Playback
from robotics.vocabulary import ACTION, camera_of


def predict_chunks(policy: Policy, observation: Mapping[str, np.ndarray], robots: Sequence[Playback]) -> np.ndarray:
    """Chunks float32 (B, H, A) in physical units for observations (B, *shape) of `robots` that ask for one.

    Each robot draws its noise from its own generator, so that what it gets does not depend on the others, but for the
    rounding of batched matrix products. Raises UsageError naming the key when the observation is not what the policy
    was trained on; keys that the policy does not know are ignored.
    """
    batch, device = _batch(policy, observation), next(policy.parameters()).device
    with torch.no_grad():
        if not hasattr(policy, "sample"):
            return policy.predict_chunk(batch).cpu().numpy()
        noise = torch.stack([_noise(policy, robot) for robot in robots]).to(device)
        chunk = policy.sample(policy.encode(batch), noise)
        return policy.normalizer.denormalize(ACTION, chunk.float()).cpu().numpy()


def _noise(policy: Policy, robot: Playback) -> Tensor:
    return torch.randn(policy.config.chunk_size, policy.config.action_dim, generator=robot.generator)


def _batch(policy: Policy, observation: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    wanted = dict(policy.config.input_shapes) | ({TASK: (MAX_WORDS,)} if policy.config.language else {})
    device = next(policy.parameters()).device
    batch = {}
    for key, shape in wanted.items():
        if key not in observation:
            raise UsageError(f"the policy needs '{key}'; the observation has {', '.join(sorted(observation))}")
        value = np.asarray(observation[key])
        if value.shape[1:] != shape:
            raise UsageError(
                f"the policy was trained on '{key}' of shape {shape}, the observation's is {value.shape[1:]}"
            )
        tensor = torch.from_numpy(np.ascontiguousarray(value))
        batch[key] = tensor.to(device) if camera_of(key) or key == TASK else tensor.to(device, torch.float32)
    return batch
