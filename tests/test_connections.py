"""Every way to name a server, a user and a schema reaches the loader, dbt, trainer and service."""

import asyncio
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import psycopg2
import pytest
from psycopg2.extensions import connection, make_dsn, quote_ident

import database
import embedded
from api.store import Store
from tests.conftest import ROOT, Server, rows, run

ODD = "Aa0 !#$&()*+,-./:;<=>?@[\\]^_`{|}~ü€"  # what dbt takes in the name of a database, too
QUOTES = " \"'%"
SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
NAMES = ("DATABASE_URL", "PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGSERVICE")


@pytest.fixture
def admin(guarded: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[connection]:
    """A superuser's connection to a server that asks everybody else for a password."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    with closing(psycopg2.connect(host=str(guarded), user="postgres", dbname="postgres")) as opened:
        opened.autocommit = True
        yield opened


def _add(admin: connection, user: str, password: str, name: str) -> None:
    """An ordinary user with a database of their own."""
    with admin.cursor() as cursor:
        who, what = quote_ident(user, admin), quote_ident(name, admin)
        cursor.execute(f"create role {who.replace('%', '%%')} login password %s", [password])
        cursor.execute(f"create database {what} owner {who}")


def _url(folder: Path, user: str, password: str, name: str, more: str = "") -> str:
    who, secret, what = (quote(it, safe="") for it in (user, password, name))
    return f"postgresql://{who}:{secret}@/{what}?host={quote(str(folder))}{more}"


def _who(environment: dict[str, str], by_hand: bool = True) -> set[str]:
    """Who is connected to what, by psql, connect(), dbt and the loader: one answer, or they differ.

    dbt typed by hand is asked too, or else must say that it does not take this.
    """
    query = "select current_user || ' in ' || current_database()"
    said = {run("python", "-m", "database", "psql", "-Atc", query, **environment).stdout.strip()}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with closing(database.connect()) as opened:
            said |= {who for (who,) in rows(opened, query)}
    made = run("python", "-m", "dbt_project", "debug", **environment)
    said.add(_shown(made))
    made = run("dbt", "debug", "--project-dir", "dbt_project", **environment)
    if by_hand:
        said.add(_shown(made))
    else:
        assert "python -m dbt_project, which takes every" in made.stdout, made.stdout
    loaded = run("python", "-m", "loader", "status", **environment)
    assert loaded.returncode == 0, loaded.stderr
    return said


def _shown(made: subprocess.CompletedProcess[str]) -> str:
    assert "OK connection ok" in made.stdout, made.stdout + made.stderr
    user, name = (made.stdout.split(f"  {it}: ")[1].split("\n")[0] for it in ("user", "database"))
    return f"{user} in {name}"


def _refusals(*said: str, **environment: str) -> None:
    """The loader, the trainer and dbt refuse, each with these words."""
    commands = [
        ["python", "-m", "loader", "status"], ["python", "-m", "model.train"],
        ["python", "-m", "dbt_project", "debug"], ["python", "-m", "database", "psql"],
        ["dbt", "debug", "--project-dir", "dbt_project"],
    ]  # fmt: skip
    for command in commands:
        made = run(*command, **environment)
        assert made.returncode, command
        for words in said:
            assert words in " ".join((made.stdout + made.stderr).split()), command


def test_every_character_of_user_and_password(guarded: Path, admin: connection) -> None:
    user, password = ODD + QUOTES + "x", QUOTES + ODD + QUOTES
    _add(admin, user, password, "plain")
    url = _url(guarded, user, password, "plain")
    keywords = make_dsn(host=str(guarded), user=user, password=password, dbname="plain")
    place = {
        "PGHOST": str(guarded), "PGUSER": user, "PGPASSWORD": password, "PGDATABASE": "plain",
    }  # fmt: skip
    assert _who({"DATABASE_URL": url}) == {f"{user} in plain"}
    assert _who(place) == {f"{user} in plain"}
    assert _who({"DATABASE_URL": keywords}, by_hand=False) == {f"{user} in plain"}


def test_an_ordinary_user_goes_the_whole_road(
    guarded: Path, admin: connection, recordings: Path, tmp_path: Path
) -> None:
    """In a database of their own, neither superuser nor with the right to create roles."""
    _add(admin, ODD, "sesame", ODD)
    environment = {"DATABASE_URL": _url(guarded, ODD, "sesame", ODD), "DBT_SCHEMA": "team_a"}
    loaded = run("python", "-m", "loader", str(recordings), **environment)
    assert loaded.returncode == 0, loaded.stderr
    build = ["build", "--target-path", "target/ordinary", "--exclude-resource-type", "unit_test"]
    made = run("python", "-m", "dbt_project", "--no-use-colors", *build, **environment)
    assert made.returncode == 2
    assert f"user {ODD} may not create the role that reads the marts" in made.stdout
    assert "have an administrator run `create role analyst` once" in made.stdout
    admin.cursor().execute("create role analyst")
    for command in (["python", "-m", "dbt_project"], ["dbt"]):
        made = run(*command, *build, "--project-dir", "dbt_project", **environment)
        assert made.returncode == 0, made.stdout + made.stderr
    trained = run(
        "python", "-m", "model.train", "--train", "S0001", "S0002", "--test", "S0003",
        "--epochs", "2", "--out", str(tmp_path / "artifacts"), **environment,
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with closing(Store()) as store:
            assert len(store.rows("known")) == 5


def test_a_database_that_dbt_would_misquote(guarded: Path, admin: connection) -> None:
    for name in ("it's", 'say "hi"', "100%", "end "):
        _add(admin, name, "sesame", name)
        url = _url(guarded, name, "sesame", name)
        assert run("python", "-m", "loader", "status", DATABASE_URL=url).returncode == 0
        made = run("python", "-m", "dbt_project", "build", DATABASE_URL=url)
        assert made.returncode == 2
        assert made.stderr.count("\n") == 1
        assert repr(name) in made.stderr


def test_a_service_and_a_password_file(guarded: Path, admin: connection, tmp_path: Path) -> None:
    services, passwords = tmp_path / "services", tmp_path / ".pgpass"
    services.write_text(f"[cells]\nhost={guarded}\nuser=guest\ndbname=postgres\n")
    passwords.write_text("*:*:postgres:guest:sesame\n")
    passwords.chmod(0o600)
    home = {"HOME": str(tmp_path)}
    file = {"PGPASSFILE": str(passwords)}
    service = {"PGSERVICE": "cells", "PGSERVICEFILE": str(services)}
    place = {"PGHOST": str(guarded), "PGUSER": "guest", "PGDATABASE": "postgres"}
    url = f"postgresql://guest@/postgres?host={guarded}"
    guest = {"guest in postgres"}
    assert _who(place | file) == _who(file | {"DATABASE_URL": url}) == guest
    assert _who(service | file, by_hand=False) == guest
    in_url = {"DATABASE_URL": "service=cells", "PGSERVICEFILE": str(services)}
    assert _who(in_url | file, by_hand=False) == guest
    passwords.rename(tmp_path / "elsewhere")
    _refusals("password", **place, **home, PGPASSFILE="")
    (tmp_path / "elsewhere").rename(passwords)
    refused = run("python", "-m", "loader", "status", **service | {"PGSERVICE": "none"})
    assert refused.stderr.count("\n") == 1
    assert "PGSERVICEFILE" in refused.stderr


@pytest.mark.parametrize("name", database.NAMES_A_SERVER)
def test_a_server_that_is_named_is_not_the_embedded_one(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for other in database.NAMES_A_SERVER:
        monkeypatch.delenv(other, raising=False)
    assert database.is_embedded()
    monkeypatch.setenv(name, "somewhere")
    assert not database.is_embedded()


def test_what_else_a_url_says_reaches_dbt(guarded: Path, admin: connection) -> None:
    more = (
        f",{guarded}&connect_timeout=7&options=-cstatement_timeout%3D54321"
        "&target_session_attrs=read-write"
    )
    url = _url(Path("/nowhere"), "guest", "sesame", "postgres", more)
    ask = ["show", "--inline", "select current_setting('statement_timeout') as it"]
    made = run("python", "-m", "dbt_project", *ask, DATABASE_URL=url)
    assert "54321ms" in made.stdout, made.stdout
    made = run("python", "-m", "dbt_project", "debug", DATABASE_URL=url)
    assert "connect_timeout: 7" in made.stdout
    assert f"host: {guarded}" in made.stdout
    _refusals(
        "session is not read-only", DATABASE_URL=_url(guarded, "guest", "sesame", "postgres"),
        PGTARGETSESSIONATTRS="read-only",
    )  # fmt: skip


@contextmanager
def _front(guarded: Path, context: ssl.SSLContext | None) -> Iterator[str]:
    """The guarded server by TCP; gives the port. With a context it speaks SSL only, else never."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError), closing(writer):
            head = await reader.readexactly(8)
            if head == SSL_REQUEST:
                writer.write(b"S" if context else b"N")
                if context:
                    await writer.start_tls(context)
                head = await reader.readexactly(8)
            elif context:
                return
            there = await asyncio.open_unix_connection(guarded / embedded.SOCKET)
            there[1].write(head)
            await asyncio.gather(copy(reader, there[1]), copy(there[0], writer))

    loop = asyncio.new_event_loop()
    listening = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield str(listening.sockets[0].getsockname()[1])
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    listening.close()
    loop.run_until_complete(asyncio.sleep(0.1))
    loop.close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_ssl(guarded: Path, admin: connection, tmp_path: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key", "-out",
         "cert", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    with _front(guarded, context) as port:
        url = f"postgresql://guest:sesame@localhost:{port}/postgres"
        ssl_only = f"{url}?sslmode=require"
        assert _who({"DATABASE_URL": ssl_only}) == {"guest in postgres"}
        checked = f"{url}?sslmode=verify-full&sslrootcert={tmp_path / 'cert'}"
        assert _who({"DATABASE_URL": checked}, by_hand=False) == {"guest in postgres"}
        _refusals("certificate", DATABASE_URL=f"{url}?sslmode=verify-full",
                  PGSSLROOTCERT=str(ROOT / "nowhere"))  # fmt: skip
    with _front(guarded, None) as port:
        url = f"postgresql://guest:sesame@localhost:{port}/postgres"
        assert _who({"DATABASE_URL": url}) == {"guest in postgres"}
        _refusals("does not support SSL", DATABASE_URL=f"{url}?sslmode=require")
        _refusals("does not support SSL", DATABASE_URL=url, PGSSLMODE="require")


def test_two_schemas_do_not_see_each_other(simulated: str, sql: connection) -> None:
    """In public stands what was built before S0004 was removed, in team_b what was after."""
    assert run("python", "-m", "loader", "remove", "S0004", "--yes").returncode == 0
    build = ["build", "--target-path", "target/team_b", "--exclude-resource-type", "unit_test"]
    made = run("python", "-m", "dbt_project", *build, DBT_SCHEMA="team_b")
    assert made.returncode == 0, made.stdout
    query = "select string_agg(battery_id, ' ' order by battery_id) from battery_summary"
    for schema, expected in (
        ("public", "S0001 S0002 S0003 S0004 SRW1"), ("team_b", "S0001 S0002 S0003 SRW1"),
    ):  # fmt: skip
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DBT_SCHEMA", schema)
            with closing(database.connect()) as opened:
                opened.rollback()
                assert rows(opened, query) == [(expected,)]
                opened.rollback()
                assert rows(opened, "select current_schemas(false)") == [([schema],)]
            with closing(Store()) as store:
                assert " ".join(row["battery_id"] for row in store.rows("known")) == expected
        asked = run("python", "-m", "database", "psql", "-Atc", query, DBT_SCHEMA=schema)
        assert asked.stdout.strip() == expected
        asked = run("python", "-m", "model.train", "--train", "S0002", "S0004", "--test", "S0001",
                    "--window", "500", DBT_SCHEMA=schema)  # fmt: skip
        assert ("has no battery S0004" in asked.stderr) == (schema == "team_b"), asked.stderr
        sql.cursor().execute("set role analyst")
        assert rows(sql, f"select count(*) > 0 from {schema}.cycle_series") == [(True,)]
        sql.cursor().execute("reset role")
    missing = run("python", "-m", "model.train", DBT_SCHEMA="team_c")
    assert "there is no cycle_series" in missing.stderr
    written = rows(sql, "select distinct schemaname from pg_tables where tablename = 'battery_due'")
    assert set(written) == {("public_intermediate",), ("team_b_intermediate",)}


def test_a_schema_with_an_odd_name_is_refused(server: Server) -> None:
    for command in (["loader", "status"], ["dbt_project", "build"], ["database", "psql"]):
        made = run("python", "-m", *command, DATABASE_URL=server.url, DBT_SCHEMA="Team A")
        assert made.returncode
        assert made.stderr.startswith("DBT_SCHEMA is 'Team A'"), made.stderr
        assert made.stderr.count("\n") == 1
