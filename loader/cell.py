"""A cell in a few equations: what simulated recordings are recordings of.

An open-circuit voltage curve, a series resistance, one RC pair and a lumped heat balance (Thevenin
model: G. L. Plett, Battery Management Systems, vol. 1, ch. 2). Capacity fades from cycle to cycle
and partly comes back after long rests, as in NASA's B0005, B0006 and B0007. The constants are set
by eye to resemble B0005: good for software, worthless as a measurement. Current is positive on
discharge.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Cell(NamedTuple):
    """What a cell is during one cycle; `series_ohm` is NASA's Re, `transfer_ohm` its Rct."""

    capacity_ah: float
    series_ohm: float
    transfer_ohm: float
    ambient_c: float
    rise_c_per_w: float  # temperature above ambient, once steady


class State(NamedTuple):
    """What a cell remembers between recordings; `soc` is the state of charge, 0 to 1."""

    soc: float
    polarisation_v: float
    temperature_c: float


class Samples(NamedTuple):
    """Equally long vectors; `current_a` flowed during the `step_s` seconds before its sample."""

    step_s: Floats
    current_a: Floats
    voltage_v: Floats
    soc: Floats
    polarisation_v: Floats
    temperature_c: Floats

    @property
    def end(self) -> State:
        last = (self.soc[-1], self.polarisation_v[-1], self.temperature_c[-1])
        return State(*map(float, last))


FULL_V = 4.2  # end of the constant-current part of every charge
RC_TAU_S = 90.0
HEAT_TAU_S = 900.0
FADE_SPAN = 160  # cycles over which the fade of a cell is quoted


def open_circuit_voltage(soc: Floats) -> Floats:
    """Volts at rest of an oxide cell: 4.2 at `soc` 1, a steep fall near 0."""
    plateau = 3.566 + 0.622 * soc - 0.878 * soc**2 + 0.890 * soc**3
    return plateau - 0.668 * np.exp(-soc / 0.035)


def resistance_factor(soc: Floats) -> Floats:
    """How many times its usual resistance a cell has: nearly empty, ions run short."""
    return 1.0 + 2.5 * np.exp(-soc / 0.06)


def lag(step_s: Floats, target: Floats, tau_s: float, start: float) -> Floats:
    """First-order lag, exact for a `target` that is constant over each step; all [n]."""
    value, values = start, []
    for keep, goal in zip(np.exp(-step_s / tau_s).tolist(), target.tolist(), strict=True):
        value = goal + (value - goal) * keep
        values.append(value)
    return np.array(values)


def respond(cell: Cell, state: State, step_s: Floats, current_a: Floats) -> Samples:
    """What `cell` does under a given current; `step_s` and `current_a` [n]."""
    soc = state.soc - np.cumsum(step_s * current_a) / (3600.0 * cell.capacity_ah)
    factor = resistance_factor(soc)
    settled = current_a * cell.transfer_ohm * factor
    polarisation = lag(step_s, settled, RC_TAU_S, state.polarisation_v)
    drop = current_a * cell.series_ohm * factor + polarisation
    warm = cell.ambient_c + cell.rise_c_per_w * np.abs(current_a * drop)
    temperature = lag(step_s, warm, HEAT_TAU_S, state.temperature_c)
    voltage = open_circuit_voltage(soc) - drop
    return Samples(step_s, current_a, voltage, soc, polarisation, temperature)


def rest(cell: Cell, state: State, count: int, interval_s: float) -> Samples:
    return respond(cell, state, np.full(count, interval_s), np.zeros(count))


def discharge(cell: Cell, state: State, step_s: Floats, amperes: float, cutoff_v: float) -> Samples:
    """Constant current over `step_s` [n], or up to the first sample at `cutoff_v` or below."""
    samples = respond(cell, state, step_s, np.full(step_s.size, amperes))
    reached = np.flatnonzero(samples.voltage_v <= cutoff_v)
    end = int(reached[0]) + 1 if reached.size else step_s.size
    return Samples(*(vector[:end] for vector in samples))


def steps_to_empty(cell: Cell, state: State, amperes: float, interval_s: float) -> Floats:
    """Enough steps to run the cell past empty, whatever the cut-off."""
    seconds = (state.soc + 0.1) * 3600.0 * cell.capacity_ah / amperes
    return np.full(int(seconds / interval_s) + 2, interval_s)


def charge(cell: Cell, state: State, amperes: float, end_a: float, interval_s: float) -> Samples:
    """Constant current to 4.2 V, then constant voltage until the current falls to `end_a`.

    The RC pair has settled long before 4.2 V, so current depends on the state of charge alone, and
    integrating dt = capacity / current over it gives the whole charge without stepping in time.
    """
    soc = np.linspace(state.soc, 1.0, 2000)
    ohm = (cell.series_ohm + cell.transfer_ohm) * resistance_factor(soc)
    current = np.clip((FULL_V - open_circuit_voltage(soc)) / ohm, end_a, amperes)
    current = current[: max(1, int((current > end_a).sum()))]
    spent_s = (soc[1] - soc[0]) * 3600.0 * cell.capacity_ah * 2.0 / (current[1:] + current[:-1])
    clock_s = np.concatenate([[0.0], np.cumsum(spent_s)])
    middle_s = np.arange(interval_s / 2, max(clock_s[-1], interval_s), interval_s)
    current = np.interp(middle_s, clock_s, current)
    samples = respond(cell, state, np.full(middle_s.size, interval_s), -current)
    held = np.where(current < amperes, FULL_V, np.minimum(samples.voltage_v, FULL_V))
    return samples._replace(voltage_v=held)


def rest_days(seed: int, cycles: int) -> Floats:
    """Days of rest before each cycle, [cycles], mostly 0; all cells of one run rest together."""
    rng = np.random.default_rng(seed)
    days = np.zeros(cycles)
    at = int(rng.integers(15, 31))
    while at < cycles:
        days[at] = rng.uniform(2.0, 12.0)
        at += int(rng.integers(20, 41))
    return days


def lifetime(typical: Cell, cycle: Floats, days: Floats, rng: np.random.Generator) -> list[Cell]:
    """One cell as it is in each `cycle` [n]: it fades, and rests of `days` [n] give some back."""
    if not cycle.size:
        raise ValueError("a simulated cell needs at least one cycle")
    first_ah = typical.capacity_ah * rng.uniform(0.965, 1.03)
    series, transfer, gain = rng.uniform(0.9, 1.1, 3)
    kept = np.exp(-rng.uniform(0.30, 0.44) * (cycle / FADE_SPAN) ** rng.uniform(1.05, 1.25))
    capacity_ah = first_ah * kept + rng.normal(0.0, 0.002, cycle.size)
    for at in np.flatnonzero(days):
        jump_ah = gain * (0.012 + 0.034 * (1.0 - np.exp(-days[at] / 5.0)))
        capacity_ah[at:] += jump_ah * np.exp(-(cycle[at:] - cycle[at]) / 4.0)
    series_ohm = typical.series_ohm * series * (1.9 - 0.9 * kept)
    transfer_ohm = typical.transfer_ohm * transfer * (1.7 - 0.7 * kept)
    worn = np.stack([capacity_ah, series_ohm, transfer_ohm], axis=1)  # [n, 3]
    return [Cell(c, s, t, typical.ambient_c, typical.rise_c_per_w) for c, s, t in worn.tolist()]


def noisy(rng: np.random.Generator, values: Floats, sigma: float) -> Floats:
    """`values` [n] as a 1xn matrix with noise on it: MATLAB knows no vectors."""
    return (values + rng.normal(0.0, sigma, values.size)).reshape(1, -1)
