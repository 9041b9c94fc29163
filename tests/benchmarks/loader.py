"""How fast the loader is: `python -m tests.benchmarks.loader`.

BATTERY_DATA names the folder with NASA's files. Each figure is the best of several runs, taken in
turn with what it is compared to. Needs the packages of the `dev` extra.
"""

import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import psycopg2
import scipy.io
import sqlalchemy

from binary_copy import encode
from loader import contract, staging
from loader.battery import Battery
from loader.load import Order, load
from loader.part import Part
from loader.reading import Reading
from loader.sources import Source
from tests.benchmarks.figures import Figure, told
from tests.conftest import NASA, Server, matlab_file, run

RUNS = 3
ROWS = 30_000  # as many as to_sql is asked for: it would take minutes for a file
COPIES = 4  # of B0005 in the CSV and Parquet files: 2.4 million samples
STAGING = "staging.source_file, staging.aging_recording, staging.aging_impedance,"
STAGING += " staging.randomized_step, staging.tabular_recording"


def best(*works: Callable[[], Any]) -> list[float]:
    """Shortest time of each work, s; they take turns, so that a slow moment hits them all."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(RUNS):
        for taken, work in zip(times, works, strict=True):
            begun = time.perf_counter()
            work()
            taken.append(time.perf_counter() - begun)
    return [min(taken) for taken in times]


def measure() -> Iterator[Figure]:
    """Load NASA's files, and tables made of them, by turns with what a user could do instead."""
    assert NASA, "BATTERY_DATA does not name a folder with NASA's files"
    files = sorted(NASA.rglob("*.mat"))
    largest = NASA / "aging" / "B0005.mat"
    server = Server()
    url = server.create()
    try:
        with closing(psycopg2.connect(url)) as opened, tempfile.TemporaryDirectory() as folder:
            contract.prepare(opened)
            yield whole_load(url, opened, files)
            battery = matlab_file(largest.read_bytes(), "")
            yield copying(
                opened, [battery, *(matlab_file(it.read_bytes(), it.stem) for it in files[1:5])]
            )
            yield from rows_instead_of_arrays(url, opened, battery)
            yield from tables(url, opened, battery, Path(folder))
        for path in (largest, files[-1]):
            yield memory(url, path)
    finally:
        server.drop(url)


def empty(opened: Any) -> None:
    with opened, opened.cursor() as cursor:
        cursor.execute(f"truncate {STAGING}")


def command(url: str, opened: Any, *arguments: object) -> float:
    """Load into empty tables by the command line; returns seconds."""
    empty(opened)
    begun = time.perf_counter()
    done = run("python", "-m", "loader", *map(str, arguments), DATABASE_URL=url)
    assert done.returncode == 0, done.stderr
    return time.perf_counter() - begun


def whole_load(url: str, opened: Any, files: Sequence[Path]) -> Figure:
    def bare() -> None:
        for file in files:
            scipy.io.loadmat(file)

    taken = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        bare()
        taken.append((time.perf_counter() - begun, command(url, opened, *files)))
    alone, loaded = (min(column) for column in zip(*taken, strict=True))
    return Figure(
        "python -m loader of NASA's files, start and all", loaded, alone, "s",
        "scipy.io.loadmat of them in one process", at_most=1.5,
    )  # fmt: skip


def copying(opened: Any, batteries: list[Battery]) -> Figure:
    tables = [(table, rows) for it in batteries for table, rows in it.tables.items() if rows]
    encoded = [
        (table, rows[0]._fields, b"".join(encode(("", *row) for row in rows)))
        for table, rows in tables
    ]
    size_mb = sum(len(content) for *_, content in encoded) / 1e6

    def raw() -> None:
        empty(opened)
        with opened, opened.cursor() as cursor:
            for table, names, content in encoded:
                columns = ", ".join(("piece", *names))
                statement = f"copy staging.{table} ({columns}) from stdin (format binary)"
                cursor.copy_expert(statement, io.BytesIO(content), size=1 << 18)

    def encoding() -> None:
        empty(opened)
        with opened, opened.cursor() as cursor:
            for table, rows in tables:
                staging.copy(cursor, table, "", rows)

    bare, ours = best(raw, encoding)
    return Figure(
        "encoding and COPY", size_mb / ours, size_mb / bare, "MB/s",
        "COPY of bytes encoded before", at_least=0.7,
    )  # fmt: skip


def rows_instead_of_arrays(url: str, opened: Any, battery: Battery) -> Iterator[Figure]:
    recordings: list[Any] = battery.tables["aging_recording"]
    names = ("time_s", "voltage_measured_v", "current_measured_a", "temperature_measured_c")
    table = pd.DataFrame({it: np.concatenate([getattr(r, it) for r in recordings]) for it in names})
    lengths = [r.time_s.size for r in recordings]
    table.insert(0, "recording_index", np.repeat([r.recording_index for r in recordings], lengths))
    table.insert(0, "battery_id", battery.battery_id)
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg2://", creator=lambda: psycopg2.connect(url)
    )
    few = table[:ROWS]

    def multi() -> None:
        few.to_sql(
            "multi", engine, if_exists="replace", index=False, method="multi", chunksize=1000
        )

    def csv() -> None:
        with opened, opened.cursor() as cursor:
            cursor.execute("drop table if exists by_csv")
            columns = ", ".join(f"{it} float8" for it in names)
            cursor.execute(f"create table by_csv (battery_id text, recording_index int, {columns})")
            content = io.StringIO()
            table.to_csv(content, index=False, header=False)
            content.seek(0)
            cursor.copy_expert("copy by_csv from stdin (format csv)", content, size=1 << 18)

    def ours() -> None:
        empty(opened)
        with opened, opened.cursor() as cursor:
            staging.copy(cursor, "aging_recording", "", recordings)

    by_multi, by_csv, by_arrays = best(multi, csv, ours)
    engine.dispose()
    rate = len(table) / by_arrays / 1e6
    for than, other, at_least in (
        ('pandas.to_sql(method="multi")', ROWS / by_multi / 1e6, 10),
        ("pandas.to_csv and COPY", len(table) / by_csv / 1e6, 5),
    ):
        yield Figure("arrays by COPY", rate, other, "M samples/s", than, at_least=at_least)


def tables(url: str, opened: Any, battery: Battery, folder: Path) -> Iterator[Figure]:
    parts, start = [], 0.0
    for number, it in enumerate(battery.tables["aging_recording"] * COPIES):
        part: Any = it
        values = (part.time_s + start, part.voltage_measured_v, part.current_measured_a,
                  part.temperature_measured_c, np.full(part.time_s.size, number))  # fmt: skip
        parts.append(np.array(values))
        start = float(values[0][-1]) + 1.0
    names = ("test_time_second", "voltage_volt", "current_ampere", "surface_temperature_celsius",
             "step_count")  # fmt: skip
    samples = dict(zip(names, np.concatenate(parts, axis=1), strict=True))
    size = samples["step_count"].size / 1e6
    duckdb.sql(f"copy (select * from samples) to '{folder}/T.parquet'")
    duckdb.sql(f"copy (select * from samples) to '{folder}/T.csv'")
    messy(folder)
    taken = {}
    for name in ("T.parquet", "T.csv", "M.txt"):
        taken[name] = min(command(url, opened, folder / name) for _ in range(RUNS))
    (csv,) = best(lambda: pd.read_csv(folder / "T.csv"))
    (parquet,) = best(lambda: duckdb.read_parquet(f"{folder}/T.parquet").fetchnumpy())
    unit = "M samples/s"
    for what, ours, than, other, at_least in (
        ("load of a Parquet file", "T.parquet", "DuckDB reading it into arrays", parquet, None),
        ("load of a CSV file", "T.csv", "pandas.read_csv alone", csv, None),
        ("load of a messy text file", "M.txt", "load of a clean one", taken["T.csv"], 0.5),
    ):
        yield Figure(what, size / taken[ours], size / other, unit, than, at_least=at_least)


def messy(folder: Path) -> None:
    """Write T.csv again as a German cycler might: lines above and below, commas, Latin-1."""
    with (
        (folder / "T.csv").open() as clean,
        (folder / "M.txt").open("w", encoding="latin-1") as out,
    ):
        out.write('Report of "a test"\nDate:;01.04.2024\n\nt/s;U/V;I/A;T/°C;Step\n')
        next(clean)
        for line in clean:
            out.write(line.replace(",", ";").replace(".", ","))
        out.write("Test finished;;\n")


def memory(url: str, path: Path) -> Figure:
    """Let a fresh process load one file and compare its growth with the decoded arrays."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.loader", url, str(path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    grown, size = map(float, done.stdout.split())
    return Figure(
        f"peak memory for {path.name}", grown, size, "MB", "its arrays decoded", at_most=3
    )


def peak() -> int:
    """Most memory this process has held, bytes."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def grow(url: str, path: Path) -> tuple[float, float]:
    """Load a file in this process; returns how its peak memory grew, and its decoded size, MB."""
    before = peak()
    server = psycopg2.connect(url)
    empty(server)
    server.close()
    source = Source(str(path), path.name, "matlab", (Part(path.name, path),))
    outcome = load(Order(url, Reading(), datetime.now(UTC) + timedelta(days=1)), source)
    assert outcome.said, outcome
    grown = peak() - before
    battery = matlab_file(path.read_bytes(), path.stem)
    arrays = [it for rows in battery.tables.values() for row in rows for it in row]
    size = sum(it.nbytes for it in arrays if isinstance(it, np.ndarray))
    return grown / 1e6, size / 1e6


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(*grow(sys.argv[1], Path(sys.argv[2])))
    else:
        told(measure())
