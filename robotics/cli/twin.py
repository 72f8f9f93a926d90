"""`robotics twin make|show`: hidden twins, targets whose factors nobody can look up."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro


@dataclass(frozen=True)
class MakeOptions:
    """Draw a hidden twin: a world that stands for the robot, its values sealed, their salted hash published."""

    env: str
    """Gymnasium id of one of this project's environments."""
    severity: Literal["mild", "medium", "hard"]
    """How far it is from the simulation; each reaches beyond the randomisation in training of that name."""
    seed: int
    """With the key it determines the twin."""
    out: Path
    """The JSON file."""
    key: str | None = None
    """Secret that opens it; else that of ROBOTICS_TWIN_KEY; else a random one in OUT.key, to be moved away."""
    overwrite: bool = False
    """Replace --out."""
    json: bool = False
    """Print the public document, and nothing else, on stdout."""


@dataclass(frozen=True)
class ShowOptions:
    """What a hidden twin publishes about itself; with --reveal its values, once nobody trains for it any more."""

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="TWIN.json")]
    """The twin."""
    key: str | None = None
    """Secret that opens it, where it is neither in ROBOTICS_TWIN_KEY nor in FILE.key."""
    reveal: bool = False
    """Open it, and check that its values are those that were committed to."""
    json: bool = False
    """Print one JSON document."""


def make(options: MakeOptions) -> None:
    from robotics.sim2real.twin import key_file, make_twin

    document = make_twin(
        options.env, options.severity, options.seed, options.out, key=options.key, overwrite=options.overwrite
    )
    if options.json:
        print(json.dumps(document, indent=2))
        return
    print(_public(options.out, document))
    if (beside := key_file(options.out)).exists() and options.key is None:
        print(f"its key is in {beside}: move it away before anybody trains for this twin", file=sys.stderr)


def show(options: ShowOptions) -> None:
    from robotics.outputs import read_json
    from robotics.sim2real.factors import FACTORS
    from robotics.sim2real.twin import open_twin

    if not options.reveal:
        document = read_json(options.file)
        described = _public(options.file, document)
        print(json.dumps(document, indent=2) if options.json else described)
        return
    document, world = open_twin(options.file, options.key)
    if options.json:
        print(json.dumps({**document, "values": world.as_dict()}, indent=2))
        return
    lines = [f"  {name:<18}{value:.5g} {FACTORS[name].unit}" for name, value in world.values]
    print("\n".join([_public(options.file, document), "its values, as committed to:", *lines]))


def _public(path: Path, document: Any) -> str:
    from robotics.errors import DataError

    try:
        described = f"{document['severity']} hidden twin of {document['env']}, seed {document['seed']}"
        return f"{path}: {described}\ncommitment {document['sealed']['commitment']}"
    except (KeyError, TypeError):
        raise DataError(f"{path}: no hidden twin; `robotics twin make` makes one") from None


SUBCOMMANDS = {"make": (MakeOptions, make), "show": (ShowOptions, show)}
