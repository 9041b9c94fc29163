"""The tests' server, the databases in it, and what one process makes for all of a run."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import make_dsn, parse_dsn

import database
import embedded
from dbt_project.__main__ import PROJECT


class Server:
    """The server that tests use, and the databases they make in it."""

    def __init__(self, url: str | None = None) -> None:
        self.url = url or database.url()
        self._made = 0

    def create(self, template: str | None = None) -> str:
        """Create a database and return its URL."""
        self._made += 1
        name = f"test_{os.getpid():07}_{self._made:04}"  # all of one length, for tests.warm
        source = f' template "{parse_dsn(template)["dbname"]}"' if template else ""
        execute(self.url, f'create database "{name}"{source}')
        return self.named(name)

    def drop(self, url: str) -> None:
        """Drop a database, with what dbt wrote of it."""
        name = parse_dsn(url)["dbname"]
        execute(self.url, f'drop database "{name}" with (force)')
        shutil.rmtree(PROJECT / "target" / name, ignore_errors=True)

    def named(self, name: str) -> str:
        """Return the URL of another database on this server."""
        parts = parse_dsn(make_dsn(self.url))
        host = parts.get("host", "")
        place = f"?host={host}" if host.startswith("/") else ""
        login = parts.get("user", "") + (f":{parts['password']}" if "password" in parts else "")
        port = f":{parts['port']}" if "port" in parts else ""
        return f"postgresql://{login}@{'' if place else host}{port}/{name}{place}"


def execute(url: str, *statements: str) -> None:
    with closing(psycopg2.connect(url)) as opened, opened.cursor() as cursor:
        opened.autocommit = True
        for it in statements:
            cursor.execute(it)


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that `make` has filled, once for all processes of this run."""
    shared = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with (shared / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not (shared / name).exists():
            draft = factory.mktemp(name)
            make(draft)
            draft.rename(shared / name)
    return shared / name


@contextmanager
def careless_server(folder: Path) -> Iterator[str]:
    """Run an embedded server whose data need not survive a crash; gives its URL."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "FOLDER", folder)
        embedded.start()
        url = database.embedded_url()
    off = ("fsync", "full_page_writes", "synchronous_commit")
    execute(url, *(f"alter system set {it} = off" for it in off))
    execute(url, "alter system set max_wal_size = '8GB'", "select pg_reload_conf()")
    try:
        yield url
    finally:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(embedded, "FOLDER", folder)
            embedded.stop()
