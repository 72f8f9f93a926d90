"""What a run folder says about itself, without loading anything heavy."""

from pathlib import Path
from typing import Any

from robotics.errors import DataError
from robotics.outputs import read_json

CONFIG = "config.json"


def read_run(run: Path) -> dict[str, Any]:
    """The `config.json` of a run folder; DataError when there is none or it is another program's."""
    document = read_json(run / CONFIG)
    if not isinstance(document, dict) or not {"family", "data", "policy", "training"} <= document.keys():
        raise DataError(f"{run / CONFIG}: does not describe a training run")
    return document


def run_of(folder: Path) -> Path | None:
    """The run folder that `folder` (a run, a checkpoint or a `pretrained_model` folder) belongs to, if any."""
    for parent in (folder.resolve(), *folder.resolve().parents):
        if (parent / CONFIG).is_file() and (parent / "checkpoints").is_dir():
            return parent
    return None
