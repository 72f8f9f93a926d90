"""The robustness card as a page, a picture and tables."""

import csv
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from robotics.outputs import write_atomically, write_json
from robotics.reports.gap_format import template
from robotics.reports.radar import Spoke, radar
from robotics.wording import counted


def write_card(document: dict[str, Any], folder: Path) -> Path:
    """Write card.html, card.json, card.csv and, where three changes or more were tried, card.svg; returns the page."""
    write_json(folder / "card.json", document)
    write_atomically(folder / "card.csv", card_csv(document))
    if picture := card_radar(document):
        write_atomically(folder / "card.svg", picture)
    page = template("gap_card.html.j2").render(
        title=f"{document['policy_label']} · robustness card",
        d=document,
        radar=Markup(picture),
        verdict=verdict(document),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    write_atomically(folder / "card.html", page)
    return folder / "card.html"


def card_radar(document: dict[str, Any]) -> str:
    """Success under every change that was tried, as SVG; '' where these are fewer than three."""
    spokes = [
        Spoke(row["name"], row["success_rate"], tuple(row["success_ci95"]))
        for row in document["axes"]
        if row["missing"] is None
    ]
    return radar(spokes, document["nominal"]["success_rate"], f"Robustness of {document['policy_label']}")


def card_csv(document: dict[str, Any]) -> str:
    """One line per seed, one column per change: 1 success, 0 failure."""
    tried = [row for row in document["axes"] if row["missing"] is None]
    columns = [document["nominal"]["outcomes"], *(row["outcomes"] for row in tried)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["seed", "as it is", *(row["name"] for row in tried)])
    writer.writerows([seed, *map(int, outcomes)] for seed, *outcomes in zip(document["seeds"], *columns, strict=True))
    return out.getvalue()


def verdict(document: dict[str, Any]) -> str:
    """What the card says, in one or two sentences that claim no more than the episodes show."""
    nominal = document["nominal"]["success_rate"]
    if not document["enough"]:
        few = counted(document["episodes"], "episode")
        return f"Not enough evidence: {few} {'says' if document['episodes'] == 1 else 'say'} nothing of single changes."
    tried = [row for row in document["axes"] if row["missing"] is None]
    shown = sorted((row for row in tried if row["p_holm"] <= 0.05), key=_difference)
    costly = [row for row in shown if row["difference"] < 0]
    helpful = [row for row in reversed(shown) if row["difference"] > 0]
    gains = f" What it gains by: {_named(helpful)}." if helpful else ""
    if not tried:
        return "Nothing could be tried on this task with this policy."
    if not costly:
        most = max(0, round(-100 * min(row["difference_ci95"][0] for row in tried)))
        with_so_few = (
            f"; with {counted(document['episodes'], 'episode')} a loss of up to {most} points can not be excluded"
        )
        left = f"{with_so_few} everywhere" if most else ""
        return f"No change is shown to cost success ({nominal:.0%} as it is){left}.{gains}"
    return (
        f"Success is {nominal:.0%} as it is. What costs it: {_named(costly)}.{gains} Nothing else is shown to matter."
    )


def _named(rows: list[dict[str, Any]]) -> str:
    return ", ".join(f"{row['name']} ({100 * row['difference']:+.0f} points)" for row in rows)


def _difference(row: dict[str, Any]) -> float:
    return row["difference"]
