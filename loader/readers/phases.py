"""Which way charge flows, sample by sample, and where it turns: charges, discharges, pulses."""

import numpy as np
from numpy.typing import NDArray

from loader.battery import Samples

# Thresholds are shares of the current that empties the cell in an hour, else of the largest.
FLOWING, RESTING = 0.05, 0.01
LOW_RUN = 30  # samples of one sign in a row between the two: a slow test, and no noise
# The direction turns when this share of an hour at that current has flowed the other way: less is
# a pulse within a charge or discharge.
PULSE_H = 0.02
SHORTEST_REST = 3  # usual intervals: flow that stops for less goes on
GAP = 10  # an interval longer than so many usual ones tells nothing of what flowed
LEAP = 5  # times the current that flows before and after
STAYS, VOLTAGE_STAYS = 0.15, 0.05  # shares by which current and voltage are the same
UNSEEN = 0.6  # a rise of the voltage under load, as a share of all it spans, that only charge gives


def nearly_largest(current: Samples) -> float:
    """Current that all but a hundredth stay below, A: what exceeds it may be a fault; 0: none."""
    size = np.abs(current[np.isfinite(current)])
    return float(np.quantile(size, 0.99)) if size.size else 0.0


def bridged(current: Samples) -> Samples:
    """`current` [samples], 0 where it is missing; where it goes on after that, as it was before."""
    known = np.isfinite(current)
    if known.all():
        return current
    at = np.arange(current.size)
    before = np.maximum.accumulate(np.where(known, at, 0))
    after = np.minimum.accumulate(np.where(known, at, current.size - 1)[::-1])[::-1]
    plain = np.where(known, current, 0.0)
    goes_on = np.sign(plain[before]) == np.sign(plain[after])
    return np.where(known | ~goes_on, plain, plain[before])


def leaps(current: Samples, voltage: Samples, rated_ah: float | None) -> NDArray[np.bool_]:
    """Single samples whose current leaps while current and voltage beside it stay, [samples].

    No cell takes a multiple of its current unmoved: converters and interference write such samples.
    """
    found = np.zeros(current.size, dtype=bool)
    size = np.abs(current[np.isfinite(current)])
    if size.size < 3 or not size.any():
        return found
    usual_a = rated_ah or float(np.median(size[size > FLOWING * nearly_largest(current)]))
    before, own, after = current[:-2], current[1:-1], current[2:]
    found[1:-1] = (
        (np.abs(own - before) > LEAP * np.abs(before))
        & (np.abs(before) > FLOWING * usual_a)
        & (np.abs(after - before) < STAYS * np.abs(before))
        & (np.abs(voltage[1:-1] - voltage[:-2]) < VOLTAGE_STAYS * voltage[:-2])
        & (np.abs(voltage[1:-1] - voltage[2:]) < VOLTAGE_STAYS * voltage[2:])
    )
    return found


def flow_of(current: Samples, size_a: float) -> NDArray[np.int8]:
    """1 where the battery charges, -1 where it discharges, 0 at rest, [samples].

    Flow begins above FLOWING and ends below RESTING, so that noise about one of them does not
    count; a long run of one sign between the two flows as well.
    """
    size = np.abs(current)
    sign = np.sign(current).astype(np.int8)
    above, below = size > FLOWING * size_a, size < RESTING * size_a
    if (above | below).all():
        return np.where(above, sign, np.int8(0))
    decided = above | below
    decided[1:] |= sign[1:] != sign[:-1]  # a current that turns begins anew
    known = np.maximum.accumulate(np.where(decided, np.arange(size.size), 0))
    on = above[known]
    low = np.where(below, np.int8(0), sign)
    bounds = np.concatenate([[0], np.flatnonzero(np.diff(low)) + 1, [low.size]])
    lengths = np.diff(bounds)
    on |= np.repeat((lengths >= LOW_RUN) & (low[bounds[:-1]] != 0), lengths)
    return np.where(on, sign, np.int8(0))


def charge_moved(time_s: Samples, current: Samples, flow: NDArray[np.int8]) -> Samples:
    """Charge that flowed into each sample, A s; over a gap no more than over some intervals."""
    step_s = np.diff(time_s, prepend=time_s[:1])
    some = step_s[:: max(1, step_s.size // 10_000)]
    usual_s = float(np.median(some[some > 0])) if (some > 0).any() else 0.0
    np.minimum(step_s, GAP * usual_s, out=step_s)
    step_s *= current
    step_s[flow == 0] = 0.0
    return step_s


def numbered(
    flow: NDArray[np.int8], moved_as: Samples, pulse_as: float
) -> tuple[NDArray[np.int32], tuple[str | None, str | None]]:
    """Number the charges and discharges [samples]: odd and even, each begins where it first flows.

    A phase ends when more than `pulse_as` A s have flowed the other way: less is a pulse within it.
    What flows before the first one, or after the last, and is no more than that, is a phase, too,
    and told to be a pulse, first or last or the only flow there is: what it is part of, only the
    file before or after this one can say.
    """
    at = np.flatnonzero(flow)
    if not at.size:
        return np.zeros(flow.size, dtype=np.int32), (None, None)
    ways = flow[at]
    runs = at[np.concatenate([[0], np.flatnonzero(ways[1:] != ways[:-1]) + 1])]
    moved = np.abs(np.add.reduceat(moved_as, runs)).tolist()
    turns = [0]  # runs at which a phase begins
    direction = 0  # none yet
    pending = {1: 0.0, -1: 0.0}  # charge that has flowed either way, against the direction
    first = {1: 0, -1: 0}  # run with which it began to
    for number, (amount, way) in enumerate(zip(moved, flow[runs].tolist(), strict=True)):
        pending[-way] = max(0.0, pending[-way] - amount)
        if way == direction:
            continue
        if pending[way] == 0.0:
            first[way] = number
        pending[way] += amount
        if pending[way] > pulse_as:
            turns.append(first[way])
            direction, pending = way, {1: 0.0, -1: 0.0}
    if not direction:
        only = np.full(flow.size, 1 if moved_as.sum() > 0 else 2, dtype=np.int32)
        return only, ("only", "only")
    has_first, has_last = turns[1] > 0, pending[-direction] > 0
    if not has_first:
        turns.pop(0)
    if has_last:
        turns.append(first[-direction])
        direction = -direction
    is_odd = (direction == 1) == (len(turns) % 2 == 1)
    numbers = np.arange(len(turns), dtype=np.int32) + (1 if is_odd else 2)
    starts = [0, *(int(runs[run]) for run in turns[1:])]
    phase = np.repeat(numbers, np.diff([*starts, flow.size]))
    return phase, ("first" if has_first else None, "last" if has_last else None)


def parted(
    phase: NDArray[np.int32], flow: NDArray[np.int8], samples: dict[str, Samples]
) -> NDArray[np.int32]:
    """Part discharges between which the battery was charged where nobody recorded it.

    The voltage under load then begins far above where it ended. Where the file counts no cycles,
    these are counted, because nothing else would tell such discharges apart.
    """
    at = np.flatnonzero(flow)
    voltage = samples["voltage"][at]
    if at.size < 2 or np.isnan(voltage).all():
        return phase
    span = float(np.nanmax(voltage) - np.nanmin(voltage))
    apart_s = np.diff(samples["time"][at])
    same = (flow[at[1:]] < 0) & (flow[at[:-1]] < 0) & (phase[at[1:]] == phase[at[:-1]])
    same &= apart_s > SHORTEST_REST * np.median(apart_s)
    unseen = at[1:][same & (np.diff(voltage) > UNSEEN * span)]
    if not unseen.size:
        return phase
    added = np.zeros(phase.size, dtype=np.int32)
    added[unseen] = 2
    phase = phase + np.cumsum(added, dtype=np.int32)
    samples.setdefault("cycle", phase.astype(np.float64) // 2)
    return phase
