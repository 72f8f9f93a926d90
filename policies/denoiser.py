"""What both networks of the diffusion transformer share: a door for observations, one for noisy tokens."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from robotics.policies.attention import KeysValues
from robotics.policies.dit_config import BackboneConfig
from robotics.policies.observation_encoder import Encoded
from robotics.policies.time_embedding import TimeEmbedding


@dataclass(frozen=True)
class Condition:
    """All that depends on the observation and not on the noise; made once per chunk.

    Attributes:
        context: the summary (B, 1, D) that modulates the layers, or the tokens (B, S, D) that precede the noisy ones.
        memory: keys and values of each layer's cross-attention, None for a layer without one.
    """

    context: Tensor
    memory: tuple[KeysValues | None, ...]

    def repeat(self, times: int) -> "Condition":
        """Each observation's part, so many times in a row."""
        if times == 1:
            return self
        memory = [kv and (kv[0].repeat_interleave(times, 0), kv[1].repeat_interleave(times, 0)) for kv in self.memory]
        return Condition(self.context.repeat_interleave(times, 0), tuple(memory))


class Denoiser(nn.Module, ABC):
    """Noisy chunks (B, H, C) at a time in [0, 1], seen in the light of a condition, to chunks (B, H, C).

    Time is (B,), or (B, H) where the actions of a chunk are not equally noisy. `actions_per_query` consecutive actions
    share a token, and the token their mean time embedding.
    """

    def __init__(self, config: BackboneConfig, channels: int) -> None:
        super().__init__()
        self.channels, self.group = channels, config.actions_per_query
        self.time = TimeEmbedding(config.dim)
        self.embed = perceptron(self.group * channels, nn.Linear(config.dim, config.dim))

    @abstractmethod
    def condition(self, encoded: Encoded) -> Condition:
        """What `forward` needs to know of an observation."""

    @abstractmethod
    def forward(self, noisy: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """(B, H, C) of the same kind as `noisy`, zero before the first step of training."""

    def _tokens(self, noisy: Tensor) -> Tensor:
        return self.embed(noisy.unflatten(1, (-1, self.group)).flatten(2))

    def _chunk(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(2, (self.group, self.channels)).flatten(1, 2)

    def _times(self, time: Tensor) -> Tensor:
        """(B, 1, D) for one time per chunk, (B, Q, D) for one per action."""
        embedded = self.time(time)
        if time.dim() == 1:
            return embedded[:, None]
        return embedded.unflatten(1, (-1, self.group)).mean(dim=2)


def perceptron(inputs: int, last: nn.Linear) -> nn.Sequential:
    """A hidden layer as wide as `last` takes, a GELU, and `last`."""
    return nn.Sequential(nn.Linear(inputs, last.in_features), nn.GELU("tanh"), last)


def zero_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer that gives zero before it has learned anything."""
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
