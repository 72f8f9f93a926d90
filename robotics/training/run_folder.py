"""What a run folder says about itself, without loading anything heavy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robotics.errors import DataError, UsageError
from robotics.outputs import read_json

CONFIG = "config.json"
#: Of a checkpoint: what going on needs beside the policy, and in it, where the training stood.
STATE_FOLDER, COUNTERS = "training_state", "state.json"


def read_run(run: Path) -> dict[str, Any]:
    """The `config.json` of a run folder; DataError when there is none or it is another program's."""
    document = read_json(run / CONFIG)
    if not isinstance(document, dict) or not {"family", "data", "policy", "training"} <= document.keys():
        raise DataError(f"{run / CONFIG}: does not describe a training run")
    return document


@dataclass(frozen=True)
class Standing:
    """Where a training stands: the steps taken and the seconds spent, over all calls."""

    step: int
    elapsed_s: float


def standing(run: Path) -> Standing | None:
    """Where the last checkpoint of `run` left the training; None before the first."""
    states = map(_standing, run.glob(f"checkpoints/[0-9]*/{STATE_FOLDER}/{COUNTERS}"))
    return max(states, key=lambda state: state.step, default=None)


def require_steps_ahead(run: Path, steps: int, before: int) -> None:
    """UsageError for `steps` that `run` is beyond, other than the `before` that it was told last."""
    found = standing(run)
    if found is not None and steps < found.step and steps != before:
        raise UsageError(
            f"--steps {steps}: {run} has taken {found.step} steps already; give more, or leave --steps out"
        )


def _standing(path: Path) -> Standing:
    return Standing(**read_counters(path, step=int, elapsed_s=float))


def read_counters(path: Path, **kinds: type) -> dict[str, Any]:
    """The numbers of these names and kinds in a checkpoint's state.json; DataError where one is missing."""
    document = read_json(path)
    try:
        return {name: kind(document[name]) for name, kind in kinds.items()}
    except (KeyError, TypeError, ValueError):
        raise DataError(f"{path}: does not say where the training stood") from None


def run_of(folder: Path) -> Path | None:
    """The run folder that `folder` (a run, a checkpoint or a `pretrained_model` folder) belongs to, if any."""
    for parent in (folder.resolve(), *folder.resolve().parents):
        if (parent / CONFIG).is_file() and (parent / "checkpoints").is_dir():
            return parent
    return None


def training_seeds(folder: Path) -> tuple[int, ...]:
    """Seeds behind a checkpoint, from the run folder above it; none for a checkpoint that was moved out of its run."""
    run = run_of(folder)
    if run is None:
        return ()
    try:
        return tuple(int(seed) for seed in read_run(run)["data"].get("seeds", []))
    except (AttributeError, TypeError, ValueError):
        raise DataError(f"{run / CONFIG}: its list of seeds is damaged") from None
