"""Progress of anything that takes longer than a moment: a bar with ETA on a terminal, plain log lines elsewhere.

Everything goes to stderr, so that `--json` keeps stdout to itself.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """Counts towards `total` (None: nobody knows); `advance` is cheap enough for every step of a loop."""

    #: Seconds between two log lines when stderr is not a terminal.
    LOG_EVERY_S = 15.0

    def __init__(self, title: str, total: float | None, unit: str) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = 0.0
        self.note = ""
        self._started = self._logged = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as RichProgress

            self._bar = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn(unit),
                TimeElapsedColumn(),
                TextColumn("ETA"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task(title, total=total, note="")
            self._bar.start()

    def advance(self, amount: float = 1.0, note: str | None = None) -> None:
        """Count `amount` more units; `note` (a loss, a success rate) is shown behind the bar."""
        self.done += amount
        if note is not None:
            self.note = note
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, note=self.note)
        elif time.monotonic() - self._logged >= self.LOG_EVERY_S:
            self._logged = time.monotonic()
            of = "" if self.total is None else f"/{self.total:g}"
            self._log(f"{self.done:g}{of} {self.unit}, ETA {_duration(self.eta_s)}")

    def finish_early(self) -> None:
        """What was counted so far turns out to be all there is: an episode may end before its limit."""
        self.total = self.done
        if self._bar is not None:
            self._bar.update(self._task, total=self.done)

    @property
    def eta_s(self) -> float:
        """Seconds to go at the mean rate so far [s]; infinite while it is unknown, 0 beyond a total that was passed."""
        elapsed = time.monotonic() - self._started
        return elapsed / self.done * max(0.0, self.total - self.done) if self.done and self.total else float("inf")

    def close(self, failed: bool = False) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif not failed:
            self._log(f"{self.done:g} {self.unit} in {_duration(time.monotonic() - self._started)}")

    def _log(self, text: str) -> None:
        print(f"{self.title}: {text}{'  ' + self.note if self.note else ''}", file=sys.stderr, flush=True)


@contextmanager
def progress(title: str, total: float | None, unit: str) -> Iterator[Progress]:
    """A `Progress` that closes itself, also when the work is interrupted."""
    bar = Progress(title, total, unit)
    try:
        yield bar
    except BaseException:
        bar.close(failed=True)
        raise
    bar.close()


def _duration(seconds: float) -> str:
    if seconds == float("inf"):
        return "unknown"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02d}m" if hours else f"{minutes}m {rest:02d}s"
