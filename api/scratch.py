"""A database of its own for each posted file: cloned from a template that dbt built, then dropped.

On the embedded server, wherever the batteries are: what a visitor sends reaches no database of
theirs, and needs none of its privileges. A file takes one of a few slots, each with a lock, a
database and a folder; what a killed service leaves in one goes when it is next looked at.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psycopg2
from psycopg2.extensions import connection, cursor

import database
import embedded
from api.store import QUERIES, StoreError
from dbt_project.__main__ import PROJECT
from loader import contract

SLOTS = 2
WAIT_S = 10.0  # for a slot
BUILD_S = 300  # for dbt to make the template
COMPUTE_S = 120
NAME = "battery_forecast_file"  # of databases, with what follows
LOCK = "select pg_try_advisory_lock(hashtext(%s), %s)"
UNLOCK = "select pg_advisory_unlock(hashtext(%s), %s)"
# What the service asks of a file.
ASKED = ("battery_summary", "battery_history", "cycle_series", "cycle_quality", "cycle_curve")


class UncomputableError(Exception):
    """Says why the features of a file cannot be computed."""


@dataclass(frozen=True)
class Scratch:
    """A database with empty tables and all models, and an empty folder, for as long as needed."""

    url: str
    folder: Path

    def connect(self) -> connection:
        return psycopg2.connect(self.url, application_name="battery-forecast")

    def compute(self) -> None:
        """Compute all models from what has been loaded; raises UncomputableError."""
        with closing(self.connect()) as opened, opened, opened.cursor() as cursor:
            cursor.execute("set local statement_timeout = %s", (COMPUTE_S * 1000,))
            try:
                cursor.execute(QUERIES["compute"])
            except psycopg2.errors.QueryCanceled:
                raise UncomputableError(f"it takes longer than {COMPUTE_S} s") from None
            except (psycopg2.DataError, psycopg2.IntegrityError) as error:
                raise UncomputableError(database.one_line(error)) from None


@contextmanager
def scratch() -> Iterator[Scratch]:
    """Give a scratch database; raises StoreError where there is none to be had.

    Starts the embedded server where it does not run; the first time after a change of the project
    dbt builds the template.
    """
    try:
        database.start()
        with closing(_administration()) as server, server.cursor() as cursor:
            slot = _take(cursor)
            try:
                _folder(slot).mkdir(parents=True)
                template = _template(cursor, _folder(slot))
                cursor.execute(f"create database {NAME}_{slot} template {template}")
                yield Scratch(_url(f"{NAME}_{slot}"), _folder(slot))
            finally:
                _clear(cursor, slot)
    except database.DatabaseError as error:
        raise StoreError(str(error)) from None
    except psycopg2.Error as error:
        raise StoreError(database.one_line(error)) from None
    except OSError as error:
        raise StoreError(f"{error.filename or _folder(0).parent}: {error.strerror}") from None


def sweep() -> None:
    """Clear the slots that nobody holds, where the embedded server runs."""
    if not embedded.answers():
        return
    try:
        with closing(_administration()) as server, server.cursor() as cursor:
            _free(cursor)
    except (psycopg2.Error, OSError):  # the next file will tell
        return


def _administration() -> connection:
    opened = psycopg2.connect(_url("postgres"), application_name="battery-forecast")
    opened.autocommit = True
    return opened


def _url(name: str) -> str:
    # what libpq's variables say is of another server
    return database.embedded_url(name) + "&hostaddr=&options="


def _folder(slot: int) -> Path:
    return embedded.FOLDER / "files" / str(slot)


def _take(cursor: cursor) -> int:
    """Wait for a slot and take it: its lock goes with the connection. Raises StoreError."""
    deadline = time.monotonic() + WAIT_S
    while not (free := _free(cursor)):
        if time.monotonic() > deadline:
            raise StoreError(f"{SLOTS} other files are being computed: try again")
        time.sleep(0.2)
    for other in free[1:]:
        cursor.execute(UNLOCK, (NAME, other))
    return free[0]


def _free(cursor: cursor) -> list[int]:
    """Lock the slots that nobody holds, and clear them of what a killed service left."""
    free = []
    for slot in range(1, SLOTS + 1):
        cursor.execute(LOCK, (NAME, slot))
        if cursor.fetchone() == (True,):
            _clear(cursor, slot)
            free.append(slot)
    return free


def _clear(cursor: cursor, slot: int) -> None:
    shutil.rmtree(_folder(slot), ignore_errors=True)
    cursor.execute(f"drop database if exists {NAME}_{slot} with (force)")


def _template(cursor: cursor, folder: Path) -> str:
    """Return the name of the template, built by one of those who need it while the others wait."""
    name = f"{NAME}_template_{_version()}"
    cursor.execute("select pg_advisory_lock(hashtext(%s), 0)", (NAME,))
    try:
        cursor.execute("select datname from pg_database where datname ~ %s", (f"^{NAME}_[tn]",))
        there = [found for (found,) in cursor.fetchall()]
        if name not in there:
            for other in there:  # of other versions, and what a killed build left
                cursor.execute(f"drop database {other} with (force)")
            cursor.execute(f"create database {NAME}_new")
            _build(_url(f"{NAME}_new"), folder)
            cursor.execute(f"alter database {NAME}_new rename to {name}")
    finally:
        cursor.execute(UNLOCK, (NAME, 0))
    return name


@cache
def _version() -> str:
    """Checksum of all that a template is made of."""
    digest = hashlib.sha256(contract.VERSION.encode())
    for folder in ("macros", "models", "seeds"):
        for file in sorted((PROJECT / folder).rglob("*.*")):
            digest.update(file.read_bytes())
    digest.update((PROJECT / "dbt_project.yml").read_bytes())
    return digest.hexdigest()[:12]


def _build(url: str, folder: Path) -> None:
    """Have dbt make all models over empty tables."""
    with closing(psycopg2.connect(url)) as opened:
        contract.prepare(opened)
    own = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "DBT_"))}
    with tempfile.TemporaryDirectory(dir=folder) as made:
        try:
            built = subprocess.run(
                [
                    sys.executable, "-m", "dbt_project", "--no-use-colors", "build",
                    "--resource-type", "model", "--resource-type", "seed",
                    "--select", *(f"+{it}" for it in ASKED),
                    "--vars", "{kept_as: materialized_view}",
                ],
                env={**own, "DATABASE_URL": url, "DBT_TARGET_PATH": made, "DBT_LOG_PATH": made},
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=BUILD_S,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise StoreError(f"dbt did not make the models for files in {BUILD_S} s") from None
    if built.returncode:
        said = " ".join((built.stdout + built.stderr)[-500:].split())
        raise StoreError(f"dbt could not make the models for files: {said}")
