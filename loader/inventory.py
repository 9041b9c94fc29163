"""What staging holds: the pieces of each battery, and the files that they are from."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from psycopg2.extensions import connection, cursor

from loader import contract, readers
from loader.battery import LoaderError, Span
from loader.placing import Piece

KNOWN = (Path(__file__).parent / "known.sql").read_text(encoding="utf-8")


class Known(NamedTuple):
    """Files that have been loaded, or that others have replaced since."""

    battery_id: str
    file_name: str  # of the piece that holds
    is_replaced: bool
    parts: frozenset[str]  # SHA-256 of each


class Loaded(NamedTuple):
    """What staging holds of one piece of a battery."""

    battery_id: str
    piece: str
    layout: str
    recordings: int
    samples: int
    begins_at: datetime | None  # null where there are no dates, or the file is the whole battery
    ends_at: datetime | None
    loaded_at: datetime


def status(database: connection) -> list[Loaded]:
    """Return what is loaded, by battery and time; nothing where there are no staging tables yet.

    Tables of an earlier version are brought over.
    """
    with database, database.cursor() as cursor:
        cursor.execute("select to_regclass('staging.source_file') is not null")
        if cursor.fetchone() != (True,):
            return []
    contract.prepare(database)
    with database, database.cursor() as cursor:
        cursor.execute(
            "select battery_id, piece, layout, recordings, samples,"
            " case when is_dated then to_timestamp(begins_s) end,"
            " case when is_dated then to_timestamp(ends_s) end, loaded_at"
            " from staging.source_file order by battery_id, begins_s, piece"
        )
        return [Loaded(*row) for row in cursor.fetchall()]


def known(
    database: connection, parts: Sequence[str], reading: str, battery_id: str = ""
) -> list[Known]:
    """Return what is known of files, by their checksums, that were read the same way.

    Of one battery where it is named: equal files may be another one's.
    """
    with database, database.cursor() as cursor:
        return of_files(cursor, parts, reading, battery_id) if contract.stands(cursor) else []


def remove(database: connection, battery_ids: Sequence[str], piece: str | None = None) -> None:
    """Delete all that staging holds of the batteries, or of one a piece.

    Raises LoaderError, and deletes nothing, where one is not loaded.
    """
    loaded = status(database)
    batteries = list(dict.fromkeys(it.battery_id for it in loaded))
    if unknown := [it for it in battery_ids if it not in batteries]:
        raise LoaderError(
            f"{', '.join(unknown)}: not loaded, nothing was removed; loaded are "
            f"{', '.join(batteries) or 'none'}"
        )
    with database, database.cursor() as cursor:
        for battery_id in sorted(battery_ids):
            contract.lock(cursor, f"battery {battery_id}")
            there = [it.name for it in pieces(cursor, battery_id)]
            if piece is not None and piece not in there:
                raise LoaderError(f"{battery_id} has no piece {piece}: it has {', '.join(there)}")
            for name in there if piece is None else [piece]:
                _delete(cursor, battery_id, name)


def of_files(
    cursor: cursor, parts: Sequence[str], reading: str, battery_id: str = ""
) -> list[Known]:
    """Return what is known of files, within a transaction."""
    values = {"parts": list(parts), "reading": reading, "battery_id": battery_id}
    cursor.execute(KNOWN, values | {"readers": readers.version()})
    return [
        Known(battery_id, file_name, is_replaced, frozenset(found))
        for battery_id, file_name, is_replaced, found in cursor.fetchall()
    ]


def pieces(cursor: cursor, battery_id: str, since: datetime | None = None) -> list[Piece]:
    """Return the pieces of a battery in order of time, within a transaction."""
    cursor.execute(
        "select piece, begins_s, ends_s, origin_s, is_dated, fingerprint, content,"
        " coalesce(loaded_at >= %s, false) from staging.source_file"
        " where battery_id = %s order by begins_s, piece",
        (since, battery_id),
    )
    return [
        Piece(name, None if span[0] is None else Span(*span), *rest)
        for name, *span, rest in ((*row[:5], row[5:]) for row in cursor.fetchall())
    ]


def forget(cursor: cursor, battery_id: str, piece: str, replaced_by: str) -> None:
    """Delete a piece that another takes the place of, and note that, once for all it was from."""
    cursor.execute(
        "update staging.replaced_file set replaced_by = %s"
        " where battery_id = %s and replaced_by = %s",
        (replaced_by, battery_id, piece),
    )
    cursor.execute(
        "insert into staging.replaced_file (battery_id, parts, reading, file_name, replaced_by)"
        " select battery_id, parts, coalesce(reading, ''), file_name, %s from staging.source_file"
        " where battery_id = %s and piece = %s",
        (replaced_by, battery_id, piece),
    )
    _delete_rows(cursor, battery_id, piece)


def _delete(cursor: cursor, battery_id: str, piece: str) -> None:
    """Delete a piece, so that its files, and those it took the place of, can be loaded again."""
    cursor.execute(
        "select parts from staging.source_file where battery_id = %s and piece = %s",
        (battery_id, piece),
    )
    cursor.execute(
        "update staging.source_file set parts = '{}' where parts && %s::text[]", cursor.fetchone()
    )
    cursor.execute(
        "delete from staging.replaced_file where battery_id = %s and replaced_by = %s",
        (battery_id, piece),
    )
    _delete_rows(cursor, battery_id, piece)


def _delete_rows(cursor: cursor, battery_id: str, piece: str) -> None:
    cursor.execute(
        "select table_name from information_schema.columns"
        " where table_schema = 'staging' and column_name = 'piece'"
    )
    for (table,) in cursor.fetchall():
        cursor.execute(
            f'delete from staging."{table}" where battery_id = %s and piece = %s',
            (battery_id, piece),
        )
