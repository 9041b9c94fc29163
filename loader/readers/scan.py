"""What text and Parquet tables share: columns as SQL in the project's units, rows as arrays.

DuckDB's dialect, not PostgreSQL's.
"""

import re
import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from loader.battery import Battery, LoaderError, Samples
from loader.part import Part
from loader.readers import dates, series
from loader.readers.columns import TIMES, Column, state_patterns
from loader.readers.timeline import Table
from loader.readers.units import Unit
from loader.reading import Reading

# C7_2024-03-01.csv is of battery C7: what cyclers write every day is named by the day.
UNDATED = re.compile(r"(?<=.)[ _.-]+(19|20)\d\d(-?)(0[1-9]|1[0-2])\2([0-2]\d|3[01])([T _-].*)?$")


@dataclass(frozen=True)
class Scan:
    """How a file is read: queries that give a column per role, a row per sample.

    `typed` takes numbers where numbers belong, and leaves rows of anything else to DuckDB's table
    of rejects. `lenient` takes rows of any length and content, and gives their number in the file
    as `row`, and as `wrong` the text that stands in a sample for its voltage or current: it serves
    where a rejected row `may_be_sample`. Parquet has no such rows.
    """

    typed: str
    lenient: str | None
    may_be_sample: Callable[[str], bool]
    first_row: int
    how: str  # what the file turned out to be, in words
    header: Sequence[str]
    columns: Sequence[Column]
    first_rows: Sequence[Sequence[str]]

    @property
    def is_time_unit_told(self) -> bool:
        """Whether the unit of the time is known; as h:m:s it needs none."""
        times = {column.role: column for column in self.columns}
        column = next((times[it] for it in TIMES if it in times), None)
        if column is None or column.role == "clock":
            return True
        first = [row[column.index] for row in self.first_rows[:20] if column.index < len(row)]
        return column.is_unit_told or dates.are_times(first)


@dataclass(frozen=True)
class _Stored:
    """A file as a query, or as a table where it holds several batteries."""

    part: Part
    source: str
    first_row: int
    rejected: NDArray[np.int64]  # numbers of rows that were left out, in order
    is_time_unit_told: bool


Scanner = Callable[[Part, Reading], AbstractContextManager[Scan]]


def batteries(parts: Sequence[Part], reading: Reading, scanner: Scanner) -> Iterator[Battery]:
    """Yield the pieces of the batteries in the files, in order of the batteries' names."""
    with duckdb.connect(":memory:") as database:
        database.execute("set enable_progress_bar = false")
        share, _ = resource.getrlimit(resource.RLIMIT_DATA)
        if share != resource.RLIM_INFINITY:  # the other half is for the arrays
            database.execute(f"set memory_limit = '{share // 2} bytes'")
        _define_state(database)
        if reading.battery_column is None:
            tables = []
            for part in parts:
                with scanner(part, reading) as scan:
                    tables.append(_read(database, part, scan))
            battery_id = reading.battery_id or UNDATED.sub("", parts[0].stem)
            yield from series.pieces(battery_id, tables, reading)
            return
        # What does not fit into memory goes to DuckDB's own temporary files.
        stored = []
        for number, part in enumerate(parts):
            with scanner(part, reading) as scan:
                stored.append(_store(database, f"part{number}", part, scan))
        for battery_id in _names(database, stored):
            own = "where battery = ?"
            found = [
                (it, database.execute(f"from {it.source} {own}", [battery_id]).fetchnumpy())
                for it in stored
            ]
            tables = [_table(it, values) for it, values in found if values["voltage"].size]
            yield from series.pieces(battery_id, tables, reading)


def _read(database: duckdb.DuckDBPyConnection, part: Part, scan: Scan) -> Table:
    """Read a file of one battery."""
    found = _executed(database, scan.typed, lambda it: it.fetchnumpy())
    _refuse_several(found, scan.columns)
    rejected = _rejected(database, scan)
    if rejected is not None:
        return _table(_Stored(part, "", scan.first_row, rejected, scan.is_time_unit_told), found)
    del found
    stored = _leniently(database, "lenient", part, scan)
    found = database.execute(f"from {stored.source}").fetchnumpy()
    database.execute("drop table lenient")
    _refuse_several(found, scan.columns)
    return _table(stored, found)


def _refuse_several(found: dict[str, Any], columns: Sequence[Column]) -> None:
    """Refuse to take the samples of several batteries for those of one."""
    whose = found.get("whose")
    if whose is None or np.unique(np.ma.compressed(whose)).size < 2:
        return
    name = next(it.name.strip() for it in columns if it.role == "whose")
    raise LoaderError(
        f"samples of several batteries, by the column {name}: say --battery-column '{name}', or "
        "load each from a file of its own"
    )


def _store(database: duckdb.DuckDBPyConnection, table: str, part: Part, scan: Scan) -> _Stored:
    """Read a file of several batteries into a table."""
    _executed(database, f"create temporary table {table} as {scan.typed}")
    rejected = _rejected(database, scan)
    if rejected is None:
        database.execute(f"drop table {table}")
        return _leniently(database, table, part, scan)
    numbered = f"(select *, rowid as position from {table})"
    return _Stored(part, numbered, scan.first_row, rejected, scan.is_time_unit_told)


def _leniently(database: duckdb.DuckDBPyConnection, table: str, part: Part, scan: Scan) -> _Stored:
    _executed(database, f"create temporary table {table} as {scan.lenient}")
    query = f"select row, wrong from {table} where wrong is not null order by row limit 1"
    if found := database.execute(query).fetchone():
        raise LoaderError(f"row {found[0]}: '{found[1]}' where a number is expected")
    source = f"(select * exclude (wrong) from {table} order by row)"
    return _Stored(
        part, source, scan.first_row, np.empty(0, dtype=np.int64), scan.is_time_unit_told
    )


def _executed(
    database: duckdb.DuckDBPyConnection,
    query: str,
    fetch: Callable[[duckdb.DuckDBPyConnection], Any] = lambda it: None,
) -> Any:
    try:
        return fetch(database.execute(query))
    except duckdb.OutOfMemoryException:
        raise LoaderError("more in it than a job's share of memory holds") from None
    except duckdb.Error as error:
        raise LoaderError(f"not readable as a table ({_first_line(error)})") from None


def _rejected(database: duckdb.DuckDBPyConnection, scan: Scan) -> NDArray[np.int64] | None:
    """Numbers of the rows that the typed query left out; None where one may be a sample."""
    if scan.lenient is None:
        return np.empty(0, dtype=np.int64)
    query = "select line, min(csv_line) from reject_errors group by line order by line"
    rows = database.execute(query).fetchall()
    for table in ("reject_errors", "reject_scans"):
        database.execute(f"drop table {table}")
    if any(scan.may_be_sample(text or "") for _, text in rows):
        return None
    return np.array([line for line, _ in rows], dtype=np.int64)


def select(
    columns: Sequence[Column],
    values: Callable[[Column], Sequence[str]],
    typed: Callable[[Column], bool],
    decimal: str = ".",
) -> str:
    """SQL that gives each column under the name of its role, as a number in the project's unit.

    `values` gives a column's first values as text, `typed` whether DuckDB reads it as numbers.
    Columns are c0, c1, … in their order in the file; one of a level above goes by its role.
    """
    parts = []
    for column in columns:
        name = f"c{column.index}" if column.index >= 0 else column.role
        if column.role == "battery":
            sql = f"{name}::varchar"
        elif column.role == "whose":
            sql = f"hash(nullif(trim({name}::varchar), '')) % {1 << 52}"
        elif column.role == "state":
            sql = f"state_of({name})"
        elif is_number(column, values(column)):
            column = _counting(column, values(column))
            sql = _number(column, name if typed(column) else _cast(name, decimal))
        elif column.role == "clock":
            first, other = dates.clock(column, name, values(column))
            parts.append(f"{other} as clock_other")
            sql = first
        else:
            sql = dates.elapsed(name, values(column))
        parts.append(f"{sql} as {column.role}")
    return ", ".join(parts)


def is_number(column: Column, values: Sequence[str]) -> bool:
    """Whether a column's values are to be read as numbers, not as dates, times or words."""
    if column.role in ("state", "battery", "whose"):
        return False
    if column.role in ("time", "step_time"):
        return not dates.are_times(values)
    return column.role != "clock" or column.unit is not None


def _counting(column: Column, values: Sequence[str]) -> Column:
    """Let a time whose unit no header tells be one since 1970, where its first value is."""
    first = next(iter(values), "")
    if column.role != "time" or column.is_unit_told or not first.isdecimal():
        return column
    scale = dates.epoch_scale(float(first))
    return column if scale is None else replace(column, unit=Unit("time", scale))


def quoted(path: Path) -> str:
    """A path as DuckDB's functions take it, its characters of patterns meaning themselves."""
    name = "".join(f"[{it}]" if it in "*?[" else it for it in str(path))
    return "'" + name.replace("'", "''") + "'"


def _table(stored: _Stored, found: dict[str, Any]) -> Table:
    """Make arrays of what a query gave, without rows that are no samples."""
    for name in ("battery", "whose"):
        found.pop(name, None)
    columns = {
        name: np.ma.filled(values.astype(np.float64, copy=False), np.nan)
        for name, values in found.items()
    }
    size = columns["voltage"].size
    rows = columns.pop("row", None)
    position = columns.pop("position", None)
    if rows is None:
        position = np.arange(size) if position is None else position
        before = stored.rejected - stored.first_row - np.arange(stored.rejected.size)
        rows = position + stored.first_row + np.searchsorted(before, position, side="right")
    columns, notes = dates.settle(columns)
    columns = dates.joined(columns)
    empty = np.isnan(columns["voltage"]) & np.isnan(columns["current"])
    if not size or empty.all():
        raise LoaderError("no samples in it")
    time_s = next(columns[it] for it in TIMES if it in columns)
    timeless = np.isnan(time_s) & ~empty
    if timeless.any():
        way_out = ": say how it is spelt with --column 'clock=NAME:%d.%m.%Y %H:%M:%S'"
        raise LoaderError(
            f"{timeless.sum():,} of {(~empty).sum():,} samples have no time, "
            f"the first in row {rows[timeless][0]:.0f}{way_out if timeless.all() else ''}"
        )
    if empty.any():
        columns, rows = {name: it[~empty] for name, it in columns.items()}, rows[~empty]
    if left := int(empty.sum()) + stored.rejected.size:
        notes = (*notes, f"{left:,} rows are no samples, and are left out")
    needed = ("voltage", "current")
    present = {
        name: it
        for name, it in columns.items()
        if name in needed or (_has_values(it) and not _is_unplugged(name, it))
    }
    return Table(
        stored.part.file_name,
        present,
        np.asarray(rows, dtype=np.float64),
        notes=notes,
        is_time_unit_told=stored.is_time_unit_told,
        part=stored.part,
    )


def _has_values(values: Samples) -> bool:
    return not np.isnan(values[0]) or not np.isnan(values).all()


def _is_unplugged(role: str, values: Samples) -> bool:
    """Tell whether a thermometer is none: cyclers write zeros where no sensor is connected."""
    return role in ("temperature", "ambient") and not np.nan_to_num(values).any()


def _names(database: duckdb.DuckDBPyConnection, stored: Sequence[_Stored]) -> list[str]:
    union = " union ".join(f"select battery from {it.source}" for it in stored)
    names = [name for (name,) in database.execute(union).fetchall()]
    if not names:
        raise LoaderError("no samples in it")
    if not all(names):
        raise LoaderError("samples without a battery in the column that tells it")
    return sorted(names)


def _number(column: Column, sql: str) -> str:
    if column.unit is None or (column.unit.scale, column.unit.offset) == (1.0, 0.0):
        return f"{sql}::double"
    offset = f" + {column.unit.offset!r}" if column.unit.offset else ""
    return f"{sql}::double * {column.unit.scale!r}{offset}"


def _cast(name: str, decimal: str) -> str:
    if decimal == ",":
        return f"try_cast(replace(replace(trim({name}), '.', ''), ',', '.') as double)"
    grouped = rf"regexp_full_match(trim({name}), '[+-]?\d{{1,3}}(,\d{{3}})+(\.\d+)?')"
    return (
        f"coalesce(try_cast(trim({name}) as double),"
        f" case when {grouped} then try_cast(replace({name}, ',', '') as double) end)"
    )


def _define_state(database: duckdb.DuckDBPyConnection) -> None:
    """Give DuckDB a function that says of a word what state it is."""
    cases = " ".join(f"when word like '{it}' then {value}" for it, value in state_patterns())
    database.execute(f"create temporary macro state_of_word(word) as case {cases} end::double")
    plain = "replace(replace(lower(trim(value::varchar)), '_', ' '), '-', ' ')"
    database.execute(f"create temporary macro state_of(value) as state_of_word({plain})")


def _first_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error).strip().split("\n")[0])
