"""The one writer: a battery's rows into the staging tables, by binary COPY, whole or not at all."""

import hashlib
import struct
from collections.abc import Iterable, Iterator
from io import RawIOBase
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from psycopg2.extensions import connection

from loader.matlab import Battery, Samples

CONTRACT = (Path(__file__).parent / "staging.sql").read_text(encoding="utf-8")
FLOAT8_OID = 701
ELEMENT = np.dtype([("bytes", ">i4"), ("value", ">f8")])  # a float8 within an array, on the wire


class Loaded(NamedTuple):
    """A file that staging already holds."""

    battery_id: str
    file_name: str


def prepare(database: connection) -> None:
    """Create the staging tables where they are missing; does nothing when the contract stands."""
    contract = hashlib.sha256(CONTRACT.encode()).hexdigest()
    with database, database.cursor() as cursor:
        _lock(cursor, "staging contract")
        cursor.execute("select obj_description(to_regnamespace('staging'), 'pg_namespace')")
        if cursor.fetchone() != (contract,):
            cursor.execute(CONTRACT)
            cursor.execute("comment on schema staging is %s", (contract,))


def find(database: connection, sha256: str) -> Loaded | None:
    """Return which battery the bytes with this checksum were loaded as, if they were."""
    query = "select battery_id, file_name from staging.source_file where sha256 = %s"
    with database, database.cursor() as cursor:
        cursor.execute(query, (sha256,))
        row = cursor.fetchone()
    return Loaded(*row) if row else None


def write(database: connection, battery: Battery, file_name: str, content: bytes) -> None:
    """Replace all that staging holds of the battery, in one transaction.

    A second loader of the same battery waits for the first to commit.
    """
    with database, database.cursor() as cursor:
        _lock(cursor, f"battery {battery.battery_id}")
        cursor.execute("select tablename from pg_tables where schemaname = 'staging'")
        for (table,) in cursor.fetchall():
            cursor.execute(
                f'delete from staging."{table}" where battery_id = %s', (battery.battery_id,)
            )
        source = _SourceFile(
            battery_id=battery.battery_id,
            file_name=file_name,
            sha256=hashlib.sha256(content).hexdigest(),
            size_bytes=len(content),
            layout=battery.layout,
            procedure=battery.procedure,
            description=battery.description,
            recordings=battery.recordings,
            samples=battery.samples,
        )
        names = ", ".join(source._fields)
        holders = ", ".join(f"%({name})s" for name in source._fields)
        cursor.execute(
            f"insert into staging.source_file ({names}) values ({holders})", source._asdict()
        )
        for table, rows in battery.tables.items():
            if rows:
                columns = ", ".join(rows[0]._fields)
                cursor.copy_expert(
                    f"copy staging.{table} ({columns}) from stdin (format binary)",
                    _Stream(encode(rows)),
                    size=1 << 18,
                )


def encode(rows: Iterable[tuple[Any, ...]]) -> Iterator[bytes]:
    """Yield the rows in PostgreSQL's binary COPY format, a row at a time.

    Values are str, int (int4), float (float8), float64 arrays [n] (float8[]) and None.
    Source: PostgreSQL documentation, COPY, "Binary Format"; array_send in arrayfuncs.c.
    """
    yield b"PGCOPY\n\xff\r\n\0" + bytes(8)
    for row in rows:
        yield struct.pack(">h", len(row)) + b"".join(map(_field, row))
    yield struct.pack(">h", -1)


def _field(value: str | int | float | Samples | None) -> bytes:
    if value is None:
        return struct.pack(">i", -1)
    if isinstance(value, np.ndarray):
        elements = np.empty(value.size, ELEMENT)
        elements["bytes"] = 8
        elements["value"] = value
        payload: bytes = elements.tobytes()
        if not payload:  # an empty array has no dimensions
            return struct.pack(">iiiI", 12, 0, 0, FLOAT8_OID)
        head = struct.pack(">iiIii", 1, 0, FLOAT8_OID, value.size, 1)
        return b"".join((struct.pack(">i", len(head) + len(payload)), head, payload))
    if isinstance(value, float):
        return struct.pack(">id", 8, value)
    if isinstance(value, int):
        return struct.pack(">ii", 4, value)
    text = value.encode()
    return struct.pack(">i", len(text)) + text


class _SourceFile(NamedTuple):
    battery_id: str
    file_name: str
    sha256: str
    size_bytes: int
    layout: str
    procedure: str | None
    description: str | None
    recordings: int
    samples: int


class _Stream(RawIOBase):
    """A readable file over chunks of bytes, so that a table is never held encoded as a whole."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while len(self._buffer) < size and (chunk := next(self._chunks, None)) is not None:
            self._buffer += chunk
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken


def _lock(cursor: Any, what: str) -> None:
    cursor.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (what,))
