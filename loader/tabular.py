"""Reader of CSV and Parquet time series, a row per sample, through DuckDB."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
from numpy.typing import NDArray

from loader.battery import Battery, LoaderError, Samples
from loader.mapping import COLUMNS, Mapping

SAMPLES = (Path(__file__).parent / "tabular.sql").read_text(encoding="utf-8")
REST_A = 0.01  # a cell at rest reads up to this


class TabularRecording(NamedTuple):
    """One charge, discharge or rest; columns and units: staging.sql."""

    battery_id: str
    recording_index: int
    recording_type: str
    started_at_unix_s: float | None
    cycle_count: int | None
    step_count: int | None
    ambient_temperature_c: float | None
    time_s: Samples
    voltage_v: Samples
    current_a: Samples
    temperature_c: Samples


def read(files: Sequence[Path], name: str, mapping: Mapping) -> Iterator[Battery]:
    """Yield the batteries in the files, in order of their names.

    `name` is the battery where neither an option nor a column tells it. Raises LoaderError when a
    file is not readable, a column is missing or not numeric, or a sample has no time.
    """
    with duckdb.connect(":memory:") as database:
        try:
            _name_columns(database, files, mapping)
            query = "select * exclude (battery_id) from samples"
            if mapping.battery_column is None:
                found = database.execute(query)
                yield _battery(mapping.battery_id or name, found.fetchnumpy(), mapping)
                return
            for battery_id in _batteries(database):
                found = database.execute(f"{query}_by_battery where battery_id = ?", [battery_id])
                yield _battery(battery_id, found.fetchnumpy(), mapping)
        except duckdb.Error as error:
            raise LoaderError(f"not readable as CSV or Parquet ({_first_line(error)})") from None


def _name_columns(
    database: duckdb.DuckDBPyConnection, files: Sequence[Path], mapping: Mapping
) -> None:
    reader = _reader(files)
    described = database.execute(f"describe select * from {reader}").fetchall()
    present = {row[0].lower(): row[0] for row in described}
    chosen: dict[str, str] = {}
    for role, standard in COLUMNS.items():
        wanted = mapping.columns.get(role, standard)
        if wanted.lower() in present:
            chosen[role] = present[wanted.lower()]
        elif role in mapping.columns:
            raise LoaderError(f"column {wanted} ({role}) is missing; found {', '.join(present)}")
    if "time" not in chosen and "unix_time" in chosen:
        chosen["time"] = chosen["unix_time"]
    for role in ("time", "voltage", "current"):
        if role not in chosen:
            raise LoaderError(
                f"column {COLUMNS[role]} is missing: name yours with --column {role}=NAME; "
                f"found {', '.join(present)}"
            )
    if mapping.battery_column:
        if mapping.battery_column.lower() not in present:
            raise LoaderError(f"column {mapping.battery_column} (battery) is missing")
        chosen["battery"] = present[mapping.battery_column.lower()]
    roles = {role: _quoted(chosen[role]) if role in chosen else "null" for role in COLUMNS}
    battery = _quoted(chosen["battery"]) if "battery" in chosen else "null"
    sign = -1 if mapping.current_sign == "discharge-positive" else 1
    database.execute(SAMPLES.format(**roles, battery=battery, sign=sign, reader=reader))


def _batteries(database: duckdb.DuckDBPyConnection) -> list[str]:
    # Files are read once, and what does not fit into memory goes to DuckDB's own temporary files.
    database.execute("create temporary table samples_by_battery as from samples")
    found = database.execute("select distinct battery_id from samples_by_battery").fetchall()
    names = [name for (name,) in found]
    if not all(names):
        raise LoaderError("samples without a battery in the column that tells it")
    if not names:
        raise LoaderError("no samples in it")
    return sorted(names)


def _battery(battery_id: str, samples: dict[str, Samples], mapping: Mapping) -> Battery:
    samples = _in_order(samples)
    current = samples["current_a"]
    starts = _starts(samples)
    ends = np.append(starts[1:], current.size)
    flowing = np.where(np.abs(current) > REST_A, current, 0.0)
    flowed = np.add.reduceat(np.nan_to_num(flowing), starts)
    kinds = np.select([flowed > 0, flowed < 0], ["charge", "discharge"], "rest").tolist()
    recordings: list[NamedTuple] = [
        TabularRecording(
            battery_id=battery_id,
            recording_index=index,
            recording_type=kind,
            started_at_unix_s=_number(samples["unix_time_s"][start]),
            cycle_count=_count(samples["cycle_count"][start]),
            step_count=_count(samples["step_count"][start]),
            ambient_temperature_c=_number(samples["ambient_temperature_c"][start]),
            time_s=samples["time_s"][start:end],
            voltage_v=samples["voltage_v"][start:end],
            current_a=current[start:end],
            temperature_c=samples["temperature_c"][start:end],
        )
        for index, (kind, start, end) in enumerate(
            zip(kinds, starts.tolist(), ends.tolist(), strict=True), start=1
        )
    ]
    return Battery(
        battery_id=battery_id,
        layout="tabular",
        tables={"tabular_recording": recordings},
        samples=current.size,
        rated_capacity_ah=mapping.rated_capacity_ah,
        cutoff_v=mapping.cutoff_v,
    )


def _in_order(samples: dict[str, Samples]) -> dict[str, Samples]:
    """Sort by time, which every sample must have; at the same time the file's order stands."""
    time_s = samples["time_s"]
    if not time_s.size:
        raise LoaderError("no samples in it")
    timeless = int((~np.isfinite(time_s)).sum())
    if timeless:
        raise LoaderError(f"{timeless:,} of {time_s.size:,} samples have no time")
    if (time_s[1:] >= time_s[:-1]).all():
        return samples
    order = np.argsort(time_s, kind="stable")
    return {name: values[order] for name, values in samples.items()}


def _starts(samples: dict[str, Samples]) -> NDArray[np.intp]:
    """Sample numbers, from 0, at which a recording starts [recordings].

    Where cycle or step changes; without steps also where the current turns, a rest belonging to
    what it follows.
    """
    turns = np.zeros(samples["time_s"].size, dtype=bool)
    turns[0] = True
    for name in ("cycle_count", "step_count"):
        count = np.nan_to_num(samples[name], nan=-1.0)
        turns[1:] |= count[1:] != count[:-1]
    if np.isnan(samples["step_count"]).all():
        current = samples["current_a"]
        sign = np.where(np.abs(current) > REST_A, np.sign(current), 0.0)
        flowing = np.flatnonzero(sign)
        if flowing.size:
            turns[flowing[1:]] |= sign[flowing[1:]] != sign[flowing[:-1]]
    return np.flatnonzero(turns)


def _reader(files: Sequence[Path]) -> str:
    start = files[0].open("rb").read(4)
    # In a class of its own, a character of patterns stands for itself.
    escaped = ["".join(f"[{it}]" if it in "*?[" else it for it in str(file)) for file in files]
    names = ", ".join("'" + name.replace("'", "''") + "'" for name in escaped)
    if start == b"PAR1":
        return f"read_parquet([{names}], union_by_name = true)"
    compression = {b"\x1f\x8b": "gzip", b"\x28\xb5": "zstd"}.get(start[:2], "none")
    return f"read_csv([{names}], compression = '{compression}', union_by_name = true)"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _first_line(error: Any) -> str:
    return str(error).strip().split("\n")[0]


def _number(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)


def _count(value: np.float64) -> int | None:
    return None if np.isnan(value) else int(value)
