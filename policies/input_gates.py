"""Which numbers of an observation matter: learned, because a few demonstrations do not show that the others do not."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class InputGates(nn.Module):
    r"""A learned factor on every number of every vector input, under the penalty :math:`\lambda \sum_i |g_i|`.

    Fifty demonstrations see fifty places of each object, too few to tell what an action depends on from what merely
    differed: a network learns that as well, and misses by centimetres where things lie otherwise. The penalty sends to
    zero what can be done without, and what is left generalises. After "deep feature selection" (Li, Chen and Wasserman,
    J. Comput. Biol. 23, 2016).
    """

    def __init__(self, sizes: Sequence[int], weight: float) -> None:
        super().__init__()
        self.weight = weight
        self.factors = nn.ParameterList(nn.Parameter(torch.ones(size)) for size in sizes)

    def forward(self, vectors: Sequence[Tensor]) -> list[Tensor]:
        """The vectors (B, D), each times its factors (D,)."""
        return [vector * factor for vector, factor in zip(vectors, self.factors, strict=True)]

    def penalty(self) -> Tensor:
        """What they add to the loss."""
        return self.weight * torch.cat(list(self.factors)).abs().sum()
