"""The architecture and the objective of the diffusion transformer."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from robotics.errors import UsageError
from robotics.policies.base import PolicyConfig, require_not_negative, require_positive, require_whole_queries
from robotics.policies.ddim import LEVELS, Prediction
from robotics.policies.documents import CAME_LATER
from robotics.policies.flow import FlowError
from robotics.policies.normalization import Mode

Objective = Literal["flow", "ddim", "mip", "regression"]
Backbone = Literal["adaln", "in_context"]

#: Network evaluations per chunk where nothing else is said; mip and regression have no other.
EVALUATIONS: dict[Objective, int] = {"flow": 5, "ddim": 8, "mip": 2, "regression": 1}


@dataclass(frozen=True, kw_only=True)
class BackboneConfig(PolicyConfig):
    """A transformer over noisy tokens. The defaults are those of DiT-Policy (Dasari et al. 2024, arXiv 2410.10088)."""

    chunk_size: int = 100
    n_action_steps: int = 50
    normalization: Mode = "min_max"
    """min_max bounds the actions by [−1, 1], which ddim clips to."""
    backbone: Backbone = "adaln"
    """`adaln`: time and observation modulate every layer. `in_context`: they are tokens, language and images are
    attended to in turn, RMSNorm and QK-norm (RDT-1B, Liu et al. 2024, arXiv 2410.07864)."""
    dim: int = 512
    """Width of the tokens."""
    heads: int = 8
    """Attention heads."""
    feed_forward: int = 2048
    """Hidden width of the feed-forward layers."""
    encoder_layers: int = 6
    """Layers over the observation tokens, run once per chunk; RDT-1B has none."""
    decoder_layers: int = 6
    """Layers over the noisy tokens, run at every evaluation."""
    actions_per_query: int = 1
    """Consecutive actions in one token; more make a short, cheap decoder."""
    dropout: float = 0.1
    """Dropout of every residual branch."""
    sampling_steps: int | None = None
    """Network evaluations per chunk; the objective's own number when None."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "dim", "heads", "feed_forward", "decoder_layers", "actions_per_query")
        require_not_negative(self, "encoder_layers")
        if self.dim % self.heads or self.dim % 4:
            raise UsageError(f"dim {self.dim} must be a multiple of heads {self.heads} and of 4")
        require_whole_queries(self.chunk_size, self.actions_per_query)
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout is {self.dropout}; it must be in [0, 1)")
        if self.backbone == "in_context" and self.language and self.image_shapes and self.decoder_layers < 2:
            raise UsageError("in_context looks at language and images in turn: decoder_layers must be at least 2")
        if self.sampling_steps is not None:
            require_positive(self, "sampling_steps")
            if self.sampling_steps > LEVELS:  # of ddim; and flow divides by nothing smaller than a step of so many
                raise UsageError(f"sampling_steps is {self.sampling_steps}; it must be at most {LEVELS}")


@dataclass(frozen=True, kw_only=True)
class DiTConfig(BackboneConfig):
    """A diffusion transformer for chunks of actions."""

    type: ClassVar[str] = "dit"

    objective: Objective = "flow"
    """How the network is trained and sampled."""
    prediction: Prediction = "sample"
    """What the network of ddim predicts: the actions, or the noise."""
    flow_error: FlowError = field(default="velocity", metadata=CAME_LATER)
    """What flow is trained on: the error of the velocity, or of the actions at its end; the latter learns to see from
    fewer images."""
    noise_draws: int = field(default=1, metadata=CAME_LATER)
    """Noises, each at a time of its own, that every observation is trained with: it is encoded once for all, and an
    image network costs far more than another noise."""
    max_delay: int = 0
    """Training-time real-time chunking (arXiv 2512.05964): up to this many first actions are given in training, so that
    the policy can continue a chunk that is being executed [control steps]; flow only."""

    def __post_init__(self) -> None:
        super().__post_init__()
        fixed = EVALUATIONS[self.objective]
        if self.objective in ("mip", "regression") and self.sampling_steps not in (None, fixed):
            raise UsageError(f"sampling_steps {self.sampling_steps} contradicts {self.objective}, which takes {fixed}")
        if self.objective == "ddim" and self.normalization != "min_max":
            raise UsageError(f"ddim clips to [-1, 1] and needs normalization min_max, not {self.normalization}")
        if self.objective != "ddim" and self.prediction != "sample":
            raise UsageError(f"prediction {self.prediction} belongs to ddim, not to {self.objective}")
        if self.flow_error != "velocity" and self.objective != "flow":
            raise UsageError(f"flow_error {self.flow_error} belongs to flow, not to {self.objective}")
        require_positive(self, "noise_draws")
        if self.noise_draws > 1 and self.objective == "regression":
            raise UsageError(f"noise_draws {self.noise_draws}: regression draws no noise")
        require_not_negative(self, "max_delay")
        if self.max_delay and self.objective != "flow":
            raise UsageError(f"max_delay {self.max_delay} belongs to flow, not to {self.objective}")
        if self.max_delay >= self.chunk_size:
            raise UsageError(f"max_delay {self.max_delay} must be below chunk_size {self.chunk_size}")

    @property
    def evaluations(self) -> int:
        """Network evaluations per chunk."""
        return self.sampling_steps or EVALUATIONS[self.objective]
