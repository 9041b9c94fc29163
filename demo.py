"""The whole road on the recordings at hand, from files to an answered forecast: `make demo`.

Recordings are those that BATTERY_DATA names, else those in data/, else NASA's own download, else
simulated ones, which live in a database and in artifacts of their own.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psycopg2
from psycopg2 import sql

import database
from model.config import MEASURED, Config

DATA = Path("data")
SIMULATED = Path("artifacts/simulated/recordings")
NOT_RECORDINGS = (".part", ".sha256")
EVERY_S = 10.0
# Batteries by how many cycles a network could learn from.
BATTERIES = f"""
select battery_id, count(*)
from cycle_series
where soh_target is not null
    and {" and ".join(f"features ->> '{name}' is not null" for name in MEASURED)}
group by battery_id
order by count(*) desc, battery_id
"""
SUMMARY = """select battery_id, cycles, round(first_soh::numeric, 3) as first_soh,
    round(last_soh::numeric, 3) as last_soh, end_of_life_cycle
from battery_summary order by battery_id"""
ERRORS = """select model_version, battery_id, horizon, count(*) as forecasts,
    round(sqrt(avg(error ^ 2))::numeric, 4) as rmse,
    round(sqrt(avg(persistence_error ^ 2))::numeric, 4) as rmse_if_nothing_changed
from forecast_error where horizon in (1, 10, 50, 100) group by 1, 2, 3 order by 1, 2, 3"""


class _StopError(Exception):
    """Ends the demo with one line, and the exit status of the step that failed."""

    def __init__(self, said: str, status: int = 1) -> None:
        super().__init__(said)
        self.status = status


def main() -> int:
    try:
        _run()
    except (_StopError, database.DatabaseError, psycopg2.Error) as error:
        print(f"\n{error}", file=sys.stderr)
        return error.status if isinstance(error, _StopError) else 1
    except KeyboardInterrupt:
        print("\ninterrupted: `make demo` goes on from what is done", file=sys.stderr)
        return 130
    return 0


def _run() -> None:
    data = _recordings()
    out = Path("artifacts")
    if data == SIMULATED:
        out = SIMULATED.parent
        os.environ["DATABASE_URL"] = _database_of_its_own("simulated")
    os.environ["MODEL_PATH"] = str(out / "model.pth")
    _step("recordings into staging tables", "-m", "loader", data)
    _build("staging tables into features")
    _show(SUMMARY)
    *train, test = _batteries()
    _train([*train], test, out)
    _step("a forecast from each past cycle of the test battery", "-m", "model.backtest", test)
    _build("what was forecast against what came, and alerts", "--select", "int_alert_now+")
    _show(ERRORS)
    _step("a model into a forecast: uvicorn api.main:app", "-m", "api.demo", test)
    print(f"\nPictures and metrics are in {out}/. Next: . .venv/bin/activate, then")
    if data == SIMULATED:
        for name in ("DATABASE_URL", "MODEL_PATH"):
            print(f"  export {name}={shlex.quote(os.environ[name])}")
        print("                                           to go on with the SIMULATED cells")
    for command, meaning in (
        ("uvicorn api.main:app", "the service and its page, http://localhost:8000"),
        ("python -m database psql", "SQL: select * from cycle_features limit 5"),
        ("python -m loader PATH", "your own recordings, then"),
        ("python -m dbt_project build", "their features"),
        ("python -m model.predict", "the forecasts of every battery, in SQL"),
        ("python -m model.train --help", "other batteries, other features"),
    ):
        print(f"  {command:<40} {meaning}")


def _recordings() -> Path:
    if named := os.environ.get("BATTERY_DATA"):
        return Path(named)
    if any(it.is_file() and it.suffix not in NOT_RECORDINGS for it in DATA.rglob("*")):
        return DATA
    _say("downloading NASA's aging cells: python -m loader download")
    if _python("-m", "loader", "download") == 0:
        return DATA
    if not database.is_embedded():
        raise _StopError(
            "no recordings: name a folder in BATTERY_DATA, or put files into data/. Simulated "
            "ones are not loaded into a database of your own"
        )
    _step("no recordings, no network: SIMULATED cells instead", "-m", "loader.simulate", SIMULATED)
    return SIMULATED


def _database_of_its_own(name: str) -> str:
    with closing(database.connect()) as server:
        server.autocommit = True
        with server.cursor() as cursor:
            cursor.execute("select from pg_database where datname = %s", (name,))
            if cursor.fetchone() is None:
                cursor.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    return database.embedded_url(name)


def _show(query: str) -> None:
    _check("psql", _python("-m", "database", "psql", "-P", "pager=off", "-c", query))


def _build(what: str, *arguments: str) -> None:
    """Run dbt; of its many lines show how far it is, and what is not as it should be."""
    _say(f"{what}: {shlex.join(['python', '-m', 'dbt_project', 'build', *arguments])}")
    told = time.monotonic()
    command = ("-m", "dbt_project", "--no-use-colors", "build", *arguments)
    with _running(*command, piped=True) as building:
        assert building.stdout is not None
        for line in building.stdout:
            step = re.search(r"(\d+ of \d+) (\w+) (.*?)\s*\.*\s*\[", line)
            if step and step[2] not in ("ERROR", "FAIL", "WARN"):
                if step[2] == "START" and time.monotonic() - told > EVERY_S:
                    told = time.monotonic()
                    print(f"  {step[1]}: {step[3]}", flush=True)
            elif re.search(r"ERROR|FAIL|WARN|rror:|refuse|another run|Done\.", line):
                print(" ", line.rstrip(), flush=True)
        _check("dbt", building.wait())


def _batteries() -> list[str]:
    """Choose two batteries to learn from and a third to be tested on: NASA's, else the longest."""
    with closing(database.connect()) as server, server.cursor() as cursor:
        cursor.execute(BATTERIES)
        cycles = {battery_id: count for battery_id, count in cursor if count > Config().window}
    chosen = [*Config().train, *Config().test]
    if not set(chosen) <= set(cycles):
        chosen = list(cycles)[:3]
    if len(chosen) < 3:
        raise _StopError(
            f"the features are built, and ready for SQL. A network learns from two batteries and "
            f"is tested on a third, each of more than {Config().window} cycles with a state of "
            f"health: there are {', '.join(cycles) or 'none'} (`python -m loader --help` tells "
            "what a file may lack: rated capacity, temperature)"
        )
    counts = ", ".join(f"{name} ({cycles[name]} cycles)" for name in chosen)
    print(f"batteries with the most ground truth, the last of them to be tested on: {counts}")
    return chosen


def _train(train: Sequence[str], test: str, out: Path) -> None:
    """Train all networks at once; what the others say is shown after the first."""
    with ExitStack() as together:
        running: list[subprocess.Popen[str]] = []
        for features in ("spec", "extended", "fleet"):
            learned = ["all"] if features == "fleet" else train
            command = [
                "-m", "model.train", "--train", *learned, "--test", test, "--features", features,
                "--out", str(out),
            ]  # fmt: skip
            _say(f"features into a model: {shlex.join(['python', *command])}")
            running.append(together.enter_context(_running(*command, piped=bool(running))))
        for process in running:
            said = process.communicate()[0]
            print(said or "", end="", flush=True)
            _check("training", process.returncode)


def _step(what: str, *arguments: object) -> None:
    _say(f"{what}: {shlex.join(['python', *map(str, arguments)])}")
    _check(str(arguments[1]), _python(*arguments))


def _say(what: str) -> None:
    print(f"== {what}", flush=True)


def _check(what: str, status: int) -> None:
    if status:
        raise _StopError(
            f"{what} failed, as it says above: mend that, then `make demo` again", status
        )


def _python(*arguments: object) -> int:
    with _running(*arguments) as process:
        return process.wait()


@contextmanager
def _running(*arguments: object, piped: bool = False) -> Iterator[subprocess.Popen[str]]:
    """Run Python in a process group of its own, so that Ctrl-C reaches this process alone.

    What still runs in the end is ended, with all that it has started.
    """
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdout=subprocess.PIPE if piped else None,
        stderr=subprocess.STDOUT if piped else None,
        text=True,
        process_group=0,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
