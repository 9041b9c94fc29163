"""From samples in a row to recordings: signs, splits where the flow turns, counters."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from loader.battery import Battery, Samples
from loader.readers import counters, signs, timeline
from loader.readers.timeline import Table
from loader.reading import Reading

# Thresholds are shares of the current that empties the cell in an hour, else of the largest.
FLOWING, RESTING = 0.05, 0.01
LOW_RUN = 30  # samples of one sign in a row between the two: a slow test, and no noise
# The direction turns when this share of an hour at that current has flowed the other way: less is
# a pulse within a charge or discharge.
PULSE_H = 0.02
SHORTEST_REST = 3  # usual intervals: flow that stops for less goes on
GAP = 10  # an interval longer than so many usual ones tells nothing of what flowed
UNSEEN = 0.6  # a rise of the voltage under load, as a share of all it spans, that only charge gives
KINDS = {1: "charge", -1: "discharge", 0: "rest"}


class TabularRecording(NamedTuple):
    """One charge, discharge or rest; columns and units: staging.sql."""

    battery_id: str
    recording_index: int
    recording_type: str
    pulse: str | None
    activity: str | None
    started_at_unix_s: float | None
    cycle_count: int | None
    step_count: int | None
    ambient_temperature_c: float | None
    lead_in_s: float | None
    counted_ah: float | None
    time_s: Samples
    voltage_v: Samples
    current_a: Samples
    temperature_c: Samples | None


def battery(
    battery_id: str, tables: Sequence[Table], reading: Reading, notes: Sequence[str] = ()
) -> Battery:
    """Put the tables of one battery in order and cut them into recordings.

    Raises LoaderError where their times contradict each other.
    """
    return _battery(battery_id, timeline.carried_on(tables), reading, notes)


def pieces(battery_id: str, tables: Sequence[Table], reading: Reading) -> Iterator[Battery]:
    """Yield the pieces that the tables of one battery make, each cut into recordings.

    Raises LoaderError as `battery` does.
    """
    for ordered in timeline.pieces(tables):
        begin, end = timeline.span(ordered[0]), timeline.span(ordered[-1])
        parts = dict.fromkeys(it.file for it in ordered if it.file)
        yield replace(
            _battery(battery_id, ordered, reading),
            span=begin._replace(ends_s=end.ends_s - end.origin_s + begin.origin_s),
            parts=tuple(parts),
        )


def _battery(
    battery_id: str, ordered: Sequence[Table], reading: Reading, notes: Sequence[str] = ()
) -> Battery:
    told = [*notes, *(note for table in ordered for note in table.notes)]
    samples = _joined(ordered)
    samples["current"], sign_notes = signs.charge_positive(samples, reading)
    current = samples["current"]
    current = np.where(np.isfinite(current), current, 0.0)
    largest_a = float(np.abs(current).max())
    size_a = reading.rated_capacity_ah or largest_a
    flow = _flow(current, size_a)
    moved_as = _moved(samples["time"], current, flow)
    pulse_as = PULSE_H * 3600.0 * size_a
    phase, edges = _phases(flow, moved_as, pulse_as)
    phase = _parted(phase, flow, samples)
    pulses = {int(phase[at]): name for at, name in zip((0, -1), edges, strict=True) if name}
    starts, kinds = _recordings(samples, flow, moved_as, phase, pulse_as)
    ends = np.append(starts[1:], flow.size)
    counted = counters.counted(samples)
    lead_in = counters.lead_in(samples, counted)
    activities = [table.activity for table in ordered]
    recordings: list[NamedTuple] = [
        TabularRecording(
            battery_id=battery_id,
            recording_index=index,
            recording_type=KINDS[kind],
            pulse=pulses.get(int(phase[start])) if kind else None,
            activity=activities[int(samples["table"][start])],
            started_at_unix_s=_number(samples["started"][start]),
            cycle_count=_count(samples, "cycle", start),
            step_count=_count(samples, "step", start),
            ambient_temperature_c=_number(samples["ambient"][start])
            if "ambient" in samples
            else None,
            lead_in_s=_number(lead_in[start]),
            counted_ah=None if kind == 0 else counters.total(counted.get(kind), start, end),
            time_s=samples["time"][start:end],
            voltage_v=samples["voltage"][start:end],
            current_a=samples["current"][start:end],
            temperature_c=_temperature(samples, start, end),
        )
        for index, (kind, start, end) in enumerate(
            zip(kinds, starts.tolist(), ends.tolist(), strict=True), start=1
        )
    ]
    charging = flow > 0
    limit_v = float(np.nanquantile(samples["voltage"][charging], 0.99)) if charging.any() else None
    return Battery(
        battery_id=battery_id,
        layout="tabular",
        tables={"tabular_recording": recordings},
        samples=flow.size,
        discharges=len(
            {it for it, kind in zip(phase[starts].tolist(), kinds, strict=True) if kind == -1}
            - pulses.keys()
        ),
        largest_current_a=largest_a or None,
        charge_limit_v=limit_v,
        notes=(*told, *sign_notes, *signs.doubts(recordings), *counters.disagreement(recordings)),
    )


def _joined(tables: Sequence[Table]) -> dict[str, Samples]:
    """Put tables one after another; a column that one of them lacks is NaN there."""
    roles = {role for table in tables for role in table.columns}
    samples = {
        role: np.concatenate(
            [table.columns.get(role, np.full(table.size, np.nan)) for table in tables]
        )
        if len(tables) > 1
        else tables[0].columns[role]
        for role in roles
    }
    samples["table"] = np.repeat(np.arange(len(tables)), [table.size for table in tables])
    samples["started"] = np.concatenate([_started(table) for table in tables])
    return samples


def _started(table: Table) -> Samples:
    """Date of each sample, s since 1970; NaN where the file has no clock."""
    clock, time_s = table.columns.get("clock"), table.columns["time"]
    if clock is None or not np.isfinite(clock[0]):
        return np.full(table.size, np.nan)
    if np.isfinite(clock).all() and (np.diff(clock) >= 0).all():
        return clock
    started: Samples = clock[0] + (time_s - time_s[0])
    return started


def _flow(current: Samples, size_a: float) -> NDArray[np.int8]:
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


def _moved(time_s: Samples, current: Samples, flow: NDArray[np.int8]) -> Samples:
    """Charge that flowed into each sample, A s; over a gap no more than over some intervals."""
    step_s = np.diff(time_s, prepend=time_s[:1])
    some = step_s[:: max(1, step_s.size // 10_000)]
    usual_s = float(np.median(some[some > 0])) if (some > 0).any() else 0.0
    np.minimum(step_s, GAP * usual_s, out=step_s)
    step_s *= current
    step_s[flow == 0] = 0.0
    return step_s


def _phases(
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


def _parted(
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


def _recordings(
    samples: dict[str, Samples],
    flow: NDArray[np.int8],
    moved_as: Samples,
    phase: NDArray[np.int32],
    pulse_as: float,
) -> tuple[NDArray[np.intp], list[int]]:
    """Sample numbers, from 0, at which a recording starts, and its kind: 1, -1 or 0 for a rest.

    Where a phase, a cycle, a step or a file begins, and without steps where the flow stops. A
    phase that has steps of both directions is one recording from its first flow to its last.
    """
    turns = np.zeros(flow.size, dtype=bool)
    turns[0] = True
    for role in ("cycle", "step", "table"):
        if role in samples:
            values = np.nan_to_num(samples[role], nan=-1.0)
            turns[1:] |= values[1:] != values[:-1]
    edges = np.flatnonzero(np.diff(phase)) + 1
    if "step" in samples:
        # A step that begins at rest, or with a pulse, belongs to its phase from its beginning.
        starts = np.maximum.accumulate(np.where(turns, np.arange(flow.size), 0))[edges]
        before = np.concatenate([[0.0], np.cumsum(np.abs(moved_as))])
        edges = np.where(before[edges] - before[starts] <= pulse_as, starts, edges)
        bounds = np.concatenate([[0], edges, [flow.size]])
        values = phase[np.concatenate([[0], np.flatnonzero(np.diff(phase)) + 1])]
        phase[:] = np.repeat(values, np.diff(bounds))
    else:
        turns |= _rest_edges(samples["time"], flow)
    turns[edges] = True
    way = np.where(phase % 2 == 1, 1, -1)
    starts = np.flatnonzero(turns)
    flows = np.logical_or.reduceat(flow != 0, starts)
    contrary = flows & (np.add.reduceat(moved_as, starts) * way[starts] < 0)
    for at in np.unique(phase[starts[contrary]]).tolist():
        flowing = np.flatnonzero((phase == at) & (flow != 0))
        turns[flowing[0] + 1 : flowing[-1] + 1] = False
        turns[flowing[0]] = True
    if contrary.any():
        starts = np.flatnonzero(turns)
        flows = np.logical_or.reduceat(flow != 0, starts)
    return starts, np.where(flows, way[starts], 0).tolist()


def _rest_edges(time_s: Samples, flow: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Samples at which flow starts or stops; where it stops for a moment it goes on."""
    still = flow == 0
    bounds = np.concatenate([[0], np.flatnonzero(np.diff(still)) + 1, [still.size]])
    ends = time_s[np.minimum(bounds[1:], still.size - 1)]
    usual_s = float(np.median(np.diff(time_s))) if still.size > 1 else 0.0
    short = still[bounds[:-1]] & (ends - time_s[bounds[:-1]] < SHORTEST_REST * usual_s)
    short[0] = short[-1] = False
    still = still & ~np.repeat(short, np.diff(bounds))
    return np.concatenate([[False], still[1:] != still[:-1]])


def _temperature(samples: dict[str, Samples], start: int, end: int) -> Samples | None:
    for role in ("temperature", "ambient"):
        if role in samples:
            return samples[role][start:end]
    return None


def _number(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)


def _count(samples: dict[str, Samples], role: str, start: int) -> int | None:
    value = samples[role][start] if role in samples else np.nan
    return None if np.isnan(value) else int(value)
