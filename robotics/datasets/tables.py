"""Parquet tables to and from numpy, with errors that name the file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from robotics.datasets.durable import publish
from robotics.datasets.features import Feature, Features, is_numbers, schema_of, stored_in_table
from robotics.datasets.pictures import encode_png
from robotics.errors import DataError

_SCALAR_TYPES = {int: pa.int64(), float: pa.float64(), str: pa.string()}


def publish_table(path: Path, table: pa.Table) -> None:
    """Write `table` atomically."""
    publish(path, lambda temporary: pq.write_table(table, temporary, compression="snappy", use_dictionary=True))


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The table in `path`; DataError naming it when it is missing, truncated, no Parquet, or lacks a column."""
    try:
        with pq.ParquetFile(path) as file:
            missing = sorted(set(columns or ()) - set(file.schema_arrow.names))
            if missing:
                raise DataError(f"{path}: has no column '{missing[0]}'")
            return file.read(columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None


def column_names(path: Path) -> list[str]:
    """Names of the columns of `path`, from its footer alone; DataError as `read_table`."""
    return _footer(path).schema.to_arrow_schema().names


def row_count(path: Path) -> int:
    """Rows of `path`, from its footer alone; DataError as `read_table`."""
    return _footer(path).num_rows


def frames_table(features: Features, columns: Mapping[str, pa.Array]) -> pa.Table:
    """The data table of one episode, from a column of `to_arrow` per feature that is stored in it."""
    return pa.table([columns[key] for key in stored_in_table(features)], schema=schema_of(features))


def row_table(row: Mapping[str, Any]) -> pa.Table:
    """A table of one row: whole numbers, numbers, texts and nested lists of them, none of which is empty."""
    # Typed, because Arrow looks for the types of plain values with imports that lose a Ctrl-C or abort the process.
    schema = pa.schema([(key, _type_of(value)) for key, value in row.items()])
    return pa.Table.from_pylist([row], schema=schema)


def to_arrow(features: Features, columns: Mapping[str, np.ndarray]) -> dict[str, pa.Array]:
    """Values (T, *shape) of features as columns of the data table; images uint8 (T, h, w, 3) become PNG."""
    schema = schema_of(features)
    return {key: _to_arrow(columns[key], schema.field(key).type) for key in stored_in_table(features)}


def to_numpy(column: pa.ChunkedArray, feature: Feature, name: str) -> np.ndarray:
    """Values (T, *shape) of a column that is no image; DataError beginning with `name` when they do not fit."""
    shape = tuple(feature["shape"])
    if not is_numbers(feature):
        raise DataError(f"{name}: holds {feature['dtype']}, no numbers")
    flat, length = column.combine_chunks(), len(column)
    holes = flat.null_count
    while pa.types.is_list(flat.type) or pa.types.is_fixed_size_list(flat.type) or pa.types.is_large_list(flat.type):
        flat = flat.flatten()
        holes += flat.null_count
    if holes:
        raise DataError(f"{name}: {holes} values are missing")
    if len(flat) != length * int(np.prod(shape)):
        raise DataError(f"{name}: {len(flat)} numbers in {length} frames are not of shape {shape}")
    try:
        return flat.to_numpy(zero_copy_only=False).astype(feature["dtype"], copy=False).reshape(length, *shape)
    except (TypeError, ValueError):
        raise DataError(f"{name}: {flat.type} values where {feature['dtype']} is announced") from None


def _footer(path: Path) -> pq.FileMetaData:
    try:
        return pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None


def _type_of(value: Any) -> pa.DataType:
    return pa.list_(_type_of(value[0])) if isinstance(value, list) else _SCALAR_TYPES[type(value)]


def _to_arrow(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    if pa.types.is_struct(kind):
        return pa.array([{"bytes": encode_png(image), "path": None} for image in values], type=kind)
    flat = pa.array(values.reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, kind.list_size) if pa.types.is_fixed_size_list(kind) else flat


def _unreadable(path: Path, error: Exception) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path}: no such file")
    reason = str(error).strip().split("\n")[0].rstrip(".")[:120]
    return DataError(f"{path}: not a readable Parquet file ({reason})")
