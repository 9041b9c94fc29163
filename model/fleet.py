"""The fleet network's view of a window: each cycle relative to the battery's own state and scale.

Capacities count as shares of the battery's own, and changes in units of its own spread, so that
what is learned from some cells holds for others. Cycles at other operating points than the coming
one's are left out. What is not known is NaN here, and 0 beside a mask of 1 to the network. Many
windows are seen at once; each is what it would be alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model import columns
from model.columns import Array
from model.spread import USUAL_SPREAD, median_lately
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


class Coming(NamedTuple):
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
    """Windows as the network sees them: their cycles with ground truth at one operating point.

    `steps` are as many as any of the windows has; beyond its own all of a window is NaN.
    """

    inputs: Array  # [windows, steps, INPUTS], NaN what is not known
    spread: Array  # [windows, steps], the battery's own as known then: a share of its capacity
    change: Array  # [windows, steps], from each to the next, in spreads; the last is to come, NaN
    count: NDArray[np.int64]  # [windows], steps of each
    age: NDArray[np.int64]  # [windows], cycles from the last step to the end of the window
    is_new_point: NDArray[np.bool_]  # [windows], none of its cycles is at the coming one's point

    def last(self, values: Array) -> Array:
        """Return what stands at each window's last step, [windows, steps] to [windows]."""
        return np.asarray(values[np.arange(len(values)), self.count - 1])


FOREKNOWN = Coming._fields
FOREKNOWN_AT = [NAMES.index(name) for name in FOREKNOWN]
NOT_FOREKNOWN = [at for at, name in enumerate(NAMES) if name not in FOREKNOWN]


def truth(cycles: Sequence[Mapping[str, Any]]) -> Array:
    """Capacity [cycles] where it is the ground truth of a cycle of cycle_series, Ah; else NaN."""
    capacity, soh = columns.measured(cycles, ["discharge_capacity", "soh_target"]).T
    return np.where(np.isfinite(soh), capacity, np.nan)


def cut(
    told: Array, capacity_ah: Array, begin: NDArray[np.int64], end: NDArray[np.int64], width: int
) -> Steps:
    """Cut windows of up to so many cycles that begin and end at these rows [windows], see `steps`.

    Of the cycles' NAMES `told` [cycles, NAMES], those of Coming are known in the one at `end`.
    """
    rows = end[:, None] + np.arange(-width, 1)
    is_within = rows >= begin[:, None]
    seen = np.where(is_within[..., None], told[np.maximum(rows, 0)], np.nan)
    seen[:, -1, NOT_FOREKNOWN] = np.nan
    capacity = np.where(is_within, capacity_ah[np.maximum(rows, 0)], np.nan)
    return steps(seen, capacity[:, :-1])


def steps(told: Array, capacity_ah: Array) -> Steps:
    """Return what the network sees of windows that have a ground truth each.

    `told` [windows, cycles + 1, NAMES] are the features of cycle_series, the last of them what is
    known of the coming cycle: it is at the operating point of the one before, if not told where.
    `capacity_ah` [windows, cycles] is NaN where a cycle has no ground truth, or there is none.
    """
    it = dict(zip(NAMES, np.moveaxis(told, -1, 0), strict=True))  # [windows, cycles + 1]
    known = np.isfinite(capacity_ah)
    final = known.shape[1] - 1 - known[:, ::-1].argmax(axis=1)[:, None]  # the last that is known
    seen = [it[name][:, :-1] for name in POINT]
    then = [np.take_along_axis(values, final, axis=1) for values in seen]
    coming = [it[name][:, -1:] for name in POINT]
    here = [np.where(np.isnan(a), b, a) for a, b in zip(coming, then, strict=True)]
    alike = known & is_alike(*seen, *here)
    is_new_point = np.logical_not(alike.any(axis=1))
    alike = np.where(is_new_point[:, None], known & is_alike(*seen, *then), alike)
    count = alike.sum(axis=1)
    rows = np.argsort(~alike, axis=1, kind="stable")[:, : count.max()]
    inputs, spread, change = _inputs(it, capacity_ah, rows, count, alike, is_new_point)
    last = rows[np.arange(len(rows)), count - 1]
    return Steps(inputs, spread, change, count, known.shape[1] - 1 - last, is_new_point)


def masked(steps: Steps) -> NDArray[np.float32]:
    """Put 0 for what is not known, and masks beside: [windows, steps, 2 INPUTS]; 0 at its end."""
    is_step = np.isfinite(steps.spread)[..., None]
    unknown = np.isnan(steps.inputs) & is_step
    return np.concatenate([np.nan_to_num(steps.inputs), unknown], axis=-1, dtype=np.float32)


def _inputs(
    it: dict[str, Array],
    capacity_ah: Array,
    rows: NDArray[np.int64],
    count: NDArray[np.int64],
    alike: NDArray[np.bool_],
    is_new_point: NDArray[np.bool_],
) -> tuple[Array, Array, Array]:
    """The INPUTS, the spread and the change to the next at each of the rows [windows, steps].

    `it` ends with the coming cycle's; of each window the first `count` rows are steps.
    """
    step = np.arange(rows.shape[1])
    is_step = step < count[:, None]
    following = np.where(  # whose beginning is known at each row
        step == count[:, None] - 1, capacity_ah.shape[1], np.roll(rows, -1, axis=1)
    )

    def at(values: Array, rows: NDArray[np.int64] = rows) -> Array:
        return np.where(is_step, np.take_along_axis(values, rows, axis=1), np.nan)

    capacity = at(capacity_ah)
    change = _later(np.diff(capacity) / capacity[:, :-1])
    spread = np.where(is_step, own_spread(change), np.nan)
    discharged = _later(np.diff(it["throughput_ah"]))
    # what a charge took in compares where the discharge before it was whole, and alike
    comparable = np.append(np.zeros((len(alike), 1), dtype=bool), alike, axis=1)
    comparable[:, -1] &= ~is_new_point
    charge, cc, cv = (
        np.where(comparable, it[name], np.nan)
        for name in ("charge_capacity", "cc_charge_time", "cv_charge_time")
    )
    balance = it["charge_capacity"] - _later(discharged[:, :-1])
    # what flowed below the cut-off tells of the resistance
    tail = discharged[:, :-1] - capacity_ah
    cc, cv = (np.log(np.maximum(values, 1)) for values in (cc, cv))
    rests = [np.log1p(it[name]) for name in ("rest_after_hours", "rest_before_hours")]
    told = [at(values) for values in (tail, it["avg_voltage_load"], it["max_temperature"])]
    foretold = [balance, charge, cc, cv, *rests]
    usual = median_lately(np.stack([*told, *map(at, foretold)]))  # [told and foretold, …]
    tail, voltage, temperature = (
        values - _later(own[:, :-1]) for values, own in zip(told, usual[:3], strict=True)
    )
    balance, charge, cc, cv, *unusual = (
        at(values, following) - own for values, own in zip(foretold, usual[3:], strict=True)
    )
    in_spreads = [
        change,
        _later(change[:, :-1]),
        median_lately(capacity, 5) / capacity - 1,
        median_lately(capacity, 12) / capacity - 1,
        tail / capacity,
        voltage,
        balance / capacity,
        charge / capacity,
        cc,
        cv,
    ]
    squeezed = LARGE * np.tanh(np.stack([*(np.array(in_spreads) / spread), temperature]) / LARGE)
    age = np.where(is_step, np.log(step + 1.0) / 2, np.nan)
    plain = [*(at(it, following) for it in rests), *unusual, np.log(spread / USUAL_SPREAD), age]
    coming = np.append(change[:, 1:], np.full((len(rows), 1), np.nan), axis=1)
    return np.stack([*squeezed, *plain], axis=-1), spread, coming / spread


def _later(values: Array) -> Array:
    """Put each one step later; at the first nothing is known."""
    return np.append(np.full((len(values), 1), np.nan), values, axis=1)


def is_alike(
    loads: Array, ambients: Array, load: Array | float, ambient: Array | float
) -> NDArray[np.bool_]:
    """Which cycles [cycles] are at the operating point of such a load and ambient temperature."""
    # what is not known is not known to differ
    is_other_load = np.abs(np.log(loads / load)) > np.log1p(SAME_LOAD)
    is_alike: NDArray[np.bool_] = ~is_other_load & ~(np.abs(ambients - ambient) > SAME_AMBIENT_C)
    return is_alike
