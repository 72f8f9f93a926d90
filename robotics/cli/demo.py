"""`robotics demo`: the whole story in one go."""

import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """Collect, train, bench, compare with a hidden twin, record and report, on one task."""

    out: Path = Path("runs/demo")
    """Folder of everything that comes out."""
    fast: bool = False
    """A minute's smoke test: too little training for a good policy."""
    resume: bool = False
    """Continue an interrupted demo."""
    overwrite: bool = False
    """Replace the demo in --out."""


def run(options: Options) -> None:
    from robotics.cli.bench import describe
    from robotics.demo import demo
    from robotics.outputs import read_json

    started = time.monotonic()
    page = demo(options.out, options.fast, resume=options.resume, overwrite=options.overwrite)
    for path in sorted(page.parent.glob("bench-*.json")):
        print(describe(read_json(path)), end="\n\n")
    print(f"{(time.monotonic() - started) / 60:.1f} minutes; open {page}")
