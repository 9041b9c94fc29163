"""What a window says of its cell: the load, the state of health, and where that is known from.

SOH is capacity ÷ the cell's own rated capacity. A cycle's soh_target tells it, or its capacity and
the rating that the caller gives; failing these, the training cells' rating stands in where the
window is like theirs. What is no ground truth never stands in for one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model import columns
from model.asked import Asked
from model.columns import Array, Rows, last_known
from model.data import ModelError
from model.fade import MOST_SOH

TOLD = "soh_target"
RATED = "rated_capacity_ah"
TRAINING = "training cells' rating"

SMALLEST_AH, LARGEST_AH = 1e-6, 1e5  # capacities that a battery can have
SAME = 0.1  # share by which two measurements of one thing may differ
JUMP = 0.3  # share of the capacity that no ageing takes from one cycle to the next

HOW = (
    "send soh_target with each cycle, null for those that are no full discharge at the same load "
    "and temperature"
)


class WindowError(ModelError):
    """A window that cannot be answered as it is; says what to send."""


Bools = NDArray[np.bool_]
Refused = dict[int, WindowError]  # by row: of a window refused nothing else counts


@dataclass(frozen=True)
class Told:
    """What each cycle says of the cell, [windows, cycles]; NaN where it does not."""

    capacity_ah: Array
    time_s: Array
    current_a: Array  # average load; capacity ÷ time where it is not given
    soh: Array  # soh_target
    throughput_ah: Array
    count: NDArray[np.int64]  # [windows], cycles of each, which are the last ones
    has_truth: bool  # whether cycles come with a soh_target, be it null


@dataclass(frozen=True)
class States(Rows):
    """The SOH over windows, and what it is a fraction of."""

    soh: Array  # [windows, cycles], the last that was known at each cycle
    truth: Array  # [windows, cycles], as measured; NaN where a cycle tells none
    rated_ah: Array  # [windows]; NaN: not told
    source: NDArray[Any]  # [windows], TOLD, RATED, TRAINING; None: SOH is not known, `soh` relative
    capacity_ah: Array  # [windows, cycles]; NaN where it is not known
    current_a: Array  # [windows, cycles], the load
    is_by_time: Bools  # [windows], capacity and load are told by the training cells' load


# numbers far from any battery's overflow, and are refused as no capacity
FAR = np.errstate(over="ignore", divide="ignore", invalid="ignore")


@FAR
def told(asked: Asked) -> Told:
    """Read what cycles say of capacity, load and health."""
    names = ("discharge_capacity", "time_to_discharge", "avg_current_load", TOLD, "throughput_ah")
    capacity, time_s, current, soh, throughput = map(asked.column, names)
    charge = current * time_s / 3600
    return Told(
        capacity_ah=np.where(np.isnan(capacity), charge, capacity),
        time_s=time_s,
        current_a=_finite(np.where(np.isnan(current), 3600 * capacity / time_s, current)),
        soh=soh,
        throughput_ah=throughput,
        count=asked.count,
        has_truth=TOLD in asked.names,
    )


@FAR
def of(
    told: Told, given_ah: Array, training_ah: float, line: Sequence[float]
) -> tuple[States, Refused]:
    """Return the states that windows tell, for rated capacities, Ah [windows], NaN if not given.

    Where neither soh_target nor a rating is given, SOH is a fraction of the training cells', for
    `settled` to judge; `line` is their capacity by the time to discharge: slope and offset. Refused
    is what contradicts itself, tells no state or none that a cell can have.
    """
    refused: Refused = {}
    each = np.column_stack([told.capacity_ah, given_ah])
    wrong: Bools = np.isfinite(each) & ((each < SMALLEST_AH) | (each > LARGEST_AH))
    _refuse(
        refused,
        wrong.any(axis=1),
        lambda at: f"{each[at][wrong[at]][0]:.3g} Ah: no battery has such a capacity",
    )
    _refuse_what_contradicts_itself(told, refused)
    if told.has_truth:
        states = _by_truth(told, given_ah, training_ah, refused)
    else:
        states = _by_capacity(told, given_ah, training_ah, line, refused)
    most = np.fmax.reduce(states.truth, axis=1, initial=0.0)
    named = "soh_target" if told.has_truth else "rated_capacity_ah"
    _refuse(
        refused,
        (most > MOST_SOH) & (states.source != None),  # noqa: E711, of each
        lambda at: (
            f"the capacity is up to {most[at]:.3g} times the rated one, which no cell "
            f"delivers: {named} cannot be right"
        ),
    )
    return states, refused


def settled(states: States, beyond: Sequence[list[str]]) -> tuple[States, Refused]:
    """Say whether the training cells' rating may stand in, knowing what is beyond training.

    Where it may not, SOH is not known, and `soh` but a way to the capacity: a fraction of the
    training cells' rating or, of a larger cell, of the window's largest capacity. Refused is a
    window of which not even the capacity is known.
    """
    refused: Refused = {}
    is_beyond = np.array([bool(names) for names in beyond])
    _refuse(
        refused,
        states.is_by_time & is_beyond,
        lambda at: (
            f"{', '.join(beyond[at])} unlike the training cells', whose load would tell the "
            "capacity: send avg_current_load (A) or discharge_capacity (Ah) with each cycle"
        ),
    )
    is_open = states.source == None  # noqa: E711, of each
    if not is_open.any():
        return states, refused
    source = np.where(is_open & ~is_beyond, TRAINING, states.source)
    most_soh = np.fmax.reduce(states.truth, axis=1)
    is_relative = is_open & is_beyond & (most_soh > MOST_SOH)
    if not is_relative.any():
        return replace(states, source=source), refused
    most = np.fmax.reduce(states.capacity_ah, axis=1)
    truth = np.where(is_relative[:, None], states.capacity_ah / most[:, None], states.truth)
    soh = np.where(is_relative[:, None], _carried(truth), states.soh)
    rated = np.where(is_relative, most, states.rated_ah)
    return replace(states, soh=soh, truth=truth, rated_ah=rated, source=source), refused


def _refuse(refused: Refused, which: ArrayLike, why: Callable[[int], str]) -> None:
    if not np.asarray(which).any():
        return
    for at in np.flatnonzero(which).tolist():
        refused.setdefault(at, WindowError(why(at)))


def _by_truth(told: Told, given_ah: Array, training_ah: float, refused: Refused) -> States:
    _refuse(
        refused,
        ~np.isfinite(told.soh).any(axis=1),
        lambda at: (
            f"none of the {told.count[at]} cycles has a known soh_target: "
            "one at least is needed to go on from"
        ),
    )
    ratings = _finite(told.capacity_ah / np.where(told.soh > 0, told.soh, np.nan))
    own = columns.median(ratings)
    _refuse(
        refused,
        own > LARGEST_AH,
        lambda at: f"discharge_capacity ÷ soh_target is {own[at]:.3g} Ah: no battery is so large",
    )
    differ = np.abs(ratings / own[:, None] - 1) > SAME
    _refuse(
        refused,
        differ.any(axis=1),
        lambda at: (
            "discharge_capacity ÷ soh_target, the rated capacity, is "
            f"{np.nanmin(ratings[at]):.3g} to {np.nanmax(ratings[at]):.3g} Ah: soh_target or "
            "discharge_capacity is wrong"
        ),
    )
    _refuse(
        refused,
        np.abs(own / given_ah - 1) > SAME,
        lambda at: (
            f"rated_capacity_ah is {given_ah[at]:.3g}, but discharge_capacity ÷ soh_target "
            f"{own[at]:.3g} Ah"
        ),
    )
    soh = _carried(told.soh)
    rated = np.where(np.isnan(given_ah), np.where(own > 0, own, np.nan), given_ah)
    ratio = np.where(np.isnan(rated), training_ah, rated)
    supposed = 3600 * soh * ratio[:, None] / told.time_s
    return States(
        soh=soh,
        truth=told.soh,
        rated_ah=rated,
        source=np.full(len(soh), TOLD, dtype=object),
        capacity_ah=told.capacity_ah,
        current_a=np.where(np.isnan(told.current_a), _finite(supposed), told.current_a),
        is_by_time=np.zeros(len(soh), dtype=bool),
    )


def _by_capacity(
    told: Told, given_ah: Array, training_ah: float, line: Sequence[float], refused: Refused
) -> States:
    capacity, current = told.capacity_ah, told.current_a
    is_by_time: Bools = np.asarray(np.isnan(capacity).all(axis=1))
    _refuse_what_is_no_health(told, refused)
    if is_by_time.any():
        by_time = is_by_time[:, None]
        capacity = np.where(by_time, line[0] * told.time_s + line[1], capacity)
        current = np.where(by_time, _finite(3600 * capacity / told.time_s), current)
        _refuse(
            refused,
            is_by_time & ~np.isfinite(capacity).any(axis=1),
            lambda at: (
                "no cycle tells its capacity: send discharge_capacity (Ah), or "
                "avg_current_load (A) and time_to_discharge (s)"
            ),
        )
    is_given = np.isfinite(given_ah)
    rated = np.where(is_given, given_ah, training_ah)
    soh = capacity / rated[:, None]
    return States(
        soh=_carried(soh),
        truth=soh,
        rated_ah=rated,
        source=np.where(is_given, np.array(RATED, dtype=object), np.array(None)),
        capacity_ah=capacity,
        current_a=current,
        is_by_time=is_by_time,
    )


def _refuse_what_contradicts_itself(told: Told, refused: Refused) -> None:
    """Refuse windows whose cycles stand in no order of time, or that tell a thing in two ways."""
    capacity = told.capacity_ah
    charge = told.current_a * told.time_s / 3600
    wrong = np.abs(charge / capacity - 1) > SAME

    def first(at: int) -> str:
        cycle = int(wrong[at].argmax())
        number = cycle + 1 - (wrong.shape[1] - told.count[at])
        return (
            f"cycle {number}: avg_current_load × time_to_discharge is {charge[at, cycle]:.3g} Ah, "
            f"discharge_capacity {capacity[at, cycle]:.3g} Ah: one of the three is wrong"
        )

    _refuse(refused, wrong.any(axis=1), first)
    falls = np.diff(last_known(told.throughput_ah)) < 0
    _refuse(
        refused,
        falls.any(axis=1),
        lambda at: (
            "throughput_ah falls, which only grows in a battery's life: send the cycles "
            "oldest first"
        ),
    )


def _refuse_what_is_no_health(told: Told, refused: Refused) -> None:
    """Refuse windows whose capacities do not compare: a walk of loads, partial discharges."""
    capacity, load = told.capacity_ah, told.current_a
    least, most = np.fmin.reduce(load, axis=1), np.fmax.reduce(load, axis=1)
    _refuse(
        refused,
        most - least > SAME * columns.median(load),
        lambda at: (
            f"loads of {least[at]:.3g} to {most[at]:.3g} A, at which capacities do not "
            "compare: " + HOW
        ),
    )
    before = last_known(capacity)[:, :-1]
    change = np.abs(capacity[:, 1:] - before) / columns.median(capacity)[:, None]

    def jump(at: int) -> str:
        cycle = int(np.nanargmax(change[at]))
        return (
            f"the capacity goes from {before[at, cycle]:.3g} to {capacity[at, cycle + 1]:.3g} Ah "
            "in one cycle, as no ageing does: " + HOW
        )

    _refuse(refused, (change > JUMP).any(axis=1), jump)


def _finite(values: Array) -> Array:
    return np.where(np.isfinite(values), values, np.nan)


def _carried(soh: Array) -> Array:
    """Fill gaps with the last known value before, the first ones with the first known."""
    filled = last_known(soh)
    if filled is soh:
        return soh
    first = np.take_along_axis(soh, np.isfinite(soh).argmax(axis=1)[:, None], axis=1)
    return np.where(np.isnan(filled), first, filled)
