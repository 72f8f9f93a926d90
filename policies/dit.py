"""The diffusion transformer: one network, four ways to train and sample it."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from robotics.errors import UsageError
from robotics.policies.adaln import AdaLnDenoiser
from robotics.policies.base import ACTION_IS_PAD, Policy
from robotics.policies.ddim import LEVELS, ddim_loss, ddim_sample
from robotics.policies.denoiser import Condition, Denoiser
from robotics.policies.dit_config import Backbone, DiTConfig
from robotics.policies.flow import Network, flow_loss, flow_sample, given_prefix, velocity
from robotics.policies.in_context import InContextDenoiser
from robotics.policies.losses import hold_last
from robotics.policies.mip import mip_loss, mip_sample, regression_loss, regression_sample
from robotics.policies.observation_encoder import ObservationEncoder
from robotics.vocabulary import ACTION

DENOISERS: dict[Backbone, type[Denoiser]] = {"adaln": AdaLnDenoiser, "in_context": InContextDenoiser}


class DiT(Policy):
    """Diffusion transformer: a chunk of actions from noise, by flow, ddim, mip or regression on one network.

    The observation is encoded once per chunk; the denoiser runs `evaluations` times.
    """

    config: DiTConfig

    def __init__(self, config: DiTConfig) -> None:
        super().__init__(config)
        self.observation = ObservationEncoder(config)
        self.denoiser = DENOISERS[config.backbone](config, config.action_dim)

    def encode(self, observation: Mapping[str, Tensor]) -> Condition:
        """What the denoiser needs to know of an observation."""
        return self.denoiser.condition(self.observation(observation, self.normalizer))

    def velocity(self, noisy: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """d(actions)/dt (B, H, A), normalised; time (B,) or (B, H) in [0, 1] from noise to action. Flow only."""
        if self.config.objective != "flow":
            raise UsageError(f"a policy trained by {self.config.objective} has no velocity; train it with flow")
        return velocity(self._network(condition), noisy, time)

    def sample(self, condition: Condition, noise: Tensor, steps: int | None = None) -> Tensor:
        """Normalised actions (B, H, A) from noise of that shape, in `steps` evaluations or the configured number."""
        network, steps = self._network(condition), steps or self.config.evaluations
        match self.config.objective:
            case "flow":
                return flow_sample(partial(self.velocity, condition=condition), noise, steps)
            case "ddim":
                return ddim_sample(network, noise, steps, self.config.prediction)
            case "mip":
                return mip_sample(network, torch.zeros_like(noise))
            case _:
                return regression_sample(network, torch.zeros_like(noise))

    def loss(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The objective's own error on normalised actions."""
        draws, is_pad = self.config.noise_draws, batch[ACTION_IS_PAD]
        actions = hold_last(self.normalizer.normalize(ACTION, batch[ACTION]), is_pad)
        actions, is_pad = actions.repeat_interleave(draws, 0), is_pad.repeat_interleave(draws, 0)
        loss = self._objective(self._network(self.encode(batch).repeat(draws)), actions, is_pad)
        return loss + self.observation.tokens.penalty(), {self.config.objective: loss.detach()}

    def predict_chunk(self, observation: Mapping[str, Tensor], generator: torch.Generator | None = None) -> Tensor:
        condition = self.encode(observation)
        shape = (len(condition.context), self.config.chunk_size, self.config.action_dim)
        device = condition.context.device
        if generator is None:
            noise = torch.zeros(shape, device=device)
        else:
            noise = torch.randn(shape, generator=generator, device=generator.device).to(device)
        return self.normalizer.denormalize(ACTION, self.sample(condition, noise).float())

    def _network(self, condition: Condition) -> Network:
        return partial(self.denoiser, condition=condition)

    def _objective(self, network: Network, actions: Tensor, is_pad: Tensor) -> Tensor:
        noise, count, device = torch.randn_like(actions), len(actions), actions.device
        match self.config.objective:
            case "flow":
                time, ignored = torch.rand(count, device=device), is_pad
                if self.config.max_delay:
                    delay = torch.randint(self.config.max_delay + 1, (count,), device=device)
                    time, given = given_prefix(time, delay, actions.shape[1])
                    ignored = is_pad | given
                return flow_loss(network, actions, noise, time, ignored, self.config.flow_error)
            case "ddim":
                level = torch.randint(LEVELS, (count,), device=device)
                return ddim_loss(network, actions, noise, level, is_pad, self.config.prediction)
            case "mip":
                return mip_loss(network, actions, noise, is_pad)
            case _:
                return regression_loss(network, actions, is_pad)
