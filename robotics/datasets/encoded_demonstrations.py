"""Demonstrations that come out of the processes which made them as a dataset's files hold them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from robotics.datasets.demonstration import Demonstration
from robotics.datasets.encoding import EncodedColumns, encode_frames
from robotics.datasets.features import Features
from robotics.errors import DataError
from robotics.workers import Job


@dataclass(frozen=True)
class EncodedDemonstration:
    """A `Demonstration` without its frames, and what they became: None where there were none."""

    seed: int
    success: bool
    task: str
    columns: EncodedColumns | None


@dataclass(frozen=True)
class Encoding:
    """A worker's job: the demonstrations of another job, encoded where they are made, for a dataset of `features`."""

    job: Job[Demonstration]
    features: Features
    fps: int

    @contextmanager
    def open(self) -> Iterator[Callable[[int], EncodedDemonstration]]:
        with self.job.open() as demonstrate:
            yield lambda seed: self._encoded(demonstrate(seed))

    def _encoded(self, done: Demonstration) -> EncodedDemonstration:
        try:
            columns = encode_frames(self.features, done.frames, self.fps) if done.frames else None
        except DataError as error:
            raise DataError(f"episode of seed {done.seed}: {error}") from None
        return EncodedDemonstration(done.seed, done.success, done.task, columns)
