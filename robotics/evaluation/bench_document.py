"""What `robotics bench` wrote, read again: checked, so that whoever shows it or compares it can rely on it."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robotics.errors import DataError
from robotics.evaluation.circumstances import circumstances
from robotics.outputs import read_json

_BENCH_KEYS = {"env", "policy", "episodes", "success_rate", "success_ci95", "return_mean"}
_EPISODE_KEYS = {"seed", "success", "return", "length"}


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


def read_bench(path: Path) -> Bench:
    """The document in `path`; DataError naming the file and what is wrong with it."""
    document = read_json(path)
    require(isinstance(document, dict) and document.keys() >= _BENCH_KEYS, path, "no bench document")
    require(isinstance(document["env"], str), path, f"env is {document['env']!r}, no name")
    episodes = document["episodes"]
    require(isinstance(episodes, list) and episodes, path, "lists no episodes")
    for number, episode in enumerate(episodes):
        _check_episode(path, number, episode)
    require(_is_number(document["return_mean"]), path, f"return_mean is {document['return_mean']!r}, no number")
    rate, interval = document["success_rate"], document["success_ci95"]
    if rate is not None or interval is not None:
        require(_is_rate(rate), path, f"success_rate is {rate!r}, no number within 0 … 1")
        pair = isinstance(interval, list) and len(interval) == 2 and all(map(_is_rate, interval))
        require(pair and interval[0] <= rate <= interval[1], path, f"success_ci95 is {interval!r}, no interval")
    for name in ("policy_ms", "faults", "versions"):
        require(isinstance(document.get(name) or {}, dict), path, f"{name} is no table")
    require_circumstances(path, document)
    return Bench(path.name, document)


def require_circumstances(path: Path, document: dict[str, Any]) -> None:
    """DataError for what `circumstances` can not read."""
    tables = {name: document.get(name) or {} for name in ("execution", "target", "calibration")}
    for name, table in tables.items():
        require(isinstance(table, dict), path, f"{name} is no table")
    require(isinstance(tables["target"].get("values", {}), dict), path, "target.values is no table")
    require(isinstance(document.get("device") or "", str), path, f"device is {document.get('device')!r}, no name")


def _check_episode(path: Path, number: int, episode: Any) -> None:
    keys = ", ".join(sorted(_EPISODE_KEYS))
    require(isinstance(episode, dict) and episode.keys() >= _EPISODE_KEYS, path, f"episode {number} lacks {keys}")
    success, numbers = episode["success"], (episode["return"], episode["length"])
    require(success is None or isinstance(success, bool), path, f"success of episode {number} is {success!r}")
    require(all(map(_is_number, numbers)), path, f"return or length of episode {number} is no number")


def require(condition: Any, path: Path, defect: str) -> None:
    if not condition:
        raise DataError(f"{path}: {defect}")


def _is_number(value: Any) -> bool:
    """Whether `value` is a number that a float can hold; not NaN."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_rate(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1
