"""The CVAE encoder of ACT: what style was this demonstration in?"""

import torch
from torch import Tensor, nn

from robotics.policies.act_config import ActConfig
from robotics.policies.positions import sine_1d
from robotics.policies.transformer import Encoder
from robotics.vocabulary import STATE


class Posterior(nn.Module):
    """q(z | state, actions): tokens [CLS, state, a_1 … a_H] to mean and log variance (B, Z).

    Only training looks at it; a policy acts with the mean of the prior, z = 0.
    """

    def __init__(self, config: ActConfig) -> None:
        super().__init__()
        self.summary = nn.Parameter(torch.randn(config.dim))
        state_dim = config.vector_dims.get(STATE)
        self.state = None if state_dim is None else nn.Linear(state_dim, config.dim)
        self.action = nn.Linear(config.action_dim, config.dim)
        self.encoder = Encoder(
            config.encoder_layers, config.dim, config.heads, config.feed_forward, config.dropout, config.pre_norm
        )
        self.head = nn.Linear(config.dim, 2 * config.latent_dim)

    def forward(self, state: Tensor | None, actions: Tensor, is_pad: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised state (B, S), where there is one, and actions (B, H, A), of which `is_pad` do not count."""
        prefix = [self.summary.expand(len(actions), 1, -1)]
        if self.state is not None and state is not None:
            prefix.append(self.state(state)[:, None])
        # Zeroed before the first layer: whatever the padding holds, NaN included, must not reach the others.
        tokens = torch.cat([*prefix, self.action(actions.masked_fill(is_pad[..., None], 0.0))], dim=1)
        is_pad = torch.cat([is_pad.new_zeros(len(actions), len(prefix)), is_pad], dim=1)
        positions = sine_1d(tokens.shape[1], tokens.shape[2], tokens.device)
        mean, log_variance = self.head(self.encoder(tokens, positions, is_pad, wanted=1)[:, 0]).chunk(2, dim=-1)
        return mean, log_variance
