"""meta/tasks.parquet: the language instructions of a dataset, in their order."""

import json
from pathlib import Path

import pyarrow as pa

from robotics.datasets.layout import TASKS
from robotics.datasets.tables import publish_table, read_table
from robotics.errors import DataError


def _pandas_column(name: str | None, pandas_type: str, numpy_type: str) -> dict[str, str | None]:
    return {"name": name, "field_name": name, "pandas_type": pandas_type, "numpy_type": numpy_type, "metadata": None}


#: LeRobot reads the file with pandas and takes the texts from the frame's index: the schema says which column it is.
_PANDAS = {
    "index_columns": ["task"],
    "column_indexes": [_pandas_column(None, "unicode", "object")],
    "columns": [_pandas_column("task_index", "int64", "int64"), _pandas_column("task", "unicode", "object")],
    "pandas_version": "2.2.0",
}


def write_tasks(root: Path, tasks: list[str]) -> None:
    """Replace the table of instructions; task_index counts from 0 in their order."""
    table = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), "task": pa.array(tasks, pa.string())})
    publish_table(root / TASKS, table.replace_schema_metadata({"pandas": json.dumps(_PANDAS)}))


def read_tasks(root: Path) -> list[str]:
    """The instructions by task_index; [] when there is no table yet. DataError naming the file when it is damaged."""
    path = root / TASKS
    if not path.exists():
        return []
    table = read_table(path)
    texts = [name for name in table.column_names if name != "task_index"]
    if "task_index" not in table.column_names or len(texts) != 1:
        raise DataError(f"{path}: has columns {table.column_names}, expected task_index and the texts")
    rows = sorted(zip(table["task_index"].to_pylist(), table[texts[0]].to_pylist(), strict=True))
    if [index for index, _ in rows] != list(range(len(rows))):
        raise DataError(f"{path}: task_index is not 0 … {len(rows) - 1}")
    return [str(text) for _, text in rows]
