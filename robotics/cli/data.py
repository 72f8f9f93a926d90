"""`robotics data check|repair|info`: whether a dataset can be trusted, making it so, and what it is."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from robotics.errors import DataError

Folder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")]


@dataclass(frozen=True)
class CheckOptions:
    """Test every invariant of a dataset; exit code 1 when one is violated, warnings where only statistics differ."""

    data: Folder
    """Folder of the dataset."""
    json: bool = False
    """Print one JSON document."""


@dataclass(frozen=True)
class RepairOptions:
    """Keep the sound episodes of a dataset, number them anew, rebuild its description, put all else into rejected/."""

    data: Folder
    """Folder of the dataset. In the episodes of --dagger-rounds only what comes before the first unsound one is kept.
    After an interruption, call it again."""
    json: bool = False
    """Print one JSON document."""


@dataclass(frozen=True)
class InfoOptions:
    """What a dataset holds and where it comes from: who acted, how disturbed, in which worlds."""

    data: Folder
    """Folder of the dataset."""
    json: bool = False
    """Print one JSON document."""


def run_check(options: CheckOptions) -> None:
    from robotics.datasets.check import Report, check

    try:
        report = check(options.data)
    except DataError as error:
        if not options.json:
            raise
        report = Report(options.data, 0, 0, [str(error)])
    if options.json:
        _print_json(
            data=str(options.data),
            ok=not report.problems,
            episodes=report.episodes,
            frames=report.frames,
            problems=report.problems,
            warnings=report.warnings,
        )
    else:
        for line in [*(f"warning: {w}" for w in report.warnings), *(f"problem: {p}" for p in report.problems)]:
            print(line)
    if report.problems:
        raise DataError(f"{options.data}: {_count(report.problems, 'problem')}; see `robotics data repair`")
    if not options.json:
        print(f"{options.data}: ok, {report.episodes} episodes, {report.frames} frames")


def run_repair(options: RepairOptions) -> None:
    from robotics.datasets.repair import repair

    done = repair(options.data)
    if options.json:
        _print_json(data=str(options.data), kept=done.kept, steps=done.steps)
        return
    for step in done.steps:
        print(step)
    print(f"{options.data}: {done.kept} episodes" + ("" if done.steps else ", nothing to repair"))


def run_info(options: InfoOptions) -> None:
    from robotics.datasets.origin import origin_in_words
    from robotics.datasets.reader import Dataset

    dataset = Dataset.open(options.data)
    document = _description(dataset)
    if options.json:
        _print_json(**document)
        return
    document |= origin_in_words(dataset.provenance)
    features = document.pop("features")
    for name, value in document.items():
        print(f"{name:<14}{value}")
    for key, feature in features.items():
        print(f"  {key:<34}{feature['dtype']:<8} {tuple(feature['shape'])}")


def _description(dataset: Any) -> dict[str, Any]:
    from robotics.datasets.origin import target_of

    origin = dataset.provenance
    return {
        "data": str(dataset.root),
        "env": origin.get("env"),
        "env_kwargs": origin.get("env_kwargs", {}),
        "robot_type": dataset.robot_type,
        "tasks": dataset.tasks,
        "episodes": len(dataset.episodes),
        "frames": dataset.info.frames,
        "fps": dataset.fps,
        "duration_s": round(dataset.info.frames / dataset.fps, 3),
        "policy": origin.get("policy"),
        "first_seed": origin.get("seed"),
        "hardest_of": origin.get("hardest_of") or 1,
        "noise": origin.get("noise", 0.0),
        "calibration": origin.get("calibration"),
        "randomisation": origin.get("randomisation"),
        "target": target_of(origin),
        "failed_seeds": origin.get("failed_seeds", []),
        "bytes": sum(path.stat().st_size for path in dataset.root.rglob("*") if path.is_file()),
        "features": {key: {"dtype": f["dtype"], "shape": f["shape"]} for key, f in dataset.features.items()},
    }


def _count(things: list[str], name: str) -> str:
    return f"{len(things)} {name}{'s' if len(things) != 1 else ''}"


def _print_json(**document: Any) -> None:
    print(json.dumps({"schema": 1, **document}, indent=2))


SUBCOMMANDS = {
    "check": (CheckOptions, run_check),
    "repair": (RepairOptions, run_repair),
    "info": (InfoOptions, run_info),
}
