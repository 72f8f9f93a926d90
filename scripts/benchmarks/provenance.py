"""What every benchmark result carries: the command, the commit and the machine it was made on."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from robotics.versions import versions

RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).resolve().parents[2]


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, cwd=RESULTS.parent).stdout.rstrip()


#: What of the code is in no commit (results and text are no code), and the commit, marked then: as they are when a
#: benchmark begins, for the tree may change while it runs.
CHANGED = [
    line[3:]
    for line in _git("status", "--porcelain", "--", ":/", ":!/scripts/benchmarks/results", ":!/*.md").splitlines()
]
COMMIT = _git("rev-parse", "HEAD") + ("+changes" if CHANGED else "")


def _unlike_the_commit() -> str | None:
    """Why what is measured is not what the commit holds, and what helps."""
    for package in ("robotics", "robotics.envs"):
        spec = find_spec(package)
        found = Path(spec.origin or "").resolve().parent if spec else None
        if found != ROOT / package.rpartition(".")[2]:
            return f"{package} is that of {found}; install this tree (pip install -e .) in an environment of its own"
    if CHANGED:
        return f"uncommitted changes to {', '.join(CHANGED[:3])}; commit first, or measure in a clean clone"
    return None


UNLIKE = _unlike_the_commit()
if UNLIKE:
    print(f"warning: nothing will be kept in results/: {UNLIKE}", file=sys.stderr)


def provenance() -> dict[str, Any]:
    """Command, commit, machine and versions."""
    return {
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "commit": COMMIT,
        "machine": {"cpu": _cpu(), "cores": len(os.sched_getaffinity(0)), "system": platform.platform()},
        "versions": versions(),
    }


def publish(
    name: str, result: dict[str, Any], order: Iterable[str] | None = None, **tables: dict[str, dict[str, Any]]
) -> None:
    """Print the document and keep it as results/<name>.json.

    `tables` are what may be measured in several calls: a row of theirs gets the commit of this call, and the rows of
    the earlier document that are not measured anew stay, each with its own. `order` is that of the table `rows`, which
    then holds no others.
    SystemExit, the document printed and the file as it was, when what was measured is not what the commit holds, or
    when an earlier row does not say its commit.
    """
    merged = {}
    for table, fresh in tables.items():
        rows = rows_of(name, table) | {key: {**row, "commit": COMMIT} for key, row in fresh.items()}
        merged[table] = {key: rows[key] for key in (order if order and table == "rows" else rows) if key in rows}
    text = json.dumps({**result, **merged, **provenance()}, indent=2)
    print(text)
    left = f"error: results/{name}.json stays as it was:"
    if UNLIKE:
        raise SystemExit(f"{left} {UNLIKE}")
    unsaid = [key for rows in merged.values() for key, row in rows.items() if "commit" not in row]
    if unsaid:
        raise SystemExit(f"{left} its rows {', '.join(unsaid)} do not say their commit: measure them too, or add it")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n")


def rows_of(name: str, table: str = "rows") -> dict[str, dict[str, Any]]:
    """The rows that results/<name>.json has in a table; none where there is no such document or table."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()).get(table, {}) if path.exists() else {}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
