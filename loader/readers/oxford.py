"""Reader of the Oxford Battery Degradation set: Cell1 to Cell8, characterised every 100 cycles.

The layout: C. Birkl, Oxford Battery Degradation Dataset 1 (2017), doi:10.5287/bodleian:KO2kdmYGg.
Each variable CellN holds cyc0000, cyc0100, …, each of these C1ch and C1dc (1 C) and OCVch and OCVdc
(C/18.5) with t (datenum), v (V), q (mAh) and T (°C). The current is not stored: it is dq/dt.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from loader.battery import Battery, LoaderError, Samples
from loader.readers import fields, series
from loader.readers.timeline import Table
from loader.reading import Reading

# By the set's readme: Kokam pouch cells of 740 mAh, cycled between 2.7 and 4.2 V at 40 °C.
RATED_CAPACITY_AH, CUTOFF_V, AMBIENT_C = 0.74, 2.7, 40.0
CYCLE = re.compile(r"cyc(\d+)")
TESTS = {"C1ch": 1, "C1dc": -1, "OCVch": 1, "OCVdc": -1}
CHARACTERISATION = ("OCVch", "OCVdc")
UNIX_EPOCH_DATENUM = 719529.0


def recognises(variables: dict[str, Any]) -> bool:
    return any(_cycles(held) for held in variables.values())


def read(variables: dict[str, Any], reading: Reading) -> Iterator[Battery]:
    """Yield the cells, in order of their names; raises LoaderError naming cycle and test."""
    cells = {name: held for name, held in sorted(variables.items()) if _cycles(held)}
    if len(cells) > 1 and reading.battery_id:
        raise LoaderError(f"--battery-id is for one battery, and the file holds {', '.join(cells)}")
    for name, held in cells.items():
        cell = fields.one(held, name, name)
        tables = [
            _table(
                fields.struct(cycle, test, f"{name}, {key}"), f"{name}, {key}, {test}", key, test
            )
            for key, cycle in ((key, fields.struct(cell, key, name)) for key in _cycles(held))
            for test in TESTS
            if fields.has(cycle, test)
        ]
        if not _follow(tables):  # dates that cannot be: the tests' own order stands
            for table in tables:
                del table.columns["clock"]
        battery = series.battery(
            reading.battery_id or name, tables, replace(reading, current_sign="charge-positive")
        )
        yield replace(
            battery,
            rated_capacity_ah=RATED_CAPACITY_AH,
            cutoff_v=CUTOFF_V,
            ambient_temperature_c=AMBIENT_C,
        )


def _cycles(held: Any) -> list[str]:
    try:
        return sorted(it for it in fields.names(fields.one(held, "", "")) if CYCLE.fullmatch(it))
    except LoaderError:
        return []


def _follow(tables: list[Table]) -> bool:
    """Whether the tests lie one after another in time."""
    spans = sorted(tuple(table.columns["clock"][[0, -1]]) for table in tables)
    return all(one[1] <= two[0] for one, two in pairwise(spans))


def _table(test: Any, where: str, cycle: str, kind: str) -> Table:
    days = fields.vector(test, "t", where)
    size = days.size
    if size < 2:
        raise LoaderError(f"{where}: {size} samples")
    voltage = fields.vector(test, "v", where, size)
    charge_ah = fields.vector(test, "q", where, size) / 1000
    time_s = (days - days[0]) * 86400
    columns: dict[str, Samples] = {
        "time": time_s,
        "clock": (days - UNIX_EPOCH_DATENUM) * 86400,
        "voltage": voltage,
        "current": _current(time_s, charge_ah, TESTS[kind]),
        "cycle": np.full(size, float(cycle.removeprefix("cyc"))),
        "step": np.full(size, float(list(TESTS).index(kind))),
        "charge_counter" if TESTS[kind] > 0 else "discharge_counter": np.abs(charge_ah),
    }
    temperature = fields.optional_vector(test, "T", where, size)
    if temperature is not None:
        columns["temperature"] = temperature
    activity = "characterisation" if kind in CHARACTERISATION else None
    return Table(where, columns, activity=activity)


def _current(time_s: Samples, charge_ah: Samples, sign: int) -> Samples:
    """A current [samples] whose integral by the trapezoid rule is the charge that was counted."""
    steps = np.diff(time_s)
    mean = np.divide(
        np.abs(np.diff(charge_ah)) * 3600, steps, where=steps > 0, out=np.zeros_like(steps)
    )
    edges = np.concatenate([mean[:1], (mean[1:] + mean[:-1]) / 2, mean[-1:]])
    return sign * edges
