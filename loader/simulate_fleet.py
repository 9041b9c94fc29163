"""Simulates a fleet: cells of several chemistries, sparsely sampled, as rows of the staging tables.

Every cell is of one make, is used in one way and has its own faults, all drawn from its seed. The
equations are those of cell.py for all cycles at once; the constants are set by eye: good for
software, worthless as a measurement. Current is negative on discharge, as in tabular_recording.
"""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from loader.battery import Battery, Span
from loader.cell import Floats, open_circuit_voltage, resistance_factor
from loader.matlab_file import SIMULATED
from loader.readers.series import TabularRecording
from loader.staging import Origin

STAGED_BYTES, BUILT_BYTES = 1500, 3000  # of a cycle, in staging and in what dbt makes of it
DISCHARGE_SAMPLES, CHARGE_SAMPLES = 17, 12
GRID = 300  # states of charge at which a cycle is worked out
STARTS_UNIX_S = 1_640_995_200.0  # 2022
DAY_S, HOUR_S = 86_400.0, 3_600.0

ABSENT_SENSOR, UNDATED, SHARED_LOADS, OUTDOORS = 0.05, 0.05, 0.2, 0.4  # shares of the cells
CUT_SHORT, LOST_SAMPLES, SPIKES = 0.01, 0.004, 0.004  # shares of the discharges


class Make(NamedTuple):
    """A kind of cell; `fade` is the share of its capacity that 500 cycles cost."""

    voltage_v: Callable[[Floats], Floats]  # at rest, of the state of charge
    full_v: float
    cutoff_v: float
    rated_ah: tuple[float, ...]  # sizes it is sold in
    drop_v: float  # over its resistance at the current that empties it in an hour
    fade: float
    power: float  # of the cycle number, in its fade


def _phosphate_voltage(soc: Floats) -> Floats:
    """Volts at rest of an iron phosphate cell: flat, with a short rise at the top."""
    return 3.27 + 0.07 * soc + 0.22 * np.exp((soc - 1) / 0.015) - 0.62 * np.exp(-soc / 0.03)


def _nickel_voltage(soc: Floats) -> Floats:
    """Volts at rest of a nickel-rich cell: it slopes more than cobalt oxide."""
    return 3.32 + 0.86 * soc - 0.02 * soc**2 - 0.70 * np.exp(-soc / 0.04)


MAKES = (
    Make(open_circuit_voltage, 4.2, 2.7, (2.0, 2.6), 0.17, 0.22, 1.1),
    Make(_nickel_voltage, 4.2, 2.5, (3.0, 4.8, 50.0), 0.12, 0.16, 0.8),
    Make(_phosphate_voltage, 3.6, 2.0, (1.1, 20.0, 280.0), 0.09, 0.10, 0.6),
)


class _Use(NamedTuple):
    """What happens to a cell, by cycle: all [cycles]."""

    load_a: Floats
    ambient_c: Floats
    rest_s: Floats  # before its charge
    capacity_ah: Floats  # down to empty
    ohm: Floats


def cell(name: str, seed: int, cycles: int) -> Battery:
    """Simulate a cell's cycles, each a charge and the discharge after it.

    The same name, seed and number of cycles give the same samples. Raises ValueError without a
    cycle.
    """
    if cycles < 1:
        raise ValueError("a simulated cell needs at least one cycle")
    rng = np.random.default_rng([seed, *name.encode()])
    make = MAKES[rng.integers(len(MAKES))]
    rated_ah = float(rng.choice(make.rated_ah))
    use = _use(make, rated_ah, cycles, rng)
    is_dated = rng.random() >= UNDATED
    has_sensor = rng.random() >= ABSENT_SENSOR
    discharge = _discharges(make, use, rng)
    charge = _charges(make, rated_ah, use, np.concatenate([[0.7], discharge.moved[:-1]]), rng)
    # a cycle: rest, charge, a few minutes, discharge
    pause_s = rng.uniform(60.0, 900.0, cycles)
    spent_s = use.rest_s + charge.lasts_s + pause_s + discharge.lasts_s
    before_s = np.concatenate([[0.0], np.cumsum(spent_s)[:-1]]) + use.rest_s
    origin_s = STARTS_UNIX_S + float(rng.integers(0, 700)) * DAY_S if is_dated else 0.0
    rows: list[TabularRecording] = []
    for index in range(cycles):
        for kind, steps, begins_s in (
            ("charge", charge, before_s[index]),
            ("discharge", discharge, before_s[index] + charge.lasts_s[index] + pause_s[index]),
        ):
            kept = steps.kept[index]
            rows.append(
                TabularRecording(
                    battery_id=name,
                    recording_index=len(rows) + 1,
                    recording_type=kind,
                    pulse=None,
                    activity=None,
                    started_at_unix_s=origin_s + float(begins_s) if is_dated else None,
                    cycle_count=index + 1,
                    step_count=None,
                    ambient_temperature_c=float(use.ambient_c[index].round(1)),
                    lead_in_s=0.0,
                    counted_ah=None,
                    time_s=(begins_s + steps.time_s[index, kept]).round(2),
                    voltage_v=steps.voltage_v[index, kept].round(4),
                    current_a=steps.current_a[index, kept].round(4),
                    temperature_c=steps.temperature_c[index, kept].round(2) if has_sensor else None,
                )
            )
    return Battery(
        battery_id=name,
        layout="tabular",
        tables={"tabular_recording": [*rows]},
        samples=int(charge.kept.sum() + discharge.kept.sum()),
        discharges=cycles,
        description=SIMULATED,
        rated_capacity_ah=rated_ah,
        cutoff_v=make.cutoff_v,
        largest_current_a=float(max(use.load_a.max(), rated_ah / 2)),
        charge_limit_v=make.full_v,
        span=Span(
            origin_s + float(rows[0].time_s[0]),
            origin_s + float(rows[-1].time_s[-1]),
            origin_s,
            is_dated,
        ),
    )


def origin(name: str, seed: int, cycles: int) -> Origin:
    """Say what a simulated cell comes from, as if it were a file."""
    digest = hashlib.sha256(f"{name} {seed} {cycles}".encode()).hexdigest()
    return Origin(f"{name}, simulated", (digest,), 0, f"seed {seed}")


class _Steps(NamedTuple):
    """Charges or discharges, a row each."""

    time_s: Floats  # [cycles, samples], from its begin
    voltage_v: Floats
    current_a: Floats
    temperature_c: Floats
    kept: NDArray[np.bool_]  # [cycles, samples], whether the sample was recorded
    moved: Floats  # [cycles], charge, a share of the capacity
    lasts_s: Floats  # [cycles]


def _use(make: Make, rated_ah: float, cycles: int, rng: np.random.Generator) -> _Use:
    cycle = np.arange(cycles, dtype=float)
    rates = rng.choice([0.5, 1.0, 2.0], size=3, p=[0.35, 0.45, 0.2])
    blocks = (cycle // rng.integers(20, 120)).astype(int) % len(rates)
    load_a = rated_ah * (rates[blocks] if rng.random() < SHARED_LOADS else rates[:1].repeat(cycles))
    # some cells rest at the end of each week, some are left alone for weeks
    rest_s = rng.gamma(2.0, 900.0 * rng.uniform(0.5, 3.0), cycles)
    rest_s[:: int(rng.integers(8, 40))] += rng.uniform(0.5, 3.0) * DAY_S
    rest_s[rng.random(cycles) < 0.003] += rng.uniform(7.0, 60.0) * DAY_S
    day = np.cumsum(rest_s + 1.5 * rated_ah / load_a * HOUR_S) / DAY_S
    ambient_c = np.full(cycles, float(rng.choice([4.0, 15.0, 24.0, 24.0, 35.0, 43.0])))
    if rng.random() < OUTDOORS:
        ambient_c = 16.0 + 10.0 * np.sin(2 * np.pi * (day / 365 + rng.random()))
    ambient_c += rng.normal(0.0, 0.3, cycles)
    heat = 1.0 + 0.03 * np.clip(ambient_c - 24.0, 0.0, None)
    pace = rng.lognormal(0.0, 0.35) * make.fade * heat * np.sqrt(load_a / rated_ah)
    lost = pace.mean() * (cycle / 500) ** (make.power * rng.uniform(0.85, 1.15))
    knee = rng.uniform(300.0, 1500.0)
    lost += 0.3 * (np.clip(cycle - knee, 0.0, None) / 500) ** 2
    given_back = np.zeros(cycles)
    for at in np.flatnonzero(rest_s > DAY_S):
        days = rest_s[at] / DAY_S
        given_back[at:] += 0.012 * (1 - np.exp(-days / 5)) * np.exp(-(cycle[at:] - cycle[at]) / 4)
    kept = np.clip(1.0 - lost + given_back + rng.normal(0.0, 0.0012, cycles), 0.15, None)
    first_ah = rated_ah * rng.uniform(1.02, 1.10)
    cold = np.exp(0.025 * (24.0 - ambient_c))
    ohm = make.drop_v / rated_ah * rng.uniform(0.85, 1.15) * (2.2 - 1.2 * kept) * cold
    return _Use(load_a, ambient_c, rest_s, first_ah * kept, ohm)


def _discharges(make: Make, use: _Use, rng: np.random.Generator) -> _Steps:
    """Constant current from full to the cut-off, and what goes wrong with some."""
    soc = np.linspace(1.0, 0.0, GRID)
    voltage_v = make.voltage_v(soc) - (use.load_a * use.ohm)[:, None] * resistance_factor(soc)
    end = np.maximum((voltage_v > make.cutoff_v).sum(axis=1), 2)  # first at the cut-off, [cycles]
    empty = soc[np.minimum(end, GRID - 1)]
    whole_s = (1 - empty) * use.capacity_ah / use.load_a * HOUR_S
    count = DISCHARGE_SAMPLES
    # the first sample is before the load; the last falls on the cut-off
    share = np.concatenate([[0.0], np.linspace(0.02, 1.0, count - 1)])
    at = 1 - share * (1 - empty)[:, None]
    time_s = share * whole_s[:, None]
    on = np.arange(count) > 0
    drop_v = (use.load_a * use.ohm)[:, None] * resistance_factor(at) * on
    sampled_v = make.voltage_v(at) - drop_v + rng.normal(0.0, 0.0007, at.shape)
    sampled_v[:, -1] = np.minimum(sampled_v[:, -1], make.cutoff_v - 0.001)
    warm = 14.0 * use.load_a * use.load_a * use.ohm / (1 + use.load_a * use.load_a * use.ohm)
    temperature_c = (
        use.ambient_c[:, None]
        + warm[:, None] * (1 - np.exp(-time_s / 900.0))
        + rng.normal(0.0, 0.05, at.shape)
    )
    current_a = np.where(on, -use.load_a[:, None] + rng.normal(0.0, 1e-3, at.shape), 0.0)
    kept = np.ones(at.shape, bool)
    for row in np.flatnonzero(rng.random(len(at)) < CUT_SHORT):
        kept[row, int(rng.integers(5, count - 2)) :] = False
    for row in np.flatnonzero(rng.random(len(at)) < LOST_SAMPLES):
        begin = int(rng.integers(3, count - 8))
        kept[row, begin : begin + 6] = False
    spiked = rng.random(len(at)) < SPIKES
    temperature_c[spiked, count // 2] = 850.0  # what a thermocouple reads that has come off
    last = count - 1 - kept[:, ::-1].argmax(axis=1)
    rows = np.arange(len(at))
    return _Steps(
        time_s, sampled_v, current_a, temperature_c, kept, 1 - at[rows, last], time_s[rows, last]
    )


def _charges(
    make: Make, rated_ah: float, use: _Use, missing: Floats, rng: np.random.Generator
) -> _Steps:
    """Half the rated capacity an hour up to the limit, held there to a twentieth of that."""
    amperes, end_a = rated_ah / 2, rated_ah / 40
    soc = 1 - missing[:, None] * np.linspace(1.0, 0.0, GRID)  # [cycles, grid]
    ohm = use.ohm[:, None] * resistance_factor(soc)
    held_a = np.clip((make.full_v - make.voltage_v(soc)) / ohm, end_a, amperes)
    mean_a = (held_a[:, 1:] + held_a[:, :-1]) / 2
    spent_s = np.diff(soc, axis=1) * use.capacity_ah[:, None] / mean_a * HOUR_S
    clock_s = np.concatenate([np.zeros((len(soc), 1)), np.cumsum(spent_s, axis=1)], axis=1)
    time_s = clock_s[:, -1:] * np.linspace(0.0, 1.0, CHARGE_SAMPLES)
    current_a = _sampled(time_s, clock_s, held_a)
    voltage_v = _sampled(
        time_s, clock_s, np.minimum(make.voltage_v(soc) + held_a * ohm, make.full_v)
    )
    temperature_c = use.ambient_c[:, None] + rng.normal(0.5, 0.1, time_s.shape)
    return _Steps(
        time_s,
        voltage_v + rng.normal(0.0, 0.0005, time_s.shape),
        current_a,
        temperature_c,
        np.ones(time_s.shape, bool),
        missing,
        clock_s[:, -1],
    )


def _sampled(time_s: Floats, clock_s: Floats, values: Floats) -> Floats:
    """Interpolate rows of values, known at clock_s [cycles, grid], at time_s [cycles, samples]."""
    return np.array([np.interp(*row) for row in zip(time_s, clock_s, values, strict=True)])
