"""Simulates cells of the "Li-ion Battery Aging" layout; the cell behind them is in cell.py.

Inside this file current is positive on discharge; it is written with the layout's own sign.
"""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from loader.cell import (
    FULL_V,
    Cell,
    Samples,
    State,
    charge,
    discharge,
    lifetime,
    noisy,
    respond,
    rest,
    rest_days,
    steps_to_empty,
)
from loader.matlab_file import SIMULATED, save, structs

LEAD_OHM = 0.45  # Voltage_load and Voltage_charge are taken at the far end of the leads
INTERVALS_S = (18.1, 9.4, 14.0)  # between discharge samples, one block of cycles after another
BLOCK = 56  # cycles; the sign of Current_load changes with each, as it does within NASA's files
FREQUENCIES_HZ = np.geomspace(5000.0, 0.1, 48)  # NASA's sweep
REFERENCE_CUTOFF_V = 2.7  # NASA counts capacity down to here, whatever a cell's own cut-off
AGING = Cell(2.0, 0.046, 0.069, 24.0, 26.0)  # still air


def charge_record(samples: Samples, rng: np.random.Generator) -> dict[str, Any]:
    """`data` of a charge, with the current spike that NASA's charger shows on its second sample."""
    current, voltage = -samples.current_a, np.minimum(samples.voltage_v, FULL_V)
    current[1] = -3.7
    voltage[1] -= 0.33
    at_charger = np.where(current != 0.0, voltage + LEAD_OHM * current, 0.003)
    return {
        "Voltage_measured": noisy(rng, voltage, 0.001),
        "Current_measured": noisy(rng, current, 0.0015),
        "Temperature_measured": noisy(rng, samples.temperature_c, 0.01),
        "Current_charge": current.round(3).reshape(1, -1),
        "Voltage_charge": at_charger.round(3).reshape(1, -1),
        "Time": (np.cumsum(samples.step_s) - samples.step_s[0]).round(3).reshape(1, -1),
    }


def discharge_record(samples: Samples, sign: int, rng: np.random.Generator) -> dict[str, Any]:
    """`data` of a discharge; `sign` is that of Current_load, in the real files no guide either.

    Capacity is NASA's: charge from the start to the first sample below 2.7 V under load, inclusive.
    """
    time_s = (np.cumsum(samples.step_s) - samples.step_s[0]).round(3).reshape(1, -1)
    voltage = noisy(rng, samples.voltage_v, 0.0005)
    current = noisy(rng, -samples.current_a, 0.002)
    on = samples.current_a.reshape(1, -1) > 0.0
    end = int(np.flatnonzero(on & (voltage < REFERENCE_CUTOFF_V))[0]) + 1
    capacity_ah = np.trapezoid(-current[0, :end], time_s[0, :end]) / 3600.0
    return {
        "Voltage_measured": voltage,
        "Current_measured": current,
        "Temperature_measured": noisy(rng, samples.temperature_c, 0.01),
        "Current_load": np.where(on, sign * 1.9982, -0.0006),
        "Voltage_load": np.where(on, voltage + LEAD_OHM * current, 0.0).round(3),
        "Time": time_s,
        "Capacity": capacity_ah,
    }


def impedance_record(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """`data` of an impedance test: series resistance, then charge transfer as a flat semicircle."""
    arc = 1.0 / (1.0 + (1j * FREQUENCIES_HZ * 0.05) ** 0.6)
    scatter = rng.normal(0.0, 0.001, (4, 48, 2)) @ np.array([1.0, 1j])  # [4, 48]
    impedance = cell.series_ohm + cell.transfer_ohm * arc + scatter[0]
    sense = 820.0 - 40.0j + 5000.0 * scatter[1]
    battery = sense / (2.3 + 0.1j + 50.0 * scatter[2])
    rectified = (impedance + scatter[3])[:8:-1]  # 39 of 48: low frequencies first, fastest left out
    return {
        "Sense_current": sense.reshape(1, -1),
        "Battery_current": battery.reshape(1, -1),
        "Current_ratio": (sense / battery).reshape(1, -1),
        "Battery_impedance": impedance.reshape(-1, 1),
        "Rectified_Impedance": rectified.reshape(-1, 1),
        "Re": cell.series_ohm * rng.normal(1.0, 0.01),
        "Rct": cell.transfer_ohm * rng.normal(1.0, 0.01),
    }


def simulate_aging(path: Path, *, seed: int, cycles: int = 168) -> None:
    """Write one cell of the "Li-ion Battery Aging" layout to `path`; its stem is the battery id.

    Charged at 1.5 A to 4.2 V and 20 mA, discharged at 2 A to 2.7 V, `cycles` times at 24 degrees C.
    The same seed and stem give the same values; another stem gives another cell, which rests before
    the same cycles. Raises OSError where `path` cannot be written, ValueError without a cycle.
    """
    rng = np.random.default_rng([seed, crc32(path.stem.encode())])
    recordings: list[dict[str, Any]] = []
    clock, state = datetime(2008, 4, 2, 13, 8, 17, 921000), State(0.3, 0.0, AGING.ambient_c)

    def record(kind: str, data: dict[str, Any]) -> None:
        nonlocal clock
        second = clock.second + round(clock.microsecond / 1e6, 3)
        date = [clock.year, clock.month, clock.day, clock.hour, clock.minute, second]
        head = {"type": kind, "ambient_temperature": AGING.ambient_c, "time": np.array([date])}
        recordings.append(head | {"data": data})
        spent_s = float(data["Time"][0, -1]) if "Time" in data else 600.0
        clock += timedelta(seconds=spent_s + float(rng.uniform(300.0, 900.0)))

    def charged(cell: Cell, state: State) -> State:
        first = rest(cell, state, 1, 3.0)
        spike = respond(cell, first.end, np.full(2, 3.0), np.full(2, -1.5))
        body = charge(cell, spike.end, 1.5, 0.02, 40.0)
        parts = (first, spike, body, rest(cell, body.end, 3, 10.0))
        samples = Samples(*map(np.concatenate, zip(*parts, strict=True)))
        record("charge", charge_record(samples, rng))
        return samples.end

    days = rest_days(seed, cycles)
    for index, cell in enumerate(lifetime(AGING, np.arange(float(cycles)), days, rng)):
        state = charged(cell, State(state.soc, 0.0, cell.ambient_c + rng.normal(0.4, 0.3)))
        if days[index]:  # a cell left alone loses a little, and is topped up before it goes on
            clock += timedelta(days=float(days[index]))
            state = charged(cell, State(state.soc - 0.003 * days[index], 0.0, cell.ambient_c))
        tested = index >= 20 and index % 8 == 4
        if tested:
            record("impedance", impedance_record(cell, rng))
        block = index // BLOCK
        interval_s = INTERVALS_S[block % len(INTERVALS_S)]
        before = rest(cell, state, int(rng.integers(1, 3)), interval_s)
        step_s = steps_to_empty(cell, before.end, 2.0, interval_s)
        step_s += rng.uniform(-0.3, 0.6, step_s.size)
        # Cut a little below 2.7 V, so that noise cannot lift the last sample above it.
        loaded = discharge(cell, before.end, step_s, 2.0, REFERENCE_CUTOFF_V - 0.005)
        parts = (before, loaded, rest(cell, loaded.end, int(300.0 / interval_s), interval_s))
        samples = Samples(*map(np.concatenate, zip(*parts, strict=True)))
        record("discharge", discharge_record(samples, 1 if block % 2 else -1, rng))
        state = samples.end
        if tested:
            record("impedance", impedance_record(cell, rng))
    save(path, {path.stem: {"cycle": structs(recordings)}, "description": SIMULATED})
