"""What a report shows of a folder: read from its files, checked, and never made up."""

import base64
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robotics.errors import DataError
from robotics.outputs import read_json
from robotics.training.metrics import METRICS, read_metrics
from robotics.training.run_folder import CONFIG, read_run

_BENCH_KEYS = {"env", "policy", "episodes", "success_rate", "return_mean", "return_ci95"}
_EPISODE_KEYS = {"seed", "success", "return", "length"}


@dataclass(frozen=True)
class Bench:
    """One bench document and the file it comes from."""

    file: str
    document: dict[str, Any]

    @property
    def label(self) -> str:
        return str(self.document.get("policy_label") or Path(str(self.document["policy"])).name)

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


def read_content(folder: Path) -> RunContent:
    """Everything a report shows of `folder`: a run, or any folder with bench documents or videos.

    Raises DataError naming the folder or file when there is nothing to report, or when something is damaged.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    benches = [_read_bench(path) for path in sorted(folder.glob("bench*.json"))]
    videos = [_read_video(path) for path in sorted((folder / "videos").glob("*.mp4"))]
    config = read_run(folder) if (folder / CONFIG).is_file() else None
    metrics = read_metrics(folder / METRICS) if (folder / METRICS).is_file() else []
    if not (benches or videos or config or metrics):
        raise DataError(
            f"{folder}: nothing to report ({CONFIG}, {METRICS}, bench*.json and videos/*.mp4 are all missing)"
        )
    return RunContent(folder.resolve().name, str(folder), config, benches, metrics, videos)


def _read_bench(path: Path) -> Bench:
    document = read_json(path)
    if not isinstance(document, dict) or not document.keys() >= _BENCH_KEYS:
        raise DataError(f"{path}: no bench document")
    episodes = document["episodes"]
    if not isinstance(episodes, list) or not episodes:
        raise DataError(f"{path}: lists no episodes")
    for number, episode in enumerate(episodes):
        if not isinstance(episode, dict) or not episode.keys() >= _EPISODE_KEYS:
            raise DataError(f"{path}: episode {number} lacks {', '.join(sorted(_EPISODE_KEYS))}")
    if not _is_number(document["return_mean"]):
        raise DataError(f"{path}: return_mean is {document['return_mean']!r}, no number")
    if document["success_rate"] is not None and not _is_number(document["success_rate"]):
        raise DataError(f"{path}: success_rate is {document['success_rate']!r}, no number")
    return Bench(path.name, document)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _read_video(path: Path) -> Video:
    side = path.with_suffix(".json")
    about = read_json(side) if side.is_file() else {}
    if not isinstance(about, dict):
        raise DataError(f"{side}: does not describe a video")
    data = base64.b64encode(path.read_bytes()).decode()
    return Video(path.name, f"data:video/mp4;base64,{data}", about)
