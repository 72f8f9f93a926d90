"""`robotics report`: one self-contained HTML page of runs."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from robotics.errors import UsageError


@dataclass(frozen=True)
class Options:
    """One self-contained HTML page of runs: success, films, learning curve, episodes."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN_OR_DIR")]
    """Run folders, or any folders with bench*.json or videos/; or the one folder of a real2sim2real."""
    out: Path | None = None
    """The page; report.html in the first folder when not given."""


def run(options: Options) -> None:
    from robotics.reports.loop import DOCUMENT, write_loop_page
    from robotics.reports.page import write_report

    if options.out is not None and options.out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--out {options.out}: the page is an .html file")
    of_loop = len(options.runs) == 1 and (options.runs[0] / DOCUMENT).exists()
    page = write_loop_page(options.runs[0], options.out) if of_loop else write_report(options.runs, options.out)
    print(f"{page}: {page.stat().st_size / 1e6:.1f} MB, open it in a browser", file=sys.stderr)
