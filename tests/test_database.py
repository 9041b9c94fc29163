"""Which Postgres is used, and what is said when it is not to be had."""

import json
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

import database
from tests.conftest import ROOT, Server, run

SHOW_PROFILE = "{{ target.host }}|{{ target.port }}|{{ target.user }}|{{ target.dbname }}"


def _no_server_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"):
        monkeypatch.delenv(name, raising=False)


def test_without_a_name_the_embedded_server_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    _no_server_named(monkeypatch)
    with closing(database.connect()) as opened, opened.cursor() as cursor:
        cursor.execute("show listen_addresses")
        assert cursor.fetchone() == ("",)
        assert opened.server_version >= 180000
    assert database.url().endswith("/.postgres")


def test_the_url_goes_before_pg_variables(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "nowhere.invalid")
    monkeypatch.setenv("DATABASE_URL", server.url)
    database.connect().close()


def test_pg_variables_alone_serve(guarded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _no_server_named(monkeypatch)
    for name, value in {
        "PGHOST": str(guarded), "PGUSER": "guest", "PGPASSWORD": "sesame", "PGDATABASE": "postgres",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    with closing(database.connect()) as opened:
        assert opened.info.user == "guest"
    made = run("dbt", "debug", "--project-dir", "dbt_project")
    assert "Connection test: [OK connection ok]" in made.stdout


@pytest.mark.parametrize(
    ("environment", "said", "fix"),
    [
        ({"PGHOST": "127.0.0.1", "PGPORT": "9"}, "127.0.0.1", "PGHOST"),
        ({"PGHOST": "nowhere.invalid"}, "nowhere.invalid", "PGHOST"),
        ({"DATABASE_URL": "postgresql://u@127.0.0.1:9/x"}, "port 9", "DATABASE_URL"),
        ({"DATABASE_URL": "gibberish"}, "gibberish", "postgresql://user:password@host"),
    ],
)
def test_an_unreachable_server_is_one_line(
    environment: dict[str, str], said: str, fix: str, recordings: Path
) -> None:
    for command in (["loader", str(recordings)], ["model.train"], ["api.demo", "S0001"]):
        if command[0] == "api.demo" and not (ROOT / "artifacts/model.pth").exists():
            continue
        made = run("python", "-m", *command, **{"DATABASE_URL": "", **environment})
        assert made.returncode == 1
        assert made.stderr.count("\n") == 1, made.stderr
        assert said in made.stderr
        assert fix in made.stderr


def test_a_missing_database_is_one_line(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", server.named("no_such_database"))
    with pytest.raises(database.DatabaseError, match=r"no_such_database.*createdb"):
        database.connect()


def test_a_wrong_password_is_one_line(guarded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://guest:mellon@/postgres?host={guarded}")
    with pytest.raises(database.DatabaseError, match=r"password.*PGPASSWORD") as caught:
        database.connect()
    assert "\n" not in str(caught.value)
    assert "mellon" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p%20@h.example:6543/d?sslmode=require", "h.example|6543|u|d"),
        ("postgres://u@h.example/d", "h.example|5432|u|d"),
        ("postgresql://u@/d?host=/tmp/socket", "/tmp/socket|5432|u|d"),
        ("postgresql://u:p@/d?sslmode=allow&host=%2Ftmp%2Fsocket", "/tmp/socket|5432|u|d"),
        ("postgresql://u@:5432/d?host=/tmp/it%27s%20%281%29%20%C3%BC", "/tmp/it's (1) ü|5432|u|d"),
        ("postgresql://127.0.0.1:6543/d", "127.0.0.1|6543|anyone|d"),
    ],
)
def test_dbt_reads_the_same_url(
    url: str, expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _no_server_named(monkeypatch)
    (tmp_path / "dbt_project.yml").write_text("name: nothing\nprofile: battery_forecast\n")
    made = run(
        "dbt", "--log-format", "json", "compile", "--no-populate-cache", "--no-introspect",
        "--project-dir", str(tmp_path), "--profiles-dir", ".", "--inline", SHOW_PROFILE,
        DATABASE_URL=url, PGUSER="anyone",
    )  # fmt: skip
    lines = [json.loads(line) for line in made.stdout.splitlines() if line.startswith("{")]
    assert any(line["data"].get("compiled") == expected for line in lines), made.stdout


def test_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    _no_server_named(monkeypatch)
    assert run("python", "-m", "database", "start").returncode == 0
    assert run("python", "-m", "database", "url").stdout.startswith("postgresql://postgres@:5432/")
    refused = run("python", "-m", "database", "fly")
    assert refused.returncode == 2


def test_what_cost_the_connection_is_said_not_that_its_rollback_failed(empty: str) -> None:
    with closing(psycopg2.connect(empty)) as opened:
        with pytest.raises(psycopg2.InterfaceError) as failed, opened, opened.cursor() as cursor:
            cursor.execute("select pg_terminate_backend(pg_backend_pid())")
        assert "server closed the connection" in database.one_line(failed.value)
