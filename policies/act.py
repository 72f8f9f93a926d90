"""ACT: a CVAE whose decoder is a transformer from observation tokens to a chunk of actions (Zhao et al. 2023)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from robotics.policies.act_config import ActConfig
from robotics.policies.act_posterior import Posterior
from robotics.policies.base import ACTION_IS_PAD, Policy
from robotics.policies.losses import gaussian_kl, masked_l1
from robotics.policies.observation_tokens import ObservationTokens
from robotics.policies.transformer import Decoder, Encoder
from robotics.vocabulary import ACTION, STATE


class Act(Policy):
    """Action Chunking with Transformers: a chunk of actions from one look at the observation (Zhao et al. 2023).

    Tokens [z, state, environment state, image cells] -> encoder -> one decoder query per action.
    """

    config: ActConfig

    def __init__(self, config: ActConfig) -> None:
        super().__init__(config)
        self.observation = ObservationTokens(config, config.dim)
        if config.latent_dim:
            self.posterior = Posterior(config)
            self.latent = nn.Linear(config.latent_dim, config.dim)
            self.latent_position = nn.Parameter(torch.randn(1, config.dim))
        width = (config.dim, config.heads, config.feed_forward, config.dropout, config.pre_norm)
        self.encoder = Encoder(config.encoder_layers, *width)
        self.decoder = Decoder(config.decoder_layers, *width)
        self.queries = nn.Parameter(torch.randn(config.chunk_size // config.actions_per_query, config.dim))
        self.head = nn.Linear(config.dim, config.actions_per_query * config.action_dim)
        for module in (self.encoder, self.decoder):
            _initialise(module)

    def loss(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Masked L1 on normalised actions, plus the weighted KL of the style variable."""
        actions, is_pad = self.normalizer.normalize(ACTION, batch[ACTION]), batch[ACTION_IS_PAD]
        if not self.config.latent_dim:
            l1 = masked_l1(self._decode(batch, None), actions, is_pad)
            return l1 + self.observation.penalty(), {"l1": l1.detach()}
        state = self.normalizer.normalize(STATE, batch[STATE]) if STATE in self.config.input_shapes else None
        mean, log_variance = self.posterior(state, actions, is_pad)
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        l1 = masked_l1(self._decode(batch, z), actions, is_pad)
        kl = gaussian_kl(mean, log_variance, is_pad)
        return l1 + self.config.kl_weight * kl + self.observation.penalty(), {"l1": l1.detach(), "kl": kl.detach()}

    def predict_chunk(self, observation: Mapping[str, Tensor], generator: torch.Generator | None = None) -> Tensor:
        z = None
        if self.config.latent_dim:
            first = observation[next(iter(self.config.input_shapes))]
            z = torch.zeros(len(first), self.config.latent_dim, device=first.device)
        return self.normalizer.denormalize(ACTION, self._decode(observation, z).float())

    def _decode(self, observation: Mapping[str, Tensor], z: Tensor | None) -> Tensor:
        """Normalised actions (B, H, A)."""
        tokens, positions = self.observation(observation, self.normalizer)
        if z is not None:
            tokens = torch.cat([self.latent(z)[:, None], tokens], dim=1)
            positions = torch.cat([self.latent_position, positions])
        memory = self.encoder(tokens, positions)
        # DETR and ACT start the decoder from zeros, which makes its first self-attention a constant whose query and key
        # weights never learn (all values are equal). Starting from the queries themselves puts them to use.
        queries = self.queries.expand(len(memory), -1, -1)
        return (
            self.head(self.decoder(queries, self.queries, memory, positions))
            .unflatten(2, (-1, self.config.action_dim))
            .flatten(1, 2)
        )


def _initialise(module: nn.Module) -> None:
    """Xavier on every matrix of the transformers, as DETR."""
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
