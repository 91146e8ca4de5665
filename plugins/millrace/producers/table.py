"""A CSV or Parquet file as columns of cells, with the place of each row in the file."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from jobs.errors import UsageError


class UnreadableFileError(UsageError):
    """A file of real data does not hold what the topic needs; the text names file, line, value, rule and remedy."""


@dataclass(frozen=True)
class Table:
    """Rows of a file, by column.

    CSV cells are text, so that no number or time is guessed; Parquet cells have their own types, with nanoseconds
    cut to microseconds.
    """

    columns: Mapping[str, Sequence[object]]
    places: Sequence[str]
    """Where each row is: `line 2` in CSV, `row 1` in Parquet."""


def read_table(path: Path) -> Table:
    """By suffix: `.csv` (UTF-8, with a header line) or `.parquet`. Raises `UnreadableFileError`."""
    readers = {".csv": _read_csv, ".parquet": _read_parquet}
    if path.suffix.lower() not in readers:
        raise UnreadableFileError(f"{path}: suffix {path.suffix!r}; .csv and .parquet are read; convert or rename it")
    try:
        return readers[path.suffix.lower()](path)
    except FileNotFoundError:
        raise UnreadableFileError(f"{path}: no such file; it needs a CSV or Parquet file; correct the path") from None
    except (pa.ArrowException, OSError, UnicodeDecodeError, csv.Error) as failed:
        raise UnreadableFileError(
            f"{path}: {failed}; the file must be readable as {path.suffix}; correct it"
        ) from failed


def _read_csv(path: Path) -> Table:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines)
        names = [name.strip() for name in next(reader, [])]
        if len(set(names)) < len(names) or not names:
            raise UnreadableFileError(f"{path}, line 1: the header is {names}; every column needs its own; correct it")
        rows, places = [], []
        for row in reader:
            if not row:
                continue
            if len(row) != len(names):
                raise UnreadableFileError(
                    f"{path}, line {reader.line_num}: {len(row)} cells; the header has {len(names)}; correct the line"
                )
            rows.append(row)
            places.append(f"line {reader.line_num}")
    cells = zip(*rows, strict=True) if rows else [()] * len(names)
    return Table(dict(zip(names, cells, strict=True)), places)


def _read_parquet(path: Path) -> Table:
    data = pa.parquet.read_table(path)
    columns = {name: _cells(data.column(name)) for name in data.column_names}
    return Table(columns, [f"row {row + 1}" for row in range(data.num_rows)])


def _cells(column: pa.ChunkedArray) -> list[object]:
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    cells: list[object] = column.to_pylist()
    return cells
