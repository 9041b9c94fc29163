"""What a cell costs in a large fleet, as a ratio of what it costs in one of 100.

    python -m tests.benchmarks.fleet [--cells N …] [--cycles N]

Simulated cells in databases of their own: staging, features, one more cell, one more day, the
answers behind the page, and a forecast of every battery. Needs a trained model (MODEL_PATH, else
artifacts/model.pth).
"""

import argparse
import os
import time
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from statistics import median

import psycopg2

from loader import contract, simulate_fleet, staging
from loader.battery import Battery
from tests import conftest
from tests.benchmarks.features import dbt_seconds
from tests.benchmarks.figures import Figure, told
from tests.conftest import Server, run, serving

FEW, MANY = 100, 1000
CYCLES = 500
BAR = 1.3
ROUNDS = 2
PAGES = {
    "first page of the fleet": "/batteries?limit=50",
    "fleet sorted by state of health": "/batteries?limit=50&sort=last_soh",
    "search in the fleet": "/batteries?limit=50&search=SF00003",
    "battery": "/batteries/SF00007",
    "cycles of a battery": "/batteries/SF00007/cycles?limit=1000",
    "predictions of a battery": "/batteries/SF00007/predictions",
    "forecast of a battery": "/batteries/SF00007/forecast",
    "samples of a cycle": "/batteries/SF00007/cycles/100/curve",
}


class Fleet:
    """A database with so many simulated cells; `seconds` by what was done."""

    def __init__(self, server: Server, cells: int, cycles: int) -> None:
        self.cells, self.cycles, self.url = cells, cycles, server.create()
        self.seconds: dict[str, list[float]] = {}
        self._added = 0

    def fill(self) -> None:
        """Stage the cells and build their features, each timed by the cell."""
        arguments = ("--cells", str(self.cells), "--cycles", str(self.cycles))
        begun = time.perf_counter()
        made = run(
            "python", "-m", "loader.simulate", "--into-staging", *arguments, DATABASE_URL=self.url
        )
        assert made.returncode == 0, made.stderr
        self._note("staging", (time.perf_counter() - begun) / self.cells)
        untested = ("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")
        self._note("features", dbt_seconds(self.url, "build", *untested) / self.cells)

    def grow(self) -> None:
        """Build once more, with one more cell, then with a day more of it."""
        self._added += 1
        cell = simulate_fleet.cell(f"one more {self._added}", 0, self.cycles + 5)
        for what, piece in zip(("one more cell", "one more day"), _parts(cell), strict=True):
            origin = simulate_fleet.origin(cell.battery_id, 0, piece.discharges)
            with closing(psycopg2.connect(self.url)) as opened:
                staging.write(opened, [(piece, origin)], contract.prepare(opened))
            self._note(what, dbt_seconds(self.url, "run"))

    def ask(self, here: str) -> None:
        """Ask a service for what its page shows."""
        for what, path in PAGES.items():
            begun = time.perf_counter()
            with urllib.request.urlopen(here + path) as answer:
                answer.read()
            self._note(what, time.perf_counter() - begun)

    def forecast(self) -> None:
        """Forecast every battery, timed by the cell."""
        begun = time.perf_counter()
        made = run("python", "-m", "model.predict", DATABASE_URL=self.url)
        assert made.returncode == 0, made.stderr
        self._note("forecast of all", (time.perf_counter() - begun) / self.cells)

    def _note(self, what: str, seconds: float) -> None:
        self.seconds.setdefault(what, []).append(seconds)


def _parts(cell: Battery) -> Iterator[Battery]:
    """Cut a cell into all but its last five cycles, and these."""
    rows = cell.tables["tabular_recording"]
    for own in (rows[:-10], rows[-10:]):
        times = [it.time_s for it in own]  # type: ignore[attr-defined]
        assert cell.span
        span = cell.span._replace(
            begins_s=cell.span.origin_s + float(times[0][0]),
            ends_s=cell.span.origin_s + float(times[-1][-1]),
        )
        numbered = [it._replace(recording_index=at + 1) for at, it in enumerate(own)]
        yield replace(
            cell, tables={"tabular_recording": numbered}, span=span, discharges=len(own) // 2,
            samples=sum(it.size for it in times),
        )  # fmt: skip


def measure(sizes: Sequence[int] = (FEW, MANY), cycles: int = CYCLES) -> Iterator[Figure]:
    """Fill a database per size, and compare what the same costs in each, by turns."""
    conftest.PATIENCE_S += max(sizes)
    server = Server()
    model = os.environ.get("MODEL_PATH", "artifacts/model.pth")
    with ExitStack() as stack:
        fleets = []
        for cells in sizes:
            fleets.append(Fleet(server, cells, cycles))
            stack.callback(server.drop, fleets[-1].url)
            fleets[-1].fill()
        yield from _figures(fleets, ("staging", "features"))
        for _ in range(ROUNDS):
            for it in fleets:
                it.grow()
        yield from _figures(fleets, ("one more cell", "one more day"))
        for it in fleets:
            with serving("--no-access-log", DATABASE_URL=it.url, MODEL_PATH=model) as here:
                for _ in range(2 * ROUNDS):
                    it.ask(here)
        yield from _figures(fleets, PAGES)
        for it in fleets:
            it.forecast()
        yield from _figures(fleets, ("forecast of all",))


def _figures(fleets: Sequence[Fleet], names: Iterable[str]) -> Iterator[Figure]:
    """Compare each fleet with the first."""
    for it in fleets[1:]:
        for name in names:
            few, many = (median(fleet.seconds[name]) for fleet in (fleets[0], it))
            yield Figure(
                f"{name}, {it.cells:,} cells", many, few, "s",
                f"with {fleets[0].cells}", at_most=BAR, size=it.cells,
            )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cells", type=int, nargs="+", default=[FEW, MANY], help="sizes of fleets")
    parser.add_argument("--cycles", type=int, default=CYCLES, help="of each cell")
    given = parser.parse_args()
    told(measure(given.cells, given.cycles))
