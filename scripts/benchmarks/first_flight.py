"""Start-up, the expert's closed loop and the collection of demonstrations: the first numbers of the README.

    OMP_NUM_THREADS=1 .venv/bin/python scripts/benchmarks/first_flight.py

Medians of 5 runs. The real-time factor counts simulated seconds per second of physics, whole-body control and planning
on one core; the collection uses two processes.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from provenance import publish

from robotics.datasets.collect import collect
from robotics.evaluation.bench import bench

ENV = "robotics/TransferCube-v0"
RUNS = 5


def seconds(*command: str) -> float:
    """Median wall time of a command [s]."""
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return round(median(times), 3)


def realtime_factor(mode: str) -> float:
    """Simulated over wall time of ten episodes of the expert in this process."""
    factors = []
    for run in range(RUNS):
        document = bench(ENV, "expert", 10, 1_000_000 + 10 * run, env_kwargs={"action_mode": mode})
        steps = sum(episode["length"] for episode in document["episodes"])
        factors.append(steps / document["control_hz"] / sum(episode["wall_s"] for episode in document["episodes"]))
    return round(median(factors), 2)


def collection_s() -> float:
    """Wall time of 50 demonstrations, state only, two processes [s]."""
    times = []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            collect(ENV, 50, 0, Path(folder) / "data", workers=2)
            times.append(time.perf_counter() - started)
    return round(median(times), 1)


if __name__ == "__main__":
    program = str(Path(sys.executable).with_name("robotics"))
    bare = seconds(sys.executable, "-c", "pass")
    publish(
        "first_flight",
        {
            "import_robotics_s": round(seconds(sys.executable, "-c", "import robotics") - bare, 3),
            "robotics_help_s": seconds(program, "--help"),
            "expert_realtime_factor": {mode: realtime_factor(mode) for mode in ("joint", "ee")},
            "collect_50_s": collection_s(),
        },
    )
