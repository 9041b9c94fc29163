"""What a window says of its cell: the load, the state of health, and where that is known from.

SOH is capacity ÷ the cell's own rated capacity. A cycle's soh_target tells it, or its capacity and
the rating that the caller gives; failing these, the training cells' rating stands in where the
window is like theirs. What is no ground truth never stands in for one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from model import columns
from model.columns import Array, last_known
from model.data import ModelError

Cycle = Mapping[str, Any]

TOLD = "soh_target"
RATED = "rated_capacity_ah"
TRAINING = "training cells' rating"

SMALLEST_AH, LARGEST_AH = 1e-6, 1e5  # capacities that a battery can have
MOST_SOH = 1.3  # no cell delivers more of its rated capacity
SAME = 0.1  # share by which two measurements of one thing may differ
JUMP = 0.3  # share of the capacity that no ageing takes from one cycle to the next

HOW = (
    "send soh_target with each cycle, null for those that are no full discharge at the same load "
    "and temperature"
)


class WindowError(ModelError):
    """A window that cannot be answered as it is; says what to send."""


@dataclass(frozen=True)
class Told:
    """What each cycle says of the cell, [cycles]; NaN where it does not."""

    capacity_ah: Array
    time_s: Array
    current_a: Array  # average load; capacity ÷ time where it is not given
    soh: Array  # soh_target
    has_truth: bool  # whether cycles come with a soh_target, be it null

    def __getitem__(self, rows: slice) -> "Told":
        return Told(
            self.capacity_ah[rows], self.time_s[rows], self.current_a[rows], self.soh[rows],
            self.has_truth,
        )  # fmt: skip


@dataclass(frozen=True)
class State:
    """The SOH over a window, and what it is a fraction of."""

    soh: Array  # [window], the last that was known at each cycle
    truth: Array  # [window], as measured; NaN where a cycle tells none
    rated_ah: float | None  # None: not told
    source: str | None  # TOLD, RATED, TRAINING; None: SOH is not known, `soh` is relative
    capacity_ah: Array  # [window]; NaN where it is not known
    current_a: Array  # [window], the load
    is_by_time: bool = False  # capacity and load are told by the training cells' load


# numbers far from any battery's overflow, and are refused as no capacity
FAR = np.errstate(over="ignore", divide="ignore", invalid="ignore")


@FAR
def told(cycles: Sequence[Cycle]) -> Told:
    """Read what cycles say of capacity, load and health."""
    capacity, time_s, current, soh = columns.measured(
        cycles, ["discharge_capacity", "time_to_discharge", "avg_current_load", TOLD]
    ).T
    charge = current * time_s / 3600
    return Told(
        capacity_ah=np.where(np.isnan(capacity), charge, capacity),
        time_s=time_s,
        current_a=_finite(np.where(np.isnan(current), 3600 * capacity / time_s, current)),
        soh=soh,
        has_truth=any(TOLD in cycle for cycle in cycles),
    )


@FAR
def of(window: Told, given_ah: float | None, training_ah: float, line: Sequence[float]) -> State:
    """Return the state that a window tells, for a rated capacity, Ah, given or not.

    Where neither soh_target nor a rating is given, SOH is a fraction of the training cells', for
    `settled` to judge; `line` is their capacity by the time to discharge: slope and offset. Raises
    WindowError for what contradicts itself, tells no state or none that a cell can have.
    """
    for capacity in (*window.capacity_ah[np.isfinite(window.capacity_ah)], given_ah):
        if capacity is not None and not SMALLEST_AH <= capacity <= LARGEST_AH:
            raise WindowError(f"{capacity:.3g} Ah: no battery has such a capacity")
    if window.has_truth:
        state = _by_truth(window, given_ah, training_ah)
    else:
        state = _by_capacity(window, given_ah, training_ah, line)
    most = float(np.nanmax(state.truth, initial=0))
    if state.source and most > MOST_SOH:
        raise WindowError(
            f"the capacity is up to {most:.3g} times the rated one, which no cell delivers: "
            f"{'soh_target' if window.has_truth else 'rated_capacity_ah'} cannot be right"
        )
    return state


def settled(state: State, beyond: Sequence[str]) -> State:
    """Say whether the training cells' rating may stand in, knowing what is beyond training.

    Where it may not, SOH is not known, and `soh` but a way to the capacity: a fraction of the
    training cells' rating or, of a larger cell, of the window's largest capacity. Raises
    WindowError where not even the capacity is known.
    """
    if state.is_by_time and beyond:
        raise WindowError(
            f"{', '.join(beyond)} unlike the training cells', whose load would tell the capacity: "
            "send avg_current_load (A) or discharge_capacity (Ah) with each cycle"
        )
    if state.source:
        return state
    if not beyond:
        return replace(state, source=TRAINING)
    if np.nanmax(state.truth) <= MOST_SOH:
        return state
    most = float(np.nanmax(state.capacity_ah))
    relative = state.capacity_ah / most
    return replace(state, soh=_carried(relative), truth=relative, rated_ah=most)


def _by_truth(window: Told, given_ah: float | None, training_ah: float) -> State:
    known = window.soh[np.isfinite(window.soh)]
    if not len(known):
        raise WindowError(
            f"none of the {len(window.soh)} cycles has a known soh_target: "
            "one at least is needed to go on from"
        )
    ratings = window.capacity_ah / np.where(window.soh > 0, window.soh, np.nan)
    ratings = ratings[np.isfinite(ratings)]
    own = float(np.median(ratings)) if len(ratings) else None
    if own and own > LARGEST_AH:
        raise WindowError(
            f"discharge_capacity ÷ soh_target is {own:.3g} Ah: no battery is so large"
        )
    if own and given_ah and abs(own / given_ah - 1) > SAME:
        raise WindowError(
            f"rated_capacity_ah is {given_ah:.3g}, but discharge_capacity ÷ soh_target {own:.3g} Ah"
        )
    soh, rated = _carried(window.soh), given_ah or own
    supposed = 3600 * soh * (rated or training_ah) / window.time_s
    current = np.where(np.isnan(window.current_a), _finite(supposed), window.current_a)
    return State(soh, window.soh, rated, TOLD, window.capacity_ah, current)


def _by_capacity(
    window: Told, given_ah: float | None, training_ah: float, line: Sequence[float]
) -> State:
    capacity = window.capacity_ah
    is_by_time = bool(np.isnan(capacity).all())
    if is_by_time:
        capacity = line[0] * window.time_s + line[1]
        if not np.isfinite(capacity).any():
            raise WindowError(
                "no cycle tells its capacity: send discharge_capacity (Ah), or avg_current_load "
                "(A) and time_to_discharge (s)"
            )
    else:
        _refuse_what_is_no_health(capacity, window)
    rated = given_ah or training_ah
    soh = capacity / rated
    return State(
        soh=_carried(soh),
        truth=soh,
        rated_ah=rated,
        source=RATED if given_ah else None,
        capacity_ah=capacity,
        current_a=_finite(3600 * capacity / window.time_s) if is_by_time else window.current_a,
        is_by_time=is_by_time,
    )


def _refuse_what_is_no_health(capacity: Array, window: Told) -> None:
    """Refuse windows whose capacities do not compare: a walk of loads, partial discharges."""
    charge = window.current_a * window.time_s / 3600
    for at in np.flatnonzero(np.abs(charge / capacity - 1) > SAME).tolist():
        raise WindowError(
            f"cycle {at + 1}: avg_current_load × time_to_discharge is {charge[at]:.3g} Ah, "
            f"discharge_capacity {capacity[at]:.3g} Ah: one of the three is wrong"
        )
    load = window.current_a[np.isfinite(window.current_a)]
    if load.size and load.max() - load.min() > SAME * np.median(load):
        raise WindowError(
            f"loads of {load.min():.3g} to {load.max():.3g} A, at which capacities do not compare: "
            + HOW
        )
    known = capacity[np.isfinite(capacity)]
    change = np.abs(np.diff(known)) / np.median(known)
    if change.size and change.max() > JUMP:
        at = int(change.argmax())
        raise WindowError(
            f"the capacity goes from {known[at]:.3g} to {known[at + 1]:.3g} Ah in one cycle, as no "
            "ageing does: " + HOW
        )


def _finite(values: Array) -> Array:
    return np.where(np.isfinite(values), values, np.nan)


def _carried(soh: Array) -> Array:
    """Fill gaps with the last known value before, the first ones with the first known."""
    filled = last_known(soh)
    known = filled[np.isfinite(filled)]
    return np.where(np.isnan(filled), known[0], filled)
