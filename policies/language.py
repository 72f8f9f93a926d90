"""Instructions as numbers: hashed bags of words, so that no text model and no vocabulary file is needed."""

import re
import zlib
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

#: Batch and observation key of an instruction, and how many words of it count.
TASK = "task"
MAX_WORDS = 64
#: Rows of the embedding; row 0 is padding. Fifty words get along without sharing one in three of four vocabularies.
BUCKETS = 4096


def word_ids(text: str) -> np.ndarray:
    """int64 (MAX_WORDS,): the words of `text` and its pairs of neighbours as buckets 1 … BUCKETS − 1, then zeros.

    Upper case and punctuation do not matter. The pairs keep "red on blue" from meaning "blue on red". CRC-32, unlike
    `hash`, gives the same numbers in every process.
    """
    words = re.findall(r"\w+", text.lower())
    terms = [*words, *(f"{first} {second}" for first, second in pairwise(words))]
    ids = np.zeros(MAX_WORDS, dtype=np.int64)
    for place, term in enumerate(terms[:MAX_WORDS]):
        ids[place] = 1 + zlib.crc32(term.encode()) % (BUCKETS - 1)
    return ids


class InstructionToken(nn.Module):
    """Word ids (B, MAX_WORDS) to one token (B, 1, D): the mean of the words' vectors, through a linear layer."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.words = nn.Embedding(BUCKETS, dim)
        self.project = nn.Linear(dim, dim)
        self.position = nn.Parameter(torch.randn(1, dim))

    def forward(self, observation: Mapping[str, Tensor]) -> Tensor:
        ids = observation[TASK]
        there = (ids > 0).unsqueeze(-1).to(self.words.weight.dtype)
        mean = (self.words(ids) * there).sum(dim=1) / there.sum(dim=1).clamp(min=1.0)
        return self.project(mean)[:, None]
