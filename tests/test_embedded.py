"""The PostgreSQL that comes along starts from any folder, for any user, whatever was before."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT
from tests.users import User, checkout, database_alone

ODD = [
    "my project (1)", "it's", 'say "hi"', "salt & pepper", "cash$HOME", "back\\slash",
    "tick`id`", "com,ma; Zürich #1",
]  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder for checkouts; the servers in it are stopped afterwards."""
    yield tmp_path
    for found in tmp_path.rglob("postmaster.pid"):
        os.kill(int(found.read_text().split()[0]), signal.SIGQUIT)


def me(home: Path) -> User:
    return User(home)


def ask(user: User, folder: Path, *arguments: str, **environment: str) -> str:
    """What the database command of a checkout prints; it must succeed."""
    made = user.run(sys.executable, "-m", "database", *arguments, cwd=folder, **environment)
    assert made.returncode == 0, made.stdout + made.stderr
    return made.stdout


def refused(user: User, folder: Path, *arguments: str, **environment: str) -> str:
    """What it says, in one line, where it cannot."""
    made = user.run(sys.executable, "-m", "database", *arguments, cwd=folder, **environment)
    assert made.returncode == 1, made.stdout
    assert made.stderr.count("\n") == 1, made.stderr
    return made.stderr


@pytest.mark.parametrize("name", ODD)
def test_an_odd_path(name: str, place: Path) -> None:
    folder = database_alone(place / name)
    user = me(place)
    assert ask(user, folder, "psql", "-Atc", "select 6 * 7") == "42\n"
    assert (folder / ".postgres/data/PG_VERSION").exists()
    url = ask(user, folder, "url").strip()
    assert ask(user, place, "psql", "-Atc", "select 6 * 7", DATABASE_URL=url, PYTHONPATH=str(ROOT))
    ask(user, folder, "stop")
    ask(user, folder, "stop")
    assert ask(user, folder, "psql", "-Atc", "select 6 * 7") == "42\n"


def test_a_path_too_long_for_a_socket(place: Path) -> None:
    folder = database_alone(place / ("long" * 20) / ("path" * 20))
    assert "host=/tmp/battery-forecast-" in ask(me(place), folder, "url")
    assert ask(me(place), folder, "psql", "-Atc", "select 6 * 7") == "42\n"
    ask(me(place), folder, "stop")
    shutil.rmtree(folder / ".postgres")  # and the socket's folder stays
    assert ask(me(place), folder, "psql", "-Atc", "select 6 * 7") == "42\n"
    ask(me(place), folder, "stop")


def test_of_several_that_start_at_once_one_starts_it(place: Path) -> None:
    folder = database_alone(place / "project")
    command = [sys.executable, "-m", "database", "psql", "-Atc", "select 6 * 7"]
    several = [
        subprocess.Popen(command, **me(place).process(folder), stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert [it.communicate(timeout=120)[0] for it in several] == ["42\n"] * 4
    log = (folder / ".postgres/log").read_text(encoding="utf-8")
    assert log.count("starting PostgreSQL") == 1


def test_after_a_power_cut_the_number_of_the_dead_is_another_process_now(place: Path) -> None:
    folder = database_alone(place / "project")
    user = me(place)
    ask(user, folder, "start")
    held = folder / ".postgres/data/postmaster.pid"
    lock = folder / ".postgres/.s.PGSQL.5432.lock"
    dead = psutil.Process(int(held.read_text().split()[0]))
    dead.kill()
    dead.wait(30)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        for file in (held, lock):
            lines = file.read_text().split("\n")
            file.write_text("\n".join([str(other.pid), *lines[1:]]))
        assert ask(user, folder, "psql", "-Atc", "select 6 * 7") == "42\n"
        other.kill()


def stopped(place: Path) -> Path:
    """A checkout whose server has run before."""
    folder = database_alone(place / "project")
    ask(me(place), folder, "start")
    ask(me(place), folder, "stop")
    return folder


def test_data_of_an_older_version(place: Path) -> None:
    folder = stopped(place)
    (folder / ".postgres/data/PG_VERSION").write_text("16\n")
    said = refused(me(place), folder, "start")
    for part in ("PostgreSQL 16", "PostgreSQL 18", "rename the folder to .postgres-16", "pg_dump"):
        assert part in said


def test_a_broken_cluster_says_what_postgres_says(place: Path) -> None:
    folder = stopped(place)
    (folder / ".postgres/data/postgresql.conf").write_text("max_connections = nonsense\n")
    said = refused(me(place), folder, "start")
    assert "configuration file" in said
    assert str(folder / ".postgres/log") in said


def test_the_environment_does_not_reach_it(place: Path) -> None:
    folder = database_alone(place / "project")
    odd = {"PGPORT": "9999", "PGDATA": "/nowhere", "TMPDIR": "/nowhere", "PGDATABASE": "nothing"}
    assert ask(me(place), folder, "psql", "-Atc", "select 6 * 7", **odd) == "42\n"
    assert ":5432/postgres?host=" in ask(me(place), folder, "url", **odd)


def test_what_follows_psql_is_psqls(place: Path) -> None:
    folder = database_alone(place / "project")
    assert "General options" in ask(me(place), folder, "psql", "--help")
    assert "start,stop,url,psql" in ask(me(place), folder, "--help")


def test_installed_its_data_outlive_the_environment(place: Path) -> None:
    source = checkout(place / "source")
    installed = place / "installed"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
         "--target", installed, source],
        check=True, capture_output=True,
    )  # fmt: skip
    user = me(place)
    environment = {"PYTHONPATH": str(installed), "XDG_DATA_HOME": str(place / "share")}
    data = place / "share/battery-forecast/.postgres"
    assert str(data) in ask(user, place, "start", **environment)
    assert (data / "data/PG_VERSION").exists()
    made = user.run(
        sys.executable, "-m", "dbt_project", "--no-use-colors", "build", cwd=place, **environment
    )
    assert made.returncode != 0
    assert "has no recordings yet: run `python -m loader PATH` first" in made.stdout
    assert not list(installed.rglob("target"))


def test_dbt_meets_the_same_database_from_anywhere(place: Path) -> None:
    folder = checkout(place / "my (1)")
    user = me(place)
    dbt = str(Path(sys.executable).parent / "dbt")
    which = "select left(md5(current_setting('unix_socket_directories')), 12)"
    show = ("--quiet", "show", "--inline", which)
    project = ("--project-dir", folder / "dbt_project")
    stopped = user.run(dbt, *show, *project, cwd=folder)
    assert stopped.returncode != 0
    assert "No such file or directory" in stopped.stdout
    elsewhere = {"PYTHONPATH": str(folder)}
    started = user.run(sys.executable, "-m", "dbt_project", *show, cwd=place, **elsewhere)
    server = ask(user, folder, "psql", "-Atc", which).strip()
    assert server in started.stdout, started.stdout + started.stderr
    for made in (
        user.run(dbt, *show, *project, cwd=folder),
        user.run(dbt, *show, cwd=folder / "dbt_project"),
        user.run(dbt, *show, *project, "--profiles-dir", folder, cwd=Path("/")),
        user.run(dbt, *show, *project, cwd=Path("/"), DBT_PROFILES_DIR=str(folder)),
    ):
        assert server in made.stdout, made.stdout


def test_interrupted_dbt_says_so_in_a_line(place: Path) -> None:
    folder = checkout(place / "project")
    ask(me(place), folder, "start")
    running = subprocess.Popen(
        [sys.executable, "-m", "dbt_project", "compile"], **me(place).process(folder),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert running.stdout is not None
    running.stdout.readline()
    time.sleep(1)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    said = re.sub(r".*resource_tracker.*\n.*warn.*\n", "", said)
    assert said.strip() == "interrupted: run it again to complete what is missing"
