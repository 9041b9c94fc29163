"""The fleet network's view of a window: each cycle relative to the battery's own state and scale.

Capacities count as shares of the battery's own, and changes in units of its own spread, so that
what is learned from some cells holds for others. Cycles at other operating points than the coming
one's are left out. What is not known is NaN here, and 0 beside a mask of 1 to the network.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model import data
from model.data import Array
from model.spread import USUAL_SPREAD, lately, median
from model.spread import spread as own_spread

INPUTS = (
    # of a cycle, once it is over
    "change", "change before", "median of 5", "median of 12", "tail", "voltage",
    # known when the next cycle begins
    "balance", "charge", "cc time", "cv time",
    # of a cycle again
    "temperature",
    # known when the next cycle begins
    "rest after", "rest before", "unusual rest after", "unusual rest before",
    # of the battery
    "spread", "cycles",
)  # fmt: skip
CHARGE = [INPUTS.index(name) for name in ("balance", "charge", "cc time", "cv time")]
RESTS = [at for at, name in enumerate(INPUTS) if "rest" in name]
SHORTEST = 5  # cycles of a window
LEAST = 3  # cycles at the operating point from which on the network is asked
LARGE = 4.0  # spreads, towards which larger deviations are squeezed
# Loads that differ by no more than this share, and ambient temperatures by no more than so many °C,
# are one operating point, as in dbt_project.yml.
SAME_LOAD = 0.15
SAME_AMBIENT_C = 5.0
POINT = ("avg_current_load", "ambient_temperature")
NAMES = (
    "discharge_capacity", "avg_current_load", "ambient_temperature", "max_temperature",
    "avg_voltage_load", "throughput_ah", "charge_capacity", "cc_charge_time", "cv_charge_time",
    "rest_after_hours", "rest_before_hours",
)  # fmt: skip


@dataclass(frozen=True)
class Coming:
    """What is known of a cycle before it begins; None what is not."""

    avg_current_load: float | None = None  # planned, A
    ambient_temperature: float | None = None
    rest_after_hours: float | None = None
    rest_before_hours: float | None = None
    charge_capacity: float | None = None
    cc_charge_time: float | None = None
    cv_charge_time: float | None = None


@dataclass(frozen=True)
class Steps:
    """A window as the network sees it: its cycles with ground truth at one operating point."""

    inputs: Array  # [steps, INPUTS], NaN what is not known
    spread: Array  # [steps], the battery's own as known then: a share of its capacity
    change: Array  # [steps], from each to the next, in spreads; the last is still to come, NaN
    last: int  # position in the window of the last of them
    is_new_point: bool  # no cycle of the window is at the coming one's operating point


def coming_of(cycle: Mapping[str, Any]) -> Coming:
    """Return what of a recorded cycle was known before it began."""
    return Coming(**{name: cycle.get(name) for name in vars(Coming())})


def is_elsewhere(last: Mapping[str, Any], coming: Coming) -> bool:
    """Tell whether the coming cycle is known to be at another operating point than the last."""
    planned, seen = data.measured([vars(coming), last], POINT)
    here = np.where(np.isnan(planned), seen, planned)
    return not bool(is_alike(seen[:1], seen[1:], *here)[0])


def truth(cycles: Sequence[Mapping[str, Any]]) -> Array:
    """Capacity [cycles] where it is the ground truth of a cycle of cycle_series, Ah; else NaN."""
    capacity, soh = data.measured(cycles, ["discharge_capacity", "soh_target"]).T
    return np.where(np.isfinite(soh), capacity, np.nan)


def steps(
    cycles: Sequence[Mapping[str, Any]], capacity_ah: Array, coming: Coming | None = None
) -> Steps | None:
    """Return what the network sees of a window, each cycle with the features of cycle_series.

    `capacity_ah` [cycles] is NaN where a cycle has no ground truth; None is returned where none
    has. Unless it is told, the coming cycle is at the operating point of the last one.
    """
    known = np.isfinite(capacity_ah)
    if not known.any():
        return None
    told = data.measured([*cycles, vars(coming or Coming())], NAMES).T
    it = dict(zip(NAMES, told, strict=True))  # [cycles + 1]
    last = int(np.flatnonzero(known)[-1])
    seen = [it[name][:-1] for name in POINT]
    here = [it[name][-1 if np.isfinite(it[name][-1]) else last] for name in POINT]
    alike = known & is_alike(*seen, *here)
    if is_new_point := not alike.any():
        alike = known & is_alike(*seen, *(values[last] for values in seen))
    rows = np.flatnonzero(alike)
    inputs, spread = _inputs(it, capacity_ah, rows, is_new_point)
    capacity = capacity_ah[rows]
    change = np.append(np.diff(capacity) / capacity[:-1], np.nan) / spread
    return Steps(inputs, spread, change, int(rows[-1]), is_new_point)


def masked(inputs: Array) -> Array:
    """Put 0 for what is not known, and masks beside: [steps, INPUTS] to [steps, 2 INPUTS]."""
    return np.concatenate([np.nan_to_num(inputs), np.isnan(inputs)], axis=-1)


def _inputs(
    it: dict[str, Array], capacity_ah: Array, rows: NDArray[np.int64], is_new_point: bool
) -> tuple[Array, Array]:
    """The INPUTS and the spread at each of the rows; columns end with the coming cycle's."""
    capacity = capacity_ah[rows]
    following = np.append(rows[1:], len(capacity_ah))  # whose beginning is known at each row
    change = np.append(np.nan, np.diff(capacity) / capacity[:-1])
    spread = own_spread(change)
    discharged = np.diff(it["throughput_ah"], prepend=np.nan)
    # what a charge took in compares where the discharge before it was whole, and alike
    comparable = np.isin(np.arange(len(discharged)) - 1, rows)
    comparable[-1] &= not is_new_point
    charge, cc, cv = (
        np.where(comparable, it[name], np.nan)
        for name in ("charge_capacity", "cc_charge_time", "cv_charge_time")
    )
    balance = it["charge_capacity"] - np.append(np.nan, discharged[:-1])
    rests = [np.log1p(it[name]) for name in ("rest_after_hours", "rest_before_hours")]

    def told(values: Array) -> Array:
        usual = np.append(np.nan, median(lately(values[rows]))[:-1])
        return np.asarray(values[rows] - usual)

    def foretold(values: Array) -> Array:
        return np.asarray(values[following] - median(lately(values[rows])))

    in_spreads = [
        change,
        np.append(np.nan, change[:-1]),
        median(lately(capacity, 5)) / capacity - 1,
        median(lately(capacity, 12)) / capacity - 1,
        # what flowed below the cut-off tells of the resistance
        told(discharged - np.append(capacity_ah, np.nan)) / capacity,
        told(it["avg_voltage_load"]),
        foretold(balance) / capacity,
        foretold(charge) / capacity,
        foretold(np.log(np.maximum(cc, 1))),
        foretold(np.log(np.maximum(cv, 1))),
    ]
    squeezed = LARGE * np.tanh(
        np.column_stack([np.array(in_spreads).T / spread[:, None], told(it["max_temperature"])])
        / LARGE
    )
    plain = [it[following] for it in rests] + [foretold(it) for it in rests]
    plain += [np.log(spread / USUAL_SPREAD), np.log(np.arange(1, len(rows) + 1)) / 2]
    return np.column_stack([squeezed, *plain]), spread


def is_alike(loads: Array, ambients: Array, load: float, ambient: float) -> NDArray[np.bool_]:
    """Which cycles [cycles] are at the operating point of such a load and ambient temperature."""
    # what is not known is not known to differ
    is_other_load = np.abs(np.log(loads / load)) > np.log1p(SAME_LOAD)
    is_alike: NDArray[np.bool_] = ~is_other_load & ~(np.abs(ambients - ambient) > SAME_AMBIENT_C)
    return is_alike
