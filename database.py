"""Answers one question: which Postgres? `DATABASE_URL`, else libpq's `PG*`, else an embedded one.

Which schema of it: `DBT_SCHEMA`, else public. The embedded server (embedded.py) is reached by Unix
socket only, started on first use, left running.

    python -m database start | stop | url | psql
"""

import argparse
import os
import re
import shutil
import sys
from contextlib import closing
from urllib.parse import quote

import psycopg2
import psycopg2.extensions

import embedded

NAMES_A_SERVER = ("DATABASE_URL", "PGSERVICE", "PGHOST", "PGHOSTADDR")
# What libpq calls differently: else it is sslmode and PGSSLMODE, target_session_attrs and so on.
VARIABLES = {"dbname": "PGDATABASE", "connect_timeout": "PGCONNECT_TIMEOUT"}


class DatabaseError(Exception):
    """Says in one line which server was tried, what it answered, and what to do."""


def is_embedded() -> bool:
    """Tell whether no server was named, so that the embedded one is used."""
    return not any(os.environ.get(name) for name in NAMES_A_SERVER)


def schema() -> str:
    """Return the schema that dbt builds into, and that all others read from.

    Raises DatabaseError for a name that SQL quotes: dbt does not find again what it built there.
    """
    name = os.environ.get("DBT_SCHEMA") or "public"
    if not re.fullmatch("[a-z_][a-z0-9_]{0,49}", name):  # <name>_intermediate has 63 bytes at most
        raise DatabaseError(
            f"DBT_SCHEMA is {name!r}: choose at most 50 lower-case letters, digits and underscores"
        )
    return name


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
    """Connect, with `schema()` as the search path.

    Raises DatabaseError, in one line, where psycopg2 would raise OperationalError.
    """
    conninfo = url()
    try:
        opened = psycopg2.connect(conninfo, application_name="battery-forecast")
        opened.autocommit = True  # or a rollback would take the search path back
        with opened.cursor() as cursor:
            cursor.execute("select set_config('search_path', quote_ident(%s), false)", [schema()])
        opened.autocommit = False
        return opened
    except psycopg2.OperationalError as error:
        raise DatabaseError(_explain(error)) from None
    except psycopg2.ProgrammingError as error:
        raise DatabaseError(
            f"DATABASE_URL is not a connection string ({str(error).strip()}); "
            "write postgresql://user:password@host:5432/database"
        ) from None


def hand_over() -> bool:
    """Put the connection into libpq's own variables, for dbt and psql; tell whether it uses SSL.

    Connects, and takes what libpq itself made of URL, service, password file and variables. dbt
    takes no URL, and a service would not count there, where it names host and user to libpq.
    """
    with closing(connect()) as opened:
        info = opened.info
        is_secret = info.ssl_in_use
        told = {**info.dsn_parameters, "password": info.password or ""}
        told |= {"host": info.host, "port": str(info.port)}  # of several, the one that answered
    if "," in told.get("hostaddr", ""):
        del told["hostaddr"]
    for name in NAMES_A_SERVER:
        os.environ.pop(name, None)
    for name, value in told.items():
        os.environ[VARIABLES.get(name, "PG" + name.replace("_", "").upper())] = value
    return is_secret


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


def one_line(error: BaseException) -> str:
    """Return what an error says, which psycopg2 spreads over several lines.

    Where the rollback failed, too, it is what came first: what cost the connection.
    """
    if isinstance(error, psycopg2.InterfaceError):
        error = error.__context__ or error
    return " ".join(str(error).split())


def _explain(error: Exception) -> str:
    """Turn libpq's message into one line with the way out."""
    said = one_line(error)
    if "password" in said:
        fix = "set PGUSER and PGPASSWORD, or user and password in DATABASE_URL, or mend ~/.pgpass"
    elif "definition of service" in said:
        fix = "name one of PGSERVICEFILE or ~/.pg_service.conf in PGSERVICE"
    elif "SSL" in said:
        fix = "let the server speak SSL, or correct sslmode and sslrootcert, of DATABASE_URL or PG*"
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
    psql = str(embedded.programs() / "psql")
    if hand_over():  # the one that comes along does without SSL, silently where it may
        psql = shutil.which("psql") or ""
        if not psql:
            raise DatabaseError(
                "this server is reached by SSL, and no psql that speaks it is in PATH: "
                "install PostgreSQL's client programs"
            )
    if schema() != "public":
        options = os.environ.get("PGOPTIONS", "")
        os.environ["PGOPTIONS"] = f"{options} -c search_path={schema()}"
    os.execv(psql, ["psql", *arguments])


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
            print("the environment names a server: it is not ours to start or stop")
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
