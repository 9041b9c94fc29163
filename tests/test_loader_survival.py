"""What can befall a load: the database holds whole files, and a second load completes it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import connection, parse_dsn

from loader import pool, simulate
from tests.conftest import ROOT, Server, load, rows
from tests.test_loader import aging_file, discharge

FILES = 10


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    for number in range(FILES):
        simulate.simulate_aging(folder / f"S{number:04d}.mat", seed=0, cycles=30)
    return folder


def begin(*arguments: object) -> subprocess.Popen[str]:
    """Start the loader in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "loader", *map(str, arguments)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def loaders(sql: connection) -> list[int]:
    """Backends that loaders are connected to."""
    found = rows(
        sql,
        "select pid from pg_stat_activity"
        " where datname = current_database() and application_name = 'battery-forecast'",
    )
    return [pid for (pid,) in found]


def whole_files(sql: connection) -> int:
    """The number of files in staging, once every loader is gone; asserts that they are whole."""
    limit = time.monotonic() + 30
    while loaders(sql):
        assert time.monotonic() < limit, "a loader hangs"
        time.sleep(0.02)
    if rows(sql, "select to_regclass('staging.source_file')") == [(None,)]:
        return 0
    differing = rows(
        sql,
        "select battery_id, f.recordings, r.recordings from staging.source_file as f full join ("
        " select battery_id, count(*) as recordings from ("
        "  select battery_id from staging.aging_recording"
        "  union all select battery_id from staging.aging_impedance) as a group by 1"
        ") as r using (battery_id) where f.recordings is distinct from r.recordings",
    )
    assert differing == []
    return int(rows(sql, "select count(*) from staging.source_file")[0][0])


def complete(sql: connection, folder: Path) -> None:
    again = load(folder)
    assert again.returncode == 0, again.stderr
    assert whole_files(sql) == FILES


def test_killed_at_any_moment(empty: str, sql: connection, many: Path) -> None:
    begun = time.monotonic()
    begin(many).communicate()
    lasts = time.monotonic() - begun
    left = set()
    for moment in range(8):
        sql.cursor().execute("drop schema staging cascade")
        loader = begin(many)
        time.sleep(lasts * (0.25 + 0.1 * moment))
        # Every second time its workers are left to find out by themselves.
        (os.killpg if moment % 2 else os.kill)(loader.pid, signal.SIGKILL)
        loader.communicate()
        left.add(whole_files(sql))
        complete(sql, many)
    assert len(left) > 1, "every kill came before or after the load: nothing was tried"


def test_a_connection_that_is_lost(empty: str, sql: connection, many: Path) -> None:
    loader = begin(many)
    limit = time.monotonic() + 30
    while loader.poll() is None and time.monotonic() < limit:
        busy = rows(
            sql,
            "select pg_terminate_backend(pid) from pg_stat_activity where query like 'copy %%'"
            " and datname = current_database() and pid <> pg_backend_pid()",
        )
        if busy:
            break
    _, said = loader.communicate(timeout=60)
    assert loader.returncode == 1
    assert "lost the connection" in said or "terminating connection" in said
    assert "load again to complete what is missing" in said
    assert whole_files(sql) < FILES
    complete(sql, many)


def test_one_worker_that_dies_costs_its_file_only(empty: str, sql: connection, many: Path) -> None:
    loader = begin(many, "--jobs", "1")
    limit = time.monotonic() + 30
    client = None
    while client is None and time.monotonic() < limit:
        if rows(sql, "select 1 from pg_stat_activity where query like 'copy %%'"
                " and datname = current_database() and pid <> pg_backend_pid()"):  # fmt: skip
            children = [
                int(entry.name)
                for entry in Path("/proc").iterdir()
                if entry.name.isdecimal() and os.getpgid(int(entry.name)) == loader.pid
            ]
            client = max(children)
    assert client is not None
    os.kill(client, signal.SIGKILL)
    _, said = loader.communicate(timeout=60)
    assert loader.returncode == 1
    assert "the process reading it was killed; was memory short?" in said
    assert whole_files(sql) == FILES - 1
    complete(sql, many)


def test_a_worker_whose_parent_is_gone_ends_quietly() -> None:
    ours, theirs = pool.CONTEXT.Pipe()
    ours.send("a task")
    ours.close()
    worker = pool.CONTEXT.Process(target=pool._serve, args=(str.upper, theirs, 1 << 40))
    worker.start()
    worker.join(60)
    assert worker.exitcode == 0


def test_two_loaders_at_once(empty: str, sql: connection, many: Path) -> None:
    both = [begin(many), begin(many)]
    said = [loader.communicate(timeout=120) for loader in both]
    assert [loader.returncode for loader in both] == [0, 0], said
    lines = "".join(out for out, _ in said)
    assert lines.count("recordings, ") == FILES
    assert lines.count("nothing to do") == FILES
    assert whole_files(sql) == FILES


@pytest.fixture
def small_disk(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A database with 2 MB of disk to spare, named by DATABASE_URL; yields where it is mounted."""
    host = parse_dsn(server.url).get("host", "")
    if os.geteuid() != 0 or not host.startswith("/"):
        pytest.skip("needs root and a server on this machine, to mount a small disk for it")
    disk = Path("/tmp") / f"battery-disk-{os.getpid()}"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        disk.rmdir()
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.decode().strip()}")
    owner = Path(host).stat()
    os.chown(disk, owner.st_uid, owner.st_gid)
    name = f"small_{os.getpid()}"
    try:
        with closing(psycopg2.connect(server.url)) as opened:
            opened.autocommit = True
            run = opened.cursor().execute
            run(f"create tablespace {name} location '{disk}'")
            run(f"create database {name} tablespace {name}")
            resize(disk, shutil.disk_usage(disk).used + (2 << 20))
            monkeypatch.setenv("DATABASE_URL", server.named(name))
            yield disk
            run(f"drop database {name} with (force)")
            run("checkpoint")
            run(f"drop tablespace {name}")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
        disk.rmdir()


def resize(disk: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


def test_a_full_disk(small_disk: Path, many: Path) -> None:
    full = load(many)
    assert full.returncode == 1
    assert "No space left on device" in full.stderr
    assert "load again to complete what is missing" in full.stderr
    with closing(psycopg2.connect(os.environ["DATABASE_URL"])) as sql:
        sql.autocommit = True
        assert whole_files(sql) < FILES
        resize(small_disk, 200 << 20)
        complete(sql, many)


def test_five_thousand_files(empty: str, sql: connection, tmp_path: Path) -> None:
    template = tmp_path / "template.mat"
    content = aging_file(template, discharge(), name="B9999").read_bytes()
    template.unlink()
    for number in range(5000):
        named = content.replace(b"B9999", f"B{number:04d}".encode())
        (tmp_path / f"{number}.mat").write_bytes(named)
    loaded = load(tmp_path)
    assert loaded.returncode == 0, loaded.stderr
    assert rows(sql, "select count(*), sum(samples)::int from staging.source_file") == [
        (5000, 15000)
    ]
