"""Answers one question: which Postgres? `DATABASE_URL`, else libpq's `PG*`, else an embedded one.

The embedded one (embedded.py) is reached by Unix socket only, started on first use, left running.

    python -m database start | stop | url | psql
"""

import argparse
import os
import sys
from urllib.parse import quote

import psycopg2
import psycopg2.extensions

import embedded


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
    return embedded_url()


def embedded_url(name: str = "postgres") -> str:
    """Return the connection string of a database in the embedded server, running or not."""
    folder = quote(str(embedded.socket_folder()), safe="/")
    return f"postgresql://postgres@:{embedded.PORT}/{name}?host={folder}"


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
    try:
        embedded.start()
    except embedded.StartError as error:
        raise DatabaseError(f"the embedded PostgreSQL did not start: {error}") from None


def stop() -> None:
    """Stop the embedded server if it runs; the data stay. Raises DatabaseError if it cannot."""
    try:
        embedded.stop()
    except embedded.StartError as error:
        raise DatabaseError(f"the embedded PostgreSQL did not stop: {error}") from None


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
    psql = embedded.programs() / "psql"
    os.execv(psql, [str(psql), conninfo, *arguments])


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m database",
        description=__doc__.split("\n")[0],
        epilog="What follows psql is psql's: `python -m database psql --help`.",
    )
    parser.add_argument("command", choices=["start", "stop", "url", "psql"])
    given = sys.argv[1:]
    try:
        if given[:1] == ["psql"]:
            _psql(given[1:])
        command = parser.parse_args(given).command
        if not is_embedded() and command in ("start", "stop"):
            print("DATABASE_URL or PGHOST names a server: it is not ours to start or stop")
        elif command == "stop":
            stop()
        elif command == "url":
            print(url())
        else:
            start()
            print(f"PostgreSQL answers; its data are in {embedded.FOLDER}")
    except DatabaseError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
