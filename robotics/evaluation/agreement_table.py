"""Anybody's table of success in simulation and on the target, one line per policy, read strictly."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from robotics.errors import DataError, UsageError, unknown_name
from robotics.evaluation.agreement import Scores

REQUIRED = ("policy", "sim", "target")
#: Trials behind each rate, and the family that a policy belongs to (checkpoints of one run are one).
OPTIONAL = ("sim_n", "target_n", "family")


@dataclass(frozen=True)
class Table:
    """Groups in the order of the file (one named None where nothing was grouped), and what looks odd in it."""

    groups: Mapping[str | None, Scores]
    warnings: Sequence[str]


@dataclass(frozen=True)
class _Row:
    line: int
    cells: Mapping[str, str]


def read_table(path: Path, by: str | None = None, columns: Mapping[str, str] | None = None) -> Table:
    """The table in `path` (CSV), one group per value of its column `by`.

    `columns` says what the file calls `policy`, `sim`, `target`, `sim_n`, `target_n` and `family`, where it differs.
    DataError naming file and line for columns that are missing, cells that are no rate or count, percent instead of
    rates, and a policy that comes twice in a group. UsageError for a `by` or `columns` that does not exist.
    """
    header, rows = _rows(path)
    names = _column_names(path, header, by, columns or {})
    groups: dict[str | None, list[_Row]] = {}
    for row in rows:
        groups.setdefault(None if by is None else row.cells[by], []).append(row)
    for side in ("sim", "target"):
        _refuse_other_units(path, rows, names[side], names.get(f"{side}_n"))
    extra = [name for name in header if name not in names.values()]
    scores, warnings = {}, []
    for group, members in groups.items():
        _refuse_twice(path, group, members, names["policy"], extra if by is None else [])
        scores[group] = _scores(path, members, names)
        warnings += _granularity(path, members, names)
    return Table(scores, warnings)


def _rows(path: Path) -> tuple[list[str], list[_Row]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise DataError(f"{path}: a folder; a CSV file is needed") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a text file in UTF-8; save the table as CSV") from None
    try:
        reader = csv.reader(io.StringIO(text), strict=True)
        lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(map(str.strip, cells))]
    except csv.Error as error:
        raise DataError(f"{path}: not a CSV file ({error})") from None
    if len(lines) < 2:
        raise DataError(f"{path}: holds no {'rows below its header' if lines else 'table'}; needs {_list(REQUIRED)}")
    header = lines[0][1]
    if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
        raise DataError(f"{path}: its columns are not separated by commas (first line: {header[0]!r})")
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise DataError(f"{path}: column '{twice[0]}' comes twice")
    for number, cells in lines[1:]:
        if len(cells) != len(header):
            raise DataError(f"{path} line {number}: {len(cells)} cells, the header has {len(header)}")
    return header, [_Row(number, dict(zip(header, cells, strict=True))) for number, cells in lines[1:]]


def _column_names(path: Path, header: list[str], by: str | None, columns: Mapping[str, str]) -> dict[str, str]:
    """Our name -> the file's, for every column that is there."""
    for ours, theirs in columns.items():
        if ours not in (*REQUIRED, *OPTIONAL):
            raise unknown_name("column to map", ours, (*REQUIRED, *OPTIONAL))
        if theirs not in header:
            raise unknown_name(f"column of {path}", theirs, header)
    if by is not None and by not in header:
        raise unknown_name(f"column of {path}", by, header, "--by takes one of them")
    names = {name: columns.get(name, name) for name in (*REQUIRED, *OPTIONAL)}
    for ours in REQUIRED:
        if names[ours] not in header:
            raise DataError(_missing(path, ours, header))
    for ours, theirs in columns.items():
        if other := next((name for name in names if name != ours and names[name] == theirs), None):
            raise UsageError(f"--columns {ours}={theirs}: that column is '{other}' already")
    return {ours: theirs for ours, theirs in names.items() if theirs in header}


def _missing(path: Path, name: str, header: list[str]) -> str:
    taken = [column for column in header if column not in REQUIRED]
    close = get_close_matches(name, taken, n=1, cutoff=0.5) or [c for c in taken if name.lower() in c.lower()][:1]
    meant = f"; did you mean '{close[0]}'? then give --columns {name}={close[0]}" if close else ""
    return f"{path}: no column '{name}'; it has: {', '.join(header)}{meant}"


def _refuse_other_units(path: Path, rows: list[_Row], column: str, trials: str | None) -> None:
    """DataError where a column of rates holds percent or counts: told by its largest value and by the rest."""
    values = [_number(path, row, column) for row in rows]
    worst = max(range(len(rows)), key=lambda i: values[i])
    if values[worst] <= 1:
        return
    where = f"{path} line {rows[worst].line}: {column} is {rows[worst].cells[column]}, a rate lies in [0, 1]"
    whole = all(value == int(value) and value >= 0 for value in values)
    if trials and whole and all(value <= _number(path, row, trials) for value, row in zip(values, rows, strict=True)):
        raise DataError(f"{where}; these look like numbers of successes: divide them by {trials}")
    if all(0 <= value <= 100 for value in values) and sum(value > 1 for value in values) > len(values) / 2:
        or_counts = ", or numbers of successes: divide by the trials" if whole else ""
        raise DataError(f"{where}; these look like percent: divide by 100{or_counts}")
    raise DataError(where)


def _refuse_twice(path: Path, group: str | None, rows: list[_Row], column: str, extra: list[str]) -> None:
    seen: dict[str, int] = {}
    for row in rows:
        policy = row.cells[column]
        if not policy:
            raise DataError(f"{path} line {row.line}: {column} is empty")
        if policy in seen:
            where = "" if group is None else f" in group '{group}'"
            cure = f"; group the lines with --by {' or --by '.join(extra)}" if extra else ""
            raise DataError(
                f"{path}: policy '{policy}' comes twice{where}, in lines {seen[policy]} and {row.line}{cure}"
            )
        seen[policy] = row.line


def _scores(path: Path, rows: list[_Row], names: Mapping[str, str]) -> Scores:
    def rates(side: str) -> np.ndarray:
        values = np.array([_number(path, row, names[side]) for row in rows])
        for value, row in zip(values, rows, strict=True):
            if not 0 <= value <= 1:
                raise DataError(f"{path} line {row.line}: {names[side]} is {value:g}, a rate lies in [0, 1]")
        return values

    def trials(side: str) -> np.ndarray | None:
        column = names.get(f"{side}_n")
        filled = [row for row in rows if column and row.cells[column]]
        if column is None or not filled:
            return None
        for row in rows:
            count = _number(path, row, column)
            if count < 1 or count != int(count):
                raise DataError(f"{path} line {row.line}: {column} is {row.cells[column]}, not a number of trials")
        return np.array([_number(path, row, column) for row in rows])

    family = None
    if "family" in names:  # An empty cell: the policy stands for itself
        family = [row.cells[names["family"]] or row.cells[names["policy"]] for row in rows]
    policies = [row.cells[names["policy"]] for row in rows]
    return Scores(policies, rates("sim"), rates("target"), trials("sim"), trials("target"), family)


def _granularity(path: Path, rows: list[_Row], names: Mapping[str, str]) -> list[str]:
    """Warnings for rates that their number of trials can not give, beyond what rounding explains."""
    found = []
    for side in ("sim", "target"):
        column = names.get(f"{side}_n")
        for row in rows:
            if column is None or not row.cells[column]:
                continue
            text, count = row.cells[names[side]], _number(path, row, column)
            rate = float(text)
            nearest = round(rate * count) / count
            if abs(nearest - rate) > max(0.5 * 10.0 ** -_decimals(text), 5e-4) * 1.001:
                found.append(
                    f"{path} line {row.line}: {count:g} trials can not give {text} "
                    f"(nearest: {round(rate * count)}/{count:g} = {nearest:.3f})"
                )
    return found


def _decimals(text: str) -> int:
    return len(text.partition(".")[2]) if "e" not in text.lower() else 3


def _number(path: Path, row: _Row, column: str) -> float:
    text = row.cells[column]
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        hint = "; write rates like 0.83" if "%" in text or "," in text else ""
        raise DataError(f"{path} line {row.line}: {column} is {text!r}, not a number{hint}")
    return value


def _list(names: Sequence[str]) -> str:
    return "the columns " + ", ".join(names)
