"""Expert demonstrations into a dataset: N successful episodes, whatever the number of workers."""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from robotics.datasets.demonstration import Source
from robotics.datasets.encoded_demonstrations import Encoding
from robotics.datasets.features import Features, features_of
from robotics.datasets.folder_lock import FolderLock
from robotics.datasets.joint_names import joint_names
from robotics.datasets.layout import INFO, PROVENANCE
from robotics.datasets.reader import read_provenance
from robotics.datasets.size import episode_bytes, episodes_there
from robotics.datasets.writer import DatasetWriter
from robotics.environments import observation_spaces
from robotics.errors import DataError, RoboticsError, UsageError
from robotics.outputs import prepare_folder, require_free, require_room, require_writable, write_json
from robotics.progress import progress
from robotics.sim2real.calibrated import CalibratedWorld
from robotics.sim2real.drawing import Draw
from robotics.versions import versions
from robotics.workers import in_order

#: Seeds of training and demonstrations; development evaluation begins behind them.
SEED_LIMIT = 1_000_000
#: What two settings may take to be shown in an error [characters]: worlds of an identification are thousands of values.
LONGEST_DIFFERENCE = 400
#: Frames of an episode where the environment announces no limit.
UNKNOWN_LENGTH = 1000
IMAGE_DTYPES = {"video": "video", "png": "image"}


@dataclass(frozen=True)
class Collected:
    """What `collect` did: episodes in the dataset, frames in it, and the seeds whose attempt failed."""

    episodes: int
    frames: int
    failed_seeds: list[int]


def collect(
    env_id: str,
    episodes: int,
    seed: int,
    out: Path,
    *,
    workers: int = 1,
    env_kwargs: dict[str, Any] | None = None,
    images: str = "video",
    noise: float = 0.0,
    hardest_of: int = 1,
    randomisation: Draw | None = None,
    calibration: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> Collected:
    """Let the expert of `env_id` try seeds `seed`, `seed` + 1, … until `episodes` of its attempts are in `out`.

    With `hardest_of` it tries one of every so many seeds, that with the most left to do. Failed attempts are left out
    and counted. Every episode is committed when it is complete, so an interrupted call leaves a readable dataset that
    `resume` continues. Files are the same bytes whatever `workers` (processes).

    Args:
        images: `video` (H.264) or `png` (in the data files).
        noise: standard deviation of the disturbance of executed actions, as a fraction of their range (see `noise.py`).
        hardest_of: seeds that an attempt chooses from, by the environment's `left_to_do`.
        randomisation: draws the world of every attempt from its seed (see `sim2real.drawing`).
        calibration: the model that an identification found, instead of the nominal one.

    Raises UsageError for what can not be asked, RoboticsError when too many attempts fail.
    """
    attempts = _attempts(episodes, seed, workers, images, noise, hardest_of)
    kwargs = dict(env_kwargs or {})
    origin = _origin(Source(env_id, kwargs, noise, randomisation, hardest_of), seed, images)
    if calibration is not None:
        if randomisation is not None:
            raise UsageError(f"--calibration {calibration} contradicts --randomise: each is a world of its own")
        kwargs["world"], about = CalibratedWorld.to_learn_in(calibration, env_id, kwargs)
        origin["calibration"] = {**about, "parameters": dict(kwargs["world"].values)}
    source, folder = Source(env_id, kwargs, noise, randomisation, hardest_of), (out, "dataset", (INFO, PROVENANCE))
    with source.demonstrator() as demonstrator:
        env = demonstrator.env
        features = features_of(observation_spaces(env), env.action_space, IMAGE_DTYPES[images], joint_names(env))
        fps, robot_type = demonstrator.fps, demonstrator.robot_type
        require_free(*folder, resume=resume, overwrite=overwrite)
        there, each = episodes_there(out) if resume else (0, 0.0)
        each = each or episode_bytes(env, features, seed, fps, demonstrator.frame_limit or UNKNOWN_LENGTH)
        require_room(out, each * (episodes - there), "the dataset", overwrite=overwrite)
    require_writable(out)
    with FolderLock(out) as lock:  # before anything is removed: another process may be writing there
        prepare_folder(*folder, resume=resume, overwrite=overwrite)
        if resume and not any(out.iterdir()):
            print(f"note: --resume: {out} holds no dataset, so a new one begins", file=sys.stderr)
        with _open_writer(out, lock, fps, features, robot_type, origin) as writer:
            journal = _Journal(writer, origin)
            _fill(writer, journal, source, episodes, attempts, workers)
            return Collected(writer.info.episodes, writer.info.frames, journal.failed)


class _Journal:
    """Which seeds became episodes and which failed, as meta/robotics.json keeps them."""

    def __init__(self, writer: DatasetWriter, origin: dict[str, Any]) -> None:
        before = read_provenance(writer.root)
        self._root, self._origin = writer.root, origin
        # A commit that was interrupted may have noted its seed already; a failure behind the last episode is retried.
        self.seeds: list[int] = before.get("seeds", [])[: writer.info.episodes]
        self.failed: list[int] = [s for s in before.get("failed_seeds", []) if self.seeds and s < self.seeds[-1]]

    @property
    def next_seed(self) -> int:
        """The first seed that no attempt has looked at."""
        first, each = int(self._origin["seed"]), self._origin["hardest_of"] or 1
        return first + ((self.seeds[-1] - first) // each + 1) * each if self.seeds else first

    def document(self) -> dict[str, Any]:
        return {**self._origin, "seeds": self.seeds, "failed_seeds": self.failed}

    def save(self) -> None:
        write_json(self._root / PROVENANCE, self.document())


def _fill(writer: DatasetWriter, journal: _Journal, source: Source, episodes: int, attempts: int, workers: int) -> None:
    """Commit successful attempts in the order of their seeds until there are `episodes`."""
    missing = episodes - writer.info.episodes
    if missing <= 0:
        return
    end = int(journal.document()["seed"]) + attempts * source.hardest_of
    seeds = range(journal.next_seed, end, source.hardest_of)
    with (
        in_order(Encoding(source, writer.info.features, writer.info.fps), seeds, min(workers, missing)) as results,
        progress("collect", missing, "episodes") as bar,
    ):
        for result in results:
            if result.columns is None:
                journal.failed.append(result.seed)
                bar.advance(0, note=f"{len(journal.failed)} failed")
                continue
            journal.seeds.append(result.seed)
            writer.commit(result.columns, result.task, journal.document())
            bar.advance()
            if writer.info.episodes == episodes:
                return
    journal.save()
    there, hardship = writer.info.episodes, _hardship(source)
    kept = f"; the successful ones are in {writer.root}" if there else ""
    raise RoboticsError(f"only {there} of {attempts} attempts succeeded, {episodes} were asked for{hardship}{kept}")


def _hardship(source: Source) -> str:
    """What was asked for that makes attempts fail, with the cure."""
    asked = [f"--noise {source.noise:g}"] if source.noise else []
    asked += ["worlds drawn at random"] if source.randomisation is not None else []
    return f" with {' and '.join(asked)}, of which less may help" if asked else ""


def _attempts(episodes: int, seed: int, workers: int, images: str, noise: float, hardest_of: int) -> int:
    """How many attempts there may be; UsageError for numbers out of range."""
    if episodes < 1 or workers < 1:
        raise UsageError(f"--episodes {episodes} and --workers {workers}: both must be at least 1")
    if images not in IMAGE_DTYPES:
        raise UsageError(f"--images {images}: give one of {', '.join(IMAGE_DTYPES)}")
    if not 0 <= noise <= 1:
        raise UsageError(f"--noise {noise}: give a fraction of the action range within 0 … 1")
    if hardest_of < 1:
        raise UsageError(f"--hardest-of {hardest_of}: an attempt looks at 1 seed or more")
    if seed < 0 or seed + episodes * hardest_of > SEED_LIMIT:
        each = f", each the hardest of {hardest_of}" if hardest_of > 1 else ""
        raise UsageError(
            f"--seed {seed} with {episodes} episodes{each}: demonstrations use seeds 0 … {SEED_LIMIT - 1}, the later "
            "ones are kept for evaluation, so that no policy is tested on what it was trained on"
        )
    return min(2 * episodes + 10, (SEED_LIMIT - seed) // hardest_of)


def _open_writer(
    out: Path, lock: FolderLock, fps: int, features: Features, robot_type: str | None, origin: dict[str, Any]
) -> DatasetWriter:
    """A new dataset, or the one in `out` when it comes from the same source; UsageError when it does not."""
    if not (out / INFO).exists():
        if any(out.rglob("*.parquet")):
            raise DataError(f"{out / INFO}: no such file, yet there is data; `robotics data repair {out}` may mend it")
        write_json(out / PROVENANCE, {**origin, "seeds": [], "failed_seeds": []})
        return DatasetWriter.create(out, fps, features, robot_type, lock)
    before = read_provenance(out)
    for name in ("env", "env_kwargs", "seed", "noise", "hardest_of", "images", "randomisation", "calibration"):
        if before.get(name) != origin[name]:
            then, now = repr(before.get(name)), repr(origin[name])
            short = len(then) + len(now) < LONGEST_DIFFERENCE
            difference = f"{name} = {then}, not {now}" if short else f"another {name}"
            raise UsageError(
                f"--resume: {out} was collected with {difference}; give the same settings, or another --out"
            )
    return DatasetWriter.resume(out, lock)


def _origin(source: Source, seed: int, images: str) -> dict[str, Any]:
    return {
        "schema": 1,
        "env": source.env_id,
        "env_kwargs": {k: list(v) if isinstance(v, tuple) else v for k, v in sorted(source.env_kwargs.items())},
        "policy": "expert",
        "seed": seed,
        "noise": source.noise,
        "hardest_of": source.hardest_of if source.hardest_of > 1 else None,
        "images": images,
        "randomisation": None if source.randomisation is None else asdict(source.randomisation),
        "calibration": None,
        "versions": versions("pyarrow", "av"),
    }
