"""The architecture of plain behaviour cloning."""

from dataclasses import dataclass
from typing import ClassVar

from robotics.errors import UsageError
from robotics.policies.base import PolicyConfig, require_positive


@dataclass(frozen=True, kw_only=True)
class BCConfig(PolicyConfig):
    """A multilayer perceptron; one action at a time unless `chunk_size` says more."""

    type: ClassVar[str] = "bc"

    chunk_size: int = 1
    n_action_steps: int = 1
    dim: int = 64
    """Width of the token of each input."""
    hidden: int = 1024
    """Width of the hidden layers (robomimic's)."""
    layers: int = 2
    """Number of the hidden layers (robomimic's)."""
    dropout: float = 0.0
    """Dropout behind each hidden layer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "dim", "hidden", "layers")
        if self.dim % 4:
            raise UsageError(f"dim {self.dim} must be a multiple of 4")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout is {self.dropout}; it must be in [0, 1)")
