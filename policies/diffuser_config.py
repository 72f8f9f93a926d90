"""The architecture of the planner that diffuses observations and actions together."""

from dataclasses import dataclass
from typing import ClassVar

from robotics.errors import UsageError
from robotics.policies.dit_config import BackboneConfig


@dataclass(frozen=True, kw_only=True)
class DiffuserConfig(BackboneConfig):
    """Diffusion over joint trajectories (Janner et al. 2022, "Planning with Diffusion", arXiv 2205.09991)."""

    type: ClassVar[str] = "diffuser"

    chunk_size: int = 32
    n_action_steps: int = 16
    sampling_steps: int | None = 8
    """Network evaluations per plan."""
    goal_probability: float = 0.5
    """How often training gives the last value of an input, each by itself, so that it can be a goal."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.vector_dims:
            raise UsageError("diffuser plans vectors; --inputs must name one that is no image")
        if self.normalization != "min_max":
            raise UsageError(f"diffuser clips to [-1, 1] and needs normalization min_max, not {self.normalization}")
        if self.input_sparsity:
            raise UsageError("diffuser plans every number of its inputs: it has no use for input_sparsity")
        if not 0 <= self.goal_probability <= 1:
            raise UsageError(f"goal_probability is {self.goal_probability}; it must be within 0 … 1")

    @property
    def evaluations(self) -> int:
        """Network evaluations per plan."""
        return self.sampling_steps or 8
