"""The whole story in one go: an expert teaches, a policy learns, both are measured, the policy on a hidden twin too,
filmed and reported.

Every stage leaves its result in a folder of its own, so an interrupted demo resumes where it stopped.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robotics.datasets.collect import collect
from robotics.errors import DataError
from robotics.evaluation.bench import bench
from robotics.evaluation.seeds import FIRST_EVALUATION_SEED
from robotics.media.record import Shot, record
from robotics.outputs import prepare_folder, read_json, write_json
from robotics.reports.gap import write_gap_page
from robotics.reports.page import write_report
from robotics.sim2real.gap import GAP, Request, gap
from robotics.sim2real.twin import make_twin
from robotics.training.train import train

ENV = "robotics/TransferCube-v0"
#: What the policy's success is drawn over, one curve each.
GAP_FACTORS = ("command_delay", "joint_friction", "object_mass")
#: Marks a folder as a demo's, and holds its scale.
MARK = "demo.json"


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    demonstrations: int
    steps: int
    episodes: int
    paired: int
    """Seeds on which simulation and hidden twin are compared."""
    size: tuple[int, int]


FULL = Scale(demonstrations=50, steps=12_000, episodes=50, paired=20, size=(480, 640))
#: A smoke test of the way, not of the policy.
FAST = Scale(demonstrations=5, steps=150, episodes=4, paired=2, size=(120, 160))


def demo(out: Path, fast: bool = False, *, resume: bool = False, overwrite: bool = False) -> Path:
    """Run all stages into `out` and return the path of the report; with `resume`, only those that are not done.

    Seeds: demonstrations from 0, evaluation from 1 000 000 on, so that nothing is measured where it was learned.
    """
    prepare_folder(out, "demo", (MARK,), resume=resume, overwrite=overwrite)
    scale = FAST if fast else FULL
    _require_same_scale(out, fast)
    data, run, workers = out / "data", out / "run", min(8, len(os.sched_getaffinity(0)))
    _say("1/6  the expert demonstrates")
    collect(ENV, scale.demonstrations, 0, data, workers=workers, resume=data.exists())
    _say("2/6  a policy learns")
    train("act", data, run, training_options={"steps": scale.steps}, resume=run.exists())
    _say("3/6  both are measured on seeds that nobody learned from")

    def measure(policy: str, name: str) -> dict[str, Any]:
        return _once(
            run / f"bench-{name}.json",
            lambda: bench(ENV, policy, scale.episodes, FIRST_EVALUATION_SEED, workers=workers),
        )

    results = {"expert": measure("expert", "expert"), "policy": measure(str(run), "policy")}
    _say("4/6  the policy on a hidden twin of its robot, and what its success depends on")
    _measure_gap(out, run, scale)
    _say("5/6  films")
    worst, title = worst_episode(results["policy"])
    shots = {
        "1-expert": Shot(ENV, "expert", FIRST_EVALUATION_SEED, size=scale.size, title="The expert"),
        "2-policy": Shot(ENV, str(run), FIRST_EVALUATION_SEED, size=scale.size, title="The policy"),
        "3-worst": Shot(ENV, str(run), worst, size=scale.size, title=title),
    }
    for name, shot in shots.items():
        if not (run / "videos" / f"{name}.json").exists():
            record(shot, run / "videos" / f"{name}.mp4", overwrite=True)
    _say("6/6  the report")
    return write_report([run])


def _measure_gap(out: Path, run: Path, scale: Scale) -> None:
    """A small gap report inside the run, whose page then has a section on it."""
    twin, folder = out / "twin.json", run / "gap"
    if not twin.exists():
        make_twin(ENV, "medium", 0, twin)
    if not (folder / GAP).exists():
        request = Request(
            ENV, (str(run),), f"twin:{twin}", factors=GAP_FACTORS, episodes=scale.paired, copies=scale.paired
        )
        gap(request, folder)
    write_gap_page(folder)


def worst_episode(document: dict[str, Any]) -> tuple[int, str]:
    """Seed and title of the episode to look at first: the failure with the least return, or the slowest success."""
    failed = [episode for episode in document["episodes"] if not episode["success"]]
    if failed:
        worst = min(failed, key=lambda episode: episode["return"])
        return worst["seed"], f"Worst failure of the policy ({len(failed)} of {len(document['episodes'])} failed)"
    slowest = max(document["episodes"], key=lambda episode: episode["length"])
    return slowest["seed"], "The policy's slowest success (none failed)"


def _once(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The document in `path`, made now if it is not there."""
    if not path.exists():
        write_json(path, make())
    return read_json(path)


def _require_same_scale(out: Path, fast: bool) -> None:
    document = _once(out / MARK, lambda: {"schema": 1, "fast": fast})
    if not isinstance(document, dict) or document.get("fast") is not fast:
        raise DataError(f"{out / MARK}: this demo was begun {'without' if fast else 'with'} --fast; resume it so")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
