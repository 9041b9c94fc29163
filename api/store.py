"""Reads what dbt built, through a pool of read-only connections, opened again when they break."""

from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, cast

import psycopg2
from psycopg2.extensions import connection
from psycopg2.extras import RealDictCursor
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.exc import TimeoutError as BusyError
from sqlalchemy.pool import QueuePool

import database

POOL_SIZE = 8
WAIT_S = 3
SQL = Path(__file__).parent / "sql"
QUERIES = {path.stem: path.read_text(encoding="utf-8") for path in SQL.glob("*.sql")}

Row = dict[str, Any]


class StoreError(Exception):
    """Says in one line why the database gives no answer, and what to do."""


class Store:
    """Answers the queries of sql/ by name, each in a connection of its own."""

    def __init__(self, open_one: Callable[[], connection] = database.connect) -> None:
        self._pool = QueuePool(
            partial(connect, open_one),  # type: ignore[arg-type]  # typed but for its rowcount
            pool_size=POOL_SIZE,
            max_overflow=0,
            timeout=WAIT_S,
            reset_on_return=None,  # nothing is written, and no transaction left open
            pre_ping=True,  # any of them may have died since it was last used
            dialect=PGDialect_psycopg2(dbapi=psycopg2),  # type: ignore[no-untyped-call]
        )

    def rows(self, name: str, **values: object) -> list[Row]:
        """Return what the query answers; raises StoreError where there is no answer to be had."""
        try:
            with closing(self._pool.connect()) as lent:
                opened = cast(connection, lent.dbapi_connection)
                with opened.cursor(cursor_factory=RealDictCursor) as cursor:
                    cursor.execute(QUERIES[name], values)
                    return [dict(row) for row in cursor.fetchall()]
        except BusyError:
            raise StoreError("all connections to the database are busy: try again") from None
        except (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn):
            raise StoreError(
                "the database lacks what dbt builds: load recordings with `python -m loader PATH`, "
                "then run `python -m dbt_project build`"
            ) from None
        except (psycopg2.Error, database.DatabaseError) as error:
            raise StoreError(database.one_line(error)) from None

    def stamp(self, battery_id: str) -> str:
        """Return what changes whenever a build writes a row of the battery anew."""
        return str(self.rows("stamp", battery_id=battery_id)[0]["stamp"])

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._pool.dispose()


def connect(open_one: Callable[[], connection] = database.connect) -> connection:
    """Open a connection as the service has them: sql/session.sql."""
    opened = open_one()
    opened.autocommit = True
    with opened.cursor() as cursor:
        cursor.execute(QUERIES["session"])
    return opened
