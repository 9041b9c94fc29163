"""The staging schema: made, or brought over, by staging.sql; and the locks that order loads."""

import hashlib
from datetime import datetime
from pathlib import Path

from psycopg2.extensions import connection, cursor

CONTRACT = (Path(__file__).parent / "staging.sql").read_text(encoding="utf-8")
VERSION = hashlib.sha256(CONTRACT.encode()).hexdigest()  # kept as the schema's comment


def prepare(database: connection) -> datetime:
    """Create the staging tables where they are missing or older; return the server's time."""
    with database, database.cursor() as cursor:
        lock(cursor, "staging contract")
        if not stands(cursor):
            cursor.execute(CONTRACT)
            cursor.execute("comment on schema staging is %s", (VERSION,))
        cursor.execute("select now()")
        (now,) = cursor.fetchone() or (None,)
    assert isinstance(now, datetime)
    return now


def stands(cursor: cursor) -> bool:
    """Tell whether the tables are there, and of this version."""
    cursor.execute("select obj_description(to_regnamespace('staging'), 'pg_namespace')")
    return cursor.fetchone() == (VERSION,)


def lock(cursor: cursor, what: str, mode: str = "") -> None:
    """Wait for the advisory lock on `what`; it ends with the transaction."""
    cursor.execute(f"select pg_advisory_xact_lock{mode}(hashtextextended(%s, 0))", (what,))
