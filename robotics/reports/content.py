"""What a report shows of a folder: read from its files, checked, and never made up."""

import base64
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robotics.datasets.video import count_frames
from robotics.errors import DataError
from robotics.evaluation.bench_document import Bench, read_bench, require, require_circumstances
from robotics.outputs import read_json
from robotics.training.metrics import METRICS, read_metrics
from robotics.training.run_folder import CONFIG, Standing, read_run, standing

#: What is shown of the learning curve: the losses, by whichever name, and their titles, ...
LOSSES = {
    "loss": "training loss",
    "train_loss": "training loss",
    "train_critic_loss": "critic loss",
    "train_actor_loss": "actor loss",
}
#: ... and the rollouts during training.
RETURN, SUCCESS = "eval_return", "eval_success_rate"


@dataclass(frozen=True)
class Video:
    """One film as a data URL, with what its side file says about it."""

    file: str
    url: str
    about: dict[str, Any]


@dataclass(frozen=True)
class RunContent:
    """What there is to show of one folder; empty parts are said to be empty."""

    name: str
    path: str
    config: dict[str, Any] | None
    benches: list[Bench]
    metrics: list[dict[str, Any]]
    videos: list[Video] = field(default_factory=list)
    standing: Standing | None = None

    def logged(self, name: str) -> bool:
        """Whether the learning curve has any number of this name."""
        return any(name in line for line in self.metrics)


def read_content(folder: Path) -> RunContent:
    """Everything a report shows of `folder`: a run, or any folder with bench documents or videos.

    Raises DataError naming the folder or file when there is nothing to report, or when something is damaged.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    benches = [read_bench(path) for path in sorted(folder.glob("bench*.json"))]
    videos = [read_video(path) for path in sorted((folder / "videos").glob("*.mp4"))]
    config = _read_config(folder) if (folder / CONFIG).is_file() else None
    metrics = _read_curve(folder / METRICS) if (folder / METRICS).is_file() else []
    if not (benches or videos or config or metrics):
        raise DataError(
            f"{folder}: nothing to report ({CONFIG}, {METRICS}, bench*.json and videos/*.mp4 are all missing)"
        )
    return RunContent(folder.resolve().name, str(folder), config, benches, metrics, videos, standing(folder))


def _read_config(folder: Path) -> dict[str, Any]:
    config = read_run(folder)
    for name in ("data", "policy", "training"):
        require(isinstance(config[name], dict), folder / CONFIG, f"{name} is no table")
    require(
        isinstance(config["policy"].get("input_shapes", {}), dict), folder / CONFIG, "policy.input_shapes is no table"
    )
    for name in ("steps", "time_budget_s"):
        value = config["training"].get(name)
        require(value is None or isinstance(value, int | float), folder / CONFIG, f"training.{name} is {value!r}")
    paths = config["data"].get("path")
    require(
        paths is None or isinstance(paths, str | list),
        folder / CONFIG,
        f"data.path is {paths!r}, no path or list of them",
    )
    known = config["data"].get("fingerprint", [])
    counts = ("episodes", "frames")
    tables = isinstance(known, list) and all(
        isinstance(one, dict) and all(isinstance(one.get(name, 0), int) for name in counts) for one in known
    )
    require(tables, folder / CONFIG, "data.fingerprint is no list of tables, one per dataset")
    return config


def _read_curve(path: Path) -> list[dict[str, Any]]:
    """The lines of the learning curve. A loss of NaN is no defect of the file: training diverged."""
    lines = read_metrics(path)
    for line in lines:
        for name in (*LOSSES, RETURN, SUCCESS):
            value = line.get(name, 0.0)
            require(_can_be_drawn(value), path, f"{name} at step {line['step']} is {str(value)[:40]!r}, no number")
    return lines


def _can_be_drawn(value: Any) -> bool:
    """Whether `value` is a number, NaN included, that a float can hold."""
    return isinstance(value, float) or (isinstance(value, int) and abs(value) <= sys.float_info.max)


def read_video(path: Path) -> Video:
    """A film and what its side file says; DataError for one without pictures."""
    side = path.with_suffix(".json")
    about = read_json(side) if side.is_file() else {}
    require(isinstance(about, dict), side, "does not describe a video")
    require_circumstances(side, about)
    require(count_frames(path), path, "holds no frames")
    data = base64.b64encode(path.read_bytes()).decode()
    return Video(path.name, f"data:video/mp4;base64,{data}", about)
