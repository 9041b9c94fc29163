"""What chaos works on: a Postgres of its own on a small disk, recordings, and running commands."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg2

import database
import embedded
from loader import simulate
from tests import days
from tests.chaos.contents import Contents, contents, halves
from tests.chaos.scenario import Scenario
from tests.conftest import ROOT

PATIENCE_S = 120.0  # a command that takes longer hangs
LARGE = 1 << 30  # bytes of the disk, where it is not to be full
LOADER, DBT = "battery-forecast", "dbt"  # what the connections of commands are called
CELLS, CYCLES = 12, 60
SEGMENT = 1 << 20  # bytes of a file of the log, where files are limited instead of the disk
UNIT_TESTS = ("--exclude-resource-type", "unit_test")  # they look at no data


class Command:
    """A command of the project, in a process group of its own; what it says goes to a file."""

    def __init__(self, *arguments: str, url: str) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        self._name = " ".join(arguments[:3])
        self.process = subprocess.Popen(
            [sys.executable, "-m", *arguments], cwd=ROOT, env={**os.environ, "DATABASE_URL": url},
            stdin=subprocess.DEVNULL, stdout=self._file, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip

    def is_running(self) -> bool:
        return self.process.poll() is None

    def kill(self, is_alone: bool = False) -> None:
        """Kill the process, with those that it has started or, it may be, without."""
        with suppress(ProcessLookupError):
            (os.kill if is_alone else os.killpg)(self.process.pid, signal.SIGKILL)

    def ended(self, scenario: Scenario, *expected: int) -> tuple[int, str]:
        """Wait for the end; return status and words, which are a fault where not expected."""
        try:
            status = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            status = self.process.wait()
            scenario.expect(False, f"{self._name} hung")
        self._file.seek(0)
        said = self._file.read().decode(errors="replace").replace("\r", "\n")
        scenario.expect("Traceback" not in said, f"{self._name} showed a traceback:\n{said}")
        scenario.expect(
            status in expected, f"{self._name} ended with {status}, not {expected}:\n{said}"
        )
        return status, said


@dataclass(frozen=True)
class Load:
    """A command that loads, and the batteries it brings."""

    command: tuple[str, ...]
    batteries: tuple[str, ...]


class Ground:
    """A server of its own, a database on a small disk in it, and what is loaded and built there."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder, self.rng = folder, rng
        self.truth: Contents = {}
        self.build_s = 0.0  # how long a build is connected
        self._commands: list[Command] = []
        folder.chmod(0o711)  # the server's user passes through
        for name in [it for it in os.environ if it.startswith("PG") or it in ("DATABASE_URL",)]:
            del os.environ[name]
        os.environ |= {"DBT_TARGET_PATH": str(folder / "target"), "DBT_LOG_PATH": str(folder)}
        embedded.FOLDER = folder / "pg"
        embedded.start()
        self.disk = self._mounted(folder / "disk")
        place = ""
        if not self.disk:
            embedded.stop()
            program, data = embedded.programs() / "pg_resetwal", embedded.data_folder()
            size = f"--wal-segsize={SEGMENT >> 20}"
            subprocess.run([program, size, data], check=True, capture_output=True)
            embedded.start()
        else:
            self.execute(f"create tablespace small location '{self.disk}'")
            place = " tablespace small"
        self.execute("create database chaos" + place)
        self.execute("create database clean")
        self.url, self.clean_url = (database.embedded_url(it) for it in ("chaos", "clean"))
        os.environ["DATABASE_URL"] = self.url
        self._record()

    def _mounted(self, disk: Path) -> Path | None:
        """Mount a disk that can be made full; only root may."""
        disk.mkdir()
        size = ["mount", "-t", "tmpfs", "-o", f"size={LARGE}", "tmpfs", str(disk)]
        if subprocess.run(size, capture_output=True).returncode:
            return None
        owner = embedded.FOLDER.stat()
        os.chown(disk, owner.st_uid, owner.st_gid)
        return disk

    def leave_on_disk(self, free: int | None) -> None:
        """Leave so many bytes on the small disk, or, with None, enough.

        Where there is none, no file of the server grows beyond a segment of its log.
        """
        if not self.disk:
            server = _server()
            for process in (server, *server.children()):
                with suppress(psutil.NoSuchProcess):
                    _, most = process.rlimit(psutil.RLIMIT_FSIZE)
                    process.rlimit(psutil.RLIMIT_FSIZE, (most if free is None else SEGMENT, most))
            return
        size = LARGE if free is None else shutil.disk_usage(str(self.disk)).used + free
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.disk)], check=True)

    def _record(self) -> None:
        recordings = self.folder / "recordings"
        recordings.mkdir()
        aging = ("S0001", "S0002", "S0003", "S0004")
        for name in aging:
            simulate.simulate_aging(recordings / f"{name}.mat", seed=0, cycles=CYCLES)
        simulate.simulate_randomized(recordings / "SRW1.mat", seed=0, reference_discharges=3)
        tabular = ("T1", "T2")
        for seed, name in enumerate(tabular):
            days.deliver(recordings, name, days.cycling(seed, cycles=16))
        fleet = ("--into-staging", "--cells", str(CELLS), "--cycles", str(CYCLES))
        self.loads = (
            Load(("loader", str(recordings), *days.FACTS), (*aging, "SRW1", *tabular)),
            Load(("loader.simulate", *fleet), tuple(f"SF{it:05d}" for it in range(1, CELLS + 1))),
        )

    def make_the_truth(self) -> None:
        """Load and build in a database that nothing befalls; all else is compared with it."""
        quiet = Scenario("clean build", rounds=1)
        for load in self.loads:
            self.begin(*load.command, url=self.clean_url).ended(quiet, 0)
        build = self.build(url=self.clean_url)
        self._wait_for(build, DBT)
        begun = time.monotonic()
        build.ended(quiet, 0)
        self.build_s = time.monotonic() - begun
        if quiet.faults:
            raise RuntimeError("a clean build failed")
        self.truth = contents(self.clean_url)

    def begin(self, *arguments: str, url: str = "") -> Command:
        """Start a command on the database, which is ended at the latest when all is."""
        self._commands.append(Command(*arguments, url=url or self.url))
        return self._commands[-1]

    def build(self, *arguments: str, url: str = "") -> Command:
        arguments = ("--no-use-colors", "build", *UNIT_TESTS, *arguments)
        return self.begin("dbt_project", *arguments, url=url)

    def in_a_load(self, command: Command, load: Load) -> bool:
        """Wait until some of what is missing is loaded, and a bit; tell whether it is at work."""
        self._wait_for(command, LOADER)
        there = self.pieces(load)
        enough = there + self.rng.uniform(0, 0.9) * (len(load.batteries) - there)
        while command.is_running() and self.pieces(load) < enough:
            time.sleep(0.005)
        time.sleep(self.rng.uniform(0, 0.1))
        return command.is_running() and self.connections(LOADER) > 0

    def in_a_build(self, command: Command) -> bool:
        """Wait for some moment of a build; tell whether it is at work."""
        self._wait_for(command, DBT)
        time.sleep(self.rng.uniform(0, self.build_s))
        return command.is_running() and self.connections(DBT) > 0

    def _wait_for(self, command: Command, name: str) -> None:
        while command.is_running() and not self.connections(name):
            time.sleep(0.02)

    def connections(self, name: str) -> int:
        return len(self.rows("select from pg_stat_activity where application_name = %s", name))

    def rows(self, query: str, *values: object, url: str = "") -> list[tuple[object, ...]]:
        """Return what a query answers, of the server's own database where none is named."""
        with (
            closing(psycopg2.connect(url or database.embedded_url())) as opened,
            opened.cursor() as cursor,
        ):
            cursor.execute(query, values)
            return cursor.fetchall()

    def execute(self, statement: str) -> None:
        with closing(psycopg2.connect(database.embedded_url())) as opened:
            opened.autocommit = True
            opened.cursor().execute(statement)

    def pieces(self, load: Load) -> int:
        """Count the pieces that are there of what a load brings."""
        if self.rows("select to_regclass('staging.source_file')", url=self.url) == [(None,)]:
            return 0
        query = "select from staging.source_file where battery_id = any(%s)"
        return len(self.rows(query, list(load.batteries), url=self.url))

    def unload(self, scenario: Scenario, load: Load) -> None:
        """Remove most batteries of a load."""
        if self.pieces(load):
            gone = self.rng.sample(load.batteries, len(load.batteries) * 3 // 4)
            self.begin("loader", "remove", "--yes", *gone).ended(scenario, 0)

    def complete(self, scenario: Scenario, load: Load) -> None:
        """Load what is missing; what was there before, and is now, has to be whole."""
        scenario.faults += halves(self.url)
        self.begin(*load.command).ended(scenario, 0)
        scenario.faults += halves(self.url)

    def crash(self) -> None:
        """Stop the server as pg_ctl -m immediate does: it says nothing to anybody."""
        server = _server()
        server.send_signal(signal.SIGQUIT)
        server.wait(30)

    def settle(self, scenario: Scenario, group: int) -> None:
        """Wait until nobody is left of a group whose leader was killed."""
        limit = time.monotonic() + 30
        while time.monotonic() < limit:
            if not _alive_in(group) and not self.connections(LOADER):
                return
            time.sleep(0.05)
        scenario.expect(False, f"processes of a killed loader go on: {_alive_in(group)}")

    def clear(self) -> None:
        """End all that runs, and leave nothing behind."""
        for command in self._commands:
            command.kill()
            command.process.wait()
        embedded.stop()
        if self.disk:
            subprocess.run(["umount", str(self.disk)], check=True)


def _server() -> psutil.Process:
    return psutil.Process(int((embedded.data_folder() / "postmaster.pid").read_text().split()[0]))


def _alive_in(group: int) -> list[int]:
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.Error):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found
