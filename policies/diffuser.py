"""A planner: diffusion over what will be observed and done together, from a known start, to a goal, at a low cost."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from robotics.errors import unknown_name
from robotics.policies.base import ACTION_IS_PAD, Policy, future
from robotics.policies.ddim import LEVELS, add_noise, as_time, ddim_sample
from robotics.policies.denoiser import Condition
from robotics.policies.diffuser_config import DiffuserConfig
from robotics.policies.dit import DENOISERS
from robotics.policies.losses import hold_last, masked_mse
from robotics.policies.observation_encoder import ObservationEncoder
from robotics.vocabulary import ACTION


@dataclass(frozen=True)
class Plan:
    """What is going to happen, in physical units: observations, key -> (B, H, D), and actions (B, H, A)."""

    observations: dict[str, Tensor]
    actions: Tensor


#: Differentiable cost (B,) of a plan: what guidance descends.
Cost = Callable[[Plan], Tensor]


class Diffuser(Policy):
    """Diffuser: plans observations and actions together, from a start to a goal at a low cost (Janner et al. 2022).

    Trajectories [vector inputs, action] (B, H, S + A) come from noise; step h holds what is seen and done at h. The
    start is written over the noise at every step of sampling, as is a goal at the end: inpainting. Images and
    instructions condition the network; they are not planned. As a policy it does the actions of its plan; as a planner
    it hands out the observations too, for a controller to track.
    """

    config: DiffuserConfig

    def __init__(self, config: DiffuserConfig) -> None:
        super().__init__(config)
        sizes = {**config.vector_dims, ACTION: config.action_dim}
        ends = accumulate(sizes.values())
        #: Where each key stands in a trajectory, and how wide that is.
        self.columns = {key: slice(end - size, end) for (key, size), end in zip(sizes.items(), ends, strict=True)}
        self.width = sum(sizes.values())
        self.future_inputs = tuple(config.vector_dims)
        self.observation = ObservationEncoder(config)
        self.denoiser = DENOISERS[config.backbone](config, self.width)

    def encode(self, observation: Mapping[str, Tensor]) -> Condition:
        """What the denoiser needs to know of an observation."""
        return self.denoiser.condition(self.observation(observation, self.normalizer))

    def loss(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Squared error of the denoised trajectory, normalised, where it was not given."""
        is_pad = batch[ACTION_IS_PAD]
        columns = {key: batch[future(key)] for key in self.future_inputs} | {ACTION: batch[ACTION]}
        parts = [hold_last(self.normalizer.normalize(key, values), is_pad) for key, values in columns.items()]
        trajectory = torch.cat(parts, dim=2)
        given = self._given(len(trajectory), trajectory.device)
        level = torch.randint(LEVELS, (len(trajectory),), device=trajectory.device)
        noisy = add_noise(trajectory, torch.randn_like(trajectory), level)
        stained = trajectory + self.config.input_noise * torch.randn_like(trajectory)  # as the encoder's inputs are
        noisy = torch.where(given, stained, noisy)
        predicted = self.denoiser(noisy, as_time(level), self.encode(batch))
        error = masked_mse(torch.where(given, trajectory, predicted), trajectory, is_pad)
        return error, {"mse": error.detach()}

    def predict_chunk(self, observation: Mapping[str, Tensor], generator: torch.Generator | None = None) -> Tensor:
        return self.plan(observation, generator=generator).actions

    def plan(
        self,
        observation: Mapping[str, Tensor],
        *,
        goal: Mapping[str, Tensor] | None = None,
        cost: Cost | None = None,
        guidance: float = 0.1,
        generator: torch.Generator | None = None,
    ) -> Plan:
        """A trajectory that begins at `observation` and, with `goal`, ends where it says.

        Args:
            goal: vector input -> value (B, D) at the last step; any subset of them.
            cost: descended once per evaluation of the network, on the denoised plan, by `guidance` times its gradient
                in normalised units; the network mends in the next evaluations what that breaks.
            generator: of the initial noise, zero without.

        Raises UsageError for a goal that is no vector input.
        """
        known, values = self._known(observation, goal or {})
        condition, shape = self.encode(observation), values.shape
        noise = torch.zeros(shape, device=values.device)
        if generator is not None:
            noise = torch.randn(shape, generator=generator, device=generator.device).to(values.device)

        def network(noisy: Tensor, time: Tensor) -> Tensor:
            predicted = self.denoiser(torch.where(known, values, noisy), time, condition).float()
            if cost is not None:
                predicted = predicted - guidance * self._slope(cost, torch.where(known, values, predicted))
            return torch.where(known, values, predicted)

        trajectory = ddim_sample(network, noise, self.config.evaluations, "sample")
        return self._physical(torch.where(known, values, trajectory))

    def _known(self, observation: Mapping[str, Tensor], goal: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """What is given (B, H, S + A) and its normalised values."""
        for key in goal:
            if key not in self.future_inputs:
                raise unknown_name("goal", key, self.future_inputs)
        start = torch.cat([self.normalizer.normalize(key, observation[key]) for key in self.future_inputs], dim=1)
        values = start.new_zeros(len(start), self.config.chunk_size, self.width)
        known = torch.zeros_like(values, dtype=torch.bool)
        values[:, 0, : start.shape[1]], known[:, 0, : start.shape[1]] = start, True
        for key, columns in self.columns.items():
            if key in goal:
                values[:, -1, columns], known[:, -1, columns] = self.normalizer.normalize(key, goal[key]), True
        return known, values

    def _given(self, count: int, device: torch.device) -> Tensor:
        """What training gives (B, H, S + A): the start always, the end of each input as often as configured."""
        given = torch.zeros(count, self.config.chunk_size, self.width, dtype=torch.bool, device=device)
        for key in self.future_inputs:
            columns = self.columns[key]
            given[:, -1, columns] = (torch.rand(count, device=device) < self.config.goal_probability)[:, None]
            given[:, 0, columns] = True
        return given

    def _slope(self, cost: Cost, trajectory: Tensor) -> Tensor:
        """Gradient of the cost by the normalised trajectory."""
        with torch.enable_grad():
            leaf = trajectory.detach().requires_grad_()
            return torch.autograd.grad(cost(self._physical(leaf)).sum(), leaf)[0]

    def _physical(self, trajectory: Tensor) -> Plan:
        parts = {key: self.normalizer.denormalize(key, trajectory[..., place]) for key, place in self.columns.items()}
        return Plan({key: parts[key] for key in self.future_inputs}, parts[ACTION])
