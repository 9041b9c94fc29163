"""Puts a simulated fleet straight into the staging tables, without files."""

import shutil
import sys
from collections.abc import Generator, Iterator
from contextlib import closing
from datetime import datetime
from functools import partial
from typing import NamedTuple

import psycopg2
from psycopg2.extensions import connection
from tqdm import tqdm

import database
from loader import contract, inventory, load, pool, simulate_fleet, staging
from loader.battery import LoaderError

GB = 1e9


class Order(NamedTuple):
    """What a worker needs to know to simulate any cell."""

    url: str
    since: datetime
    seed: int
    cycles: int


def simulate_staging(cells: int, cycles: int, seed: int, jobs: int) -> int:
    """Stage cells SF00001, SF00002, … of so many cycles; return how many were not there before.

    A cell is staged whole or not at all, and one that is there already is left alone: what was
    interrupted goes on. Raises LoaderError where the server's disk cannot hold them.
    """
    with closing(database.connect()) as server:
        _tell_space(server, cells * cycles)
        order = Order(database.url(), contract.prepare(server), seed, cycles)
    pool.start("loader.simulate_staging")
    names = (f"SF{number:05d}" for number in range(1, cells + 1))
    made = 0
    with (
        closing(_staged(order, names, jobs)) as staged,
        tqdm(staged, total=cells, unit="cell") as it,
    ):
        for is_new in it:
            made += is_new
    return made


def _staged(order: Order, names: Iterator[str], jobs: int) -> Generator[bool, None, None]:
    for name, outcome in pool.run(partial(_stage, order), names, jobs):
        if isinstance(outcome, pool.Died):
            raise LoaderError(f"{name}: {outcome.how}")
        if isinstance(outcome, str):
            raise LoaderError(f"{name}: {outcome}")
        yield outcome


def _stage(order: Order, name: str) -> bool | str:
    """Stage a cell; tell whether it is new, or what the server said. Runs in a worker."""
    origin = simulate_fleet.origin(name, order.seed, order.cycles)
    try:
        server = load.connected(order.url)
        if inventory.known(server, origin.parts, origin.reading, name):
            return False
        battery = simulate_fleet.cell(name, order.seed, order.cycles)
        staging.write(server, [(battery, origin)], order.since)
    except (psycopg2.Error, LoaderError) as error:
        return database.one_line(error)
    return True


def _tell_space(server: connection, cycles: int) -> None:
    """Say what the cycles take on disk, before they do; raises LoaderError where it is too much."""
    staged, built = (
        cycles * it / GB for it in (simulate_fleet.STAGED_BYTES, simulate_fleet.BUILT_BYTES)
    )
    said = (
        f"{cycles:,} cycles take about {staged:.1f} GB in staging, {built:.1f} GB more once built"
    )
    if not server.info.host.startswith("/"):  # by a socket, it is this machine's
        print(f"{said}; the server's disk cannot be seen from here", file=sys.stderr)
        return
    with server, server.cursor() as cursor:
        cursor.execute("select current_setting('data_directory', true)")
        (folder,) = cursor.fetchone() or ("/",)
    free = shutil.disk_usage(folder).free / GB
    print(f"{said}; {free:.1f} GB are free", file=sys.stderr)
    if staged + built > 0.9 * free:
        raise LoaderError("that does not fit: name fewer --cells or --cycles")
