"""Tables of named columns from the file formats that robots log to."""

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from robotics.errors import DataError, unknown_name
from robotics.sim2real.log_mcap import read_mcap
from robotics.sim2real.log_numbers import Columns

Array = np.ndarray

SUFFIXES = (".csv", ".parquet", ".npz", ".mcap")


@dataclass(frozen=True)
class Table:
    """Columns (T,) or (T, n) of one motion; of those that can not be read as numbers, what is wrong with them."""

    name: str
    columns: dict[str, Array]
    unreadable: Mapping[str, str] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Of the longest column: the number of samples."""
        return max((len(values) for values in self.columns.values()), default=0)

    def holds(self, name: str) -> bool:
        """Whether it has a column of this name, though `column` may not be able to read it."""
        return name in self.columns or name in self.unreadable

    def column(self, name: str) -> Array:
        if name in self.unreadable:
            raise DataError(f"{self.name}: column '{name}' is {self.unreadable[name]}")
        if name not in self.columns:
            raise DataError(f"{self.name}: {unknown_name('column', name, self.columns)}")
        return self.columns[name]


def read_tables(path: Path) -> list[Table]:
    """One table per motion in a file, in a folder of files, or matching a pattern such as `logs/*.npz`."""
    if (path / "meta" / "info.json").is_file():
        return _lerobot(path)
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    elif path.is_file():
        files = [path]
    else:
        files = sorted(path.parent.glob(path.name))
    stems = Counter(file.stem for file in files)
    return [_read(file, file.stem if stems[file.stem] == 1 else file.name) for file in files]


def _read(path: Path, name: str) -> Table:
    readers = {".csv": _csv, ".parquet": _parquet, ".npz": _npz, ".mcap": read_mcap}
    suffix = path.suffix.lower()
    if suffix not in readers:
        raise DataError(f"{path}: logs are {', '.join(readers)}, not '{path.suffix}'")
    columns = readers[suffix](path)
    return Table(name, columns.numbers, columns.unreadable)


def _csv(path: Path) -> Columns:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:  # spreadsheets leave a mark at the beginning
            reader = csv.reader(file)
            numbered = [(reader.line_num, row) for row in reader if row]  # a blank line is no row
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: no CSV file ({error})") from None
    rows = [row for _, row in numbered]
    if len(rows) < 2:
        raise DataError(f"{path}: holds no samples")
    header = [name.strip() for name in rows[0]]
    if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
        raise DataError(f"{path}: its columns are not separated by commas (first line: {header[0]!r})")
    if twice := [name for name in header if header.count(name) > 1]:
        raise DataError(f"{path}: column '{twice[0]}' comes twice")
    for number, row in numbered[1:]:
        if len(row) != len(header):
            raise DataError(f"{path}, line {number}: {len(row)} values for {len(header)} columns")
    columns, lines = Columns(), [f"line {number}" for number, _ in numbered[1:]]
    for i, name in enumerate(header):
        columns.add_list(name, [row[i] if row[i].strip() else None for row in rows[1:]], lines)
    return columns


def _parquet(path: Path) -> Columns:
    import pyarrow
    import pyarrow.parquet as pq
    from pyarrow import ArrowException

    try:
        frame = pq.read_table(path)
    except ArrowException as error:
        raise DataError(f"{path}: no Parquet file ({error})") from None
    columns, rows = Columns(), [f"row {number}" for number in range(1, frame.num_rows + 1)]
    for name in frame.column_names:
        if pyarrow.types.is_timestamp(frame[name].type) or pyarrow.types.is_duration(frame[name].type):
            columns.add_array(name, frame[name].to_numpy())
        else:
            columns.add_list(name, frame[name].to_pylist(), rows)
    return columns


def _npz(path: Path) -> Columns:
    columns = Columns()
    try:
        with np.load(path, allow_pickle=False) as archive:
            for name in archive.files:
                if (values := archive[name]).ndim:
                    columns.add_array(name, values)
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: no NumPy archive of plain arrays ({error})") from None
    return columns


def _lerobot(root: Path) -> list[Table]:
    """One table per episode; `observation.state` and `action` are columns of many numbers, by name too."""
    from robotics.datasets.features import is_numbers
    from robotics.datasets.reader import Dataset

    dataset = Dataset.open(root)
    columns = Columns()
    for key, feature in dataset.features.items():
        if is_numbers(feature):
            columns.add_array(key, dataset.column(key))
    values = columns.numbers
    for key in list(values):
        names = dataset.features[key].get("names")
        if isinstance(names, list) and values[key].ndim == 2 and len(names) == values[key].shape[1]:
            values |= {f"{key}.{name}": values[key][:, i] for i, name in enumerate(names)}
    return [
        Table(f"{root.name}-{number:06d}", {key: one[first:last] for key, one in values.items()}, columns.unreadable)
        for number, (first, last) in enumerate(dataset.episode_ranges)
    ]
