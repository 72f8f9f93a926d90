"""One self-contained HTML page from runs and bench folders."""

import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from robotics.errors import UsageError
from robotics.evaluation.bench_document import Bench
from robotics.evaluation.circumstances import circumstances
from robotics.evaluation.comparison import Method, compare
from robotics.outputs import write_atomically
from robotics.reports.charts import learning_chart, script, success_chart
from robotics.reports.content import LOSSES, RETURN, SUCCESS, RunContent, read_content
from robotics.reports.gap import DOCUMENT as GAP
from robotics.reports.gap import gap_summary, write_gap_page
from robotics.versions import versions
from robotics.wording import counted

#: A table of the learning curve is for reading, the chart shows the rest.
CURVE_ROWS = 20
#: What it holds, as it was logged; success is shown in percent.
NUMBERS = {**LOSSES, RETURN: "return in rollouts"}


def write_report(folders: Sequence[Path], out: Path | None = None) -> Path:
    """Write the page about `folders` to `out` (default: report.html in the first) and return its path.

    It needs no network and no other file. A folder of `robotics gap` gets a page of its own. Raises UsageError without
    folders, DataError for a folder with nothing to report or a damaged file.
    """
    if not folders:
        raise UsageError("report needs at least one run or folder")
    target = out or folders[0] / "report.html"
    if target.is_dir():
        raise UsageError(f"--out {target} is a folder; give an .html file")
    if gaps := [folder for folder in folders if (folder / GAP).is_file()]:
        if len(folders) > 1:
            raise UsageError(f"{gaps[0]} is a gap report: it has a page of its own, give it alone")
        return write_gap_page(folders[0], target)
    runs = [read_content(folder) for folder in folders]
    write_atomically(target, render(runs))
    return target


def render(runs: list[RunContent]) -> str:
    """The page as text. Everything that comes from files is escaped."""
    environment = Environment(loader=PackageLoader("robotics.reports", "."), autoescape=True, trim_blocks=True)
    environment.filters |= {"percent": _percent, "number": _number}
    environment.filters |= {"circumstances": circumstances, "counted": counted}
    titles = _titles(runs)
    compared = [(title, bench) for title, run in zip(titles, runs, strict=True) for bench in run.benches]
    return environment.get_template("page.html.j2").render(
        sections=[_section(title, run) for title, run in zip(titles, runs, strict=True)],
        compared=compared,
        comparison=Markup(success_chart([(f"{title}: {bench.label}", bench) for title, bench in compared])),
        verdicts=_verdicts(compared),
        plotly=Markup(script()),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        versions=versions(),
    )


def _verdicts(compared: Sequence[tuple[str, Bench]]) -> list[dict[str, Any]]:
    """Every result against the first one of its environment, as `robotics compare` has it."""
    found: list[dict[str, Any]] = []
    for env in dict.fromkeys(bench.document["env"] for _, bench in compared):
        there = [(f"{title}: {bench.label}", bench) for title, bench in compared if bench.document["env"] == env]
        if len(there) > 1:
            found += compare([Method(label, (bench,)) for label, bench in there])["comparisons"]
    return found


def _titles(runs: list[RunContent]) -> list[str]:
    """What each run is called on the page: its name, or its path where another run has the same name."""
    names = Counter(run.name for run in runs)
    return [run.name if names[run.name] == 1 else run.path for run in runs]


def _section(title: str, run: RunContent) -> dict[str, Any]:
    benches = [(bench.label, bench) for bench in run.benches]
    return {
        "title": title,
        "content": run,
        "benches": benches,
        "success": Markup(success_chart(benches)),
        "learning": Markup(learning_chart(run)),
        "numbers": {name: title for name, title in NUMBERS.items() if run.logged(name)},
        "rates": run.logged(SUCCESS),
        "curve": _thinned(run.metrics),
        "gap": gap_summary(Path(run.path) / "gap") if (Path(run.path) / "gap" / GAP).is_file() else None,
        "settings": _settings(run.config, _steps(run)) if run.config else {},
    }


def _thinned(metrics: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """About CURVE_ROWS lines of the learning curve for its table: evenly spaced, every rollout, and the last."""
    every, last = max(1, math.ceil(len(metrics) / CURVE_ROWS)), len(metrics) - 1
    rollout = {RETURN, SUCCESS}
    return [line for i, line in enumerate(metrics) if i % every == 0 or i == last or rollout & line.keys()]


def _steps(run: RunContent) -> str:
    """How many steps were taken, of how many where some are left, and whether it was the time that ended them."""
    assert run.config is not None
    training, found = run.config["training"], run.standing
    wanted, budget = training.get("steps"), training.get("time_budget_s")
    taken = found.step if found else run.metrics[-1]["step"] if run.metrics else 0  # before the first checkpoint
    if wanted is None or taken >= wanted:
        return f"{taken} steps"
    spent = found is not None and budget is not None and found.elapsed_s >= budget
    return f"{taken} of {wanted} steps" + (f" (ended by the time budget of {budget:g} s)" if spent else "")


def _settings(config: dict[str, Any], steps: str) -> dict[str, Any]:
    """What a reader wants to know of a training, one value each."""
    policy, training, data = config["policy"], config["training"], config["data"]
    optimiser = f"{steps}, batch {training.get('batch_size')}, lr {training.get('lr')}"
    if data.get("path") is None:  # learned from reward
        return {
            "policy": f"{config['family']}, {training.get('copies')} copies of {data.get('env')}",
            "inputs": ", ".join(policy.get("interface", {}).get("inputs", {})),
            "optimiser": optimiser,
            "seed": training.get("seed"),
        }
    datasets = data.get("fingerprint", [])
    episodes, frames = (sum(one.get(name, 0) for one in datasets) for name in ("episodes", "frames"))
    paths = data.get("path", [])
    return {
        "policy": f"{config['family']}, preset {config.get('preset')}",
        "inputs": ", ".join(policy.get("input_shapes", {})),
        "chunk": f"{policy.get('chunk_size')} actions, {policy.get('n_action_steps')} executed",
        "demonstrations": f"{counted(episodes, 'episode')}, {counted(frames, 'frame')}",
        "dataset": paths if isinstance(paths, str) else ", ".join(map(str, paths)),
        "optimiser": optimiser,
        "precision": training.get("precision"),
        "seed": training.get("seed"),
    }


def _percent(value: float | None) -> str:
    return "not reported" if value is None else f"{100 * value:.1f} %"


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
