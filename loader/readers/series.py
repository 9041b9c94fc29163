"""From samples in a row to recordings: signs, splits where the flow turns, counters."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from loader.battery import Battery, Samples
from loader.readers import counters, phases, signs, timeline
from loader.readers.timeline import Table
from loader.reading import Reading

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
    leaps = phases.leaps(samples["current"], samples["voltage"], reading.rated_capacity_ah)
    if leaps.any():
        told.append(f"{leaps.sum():,} samples are left out: their current leaps, and nothing else")
        samples = {role: values[~leaps] for role, values in samples.items()}
    current = phases.bridged(samples["current"])
    largest_a = float(np.abs(current).max())
    size_a = reading.rated_capacity_ah or largest_a
    flow = phases.flow_of(current, size_a)
    moved_as = phases.charge_moved(samples["time"], current, flow)
    pulse_as = phases.PULSE_H * 3600.0 * size_a
    phase, edges = phases.numbered(flow, moved_as, pulse_as)
    phase = phases.parted(phase, flow, samples)
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
            counted_ah=counters.total(counted, current, kind, start, end) if kind else None,
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


def _recordings(
    samples: dict[str, Samples],
    flow: NDArray[np.int8],
    moved_as: Samples,
    phase: NDArray[np.int32],
    pulse_as: float,
) -> tuple[NDArray[np.intp], list[int]]:
    """Sample numbers, from 0, at which a recording starts, and its kind: 1, -1 or 0 for a rest.

    Where a phase, a cycle, a step or a file begins, and without steps where the flow stops. A
    phase that has steps of both directions is parted by its rests alone.
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
    if contrary.any():
        rests = _rest_edges(samples["time"], flow)
        for at in np.unique(phase[starts[contrary]]).tolist():
            flowing = np.flatnonzero((phase == at) & (flow != 0))
            inside = slice(flowing[0] + 1, flowing[-1] + 1)
            turns[inside] = rests[inside]
            turns[flowing[0]] = True
        starts = np.flatnonzero(turns)
        flows = np.logical_or.reduceat(flow != 0, starts)
    return starts, np.where(flows, way[starts], 0).tolist()


def _rest_edges(time_s: Samples, flow: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Samples at which flow starts or stops; where it stops for a moment it goes on."""
    still = flow == 0
    bounds = np.concatenate([[0], np.flatnonzero(np.diff(still)) + 1, [still.size]])
    ends = time_s[np.minimum(bounds[1:], still.size - 1)]
    usual_s = float(np.median(np.diff(time_s))) if still.size > 1 else 0.0
    short = still[bounds[:-1]] & (ends - time_s[bounds[:-1]] < phases.SHORTEST_REST * usual_s)
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
