"""What one more day costs a battery of many cycles, as a share of what it costs one of few.

    python -m tests.benchmarks.pieces [--cycles N]

Times of the commands that a user types, and of the SQL of dbt alone, taken in one run by turns.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests import days
from tests.benchmarks.features import dbt_seconds
from tests.benchmarks.figures import Figure, told
from tests.conftest import Server, build, load

FEW, MANY = 50, 3000
ROUNDS = 3


def measure(many: int = MANY) -> Iterator[Figure]:
    """Load and build a day more of each battery, by turns."""
    server = Server()
    with tempfile.TemporaryDirectory() as folder:
        histories = {cycles: _history(Path(folder), cycles) for cycles in (FEW, many)}
        urls = {cycles: server.create() for cycles in histories}
        try:
            for cycles, files in histories.items():
                _load(urls[cycles], files[:-ROUNDS])
                made = build(urls[cycles])
                assert made.returncode == 0, made.stdout
            spent: dict[int, list[tuple[float, float]]] = {cycles: [] for cycles in histories}
            for at in range(ROUNDS):
                for cycles, files in histories.items():
                    spent[cycles].append(_one_more(urls[cycles], files[at - ROUNDS]))
        finally:
            for url in urls.values():
                server.drop(url)
    wall, sql = (np.median([spent[it] for it in histories], axis=1).T).tolist()
    than = f"after {FEW} cycles"
    yield Figure(
        f"loader and dbt run, one day more after {many} cycles", wall[1], wall[0], "s", than,
        at_most=1.5,
    )  # fmt: skip
    yield Figure(f"SQL of one day more after {many} cycles", sql[1], sql[0], "s", than)


def _history(folder: Path, cycles: int) -> list[Path]:
    """Most of a battery's life as one file, and its last days as a file each."""
    samples = days.cycling(1, cycles + 5 * ROUNDS)
    own = [it for _, it in days.daily(samples)]
    files = [np.concatenate(own[: -ROUNDS - 1]), *own[-ROUNDS - 1 : -1]]
    paths = []
    for number, it in enumerate(files):
        paths.append(folder / f"C{cycles} {number}.csv")
        paths[-1].write_text(days.written(it))
    return paths


def _load(url: str, paths: list[Path]) -> None:
    made = load(*paths, "--battery-id", "C1", *days.FACTS, DATABASE_URL=url)
    assert made.returncode == 0, made.stderr


def _one_more(url: str, path: Path) -> tuple[float, float]:
    """Seconds that loading and building takes, and of these the SQL of dbt."""
    begun = time.perf_counter()
    _load(url, [path])
    sql_s = dbt_seconds(url, "run")
    return time.perf_counter() - begun, sql_s


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cycles", type=int, default=MANY, help="of the battery of many")
    told(measure(parser.parse_args().cycles))
