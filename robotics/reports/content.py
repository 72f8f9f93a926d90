"""What a report shows of a folder: read from its files, checked, and never made up."""

import base64
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robotics.datasets.video import count_frames
from robotics.errors import DataError
from robotics.evaluation.circumstances import circumstances
from robotics.outputs import read_json
from robotics.training.metrics import METRICS, read_metrics
from robotics.training.run_folder import CONFIG, Standing, read_run, standing

_BENCH_KEYS = {"env", "policy", "episodes", "success_rate", "success_ci95", "return_mean"}
_EPISODE_KEYS = {"seed", "success", "return", "length"}
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
class Bench:
    """One bench document and the file it comes from."""

    file: str
    document: dict[str, Any]

    @property
    def label(self) -> str:
        """What tells it apart from others of the same policy."""
        policy = str(self.document.get("policy_label") or Path(str(self.document["policy"])).name)
        return " · ".join([policy, *circumstances(self.document)])

    @property
    def successes(self) -> int:
        return sum(bool(episode["success"]) for episode in self.document["episodes"])


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
    benches = [_read_bench(path) for path in sorted(folder.glob("bench*.json"))]
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
        _require(isinstance(config[name], dict), folder / CONFIG, f"{name} is no table")
    _require(
        isinstance(config["policy"].get("input_shapes", {}), dict), folder / CONFIG, "policy.input_shapes is no table"
    )
    known = config["data"].get("fingerprint", [])
    counts = ("episodes", "frames")
    tables = isinstance(known, list) and all(
        isinstance(one, dict) and all(isinstance(one.get(name, 0), int) for name in counts) for one in known
    )
    _require(tables, folder / CONFIG, "data.fingerprint is no list of tables, one per dataset")
    return config


def _read_curve(path: Path) -> list[dict[str, Any]]:
    """The lines of the learning curve. A loss of NaN is no defect of the file: training diverged."""
    lines = read_metrics(path)
    for line in lines:
        for name in (*LOSSES, RETURN, SUCCESS):
            value = line.get(name, 0.0)
            _require(isinstance(value, int | float), path, f"{name} at step {line['step']} is {value!r}, no number")
    return lines


def _read_bench(path: Path) -> Bench:
    document = read_json(path)
    _require(isinstance(document, dict) and document.keys() >= _BENCH_KEYS, path, "no bench document")
    episodes = document["episodes"]
    _require(isinstance(episodes, list) and episodes, path, "lists no episodes")
    for number, episode in enumerate(episodes):
        _check_episode(path, number, episode)
    _require(_is_number(document["return_mean"]), path, f"return_mean is {document['return_mean']!r}, no number")
    rate, interval = document["success_rate"], document["success_ci95"]
    if rate is not None or interval is not None:
        _require(_is_rate(rate), path, f"success_rate is {rate!r}, no number within 0 … 1")
        pair = isinstance(interval, list) and len(interval) == 2 and all(map(_is_rate, interval))
        _require(pair and interval[0] <= rate <= interval[1], path, f"success_ci95 is {interval!r}, no interval")
    for name in ("policy_ms", "faults", "versions"):
        _require(isinstance(document.get(name) or {}, dict), path, f"{name} is no table")
    _require_circumstances(path, document)
    return Bench(path.name, document)


def _require_circumstances(path: Path, document: dict[str, Any]) -> None:
    """DataError for what `circumstances` can not read."""
    tables = {name: document.get(name) or {} for name in ("execution", "target", "calibration")}
    for name, table in tables.items():
        _require(isinstance(table, dict), path, f"{name} is no table")
    _require(isinstance(tables["target"].get("values", {}), dict), path, "target.values is no table")


def _check_episode(path: Path, number: int, episode: Any) -> None:
    keys = ", ".join(sorted(_EPISODE_KEYS))
    _require(isinstance(episode, dict) and episode.keys() >= _EPISODE_KEYS, path, f"episode {number} lacks {keys}")
    success, numbers = episode["success"], (episode["return"], episode["length"])
    _require(success is None or isinstance(success, bool), path, f"success of episode {number} is {success!r}")
    _require(all(map(_is_number, numbers)), path, f"return or length of episode {number} is no number")


def _require(condition: Any, path: Path, defect: str) -> None:
    if not condition:
        raise DataError(f"{path}: {defect}")


def _is_number(value: Any) -> bool:
    """Whether `value` is a number that a float can hold; not NaN."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_rate(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def read_video(path: Path) -> Video:
    """A film and what its side file says; DataError for one without pictures."""
    side = path.with_suffix(".json")
    about = read_json(side) if side.is_file() else {}
    _require(isinstance(about, dict), side, "does not describe a video")
    _require_circumstances(side, about)
    _require(count_frames(path), path, "holds no frames")
    data = base64.b64encode(path.read_bytes()).decode()
    return Video(path.name, f"data:video/mp4;base64,{data}", about)
