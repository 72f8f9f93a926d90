"""The learning curve: one JSON object per line in `metrics.jsonl`, and the same numbers for TensorBoard."""

import json
from pathlib import Path
from typing import Any

from robotics.errors import DataError
from robotics.outputs import write_atomically

METRICS = "metrics.jsonl"


class MetricsLog:
    """Appends to `run/metrics.jsonl`; lines of a session that went on after the checkpoint at `step` are dropped."""

    def __init__(self, run: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        path = run / METRICS
        kept = [line for line in read_metrics(path) if line["step"] <= step] if path.exists() and step else []
        write_atomically(path, "".join(json.dumps(line) + "\n" for line in kept))
        self._file = open(path, "a", encoding="utf8")  # noqa: SIM115 (closed by close)
        self._board = SummaryWriter(str(run), purge_step=step + 1 if step else None)

    def write(self, step: int, **values: Any) -> None:
        """One line; numbers also go to TensorBoard."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            if isinstance(value, int | float):
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        self._file.close()
        self._board.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a `metrics.jsonl`. A last line cut off by a crash is left out; DataError for any other defect."""
    try:
        lines = path.read_text(encoding="utf8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: can not be read ({error})") from None
    metrics = []
    for number, line in enumerate(lines, 1):
        try:
            document = json.loads(line) if line else None
        except json.JSONDecodeError:
            if number == len(lines):
                break
            raise DataError(f"{path}: line {number} is no JSON") from None
        if document is None:
            continue
        if not isinstance(document, dict) or not isinstance(document.get("step"), int):
            raise DataError(f"{path}: line {number} holds no step")
        metrics.append(document)
    return metrics
