"""What every benchmark result carries: the command, the commit and the machine it was made on."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from robotics.versions import versions

RESULTS = Path(__file__).parent / "results"


def provenance() -> dict[str, Any]:
    """Command, commit (with a mark when anything but results was changed), machine and versions."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], capture_output=True, text=True, cwd=Path(__file__).parent
        ).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":!/scripts/benchmarks/results")
    return {
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "commit": git("rev-parse", "HEAD") + ("+changes" if changed else ""),
        "machine": {"cpu": _cpu(), "cores": len(os.sched_getaffinity(0)), "system": platform.platform()},
        "versions": versions(),
    }


def publish(name: str, result: dict[str, Any]) -> None:
    """Print the document and keep it as results/<name>.json."""
    document = {**result, **provenance()}
    text = json.dumps(document, indent=2)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(text)


def rows_of(name: str, order: Iterable[str], **fresh: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The rows of results/<name>.json and the `fresh` ones, which replace older ones, in the given order."""
    path = RESULTS / f"{name}.json"
    rows = (json.loads(path.read_text())["rows"] if path.exists() else {}) | fresh
    return {key: rows[key] for key in order if key in rows}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
