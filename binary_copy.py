"""PostgreSQL's binary COPY format: rows in, bytes out."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO, RawIOBase
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg2.extensions import cursor

FLOAT8_OID = 701
HEAD = 19  # bytes before the first row
ELEMENT = np.dtype([("bytes", ">i4"), ("value", ">f8")])  # a float8 within an array, on the wire


def encode(rows: Iterable[tuple[Any, ...]]) -> Iterator[bytes]:
    """Yield the rows in PostgreSQL's binary COPY format, a row at a time.

    Values are str, bool, int (int4), float (float8), float64 arrays [n] (float8[]) and None.
    Source: PostgreSQL documentation, COPY, "Binary Format"; array_send in arrayfuncs.c.
    """
    yield b"PGCOPY\n\xff\r\n\0" + bytes(8)
    for row in rows:
        yield struct.pack(">h", len(row)) + b"".join(map(_field, row))
    yield struct.pack(">h", -1)


def _field(value: str | bool | int | float | NDArray[np.float64] | None) -> bytes:
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
    if isinstance(value, bool):
        return struct.pack(">i?", 1, value)
    if isinstance(value, int):
        return struct.pack(">ii", 4, value)
    text = value.encode()
    return struct.pack(">i", len(text)) + text


def copy(
    cursor: cursor, table: str, rows: Iterable[tuple[Any, ...]], columns: Sequence[str]
) -> None:
    """Append rows to a table by COPY; the table's name is taken as it stands."""
    cursor.copy_expert(
        f"copy {table} ({', '.join(columns)}) from stdin (format binary)",
        Stream(encode(rows)),
        size=1 << 18,
    )


class Stream(RawIOBase):
    """A readable file over chunks of bytes, so that a table is never held encoded as a whole."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        parts: list[bytes | memoryview] = [self._rest]
        have = len(self._rest)
        while have < size and (chunk := next(self._chunks, None)) is not None:
            parts.append(chunk)
            have += len(chunk)
        whole = memoryview(b"".join(parts)) if len(parts) > 1 else self._rest
        self._rest = whole[size:]
        return bytes(whole[:size])


def read(cursor: cursor, query: bytes, columns: int) -> NDArray[np.float64]:
    """Return what a query tells, [rows, columns]: all float8, and none of it null."""
    received = BytesIO()
    cursor.copy_expert(b"copy (" + query + b") to stdout (format binary)", received)
    row = np.dtype([("fields", ">i2"), ("columns", ELEMENT, (columns,))])
    rows = np.frombuffer(received.getbuffer()[HEAD:-2], row)
    return rows["columns"]["value"].astype(np.float64)
