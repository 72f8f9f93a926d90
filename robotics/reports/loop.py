"""The page of `robotics real2sim2real`: before and after, what was identified, what was trained for, the verdict."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from robotics.errors import DataError
from robotics.outputs import read_json, write_atomically
from robotics.reports.charts import script
from robotics.reports.gap_charts import arms_chart
from robotics.reports.gap_format import template
from robotics.sim2real.factors import FACTORS
from robotics.sim2real.posterior import FACTORS_OF

DOCUMENT, PAGE = "real2sim2real.json", "report.html"
SCHEMA = 1
_KEYS = {"env", "label", "arms", "identification", "randomisation", "training", "logs", "verdict", "target"}


def write_loop_page(folder: Path, out: Path | None = None) -> Path:
    """Write `out` (default: `folder`/report.html) from real2sim2real.json; returns the page.

    The page needs no network and no other file. DataError for a folder without that document.
    """
    document = read_loop(folder)
    page = template("loop.html.j2").render(
        title=f"{document['label']} on {document['env']}, before and after",
        d=document,
        success=Markup(arms_chart([{"label": name, **one} for name, one in document["arms"].items()])),
        drawn=_drawn(document),
        plotly=Markup(script()),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    target = out or folder / PAGE
    write_atomically(target, page)
    return target


def read_loop(folder: Path) -> dict[str, Any]:
    """The document in `folder`; DataError naming the file when it is none."""
    path = folder / DOCUMENT
    document = read_json(path)
    if not isinstance(document, dict) or document.get("kind") != "real2sim2real" or not document.keys() >= _KEYS:
        raise DataError(f"{path}: no document of `robotics real2sim2real`")
    if document.get("schema") != SCHEMA:
        raise DataError(f"{path}: a document of schema {document.get('schema')}, this version reads {SCHEMA}")
    return document


def _drawn(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per family and per joint, what its worlds were drawn from and what it is."""
    rows = []
    for family, (low, high) in document["randomisation"].items():
        names = FACTORS_OF[family]
        one = FACTORS[names[0]]
        rows.append({"names": names, "low": low, "high": high, "nominal": one.nominal, "unit": one.unit})
    identified = document["identification"]["parameters"]
    for name, (low, high) in document.get("joints", {}).items():  # not in documents of older versions
        about = {key: identified[name][key] for key in ("nominal", "unit")}
        rows.append({"names": [name], "low": low, "high": high, **about})
    return rows
