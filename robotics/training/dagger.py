"""DAgger: in rounds, the policy acts, its expert relabels what it got into, and training goes on with all of it.

Ross, Gordon, Bagnell, "A Reduction of Imitation Learning and Structured Prediction to No-Regret Online Learning", 2011.
The relabelled episodes are a dataset of their own inside the run, `RUN/dagger`, which training adds to the user's: the
user's is never written to, however large. Its provenance is the journal of the rounds. A round begins with a
checkpoint; each of its episodes depends on that checkpoint and the episode's seed alone and is committed when it is
complete, so an interrupted round goes on where it stopped.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

from robotics.datasets.collect import IMAGE_DTYPES, SEED_LIMIT
from robotics.datasets.durable import publish_json
from robotics.datasets.encoded_demonstrations import Encoding
from robotics.datasets.features import Features, features_of
from robotics.datasets.joint_names import joint_names
from robotics.datasets.layout import INFO, PROVENANCE
from robotics.datasets.reader import Dataset, read_provenance
from robotics.datasets.writer import DatasetWriter
from robotics.environments import make_env, observation_spaces, taken_by
from robotics.errors import DataError, UsageError
from robotics.evaluation.agents import environment_options
from robotics.outputs import write_json
from robotics.policies.base import PolicyConfig
from robotics.progress import progress
from robotics.sim2real.drawing import Draw
from robotics.sim2real.draws import draw_of
from robotics.training.config import TrainConfig
from robotics.training.data import INTERVENTION
from robotics.training.relabel import Relabelling
from robotics.training.run_folder import CONFIG, read_run
from robotics.workers import in_order

FOLDER = "dagger"
#: First seed: the upper half of the training range, where demonstrations seldom are.
FIRST_SEED = 500_000


@dataclass(frozen=True)
class Round:
    """One round: the step of the checkpoint that acts in it, its episodes, the expert's share of the blocks."""

    step: int
    episodes: int
    beta: float


@dataclass(frozen=True)
class Source:
    """Where the policy acts, and how its cameras are kept."""

    env_id: str
    env_kwargs: dict[str, Any]
    images: str
    config: PolicyConfig
    randomisation: Draw | None = None


def dagger_source(
    begun: Path | None, datasets: Sequence[Dataset], config: PolicyConfig, training: TrainConfig
) -> Source | None:
    """The environment of `--eval-env`, or the one that the datasets come from, in worlds that are drawn as theirs were;
    None when there are to be no rounds. `begun` is the run that is resumed, whose rounds must be finished.

    Raises UsageError when neither is known, or when the datasets come from different environments or worlds.
    """
    if not training.dagger_rounds and not (begun is not None and (begun / FOLDER).exists()):
        return None
    origins = {str(dataset.provenance["env"]) for dataset in datasets if dataset.provenance.get("env")}
    if training.eval_env is not None:
        origins = {training.eval_env}
    if not origins:
        raise UsageError(
            f"--dagger-rounds: {datasets[0].root} does not say which environment it is of; give --eval-env"
        )
    if len(origins) > 1:
        raise UsageError(f"--dagger-rounds: the datasets are of {' and '.join(sorted(origins))}; choose by --eval-env")
    origin, draw = datasets[0].provenance, draw_of(datasets[0].provenance)
    if any(draw_of(dataset.provenance) != draw for dataset in datasets):
        raise UsageError("--dagger-rounds: the datasets are of worlds drawn differently; train on one of them")
    env_id = origins.pop()
    options = taken_by(env_id, env_options(config, origin))
    return Source(env_id, options, str(origin.get("images", "video")), config, draw)


def env_options(config: PolicyConfig, provenance: dict[str, Any]) -> dict[str, Any]:
    """What to make the environment with: as the data were made, with the cameras that the policy looks through."""
    kwargs = {k: v for k, v in provenance.get("env_kwargs", {}).items() if k not in ("cameras", "image_size")}
    return kwargs | environment_options(config, "the policy")


class Dagger:
    """The rounds of the run folder `run`; seeds in `taken` are not used."""

    def __init__(self, run: Path, source: Source | None, config: TrainConfig, taken: Collection[int]) -> None:
        self._run, self._source, self._config, self._taken = run, source, config, frozenset(taken)
        self.root = run / FOLDER
        self.read()

    def read(self) -> None:
        """Look at what is there."""
        document = read_provenance(self.root) if (self.root / INFO).exists() else {}
        try:
            self._journal = [Round(**entry) for entry in document.get("rounds", [])]
        except TypeError:
            raise DataError(f"{self.root / PROVENANCE}: its list of rounds is damaged") from None

    @property
    def rounds(self) -> list[Round]:
        """The complete rounds."""
        return self._journal[:-1] if self._missing() else self._journal

    @property
    def begin(self) -> int:
        """The step at which training began to use the data of the last complete round; 0 before the first."""
        return self.rounds[-1].step if self.rounds else 0

    def datasets(self) -> list[Dataset]:
        """The relabelled episodes, if there are any."""
        return [Dataset.open(self.root)] if self.rounds else []

    def finish_round(self) -> float:
        """Collect what an interrupted round lacks. Returns how long it took [s]."""
        started = time.monotonic()
        if self._missing():
            self._note()
            self._fill()
        return time.monotonic() - started

    def collect_round(self, step: int) -> float:
        """A whole round, with the checkpoint of `step`, which is the last one. Returns how long it took [s]."""
        started = time.monotonic()
        beta = self._config.dagger_beta ** (len(self._journal) + 1)
        self._journal = [*self._journal, Round(step, self._config.dagger_episodes, beta)]
        if not (self.root / INFO).exists():
            self._create()
        self.finish_round()
        return time.monotonic() - started

    def _create(self) -> None:
        assert self._source is not None
        env = make_env(self._source.env_id, **self._source.env_kwargs)
        try:
            dtype = IMAGE_DTYPES[self._source.images]
            features: Features = features_of(observation_spaces(env), env.action_space, dtype, joint_names(env))
            features[INTERVENTION] = {"dtype": "bool", "shape": [1], "names": None}
            rate, robot = self._source.config.fps, getattr(env.unwrapped, "robot_type", None)
        finally:
            env.close()
        assert rate is not None
        self.root.mkdir(parents=True, exist_ok=True)
        DatasetWriter.create(self.root, int(rate), features, robot)

    def _note(self) -> None:
        """Write down the rounds, and in the run's own document the seeds: nothing may be tested on them."""
        publish_json(self.root / PROVENANCE, self._document())
        document = read_run(self._run)
        document["data"]["seeds"] = sorted({*document["data"].get("seeds", []), *self._seeds()})
        write_json(self._run / CONFIG, document)

    def _document(self) -> dict[str, Any]:
        assert self._source is not None
        source = self._source
        kwargs = {k: list(v) if isinstance(v, tuple) else v for k, v in sorted(source.env_kwargs.items())}
        return {
            "schema": 1,
            "env": source.env_id,
            "env_kwargs": kwargs,
            "policy": "dagger",
            "images": source.images,
            "randomisation": None if source.randomisation is None else asdict(source.randomisation),
            "seeds": self._seeds(),
            "rounds": [asdict(entry) for entry in self._journal],
        }

    def _fill(self) -> None:
        """Commit the episodes that the last round lacks."""
        assert self._source is not None
        missing, last, config = self._missing(), self._journal[-1], self._source.config
        turns = Relabelling(
            self._source.env_id,
            self._source.env_kwargs,
            str(self._run / "checkpoints" / f"{last.step:06d}"),
            last.beta,
            config.n_action_steps,
            config.chunk_size,
            self._source.randomisation,
        )
        seeds = self._seeds()[-missing:]
        solved, number = 0, len(self._journal)
        with (
            DatasetWriter.resume(self.root) as writer,
            in_order(
                Encoding(turns, writer.info.features, writer.info.fps), seeds, min(self._config.eval_workers, missing)
            ) as episodes,
            progress(f"dagger round {number}", missing, "episodes") as bar,
        ):
            for episode in episodes:
                assert episode.columns is not None  # whether the expert succeeds or not
                writer.commit(episode.columns, episode.task, self._document())
                solved += episode.success
                bar.advance(note=f"{solved} solved by both")

    def _missing(self) -> int:
        """Episodes that the journal promises and the dataset does not hold yet."""
        if not self._journal:
            return 0
        return sum(entry.episodes for entry in self._journal) - len(Dataset.open(self.root).episodes)

    def _seeds(self) -> list[int]:
        """Those of all rounds in the journal."""
        wanted = sum(entry.episodes for entry in self._journal)
        free = (seed % SEED_LIMIT for seed in count(FIRST_SEED) if seed % SEED_LIMIT not in self._taken)
        return list(islice(free, wanted))
