"""One evaluation of a policy for several robots at once: what they see and what each was promised -> chunks."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from robotics.errors import UsageError
from robotics.policies.base import Policy, PolicyConfig
from robotics.policies.language import MAX_WORDS, TASK
from robotics.policies.playback import Playback
from robotics.policies.real_time import continued_sample, guided_sample, prefix_weights
from robotics.policies.schedule import Schedule
from robotics.policies.standstill import DEVIATION
from robotics.vocabulary import ACTION, ENVIRONMENT_STATE, camera_of


def predict_chunks(
    policy: Policy, schedule: Schedule, observation: Mapping[str, np.ndarray], robots: Sequence[Playback]
) -> np.ndarray:
    """Chunks float32 (B, H, A) in physical units for observations (B, *shape) of `robots` that ask for one.

    Each robot draws its noise from its own generator, so that what it gets does not depend on the others, but for the
    rounding of batched matrix products. Raises UsageError naming the key when the observation is not what the policy
    was trained on; keys that the policy does not know are ignored.
    """
    device = next(policy.parameters()).device
    batch = _batch(policy.config, observation, device)
    with torch.no_grad():
        if schedule.unstick is not None:
            batch |= _unstuck(policy, batch, robots)
        if not hasattr(policy, "sample"):
            return policy.predict_chunk(batch).cpu().numpy()
        shape = (policy.config.chunk_size, policy.config.action_dim)
        noise = torch.stack([torch.randn(shape, generator=robot.generator) for robot in robots]).to(device)
        if schedule.real_time:
            chunk = _continue(policy, schedule, policy.encode(batch), noise, robots)
        else:
            chunk = policy.sample(policy.encode(batch), noise)
        return policy.normalizer.denormalize(ACTION, chunk.float()).cpu().numpy()


def _continue(
    policy: Policy, schedule: Schedule, condition: object, noise: Tensor, robots: Sequence[Playback]
) -> Tensor:
    """Normalised chunks (B, H, A) that go on from what the robots were promised; free ones for those that begin."""
    promised = [robot.promised() for robot in robots]
    begun = torch.tensor([actions is not None for actions in promised], device=noise.device)
    zeros = np.zeros(noise.shape[1:], np.float32)
    wanted = np.stack([zeros if actions is None else actions for actions in promised])
    target = policy.normalizer.normalize(ACTION, torch.from_numpy(wanted).to(noise))
    network = partial(policy.velocity, condition=condition)
    evaluations = policy.config.evaluations
    if schedule.mode == "rtc_training":
        return continued_sample(network, noise, target, begun * schedule.delay, evaluations)
    weights = prefix_weights(schedule.chunk_size, schedule.delay, schedule.steps, schedule.masking).to(noise)
    return guided_sample(network, noise, target, begun[:, None] * weights, evaluations, schedule.max_guidance)


def _unstuck(policy: Policy, batch: Mapping[str, Tensor], robots: Sequence[Playback]) -> dict[str, Tensor]:
    """The vector inputs, with noise for the robots around which nothing moves; none where there is none."""
    dims = policy.config.vector_dims
    deviation = DEVIATION[policy.config.normalization]
    parts = {key: policy.normalizer.normalize(key, batch[key]) / deviation for key in dims}
    seen = torch.cat(list(parts.values()), dim=1)
    noise = [robot.noise(row) for robot, row in zip(robots, parts.get(ENVIRONMENT_STATE, seen), strict=True)]
    if not any(noise):
        return {}
    rows = [
        row + shake * torch.randn(row.shape, generator=robot.generator).to(row) if shake else row
        for robot, row, shake in zip(robots, seen, noise, strict=True)
    ]
    shaken = (deviation * torch.stack(rows)).split(list(dims.values()), dim=1)
    return {key: policy.normalizer.denormalize(key, part) for key, part in zip(dims, shaken, strict=True)}


def _batch(config: PolicyConfig, observation: Mapping[str, np.ndarray], device: torch.device) -> dict[str, Tensor]:
    wanted = dict(config.input_shapes) | ({TASK: (MAX_WORDS,)} if config.language else {})
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
