"""How much of the gap to hidden twins is closed by identifying them and training anew: the loop, over many twins.

    OMP_NUM_THREADS=1 .venv/bin/python scripts/benchmarks/closed_fraction.py [--task TransferCube] [--work DIR]

DiT-flow of the preset `small` with fewer steps (success in simulation is 98 to 100 %), 50 demonstrations; twins of
seeds 1, 2, … . On each twin, on the same seeds: `before` learned in the simulation as it is, without randomisation;
`medium` in worlds of half the registry's ranges, nothing identified (in worlds of all of them the expert itself fails
nine times of ten, and there is little to learn from); `identified` in the one world that 120 s of logs tell of (30 s of
them are fitted, from the nominal values alone); `after` in worlds around it; `oracle` in the twin itself. Closed is
(p_arm - p_before) / (p_oracle - p_before), means over all twins, those where nothing was lost included; its interval
has twins and seeds drawn again. What is in --work is not made again.
"""

import argparse
import os
import shutil
import time
from pathlib import Path
from typing import Any

from provenance import provenance, publish, rows_of

from robotics.datasets.collect import collect
from robotics.sim2real.closing import closed_over
from robotics.sim2real.loop import Request, real2sim2real
from robotics.sim2real.twin import make_twin
from robotics.training.train import train

TASKS = ("TransferCube", "PickPlace")
ARMS = ("before", "medium", "identified", "after", "oracle")
DEMONSTRATIONS = 50
#: So much of the logs is fitted [s]: it takes minutes a twin.
FITTED_S = 30.0
#: Twins are sealed with it, so that the same call draws the same ones.
KEY = "closed fraction"


def given(env_id: str, steps: int, work: Path, workers: int) -> Path:
    """The policy that the loop begins with: it learned in the simulation as it is."""
    data, run = work / "demonstrations", work / "before"
    collect(env_id, DEMONSTRATIONS, 0, data, workers=workers, resume=data.exists())
    options = {"steps": steps, "save_every": steps, "device": "cpu"}
    begun = (run / "checkpoints" / "last").exists()
    train("dit", data, run, training_options=options, resume=begun, overwrite=run.exists() and not begun)
    return run


def on_twin(seed: int, env_id: str, run: Path, options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """The loop's document for one twin."""
    twin, out = work / f"twin{seed}.json", work / f"loop{seed}"
    if not twin.exists():
        make_twin(env_id, options.severity, seed, twin, key=KEY)
    for part in ("demonstrations", "runs"):  # training in worlds at random knows nothing of the twin: once is enough
        first = work / "loop1" / part / "medium"
        if first.exists() and not (out / part / "medium").exists():
            shutil.copytree(first, out / part / "medium", symlinks=True)
    request = Request(
        env_id,
        str(run),
        f"twin:{twin}",
        fit_seconds=FITTED_S,
        starts=0,
        compare=("medium", "identified", "oracle"),
        episodes=options.episodes,
        workers=options.workers,
        copies=50,
    )
    return real2sim2real(request, out, resume=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=TASKS, default=TASKS[0])
    parser.add_argument("--severity", choices=["mild", "medium", "hard"], default="medium")
    parser.add_argument("--twins", type=int, default=10)
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--work", type=Path, default=Path("runs/closed_fraction"), help="where everything is kept")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    os.environ["ROBOTICS_TWIN_KEY"] = KEY
    env_id, work, commit, started = (
        f"robotics/{options.task}-v0",
        options.work / options.task,
        provenance()["commit"],
        time.monotonic(),
    )
    work.mkdir(parents=True, exist_ok=True)
    run = given(env_id, options.steps, work, options.workers)
    documents = []
    for seed in range(1, options.twins + 1):
        documents.append(on_twin(seed, env_id, run, options, work))
        print(seed, {name: documents[-1]["arms"][name]["target"]["rate"] for name in ARMS}, flush=True)
    targets = [document["arms"] for document in documents]
    row = {
        "severity": options.severity,
        "twins": len(targets),
        "episodes": options.episodes,
        "training_steps": options.steps,
        "in_simulation": targets[0]["before"]["sim"]["rate"],
        "success": {
            name: {
                "mean": round(sum(arms[name]["target"]["rate"] for arms in targets) / len(targets), 4),
                "by_twin": [round(arms[name]["target"]["rate"], 4) for arms in targets],
            }
            for name in ARMS
        },
        "closed": {name: closed_over(targets, name) for name in ("medium", "identified", "after")},
        "minutes": round((time.monotonic() - started) / 60, 1),
        "commit": commit,
    }
    publish("closed_fraction", {"rows": rows_of("closed_fraction", TASKS, **{options.task: row})})


if __name__ == "__main__":
    main()
