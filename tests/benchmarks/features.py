"""How fast features are computed: against DuckDB, one cell more, many cells.

    BATTERY_DATA=FOLDER python -m tests.benchmarks.features

Without BATTERY_DATA the cells are simulated.
"""

import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import numpy as np
import psycopg2

from loader import simulate
from tests.benchmarks.figures import Figure, told
from tests.conftest import Server, rows, run

ROOT = Path(__file__).parents[2]
QUERY = (Path(__file__).parent / "features.sql").read_text(encoding="utf-8")
COPY = (Path(__file__).parent / "copies.sql").read_text(encoding="utf-8")
TARGET = ROOT / "dbt_project" / "target" / "benchmark"
FEW, MANY = 18, 100  # simulated cells of 200 cycles
SAMPLES = "select sum(samples)::float8 / 1e6 from staging.source_file"
ARRAYS = (
    "select recording_type, time_s, voltage_v, current_a, temperature_c"
    " from public_intermediate.stg_aging__recordings where cardinality(time_s) > 1"
)


def load(url: str, *paths: Path) -> None:
    loaded = run("python", "-m", "loader", *map(str, paths), DATABASE_URL=url)
    assert loaded.returncode == 0, loaded.stderr


def dbt_seconds(url: str, command: str, *arguments: str) -> float:
    """Seconds that the SQL of a dbt command took, one statement after another."""
    log = TARGET / "dbt.log"
    log.unlink(missing_ok=True)
    made = run(
        "dbt", "--log-path", str(TARGET), "--log-format-file", "json", "--log-level-file", "debug",
        command, "--project-dir", "dbt_project", "--target-path", str(TARGET), "--threads", "1",
        *arguments, DATABASE_URL=url,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout
    events = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    spent = (it["data"]["elapsed"] for it in events if it["info"]["name"] == "SQLQueryStatus")
    return float(sum(spent))


def duckdb_seconds(url: str) -> tuple[float, float]:
    """Best of three, one thread, and the samples, millions, that were read."""
    with closing(psycopg2.connect(url)) as sql:
        found = rows(sql, ARRAYS)
    lengths = [len(it[1]) for it in found]
    flat = {"recording": np.repeat(np.arange(len(found)), lengths)}
    flat["kind"] = np.repeat(np.array([it[0] == "charge" for it in found]), lengths)
    for name, column in zip("tvic", range(1, 5), strict=True):
        flat[name] = np.concatenate([np.array(it[column], dtype=float) for it in found])
    with closing(duckdb.connect(config={"threads": 1})) as memory:
        memory.register("flat", flat)
        memory.execute(
            "create table arrays as select recording,"
            " case when any_value(kind) then 'charge' else 'discharge' end as kind,"
            " list(t) as t, list(v) as v, list(i) as i, list(c) as c from flat group by recording"
        )
        times = []
        for _ in range(3):
            started = time.perf_counter()
            memory.execute(QUERY).fetchall()
            times.append(time.perf_counter() - started)
    return min(times), sum(lengths) / 1e6


class Memory(threading.Thread):
    """Watches the largest memory of its own that a Postgres process has, MB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak, self.stopped = 0.0, threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(0.05):
            for status in Path("/proc").glob("[0-9]*/status"):
                try:
                    fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines())
                except (OSError, ValueError):
                    continue
                if fields["Name"] == "postgres":
                    self.peak = max(self.peak, int(fields.get("RssAnon", "0").split()[0]) / 1000)


def measure() -> Iterator[Figure]:
    """Build the features of real cells, one cell more, and those of few and of many alike."""
    server, data = Server(), os.environ.get("BATTERY_DATA")
    watch = Memory()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        many, real = server.create(), server.create()
        try:
            if not data:
                for number in range(4):
                    simulate.simulate_aging(folder / f"S{number}.mat", seed=number, cycles=100)
            files = sorted(Path(data or folder).rglob("*.mat"), key=lambda it: it.stat().st_size)
            files.append(files.pop(len(files) // 2))  # a cell of middle size comes last
            load(real, *files[:-1])
            dbt_seconds(real, "build")
            load(real, files[-1])
            one = dbt_seconds(real, "run")
            full = dbt_seconds(real, "run", "--full-refresh")
            with closing(psycopg2.connect(real)) as sql:
                samples = rows(sql, SAMPLES)[0][0]
            rate = full / samples
            yield Figure("one cell more", one, full, "s", f"building all {len(files)} anew")
            seconds, read = duckdb_seconds(real)
            yield Figure(
                "features of a million samples, all of dbt's SQL", rate, seconds / read, "s",
                "DuckDB integrating the same arrays in memory",
            )  # fmt: skip

            simulate.simulate_aging(folder / "S.mat", seed=1, cycles=200)
            load(many, folder / "S.mat")
            dbt_seconds(many, "build")
            watch.start()
            rates = []
            for count in (FEW, MANY):
                with closing(psycopg2.connect(many)) as sql, sql, sql.cursor() as cursor:
                    cursor.execute(COPY, {"cells": count})
                seconds = dbt_seconds(many, "run", "--full-refresh")
                with closing(psycopg2.connect(many)) as sql:
                    samples = rows(sql, SAMPLES)[0][0]
                rates.append(seconds / samples)
            watch.stopped.set()
            yield Figure(
                f"a million samples of {MANY} cells", rates[1], rates[0], "s", f"of {FEW}",
                at_most=1.3,
            )  # fmt: skip
            size_mb = samples * 1e6 * 4 * 8 / 1e6
            yield Figure(
                "largest Postgres process", watch.peak, size_mb, "MB", f"samples of {MANY} cells"
            )
        finally:
            server.drop(many)
            server.drop(real)


if __name__ == "__main__":
    told(measure())
