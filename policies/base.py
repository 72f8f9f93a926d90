"""What every policy is: a configuration, a loss, and a chunk of actions from an observation."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from robotics.errors import UsageError
from robotics.policies.documents import CAME_LATER
from robotics.policies.normalization import Mode, Normalizer
from robotics.vocabulary import ACTION, IMAGE_PREFIX, camera_of

#: Marks, in a batch, the actions (B, H) that lie behind the end of their episode. LeRobot's name.
ACTION_IS_PAD = "action_is_pad"


def future(key: str) -> str:
    """The batch key of an observation's values (B, H, D) at the steps of the chunk."""
    return f"{key}.future"


@dataclass(frozen=True, kw_only=True)
class PolicyConfig:
    """What a policy sees and does. Families add their architecture."""

    type: ClassVar[str]

    input_shapes: dict[str, tuple[int, ...]]
    """LeRobot name -> shape of one observation: (d,) for vectors, (h, w, 3) for images."""
    action_dim: int
    """Numbers per action."""
    chunk_size: int
    """Actions predicted at once [control steps]."""
    n_action_steps: int
    """Actions executed before the next prediction [control steps]."""
    fps: float | None = None
    """Control rate of the data [Hz]: a chunk means nothing at another one."""
    robot_type: str | None = None
    """Robot of the data."""
    action_mode: str | None = None
    """What the actions of the data mean, in the environment's words."""
    normalization: Mode = "mean_std"
    """How vectors and actions are normalised."""
    language: bool = False
    """Whether the policy reads the instruction, `task`: one model for several tasks."""
    input_noise: float = 0.0
    """Noise on vector inputs in training [standard deviations of the data, or half ranges with min_max]."""
    input_sparsity: float = field(default=0.0, metadata=CAME_LATER)
    """Weight of a penalty on learned factors of all numbers of vector inputs, which leaves only those that matter; 0
    learns none."""
    shared_backbone: bool = True
    """One image network for all cameras, or one each."""
    image_stride: Literal[16, 32] = field(default=32, metadata=CAME_LATER)
    """How many pixels a cell of the image network's map spans. 32 is ResNet-18; 16 leaves out its last stage, for small
    images, of which 32 leaves nine cells of 96x96."""
    random_shift: int = 0
    """Largest random shift of an image in training [pixels]."""
    colour_jitter: float = 0.0
    """Largest random change of brightness, contrast and saturation in training [fraction]."""

    def __post_init__(self) -> None:
        if not self.input_shapes:
            raise UsageError("a policy needs at least one input")
        for key, shape in self.input_shapes.items():
            wanted = "(h, w, 3)" if camera_of(key) else "(d,)"
            right = len(shape) == 3 and shape[2] == 3 if camera_of(key) else len(shape) == 1
            if not right or min(shape) < 1:
                picture = len(shape) == 3 and not camera_of(key)
                cure = f"; name a picture {IMAGE_PREFIX}CAMERA, or leave it out with --inputs" if picture else ""
                raise UsageError(f"input '{key}' has shape {shape}; a policy takes {wanted}{cure}")
        require_positive(self, "action_dim", "chunk_size", "n_action_steps")
        if self.image_stride not in (16, 32):
            raise UsageError(f"image_stride is {self.image_stride}; it must be 16 or 32")
        if self.n_action_steps > self.chunk_size:
            raise UsageError(f"n_action_steps {self.n_action_steps} exceeds chunk_size {self.chunk_size}")
        require_not_negative(self, "input_noise", "input_sparsity", "random_shift")
        if not 0 <= self.colour_jitter < 1:
            raise UsageError(f"colour_jitter is {self.colour_jitter}; it must be in [0, 1)")

    @property
    def vector_dims(self) -> dict[str, int]:
        """Dimension of every input that is no image."""
        return {key: shape[0] for key, shape in self.input_shapes.items() if not camera_of(key)}

    @property
    def image_shapes(self) -> dict[str, tuple[int, ...]]:
        """(h, w, 3) of every camera."""
        return {key: shape for key, shape in self.input_shapes.items() if camera_of(key)}


class Policy(nn.Module, ABC):
    """Observation -> chunk. Takes and returns physical units; normalises inside."""

    future_inputs: tuple[str, ...] = ()
    """Vector inputs of which training also needs the values along the chunk, `future(key)` of the batch (B, H, D)."""

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self.config = config
        self.normalizer = Normalizer({**config.vector_dims, ACTION: config.action_dim}, config.normalization)

    @classmethod
    def from_config(cls, config: PolicyConfig) -> "Policy":
        return cls(config)

    def fit_normalizer(self, columns: Mapping[str, np.ndarray]) -> None:
        """Take the statistics of every vector input and of the action from columns (N, D)."""
        for key in (*self.config.vector_dims, ACTION):
            self.normalizer.fit(key, columns[key])

    def forward(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss. Training calls the module, so that data-parallel wrappers see it."""
        return self.loss(batch)

    @abstractmethod
    def loss(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The scalar to minimise and its terms, detached.

        `batch`: observations (B, *shape), `action` (B, H, A), `action_is_pad` (B, H), and with `language` also `task`,
        int64 (B, MAX_WORDS); what is padded does not matter.
        """

    @abstractmethod
    def predict_chunk(self, observation: Mapping[str, Tensor], generator: torch.Generator | None = None) -> Tensor:
        """Actions (B, H, A) in physical units, from observations (B, *shape); images uint8 (B, h, w, 3).

        A policy that samples draws from `generator`; without one it takes the noise's mean, so that it repeats itself.
        """


def require_positive(config: PolicyConfig, *names: str) -> None:
    """UsageError naming the first of these fields that is below one."""
    for name in names:
        if getattr(config, name) < 1:
            raise UsageError(f"{name} is {getattr(config, name)}; it must be at least 1")


def require_not_negative(config: PolicyConfig, *names: str) -> None:
    """UsageError naming the first of these fields that is below zero or no number."""
    for name in names:
        if not 0 <= getattr(config, name) < math.inf:
            raise UsageError(f"{name} is {getattr(config, name)}; it must not be negative, nor infinite")


def require_whole_queries(chunk_size: int, actions_per_query: int) -> None:
    """UsageError naming the nearest lengths that would do, when a chunk is no whole number of queries."""
    rest = chunk_size % actions_per_query
    if rest:
        fitting = [length for length in (chunk_size - rest, chunk_size - rest + actions_per_query) if length]
        raise UsageError(
            f"chunk_size {chunk_size} must be a multiple of actions_per_query {actions_per_query}: "
            f"{' or '.join(map(str, fitting))}"
        )
