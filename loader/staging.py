"""The one writer: rows into the staging tables, by binary COPY, a source whole or not at all."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from psycopg2.extensions import connection, cursor

from binary_copy import Stream, encode
from loader import readers
from loader.battery import Battery, LoaderError

CONTRACT = (Path(__file__).parent / "staging.sql").read_text(encoding="utf-8")
VERSION = hashlib.sha256(CONTRACT.encode()).hexdigest()  # kept as the schema's comment
FACTS = (
    "battery_id", "layout", "procedure", "description", "rated_capacity_ah", "cutoff_v",
    "full_charge_v", "ambient_temperature_c", "largest_current_a", "charge_limit_v",
    "recordings", "samples",
)  # fmt: skip


class Origin(NamedTuple):
    """Where rows come from, and what they depend on: bytes, reading and version of the reader.

    And on the battery's name, where the bytes do not tell whose they are.
    """

    file_name: str
    sha256: str
    size_bytes: int
    reading: str
    fingerprint: str

    @classmethod
    def of(
        cls, file_name: str, sha256: str, size_bytes: int, reading: str, battery_id: str
    ) -> "Origin":
        parts = f"{sha256} {battery_id} {reading} {readers.version()}"
        fingerprint = hashlib.sha256(parts.encode()).hexdigest()
        return cls(file_name, sha256, size_bytes, reading, fingerprint)


class Loaded(NamedTuple):
    """What staging holds of one battery."""

    battery_id: str
    layout: str
    file_name: str
    recordings: int
    samples: int
    loaded_at: datetime


class Written(NamedTuple):
    """How much of one battery went into staging."""

    battery_id: str
    recordings: int
    discharges: int
    samples: int
    notes: tuple[str, ...]
    twin: str | None = None  # the file that the same recordings are loaded from already

    @classmethod
    def of(cls, battery: Battery) -> "Written":
        counts = (battery.recordings, battery.discharges, battery.samples)
        return cls(battery.battery_id, *counts, battery.notes)


def prepare(database: connection) -> datetime:
    """Create the staging tables where they are missing or older; return the server's time."""
    with database, database.cursor() as cursor:
        _lock(cursor, "staging contract")
        if not _stands(cursor):
            cursor.execute(CONTRACT)
            cursor.execute("comment on schema staging is %s", (VERSION,))
        cursor.execute("select now()")
        (now,) = cursor.fetchone() or (None,)
    assert isinstance(now, datetime)
    return now


def status(database: connection) -> list[Loaded]:
    """Return what is loaded, by battery; nothing where the staging tables do not exist yet."""
    query = f"select {', '.join(Loaded._fields)} from staging.source_file order by battery_id"
    with database, database.cursor() as cursor:
        cursor.execute("select to_regclass('staging.source_file') is not null")
        if cursor.fetchone() != (True,):
            return []
        cursor.execute(query)
        return [Loaded(*row) for row in cursor.fetchall()]


def find(database: connection, origin: Origin) -> Loaded | None:
    """Return what the same bytes, read the same way, were loaded as, if they were."""
    with database, database.cursor() as cursor:
        return _find(cursor, origin) if _stands(cursor) else None


def write(
    database: connection, batteries: Iterable[Battery], origin: Origin, since: datetime
) -> list[Written] | None:
    """Replace all that staging holds of the batteries, in one transaction; tell how much.

    A second loader of the same battery waits for the first to commit; where it then finds the same
    bytes, it writes nothing and returns None. The same recordings in another file are left alone.
    LoaderError is raised for a battery that has been loaded `since` with other recordings: two
    files of one load contradict each other.
    """
    written: list[Written] = []
    with database, database.cursor() as cursor:
        _lock(cursor, "staging contract", "_shared")
        for battery in batteries:
            _lock(cursor, f"battery {battery.battery_id}")
            if not written and _find(cursor, origin):
                return None
            content = _content(battery, origin)
            if twin := _twin(cursor, battery.battery_id, content, since):
                written.append(Written.of(battery)._replace(twin=twin))
                continue
            _replace(cursor, battery, origin, content)
            written.append(Written.of(battery))
    return written


def remove(database: connection, battery_ids: Sequence[str]) -> None:
    """Delete all that staging holds of the batteries; raises LoaderError, where one is unknown."""
    loaded = [row.battery_id for row in status(database)]
    if unknown := [it for it in battery_ids if it not in loaded]:
        raise LoaderError(
            f"{', '.join(unknown)}: not loaded, nothing was removed; loaded are "
            f"{', '.join(loaded) or 'none'}"
        )
    with database, database.cursor() as cursor:
        for battery_id in battery_ids:
            _lock(cursor, f"battery {battery_id}")
            _delete(cursor, battery_id)


def _stands(cursor: cursor) -> bool:
    cursor.execute("select obj_description(to_regnamespace('staging'), 'pg_namespace')")
    return cursor.fetchone() == (VERSION,)


def _find(cursor: cursor, origin: Origin) -> Loaded | None:
    query = f"select {', '.join(Loaded._fields)} from staging.source_file"
    cursor.execute(f"{query} where fingerprint = %s order by battery_id", (origin.fingerprint,))
    row = cursor.fetchone()
    return Loaded(*row) if row else None


def _twin(cursor: cursor, battery_id: str, content: str, since: datetime) -> str | None:
    """Name the file that the same recordings are loaded from; raise where others just have been."""
    query = "select file_name, content, loaded_at >= %s from staging.source_file"
    cursor.execute(f"{query} where battery_id = %s", (since, battery_id))
    row = cursor.fetchone()
    if row and row[1] == content:
        return str(row[0])
    if row and row[2]:
        raise LoaderError(
            f"{battery_id} has just been loaded from {row[0]}, which differs: load one of the two"
        )
    return None


def _content(battery: Battery, origin: Origin) -> str:
    """A checksum of the recordings that is the same for two exports of the same samples.

    Sums, because a text export may differ in the last digit; what else the rows depend on is in it.
    """
    digest = hashlib.sha256(f"{origin.reading} {readers.version()}".encode())
    for rows in battery.tables.values():
        for row in rows:
            arrays = (it for it in row if isinstance(it, np.ndarray))
            sums = (f"{it.size} {np.add.reduce(it):.8g}" for it in arrays)
            digest.update(f"{getattr(row, 'recording_type', '')} {' '.join(sums)}".encode())
    return digest.hexdigest()


def _delete(cursor: cursor, battery_id: str) -> None:
    cursor.execute("select tablename from pg_tables where schemaname = 'staging'")
    for (table,) in cursor.fetchall():
        cursor.execute(f'delete from staging."{table}" where battery_id = %s', (battery_id,))


def _replace(cursor: cursor, battery: Battery, origin: Origin, content: str) -> None:
    _delete(cursor, battery.battery_id)
    facts = {name: getattr(battery, name) for name in FACTS} | origin._asdict()
    facts["content"] = content
    cursor.execute(
        f"insert into staging.source_file ({', '.join(facts)})"
        f" values ({', '.join(f'%({name})s' for name in facts)})",
        facts,
    )
    for table, rows in battery.tables.items():
        copy(cursor, table, rows)


def copy(cursor: cursor, table: str, rows: Sequence[NamedTuple]) -> None:
    """Append rows to a staging table; their field names are its columns."""
    if rows:
        cursor.copy_expert(
            f"copy staging.{table} ({', '.join(rows[0]._fields)}) from stdin (format binary)",
            Stream(encode(rows)),
            size=1 << 18,
        )


def _lock(cursor: cursor, what: str, mode: str = "") -> None:
    """Wait for the advisory lock on `what`; it ends with the transaction."""
    cursor.execute(f"select pg_advisory_xact_lock{mode}(hashtextextended(%s, 0))", (what,))
