"""Reads what dbt built, through a pool of read-only connections, opened again when they break."""

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import connection
from psycopg2.extras import RealDictCursor

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

    # psycopg2's own pools refuse at once when all connections are out, where waiting would do.

    def __init__(self, connect: Callable[[], connection] = database.connect) -> None:
        self._open = connect
        self._slots = threading.BoundedSemaphore(POOL_SIZE)
        self._idle: queue.SimpleQueue[connection] = queue.SimpleQueue()

    def rows(self, name: str, **values: object) -> list[Row]:
        """Return what the query answers; raises StoreError where there is no answer to be had."""
        if not self._slots.acquire(timeout=WAIT_S):
            raise StoreError("all connections to the database are busy: try again")
        try:
            return self._ask(QUERIES[name], values)
        except (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn):
            raise StoreError(
                "the database lacks what dbt builds: load recordings with `python -m loader PATH`, "
                "then run `python -m dbt_project build`"
            ) from None
        except (psycopg2.Error, database.DatabaseError) as error:
            raise StoreError(database.one_line(error)) from None
        finally:
            self._slots.release()

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while opened := self._take():
            opened.close()

    def _ask(self, query: str, values: Row) -> list[Row]:
        while opened := self._take():  # any of them may have died since it was last used
            try:
                return self._execute(opened, query, values)
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                if not opened.closed:  # alive, and refused: out of time, out of memory
                    raise
        return self._execute(self._connect(), query, values)

    def _take(self) -> connection | None:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return None

    def _connect(self) -> connection:
        opened = self._open()
        opened.autocommit = True
        with opened.cursor() as cursor:
            cursor.execute(QUERIES["session"])
        return opened

    def _execute(self, opened: connection, query: str, values: Row) -> list[Row]:
        try:
            with opened.cursor(cursor_factory=RealDictCursor) as cursor:
                cursor.execute(query, values)
                return [dict(row) for row in cursor.fetchall()]
        finally:
            if not opened.closed:
                self._idle.put(opened)
