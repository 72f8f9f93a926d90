"""The page of a gap report: everything that `robotics gap` measured, its films, and what it does not cover."""

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from robotics.errors import DataError
from robotics.evaluation.agreement import Scores, agreement
from robotics.outputs import read_json, write_atomically
from robotics.reports.charts import script
from robotics.reports.content import read_video
from robotics.reports.gap_charts import arms_chart, blame_chart, curves_chart
from robotics.reports.gap_format import template

#: What `robotics gap` writes, and what is written beside it.
DOCUMENT, PAGE, NUMBERS = "gap.json", "report.html", "gap_numbers.csv"
SCHEMA = 1
_KEYS = {"env", "episodes", "seed", "target", "policies", "not_modelled", "randomisation"}
_POLICY_KEYS = {"label", "sim", "target", "paired", "curves", "attribution", "shift", "verdict", "determinism"}


def write_gap_page(folder: Path, out: Path | None = None) -> Path:
    """Write `out` (default: `folder`/report.html) and gap_numbers.csv from gap.json and videos/*.mp4; returns the page.

    The page needs no network and no other file. DataError for a folder without a gap, or with a damaged one.
    """
    document = read_gap(folder)
    write_atomically(folder / NUMBERS, numbers(document))
    films = [read_video(path) for path in sorted((folder / "videos").glob("*.mp4"))]
    page = template("gap.html.j2").render(
        title=f"Gap of {', '.join(one['label'] for one in document['policies'])} on {document['env']}",
        d=document,
        sections=[_section(one) for one in document["policies"]],
        arms=Markup(arms_chart(document["policies"])),
        agreement=rank_agreement(document),
        films=films,
        plotly=Markup(script()),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    target = out or folder / PAGE
    write_atomically(target, page)
    return target


def read_gap(folder: Path) -> dict[str, Any]:
    """The document in `folder`; DataError naming the file when it is none."""
    path = folder / DOCUMENT
    document = read_json(path)
    if not isinstance(document, dict) or document.get("kind") != "gap" or not document.keys() >= _KEYS:
        raise DataError(f"{path}: no gap report; `robotics gap` makes one")
    if document.get("schema") != SCHEMA:
        raise DataError(f"{path}: a gap report of schema {document.get('schema')}, this version reads {SCHEMA}")
    policies = document["policies"]
    if not isinstance(policies, list) or not policies:
        raise DataError(f"{path}: lists no policies")
    for one in policies:
        if not isinstance(one, dict) or not one.keys() >= _POLICY_KEYS:
            raise DataError(f"{path}: a policy lacks some of {', '.join(sorted(_POLICY_KEYS))}")
    return document


def gap_summary(folder: Path) -> dict[str, Any]:
    """What the page of a run shows of the gap in `folder`; DataError for a damaged one."""
    document = read_gap(folder)
    blamed = [(one["label"], (one["attribution"] or {}).get("groups")) for one in document["policies"]]
    blame = [(label, Markup(blame_chart(groups))) for label, groups in blamed if groups]
    return {
        "d": document,
        "folder": folder,
        "arms": Markup(arms_chart(document["policies"])),
        "blame": [(label, chart) for label, chart in blame if chart],
        "curves": [
            (one["label"], Markup(curves_chart(one["curves"]))) for one in document["policies"] if one["curves"]
        ],
    }


def _section(one: Mapping[str, Any]) -> dict[str, Any]:
    """What the page shows of one policy."""
    blamed = one["attribution"] or {}
    parts = [("groups of factors", blamed.get("groups"))]
    if within := blamed.get("within"):
        parts.append((f"factors within {within['group']}", within))
    return {
        "policy": one,
        "curves": Markup(curves_chart(one["curves"])),
        "blame": [(name, part, Markup(blame_chart(part))) for name, part in parts if part],
    }


def rank_agreement(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """Agreement of simulation and target over the policies; None for one policy, or without a target."""
    policies = [one for one in document["policies"] if one["target"] is not None]
    if len(policies) < 2:
        return None

    def column(arm: str, key: str) -> np.ndarray:
        return np.array([float(one[arm][key]) for one in policies])

    scores = Scores(
        [one["label"] for one in policies],
        column("sim", "rate"),
        column("target", "rate"),
        column("sim", "n"),
        column("target", "n"),
    )
    return agreement(scores, np.random.default_rng(0))


def numbers(document: Mapping[str, Any]) -> str:
    """Every number with an interval as CSV: policy, part, name, at, value, low, high, n."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["policy", "part", "name", "at", "value", "low", "high", "n"])
    for one in document["policies"]:
        writer.writerows((one["label"], *line) for line in _lines(one))
    return out.getvalue()


def _lines(one: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    for arm in ("sim", "target"):
        if one[arm] is not None:
            yield "success", arm, "", one[arm]["rate"], *one[arm]["ci95"], one[arm]["n"]
    if one["paired"] is not None:
        yield "drop", "paired", "", one["paired"]["drop"], *one["paired"]["ci95"], one["paired"]["n"]
    if calibrated := one.get("calibrated"):
        yield "success", "calibrated", "", calibrated["rate"], *calibrated["ci95"], calibrated["n"]
    for curve in one["curves"]:
        for point in curve["points"]:
            yield "curve", curve["factor"], point["value"], point["rate"], *point["ci95"], point["n"]
        yield "area", curve["factor"], "", curve["auc"], *(curve["auc_ci95"] or ("", "")), ""
    blamed = one["attribution"] or {}
    for name, part in (("attribution", blamed.get("groups")), ("attribution within", blamed.get("within"))):
        if part is not None:
            for player in part["players"]:
                yield name, player["name"], "", player["shapley"], *player["ci95"], part["seeds"]
