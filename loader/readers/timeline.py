"""Time that starts again, within a file or with each file, carried on; or refused with the row."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from loader.battery import SAME_TIME_S, LoaderError, Samples, Span
from loader.part import Part

# Two files of one battery cannot have been recorded at once, but a computer's clock may be set.
OVERLAP = 0.5  # of the shorter: files that share more were not recorded one after another
SCALES = ((1e-3, "ms"), (60.0, "min"), (3600.0, "h"))


@dataclass(frozen=True)
class Table:
    """Samples of one battery from one file, in the file's order.

    `columns` maps a role of `reading.ROLES` to its values [samples]: s, V, A (positive on charge
    unless the reading says otherwise), °C, Ah; `clock` in s since 1970 UTC; `state` 1 charge, -1
    discharge, 0 rest, NaN unknown. A column that the file lacks, or that is empty, is left out.
    """

    name: str  # of the file, for messages
    columns: dict[str, Samples]
    rows: Samples | None = None  # number of each sample's row in the file, from 1
    activity: str | None = None  # characterisation, where not comparable with use
    notes: tuple[str, ...] = ()
    is_time_unit_told: bool = True  # else in seconds, as far as anybody knows
    part: Part | None = None

    @property
    def file(self) -> Part | None:
        """The file: where the table is a sheet, its workbook."""
        return self.part.within or self.part if self.part else None

    @property
    def size(self) -> int:
        return self.columns["voltage"].size

    def take(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> "Table":
        """Return some of the samples."""
        rows = None if self.rows is None else self.rows[which]
        return replace(self, columns={k: v[which] for k, v in self.columns.items()}, rows=rows)

    def row(self, sample: int) -> str:
        number = sample + 1 if self.rows is None else int(self.rows[sample])
        return f"{self.name}, row {number}" if self.name else f"row {number}"


def carried_on(tables: Sequence[Table]) -> list[Table]:
    """Return the tables in order of time, with a `time` that counts from the start of the first.

    Raises LoaderError with the row where time goes back for no reason, and with both names where
    two files cover the same time.
    """
    return _in_order(list(map(_ready, tables)))


def pieces(tables: Sequence[Table]) -> list[list[Table]]:
    """Return the tables parted into pieces, each in order of time as `carried_on` gives it.

    A file is a piece of its own where its dates, or the time of a test that goes on from file to
    file, say when it was recorded, and no other file says the same. Raises LoaderError as above.
    """
    ready = [(span(table), table) for table in map(_ready, tables)]
    ready.sort(key=lambda it: (it[0].begins_s, it[0].ends_s))
    parted: list[list[tuple[Span, Table]]] = []
    for own, table in ready:
        if parted and any(
            own.overlaps(it) or table.file is other.file is not None for it, other in parted[-1]
        ):
            parted[-1].append((own, table))
        else:
            parted.append([(own, table)])
    dated = {it.is_dated for it, _ in ready}
    if len(dated) > 1 or (dated == {False} and len(parted) < len(ready)):
        parted = [ready]  # their order is not told by a common clock
    return [_in_order([table for _, table in group]) for group in parted]


def span(table: Table) -> Span:
    """Tell when a table, whose `time` never goes back, was recorded."""
    time_s, is_dated = table.columns["time"], _has_clock(table)
    origin_s = float(table.columns["clock"][0] - time_s[0]) if is_dated else 0.0
    return Span(origin_s + float(time_s[0]), origin_s + float(time_s[-1]), origin_s, is_dated)


def _ready(table: Table) -> Table:
    return _within(_in_seconds(_counting(table)))


def _counting(table: Table) -> Table:
    """Drop what counts rows instead of steps or cycles: it changes with nearly every sample."""
    columns = dict(table.columns)
    for role in ("step", "cycle"):
        if role in columns and table.size > 20:
            changes = np.count_nonzero(np.diff(columns[role]))
            if changes > table.size / 3:
                del columns[role]
    return replace(table, columns=columns)


def _in_seconds(table: Table) -> Table:
    """Let a file's dates tell the unit of a time that its header does not."""
    clock, time_s = table.columns.get("clock"), table.columns.get("time")
    if table.is_time_unit_told or clock is None or time_s is None:
        return table
    passed, counted = np.diff(clock), np.diff(time_s)
    usable = (passed > 0) & (counted > 0) & np.isfinite(passed)
    if np.sum(passed[usable]) < 60:  # dates are often whole seconds, or minutes
        return table
    ratio = float(np.sum(passed[usable]) / np.sum(counted[usable]))
    for seconds, name in SCALES:
        if abs(ratio / seconds - 1) < 0.05:
            scaled = {role: table.columns[role] * seconds for role in ("time", "step_time")
                      if role in table.columns}  # fmt: skip
            note = f"time is in {name}, by the dates beside it"
            return replace(table, columns=table.columns | scaled, notes=(*table.notes, note))
    return table


def _within(table: Table) -> Table:
    """Give one file a `time` [samples] that never goes back."""
    columns = table.columns
    role = next(it for it in ("time", "clock", "step_time") if it in columns)
    time_s = columns[role]
    if not np.isfinite(time_s).all():
        raise LoaderError(f"{table.row(int(np.argmin(np.isfinite(time_s))))}: no time")
    if role == "clock":
        time_s = time_s - time_s[0]
    back = np.flatnonzero(time_s[1:] < time_s[:-1]) + 1
    if back.size and not (time_s[1:] > time_s[:-1]).any():
        return _within(table.take(np.arange(table.size)[::-1]))
    if back.size and role != "clock":
        restarts = _restarts(table, time_s, back)
        if restarts is not None:
            return replace(table, columns=columns | _carried(table, time_s, restarts))
    if back.size:
        kept = _first_of_twins(table, time_s)
        if kept.size < table.size:
            dropped = f"{table.size - kept.size:,} samples stand twice, and count once"
            return _within(replace(table.take(kept), notes=(*table.notes, dropped)))
        at = int(back[0])
        raise LoaderError(
            f"{table.row(at)}: time goes back from {time_s[at - 1]:,.10g} to {time_s[at]:,.10g} s, "
            "where no step and no cycle begins: correct the clock, sort the file, or name its "
            "column of steps with --column step=NAME"
        )
    return replace(table, columns=columns | {"time": time_s})


def _restarts(table: Table, time_s: Samples, back: NDArray[np.intp]) -> NDArray[np.intp] | None:
    """Samples at which time starts again with a step or cycle; None where it does otherwise."""
    following = np.abs(np.diff(time_s, append=time_s[-1:]))
    limit = np.maximum(np.maximum(2 * following, time_s[0]), 1.0)
    cycle = table.columns.get("cycle")
    if (
        cycle is not None
        and (
            (cycle[back] < cycle[back - 1]) & (time_s[back] + 2 * following[back] < time_s[0])
        ).any()
    ):
        return None  # an earlier part of the test stands below a later one
    for role in ("step", "cycle", "state"):
        if role not in table.columns:
            continue
        values = table.columns[role]
        changes = np.flatnonzero((values[1:] != values[:-1]) & ~np.isnan(values[1:])) + 1
        if np.isin(back, changes).all() and (time_s[back] <= limit[back]).all():
            # Where it starts again with every step, one begins where it does not go back, too.
            every = (time_s[changes] <= limit[changes]).all()
            return changes if every else back
    return None


def _carried(table: Table, time_s: Samples, restarts: NDArray[np.intp]) -> dict[str, Samples]:
    """`time` that goes on over the restarts, and the `step_time` that it was."""
    starts = np.concatenate([[0], restarts])
    lasts = np.append(restarts, time_s.size) - 1
    offsets = np.concatenate([[0.0], np.cumsum(time_s[lasts[:-1]])])
    clock = table.columns.get("clock")
    if clock is not None and np.isfinite(clock).all() and (np.diff(clock) >= 0).all():
        # What passed between two parts is known by the clock, which may count whole seconds.
        by_clock = clock[starts] - time_s[starts] - (clock[0] - time_s[0])
        for at in range(1, starts.size):
            before = offsets[at - 1] + time_s[lasts[at - 1]]
            gap = by_clock[at] - before
            offsets[at] = before + (gap if gap > SAME_TIME_S else 0.0)
    lengths = np.diff(np.append(starts, time_s.size))
    return {"time": time_s + np.repeat(offsets, lengths), "step_time": time_s}


def _first_of_twins(table: Table, time_s: Samples) -> NDArray[np.intp]:
    """Numbers of the samples, in order, without those that repeat an earlier one."""
    keys = np.stack([time_s, table.columns["voltage"], table.columns["current"]], axis=1)
    _, first = np.unique(keys, axis=0, return_index=True)
    return np.sort(first)


def _in_order(tables: list[Table]) -> list[Table]:
    if len(tables) == 1:
        return tables
    tables = sorted(tables, key=lambda it: _natural(it.name))
    if all(_has_clock(it) for it in tables):
        return _by_clock(sorted(tables, key=lambda it: it.columns["clock"][0]))
    by_time = sorted(tables, key=lambda it: it.columns["time"][0])
    if all(_end(one) <= two.columns["time"][0] for one, two in pairwise(by_time)):
        return _renumbered(by_time)
    if all("cycle" in it.columns for it in tables):
        by_cycle = sorted(tables, key=lambda it: it.columns["cycle"][0])
        spans = [(it.columns["cycle"].min(), it.columns["cycle"].max()) for it in by_cycle]
        if all(one[1] <= two[0] for one, two in pairwise(spans)):
            tables = by_cycle
    placed: list[Table] = []
    for table in tables:
        time_s = table.columns["time"]
        if placed:
            time_s = _after(placed[-1], table)
        placed.append(replace(table, columns=table.columns | {"time": time_s}))
    return _renumbered(placed)


def _by_clock(tables: list[Table]) -> list[Table]:
    """Place each file where its clock says; what a later export repeats counts once."""
    origin = tables[0].columns["clock"][0] - tables[0].columns["time"][0]
    placed: list[Table] = []
    for table in tables:
        start = table.columns["clock"][0] - table.columns["time"][0] - origin
        table = replace(table, columns=table.columns | {"time": table.columns["time"] + start})
        if placed and table.columns["time"][0] <= _end(placed[-1]):
            table = _parted(placed, table)
        if table.size:
            placed.append(table)
    return _renumbered(placed)


def _parted(placed: list[Table], table: Table) -> Table:
    """Resolve an overlap in time: by what both say, else by the order of the files."""
    before, time_s = placed[-1], table.columns["time"]
    shared = time_s <= _end(before) + SAME_TIME_S
    nearest = np.searchsorted(before.columns["time"], time_s[shared])
    same = np.zeros(int(shared.sum()), dtype=bool)
    for shift in (-1, 0, 1):
        at = np.clip(nearest + shift, 0, before.size - 1)
        same |= (
            (np.abs(before.columns["time"][at] - time_s[shared]) < SAME_TIME_S)
            & (before.columns["voltage"][at] == table.columns["voltage"][shared])
            & (before.columns["current"][at] == table.columns["current"][shared])
        )
    if same.mean() > 0.9:
        note = f"{table.name}: {same.size:,} samples stand in {before.name} too, and count once"
        rest = table.take(~shared)
        if not rest.size:
            placed[-1] = replace(before, notes=(*before.notes, note))
        return replace(rest, notes=(*rest.notes, note))
    overlap_s = _end(before) - time_s[0]
    shortest = min(time_s[-1] - time_s[0], _end(before) - before.columns["time"][0])
    if overlap_s > OVERLAP * shortest:
        raise LoaderError(
            f"{before.name} and {table.name} cover the same time with different samples: "
            "are they two batteries? load each under its own --battery-id"
        )
    note = f"{table.name}: begins {overlap_s:,.0f} s before {before.name} ends; taken to follow it"
    moved = replace(table, columns=table.columns | {"time": _after(before, table)})
    return replace(moved, notes=(*table.notes, note))


def _after(before: Table, table: Table) -> Samples:
    """Times of a file whose clock started again, right after the file before it."""
    time_s = table.columns["time"]
    interval = float(np.median(np.diff(time_s[:100]))) if table.size > 1 else 0.0
    first = float(time_s[0])
    goes_on = np.sign(before.columns["current"][-1]) == np.sign(table.columns["current"][0]) != 0
    # A file that begins in mid-discharge begins with the next sample; else its clock tells when.
    gap = interval if goes_on or not 0 <= first <= 2 * interval else first
    return _end(before) + gap + (time_s - first)


def _renumbered(tables: list[Table]) -> list[Table]:
    """Let cycles count on where a file counts from the beginning again."""
    spans = [_span(table) for table in tables]
    if None in spans or len(tables) == 1:
        return tables
    known = [span for span in spans if span is not None]
    if all(one[1] <= two[0] for one, two in pairwise(known)) and len(set(known)) > 1:
        return tables  # they count through all files
    done = [tables[0]]
    last = known[0][1]
    for before, table, (first, end) in zip(tables, tables[1:], known[1:], strict=False):
        shift = 0.0
        if first <= last:
            current = before.columns["current"][-1], table.columns["current"][0]
            goes_on = np.sign(current[0]) == np.sign(current[1]) != 0
            shift = last - first + (0 if goes_on else 1)
        cycle = table.columns["cycle"] + shift
        done.append(replace(table, columns=table.columns | {"cycle": cycle}))
        last = end + shift
    return done


def _span(table: Table) -> tuple[float, float] | None:
    cycle = table.columns.get("cycle")
    if cycle is None or np.isnan(cycle).all():
        return None
    return float(np.nanmin(cycle)), float(np.nanmax(cycle))


def _has_clock(table: Table) -> bool:
    clock = table.columns.get("clock")
    return clock is not None and bool(np.isfinite(clock[[0, -1]]).all())


def _end(table: Table) -> float:
    return float(table.columns["time"][-1])


def _natural(name: str) -> list[tuple[int, int | str]]:
    """Names in the order people count: file_2 before file_10."""
    return [
        (0, int(it)) if it.isdecimal() else (1, it.lower()) for it in re.split(r"(\d+)", name) if it
    ]
