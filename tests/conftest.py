"""A real Postgres for every test: built once per run, cloned per test."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

import psycopg2
import pytest
from fastapi.testclient import TestClient
from psycopg2.extensions import connection, parse_dsn

import api.main
import database
import embedded
from loader import simulate
from loader.battery import Battery
from loader.readers import matlab
from loader.reading import Reading
from model import train
from model.config import Config
from tests.databases import Server as Server
from tests.databases import careless_server, once
from tests.warm import Warm

ROOT = Path(__file__).parents[1]
ALERTS = (ROOT / "tests" / "alerts.sql").read_text(encoding="utf-8")
NASA = Path(os.environ["BATTERY_DATA"]).resolve() if os.environ.get("BATTERY_DATA") else None
WARM = {it: Warm(it) for it in ("dbt", "python")}
OURS = "BATTERY_TESTS_SERVER"  # where it is, for the processes of one run
PATIENCE_S = 600.0  # with a command; a benchmark may have more


def pytest_configure(config: pytest.Config) -> None:
    """Start the tests' server, which nothing need survive, unless the environment names one."""
    for it in WARM.values():
        config.add_cleanup(it.close)
    if OURS in os.environ:  # one of several processes
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the server is stopped then, too
    stack = ExitStack()
    config.add_cleanup(stack.close)
    if database.is_embedded():
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="battery-tests-")))
        folder.chmod(0o711)  # PostgreSQL does not run as root
        url = stack.enter_context(careless_server(folder / "pg"))
    else:
        url = database.url()
    stack.enter_context(pytest.MonkeyPatch.context()).setenv(OURS, url)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda it: -sum(mark.args[0] for mark in it.iter_markers("long")))
    if NASA is None:
        skip = pytest.mark.skip(reason="BATTERY_DATA does not name a folder with NASA's files")
        for item in items:
            if "nasa" in item.keywords:
                item.add_marker(skip)


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the project as a user would, in the root of the checkout."""
    environment = {**os.environ, "PWD": str(ROOT), **environment}
    if command[0] == "dbt":
        command = ("dbt", "--no-use-colors", *command[1:])
    if command[0] == "dbt" or command[:2] == ("python", "-m"):
        program = "dbt" if command[2] == "dbt_project" else command[0]
        made = WARM[program].run(command, environment, PATIENCE_S)
        if made is not None:
            return made
    if command[0] in ("python", "dbt"):
        command = (str(Path(sys.executable).with_name(command[0])), *command[1:])
    return subprocess.run(
        command,
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip


def build(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run dbt against a database; its artifacts go to a folder of their own per database.

    Its unit tests look at no data: they run where the templates are built, and nowhere else.
    """
    return _dbt("build", url, "--exclude-resource-type", "unit_test", *arguments)


def rebuild(url: str, *arguments: str) -> None:
    """Run the models alone, as `dbt run` does; it has to succeed."""
    made = _dbt("run", url, *arguments)
    assert made.returncode == 0, made.stdout


def _dbt(command: str, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    target = f"target/{parse_dsn(url)['dbname']}"
    return run(
        "dbt", command, "--project-dir", "dbt_project", "--target-path", target, *arguments,
        DATABASE_URL=url, DBT_WRITE_JSON="false", DBT_LOG_LEVEL_FILE="none",
    )  # fmt: skip


def load(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the loader on the database that DATABASE_URL names."""
    return run("python", "-m", "loader", *map(str, arguments), **environment)


def matlab_file(content: bytes, name: str) -> Battery:
    """Read the one battery in the bytes of a MATLAB file."""
    (battery,) = matlab.batteries(content, name, Reading())
    return battery


@pytest.fixture(scope="session")
def server() -> Server:
    return Server(os.environ[OURS])


@pytest.fixture
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A server of its own that asks for a password; its socket's folder."""
    folder = tmp_path / "pg"
    monkeypatch.setattr(embedded, "FOLDER", folder)
    embedded.start()
    with closing(psycopg2.connect(host=str(folder), user="postgres", dbname="postgres")) as admin:
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute("create role guest login password 'sesame'")
            (embedded.data_folder() / "pg_hba.conf").write_text(
                "local all postgres trust\nlocal all all scram-sha-256\n"
            )
            cursor.execute("select pg_reload_conf()")
    yield folder
    embedded.stop()


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four simulated aging cells and a randomized one."""

    def make(folder: Path) -> None:
        for name in ("S0001", "S0002", "S0003", "S0004"):
            simulate.simulate_aging(folder / f"{name}.mat", seed=0, cycles=60)
        simulate.simulate_randomized(folder / "SRW1.mat", seed=0, reference_discharges=3)

    return once(tmp_path_factory, "recordings", make)


def _built(server: Server, recordings: Path, draft: Path) -> None:
    """Load and build a database that nobody connects to: PostgreSQL copies no other.

    Its URL is in the folder afterwards.
    """
    url = server.create()
    loaded = load(recordings, DATABASE_URL=url)
    assert loaded.returncode == 0, loaded.stderr
    made = _dbt("build", url)
    assert made.returncode == 0, made.stdout
    (draft / "url").write_text(url)


@pytest.fixture(scope="session")
def simulated_template(
    server: Server, recordings: Path, tmp_path_factory: pytest.TempPathFactory
) -> str:
    make = partial(_built, server, recordings)
    return server.create((once(tmp_path_factory, "simulated", make) / "url").read_text())


@pytest.fixture(scope="session")
def nasa_template(server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    assert NASA is not None
    make = partial(_built, server, NASA)
    return server.create((once(tmp_path_factory, "nasa", make) / "url").read_text())


def _cloned(server: Server, template: str | None, patch: pytest.MonkeyPatch) -> Iterator[str]:
    url = server.create(template)
    patch.setenv("DATABASE_URL", url)
    yield url
    server.drop(url)


@pytest.fixture
def empty(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty database, named by DATABASE_URL."""
    yield from _cloned(server, None, monkeypatch)


@pytest.fixture
def simulated(
    server: Server, simulated_template: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A database with the simulated cells loaded and built, named by DATABASE_URL."""
    yield from _cloned(server, simulated_template, monkeypatch)


@pytest.fixture
def nasa(server: Server, nasa_template: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A database with NASA's cells loaded and built, named by DATABASE_URL."""
    yield from _cloned(server, nasa_template, monkeypatch)


@pytest.fixture
def sql(request: pytest.FixtureRequest) -> Iterator[connection]:
    """A connection to the database that the test has asked for."""
    name = next(it for it in ("nasa", "simulated", "empty") if it in request.fixturenames)
    with closing(psycopg2.connect(request.getfixturevalue(name))) as opened:
        opened.autocommit = True
        yield opened


def rows(opened: connection, query: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
    """Return what a query answers."""
    with opened.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall()


@pytest.fixture(scope="session")
def model_path(simulated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model trained on the simulated cells."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DATABASE_URL", simulated_template)
            for features in ("spec", "extended"):
                chosen = Config(
                    train=("S0001", "S0002"), test=("S0003",), features=(features,), epochs=2
                )
                train.run(chosen, folder)

    return once(tmp_path_factory, "model", make) / "model.pth"


def version(model: Path) -> str:
    """What the service calls a model, with the one beside it that knows of rests."""
    beside = model.with_name("model_extended.pth")
    content = model.read_bytes() + (beside.read_bytes() if beside.exists() else b"")
    return hashlib.sha256(content).hexdigest()[:12]


@pytest.fixture
def client(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The service with that model; with a database where the test asks for one first."""
    monkeypatch.setenv("MODEL_PATH", str(model_path))
    with TestClient(
        api.main.app, raise_server_exceptions=False, client=("127.0.0.1", 50000)
    ) as opened:
        yield opened


@contextmanager
def serving(
    *flags: str, app: str = "api.main:app", ready: str = "/livez", **environment: str
) -> Iterator[str]:
    """Run the service in a process of its own, as a user would; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", app, "--port", port, *flags],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    log: deque[bytes] = deque(maxlen=50)
    reader = threading.Thread(target=log.extend, args=[process.stdout])
    reader.start()
    here = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{here}{ready}", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, b"".join(log).decode()
                time.sleep(0.1)
        yield here
    finally:
        process.terminate()
        process.wait(timeout=30)
        reader.join()
        process.stdout.close()


@pytest.fixture(scope="session")
def service(server: Server, simulated_template: str, model_path: Path) -> Iterator[str]:
    """The address of a running service, with a model, the simulated cells and their alerts.

    The last discharge of S0001 is left out: simulated cells have none that dbt leaves out.
    """
    url = server.create(simulated_template)
    with closing(psycopg2.connect(url)) as opened, opened, opened.cursor() as cursor:
        cursor.execute("delete from cycle_series where battery_id = 'S0001' and cycle_index = 60")
        cursor.execute(
            "update cycle_quality set is_usable = false, reason = 'no_load', cycle_index = null"
            " where battery_id = 'S0001' and cycle_index = 60"
        )
        cursor.execute(ALERTS, {"version": version(model_path)})
    with serving("--no-access-log", DATABASE_URL=url, MODEL_PATH=str(model_path)) as here:
        yield here
    server.drop(url)
