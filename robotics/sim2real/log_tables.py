"""Tables of named columns from the file formats that robots log to."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robotics.errors import DataError, RoboticsError, unknown_name

Array = np.ndarray

SUFFIXES = (".csv", ".parquet", ".npz", ".mcap")


@dataclass(frozen=True)
class Table:
    """Columns (T,) or (T, n) of one motion."""

    name: str
    columns: dict[str, Array]

    @property
    def length(self) -> int:
        """Of the longest column: the number of samples."""
        return max((len(values) for values in self.columns.values()), default=0)

    def column(self, name: str) -> Array:
        if name not in self.columns:
            raise DataError(f"{self.name}: {unknown_name('column', name, self.columns)}")
        return self.columns[name]


def read_tables(path: Path) -> list[Table]:
    """One table per motion in a file, in a folder of files, or matching a pattern such as `logs/*.npz`."""
    if (path / "meta" / "info.json").is_file():
        return _lerobot(path)
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
    elif path.is_file():
        files = [path]
    else:
        files = sorted(path.parent.glob(path.name))
    return [_read(file) for file in files]


def _read(path: Path) -> Table:
    readers = {".csv": _csv, ".parquet": _parquet, ".npz": _npz, ".mcap": _mcap}
    if path.suffix not in readers:
        raise DataError(f"{path}: logs are {', '.join(readers)}, not '{path.suffix}'")
    return Table(path.stem, readers[path.suffix](path))


def _csv(path: Path) -> dict[str, Array]:
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
    columns = {}
    for i, name in enumerate(header):
        try:
            columns[name] = np.array([float(row[i]) if row[i].strip() else np.nan for row in rows[1:]])
        except ValueError:
            continue  # a column of words; asking for it says that it is not there
    return columns


def _parquet(path: Path) -> dict[str, Array]:
    import pyarrow.parquet as pq
    from pyarrow import ArrowException

    try:
        frame = pq.read_table(path)
    except ArrowException as error:
        raise DataError(f"{path}: no Parquet file ({error})") from None
    return _numeric({name: np.array(frame[name].to_pylist()) for name in frame.column_names})


def _npz(path: Path) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            columns = {name: archive[name] for name in archive.files}
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: no NumPy archive of plain arrays ({error})") from None
    return _numeric({name: values for name, values in columns.items() if values.ndim})


def _mcap(path: Path) -> dict[str, Array]:
    """JSON-encoded messages: one column per topic and numeric field, `<topic>.<field>`; the log time is `time`."""
    import json

    try:
        from mcap.exceptions import McapError
        from mcap.reader import make_reader
    except ImportError:
        raise RoboticsError(f"{path}: reading MCAP needs the extra 'mcap': pip install 'robotics[mcap]'") from None
    columns: dict[str, list] = {}
    times: dict[str, list[float]] = {}
    try:
        with open(path, "rb") as file:
            for _, channel, message in make_reader(file).iter_messages():
                if channel.message_encoding != "json":
                    kind = channel.message_encoding
                    raise DataError(f"{path}: topic {channel.topic} is encoded as '{kind}', not json")
                for field, value in json.loads(message.data).items():
                    if isinstance(value, (int, float, list)):
                        name = f"{channel.topic.strip('/')}.{field}"
                        columns.setdefault(name, []).append(value)
                        times.setdefault(name, []).append(message.log_time * 1e-9)
    except (McapError, ValueError) as error:
        raise DataError(f"{path}: no MCAP recording of JSON messages ({error})") from None
    if not columns:
        raise DataError(f"{path}: holds no numeric message")
    densest = max(columns, key=lambda name: len(columns[name]))
    time = np.array(times[densest])
    table = {"time": time - time[0]}
    for name, values in columns.items():
        values_, own = np.array(values, dtype=float), np.array(times[name])
        last = np.clip(np.searchsorted(own, time, side="right") - 1, 0, None)
        table[name] = values_[last]  # what was known at that time
    return table


def _lerobot(root: Path) -> list[Table]:
    """One table per episode; `observation.state` and `action` are columns of many numbers, by name too."""
    from robotics.datasets.reader import Dataset
    from robotics.vocabulary import camera_of

    dataset = Dataset.open(root)
    keys = [key for key in dataset.features if not camera_of(key)]
    values = _numeric({key: dataset.column(key) for key in keys})
    for key in list(values):
        names = dataset.features[key].get("names")
        if isinstance(names, list) and values[key].ndim == 2 and len(names) == values[key].shape[1]:
            values |= {f"{key}.{name}": values[key][:, i] for i, name in enumerate(names)}
    return [
        Table(f"{root.name}-{number:06d}", {key: column[first:last] for key, column in values.items()})
        for number, (first, last) in enumerate(dataset.episode_ranges)
    ]


def _numeric(columns: dict[str, Array]) -> dict[str, Array]:
    return {name: values for name, values in columns.items() if values.dtype.kind in "fiub"}
