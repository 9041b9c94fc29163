"""The one writer: rows into the staging tables, by binary COPY, a source whole or not at all."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from psycopg2.extensions import connection, cursor

from loader.battery import Battery, LoaderError
from loader.copy import Stream, encode

CONTRACT = (Path(__file__).parent / "staging.sql").read_text(encoding="utf-8")
VERSION = hashlib.sha256(CONTRACT.encode()).hexdigest()  # kept as the schema's comment
FACTS = (
    "battery_id", "layout", "procedure", "description", "rated_capacity_ah", "cutoff_v",
    "recordings", "samples",
)  # fmt: skip


class Origin(NamedTuple):
    """Where rows come from, and what tells whether they are loaded already."""

    file_name: str
    sha256: str
    size_bytes: int
    reading: str | None


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
    samples: int

    @classmethod
    def of(cls, battery: Battery) -> "Written":
        return cls(battery.battery_id, battery.recordings, battery.samples)


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
    bytes, it writes nothing and returns None. LoaderError is raised for a battery that has been
    loaded `since` from other bytes: two files of one load contradict each other.
    """
    written: list[Written] = []
    with database, database.cursor() as cursor:
        _lock(cursor, "staging contract", "_shared")
        for battery in batteries:
            _lock(cursor, f"battery {battery.battery_id}")
            if not written and _find(cursor, origin):
                return None
            _refuse_contradiction(cursor, battery.battery_id, since)
            _replace(cursor, battery, origin)
            written.append(Written.of(battery))
    return written


def _stands(cursor: cursor) -> bool:
    cursor.execute("select obj_description(to_regnamespace('staging'), 'pg_namespace')")
    return cursor.fetchone() == (VERSION,)


def _find(cursor: cursor, origin: Origin) -> Loaded | None:
    query = f"select {', '.join(Loaded._fields)} from staging.source_file"
    same = "where sha256 = %s and reading is not distinct from %s order by battery_id"
    cursor.execute(f"{query} {same}", (origin.sha256, origin.reading))
    row = cursor.fetchone()
    return Loaded(*row) if row else None


def _refuse_contradiction(cursor: cursor, battery_id: str, since: datetime) -> None:
    query = "select file_name from staging.source_file where battery_id = %s and loaded_at >= %s"
    cursor.execute(query, (battery_id, since))
    row = cursor.fetchone()
    if row:
        raise LoaderError(
            f"{battery_id} has just been loaded from {row[0]}, which differs: load one of the two"
        )


def _replace(cursor: cursor, battery: Battery, origin: Origin) -> None:
    cursor.execute("select tablename from pg_tables where schemaname = 'staging'")
    for (table,) in cursor.fetchall():
        cursor.execute(
            f'delete from staging."{table}" where battery_id = %s', (battery.battery_id,)
        )
    facts = {name: getattr(battery, name) for name in FACTS} | origin._asdict()
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
