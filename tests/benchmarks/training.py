"""How fast training is fed, and what it holds in memory: `python -m tests.benchmarks.training`.

Windows per second of the trainer against bare forward and backward passes over the same batches,
cut beforehand; memory with a few and with ten times as many windows; and reading cycles as numbers
against parsing the features of each.
"""

import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from typing import Any

import numpy as np
import psycopg2
import psycopg2.extras
import torch
from psycopg2.extensions import connection
from torch import Tensor, nn

from model import data, fit_fleet, fit_window, fleet_cut
from model.columns import Columns, measured
from model.config import Config
from model.data import Series
from model.fleet_network import FleetNetwork
from model.network import Network
from model.stream import FixedCut, Work
from tests.benchmarks.figures import Figure, told
from tests.conftest import Server

ROUNDS, EPOCHS = 3, 3
BATTERIES, CYCLES = 4, 450  # 1,600 windows of 50 cycles
FEW, MANY = 10, 100  # batteries for the memory
READ = 100  # batteries of 500 cycles
TABLES = "create table battery_summary (battery_id text, is_simulated bool)"
ROWS = "insert into cycle_series values (%s, %s, %s, %s)"


def cell(seed: int, cycles: int = CYCLES) -> Series:
    """Return a made-up cell of 2 Ah that fades, jumps and rests."""
    noise = np.random.default_rng(seed).normal
    capacity = 2 - 1e-3 * np.arange(cycles) + 0.01 * noise(size=cycles)
    columns = {
        "soh_target": capacity / 2,
        "discharge_capacity": capacity,
        "time_to_discharge": 1800 * capacity,
        "avg_current_load": np.full(cycles, 2.0),
        "avg_voltage_load": 3.5 + 0.01 * noise(size=cycles),
        "max_temperature": 35 + noise(size=cycles),
        "ambient_temperature": np.full(cycles, 24.0),
        "operating_point": np.ones(cycles),
        "equivalent_full_cycles": capacity.cumsum() / 2,
        "throughput_ah": 1.02 * capacity.cumsum(),
        "charge_capacity": 1.03 * capacity + 0.01 * noise(size=cycles),
        "cc_charge_time": 3000 + 50 * noise(size=cycles),
        "cv_charge_time": 6000 + 50 * noise(size=cycles),
        "rest_hours": 3 + np.abs(noise(size=cycles)),
        "rest_after_hours": np.abs(noise(size=cycles)),
        "rest_before_hours": np.abs(noise(size=cycles)),
    }
    cycle_index = np.arange(1, cycles + 1)
    values = Columns(tuple(columns), np.column_stack(list(columns.values())))
    return Series(f"C{seed:05}", True, cycle_index, values, Config().measured)


def bare(network: nn.Module, batches: list[tuple[Tensor, ...]], loss_of: Any) -> float:
    """Return the seconds of as many forward and backward passes over the batches."""
    began = time.perf_counter()
    for *inputs, target in batches * EPOCHS:
        network.zero_grad()
        loss_of(network(*inputs), target).backward()
    return time.perf_counter() - began


def speed(name: str, workers: int, kept: int = fleet_cut.KEPT) -> Figure:
    """Windows per second of training, and of the passes alone.

    The fleet network's windows are cut once where there are no more than `kept`.
    """
    fleet_cut.KEPT = kept
    cells = [cell(it) for it in range(BATTERIES)]
    config = Config(features=(name,), epochs=EPOCHS)
    network: nn.Module
    loss_of: Callable[[Tensor, Tensor], Tensor]
    train: Callable[[], object]
    if name == "fleet":
        batteries = [fleet_cut.battery(it, config.window) for it in cells]
        cut: Any = fleet_cut.FleetCut(batteries)
        network, loss_of = FleetNetwork(config), _of_the_known
        train = lambda: fit_fleet.fit_network(config, batteries, Work(workers=workers))  # noqa: E731
    else:
        windows = [data.windows(it, config.window) for it in cells]
        cut, network, loss_of = FixedCut(windows), Network(config), nn.functional.mse_loss
        train = lambda: fit_window.fit_network(config, windows, Work(workers=workers))  # noqa: E731
    order = torch.randperm(len(cut))
    batches = [cut(rows) for rows in torch.split(order, config.batch_size)]
    ours, theirs = [], []
    for _ in range(ROUNDS):
        theirs.append(bare(network.train(), batches, loss_of))
        began = time.perf_counter()
        train()
        ours.append(time.perf_counter() - began)
    ours_rate, bare_rate = (EPOCHS * len(cut) / statistics.median(it) for it in (ours, theirs))
    when = "" if kept or name != "fleet" else f", windows cut when asked for by {workers} workers"
    return Figure(
        f"training {name}{when}", ours_rate, bare_rate, "windows/s",
        "forward and backward on the same batches", at_least=0.85,
    )  # fmt: skip


def _of_the_known(output: Tensor, change: Tensor) -> Tensor:
    known = torch.isfinite(change)
    loss = nn.functional.smooth_l1_loss(output, torch.where(known, change, 0), reduction="none")
    return (loss * known).sum() / known.sum()


def peak(name: str, count: int) -> tuple[int, float]:
    """Return how many windows some cells have, and the peak memory of learning from them, bytes."""
    torch.set_num_threads(1)
    fleet_cut.KEPT = 0
    config = Config(features=(name,), epochs=1, batch_size=1000, hidden_1=4, hidden_2=4)
    cells = [cell(it) for it in range(count)]
    if name == "fleet":
        batteries = [fleet_cut.battery(it, config.window) for it in cells]
        fit_fleet.fit_network(config, batteries)
        windows = sum(len(it.end) for it in batteries)
    else:
        cut = [data.windows(it, config.window) for it in cells]
        fit_window.fit_network(config, cut)
        windows = sum(len(it.target) for it in cut)
    return windows, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def memory(name: str) -> Figure:
    """Bytes that each window more takes, and that it would take if it were cut and kept."""
    found = []
    for count in (FEW, MANY):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            found.append(pool.submit(peak, name, count).result())
    (few, low), (many, high) = found
    inputs = 2 * 17 if name == "fleet" else 5
    return Figure(
        f"memory of a window more, {name}, {few} to {many}", (high - low) / (many - few),
        50 * inputs * 4, "bytes", "the window cut and kept", at_most=1,
    )  # fmt: skip


def reading() -> Figure:
    """Seconds to read cycles as numbers, and by parsing the features of each."""
    server = Server()
    url = server.create()
    try:
        with closing(psycopg2.connect(url)) as opened:
            names = fill(opened)
            ours, theirs = [], []
            for _ in range(ROUNDS):
                began = time.perf_counter()
                typed = data.read(opened, names)
                ours.append(time.perf_counter() - began)
                began = time.perf_counter()
                parsed = parse(opened)
                theirs.append(time.perf_counter() - began)
            whole = np.concatenate([measured(it.cycles, data.KNOWN) for it in typed])
            np.testing.assert_array_equal(whole, parsed)
    finally:
        server.drop(url)
    return Figure(
        f"reading {len(parsed):,} cycles", statistics.median(ours), statistics.median(theirs), "s",
        "an object per cycle", at_most=0.5,
    )  # fmt: skip


def fill(opened: connection) -> list[str]:
    """Make a cycle_series of made-up cells; return their names."""
    cells = [cell(it, 500) for it in range(READ)]
    with opened, opened.cursor() as cursor:
        cursor.execute(TABLES)
        cursor.execute(
            "create table cycle_series (battery_id text, cycle_index int, features jsonb,"
            " soh_target float8, primary key (battery_id, cycle_index))"
        )
        for it in cells:
            rows = [
                (it.battery_id, at, psycopg2.extras.Json(dict(cycle)), cycle["soh_target"])
                for at, cycle in enumerate(it.cycles, start=1)
            ]
            psycopg2.extras.execute_batch(cursor, ROWS, rows, page_size=500)
    return [it.battery_id for it in cells]


def parse(opened: connection) -> Any:
    """Read the same by an object per cycle, [cycles, data.KNOWN]."""
    with opened, opened.cursor() as cursor:
        cursor.execute("select features from cycle_series order by battery_id, cycle_index")
        return measured([features for (features,) in cursor.fetchall()], data.KNOWN)


def measure() -> Iterator[Figure]:
    """Train each network, by turns with the passes alone; then memory, and reading."""
    torch.set_num_threads(1)
    for name in ("spec", "extended", "fleet"):
        yield speed(name, 0)
    for workers in range(min(2, os.cpu_count() or 1)):
        yield speed("fleet", workers, kept=0)
    yield from map(memory, ("spec", "fleet"))
    yield reading()


if __name__ == "__main__":
    told(measure())
